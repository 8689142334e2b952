//! The embedded controller of `integration/java-peer`, where pods can reach it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use pilotfish_kubernetes::NODE_ADDRESS;

use super::given;

/// The agent's directory, where the kubernetes plugin mounts the workspace.
pub const ROOT: &str = "/home/jenkins/agent";
/// How long an agent may take to come, in seconds: a pod starts in a few, on busy processors in more.
const WAIT: &str = "120";

/// A controller that waits for one agent.
pub struct Controller {
    child: Child,
    output: BufReader<ChildStdout>,
    pub url: String,
    pub secret: String,
}

impl Controller {
    /// One in a mode of the peer.
    pub fn start(mode: &str, dir: &Path) -> Self {
        let (port, secret) = (dir.join("port"), dir.join("secret"));
        let mut java = Command::new("java");
        java.arg("-cp").arg(given("PILOTFISH_TEST_PEER")).args(["pilotfish.peer.Main", mode]);
        java.args(["--address", NODE_ADDRESS, "--root", ROOT, "--wait", WAIT]);
        java.arg("--port-file").arg(&port).arg("--secret-file").arg(&secret);
        java.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = java.spawn().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap());
        let begin = Instant::now();
        let number = loop {
            match fs::read_to_string(&port) {
                Ok(number) if !number.is_empty() => break number,
                _ => thread::sleep(Duration::from_millis(50)),
            }
            assert!(begin.elapsed().as_secs() < 60, "the controller does not listen");
        };
        let secret = fs::read_to_string(secret).unwrap().trim().to_owned();
        Self { child, output, url: format!("http://{NODE_ADDRESS}:{number}/"), secret }
    }

    /// The next line that it says; empty when it has ended.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }

    /// Mode `steps`: runs a step and answers what it said, and how it ended.
    pub fn step(&mut self, step: &str) -> (Vec<String>, String) {
        writeln!(self.child.stdin.as_mut().unwrap(), "{step}").unwrap();
        let mut said = Vec::new();
        loop {
            let line = self.line();
            match line.strip_prefix("> ") {
                Some(one) => said.push(one.to_owned()),
                None => return (said, line),
            }
        }
    }

    /// Sends the agent home; the rest of what it said, and whether the protocol was kept.
    pub fn end(&mut self) -> (String, bool) {
        drop(self.child.stdin.take());
        let mut rest = String::new();
        self.output.read_to_string(&mut rest).unwrap();
        (rest, self.child.wait().unwrap().success())
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
