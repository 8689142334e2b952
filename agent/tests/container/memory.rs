//! Out of memory in a real control group, with the real agent in it.

use std::fs;
use std::path::{Path, PathBuf};

use jenkins_remoting::command::Command as Received;
use pilotfish_process::cgroup::{MemoryGroup, Version};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::support::agent::{Agent, options};
use crate::support::callables as make;
use crate::support::commands::user_request;
use crate::support::connection::Connection;
use crate::support::controller::Controller;
use crate::support::task::Task;
use crate::support::{eventually, within};

const MIB: u64 = 1 << 20;

/// The limit of the group.
const LIMIT: u64 = 128 * MIB;

/// A control group of its own. It and its processes do not outlive the test.
struct Group {
    directory: PathBuf,
}

impl Group {
    /// Below the group of this process, or below the root of version 2.
    fn make(version: Version, name: &str) -> Option<Self> {
        let skipped = |why: &str| {
            eprintln!("SKIPPED: {why}");
            None
        };
        let Some(own) = MemoryGroup::own() else {
            return skipped("no memory controller is mounted");
        };
        if own.version() != version {
            return skipped(&format!("memory is under control groups of {:?} here", own.version()));
        }
        let directory = own.directory().join(format!("pilotfish-{name}-{}", std::process::id()));
        if let Err(error) = fs::create_dir(&directory) {
            return skipped(&format!("no control group can be made: {error}"));
        }
        let group = Self { directory };
        let file = match version {
            Version::V1 => "memory.limit_in_bytes",
            Version::V2 => "memory.max",
        };
        if let Err(error) = group.set(file, &LIMIT.to_string()) {
            return skipped(&format!("no limit can be set: {error}"));
        }
        Some(group)
    }

    fn set(&self, file: &str, value: &str) -> std::io::Result<()> {
        fs::write(self.directory.join(file), value)
    }

    fn processes(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.directory.join("cgroup.procs")).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// What the kernel does to all of a group that ends as one.
    fn kill_all(&self) {
        while let pids @ [_, ..] = self.processes().as_slice() {
            for pid in pids {
                let _ = kill_process(Pid::from_raw(*pid).unwrap(), Signal::KILL);
            }
        }
    }

