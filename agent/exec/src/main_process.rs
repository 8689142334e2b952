//! The container's own command, beside which the server runs, and its last words.

use std::collections::VecDeque;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pilotfish_process::{
    Child, Command, Environment, ErrorTarget, ExitStatus, InputSource, OutputReader, OutputTarget,
    ProcessError, SearchPath,
};
use rustix::fs::OFlags;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::task::JoinHandle;

use crate::containers::directory_of;

/// The file beside the socket that says how a container ended.
const LAST_WORDS: &str = "ended";

/// How many of the last lines are kept, and how much of each, in bytes.
const LINES: usize = 10;
const LINE_BYTES: usize = 500;

/// The most that is read of last words, in bytes: as many as can be left.
const MAX_LAST_WORDS: u64 = 8 << 10;

/// The command that the container would have run by itself.
pub struct MainProcess {
    child: Child,
    lines: Arc<Mutex<VecDeque<String>>>,
    output: JoinHandle<()>,
}

impl MainProcess {
    /// Starts it. What it prints goes on to this process's standard output, the container's log.
    ///
    /// # Errors
    /// When it cannot be started.
    pub async fn start(
        arguments: Vec<String>,
        environment: &Environment,
    ) -> Result<Self, ProcessError> {
        let mut child = Command::new(arguments, SearchPath::of(environment))
            .environment(environment.clone())
            .stdin(InputSource::Null)
            .stdout(OutputTarget::Piped)
            .stderr(ErrorTarget::Output)
            .start()
            .await?;
        let lines = Arc::<Mutex<VecDeque<String>>>::default();
        let output = tokio::spawn(pass_on(child.stdout.take(), Arc::clone(&lines)));
        Ok(Self { child, lines, output })
    }

    /// Its number.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.pid()
    }

    /// Waits for its end: how it ended, and the last lines that it printed.
    pub async fn ended(self) -> (ExitStatus, Vec<String>) {
        let status = self.child.wait().await;
        // What is left in the pipe; a background process may keep that open for ever.
        let _ = tokio::time::timeout(std::time::Duration::from_secs(1), self.output).await;
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        (status, lines.iter().cloned().collect())
    }
}

async fn pass_on(reader: Option<OutputReader>, lines: Arc<Mutex<VecDeque<String>>>) {
    let Some(reader) = reader else { return };
    let mut reader = BufReader::new(reader);
    let mut last = LastLines { lines, line: Vec::new() };
    while let Ok(bytes @ [_, ..]) = reader.fill_buf().await {
        let _ = io::stdout().lock().write_all(bytes).and_then(|()| io::stdout().lock().flush());
        last.see(bytes);
        let seen = bytes.len();
        reader.consume(seen);
    }
    last.end_line();
}

/// Keeps the last lines of what goes by, and of each its beginning.
struct LastLines {
    lines: Arc<Mutex<VecDeque<String>>>,
    /// The one that has not ended.
    line: Vec<u8>,
}

impl LastLines {
    fn see(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let room = LINE_BYTES.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if piece.ends_with(b"\n") {
                self.end_line();
            }
        }
    }

    fn end_line(&mut self) {
        let text = String::from_utf8_lossy(&self.line).trim_end().to_owned();
        self.line.clear();
        if text.is_empty() {
            return;
        }
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == LINES {
            lines.pop_front();
        }
        lines.push_back(text);
    }
}

/// Leaves word of how the container ended, for the agent.
///
/// # Errors
/// When the file cannot be written.
pub fn leave_last_words(socket: &Path, how: &str, lines: &[String]) -> io::Result<()> {
    let mut text = how.to_owned();
    if !lines.is_empty() {
        text.push_str("; its last lines: ");
        text.push_str(&lines.join(" | "));
    }
    fs::write(directory_of(socket).join(LAST_WORDS), text)
}

/// Forgets how an earlier life of the container ended.
///
/// # Errors
/// When the file is there and cannot be removed.
pub fn forget_last_words(socket: &Path) -> io::Result<()> {
    match fs::remove_file(directory_of(socket).join(LAST_WORDS)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// How a container ended, if it left word. What runs in it can write the file: only a plain one is read.
pub(crate) fn last_words(directory: &Path) -> Option<String> {
    let plain = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let opened =
        fs::OpenOptions::new().read(true).custom_flags(plain).open(directory.join(LAST_WORDS));
    let file = opened.ok().filter(|file| file.metadata().is_ok_and(|one| one.is_file()))?;
    let mut bytes = Vec::new();
    file.take(MAX_LAST_WORDS).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    let shown = |one: char| if one.is_control() { ' ' } else { one };
    Some(text.trim().chars().map(shown).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_kept_however_they_come() {
        let lines = Arc::<Mutex<VecDeque<String>>>::default();
        let mut last = LastLines { lines: Arc::clone(&lines), line: Vec::new() };
        let mut text: String = (0..20).map(|number| format!("line {number}\n\n")).collect();
        text.push_str(&"x".repeat(2 * LINE_BYTES));
        for part in text.as_bytes().chunks(7) {
            last.see(part);
        }
        last.end_line();
        let lines = lines.lock().unwrap();
        assert_eq!(lines.len(), LINES);
        assert_eq!((lines[0].as_str(), lines[9].len()), ("line 11", LINE_BYTES));
    }

    #[test]
    fn only_plain_last_words_are_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(LAST_WORDS);
        let secret = directory.path().join("secret");
        fs::write(&secret, "s3cret").unwrap();
        std::os::unix::fs::symlink(&secret, &path).unwrap();
        assert_eq!(last_words(directory.path()), None, "a link leads to files of the agent");
        fs::remove_file(&path).unwrap();
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0)
            .unwrap();
        assert_eq!(last_words(directory.path()), None, "and a pipe never ends");
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"a\x1b[2J\xff\nb\n").unwrap();
        assert_eq!(last_words(directory.path()).unwrap(), "a [2J\u{fffd} b");
    }
}
