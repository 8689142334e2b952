//! The real agent is told to stop while builds run.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use jenkins_remoting::command::{Command, Outcome};
use rustix::process::Signal;

use support::agent::Agent;
use support::callables as make;
use support::commands::user_request;
use support::connection::Connection;
use support::controller::Controller;
use support::eventually;
use support::service::Service;

/// A step of the build `p #7` as the durable-task plugin starts it; it lasts until [`Step::finish`].
struct Step {
    control: PathBuf,
    go: PathBuf,
}

impl Step {
    async fn start(work: &Path, connection: &mut Connection, id: i32) -> Self {
        let control = work.join("ws@tmp/durable-1");
        fs::create_dir_all(&control).unwrap();
        let step = Self { go: work.join("go"), control };
        let (d, go) = (step.control.display(), step.go.display());
        let script = format!(
            "({{ while [ ! -e '{go}' -a -d '{d}' ]; do sleep 0.02; done; echo done; }} \
             > '{d}/jenkins-log.txt' 2>&1; echo 0 > '{d}/jenkins-result.txt') >&- 2>&- &"
        );
        connection.send(&launch(id, "p", 7, &["sh", "-c", &script])).await;
        let answer = connection.answer(id).await;
        assert!(matches!(answer, Outcome::Value(_)), "{answer:?}");
        eventually("the step begins", || step.control.join("jenkins-log.txt").exists()).await;
        step
    }

    fn log(&self) -> String {
        fs::read_to_string(self.control.join("jenkins-log.txt")).unwrap()
    }

    /// Lets it end, and asks for its exit status as the controller does.
    async fn finish(&self, connection: &mut Connection, id: i32) {
        fs::write(&self.go, "").unwrap();
        let result = self.control.join("jenkins-result.txt");
        eventually("the exit status", || {
            fs::read_to_string(&result).is_ok_and(|status| status == "0\n")
        })
        .await;
        let class = "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$StatusCheck";
        let request = make::on_file(class, result.to_str().unwrap());
        connection.send(&user_request(id, &request)).await;
        let answer = connection.answer(id).await;
        assert!(matches!(answer, Outcome::Value(_)), "{answer:?}");
    }
}

impl Drop for Step {
    /// Its process sees that its directory is gone.
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.control);
    }
}

fn launch(id: i32, job: &str, number: u32, command: &[&str]) -> Vec<u8> {
    let cookie = node_cookie(job, number);
    let environment = [
        format!("JOB_NAME={job}"),
        format!("BUILD_NUMBER={number}"),
        format!("JENKINS_NODE_COOKIE={cookie}"),
    ];
    let environment: Vec<&str> = environment.iter().map(String::as_str).collect();
    user_request(id, &make::launch(command, &environment, "/"))
}

/// Names the `node` block of a build; no process of another test has it.
fn node_cookie(job: &str, number: u32) -> String {
    let test = std::thread::current().name().unwrap_or_default().to_owned();
    format!("{test}-{}-{job}-{number}", std::process::id())
}

async fn connected(agent: &mut Agent, controller: &mut Controller) -> Connection {
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    connection.exchange().await;
    connection
}

fn start(controller: &Controller, work: &Path, more: &[&str]) -> Agent {
    let mut options = vec!["-workDir", work.to_str().unwrap()];
    options.extend(more);
    Agent::start_in(&controller.url, &options)
}

#[tokio::test]
async fn the_builds_that_run_come_to_their_end_and_others_are_refused() {
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut agent = start(&controller, work.path(), &["--drain-timeout", "10m"]);
    let mut connection = connected(&mut agent, &mut controller).await;
    let step = Step::start(work.path(), &mut connection, 1001).await;
    agent.signal(Signal::TERM);
    agent.says("Draining: ").await;

    connection.send(&launch(1002, "q", 1, &["true"])).await;
    let refusal = connection.refusal(1002).await;
    assert!(refusal.contains("draining") && refusal.contains("Run the build again"), "{refusal}");
    connection.send(&launch(1003, "p", 7, &["true"])).await;
    let answer = connection.answer(1003).await;
    assert!(matches!(answer, Outcome::Value(_)), "the build goes on: {answer:?}");

    // The controller hangs up and comes back meanwhile.
    drop(connection);
    agent.says("connecting again").await;
    let mut connection = connected(&mut agent, &mut controller).await;
    connection.send(&launch(1004, "q", 2, &["true"])).await;
    assert!(connection.refusal(1004).await.contains("draining"));

    step.finish(&mut connection, 1005).await;
    // Between two steps nothing of the build runs.
    connection.send(&launch(1006, "p", 7, &["true"])).await;
    let answer = connection.answer(1006).await;
    assert!(matches!(answer, Outcome::Value(_)), "the next step: {answer:?}");
    let end_of_node = make::kill("JENKINS_NODE_COOKIE", &node_cookie("p", 7));
    connection.send(&user_request(1007, &end_of_node)).await;
    let answer = connection.answer(1007).await;
    assert!(matches!(answer, Outcome::Value(_)), "{answer:?}");
    agent.says("Drained").await;
    let goodbye = connection.command().await;
    assert!(matches!(goodbye, Some(Command::Close { .. })), "{goodbye:?}");
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
    assert_eq!(step.log(), "done\n", "nothing was interrupted");
}

