//! A place for the agent that looks like the recorded one: work directory, home, user, host name, a
//! process table and a clean environment of its own.
//!
//! Directories are made under a temporary directory and mounted over the recorded paths in a mount
//! namespace, so nothing of this machine is touched and several recordings run at once.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::error::ReplayError;
use crate::facts::{Live, uname_line};
use crate::recording::{Recording, What};
use crate::wire;

/// The recorded agent's user and group.
const USER_ID: u32 = 1000;

/// The path of the agent's binary inside.
const BINARY: &str = "/run/agent";

/// What a recording tells about the place where its agent ran.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// The work directory.
    pub work_directory: String,
    /// The host name, where a script printed it.
    pub hostname: String,
    /// The agent's name.
    pub name: String,
}

impl Place {
    /// Reads the place out of a recording.
    ///
    /// # Errors
    /// When the recording does not tell its environment and work directory.
    pub fn of(recording: &Recording) -> Result<Self, ReplayError> {
        let mut environment = BTreeMap::new();
        let mut work_directory = None;
        let mut hostname = None;
        for entry in &recording.entries {
            let What::Command { bytes, .. } = &entry.what else { continue };
            let outer = wire::parse(bytes)?;
            let root = outer.root()?;
            if let Ok(text) = root.read_field::<&[u8]>("buf")
                && hostname.is_none()
                && let Some(line) = uname_line(&String::from_utf8_lossy(text))
            {
                hostname = line.split(' ').nth(1).map(str::to_owned);
            }
            let request = root.field("request").ok().and_then(|payload| payload.as_bytes());
            if let Some(payload) = request
                && work_directory.is_none()
                && let Ok(inner) = wire::parse(payload)
                && let Ok(wrapper) = inner.root()
                && wrapper.class_name().as_deref() == Some("hudson.FilePath$CallableWith")
            {
                work_directory =
                    wrapper.field("this$0").and_then(|path| path.read_field("remote")).ok();
            }
            if environment.is_empty()
                && let Some(payload) = wire::answer_payload(root)
                && let Ok(inner) = wire::parse(payload)
                && let Ok(answer) = inner.root()
                && answer.class_name().as_deref() == Some("hudson.EnvVars")
            {
                environment = answer.read()?;
            }
        }
        let lacking = |what: &str| ReplayError::Recording {
            name: recording.name.clone(),
            line: 1,
            problem: format!("it does not tell the agent's {what}"),
        };
        if environment.is_empty() {
            return Err(lacking("environment"));
        }
        Ok(Self {
            environment,
            work_directory: work_directory.ok_or_else(|| lacking("work directory"))?,
            hostname: hostname.unwrap_or_else(|| "agent".to_owned()),
            name: recording.request_header("Node-Name").unwrap_or("agent").to_owned(),
        })
    }

    fn home(&self) -> &str {
        self.environment.get("HOME").map_or("/home/agent", String::as_str)
    }

    fn user(&self) -> &str {
        self.environment.get("USER").map_or("agent", String::as_str)
    }

    /// The directories that are mounted over: the parents of home and work directory, and `/tmp`.
    fn mounts(&self) -> Result<Vec<String>, ReplayError> {
        let mut mounts = vec!["/tmp".to_owned()];
        for path in [self.home(), &self.work_directory] {
            if mounts.iter().any(|mount| Path::new(path).starts_with(mount)) {
                continue;
            }
            match Path::new(path).parent().and_then(Path::to_str) {
                Some(parent) if parent.len() > 1 && Path::new(parent).is_dir() => {
                    mounts.push(parent.to_owned())
                }
                _ => {
                    return Err(ReplayError::Agent(format!(
                        "the recorded directory {path} cannot be mounted here: its parent does not exist or is /"
                    )));
                }
            }
        }
        Ok(mounts)
    }
}

/// Whether namespaces can be made here.
///
/// # Errors
/// Why not, and what to do.
pub fn is_possible() -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("recordings are replayed under the recorded user and directories, which needs root: run this as root".to_owned());
    }
    let tried = std::process::Command::new("unshare")
        .args(["--mount", "--pid", "--uts", "--fork", "true"])
        .stdin(Stdio::null())
        .output();
    match tried {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "no namespaces here ({}): run this in a container with CAP_SYS_ADMIN",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => {
            Err(format!("unshare of util-linux cannot be started ({error}): install util-linux"))
        }
    }
}

/// The directories behind a place. They go away when this is dropped.
pub struct House {
    place: Place,
    directory: TempDir,
    mounts: Vec<(String, PathBuf)>,
}

/// A running agent.
pub struct Agent {
    child: Child,
    output: PathBuf,
}