    /// The agent, in the group.
    fn start(&self, url: &str, work: &Path) -> Agent {
        let mut command = Command::new("sh");
        let enter = format!("echo $$ > {}/cgroup.procs && exec \"$@\"", self.directory.display());
        command.args(["-c", &enter, "sh", env!("CARGO_BIN_EXE_pilotfish-agent")]);
        command.args(options(url)).arg("-workDir").arg(work);
        Agent::spawn(command)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.kill_all();
        for _ in 0..500 {
            if fs::remove_dir(&self.directory).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Holds far more than the limit, as one process.
const GREEDY: &str = "echo compiling\nhead -c 400m /dev/zero | tail -c 400m > /dev/null\n";

async fn connected(group: &Group, controller: &mut Controller, work: &Path) -> (Agent, Connection) {
    let mut agent = group.start(&controller.url, work);
    let connection = controller.connection().await;
    agent.says("Connected").await;
    (agent, connection)
}

async fn the_build_is_told_and_the_agent_lives(version: Version, ends_as_one: bool) {
    let name = if ends_as_one { "as-one" } else { "apart" };
    let Some(group) = Group::make(version, name) else { return };
    if ends_as_one {
        group.set("memory.oom.group", "1").unwrap();
    }
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let (agent, mut connection) = connected(&group, &mut controller, work.path()).await;
    let task = Task::new(work.path(), "1", GREEDY);
    let go = work.path().join("go");
    let waits = format!("while [ ! -f {} ]; do sleep 0.05; done\n", go.display());
    let bystander = Task::new(work.path(), "2", &waits);
    fs::create_dir_all(work.path().join("ws@tmp")).unwrap();
    bystander.start(&mut connection, 10).await;
    task.start(&mut connection, 11).await;
    eventually("the task is over", || task.status().is_some()).await;
    task.check(&mut connection, 12).await;
    let log = task.log();
    let who = if ends_as_one { "the agent killed process " } else { "the kernel killed " };
    assert!(log.contains(&format!("[pilotfish] Out of memory: {who}")), "{log}");
    assert!(log.contains("limit 128 MiB, peak 1"), "{log}");
    assert_eq!(log.matches("[pilotfish]").count(), 1, "{log}");
    assert!(bystander.status().is_none());
    assert!(!bystander.log().contains("pilotfish"), "{}", bystander.log());
    fs::write(&go, "").unwrap();
    eventually("the other task ends by itself", || bystander.status().is_some()).await;
    assert_eq!(bystander.status().as_deref(), Some("0\n"));
    bystander.check(&mut connection, 13).await;
    connection.ping(b"alive").await;
    drop(connection);
    // SIGTERM would wait for the build, which has more to do for all that is known.
    agent.signal(Signal::INT);
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
}

/// The log of a freestyle build is the stream that its process writes to.
#[tokio::test]
async fn a_process_whose_output_is_a_stream_is_told_there() {
    const STREAM: i32 = 77;
    let own = MemoryGroup::own().map(|group| group.version());
    let Some(group) = Group::make(own.unwrap_or(Version::V2), "stream") else { return };
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let (agent, mut connection) = connected(&group, &mut controller, work.path()).await;
    let request = make::launch_to(STREAM, &["sh", "-c", GREEDY]);
    connection.send(&user_request(20, &request)).await;
    let mut log = Vec::new();
    within("the line in the stream", async {
        while !log.ends_with(b"heaps).\n") {
            match connection.command().await {
                Some(Received::Chunk { oid: STREAM, data, .. }) => log.extend_from_slice(&data),
                Some(_) => {}
                None => panic!("the agent hung up after {}", String::from_utf8_lossy(&log)),
            }
        }
    })
    .await;
    let log = String::from_utf8(log).unwrap();
    assert!(
        log.starts_with("compiling\n")
            && log.contains("\n[pilotfish] Out of memory: the kernel killed "),
        "{log}"
    );
    drop(connection);
    agent.stop().await;
}

#[tokio::test]
async fn version_1_tells_the_build() {
    the_build_is_told_and_the_agent_lives(Version::V1, false).await;
}

#[tokio::test]
async fn version_2_tells_the_build() {
    the_build_is_told_and_the_agent_lives(Version::V2, false).await;
}

#[tokio::test]
async fn version_2_that_ends_as_one_leaves_the_agent_alive() {
    the_build_is_told_and_the_agent_lives(Version::V2, true).await;
}

#[tokio::test]
async fn the_next_life_tells_the_builds_that_died_with_the_container() {
    let own = MemoryGroup::own().map(|group| group.version());
    let Some(group) = Group::make(own.unwrap_or(Version::V2), "whole") else { return };
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let (agent, mut connection) = connected(&group, &mut controller, work.path()).await;
    let task = Task::new(work.path(), "1", "echo started; sleep 1000\n");
    task.start(&mut connection, 10).await;
    eventually("the task runs", || task.log().contains("started")).await;
    let ledger = work.path().join("remoting/running-steps");
    eventually("it is noted", || ledger.exists()).await;
    group.kill_all();
    drop((connection, agent));
    assert!(task.status().is_none());

    let (mut agent, mut connection) = {
        let mut agent = group.start(&controller.url, work.path());
        agent.says("p #7: [pilotfish] The agent's container ended while this step ran").await;
        let connection = controller.connection().await;
        (agent, connection)
    };
    agent.says("Connected").await;
    assert_eq!(task.status().as_deref(), Some("137\n"));
    assert!(task.log().contains("limit 128 MiB"), "{}", task.log());
    assert!(!ledger.exists());
    connection.ping(b"alive").await;
    drop(connection);
    agent.stop().await;
}

#[tokio::test]
async fn a_new_agent_takes_over_tasks_that_outlived_the_old_one() {
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let start = |url: &str| Agent::start_in(url, &["-workDir", work.path().to_str().unwrap()]);
    let mut agent = start(&controller.url);
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    let go = work.path().join("go");
    let task = Task::new(
        work.path(),
        "1",
        &format!("while [ ! -f {} ]; do sleep 0.05; done", go.display()),
    );
    task.start(&mut connection, 10).await;
    eventually("the task runs", || task.log().contains("sleep")).await;
    agent.signal(Signal::KILL);
    drop((connection, agent));

    let mut agent = start(&controller.url);
    agent.says("p #7 still runs and is served again").await;
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    fs::write(&go, "").unwrap();
    eventually("the task ends by itself", || task.status().is_some()).await;
    assert_eq!(task.status().as_deref(), Some("0\n"));
    task.check(&mut connection, 12).await;
    assert!(!task.log().contains("pilotfish"), "{}", task.log());
    assert!(!work.path().join("remoting/running-steps").exists(), "it is no longer noted");
    drop(connection);
    agent.stop().await;
}
