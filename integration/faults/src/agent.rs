//! The agent under test as the system sees it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::{Child, Command};

use crate::error::Error;

/// The variable by which everything that the agent started is found again.
const MARK: &str = "PILOTFISH_FAULTS_RUN";

/// How an agent is started.
#[derive(Debug, Clone)]
pub struct AgentCommand {
    /// The program.
    pub program: PathBuf,
    /// Its arguments.
    pub arguments: Vec<OsString>,
    /// Where its words go.
    pub log: PathBuf,
    /// What is in the variable of all its processes.
    pub mark: String,
}

/// A running agent.
pub struct Agent {
    child: Child,
    pid: u32,
}

/// What a process holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Holdings {
    /// What its descriptors are, and how many of each.
    pub descriptors: BTreeMap<String, usize>,
    /// How many threads it has.
    pub threads: usize,
    /// Resident memory, KiB.
    pub memory_kib: u64,
}

impl AgentCommand {
    /// Starts an agent.
    pub fn start(&self) -> Result<Agent, Error> {
        let open = || {
            let log = OpenOptions::new().create(true).append(true).open(&self.log);
            log.map(Stdio::from).map_err(Error::file(&self.log))
        };
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .env(MARK, &self.mark)
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::system(format!("cannot start {}", self.program.display())))?;
        let pid = child.id().unwrap_or_default();
        Ok(Agent { child, pid })
    }

    /// The processes that agents of this run started and that still live; their command lines.
    pub fn others_than(&self, agent: u32) -> Result<Vec<String>, Error> {
        let wanted = format!("{MARK}={}", self.mark).into_bytes();
        let mut found = Vec::new();
        for entry in Path::new("/proc").read_dir().map_err(Error::file("/proc"))?.flatten() {
            let name = entry.file_name();
            let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
                continue;
            };
            // Processes come and go, and others' environments are not ours to read.
            let Ok(environment) = std::fs::read(entry.path().join("environ")) else { continue };
            if pid == agent || !environment.split(|byte| *byte == 0).any(|one| one == wanted) {
                continue;
            }
            let command = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let command: Vec<_> =
                command.split(|byte| *byte == 0).map(String::from_utf8_lossy).collect();
            found
                .push(format!("{pid} {}", command.join(" ").chars().take(120).collect::<String>()));
        }
        Ok(found)
    }
}

impl AgentCommand {
    /// SIGKILL for what agents of this run started and a failed campaign leaves running.
    pub fn end_others(&self) -> Result<(), Error> {
        for process in self.others_than(0)? {
            let pid = process.split(' ').next().unwrap_or_default();
            let killed = std::process::Command::new("kill").args(["-9", pid]).status();
            killed.map_err(Error::system("cannot run kill"))?;
        }
        Ok(())
    }
}

impl Agent {
    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// SIGKILL, and waits until it is gone.
    pub async fn kill(&mut self) -> Result<(), Error> {
        self.child.kill().await.map_err(Error::system("cannot kill the agent"))
    }

    /// What it holds now.
    pub fn holdings(&self) -> Result<Holdings, Error> {
        let process = PathBuf::from(format!("/proc/{}", self.pid));
        let list = |name: &str| {
            let path = process.join(name);
            path.read_dir().map_err(Error::file(&path))
        };
        let mut descriptors = BTreeMap::new();
        for entry in list("fd")?.flatten() {
            let Ok(target) = std::fs::read_link(entry.path()) else { continue };
            let target = target.to_string_lossy();
            // Sockets and pipes have numbers.
            let kind = target.split_once(":[").map_or(&*target, |(kind, _)| kind);
            *descriptors.entry(kind.to_owned()).or_default() += 1;
        }
        let status = process.join("status");
        let text = std::fs::read_to_string(&status).map_err(Error::file(&status))?;
        let memory = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let memory = memory.and_then(|value| value.trim().trim_end_matches(" kB").parse().ok());
        let threads = list("task")?.count();
        Ok(Holdings { descriptors, threads, memory_kib: memory.unwrap_or_default() })
    }
}

impl Holdings {
    /// How many descriptors.
    pub fn count(&self) -> usize {
        self.descriptors.values().sum()
    }

    /// The kinds of descriptors of which there are more than before.
    pub fn more_than(&self, before: &Self) -> Vec<String> {
        self.descriptors
            .iter()
            .filter_map(|(kind, count)| {
                let had = before.descriptors.get(kind).copied().unwrap_or_default();
                (*count > had).then(|| format!("{count} of {kind} instead of {had}"))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(program: &str, arguments: &[&str], log: PathBuf, mark: &str) -> AgentCommand {
        AgentCommand {
            program: program.into(),
            arguments: arguments.iter().map(OsString::from).collect(),
            log,
            mark: mark.to_owned(),
        }
    }

    #[tokio::test]
    async fn what_outlives_its_agent_is_found() {
        let directory = tempfile::tempdir().unwrap();
        let mark = format!("test-{}", std::process::id());
        // The one that stays gets the place of its parent.
        let script = "sleep 60 >/dev/null 2>&1 & echo $!; wait";
        let log = directory.path().join("log");
        let command = command("/bin/sh", &["-c", script], log.clone(), &mark);
        let mut agent = command.start().unwrap();
        let child = loop {
            if let Some(line) = std::fs::read_to_string(&log).unwrap().lines().next() {
                break line.to_owned();
            }
            tokio::task::yield_now().await;
        };
        let held = agent.holdings().unwrap();
        assert!(held.count() >= 3 && held.threads == 1, "{held:?}");
        agent.kill().await.unwrap();
        let left = command.others_than(agent.pid()).unwrap();
        assert!(left.len() == 1 && left[0].starts_with(&child), "{left:?}");
        command.end_others().unwrap();
        while !command.others_than(agent.pid()).unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn more_of_a_kind_is_told() {
        let holdings = |sockets| Holdings {
            descriptors: [("socket".to_owned(), sockets), ("/dev/null".to_owned(), 1)].into(),
            ..Holdings::default()
        };
        assert!(holdings(2).more_than(&holdings(2)).is_empty());
        assert_eq!(holdings(5).more_than(&holdings(2)), ["5 of socket instead of 2"]);
    }
}