impl House {
    /// Makes the directories.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn build(place: Place) -> Result<Self, ReplayError> {
        let directory = tempfile::Builder::new().prefix("replay-").tempdir()?;
        fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755))?;
        let mut mounts = Vec::new();
        for (index, inside) in place.mounts()?.into_iter().enumerate() {
            let outside = directory.path().join(format!("mount-{index}"));
            fs::create_dir(&outside)?;
            let mode = if inside == "/tmp" { 0o1777 } else { 0o755 };
            fs::set_permissions(&outside, fs::Permissions::from_mode(mode))?;
            mounts.push((inside, outside));
        }
        let house = Self { place, directory, mounts };
        for path in [house.place.home().to_owned(), house.place.work_directory.clone()] {
            if let Some(real) = house.outside(&path) {
                fs::create_dir_all(&real)?;
                std::os::unix::fs::chown(&real, Some(USER_ID), Some(USER_ID))?;
            }
        }
        let user = house.place.user();
        let home = house.place.home();
        let passwd = format!(
            "root:x:0:0:root:/root:/bin/sh\n{user}:x:{USER_ID}:{USER_ID}::{home}:/bin/sh\n"
        );
        fs::write(house.directory.path().join("passwd"), passwd)?;
        fs::write(
            house.directory.path().join("group"),
            format!("root:x:0:\n{user}:x:{USER_ID}:\n"),
        )?;
        let run = house.directory.path().join("run");
        fs::create_dir(&run)?;
        fs::set_permissions(&run, fs::Permissions::from_mode(0o755))?;
        fs::write(run.join("agent"), "")?;
        Ok(house)
    }

    /// The path on this machine behind one inside.
    #[must_use]
    pub fn outside(&self, inside: &str) -> Option<PathBuf> {
        self.mounts.iter().find_map(|(mount, outside)| {
            Some(outside.join(Path::new(inside).strip_prefix(mount).ok()?))
        })
    }

    /// What is true inside.
    #[must_use]
    pub fn facts(&self) -> Live {
        Live { hostname: self.place.hostname.clone(), mounts: self.mounts.clone() }
    }

    /// Starts the agent.
    ///
    /// # Errors
    /// When the namespace cannot be made.
    pub fn start(&self, binary: &Path, url: &str, secret: &str) -> Result<Agent, ReplayError> {
        let output = self.directory.path().join("output");
        let file = fs::File::create(&output)?;
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--pid",
                "--uts",
                "--ipc",
                "--fork",
                "--kill-child=SIGKILL",
                "--mount-proc",
                "--",
            ])
            .args(["/bin/sh", "-c", &self.script(binary)])
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .kill_on_drop(true);
        // The script's parameters: what follows is the agent's command line.
        command.arg("agent");
        command.args(["-url", url, "-secret", secret, "-name", &self.place.name]);
        command.args(["-webSocket", "-workDir", &self.place.work_directory]);
        // What is native is to be seen: a JVM would answer the rest.
        command.arg("--jvm=never");
        let child = command.spawn().map_err(|error| {
            ReplayError::Agent(format!("unshare cannot be started ({error}): install util-linux"))
        })?;
        Ok(Agent { child, output })
    }

    /// The script that makes the namespace's inside. It stays as process 1 and reaps what the builds
    /// leave behind. Process numbers begin above those that an agent never kills.
    fn script(&self, binary: &Path) -> String {
        let quote = |text: &str| format!("'{}'", text.replace('\'', "'\\''"));
        let path = |path: &Path| quote(&path.display().to_string());
        let inside = self.directory.path();
        let mut lines = vec![
            "set -e".to_owned(),
            format!("echo {} > /proc/sys/kernel/hostname", quote(&self.place.hostname)),
            "echo 300 > /proc/sys/kernel/ns_last_pid 2>/dev/null || true".to_owned(),
            format!("mount --bind {} /etc/passwd", path(&inside.join("passwd"))),
            format!("mount --bind {} /etc/group", path(&inside.join("group"))),
            // The recorded machine's clock was in UTC.
            "if [ -e /etc/localtime ]; then mount --bind /dev/null /etc/localtime; fi".to_owned(),
            format!("mount --bind {} {}", path(binary), path(&inside.join("run/agent"))),
            format!("mount --rbind {} /run", path(&inside.join("run"))),
        ];
        // `/tmp` last: the other directories may lie in it.
        for (mount, outside) in self.mounts.iter().rev() {
            lines.push(format!("mount --bind {} {}", path(outside), quote(mount)));
        }
        let environment: Vec<String> = self
            .place
            .environment
            .iter()
            .map(|(key, value)| quote(&format!("{key}={value}")))
            .collect();
        lines.push(format!("cd {}", quote(self.place.home())));
        lines.push(format!(
            "setpriv --reuid={USER_ID} --regid={USER_ID} --clear-groups env -i {} {BINARY} \"$@\" & wait $!",
            environment.join(" ")
        ));
        // Orphans of the builds are reaped as long as the shell waits.
        lines.push("code=$?; wait; exit $code".to_owned());
        lines.join("\n")
    }

    /// The agent's log files, by path.
    #[must_use]
    pub fn logs(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        let start = self.outside(&format!("{}/remoting", self.place.work_directory));
        let mut folders: Vec<PathBuf> = start.into_iter().collect();
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => folders.push(path),
                    Ok(kind) if kind.is_file() => {
                        found.extend(fs::read(&path).ok().map(|bytes| (path, bytes)));
                    }
                    _ => {}
                }
            }
        }
        found
    }
}

impl Agent {
    /// Whether it ended, and how.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// What it wrote to its standard streams.
    #[must_use]
    pub fn output(&self) -> Vec<u8> {
        fs::read(&self.output).unwrap_or_default()
    }

    /// Ends it with everything that it started.
    pub async fn stop(&mut self) {
        let _ = self.child.kill().await;
    }
}
