//! The agent's process: its arguments, its log on standard error, its memory, its end.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::AsyncReadExt as _;
use tokio::process::{Child, ChildStderr, Command};
use tokio::sync::watch;

use super::within;

pub const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
pub const NODE: &str = "linux-1";

/// A running agent. It does not outlive the test.
pub struct Agent {
    child: Child,
    log: watch::Receiver<String>,
    /// Up to where [`Agent::says`] has read.
    read: usize,
    _directory: Option<tempfile::TempDir>,
}

/// The options without which the agent does not start.
pub fn options(url: &str) -> Vec<String> {
    ["-url", url, "-secret", SECRET, "-name", NODE, "-webSocket"].map(str::to_owned).to_vec()
}

impl Agent {
    /// Starts the binary with a work directory of its own.
    pub fn start(url: &str, more: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pilotfish-agent"));
        command.args(options(url)).args(more).arg("-workDir").arg(directory.path());
        let mut agent = Self::spawn(command);
        agent._directory = Some(directory);
        agent
    }

    /// Starts the binary with these options alone beside the usual ones.
    pub fn start_in(url: &str, more: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pilotfish-agent"));
        command.args(options(url)).args(more);
        Self::spawn(command)
    }

    /// The number of the process.
    pub fn id(&self) -> u32 {
        self.child.id().unwrap()
    }

    /// Starts a command that becomes the agent.
    pub fn spawn(mut command: Command) -> Self {
        let mut child = command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            // The scripted controllers have no library to start a JVM with.
            .env("PILOTFISH_JVM", "never")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (sender, log) = watch::channel(String::new());
        tokio::spawn(collect(child.stderr.take().unwrap(), sender));
        Self { child, log, read: 0, _directory: None }
    }

    /// Waits until the log says `text`, after what was waited for before.
    pub async fn says(&mut self, text: &str) {
        let from = self.read;
        let find = |log: &String| log[from..].find(text).map(|at| from + at + text.len());
        let found =
            tokio::time::timeout(super::PATIENCE, self.log.wait_for(|log| find(log).is_some()))
                .await
                .map(|seen| seen.map(|log| find(&log)));
        match found {
            Ok(Ok(Some(end))) => self.read = end,
            _ => panic!("the agent did not say {text:?} after byte {from} of:\n{}", self.log()),
        }
    }

    /// Everything said so far.
    pub fn log(&self) -> String {
        self.log.borrow().clone()
    }

    pub fn signal(&self, signal: Signal) {
        let id = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        kill_process(id.unwrap(), signal).unwrap();
    }

    /// The most memory the process has had at any time, in MiB.
    pub fn peak_memory(&self) -> u64 {
        let status = Path::new("/proc").join(self.child.id().unwrap().to_string()).join("status");
        let status = std::fs::read_to_string(status).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
    }

    /// Waits for the end and gives the exit code and the log, which is clean whatever happened.
    pub async fn end(mut self) -> (Option<i32>, String) {
        let status = tokio::time::timeout(super::PATIENCE, self.child.wait()).await;
        let Ok(Ok(status)) = status else { panic!("the agent does not end:\n{}", self.log()) };
        // The reader of the log drops its end once it has read all.
        within("the end of the log", async { while self.log.changed().await.is_ok() {} }).await;
        let log = self.log();
        assert!(!log.contains("panic"), "{log}");
        assert!(!log.contains(SECRET), "{log}");
        assert!(!log.contains("this is a bug"), "{log}");
        (status.code(), log)
    }

    /// Asks the agent to end, which it does in order, and whatever still runs.
    pub async fn stop(self) -> String {
        self.signal(Signal::INT);
        let (code, log) = self.end().await;
        assert_eq!(code, Some(0), "{log}");
        log
    }
}

async fn collect(mut errors: ChildStderr, log: watch::Sender<String>) {
    let mut all = Vec::new();
    while let Ok(1..) = errors.read_buf(&mut all).await {
        log.send_modify(|log| *log = String::from_utf8_lossy(&all).into_owned());
    }
}
