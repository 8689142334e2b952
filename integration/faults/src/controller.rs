//! The Java controller: started, killed, and listened to.

use std::fs::OpenOptions;
use std::path::PathBuf;
use std::process::Stdio;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::mpsc;

use crate::error::Error;

/// How the controller is started.
#[derive(Debug, Clone)]
pub struct ControllerCommand {
    /// Its classes.
    pub classes: PathBuf,
    /// The port that it keeps over its lives.
    pub port: u16,
    /// The agents' secret.
    pub secret_file: PathBuf,
    /// The node's directory.
    pub root: PathBuf,
    /// What it remembers.
    pub state: PathBuf,
    /// The seed of its builds.
    pub seed: u64,
    /// How many builds run at once.
    pub builds: u32,
    /// Seconds between the pings that the agent is told to send; it may wait a second more for an answer.
    pub ping: u32,
    /// Whether it opens the port for agents over TCP.
    pub tcp: bool,
    /// Where its words go.
    pub log: PathBuf,
}

/// What the controller tells.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// It listens.
    Ready {
        /// The port for agents over TCP, or 0.
        agent_port: u16,
    },
    /// An agent came and is set up.
    Online {
        /// Counted from 1 in each life.
        connection: u64,
    },
    /// A connection ended.
    Offline {
        /// Which one.
        connection: u64,
        /// Why, in words.
        reason: String,
    },
    /// A connection could not be set up though it is open.
    Unset {
        /// Which one.
        connection: u64,
        /// Why, in words.
        reason: String,
    },
    /// The agent answered a probe.
    Probe {
        /// Its number.
        number: u64,
    },
    /// A build ended as it should.
    Build(Build),
    /// Something is wrong.
    Failed {
        /// The build, or 0.
        number: u64,
        /// What.
        why: String,
        /// Where.
        trace: String,
    },
    /// The agent did something that the protocol does not allow.
    Breach {
        /// On which connection.
        connection: u64,
        /// What.
        complaints: Vec<String>,
    },
    /// All builds have ended.
    Finished {
        /// What is left that should not be.
        problems: Vec<String>,
    },
}

/// A build whose log, exit status and files are right.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Build {
    /// Its number.
    pub number: u64,
    /// Lines of its log.
    pub lines: u64,
    /// Bytes of its log.
    pub bytes: u64,
    /// Bytes that came twice, in a log that the agent pushed.
    pub repeated: u64,
    /// Whether the agent pushed the log.
    pub watched: bool,
    /// Whether it was stopped by the controller.
    pub aborted: bool,
    /// How often its start was lost with a connection.
    pub lost_starts: u64,
    /// Over how many connections its log came.
    pub connections: u64,
}

/// A running controller.
pub struct Controller {
    child: Child,
    input: ChildStdin,
    events: mpsc::Receiver<Result<Event, String>>,
}

impl ControllerCommand {
    /// Starts a controller; it is ready once it says so.
    pub fn start(&self) -> Result<Controller, Error> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(Error::file(&self.log))?;
        let mut command = Command::new("java");
        command
            .arg("-Xmx512m")
            .arg("-cp")
            .arg(&self.classes)
            .args(["pilotfish.peer.Main", "faults"]);
        command.arg("--port").arg(self.port.to_string());
        command.arg("--secret-file").arg(&self.secret_file);
        command.arg("--root").arg(&self.root).arg("--state").arg(&self.state);
        command.arg("--seed").arg(self.seed.to_string());
        command.arg("--builds").arg(self.builds.to_string());
        command.arg("--ping").arg(self.ping.to_string());
        command.arg("--tcp").arg(if self.tcp { "yes" } else { "no" });
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(Error::system("cannot start java"))?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::Controller("has no standard streams".to_owned()));
        };
        let (sender, events) = mpsc::channel(1024);
        tokio::spawn(async move {
            let mut lines = BufReader::new(output).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                let event = serde_json::from_str(&line);
                let event =
                    event.map_err(|error| format!("wrote {line:?}, which is no event: {error}"));
                if sender.send(event).await.is_err() {
                    return;
                }
            }
        });
        Ok(Controller { child, input, events })
    }
}

impl Controller {
    /// What it tells next.
    pub async fn next(&mut self) -> Result<Event, Error> {
        match self.events.recv().await {
            Some(event) => event.map_err(Error::Controller),
            None => {
                let status = self.child.wait().await;
                let status =
                    status.map_or_else(|error| error.to_string(), |status| status.to_string());
                Err(Error::Controller(format!("ended by itself ({status})")))
            }
        }
    }

    /// Tells it something.
    pub async fn say(&mut self, line: &str) -> Result<(), Error> {
        let line = format!("{line}\n");
        let said = self.input.write_all(line.as_bytes()).await;
        said.map_err(|error| Error::Controller(format!("does not listen: {error}")))
    }

    /// SIGKILL; what it had told before is still answered.
    pub async fn kill(mut self) -> Result<Vec<Event>, Error> {
        self.child.kill().await.map_err(Error::system("cannot kill the controller"))?;
        let mut rest = Vec::new();
        while let Some(event) = self.events.recv().await {
            // The last line may be cut short.
            rest.extend(event.ok());
        }
        Ok(rest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_the_controller_writes_them() {
        let read = |line| serde_json::from_str::<Event>(line).unwrap();
        assert_eq!(
            read(r#"{"event": "online", "connection": 3, "protocol": "WebSocket"}"#),
            Event::Online { connection: 3 }
        );
        let build = read(
            r#"{"event": "build", "number": 7, "lines": 10, "bytes": 800, "repeated": 0, "watched": true, "aborted": false, "lost_starts": 1, "connections": 4, "seconds": 8.1250}"#,
        );
        let Event::Build(build) = build else { panic!("{build:?}") };
        assert!(build.number == 7 && build.watched && build.lost_starts == 1);
    }
}
