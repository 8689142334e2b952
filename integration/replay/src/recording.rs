//! The recordings: a file of JSON lines each, found by directory listing, and the chains they form.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::error::ReplayError;

/// One connection between a controller and its agent.
#[derive(Debug, Clone)]
pub struct Recording {
    /// The file's name without its endings.
    pub name: String,
    /// The headers of the agent's upgrade request.
    pub request: Vec<(String, String)>,
    /// The headers of the controller's answer.
    pub response: Vec<(String, String)>,
    /// What was seen, in order.
    pub entries: Vec<Entry>,
}

/// One thing seen.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Seconds since the upgrade.
    pub at: f64,
    /// What it was.
    pub what: What,
}

/// What was seen.
#[derive(Debug, Clone)]
pub enum What {
    /// A command: its number in the recording, who sent it, and its object stream.
    Command {
        /// The number.
        number: u32,
        /// The sender.
        from: Party,
        /// The whole stream, without chunk framing.
        bytes: Vec<u8>,
    },
    /// A control frame of the WebSocket.
    Control {
        /// The sender.
        from: Party,
        /// `ping`, `pong` or `close`.
        kind: String,
        /// The payload.
        payload: Vec<u8>,
    },
    /// What the operator did.
    Mark(String),
}

/// A side of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Party {
    /// The controller.
    Controller,
    /// The agent.
    Agent,
}

/// Recordings that one agent process lives through: `NAME`, `NAME-2`, `NAME-3`, …
#[derive(Debug, Clone)]
pub struct Chain {
    /// The first recording's name.
    pub name: String,
    /// The recordings in order.
    pub parts: Vec<Recording>,
}

#[derive(Deserialize)]
struct Line {
    request: Option<Vec<String>>,
    response: Option<Vec<String>>,
    n: Option<u32>,
    t: Option<f64>,
    from: Option<Party>,
    bytes: Option<String>,
    websocket: Option<String>,
    payload: Option<String>,
    mark: Option<String>,
    closed: Option<String>,
}

/// Reads all recordings of a folder, joined to chains, in the order of their names.
///
/// # Errors
/// When the folder or a file cannot be read, or a file is no recording.
pub fn load_folder(folder: &Path) -> Result<Vec<Chain>, ReplayError> {
    let fail = |source| ReplayError::File { path: folder.to_owned(), source };
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(fail)? {
        let path = entry.map_err(fail)?.path();
        let Some(file) = path.file_name().and_then(|name| name.to_str()) else { continue };
        let Some(name) = file.strip_suffix(".jsonl.gz").or_else(|| file.strip_suffix(".jsonl"))
        else {
            continue;
        };
        found.insert(name.to_owned(), load(&path, name)?);
    }
    Ok(chains(found))
}

