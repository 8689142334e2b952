//! Pods of agents as processes of this machine: a pod is a file with its token, and the agent that was
//! started with it. Nothing else is written down, so that whoever comes later sees the same.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

use async_trait::async_trait;
use pilotfish_bridge::agents::{PodOrder, Pods, Pool, Reviewed, SeenPod, StartedPod};
use rustix::process::{Pid, Signal, kill_process};

use crate::error::FleetError;
use crate::ledger::now_us;

/// What a file of a token ends with.
const TOKEN: &str = "token";

/// How long a process may take to show its command line, in milliseconds.
const NEW_MS: i64 = 1_000;

/// Pods that are processes.
#[derive(Debug)]
pub struct Processes {
    directory: PathBuf,
    agent: PathBuf,
}

fn io(what: &str) -> impl FnOnce(std::io::Error) -> String + '_ {
    move |error| format!("cannot {what}: {error}")
}

impl Processes {
    /// Pods in a directory, which is made where it is not there, of this program.
    ///
    /// # Errors
    /// [`FleetError::Io`].
    pub fn open(directory: &Path, agent: &Path) -> Result<Self, FleetError> {
        let made = fs::create_dir_all(directory).and_then(|()| directory.canonicalize());
        let directory = made.map_err(FleetError::io(format!("make {}", directory.display())))?;
        Ok(Self { directory, agent: agent.to_owned() })
    }

    /// The file of a pod. Its name ends with the id of its agent.
    fn token(&self, pool: &str, name: &str) -> PathBuf {
        self.directory.join(pool).join(format!("{name}.{TOKEN}"))
    }

    /// The agents that run, by the path of their token.
    fn running(&self) -> Result<BTreeMap<PathBuf, Pid>, String> {
        let mut all = BTreeMap::new();
        for entry in fs::read_dir("/proc").map_err(io("read /proc"))? {
            let Ok(entry) = entry else { continue };
            let pid = entry.file_name().to_str().and_then(|name| name.parse().ok());
            let Some(pid) = pid.and_then(Pid::from_raw) else { continue };
            // One that is about to go has none.
            let Ok(line) = fs::read(entry.path().join("cmdline")) else { continue };
            let mut words = line.split(|byte| *byte == 0);
            let file =
                words.find(|word| *word == b"--standby-token-file").and_then(|_| words.next());
            let Some(file) = file.and_then(|file| std::str::from_utf8(file).ok()) else { continue };
            if Path::new(file).starts_with(&self.directory) {
                all.insert(PathBuf::from(file), pid);
            }
        }
        Ok(all)
    }

    /// The agents that run.
    ///
    /// # Errors
    /// When the processes cannot be listed.
    pub fn pids(&self) -> Result<Vec<Pid>, String> {
        Ok(self.running()?.into_values().collect())
    }
}

fn seen(path: &Path, made_ms: i64, ended: bool) -> Option<SeenPod> {
    let name = path.file_stem()?.to_str()?.to_owned();
    let id = name.rsplit('-').next()?.to_owned();
    let pool = path.parent()?.file_name()?.to_str()?.to_owned();
    Some(SeenPod { name, pool, id, made_ms, ended })
}

#[async_trait]
impl Pods for Processes {
    async fn start(&self, order: &PodOrder<'_>) -> Result<StartedPod, String> {
        let file = self.token(order.pool_name, order.name);
        let token = order.token.ok_or("a process has no token but its own")?;
        let work = self.directory.join("work").join(order.name);
        fs::create_dir_all(&work).map_err(io("make a work directory"))?;
        fs::create_dir_all(self.directory.join(order.pool_name)).map_err(io("make a directory"))?;
        fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&file)
            .and_then(|mut file| file.write_all(token.0.as_bytes()))
            .map_err(io("write a token"))?;
        let log = fs::File::create(work.join("log")).map_err(io("make a log"))?;
        let mut child = Command::new(&self.agent)
            .arg("standby")
            .args(["--standby-url", order.bridge, "--standby-id", order.id])
            .arg("--standby-token-file")
            .arg(&file)
            .arg("-workDir")
            .arg(&work)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .map_err(io("start an agent"))?;
        let uid = child.id().to_string();
        // Whoever has started it sees it end.
        std::thread::spawn(move || child.wait());
        Ok(StartedPod { uid })
    }

    async fn delete(&self, pool: &str, name: &str) -> Result<(), String> {
        let file = self.token(pool, name);
        if let Some(pid) = self.running()?.get(&file) {
            // One that has just ended is as good as killed.
            let _ = kill_process(*pid, Signal::KILL);
            return Ok(());
        }
        match fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(io("remove a token")(error))
            }
            _ => {
                let _ = fs::remove_dir_all(self.directory.join("work").join(name));
                Ok(())
            }
        }
    }

    async fn list(&self, _owner: &str) -> Result<BTreeMap<String, SeenPod>, String> {
        let now_ms = i64::try_from(now_us() / 1000).unwrap_or(i64::MAX);
        let running = self.running()?;
        let mut all = BTreeMap::new();
        let mut add = |path: &Path, made_ms, ended| {
            if let Some(pod) = seen(path, made_ms, ended) {
                all.insert(pod.name.clone(), pod);
            }
        };
        for path in running.keys() {
            add(path, 0, false);
        }
        for pool in fs::read_dir(&self.directory).map_err(io("list pools"))?.flatten() {
            let Ok(files) = fs::read_dir(pool.path()) else { continue };
            for path in files.flatten().map(|file| file.path()) {
                if path.extension().is_none_or(|one| one != TOKEN) {
                    continue;
                }
                let made = path.metadata().and_then(|one| one.modified()).ok();
                let made = made.and_then(|at| at.duration_since(UNIX_EPOCH).ok());
                let made = made.and_then(|at| i64::try_from(at.as_millis()).ok());
                let made = made.unwrap_or_default();
                // Between its file and its command line it is neither there nor not.
                let is_new = now_ms < made + NEW_MS;
                add(&path, made, !running.contains_key(&path) && !is_new);
            }
        }
        Ok(all)
    }

    async fn review(&self, _pool: &str, _token: &str) -> Result<Option<Reviewed>, String> {
        Ok(None)
    }

    fn check(&self, _pool: &Pool) -> Result<(), String> {
        Ok(())
    }
}
