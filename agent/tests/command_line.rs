//! The real binary's exit codes and outputs.
#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::TcpListener;
use std::process::{Command, Output};

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn agent(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pilotfish-agent"))
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .envs(variables.iter().copied())
        .output()
        .unwrap()
}

fn texts(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn versions_and_help_go_to_standard_output() {
    let (code, output, errors) = texts(&agent(&["-version"], &[]));
    assert_eq!((code, errors.as_str()), (Some(0), ""));
    assert_eq!(output, format!("{}\n", pilotfish_agent::cli::REMOTING_VERSION));
    let (code, output, _) = texts(&agent(&["--version"], &[]));
    assert_eq!(
        (code, output),
        (Some(0), format!("pilotfish-agent {}\n", env!("CARGO_PKG_VERSION")))
    );
    let (code, output, _) = texts(&agent(&["-help"], &[]));
    assert_eq!(code, Some(0));
    assert!(output.starts_with("Usage: pilotfish-agent -url URL"));
}

#[test]
fn wrong_configurations_end_with_2() {
    let (code, output, errors) =
        texts(&agent(&["-webSocket", "-nam", "x"], &[("JENKINS_WEB_SOCKET", "yes")]));
    assert_eq!((code, output.as_str()), (Some(2), ""));
    assert!(errors.starts_with("WARNING: JENKINS_WEB_SOCKET=yes has no effect"), "{errors}");
    assert!(errors.contains("pilotfish-agent: the configuration is wrong in "), "{errors}");
    assert!(errors.contains("did you mean -name?"), "{errors}");
}

#[test]
fn one_word_is_a_command() {
    let (code, output, _) = texts(&agent(&["env"], &[("JENKINS_SECRET", SECRET)]));
    assert_eq!(code, Some(0));
    // As with the entry point script: nothing is taken away from the command.
    assert!(output.contains(&format!("JENKINS_SECRET={SECRET}\n")), "{output}");
    let (code, _, errors) = texts(&agent(&["no-such-command"], &[]));
    assert_eq!(code, Some(127));
    assert!(errors.contains("cannot run no-such-command, the only argument"), "{errors}");
    assert_eq!(
        agent(&[concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], &[]).status.code(),
        Some(126)
    );
}

#[test]
fn an_unusable_work_directory_ends_with_1() {
    let arguments =
        ["-url", "http://127.0.0.1:9/", "-secret", SECRET, "-name", "n", "-webSocket", "-workDir"];
    let (code, _, errors) = texts(&agent(&[&arguments[..], &["/dev/null/x"]].concat(), &[]));
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.starts_with("SEVERE: cannot create the working directory /dev/null/x"),
        "{errors}"
    );
}

#[test]
fn start_lines_are_those_of_the_java_agent() {
    let directory = tempfile::tempdir().unwrap();
    let work = directory.path().to_str().unwrap();
    let controller = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", controller.local_addr().unwrap());
    let mut child = Command::new(env!("CARGO_BIN_EXE_pilotfish-agent"))
        .args(["-url", &url, "-secret", SECRET, "-name", "linux-1", "-webSocket", "-noReconnect"])
        .args(["-workDir", work])
        .env_clear()
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // The lines are logged before it connects; the log is one thread's work, so read until the last.
    let _connection = controller.accept().unwrap();
    let mut lines = Vec::new();
    for line in std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap())) {
        let line = line.unwrap();
        let last = line.contains("Using Remoting version");
        lines.push(line);
        if last {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let untimed: Vec<&str> = lines
        .iter()
        .map(|line| {
            line.split_once(" AM ")
                .or_else(|| line.split_once(" PM "))
                .map_or(line.as_str(), |(_, rest)| rest)
        })
        .collect();
    let internal = format!("{work}/remoting");
    assert_eq!(
        untimed,
        [
            "org.jenkinsci.remoting.engine.WorkDirManager initializeWorkDir",
            &format!("INFO: Using {internal} as a remoting work directory"),
            "org.jenkinsci.remoting.engine.WorkDirManager setupLogging",
            &format!("INFO: Both error and output logs will be printed to {internal}"),
            "hudson.remoting.Launcher createEngine",
            "INFO: Setting up agent: linux-1",
            "hudson.remoting.Engine startEngine",
            &format!("INFO: Using Remoting version: {}", pilotfish_agent::cli::REMOTING_VERSION),
        ]
    );
    let log = std::fs::read_to_string(format!("{internal}/logs/remoting.log.0")).unwrap();
    assert!(log.contains("INFO: Setting up agent: linux-1\n"), "{log}");
}
