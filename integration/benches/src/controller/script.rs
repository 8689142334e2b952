//! Requests of a real controller, taken from the recordings, with this run's paths and ids.

use pilotfish_replay::mapping::{Mapping, with_int};
use pilotfish_replay::recording::{Party, Recording, What};
use pilotfish_replay::wire::{self, Command};

use crate::error::Failed;

/// The recorded agent's work directory.
const RECORDED_ROOT: &str = "/home/jenkins/agent";

/// The recorded agent's home directory.
const RECORDED_HOME: &str = "/home/jenkins";

/// One recorded request.
#[derive(Debug, Clone)]
pub struct Request {
    /// Its id.
    pub id: i32,
    /// The callable's class; `rpc:` and the method for a call of an object of the agent.
    pub callable: String,
    /// The recorded agent's object that is called.
    pub target: Option<i32>,
    bytes: Vec<u8>,
}

/// A recorded request in this run's words.
#[derive(Debug, Clone, Default)]
pub struct Wording {
    mapping: Mapping,
}

impl Wording {
    /// Paths of the recorded agent's work directory lie in `root`.
    pub fn rooted(root: &std::path::Path) -> Self {
        let mut mapping = Mapping::default();
        let root = root.display().to_string();
        mapping.bind_text(RECORDED_ROOT, &root);
        mapping.bind_text(RECORDED_HOME, &root);
        Self { mapping }
    }

    /// With another text in the place of one that the recording has.
    pub fn with(mut self, recorded: &str, text: &str) -> Self {
        self.mapping.bind_text(recorded, text);
        self
    }

    /// With the agent's own object in the place of the recorded one.
    pub fn with_object(mut self, recorded: i32, oid: i32) -> Result<Self, Failed> {
        self.mapping.bind(recorded, oid).map_err(Failed::Missing)?;
        Ok(self)
    }
}

impl Request {
    /// The command, with `id` and nothing to wait for.
    pub fn command(&self, id: i32, wording: &Wording) -> Result<Vec<u8>, Failed> {
        self.command_at(id, wording, None)
    }

    /// The same, with another position in the log.
    pub fn command_at(
        &self,
        id: i32,
        wording: &Wording,
        position: Option<i64>,
    ) -> Result<Vec<u8>, Failed> {
        let command = wording.mapping.controller_command(&self.bytes, position)?;
        Ok(with_int(&with_int(&command, "id", id)?, "lastIoId", 0)?)
    }
}

/// The controller's requests up to a mark of the operator, in order; requests that go to the agent's own
/// objects are among them.
pub fn requests(
    recording: &Recording,
    from: Option<&str>,
    to: &str,
) -> Result<Vec<Request>, Failed> {
    let mut inside = from.is_none();
    let mut found = Vec::new();
    for entry in &recording.entries {
        match &entry.what {
            What::Mark(mark) if from == Some(mark.as_str()) => inside = true,
            What::Mark(mark) if inside && mark == to => break,
            What::Command { from: Party::Controller, bytes, .. } if inside => {
                if let Command::UserRequest(request) = wire::decode(bytes)? {
                    let bytes = bytes.clone();
                    let wire::UserRequest { id, callable, target, .. } = *request;
                    found.push(Request { id, callable, target, bytes });
                }
            }
            _ => {}
        }
    }
    Ok(found)
}

/// The first request of a callable.
pub fn request(recording: &Recording, callable: &str) -> Result<Request, Failed> {
    let all = requests(recording, None, "")?;
    all.into_iter().find(|request| request.callable == callable).ok_or_else(|| {
        Failed::Missing(format!("the recording {} holds no {callable}", recording.name))
    })
}
