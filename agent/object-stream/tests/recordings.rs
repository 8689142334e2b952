//! Every command of every recorded session, and every stream that a command carries, comes out of
//! the reader and the writer as it went in.
#![expect(clippy::unwrap_used, reason = "a helper that fails fails the test")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use java_object_stream::{Graph, Items, ReadOptions, Stored};

/// Classes of the recordings whose `writeObject` writes none of the declared fields.
const OPTIONS: ReadOptions<'_> = ReadOptions {
    without_default_fields: &[
        "hudson.remoting.Pipe",
        "hudson.remoting.RemoteInputStream",
        "hudson.util.StreamTaskListener",
    ],
    limits: java_object_stream::Limits::DEFAULT,
};

const MAGIC: [u8; 4] = [0xAC, 0xED, 0, 5];

#[derive(Default)]
struct Tally {
    streams: usize,
    nested: usize,
}

#[test]
fn every_recorded_stream_round_trips() {
    let files = recordings();
    assert!(files.len() >= 14, "only {} recordings found", files.len());
    for file in files {
        let mut tally = Tally::default();
        for (number, command) in commands(&file).into_iter().enumerate() {
            let what = format!("{}: command {number}", file.display());
            check(&command, &what, &mut tally, 0);
        }
        assert!(tally.streams > 20, "{}: only {} commands", file.display(), tally.streams);
        assert!(tally.nested > 5, "{}: only {} nested", file.display(), tally.nested);
    }
}

fn check(bytes: &[u8], what: &str, tally: &mut Tally, depth: usize) {
    let graph = Graph::parse(bytes, &OPTIONS).unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(graph.to_bytes() == bytes, "{what}: other bytes");
    if depth == 0 {
        tally.streams += 1;
    } else {
        tally.nested += 1;
    }
    for node in graph.objects() {
        if let Some(Stored::Array(array)) = node.stored()
            && let Items::Bytes(inner) = &array.items
            && inner.starts_with(&MAGIC)
        {
            check(inner, &format!("{what}, inside of it"), tally, depth + 1);
        }
    }
}

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../integration/recordings");
    let entries = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.extension().is_some_and(|kind| kind == "gz")).collect();
    files.sort();
    files
}

fn commands(file: &Path) -> Vec<Vec<u8>> {
    let lines = BufReader::new(GzDecoder::new(File::open(file).unwrap())).lines();
    let decode = |line: std::io::Result<String>| {
        let entry: serde_json::Value = serde_json::from_str(&line.unwrap()).unwrap();
        entry.get("bytes").map(|bytes| STANDARD.decode(bytes.as_str().unwrap()).unwrap())
    };
    lines.filter_map(decode).collect()
}
