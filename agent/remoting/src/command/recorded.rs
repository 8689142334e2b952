//! Tests against the commands of recorded sessions between a real controller and its Java agent.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use java_object_stream::{AccessError, Datum, Graph, Node, ReadOptions};

use super::*;
use crate::class;

/// One recorded command.
pub(crate) struct Recorded {
    pub(crate) file: String,
    pub(crate) number: u64,
    pub(crate) by_controller: bool,
    pub(crate) class: String,
    pub(crate) bytes: Bytes,
}

/// All commands of all recordings.
pub(crate) static ALL: LazyLock<Vec<Recorded>> = LazyLock::new(read_all);

fn read_all() -> Vec<Recorded> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration/recordings");
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".jsonl.gz"))
        .collect();
    files.sort();
    let mut commands = Vec::new();
    for path in files {
        let mut text = String::new();
        let file = std::fs::File::open(&path).unwrap();
        flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let Some(class) = line["command"].as_str() else { continue };
            commands.push(Recorded {
                file: path.file_name().unwrap().to_string_lossy().into_owned(),
                number: line["n"].as_u64().unwrap(),
                by_controller: line["from"] == "controller",
                class: class.to_owned(),
                bytes: STANDARD.decode(line["bytes"].as_str().unwrap()).unwrap().into(),
            });
        }
    }
    assert!(commands.len() > 5_000, "{} commands in {folder:?}", commands.len());
    commands
}

#[test]
fn every_command_is_known() {
    let mut seen = BTreeMap::<String, usize>::new();
    for Recorded { file, number, class, bytes, .. } in ALL.iter() {
        let command = Command::decode(bytes)
            .unwrap_or_else(|error| panic!("{file} {number} {class}: {error}"));
        let unknown = matches!(command, Command::Unknown { .. } | Command::UnknownRequest { .. });
        assert!(!unknown, "{file} {number}: {command:?}");
        if let Command::Response { outcome: Outcome::Thrown { message }, .. } = &command {
            assert!(message.contains(": ") && !message.contains("unreadable"), "{message}");
        }
        *seen.entry(class.clone()).or_default() += 1;
    }
    let commands = ["UserRequest", "Response", "Chunk", "Ack", "EOF", "Flush", "CloseCommand"];
    for command in commands {
        assert!(seen.keys().any(|class| class.ends_with(command)), "{command} in {seen:?}");
    }
}

#[test]
fn a_close_without_a_cause_has_none_and_one_with_a_cause_tells_it() {
    let causes: Vec<_> = ALL
        .iter()
        .filter(|command| command.class.ends_with("CloseCommand"))
        .map(|command| Command::decode(&command.bytes).unwrap())
        .collect();
    assert!(!causes.is_empty());
    for close in causes {
        let Command::Close { cause } = close else { panic!("{close:?}") };
        assert!(cause.is_none_or(|cause| !cause.contains("Command$Source")));
    }
}

/// What this library would send for a recorded command, for those of a form that it writes.
fn rewritten(root: Node<'_>) -> Result<Option<Outgoing>, AccessError> {
    let int = |field: &'static str| root.read_field::<i32>(field);
    let name = root.class_name().unwrap_or_default();
    if !root.field("createdAt")?.is_null() {
        return Ok(None);
    }
    let is = |class: &java_object_stream::Class| name == class.name();
    Ok(Some(if is(&class::CHUNK) {
        let data = Bytes::copy_from_slice(root.read_field::<&[u8]>("buf")?);
        Outgoing::Chunk { io: int("ioId")?, oid: int("oid")?, request: int("requestId")?, data }
    } else if is(&class::FLUSH) {
        Outgoing::Flush { io: int("ioId")?, oid: int("oid")?, request: int("requestId")? }
    } else if is(&class::ACK) {
        Outgoing::Ack { oid: int("oid")?, size: int("size")? }
    } else if is(&class::EOF) && root.field("error")?.is_null() {
        let (io, oid, request) = (int("ioId")?, int("oid")?, int("requestId")?);
        Outgoing::Eof { io, oid, request, error: Datum::Null }
    } else if is(&class::STREAM_UNEXPORT) {
        Outgoing::StreamUnexport { io: int("ioId")?, oid: int("oid")? }
    } else if is(&class::UNEXPORT) {
        Outgoing::Unexport { oid: int("oid")? }
    } else if is(&class::INPUT_EOF) {
        Outgoing::InputEof { oid: int("oid")? }
    } else if is(&class::CONNECT) {
        Outgoing::Connect { oid_pos: int("oidPos")?, oid_ros: int("oidRos")? }
    } else if is(&class::CANCEL) {
        Outgoing::Cancel { id: int("id")? }
    } else if is(&class::CLOSE) {
        Outgoing::Close
    } else {
        return Ok(None);
    }))
}

#[test]
fn what_is_written_is_what_the_java_library_writes() {
    let encoder = Encoder::new().unwrap();
    let mut compared = BTreeMap::<String, usize>::new();
    for Recorded { file, number, class, bytes, .. } in ALL.iter() {
        let graph = Graph::parse(bytes, &ReadOptions::default()).unwrap();
        if let Some(outgoing) = rewritten(graph.root().unwrap()).unwrap() {
            let written = encoder.encode(outgoing).unwrap();
            assert_eq!(&written, bytes, "{file} {number} {class}");
            *compared.entry(class.clone()).or_default() += 1;
        }
    }
    for class in ["Chunk", "Ack", "Flush"] {
        let class = format!("hudson.remoting.ProxyOutputStream${class}");
        assert!(compared.get(&class).is_some_and(|count| *count > 10), "{class} in {compared:?}");
    }
}

/// Sets `createdAt`, which a Java peer fills in, to null by writing the other fields anew.
#[test]
fn commands_with_a_trace_differ_in_nothing_but_the_trace() {
    let encoder = Encoder::new().unwrap();
    let mut compared = BTreeMap::<String, usize>::new();
    for Recorded { class, bytes, .. } in ALL.iter() {
        let graph = Graph::parse(bytes, &ReadOptions::default()).unwrap();
        let root = graph.root().unwrap();
        if root.field("createdAt").unwrap().is_null() {
            continue;
        }
        let command = Command::decode(bytes).unwrap();
        let outgoing = match &command {
            Command::Eof { io, oid, error: None } => {
                let request = root.read_field("requestId").unwrap();
                Outgoing::Eof { io: *io, oid: *oid, request, error: Datum::Null }
            }
            Command::StreamUnexport { io, oid } => Outgoing::StreamUnexport { io: *io, oid: *oid },
            Command::Unexport { oid } => Outgoing::Unexport { oid: *oid },
            Command::Cancel { id } => Outgoing::Cancel { id: *id },
            Command::InputEof { oid } => Outgoing::InputEof { oid: *oid },
            _ => continue,
        };
        let written = encoder.encode(outgoing).unwrap();
        assert_eq!(Command::decode(&written), Ok(command), "{class}");
        // The class descriptors, which begin both streams, are the same bytes.
        let descriptors = "hudson.remoting.Command".len() + 60;
        assert_eq!(written.get(..descriptors), bytes.get(..descriptors), "{class}");
        *compared.entry(class.clone()).or_default() += 1;
    }
    assert!(compared.len() >= 2, "{compared:?}");
}
