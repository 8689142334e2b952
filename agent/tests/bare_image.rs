//! The real agent where there are only the programs that a Pipeline's `sh` cannot do without.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use support::agent::{Agent, options};
use support::controller::Controller;
use support::eventually;
use support::task::Task;

#[tokio::test]
async fn a_durable_task_runs_without_nohup() {
    let root = tempfile::tempdir().unwrap();
    let programs = root.path().join("bin");
    fs::create_dir(&programs).unwrap();
    for name in ["sh", "touch", "sleep", "mv"] {
        symlink(Path::new("/bin").join(name), programs.join(name)).unwrap();
    }
    let mut controller = Controller::start().await;
    let mut command = tokio::process::Command::new("env");
    command
        .arg(format!("PATH={}", programs.display()))
        .arg(env!("CARGO_BIN_EXE_pilotfish-agent"))
        .args(options(&controller.url));
    let agent = Agent::spawn(command);
    let mut connection = controller.connection().await;
    let task = Task::new(root.path(), "1", "echo hello; exit 3");
    task.start(&mut connection, 10).await;
    eventually("the task is over", || task.status().is_some()).await;
    assert_eq!(task.status().as_deref(), Some("3\n"), "{}", task.log());
    assert!(task.log().ends_with("hello\n+ exit 3\n"), "{}", task.log());
    drop(connection);
    agent.stop().await;
}
