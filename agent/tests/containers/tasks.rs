//! Durable tasks in containers: their logs, their ends, and what they used.

use std::fs;
use std::path::PathBuf;

use rustix::process::{Signal, kill_process};

use crate::pod::{Pod, stop};
use crate::support::controller::Controller;
use crate::support::eventually;
use crate::support::service::Service;
use crate::support::task::Task;

const IN_MAVEN: [&str; 5] = [
    "JOB_NAME=p",
    "BUILD_NUMBER=7",
    "PILOTFISH_CONTAINER=maven",
    "PILOTFISH_BUILD=main/p#7",
    "PILOTFISH_STAGE=compile",
];

#[tokio::test]
async fn a_task_runs_in_its_container_and_outlives_the_connection_and_the_agent() {
    let Some(pod) = Pod::start(&["maven"]).await else { return };
    let mut controller = Controller::start().await;
    let agent = pod.agent(&controller);
    let mut connection = controller.connection().await;
    let go = pod.path("go");
    let script =
        format!("echo $HOME; while [ ! -f {} ]; do sleep 0.05; done; exit 3", go.display());
    let task = Task::new(&pod.path("work"), "1", &script);
    task.start_with(&mut connection, 10, &IN_MAVEN).await;
    eventually("the task runs", || task.log().contains("\n/home/of/maven\n")).await;
    agent.signal(Signal::KILL);
    drop((connection, agent));

    let mut agent = pod.agent(&controller);
    agent.says("p #7 still runs and is served again").await;
    let mut connection = controller.connection().await;
    assert_eq!(task.status(), None);
    fs::write(&go, "").unwrap();
    eventually("the task ends by itself", || task.status().is_some()).await;
    assert_eq!(task.status().as_deref(), Some("3\n"));
    task.check(&mut connection, 12).await;
    assert!(!task.log().contains("pilotfish"), "{}", task.log());
    drop(connection);
    stop(agent).await;
}

#[tokio::test]
async fn a_task_whose_container_is_gone_is_told_at_once() {
    let Some(pod) = Pod::start(&["maven"]).await else { return };
    let mut controller = Controller::start().await;
    let agent = pod.agent(&controller);
    let mut connection = controller.connection().await;
    let task = Task::new(&pod.path("work"), "1", "echo up; sleep 600");
    task.start_with(&mut connection, 10, &IN_MAVEN).await;
    eventually("the task runs", || task.log().contains("\nup\n")).await;
    kill_process(pod.first_server(), Signal::KILL).unwrap();
    eventually("it has a status", || task.status().is_some()).await;
    assert_eq!(task.status().as_deref(), Some("137\n"));
    let log = task.log();
    assert!(log.contains("[pilotfish] container \"maven\" did not answer to the end"), "{log}");
    drop(connection);
    stop(agent).await;
}

#[tokio::test]
async fn a_container_that_is_told_to_stop_waits_for_the_agents_builds() {
    let Some(mut pod) = Pod::start(&["maven"]).await else { return };
    let mut controller = Controller::start().await;
    let agent = pod.agent(&controller);
    let mut connection = controller.connection().await;
    let first = Task::new(&pod.path("work"), "1", "exit 0");
    first.start_with(&mut connection, 10, &IN_MAVEN).await;
    eventually("the first task is over", || first.status().is_some()).await;
    kill_process(pod.first_server(), Signal::TERM).unwrap();
    // A later step of the same build.
    let second = Task::new(&pod.path("work"), "2", "echo later");
    second.start_with(&mut connection, 11, &IN_MAVEN).await;
    eventually("the second task is over", || second.status().is_some()).await;
    assert_eq!(second.status().as_deref(), Some("0\n"));
    drop(connection);
    agent.signal(Signal::KILL);
    drop(agent);
    // `unshare` ends with the server.
    assert!(pod.containers[0].wait().unwrap().success());
    assert_eq!(pod.read("exec/maven/ended"), "it was told to stop");
}

/// Control groups of their own for a container, below those of this process.
struct Groups(Vec<PathBuf>);

impl Groups {
    fn make(test: &str) -> Option<Self> {
        use pilotfish_process::cgroup::{MemoryGroup, Version};
        let memory = MemoryGroup::own()?;
        let mut parents = vec![memory.directory().to_owned()];
        if memory.version() == Version::V1 {
            let known = ["/sys/fs/cgroup/cpuacct", "/sys/fs/cgroup/cpu,cpuacct"];
            parents.push(known.into_iter().map(PathBuf::from).find(|path| path.is_dir())?);
        }
        let name = format!("pilotfish-{test}-{}", std::process::id());
        let mut groups = Self(Vec::new());
        for parent in parents {
            let directory = parent.join(&name);
            fs::create_dir(&directory).ok()?;
            groups.0.push(directory);
        }
        let counts = |file: &str| groups.0.iter().any(|one| one.join(file).exists());
        let memory = counts("memory.usage_in_bytes") || counts("memory.current");
        (memory && (counts("cpuacct.usage") || counts("cpu.stat"))).then_some(groups)
    }

