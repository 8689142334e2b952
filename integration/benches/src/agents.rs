//! Agent processes: ours and the official one, started alike.

use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};

use crate::controller::door::Door;
use crate::controller::session::Session;
use crate::error::Failed;
use crate::setup::Setup;

/// A secret's form; the controller of the figures does not look at it.
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// How long an agent may take until it is connected.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The agent of this repository.
    Ours,
    /// The one that `AGENT_JAR` names.
    Official,
}

/// A running agent. Dropped, it is killed.
pub struct Agent {
    child: Child,
    /// When it was started.
    pub started: Instant,
    log: Option<Lines<BufReader<ChildStderr>>>,
}

impl Agent {
    /// Starts an agent for the controller at `url`, with its work directory in `root`.
    pub fn start(
        setup: &Setup,
        kind: Kind,
        url: &str,
        name: &str,
        root: &Path,
    ) -> Result<Self, Failed> {
        let mut command = match (kind, &setup.agent_jar) {
            (Kind::Official, Some(jar)) => {
                let mut java = Command::new("java");
                java.arg("-jar").arg(jar);
                java
            }
            (Kind::Official, None) => {
                return Err(Failed::Missing("AGENT_JAR is not set".to_owned()));
            }
            (Kind::Ours, _) => Command::new(&setup.agent),
        };
        command.args(["-url", url, "-secret", SECRET, "-name", name, "-webSocket", "-workDir"]);
        command.arg(root).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.kill_on_drop(true);
        let started = Instant::now();
        let mut child =
            command.spawn().map_err(Failed::about(command.as_std().get_program().display()))?;
        let log = child.stderr.take().map(|stderr| BufReader::with_capacity(1024, stderr).lines());
        Ok(Self { child, started, log })
    }

    /// Waits until it says that it is connected, and returns how long that took from its start.
    pub async fn connected(&mut self) -> Result<Duration, Failed> {
        let mut seen = Vec::new();
        let Some(log) = &mut self.log else {
            return Err(Failed::Agent("it has no log".to_owned()));
        };
        let wait = async {
            while let Some(line) = log.next_line().await? {
                if line.trim_end().ends_with("Connected") {
                    return Ok(true);
                }
                seen.push(line);
            }
            Ok::<_, std::io::Error>(false)
        };
        let connected = tokio::time::timeout(PATIENCE, wait).await;
        let took = self.started.elapsed();
        if matches!(connected, Ok(Ok(true))) {
            return Ok(took);
        }
        Err(Failed::Agent(format!("the agent did not connect; its log:\n{}", seen.join("\n"))))
    }

    /// Keeps reading the log, so that the agent never waits for its reader.
    pub fn drain(&mut self) {
        if let Some(mut log) = self.log.take() {
            tokio::spawn(async move { while let Ok(Some(_)) = log.next_line().await {} });
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Result<u32, Failed> {
        self.child.id().ok_or_else(|| Failed::Agent("the agent has ended".to_owned()))
    }

    /// Ends it at once.
    pub async fn kill(mut self) -> Result<(), Failed> {
        Ok(self.child.kill().await?)
    }
}

/// Starts one agent and its session.
pub async fn one(
    setup: &Setup,
    kind: Kind,
    door: &mut Door,
    root: &Path,
) -> Result<(Agent, Session), Failed> {
    let mut agent = Agent::start(setup, kind, &door.url(), "bench", root)?;
    agent.connected().await?;
    agent.drain();
    Ok((agent, Session::new(door.next().await?)?))
}
