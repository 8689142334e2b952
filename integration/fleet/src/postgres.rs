//! A PostgreSQL of one's own: a fresh cluster in a directory that goes with it. Its programs are looked for
//! where Debian puts them and in `PATH`.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::error::FleetError;

/// A running PostgreSQL. It ends with its value.
#[derive(Debug)]
pub struct Database {
    server: Child,
    port: u16,
    programs: PathBuf,
    directory: TempDir,
}

fn programs() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut places: Vec<PathBuf> = debian.map(|entry| entry.path().join("bin")).collect();
    places.sort();
    places.reverse();
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path));
    let needed = ["initdb", "postgres", "pg_isready", "createdb"];
    places.into_iter().find(|place| needed.iter().all(|name| place.join(name).exists()))
}

/// PostgreSQL refuses to run as root; the account that Debian's package makes is used then.
fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).env_clear();
    command.env("PATH", "/usr/bin:/bin").env("LC_ALL", "C.UTF-8").current_dir("/");
    if let Some((user, group)) = other_account() {
        command.uid(user).gid(group);
    }
    command
}

fn other_account() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    if std::fs::metadata("/proc/self").ok()?.uid() != 0 {
        return None;
    }
    let accounts = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = accounts.lines().find(|line| line.starts_with("postgres:"))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

impl Database {
    /// Whether the programs are installed.
    #[must_use]
    pub fn is_installed() -> bool {
        programs().is_some()
    }

    /// Starts a cluster, and waits until it answers.
    ///
    /// # Errors
    /// [`FleetError`] where the programs are not installed or do not start.
    pub fn start() -> Result<Self, FleetError> {
        let other = |text: &str| FleetError::Other(text.to_owned());
        let programs = programs().ok_or_else(|| other("PostgreSQL is not installed"))?;
        let made = tempfile::tempdir();
        let directory = made.map_err(FleetError::io("make a directory for PostgreSQL"))?;
        if let Some((user, group)) = other_account() {
            std::os::unix::fs::chown(directory.path(), Some(user), Some(group))
                .map_err(FleetError::io("give a directory to PostgreSQL"))?;
        }
        let data = directory.path().join("data");
        let made = command(&programs.join("initdb"))
            .args(["--auth=trust", "--username=test", "--no-sync", "--encoding=UTF8", "-D"])
            .arg(&data)
            .status()
            .map_err(FleetError::io("run initdb"))?;
        if !made.success() {
            return Err(other("initdb failed"));
        }
        let listener = TcpListener::bind("127.0.0.1:0").and_then(|one| one.local_addr());
        let port = listener.map_err(FleetError::io("find a free port"))?.port();
        let server = command(&programs.join("postgres"))
            .arg("-D")
            .arg(&data)
            .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-p", &port.to_string()])
            .arg("-k")
            .arg(directory.path())
            .spawn()
            .map_err(FleetError::io("start PostgreSQL"))?;
        let database = Self { server, port, programs, directory };
        let end = Instant::now() + Duration::from_secs(60);
        while !database.answers() {
            if Instant::now() >= end {
                return Err(other("PostgreSQL does not start"));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(database)
    }

    fn answers(&self) -> bool {
        let mut ready = command(&self.programs.join("pg_isready"));
        ready.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        ready.status().is_ok_and(|status| status.success())
    }

    /// Makes a database; gives its URL.
    ///
    /// # Errors
    /// [`FleetError`] where it cannot be made.
    pub fn url(&self, name: &str) -> Result<String, FleetError> {
        let mut create = command(&self.programs.join("createdb"));
        create.current_dir(self.directory.path());
        create.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "test", name]);
        let status = create.status().map_err(FleetError::io("run createdb"))?;
        if !status.success() {
            return Err(FleetError::Other("createdb failed".to_owned()));
        }
        Ok(format!("postgres://test@127.0.0.1:{}/{name}?sslmode=disable", self.port))
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Its own process, by its id; the cluster goes with the directory.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