    /// The same, or a line that says that there are none.
    fn of(test: &str) -> Option<Self> {
        let made = Self::make(test);
        if made.is_none() {
            eprintln!("SKIPPED: no control groups can be made");
        }
        made
    }

    /// Limits the memory, in bytes.
    fn limit(&self, bytes: u64) {
        let files = ["memory.limit_in_bytes", "memory.max"];
        let file = files.map(|file| self.0[0].join(file)).into_iter().find(|file| file.exists());
        fs::write(file.unwrap(), bytes.to_string()).unwrap();
    }

    fn enter(&self) -> String {
        let into = |one: &PathBuf| format!("echo $$ > {}/cgroup.procs", one.display());
        self.0.iter().map(into).collect::<Vec<_>>().join(" && ")
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        for directory in &self.0 {
            for _ in 0..500 {
                if fs::remove_dir(directory).is_ok() {
                    break;
                }
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
}

#[tokio::test]
async fn a_task_is_told_that_the_memory_of_its_container_was_short() {
    let Some(groups) = Groups::of("short") else { return };
    groups.limit(96 << 20);
    let Some(pod) = Pod::start_after(&groups.enter(), &["maven"]).await else { return };
    let mut controller = Controller::start().await;
    let agent = pod.agent(&controller);
    let mut connection = controller.connection().await;
    let task =
        Task::new(&pod.path("work"), "1", "head -c 300m /dev/zero | tail -c 300m > /dev/null\n");
    task.start_with(&mut connection, 10, &IN_MAVEN).await;
    eventually("the task is over", || task.status().is_some()).await;
    task.check(&mut connection, 11).await;
    let log = task.log();
    assert!(
        log.contains("[pilotfish] The kernel ended 1 process(es) of this container for memory"),
        "{log}"
    );
    assert!(log.contains("its limit is 96 MiB"), "{log}");
    drop(connection);
    stop(agent).await;
}

/// Some memory and some processor time.
const WORKS: &str = "head -c 60m /dev/zero | tail -c 60m > /dev/null\n";

fn reports(bridge: &Service) -> Vec<serde_json::Value> {
    let bodies = bridge.requests().into_iter().filter(|(head, _)| head.contains("/v1/usage "));
    bodies
        .flat_map(|(_, body)| {
            let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
            body["reports"].as_array().unwrap().clone()
        })
        .collect()
}

#[tokio::test]
async fn the_bridge_is_told_what_a_stage_used() {
    let Some(groups) = Groups::of("usage") else { return };
    let Some(pod) = Pod::start_after(&groups.enter(), &["maven"]).await else { return };
    let bridge = Service::start("204 No Content").await;
    let mut controller = Controller::start().await;
    let more =
        ["--bridge-url", &bridge.url, "--bridge-token", "pfb_x", "--bridge-controller", "main"];
    let agent = pod.agent_with(&controller, &more);
    let mut connection = controller.connection().await;
    let task = Task::new(&pod.path("work"), "1", WORKS);
    task.start_with(&mut connection, 10, &IN_MAVEN).await;
    eventually("the task is over", || task.status().is_some()).await;
    task.check(&mut connection, 11).await;
    eventually("the bridge is told", || reports(&bridge).len() == 1).await;
    let report = reports(&bridge).remove(0);
    assert_eq!(
        ["build", "stage", "container"].map(|name| report[name].as_str().unwrap()),
        ["main/p#7", "compile", "maven"]
    );
    let peak = report["peak_memory_bytes"].as_u64().unwrap();
    assert!((60 << 20..400 << 20).contains(&peak), "{report}");
    let (seconds, cpu) =
        (report["seconds"].as_f64().unwrap(), report["cpu_seconds"].as_f64().unwrap());
    assert!(seconds > 0.0 && cpu > 0.0 && cpu < 10.0, "{report}");
    assert_eq!(report["shared"], false);

    // Two stages at the same time: one is ended by an event of the other.
    let both = ["a", "b"].map(|name| {
        let other = pod.path(if name == "a" { "b" } else { "a" });
        let own = pod.path(name);
        let script = format!(
            "touch {}; while [ ! -f {} ]; do sleep 0.05; done",
            own.display(),
            other.display()
        );
        Task::new(&pod.path("work"), name, &script)
    });
    for (id, task, stage) in [(20, &both[0], "unit"), (21, &both[1], "lint")] {
        let stage = format!("PILOTFISH_STAGE={stage}");
        let environment = [&IN_MAVEN[..4], &[stage.as_str()]].concat();
        task.start_with(&mut connection, id, &environment).await;
    }
    for (id, task) in [(30, &both[0]), (31, &both[1])] {
        eventually("it is over", || task.status().is_some()).await;
        task.check(&mut connection, id).await;
    }
    // Without waiting for more: the agent that ends tells what it has.
    drop(connection);
    stop(agent).await;
    let reports = reports(&bridge);
    assert_eq!(reports.len(), 3, "{reports:?}");
    assert!(reports[1..].iter().all(|report| report["shared"] == true), "{reports:?}");
}
