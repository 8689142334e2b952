//! Machines on which builds would fail, made with mount namespaces and other users.

use std::path::Path;
use std::process::Stdio;

use tokio::process::Command;

use crate::support::agent::{Agent, SECRET, options};
use crate::support::controller::{Controller, page};
use crate::support::within;

const PROGRAM: &str = env!("CARGO_BIN_EXE_pilotfish-agent");

/// A shell that may mount; `None` where this machine does not permit it.
fn mounting(script: &str) -> Option<Command> {
    const WAYS: [&[&str]; 2] = [&["--mount"], &["--user", "--map-root-user", "--mount"]];
    let works = |way: &&&[&str]| {
        let mut test = std::process::Command::new("unshare");
        let directory = tempfile::tempdir().unwrap();
        test.args(**way).args(["mount", "-t", "tmpfs", "none"]).arg(directory.path());
        test.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    let Some(way) = WAYS.iter().find(works) else {
        eprintln!("SKIPPED: this user may not mount");
        return None;
    };
    let mut command = Command::new("unshare");
    command.args(*way).args(["sh", "-c", script, "sh", PROGRAM]);
    Some(command)
}

/// Starts the agent with a work directory that the script prepares, and waits for its end.
async fn ends(script: &str, work: &Path) -> Option<(Option<i32>, String)> {
    let mut command = mounting(&format!("{script} && exec \"$@\""))?;
    command.args(options("http://127.0.0.1:9/")).arg("-workDir").arg(work).env("WORK", work);
    let output = within("the end of the agent", command.kill_on_drop(true).output()).await.unwrap();
    let log = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!log.contains(SECRET), "{log}");
    Some((output.status.code(), log))
}

#[tokio::test]
async fn a_read_only_work_directory_ends_it() {
    let work = tempfile::tempdir().unwrap();
    std::fs::create_dir(work.path().join("remoting")).unwrap();
    for read_only in [
        "mount -t tmpfs -o ro none \"$WORK\"",
        "mount --bind \"$WORK\" \"$WORK\" && mount -o remount,bind,ro \"$WORK\"",
    ] {
        let Some((code, log)) = ends(read_only, work.path()).await else { return };
        assert_eq!(code, Some(1), "{log}");
        assert!(
            log.contains(&format!(
                "SEVERE: {} is on a read-only file system: mount a writable volume there",
                work.path().display()
            )),
            "{log}"
        );
        assert_eq!(log.lines().filter(|line| line.contains("SEVERE")).count(), 1, "{log}");
    }
}

#[tokio::test]
async fn a_directory_of_another_user_ends_it() {
    if !rustix::process::geteuid().is_root() {
        eprintln!("SKIPPED: only the superuser can become another");
        return;
    }
    let work = tempfile::tempdir().unwrap();
    // The program must be reachable for a user without an entry in the list of users.
    let place = tempfile::tempdir().unwrap();
    let program = place.path().join("agent");
    std::fs::copy(PROGRAM, &program).unwrap();
    for path in [place.path(), &program] {
        std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .unwrap();
    }
    std::fs::set_permissions(work.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755))
        .unwrap();
    let mut command = Command::new(&program);
    command
        .args(options("http://127.0.0.1:9/"))
        .arg("-workDir")
        .arg(work.path())
        .uid(54321)
        .gid(54321);
    let output = within("the end", command.kill_on_drop(true).output()).await.unwrap();
    let log = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{log}");
    let expected = format!(
        "{} cannot be written by user 54321, as it belongs to user 0",
        work.path().display()
    );
    assert!(log.contains(&expected), "{log}");
    // Its own files are fine, those of others in it are told.
    std::os::unix::fs::chown(work.path(), Some(54321), None).unwrap();
    std::fs::create_dir_all(work.path().join("workspace/p")).unwrap();
    let mut controller = Controller::start().await;
    let mut command = Command::new(&program);
    command.args(options(&controller.url)).arg("-workDir").arg(work.path()).uid(54321).gid(54321);
    let mut agent = Agent::spawn(command);
    agent.says("workspace and 1 more cannot be changed by user 54321, as user 0 made it").await;
    let connection = controller.connection().await;
    agent.says("Connected").await;
    drop(connection);
    agent.signal(rustix::process::Signal::KILL);
}

#[tokio::test]
async fn a_full_disk_is_told_and_the_agent_goes_on() {
    let work = tempfile::tempdir().unwrap();
    for (fill, said) in [
        (
            "mount -t tmpfs -o size=4m none \"$WORK\" && mkdir -p \"$WORK/remoting/jarCache\" \"$WORK/remoting/logs\" && \
             head -c 3900000 /dev/zero > \"$WORK/big\"",
            " has 0 MiB left: remove old workspaces",
        ),
        (
            "mount -t tmpfs -o nr_inodes=100 none \"$WORK\" && mkdir -p \"$WORK/remoting/jarCache\" \"$WORK/remoting/logs\" && \
             i=0 && while [ $i -lt 90 ]; do : > \"$WORK/$i\"; i=$((i+1)); done",
            " inodes left, so no files can be made",
        ),
    ] {
        let mut controller = Controller::start().await;
        let Some(mut command) = mounting(&format!("{fill} && exec \"$@\"")) else { return };
        command.args(options(&controller.url)).arg("-workDir").arg(work.path());
        // The environment is cleared when the agent is started.
        let mut with_work = Command::new("env");
        with_work
            .arg(format!("WORK={}", work.path().display()))
            .arg(command.as_std().get_program());
        with_work.args(command.as_std().get_args());
        let mut agent = Agent::spawn(with_work);
        agent.says(said).await;
        let connection = controller.connection().await;
        agent.says("Connected").await;
        drop(connection);
        agent.stop().await;
    }
}

#[tokio::test]
async fn a_clock_that_is_far_off_is_told_once() {
    let mut controller = Controller::start().await;
    let date = "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n";
    controller.answer_login(page("503 Service Unavailable", date, "starting"));
    controller.answer_login(page("200 OK", date, ""));
    let mut agent = Agent::start(&controller.url, &[]);
    agent.says("days ahead of the controller's: set it").await;
    let connection = controller.connection().await;
    agent.says("Connected").await;
    drop(connection);
    let log = agent.stop().await;
    assert_eq!(log.matches("this machine's clock").count(), 1, "{log}");
}

#[tokio::test]
async fn a_name_without_an_address_is_tried_again() {
    // RFC 2606: it never exists.
    let mut agent = Agent::start("http://controller.invalid:8080/", &["-noReconnectAfter", "2s"]);
    agent.says("cannot find the address of controller.invalid").await;
    agent.says("check the name and this machine's DNS").await;
    agent.says("before retry").await;
    agent.says("Bailing out after 2 seconds").await;
    let (code, log) = agent.end().await;
    assert_eq!(code, Some(0), "{log}");
}

#[tokio::test]
async fn an_unwritable_tmp_is_told() {
    let work = tempfile::tempdir().unwrap();
    let mut controller = Controller::start().await;
    let mounts = format!(
        "mount --bind /tmp /tmp && mount -o remount,bind,ro /tmp && mount -t tmpfs none {} && exec \"$@\"",
        work.path().display()
    );
    let Some(mut command) = mounting(&mounts) else { return };
    command.args(options(&controller.url)).arg("-workDir").arg(work.path());
    let mut agent = Agent::spawn(command);
    agent.says("/tmp is on a read-only file system: mount a writable volume").await;
    let connection = controller.connection().await;
    agent.says("Connected").await;
    drop(connection);
    agent.stop().await;
}