/// Reads one recording.
///
/// # Errors
/// When the file cannot be read or is no recording.
pub fn load(path: &Path, name: &str) -> Result<Recording, ReplayError> {
    let fail = |source| ReplayError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(fail)?;
    let text: Box<dyn Read> = if path.extension().is_some_and(|ending| ending == "gz") {
        Box::new(flate2::read::MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    };
    let mut recording = Recording {
        name: name.to_owned(),
        request: Vec::new(),
        response: Vec::new(),
        entries: Vec::new(),
    };
    for (index, line) in BufReader::new(text).lines().enumerate() {
        let line = line.map_err(fail)?;
        let problem = |problem: String| ReplayError::Recording {
            name: name.to_owned(),
            line: index + 1,
            problem,
        };
        let line: Line = serde_json::from_str(&line).map_err(|error| problem(error.to_string()))?;
        add(&mut recording, line).map_err(problem)?;
    }
    if recording.request.is_empty() || recording.response.is_empty() {
        return Err(ReplayError::Recording {
            name: name.to_owned(),
            line: 1,
            problem: "the headers of the upgrade are missing".to_owned(),
        });
    }
    Ok(recording)
}

fn add(recording: &mut Recording, line: Line) -> Result<(), String> {
    if let Some(request) = line.request {
        recording.request = headers(&request);
        recording.response = headers(&line.response.unwrap_or_default());
        return Ok(());
    }
    if line.closed.is_some() {
        return Ok(());
    }
    let at = line.t.ok_or("no time")?;
    let what = if let Some(mark) = line.mark {
        What::Mark(mark)
    } else if let Some(kind) = line.websocket {
        let payload =
            hex(&line.payload.unwrap_or_default()).ok_or("the payload is not hexadecimal")?;
        What::Control { from: line.from.ok_or("no sender")?, kind, payload }
    } else {
        let bytes = line.bytes.ok_or("neither a command nor a control frame nor a mark")?;
        What::Command {
            number: line.n.ok_or("no number")?,
            from: line.from.ok_or("no sender")?,
            bytes: STANDARD.decode(bytes).map_err(|error| error.to_string())?,
        }
    };
    recording.entries.push(Entry { at, what });
    Ok(())
}

/// The header lines as pairs; request and status line have no colon before their first space.
fn headers(lines: &[String]) -> Vec<(String, String)> {
    lines
        .iter()
        .skip(1)
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.trim().to_owned(), value.trim().to_owned()))
        .collect()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    (0..text.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

fn chains(mut found: BTreeMap<String, Recording>) -> Vec<Chain> {
    let first: Vec<String> =
        found.keys().filter(|name| predecessor(&found, name).is_none()).cloned().collect();
    first
        .into_iter()
        .map(|name| {
            let mut parts: Vec<Recording> = found.remove(&name).into_iter().collect();
            while let Some(next) = found.remove(&format!("{name}-{}", parts.len() + 1)) {
                parts.push(next);
            }
            Chain { name, parts }
        })
        .collect()
}

/// The recording that `name` continues: `NAME-3` continues `NAME-2`, and `NAME-2` continues `NAME`.
fn predecessor(found: &BTreeMap<String, Recording>, name: &str) -> Option<String> {
    let (base, number) = name.rsplit_once('-')?;
    let number: usize = number.parse().ok()?;
    let before = match number {
        0 | 1 => return None,
        2 => base.to_owned(),
        _ => format!("{base}-{}", number - 1),
    };
    found.contains_key(&before).then_some(before)
}

impl Recording {
    /// The first value of a header of the controller's answer.
    #[must_use]
    pub fn response_header(&self, name: &str) -> Option<&str> {
        value(&self.response, name)
    }

    /// The first value of a header of the agent's request.
    #[must_use]
    pub fn request_header(&self, name: &str) -> Option<&str> {
        value(&self.request, name)
    }
}

fn value<'r>(headers: &'r [(String, String)], name: &str) -> Option<&'r str> {
    headers
        .iter()
        .find(|(header, _)| header.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> (String, Recording) {
        let recording =
            Recording { name: name.to_owned(), request: vec![], response: vec![], entries: vec![] };
        (name.to_owned(), recording)
    }

    #[test]
    fn numbered_recordings_continue_their_base() {
        let found = ["10-x", "10-x-2", "10-x-3", "03-y", "04-z-2"].into_iter().map(named).collect();
        let chains: Vec<(String, usize)> =
            chains(found).into_iter().map(|chain| (chain.name, chain.parts.len())).collect();
        assert_eq!(
            chains,
            [("03-y".to_owned(), 1), ("04-z-2".to_owned(), 1), ("10-x".to_owned(), 3)]
        );
    }

    #[test]
    fn header_lines_may_lack_the_space() {
        let lines =
            ["GET /wsagents/ HTTP/1.1".to_owned(), "Node-Name:a".to_owned(), "X: b:c".to_owned()];
        assert_eq!(
            headers(&lines),
            [("Node-Name".to_owned(), "a".to_owned()), ("X".to_owned(), "b:c".to_owned())]
        );
    }
}
