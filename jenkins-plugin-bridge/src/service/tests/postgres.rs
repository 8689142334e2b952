//! A PostgreSQL of the tests' own: a fresh cluster in a directory that goes with it.
//!
//! Its programs are looked for where Debian puts them and in `PATH`. Where they are not installed
//! the tests that need them are left out, unless `PILOTFISH_TEST_POSTGRES=required` says that they
//! must run, as CI does.

use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

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

/// Starts a cluster.
pub fn start() -> Option<Database> {
    let required = std::env::var("PILOTFISH_TEST_POSTGRES").is_ok_and(|value| value == "required");
    let Some(programs) = programs() else {
        assert!(!required, "PostgreSQL is not installed");
        println!("left out: PostgreSQL is not installed");
        return None;
    };
    let directory = tempfile::tempdir().unwrap();
    if let Some((user, group)) = other_account() {
        std::os::unix::fs::chown(directory.path(), Some(user), Some(group)).unwrap();
    }
    let data = directory.path().join("data");
    let made = command(&programs.join("initdb"))
        .args(["--auth=trust", "--username=test", "--no-sync", "--encoding=UTF8", "-D"])
        .arg(&data)
        .status()
        .unwrap();
    assert!(made.success(), "initdb failed");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let server = command(&programs.join("postgres"))
        .arg("-D")
        .arg(&data)
        .args(["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-p", &port.to_string()])
        .arg("-k")
        .arg(directory.path())
        .spawn()
        .unwrap();
    let database = Database { server, port, programs, directory };
    let end = Instant::now() + Duration::from_secs(60);
    while !database.answers() {
        assert!(Instant::now() < end, "PostgreSQL does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    Some(database)
}

impl Database {
    fn answers(&self) -> bool {
        let mut ready = command(&self.programs.join("pg_isready"));
        ready.args(["-h", "127.0.0.1", "-p", &self.port.to_string()]);
        ready.status().is_ok_and(|status| status.success())
    }

    /// A new database, by its URL.
    pub fn url(&self, name: &str) -> String {
        assert!(self.directory.path().exists());
        let mut create = command(&self.programs.join("createdb"));
        create.args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "test", name]);
        assert!(create.status().unwrap().success(), "createdb failed");
        format!("postgres://test@127.0.0.1:{}/{name}?sslmode=disable", self.port)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Its own process, by its id; the cluster goes with the directory.
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}
