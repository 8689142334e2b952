//! The OCI images (`integration/images`).

use std::path::{Path, PathBuf};

use clap::Args;

use crate::context::{Context, Done, output, run as run_command};
use crate::{agent, elf, tools};

/// Options of `cargo xtask images`.
#[derive(Debug, Args)]
pub struct Options {
    /// Which: full, jre, static, bridge; all of them when none is named
    flavours: Vec<String>,
    /// With the programs as the tests use them, which are built faster and larger
    #[arg(long)]
    debug: bool,
    /// More options of pilotfish-images, such as --twice or --mirror
    #[arg(last = true)]
    more: Vec<String>,
}

/// All flavours.
const ALL: [&str; 4] = ["full", "jre", "static", "bridge"];

pub fn run(context: &Context, options: &Options) -> Done {
    let flavours: Vec<&str> = match options.flavours.as_slice() {
        [] => ALL.to_vec(),
        named => named.iter().map(String::as_str).collect(),
    };
    let more: Vec<&str> = options.more.iter().map(String::as_str).collect();
    build(context, &flavours, !options.debug, &more).map(drop)
}

/// Builds these flavours into `target/images` and returns that directory.
pub fn build(context: &Context, flavours: &[&str], release: bool, more: &[&str]) -> Done<PathBuf> {
    let out = context.target.join("images");
    let debian = flavours.iter().any(|one| ["full", "jre"].contains(one));
    let mut images = if debian {
        tools::need(&tools::MMDEBSTRAP)?;
        // A gigabyte is digested and packed.
        let mut images = context.cargo(["run", "--quiet", "--package", "pilotfish-images"]);
        images.args(["--release", "--"]);
        images
    } else {
        let images = context.program("pilotfish-images")?;
        context.command(images)
    };
    images.args(flavours).arg("--out").arg(&out).arg("--root").arg(&context.root);
    if flavours.iter().any(|one| *one != "bridge") {
        let agent = if release {
            agent::release(context)?
        } else {
            small_debug(context, "pilotfish-agent")?
        };
        images.arg("--agent").arg(agent);
    }
    if flavours.contains(&"bridge") {
        images.arg("--bridge").arg(bridge(context, release)?);
    }
    if flavours.contains(&"static") {
        images.arg("--busybox").arg(busybox()?);
    }
    let git = |arguments: &[&str]| output(context.command("git").args(arguments));
    let commit = git(&["rev-parse", "HEAD"])?;
    images.args(["--revision", commit.trim()]);
    if std::env::var_os("SOURCE_DATE_EPOCH").is_none() {
        let time = git(&["log", "-1", "--format=%ct"])?;
        images.args(["--epoch", time.trim()]);
    }
    run_command(images.args(more))?;
    Ok(out)
}

/// A program as the tests use it, without what a debugger needs: what it is copied into is made for the
/// programs as they are shipped.
pub fn small_debug(context: &Context, name: &'static str) -> Done<PathBuf> {
    let program = context.program(name)?;
    let small = context.target.join(format!("{name}-small"));
    run_command(context.command("strip").arg("-o").arg(&small).arg(program))?;
    Ok(small)
}

/// A busybox that needs no library.
fn busybox() -> Done<PathBuf> {
    tools::need(&tools::BUSYBOX)?;
    // Where Debian's releases put it.
    let places = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new);
    let found = places.into_iter().find(|path| path.exists()).ok_or("busybox is not in /bin")?;
    let bytes = std::fs::read(found).map_err(|error| format!("{}: {error}", found.display()))?;
    elf::check_static(&bytes).map_err(|why| {
        format!("{}: {why}. Install busybox-static in place of busybox", found.display())
    })?;
    Ok(found.to_owned())
}

fn bridge(context: &Context, release: bool) -> Done<PathBuf> {
    tools::need(&tools::CC)?;
    if release {
        let bridge = ["build", "--package", "pilotfish-bridge", "--bin", "pilotfish-bridge"];
        run_command(context.cargo(bridge).arg("--release"))?;
        return Ok(context.target.join(&context.triple).join("release/pilotfish-bridge"));
    }
    small_debug(context, "pilotfish-bridge")
}
