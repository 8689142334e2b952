//! Where things lie in the repository: recordings, lists, and the agent's binary.

use std::path::{Path, PathBuf};

use crate::error::ReplayError;
use crate::needs_jvm::NeedsJvm;
use crate::recording::{self, Chain};
use crate::replay::Options;
use crate::session::Settings;

/// A further folder of recordings.
pub const RECORDINGS: &str = "PILOTFISH_RECORDINGS";

/// The agent's binary.
pub const AGENT: &str = "PILOTFISH_AGENT";

/// All recordings, and what they are replayed against.
///
/// # Errors
/// When something cannot be read, or there is no agent.
pub fn all(
    agent: Option<PathBuf>,
    settings: Settings,
) -> Result<(Vec<Chain>, Options), ReplayError> {
    let options =
        Options { agent: binary(agent)?, needs_jvm: needs_jvm()?, secrets: secrets()?, settings };
    Ok((chains()?, options))
}

/// All recordings.
///
/// # Errors
/// When a folder cannot be read.
pub fn chains() -> Result<Vec<Chain>, ReplayError> {
    let mut chains = recording::load_folder(&integration().join("recordings"))?;
    if let Some(further) = std::env::var_os(RECORDINGS) {
        chains.extend(recording::load_folder(Path::new(&further))?);
    }
    Ok(chains)
}

/// The list of callables that need a JVM.
///
/// # Errors
/// When it cannot be read.
pub fn needs_jvm() -> Result<NeedsJvm, ReplayError> {
    NeedsJvm::load(&integration().join("needs-jvm.txt"))
}

/// The dummy secrets of the recordings.
///
/// # Errors
/// When the list cannot be read.
pub fn secrets() -> Result<Vec<String>, ReplayError> {
    let path = integration().join("dummy-secrets.txt");
    let text =
        std::fs::read_to_string(&path).map_err(|source| ReplayError::File { path, source })?;
    Ok(text
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(str::to_owned)
        .collect())
}

fn integration() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// The agent that is named, or the one that cargo built beside this program.
fn binary(named: Option<PathBuf>) -> Result<PathBuf, ReplayError> {
    if let Some(path) = named.or_else(|| std::env::var_os(AGENT).map(PathBuf::from)) {
        return Ok(path);
    }
    let own = std::env::current_exe()?;
    let beside = own.ancestors().skip(1).map(|folder| folder.join("pilotfish-agent"));
    let found = beside.take(3).find(|path| path.is_file());
    found.ok_or_else(|| {
        ReplayError::Agent(format!(
            "no agent: build it with `cargo build -p pilotfish-agent` in the same profile, or name it in {AGENT}"
        ))
    })
}