#[tokio::test]
async fn builds_that_do_not_end_in_time_are_told() {
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut agent = start(&controller, work.path(), &["--drain-timeout", "3s"]);
    let mut connection = connected(&mut agent, &mut controller).await;
    let step = Step::start(work.path(), &mut connection, 1001).await;
    agent.signal(Signal::TERM);
    agent.says("the time to drain is over; interrupted: p #7").await;
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(3), "{log}");
    let told = step.log();
    assert!(told.contains("told to stop (SIGTERM)") && told.contains("--drain-timeout"), "{told}");
}

#[tokio::test]
async fn a_second_signal_ends_the_agent_at_once() {
    for second in [Signal::TERM, Signal::INT] {
        let work = tempfile::tempdir().unwrap();
        let mut controller = Controller::start().await;
        let mut agent = start(&controller, work.path(), &["--drain-timeout", "10m"]);
        let mut connection = connected(&mut agent, &mut controller).await;
        let _step = Step::start(work.path(), &mut connection, 1001).await;
        agent.signal(Signal::TERM);
        agent.says("Draining: ").await;
        agent.signal(second);
        let (code, log) = agent.end().await;
        assert_eq!(code, Some(4), "{log}");
        assert!(log.contains("interrupted: p #7"), "{log}");
    }
}

/// SIGINT is for people at a terminal.
#[tokio::test]
async fn an_interrupt_does_not_wait_for_builds() {
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut agent = start(&controller, work.path(), &["--drain-timeout", "10m"]);
    let mut connection = connected(&mut agent, &mut controller).await;
    let _step = Step::start(work.path(), &mut connection, 1001).await;
    agent.signal(Signal::INT);
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("Draining"), "{log}");
}

#[tokio::test]
async fn the_bridge_is_asked_to_send_no_more_builds() {
    const TOKEN: &str = "pfb_0123456789abcdef";
    for (status, said) in [
        ("200 OK", "the bridge has taken this node out"),
        (
            "403 Forbidden",
            "has not taken this node out, so that the agent itself refuses new builds",
        ),
    ] {
        let work = tempfile::tempdir().unwrap();
        let bridge = Service::start(status).await;
        let mut controller = Controller::start().await;
        let options = [
            ["--drain-timeout", "10m"],
            ["--bridge-url", &bridge.url],
            ["--bridge-token", TOKEN],
            ["--bridge-controller", "main"],
        ];
        let mut agent = start(&controller, work.path(), options.as_flattened());
        let mut connection = connected(&mut agent, &mut controller).await;
        eventually("the question at the start", || bridge.requests().len() == 1).await;
        // Another connection of the same process is no return.
        drop(connection);
        agent.says("connecting again").await;
        connection = connected(&mut agent, &mut controller).await;
        let step = Step::start(work.path(), &mut connection, 1001).await;
        agent.signal(Signal::TERM);
        agent.says("Draining: ").await;
        agent.says(said).await;
        connection.send(&launch(1002, "q", 1, &["true"])).await;
        assert!(connection.refusal(1002).await.contains("draining"));
        step.finish(&mut connection, 1003).await;
        let end_of_node = make::kill("JENKINS_NODE_COOKIE", &node_cookie("p", 7));
        connection.send(&user_request(1004, &end_of_node)).await;
        let (code, log) = agent.end().await;
        assert_eq!(code, Some(0), "{log}");
        assert!(!log.contains(TOKEN), "{log}");

        let requests = bridge.requests();
        let [(back, undo), (out, reason)] = requests.as_slice() else { panic!("{requests:?}") };
        assert!(back.starts_with("POST /base/v1/nodes/online HTTP/1.1\r\n"), "{back}");
        assert!(out.starts_with("POST /base/v1/nodes/offline HTTP/1.1\r\n"), "{out}");
        assert!(out.contains(&format!("Authorization: Bearer {TOKEN}\r\n")), "{out}");
        let read = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).unwrap();
        let node = serde_json::json!({"controller": "main", "node": support::agent::NODE});
        assert_eq!(read(undo), node);
        let mut told = read(reason);
        let why = told.as_object_mut().unwrap().remove("reason").unwrap();
        assert!(why.as_str().unwrap().contains("SIGTERM"), "{why}");
        assert_eq!(told, node);
    }
}
