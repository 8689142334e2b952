//! The log of a stage: a file, secrets masked, lines passed on to the progress.

use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Arc, Mutex};

use pilotfish_process::OutputSink;

use super::progress::{Event, Progress};

/// The most bytes of a line that are kept together. A longer line is passed on in pieces.
const MAX_LINE: usize = 64 * 1024;
/// The most bytes of a log. What comes after is counted, not kept.
const MAX_LOG: u64 = 256 * 1024 * 1024;
/// Secrets shorter than this are not masked: the mask would tear every text apart.
const SHORTEST_SECRET: usize = 4;
const MASK: &str = "****";

/// The log of a stage.
pub(super) struct Log {
    file: File,
    written: u64,
    dropped: u64,
    secrets: Vec<String>,
    line: Vec<u8>,
    id: String,
    progress: Arc<dyn Progress>,
}

/// A log that several places write to.
pub(super) type SharedLog = Arc<Mutex<Log>>;

impl Log {
    pub(super) fn create(
        path: &Path,
        id: &str,
        progress: Arc<dyn Progress>,
    ) -> io::Result<SharedLog> {
        Ok(Arc::new(Mutex::new(Self {
            file: File::create(path)?,
            written: 0,
            dropped: 0,
            secrets: Vec::new(),
            line: Vec::new(),
            id: id.to_owned(),
            progress,
        })))
    }

    /// Masks these texts from now on, each line of them on its own.
    pub(super) fn mask(&mut self, secrets: impl IntoIterator<Item = String>) {
        for secret in secrets {
            self.secrets.extend(
                secret
                    .lines()
                    .map(str::trim)
                    .filter(|line| line.len() >= SHORTEST_SECRET)
                    .map(str::to_owned),
            );
        }
        // A secret inside another one must not spoil it.
        self.secrets.sort_by_key(|one| std::cmp::Reverse(one.len()));
        self.secrets.dedup();
    }

    /// Whether a text has one of these texts in it.
    pub(super) fn has_secret(&self, text: &str) -> bool {
        self.secrets.iter().any(|one| text.contains(one.as_str()))
    }

    /// Writes a line of the runner itself.
    pub(super) fn say(&mut self, text: &str) {
        let _ = self.flush_line();
        let text = self.masked(text);
        self.progress.event(&Event::Said { id: &self.id, line: &text });
        let _ = self.keep(format!("{text}\n").as_bytes());
    }

    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for &byte in bytes {
            if byte == b'\n' {
                self.flush_line()?;
                continue;
            }
            if self.line.len() >= MAX_LINE {
                self.flush_line()?;
            }
            self.line.push(byte);
        }
        Ok(())
    }

    /// Passes on the line so far, for the end of a step that wrote no end of line.
    pub(super) fn flush_line(&mut self) -> io::Result<()> {
        if self.line.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.line);
        let text = String::from_utf8_lossy(&bytes);
        let text = self.masked(text.trim_end_matches('\r'));
        self.progress.event(&Event::Output { id: &self.id, line: &text });
        self.keep(format!("{text}\n").as_bytes())
    }

    fn masked(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in &self.secrets {
            if text.contains(secret.as_str()) {
                text = text.replace(secret.as_str(), MASK);
            }
        }
        text
    }

    fn keep(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        if self.written.saturating_add(length) > MAX_LOG {
            if self.dropped == 0 {
                self.file.write_all(b"--- the log is over 256 MiB, the rest is not kept ---\n")?;
            }
            self.dropped = self.dropped.saturating_add(length);
            return Ok(());
        }
        self.written += length;
        self.file.write_all(bytes)
    }
}

/// Takes the output of a process for a log.
pub(super) struct LogSink(pub SharedLog);

impl OutputSink for LogSink {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.0.lock() {
            Ok(mut log) => log.write(bytes),
            Err(_) => Err(io::Error::other("the log is lost")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::progress::Silent;

    #[test]
    fn secrets_are_masked_even_when_they_come_in_pieces() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = Log::create(&path, "a", Arc::new(Silent)).unwrap();
        let mut log = log.lock().unwrap();
        log.mask(["hunter2\nsecond line\nab".to_owned()]);
        log.write(b"pass hun").unwrap();
        log.write(b"ter2 and second line ab\nlast").unwrap();
        log.say("said hunter2");
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "pass **** and **** ab\nlast\nsaid ****\n");
    }

    #[test]
    fn a_line_without_end_stays_small() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log");
        let log = Log::create(&path, "a", Arc::new(Silent)).unwrap();
        let mut log = log.lock().unwrap();
        log.write(&vec![b'x'; 3 * MAX_LINE]).unwrap();
        assert!(log.line.len() <= MAX_LINE);
        log.flush_line().unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().len(), 3 * (MAX_LINE as u64 + 1));
    }
}
