//! Messages: a length of four bytes (big endian) and so many bytes of JSON.
//!
//! One connection is one request. The server greets, the client asks, the server answers: once, or for a
//! launch twice (it was started, it has ended). Descriptors come with the request for a launch. `README.md`
//! beside this crate has all of it.

use pilotfish_process::ExitStatus;
use serde::{Deserialize, Serialize};

/// The version of the protocol. Both sides refuse another one.
pub const PROTOCOL_VERSION: u32 = 1;

/// The largest request, in bytes: an environment of 2 MiB and its escapes.
pub const MAX_REQUEST: usize = 8 << 20;

/// The largest answer, in bytes: some lines for a log.
pub const MAX_ANSWER: usize = 256 << 10;

/// The longest name of a build and of a stage, in bytes: names of jobs with their folders.
pub const MAX_STAGE_NAME: usize = 1024;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// Start a process.
    Launch(Launch),
    /// End processes.
    Kill(Matching),
    /// Count processes.
    Find(Matching),
    /// Stay, though told to stop, for as long as this connection is open: the agent has builds that it waits
    /// for.
    Attend {},
    /// Behind a launch that is followed, once it has ended: what came out of it has ended too.
    Finish {
        /// Whether it failed.
        failed: bool,
    },
}

/// A process to start. Its streams are the descriptors that come along, in the order input, output, errors,
/// as far as each is asked for.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Launch {
    /// The program and its arguments, with macros that the environment is put in for.
    pub arguments: Vec<String>,
    /// Variables on top of those of the container, as `NAME=value`, with the rules of Jenkins: an empty value
    /// removes one, `NAME+X` puts something in front.
    pub overrides: Vec<String>,
    /// Marks the process and all that come out of it (`HUDSON_COOKIE`).
    pub cookie: String,
    /// The working directory; that of the container where not given.
    pub directory: Option<String>,
    /// Whether it has an input.
    pub stdin: bool,
    /// Where its errors go.
    pub stderr: ErrorStream,
    /// The stage that it is a part of, whose use of the container is then measured.
    pub stage: Option<Stage>,
    /// Whether what it starts goes on when it has ended, as a durable task does: the client then says when
    /// that is over ([`Request::Finish`]).
    pub follow: bool,
}

/// A stage of a build, for the figures of what it used.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// The build (`PILOTFISH_BUILD`).
    pub build: String,
    /// The stage (`PILOTFISH_STAGE`).
    pub stage: String,
}

/// What the container used while a stage ran in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Usage {
    /// How long that was.
    pub milliseconds: u64,
    /// The processor time of all of its processes.
    pub cpu_milliseconds: u64,
    /// The most memory, without the cache of files that were not used lately.
    pub peak_memory_bytes: u64,
    /// Whether something else ran in it at the same time, so that these are not the stage's own.
    pub shared: bool,
}

/// Where the errors of a process go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorStream {
    /// Where its output goes.
    Output,
    /// To a stream of their own.
    Apart,
}

/// The processes with all of these variables.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Matching {
    /// Names and values.
    pub variables: Vec<(String, String)>,
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Answer {
    /// First, before it is asked.
    Hello {
        /// Its [`PROTOCOL_VERSION`].
        protocol: u32,
    },
    /// The process runs.
    Started {
        /// Its number in the container.
        pid: u32,
    },
    /// Nothing was done, with the reason in the words of a Java agent.
    Failed {
        /// The reason.
        message: String,
    },
    /// The process has ended.
    Ended(Ended),
    /// What was followed is over.
    Finished(Report),
    /// Processes were ended, with their descendants.
    Killed(Killed),
    /// Processes were counted.
    Found {
        /// How many run.
        processes: usize,
    },
    /// The server stays.
    Attending {},
}

/// How a process ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ended {
    /// Its status.
    pub outcome: Outcome,
    /// What there is to say, unless it is followed.
    pub report: Report,
}

/// What there is to say of what has ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Report {
    /// What users should know, as lines for the build's log.
    pub notes: Vec<String>,
    /// What the stage used: with the last of its processes that run at the same time, where it can be
    /// measured.
    pub usage: Option<Usage>,
}

/// The status of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It exited with this code.
    Exited(i32),
    /// A signal of this number ended it.
    Signaled(i32),
    /// Nobody knows.
    Lost,
}

/// What an end of processes came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Killed {
    /// How many got a signal.
    pub signalled: usize,
    /// How many of them are still there.
    pub survivors: usize,
}

/// Values are secrets more often than not.
impl std::fmt::Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch")
            .field("arguments", &self.arguments.len())
            .field("overrides", &self.overrides.len())
            .field("directory", &self.directory)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Matching {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.variables.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Matching").field("variables", &names).finish()
    }
}

impl From<ExitStatus> for Outcome {
    fn from(status: ExitStatus) -> Self {
        match status {
            ExitStatus::Exited(code) => Self::Exited(code),
            ExitStatus::Signaled(signal) => Self::Signaled(signal),
            _ => Self::Lost,
        }
    }
}

impl From<Outcome> for ExitStatus {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Exited(code) => Self::Exited(code),
            Outcome::Signaled(signal) => Self::Signaled(signal),
            Outcome::Lost => Self::Lost,
        }
    }
}

impl Request {
    /// How many descriptors come with it.
    pub(crate) fn descriptors(&self) -> usize {
        match self {
            Self::Launch(launch) => {
                usize::from(launch.stdin) + 1 + usize::from(launch.stderr == ErrorStream::Apart)
            }
            _ => 0,
        }
    }
}

impl Stage {
    /// Whether it is kept: a name without an end would be kept as often as it comes.
    #[must_use]
    pub fn is_short(&self) -> bool {
        self.build.len() <= MAX_STAGE_NAME && self.stage.len() <= MAX_STAGE_NAME
    }
}

/// Reads a request.
///
/// # Errors
/// What is wrong with it, in a sentence that repeats nothing of it.
pub fn decode_request(bytes: &[u8]) -> Result<Request, String> {
    decode(bytes)
}

/// Reads an answer.
///
/// # Errors
/// As [`decode_request`].
pub fn decode_answer(bytes: &[u8]) -> Result<Answer, String> {
    decode(bytes)
}

fn decode<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    serde_json::from_slice(bytes).map_err(|error| {
        // Its own text may hold a part of the message, which may be a secret.
        let kind = match error.classify() {
            serde_json::error::Category::Data => "a message of another form",
            serde_json::error::Category::Eof => "a message that is cut short",
            _ => "a message that is no JSON",
        };
        format!("{kind}, at byte {} of {}", error.column(), bytes.len())
    })
}
