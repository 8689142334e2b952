//! What a run measures with: programs, sizes, directories.

use std::path::{Path, PathBuf};

use pilotfish_replay::recording::{self, Recording};
use tempfile::TempDir;

use crate::Options;
use crate::error::Failed;

/// Programs, sizes and directories of a run.
pub struct Setup {
    /// The agent's binary.
    pub agent: PathBuf,
    /// The official agent.
    pub agent_jar: Option<PathBuf>,
    /// The classes of the Java peer.
    pub peer: Option<PathBuf>,
    /// A quick look instead of a measurement.
    pub short: bool,
    /// Rounds of each pair.
    pub rounds: usize,
    /// Size of streams and archives in bytes.
    pub stream_bytes: u64,
    dir: TempDir,
}

impl Setup {
    /// Checks the options.
    pub fn new(options: &Options) -> Result<Self, Failed> {
        let variable = |name: &str| std::env::var_os(name).map(PathBuf::from);
        let agent = match options.agent.clone().or_else(|| variable("PILOTFISH_AGENT")) {
            Some(agent) => agent,
            None => beside_this_program()?,
        };
        let agent = agent.canonicalize().map_err(Failed::about(agent.display()))?;
        let agent_jar = options.agent_jar.clone().or_else(|| variable("AGENT_JAR"));
        if let Some(jar) = &agent_jar {
            std::fs::metadata(jar).map_err(Failed::about("AGENT_JAR"))?;
        }
        let dir = match &options.dir {
            Some(dir) => tempfile::Builder::new().prefix("pilotfish-benches").tempdir_in(dir)?,
            None => tempfile::Builder::new().prefix("pilotfish-benches").tempdir()?,
        };
        let mib = options.mib.unwrap_or(if options.short { 64 } else { 1024 });
        Ok(Self {
            agent,
            agent_jar,
            peer: options.peer.clone(),
            short: options.short,
            rounds: options.rounds.unwrap_or(if options.short { 2 } else { 5 }).max(1),
            stream_bytes: (mib as u64) << 20,
            dir,
        })
    }

    /// The sizes, for the report's head.
    pub fn describe(&self) -> String {
        let mib = self.stream_bytes >> 20;
        let short = if self.short { " (short form)" } else { "" };
        format!("{} rounds, streams of {mib} MiB{short}", self.rounds)
    }

    /// A fresh directory.
    pub fn fresh(&self, name: &str) -> Result<PathBuf, Failed> {
        let path = self.dir.path().join(name);
        if path.exists() {
            std::fs::remove_dir_all(&path).map_err(Failed::about(path.display()))?;
        }
        std::fs::create_dir_all(&path).map_err(Failed::about(path.display()))?;
        Ok(path)
    }

    /// One of the committed recordings, whose commands the controller of the figures sends.
    pub fn recording(&self, name: &str) -> Result<Recording, Failed> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folder = here.parent().unwrap_or(here).join("recordings");
        Ok(recording::load(&folder.join(format!("{name}.jsonl.gz")), name)?)
    }
}

fn beside_this_program() -> Result<PathBuf, Failed> {
    let own = std::env::current_exe()?;
    let beside = own.parent().map(|folder| folder.join("pilotfish-agent"));
    beside.filter(|path| path.is_file()).ok_or_else(|| {
        Failed::Missing(
            "no agent: build it with `cargo build --release -p pilotfish-agent`, or name it with --agent"
                .to_owned(),
        )
    })
}
