//! The pod's side of the lines: writes them, numbered.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::wire::{Line, MAX_FILES, Message, PIECE};
use crate::run::{Event, Progress};

/// Writes lines.
pub(super) struct Emitter<W> {
    state: Mutex<State<W>>,
}

struct State<W> {
    number: u64,
    output: W,
    /// Bytes of files that may still be told, compressed.
    left: usize,
}

impl<W: Write> Emitter<W> {
    pub(super) fn new(output: W) -> Self {
        Self { state: Mutex::new(State { number: 0, output, left: MAX_FILES }) }
    }

    /// Tells something. Nobody may be listening, which is no reason to stop a build.
    pub(super) fn tell(&self, message: Message) {
        let Ok(mut state) = self.state.lock() else { return };
        state.number += 1;
        let line = Line { n: state.number, message };
        let Ok(mut text) = serde_json::to_string(&line) else { return };
        text.push('\n');
        let _ = state.output.write_all(text.as_bytes());
        let _ = state.output.flush();
    }

    /// Tells a file, unless it is too large for what may still be told.
    ///
    /// # Errors
    /// Why it is not told.
    pub(super) fn file(&self, path: &str, from: &Path) -> Result<(), String> {
        let file = File::open(from).map_err(|error| error.to_string())?;
        let size = file.metadata().map_err(|error| error.to_string())?.len();
        self.content(path, size, file)
    }

    /// The same for what is no file.
    pub(super) fn content(
        &self,
        path: &str,
        size: u64,
        mut from: impl io::Read,
    ) -> Result<(), String> {
        let left = self.state.lock().map_or(0, |state| state.left);
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        let mut buffer = vec![0; 64 << 10];
        // A file that grows meanwhile is told as it was.
        let mut from = from.by_ref().take(size);
        loop {
            let count = from.read(&mut buffer).map_err(|error| error.to_string())?;
            if count == 0 {
                break;
            }
            packed.write_all(&buffer[..count]).map_err(|error| error.to_string())?;
            if packed.get_ref().len() > left {
                return Err(format!(
                    "it has {size} bytes, and all files of a run {} MiB at most, compressed",
                    MAX_FILES >> 20
                ));
            }
        }
        let packed = packed.finish().map_err(|error| error.to_string())?;
        if let Ok(mut state) = self.state.lock() {
            state.left = state.left.saturating_sub(packed.len());
        }
        let pieces = packed.chunks(PIECE).count();
        for (index, piece) in packed.chunks(PIECE).enumerate() {
            self.tell(Message::File {
                path: path.to_owned(),
                size,
                data: STANDARD.encode(piece),
                last: index + 1 == pieces,
            });
        }
        Ok(())
    }
}

impl<W: Write + Send> Progress for Emitter<W> {
    fn event(&self, event: &Event<'_>) {
        self.tell(event.into());
    }
}
