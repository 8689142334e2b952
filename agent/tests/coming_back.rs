//! The real agent loses its connection, or its life, and comes back.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use rustix::process::Signal;

use support::agent::Agent;
use support::controller::{COOKIE, Controller, page};

fn start(controller: &Controller, work: &Path) -> Agent {
    Agent::start_in(&controller.url, &["-workDir", work.to_str().unwrap()])
}

fn cookie_file(work: &Path) -> PathBuf {
    let entries = fs::read_dir(work.join("remoting")).unwrap();
    let mut found = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "cookie"));
    let file = found.next().unwrap();
    assert!(found.next().is_none());
    file
}

#[tokio::test]
async fn after_a_kill_the_next_process_shows_the_cookie_of_the_last() {
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut agent = start(&controller, work.path());
    let first = controller.upgrade().await;
    assert_eq!(first.header("Connection-Cookie"), None);
    let mut connection = first.accept().await;
    agent.says("Connected").await;
    connection.exchange().await;
    agent.signal(Signal::KILL);
    let (code, log) = agent.end().await;
    assert_eq!(code, None, "{log}");
    assert!(!log.contains(COOKIE), "{log}");
    let file = cookie_file(work.path());
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);

    let agent = start(&controller, work.path());
    let second = controller.upgrade().await;
    assert_eq!(second.header("Connection-Cookie"), Some(COOKIE));
    let mut connection = second.accept().await;
    connection.exchange().await;
    let log = agent.stop().await;
    assert!(!log.contains(COOKIE), "{log}");
}

#[tokio::test]
async fn a_damaged_cookie_is_not_shown_and_said_to_be() {
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut agent = start(&controller, work.path());
    let _connection = controller.connection().await;
    agent.says("Connected").await;
    agent.signal(Signal::KILL);
    agent.end().await;
    let file = cookie_file(work.path());
    let whole = fs::read(&file).unwrap();
    fs::write(&file, &whole[..whole.len() - 3]).unwrap();

    let mut agent = start(&controller, work.path());
    agent.says("it is not used: it is cut short").await;
    let upgrade = controller.upgrade().await;
    assert_eq!(upgrade.header("Connection-Cookie"), None);
    let _connection = upgrade.accept().await;
    agent.says("Connected").await;
    agent.stop().await;
    assert_eq!(fs::read(&file).unwrap(), whole, "the new connection's is kept");
}

#[tokio::test]
async fn two_agents_of_one_node_do_not_throw_each_other_out() {
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut first = start(&controller, work.path());
    let mut connection = controller.connection().await;
    first.says("Connected").await;
    let mut second = start(&controller, work.path());
    second.says("another agent of this node uses this work directory").await;
    let upgrade = controller.upgrade().await;
    assert_eq!(upgrade.header("Connection-Cookie"), None);
    upgrade.refuse(&page("400 Bad Request", "", "")).await;
    second.says("Failed to connect: ").await;
    second.stop().await;
    connection.exchange().await;
    first.stop().await;
}

#[tokio::test]
async fn a_cookie_that_the_controller_chokes_on_is_dropped() {
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mut agent = start(&controller, work.path());
    let connection = controller.connection().await;
    agent.says("Connected").await;
    drop(connection);
    agent.says("connecting again").await;
    let upgrade = controller.upgrade().await;
    assert_eq!(upgrade.header("Connection-Cookie"), Some(COOKIE));
    upgrade.refuse(&page("500 Server Error", "", "")).await;
    let upgrade = controller.upgrade().await;
    assert_eq!(upgrade.header("Connection-Cookie"), None);
    let mut connection = upgrade.accept().await;
    connection.exchange().await;
    agent.stop().await;
}
