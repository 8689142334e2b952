//! PID 1 of a real process namespace: orphans are reaped, signals are handled.

use std::path::Path;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use crate::support::agent::{Agent, options};
use crate::support::callables as make;
use crate::support::commands::user_request;
use crate::support::controller::Controller;
use crate::support::{eventually, within};

const UNSHARE: [&[&str]; 2] = [
    &["--pid", "--fork", "--kill-child", "--mount-proc"],
    &["--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--mount-proc"],
];

/// A command that makes what follows PID 1 of a namespace; `None` where this machine does not permit it.
fn namespace() -> Option<Command> {
    let command = |way: &[&str]| {
        let mut command = std::process::Command::new("unshare");
        command.args(way);
        command
    };
    let works = |way: &&&[&str]| {
        command(way)
            .args(["sh", "-c", "test $$ = 1"])
            .output()
            .is_ok_and(|output| output.status.success())
    };
    let Some(way) = UNSHARE.iter().find(works) else {
        eprintln!("SKIPPED: this user may not make process namespaces");
        return None;
    };
    Some(Command::from(command(way)))
}

/// The only child of `unshare`: PID 1 of the namespace, by its number outside.
fn inside(unshare: u32) -> Option<Pid> {
    let path = format!("/proc/{unshare}/task/{unshare}/children");
    let children = std::fs::read_to_string(path).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

const PROGRAM: &str = env!("CARGO_BIN_EXE_pilotfish-agent");

/// Runs a script as the only argument of a PID 1, and gives the process and its output so far.
async fn as_init(script: &Path) -> Option<tokio::process::Child> {
    let mut command = namespace()?;
    command.arg(PROGRAM).arg(script).stdout(Stdio::piped()).stdin(Stdio::null()).kill_on_drop(true);
    Some(command.spawn().unwrap())
}

fn script(directory: &Path, text: &str) -> std::path::PathBuf {
    use std::os::unix::fs::PermissionsExt as _;
    let path = directory.join("script");
    // Written elsewhere first: a file that is open for writing cannot be run.
    std::fs::write(directory.join("new"), format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::rename(directory.join("new"), &path).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

async fn line(output: &mut (impl tokio::io::AsyncBufRead + Unpin)) -> String {
    use tokio::io::AsyncBufReadExt as _;
    let mut line = String::new();
    within("a line", output.read_line(&mut line)).await.unwrap();
    line.trim().to_owned()
}

#[tokio::test]
async fn a_command_is_not_pid_1_its_orphans_are_reaped_and_its_exit_code_is_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let text = "echo $$ $PPID; for i in 1 2 3 4 5 6 7 8 9; do (sleep 0.0$i &) ; done
        i=0; while grep -l '^PPid:.1$' /proc/[0-9]*/status | grep -qv \"/proc/$$/\" && [ $i -lt 400 ]
        do sleep 0.05; i=$((i+1)); done
        grep -h '^State:' /proc/[0-9]*/status | grep -c Z; exit 42";
    let Some(mut child) = as_init(&script(directory.path(), text)).await else { return };
    let mut output = tokio::io::BufReader::new(child.stdout.take().unwrap());
    let numbers = line(&mut output).await;
    assert!(numbers.ends_with(" 1") && numbers != "1 1", "{numbers}");
    assert_eq!(line(&mut output).await, "0", "zombies are left");
    assert_eq!(within("the end", child.wait()).await.unwrap().code(), Some(42));
}

#[tokio::test]
async fn signals_reach_the_command_and_how_it_ended_is_passed_on() {
    let directory = tempfile::tempdir().unwrap();
    let text = "for s in HUP USR1 USR2 QUIT WINCH; do trap \"echo $s\" $s; done; trap 'echo TERM; kill -9 $$' TERM
        echo ready; while :; do sleep 0.02; done";
    let Some(mut child) = as_init(&script(directory.path(), text)).await else { return };
    let mut output = tokio::io::BufReader::new(child.stdout.take().unwrap());
    assert_eq!(line(&mut output).await, "ready");
    let init = inside(child.id().unwrap()).unwrap();
    for (signal, name) in [
        (Signal::HUP, "HUP"),
        (Signal::USR1, "USR1"),
        (Signal::USR2, "USR2"),
        (Signal::QUIT, "QUIT"),
        (Signal::WINCH, "WINCH"),
        (Signal::TERM, "TERM"),
    ] {
        kill_process(init, signal).unwrap();
        assert_eq!(line(&mut output).await, name);
    }
    assert_eq!(within("the end", child.wait()).await.unwrap().code(), Some(128 + 9));
}

#[tokio::test]
async fn commands_that_do_not_run_have_the_codes_of_a_shell() {
    for (command, code) in
        [("no-such-command", 127), (concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), 126)]
    {
        let Some(mut unshare) = namespace() else { return };
        let output = within("the end", unshare.args([PROGRAM, command]).output()).await.unwrap();
        assert_eq!(output.status.code(), Some(code));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.contains("the only argument"), "{errors}");
    }
}

/// The zombies among the children of a process.
fn zombies(parent: Pid) -> usize {
    let parent = u32::try_from(parent.as_raw_nonzero().get()).unwrap();
    let all = pilotfish_process::processes().unwrap();
    let zombie = pilotfish_process::ProcessState::Zombie;
    all.iter().filter(|process| process.parent == parent && process.state == zombie).count()
}

#[tokio::test]
async fn the_agent_reaps_what_builds_leave_and_outlives_harmless_signals() {
    let mut controller = Controller::start().await;
    let directory = tempfile::tempdir().unwrap();
    let Some(mut command) = namespace() else { return };
    command.arg(PROGRAM).args(options(&controller.url)).arg("-workDir").arg(directory.path());
    let unshare = Agent::spawn(command);
    let mut agent = unshare;
    let mut connection = controller.connection().await;
    agent.says("Connected").await;
    let init = inside(agent.id()).unwrap();

    // Hundreds of orphans beside launches whose status the agent wants itself.
    let done = directory.path().join("done");
    let script = format!(
        "i=0; while [ $i -lt 20 ]; do (sleep 0.0$i &) ; (exit 3) & i=$((i+1)); done; echo >> {}",
        done.display()
    );
    for id in 0..15 {
        let request = make::launch(&["sh", "-c", &script], &[], "/");
        connection.send(&user_request(2000 + id, &request)).await;
        connection.answer(2000 + id).await;
    }
    eventually("all launches are over", || {
        std::fs::read_to_string(&done).is_ok_and(|text| text.lines().count() == 15)
    })
    .await;
    eventually("no zombie is left", || zombies(init) == 0).await;

    for (signal, said) in [(Signal::USR1, "SIGUSR1: nothing to do"), (Signal::QUIT, "SIGQUIT: ")] {
        kill_process(init, signal).unwrap();
        agent.says(said).await;
    }
    connection.ping(b"alive").await;
    kill_process(init, Signal::HUP).unwrap();
    agent.says("SIGHUP: the same as SIGTERM").await;
    let (_, log) = agent.end().await;
    assert!(!log.contains("is lost"), "a status was taken by the reaper: {log}");
}
