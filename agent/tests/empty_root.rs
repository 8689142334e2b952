//! The real binary in a root directory that holds nothing else: no libc, no /etc, no /proc, no /dev.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]
#![expect(clippy::print_stderr, reason = "whoever runs the tests must see what was left out")]

mod support;

use std::fs;
use std::path::Path;

use support::agent::{Agent, options};
use support::controller::Controller;
use tokio::process::Command;

/// The program's path, as seen from inside.
const PROGRAM: &str = "/pilotfish-agent";

/// The commands that may change the root directory: for the superuser, and for anyone else.
const WAYS: [&[&str]; 2] = [&["chroot"], &["unshare", "--user", "--map-root-user", "chroot"]];

/// Starts the agent in an empty root; `None` where this machine does not permit it.
fn start(root: &Path, url: &str, more: &[&str]) -> Option<Agent> {
    fs::copy(env!("CARGO_BIN_EXE_pilotfish-agent"), root.join(&PROGRAM[1..])).unwrap();
    assert_eq!(fs::read_dir(root).unwrap().count(), 1);
    let command = |way: &[&str]| {
        let (program, arguments) = way.split_first().unwrap();
        let mut command = std::process::Command::new(program);
        command.args(arguments).arg(root).arg(PROGRAM);
        command
    };
    let works = |way: &&&[&str]| {
        command(way).arg("-version").output().is_ok_and(|output| output.status.success())
    };
    let Some(way) = WAYS.iter().find(works) else {
        let output = command(WAYS[1]).arg("-version").output();
        // A binary that needs a loader ends here, too, so nothing may be skipped where it counts.
        assert!(std::env::var_os("CI").is_none(), "the agent does not run in a chroot: {output:?}");
        eprintln!("skipped: this user may not use chroot, nor user namespaces");
        return None;
    };
    let mut command = command(way);
    command.args(options(url)).args(more);
    Some(Agent::spawn(Command::from(command)))
}

async fn connects(mut controller: Controller, more: &[&str]) -> Option<String> {
    let root = tempfile::tempdir().unwrap();
    let mut agent = start(root.path(), &controller.url, more)?;
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    connection.exchange().await;
    connection.close(1000, "").await;
    drop(connection);
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
    Some(log)
}

#[tokio::test]
async fn over_http() {
    connects(Controller::start().await, &["-noReconnect"]).await;
}

#[tokio::test]
async fn over_http_with_a_work_directory() {
    connects(Controller::start().await, &["-noReconnect", "-workDir", "/work"]).await;
}

#[tokio::test]
async fn over_https() {
    let (controller, certificate) = Controller::start_with_tls().await;
    assert!(controller.url.starts_with("https://localhost:"));
    if let Some(log) = connects(controller, &["-noReconnect", "-cert", &certificate]).await {
        assert!(log.contains("given with -cert"), "{log}");
    }
}

#[tokio::test]
async fn over_https_with_another_certificate() {
    let (mut controller, _) = Controller::start_with_tls().await;
    let (_, other) = Controller::start_with_tls().await;
    let root = tempfile::tempdir().unwrap();
    let more = ["-cert", &other, "-noReconnectAfter", "1s"];
    let Some(mut agent) = start(root.path(), &controller.url, &more) else { return };
    agent.says("login is not ready").await;
    agent.says("the certificate is signed by an unknown authority; give it with -cert").await;
    agent.says("Bailing out after 1 seconds").await;
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
    assert!(!log.contains("Connected"), "{log}");
    assert!(controller.pending_upgrade().is_none());
}
