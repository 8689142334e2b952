//! The images that the tests run: made here, since the node has no way out to a registry.

use std::fs;
use std::path::{Path, PathBuf};

use pilotfish_images::{Config, Image, Layer, USER, accounts, busybox_layer};

use crate::error::Error;
use crate::process::output;

/// A tool image: all of busybox, a shell with it, and no Java.
pub const BUSYBOX: &str = "localhost/busybox:1";
/// The same under another name, for a container of its own.
pub const TOOLS: &str = "localhost/tools:1";
/// And another.
pub const CHECKS: &str = "localhost/checks:1";
/// An image with a single program, `/echo`, and without a shell.
pub const SCRATCH: &str = "localhost/scratch:1";
/// What holds the namespaces of a pod.
const PAUSE: &str = "localhost/pause:1";
/// Ends when it is told to, and reaps what the pod leaves, meanwhile.
const WAIT: &str = "trap 'exit 0' TERM INT; while :; do sleep 3600 & wait $!; done";

/// Other busyboxes have it, and Pipeline's `sh` starts with it; Debian's has not.
const NOHUP: &str = "#!/bin/sh\nexec \"$@\"\n";

/// Writes them, unless they are there.
pub(crate) fn write(dir: &Path) -> Result<Vec<PathBuf>, Error> {
    fs::create_dir_all(dir).map_err(Error::at(dir))?;
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let busybox = busybox.into_iter().find(|path| path.exists()).unwrap_or(Path::new("busybox"));
    let names = output(std::process::Command::new(busybox).arg("--list"))?;
    let names: Vec<String> = names.lines().map(str::to_owned).collect();
    let base = || {
        accounts(Layer::new())
            .directory("tmp", 0o1777, 0)
            .directory("home/jenkins", 0o755, USER)
            .directory("root", 0o700, 0)
    };
    let sleep = ["sh", "sleep"].map(str::to_owned);
    let tools = || busybox_layer(base(), busybox, &names).file("bin/nohup", 0o755, NOHUP);
    let all = [
        (BUSYBOX, tools(), vec!["sh"]),
        (TOOLS, tools(), vec!["sh"]),
        (CHECKS, tools(), vec!["sh"]),
        (
            SCRATCH,
            Layer::new().copy("echo", 0o755, busybox).directory("tmp", 0o1777, 0),
            vec!["/echo"],
        ),
        (PAUSE, busybox_layer(base(), busybox, &sleep), vec!["/bin/sh", "-c", WAIT]),
    ];
    let mut written = Vec::new();
    for (name, layer, command) in all {
        let file = name.trim_start_matches("localhost/").replace(':', "-");
        let path = dir.join(format!("{file}.tar"));
        if !path.exists() {
            let command = command.into_iter().map(str::to_owned).collect::<Vec<_>>();
            let env = vec!["PATH=/bin:/usr/bin".to_owned()];
            let config = Config { env, cmd: command, ..Config::default() };
            let mut image = Image::new(config, 0);
            image.layer("pilotfish-kubernetes", |writer| layer.write_to(writer, 0))?;
            image.write(&path, name)?;
        }
        written.push(path);
    }
    Ok(written)
}
