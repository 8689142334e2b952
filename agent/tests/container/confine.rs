//! `--confine`: the controller's file operations stay in the work directory, its launches go on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use jenkins_remoting::command::Outcome;

use crate::support::agent::Agent;
use crate::support::callables as make;
use crate::support::commands::user_request;
use crate::support::connection::Connection;
use crate::support::controller::Controller;

/// Families of callables of which every one works on the file that it comes with.
const ON_FILES: [&str; 8] = [
    "files: attributes",
    "files: contents",
    "files: directories",
    "files: archives",
    "durable task, polled",
    "durable task, pushed",
    "artefacts and fingerprints",
    "tool installers",
];

/// Those of them that come without a file.
const NOT_ON_FILES: [&str; 1] = [
    "org.jenkinsci.plugins.durabletask.FileMonitoringTask$FileMonitoringController$TranscodingCharsetForSystemDefault",
];

fn file_callables() -> Vec<String> {
    let table = pilotfish_agent::run::callables();
    let mut wanted = false;
    let mut classes = Vec::new();
    for line in table.lines() {
        match line.strip_prefix("  ") {
            None => wanted = ON_FILES.contains(&line) || line == "workspace",
            Some(class) if wanted && !NOT_ON_FILES.contains(&class) => {
                classes.push(class.to_owned());
            }
            Some(_) => {}
        }
    }
    assert!(classes.len() > 50, "{classes:?}");
    classes
}

struct Confined {
    _root: tempfile::TempDir,
    work: PathBuf,
    outside: PathBuf,
    agent: Agent,
    connection: Connection,
    _controller: Controller,
    next: i32,
}

impl Confined {
    async fn start(allow_outside: bool) -> Self {
        let root = tempfile::tempdir().unwrap();
        let base = fs::canonicalize(root.path()).unwrap();
        let (work, outside) = (base.join("work"), base.join("outside"));
        fs::create_dir_all(work.join("ws")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("secret"), "secret").unwrap();
        fs::write(work.join("ws/file"), "file").unwrap();
        symlink(&outside, work.join("ws/link")).unwrap();
        let mut controller = Controller::start().await;
        let (work_text, outside_text) = (text(&work), text(&outside));
        let mut options = vec!["--confine", "-workDir", &work_text];
        if allow_outside {
            options.extend(["--confine-allow", &outside_text]);
        }
        let mut agent = Agent::start_in(&controller.url, &options);
        agent.says("File operations of the controller are confined to ").await;
        let connection = controller.connection().await;
        agent.says("Connected").await;
        let _controller = controller;
        Self { _root: root, work, outside, agent, connection, _controller, next: 1000 }
    }

    async fn request(&mut self, payload: &[u8]) -> Outcome {
        self.next += 1;
        self.connection.send(&user_request(self.next, payload)).await;
        self.connection.answer(self.next).await
    }

    async fn refused(&mut self, what: &str, payload: &[u8]) {
        match self.request(payload).await {
            Outcome::Thrown { message } => assert!(
                message.contains("AccessDeniedException")
                    && message.contains("started with --confine"),
                "{what}: {message}"
            ),
            other => panic!("{what} was not refused: {other:?}"),
        }
    }

    async fn done(&mut self, what: &str, payload: &[u8]) {
        let outcome = self.request(payload).await;
        assert!(matches!(outcome, Outcome::Value(_)), "{what}: {outcome:?}");
    }

    async fn stop(self) {
        assert_eq!(fs::read(self.outside.join("secret")).unwrap(), b"secret");
        drop(self.connection);
        self.agent.stop().await;
    }
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

#[tokio::test]
async fn every_file_callable_refuses_what_is_outside() {
    let mut confined = Confined::start(false).await;
    let ways = [
        text(&confined.outside.join("secret")),
        text(&confined.work.join("ws/link/secret")),
        text(&confined.work.join("ws/../../outside/secret")),
    ];
    for class in file_callables() {
        for path in &ways {
            confined.refused(&format!("{class} of {path}"), &make::on_file(&class, path)).await;
        }
    }
    confined.stop().await;
}

#[tokio::test]
async fn inside_everything_works_and_processes_are_not_limited() {
    let mut confined = Confined::start(false).await;
    let (ws, outside) = (confined.work.join("ws"), confined.outside.clone());
    let (file, new, moved) = (ws.join("file"), ws.join("new"), ws.join("sub/moved"));
    confined.done("write", &make::write(&text(&new), "hello")).await;
    assert_eq!(fs::read(&new).unwrap(), b"hello");
    fs::create_dir(ws.join("sub")).unwrap();
    confined.done("rename", &make::rename(&text(&new), &text(&moved))).await;
    assert_eq!(fs::read(&moved).unwrap(), b"hello");
    confined.done("exists", &make::on_file("hudson.FilePath$Exists", &text(&file))).await;
    // The script of a freestyle build.
    confined.done("temporary file", &make::temporary_file(&text(&ws))).await;
    assert_eq!(fs::read_dir(confined.work.join("remoting/tmp")).unwrap().count(), 1);

    confined.refused("rename out", &make::rename(&text(&file), &text(&outside.join("file")))).await;
    confined
        .refused("rename in", &make::rename(&text(&outside.join("secret")), &text(&ws.join("x"))))
        .await;
    let through = text(&ws.join("link/file"));
    confined.refused("rename through a link", &make::rename(&text(&file), &through)).await;
    assert!(file.exists() && !ws.join("x").exists());
    // The link itself may go.
    let link = ws.join("link");
    confined
        .done("delete a link", &make::on_file("hudson.FilePath$DeleteRecursive", &text(&link)))
        .await;
    assert!(fs::symlink_metadata(&link).is_err());

    let script = format!("cp {} {}", text(&outside.join("secret")), text(&ws.join("copied")));
    confined.done("launch", &make::launch(&["sh", "-c", &script], &[], "/")).await;
    crate::support::eventually("a launched process reads what the agent's user may", || {
        fs::read(ws.join("copied")).is_ok_and(|read| read == b"secret")
    })
    .await;
    confined.stop().await;
}

#[tokio::test]
async fn named_directories_are_allowed() {
    let mut confined = Confined::start(true).await;
    let file = confined.outside.join("new");
    confined.done("write", &make::write(&text(&file), "hello")).await;
    confined
        .done("by a link", &make::write(&text(&confined.work.join("ws/link/other")), "x"))
        .await;
    assert_eq!(fs::read(&file).unwrap(), b"hello");
    confined.refused("elsewhere", &make::write("/etc/pilotfish", "x")).await;
    confined.stop().await;
}
