//! A running JVM: its streams, its log, its end.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jenkins_remoting::relay;
use pilotfish_process::{
    Command, Environment, ErrorTarget, ExitStatus, InputSource, OutputReader, OutputTarget,
    SearchPath,
};
use tokio::io::AsyncReadExt as _;
use tokio::sync::oneshot;

use super::JvmError;
use super::cache::{Cache, Digest};
use super::death::{self, LastWords};
use super::launcher::CANNOT_RENUMBER;
use super::memory::OutOfMemoryKills;

/// A line of a JVM's log that is longer is cut, in bytes.
const MAX_LINE: usize = 8 << 10;

/// What the pipes to and from a JVM hold, in bytes: as much as any user may ask for. It waits in its library
/// for every chunk of a stream that does not fit.
const PIPE_BYTES: usize = 1 << 20;

/// How long last words are waited for once the process has ended: a child of it may hold the pipe.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// What to do about the archive of classes when the JVM ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Archive {
    /// It used none and writes none.
    None,
    /// It uses this one, which must go if the JVM crashes: a damaged one may be why.
    Used(PathBuf),
    /// It writes one here, to be kept if the JVM ends well.
    Written(PathBuf),
}

/// What a JVM is started with.
#[derive(Debug)]
pub(crate) struct Spawn {
    pub(crate) arguments: Vec<String>,
    pub(crate) environment: Environment,
    pub(crate) cache: Cache,
    pub(crate) archive: Archive,
    pub(crate) archive_key: Digest,
    /// Whether another may follow it on the same connection.
    pub(crate) restartable: bool,
    /// Set when it turned out that none can.
    pub(crate) cannot_renumber: Arc<AtomicBool>,
}

impl Spawn {
    /// Starts the process.
    ///
    /// # Errors
    /// When the system does not.
    pub(crate) async fn start(self) -> Result<relay::Child, JvmError> {
        let failed = |problem: String| JvmError::Start { problem };
        let before = OutOfMemoryKills::now();
        let search_path = SearchPath::of(&self.environment);
        let mut child = Command::new(self.arguments.clone(), search_path)
            .environment(self.environment.clone())
            .stdin(InputSource::Piped)
            .stdout(OutputTarget::Piped)
            .stderr(ErrorTarget::Piped)
            .start()
            .await
            .map_err(|error| failed(error.to_string()))?;
        let streams = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (Some(input), Some(output), Some(errors)) = streams else {
            let _ = child.kill();
            return Err(failed("it has no pipes".to_owned()));
        };
        input.widen(PIPE_BYTES);
        output.widen(PIPE_BYTES);
        let pid = child.pid();
        let (exit, restartable) = (child.exit_watch(), self.restartable);
        let killed = Arc::new(AtomicBool::new(false));
        let by_us = Arc::clone(&killed);
        let words = Arc::new(Mutex::new(LastWords::default()));
        let mut log = tokio::spawn(pass_on(errors, Arc::clone(&words)));
        let (tell, ended) = oneshot::channel();
        // A task of its own, so that what a JVM leaves is tended to whoever waits for its end or not.
        tokio::spawn(async move {
            let status = exit.wait().await;
            if tokio::time::timeout(LAST_WORDS, &mut log).await.is_err() {
                log.abort();
            }
            let words = words.lock().unwrap_or_else(PoisonError::into_inner).clone();
            let kernel = OutOfMemoryKills::now().since(&before);
            let reason = death::reason(status, &words, kernel, by_us.load(Ordering::Acquire));
            if status == ExitStatus::Exited(0) {
                tracing::debug!(pid, "the JVM ended");
            } else {
                tracing::info!(pid, "{reason}");
            }
            self.clean_up(status).await;
            let _ = tell.send(reason);
        });
        Ok(relay::Child {
            input: Box::new(input),
            output: Box::new(output),
            pid: Some(pid),
            ended: Box::pin(async move {
                ended.await.unwrap_or_else(|_| "the agent is shutting down".to_owned())
            }),
            kill: Box::new(move || {
                killed.store(true, Ordering::Release);
                if let Err(error) = child.kill() {
                    tracing::warn!(pid, %error, "the JVM cannot be ended");
                }
            }),
            restartable,
        })
    }

    async fn clean_up(self, status: ExitStatus) {
        if status == ExitStatus::Exited(CANNOT_RENUMBER) {
            self.cannot_renumber.store(true, Ordering::Release);
        }
        let (cache, key, archive) = (self.cache, self.archive_key, self.archive);
        let tidy = move || match (archive, status) {
            (Archive::Written(path), ExitStatus::Exited(0)) => {
                if let Err(error) = cache.keep_archive(&path, &key) {
                    tracing::debug!(%error, "the JVM left no archive of classes");
                }
            }
            (Archive::Written(path), _) => drop(std::fs::remove_file(path)),
            (Archive::Used(path), status) if is_crash(status) => {
                drop(std::fs::remove_file(path));
            }
            _ => {}
        };
        let _ = tokio::task::spawn_blocking(tidy).await;
    }
}

/// Neither an exit of its own nor the usual ways to end it from outside, SIGKILL and SIGTERM.
fn is_crash(status: ExitStatus) -> bool {
    matches!(status, ExitStatus::Signaled(signal) if signal != 9 && signal != 15)
}

/// Passes what the JVM writes to standard error to the log, line by line.
async fn pass_on(mut errors: OutputReader, words: Arc<Mutex<LastWords>>) {
    let mut lines = Lines::default();
    let mut buffer = vec![0; MAX_LINE];
    let tell = |line: String| {
        tracing::info!(target: "jvm", "{line}");
        words.lock().unwrap_or_else(PoisonError::into_inner).add(&line);
    };
    loop {
        match errors.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(read) => lines.split(buffer.get(..read).unwrap_or_default(), tell),
        }
    }
    lines.finish(tell);
}

/// Bytes cut into lines of a bounded length.
#[derive(Debug, Default)]
struct Lines {
    unfinished: Vec<u8>,
    /// The rest of a line that was too long.
    skipping: bool,
}

impl Lines {
    fn split(&mut self, bytes: &[u8], mut line: impl FnMut(String)) {
        for part in bytes.split_inclusive(|&byte| byte == b'\n') {
            let (text, ended) = match part.split_last() {
                Some((b'\n', text)) => (text, true),
                _ => (part, false),
            };
            if !self.skipping {
                let room = MAX_LINE - self.unfinished.len();
                self.unfinished.extend_from_slice(text.get(..room).unwrap_or(text));
                if text.len() > room {
                    self.skipping = true;
                    line(self.take() + " [...]");
                } else if ended {
                    line(self.take());
                }
            }
            if ended {
                self.skipping = false;
            }
        }
    }

    fn finish(&mut self, mut line: impl FnMut(String)) {
        if !self.unfinished.is_empty() {
            line(self.take());
        }
    }

    fn take(&mut self) -> String {
        let text = String::from_utf8_lossy(&self.unfinished).trim_end_matches('\r').to_owned();
        self.unfinished.clear();
        text
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tokio::io::AsyncWriteExt as _;

    use super::*;

    fn spawn(cache: &Path, script: &str, archive: Archive) -> Spawn {
        Spawn {
            arguments: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
            environment: [("PATH", "/usr/bin:/bin")].into_iter().collect(),
            cache: Cache::open(cache).unwrap(),
            archive,
            archive_key: Digest::of(b"key"),
            restartable: true,
            cannot_renumber: Arc::default(),
        }
    }

    #[test]
    fn lines_are_cut_where_they_end_and_where_they_are_too_long() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        lines.split(b"one\r\ntw", |line| found.push(line));
        lines.split(b"o\n\n", |line| found.push(line));
        lines.split(&[b'x'; MAX_LINE + 1], |line| found.push(line));
        lines.split(b"yyy\nlast", |line| found.push(line));
        lines.finish(|line| found.push(line));
        let long = format!("{} [...]", "x".repeat(MAX_LINE));
        assert_eq!(found, ["one", "two", "", &long, "last"]);
    }

    #[tokio::test]
    async fn streams_lead_to_the_process_and_its_end_is_told() {
        let cache = tempfile::tempdir().unwrap();
        let script = "read line; echo \"got $line\"; echo 'Error: broken' >&2; exit 4";
        let mut child = spawn(cache.path(), script, Archive::None).start().await.unwrap();
        child.input.write_all(b"this\n").await.unwrap();
        let mut output = String::new();
        child.output.read_to_string(&mut output).await.unwrap();
        assert_eq!(output, "got this\n");
        assert_eq!(child.ended.await, "the JVM ended with exit code 4: Error: broken");
        assert!(child.restartable);
    }

    #[tokio::test]
    async fn one_that_hangs_can_be_ended() {
        let cache = tempfile::tempdir().unwrap();
        let script = "trap '' TERM; kill -STOP $$; exit 0";
        let child = spawn(cache.path(), script, Archive::None).start().await.unwrap();
        (child.kill)();
        assert_eq!(child.ended.await, "the agent ended the JVM");
    }

    #[tokio::test]
    async fn an_archive_is_kept_only_if_the_jvm_ended_well() {
        let directory = tempfile::tempdir().unwrap();
        let cache = Cache::open(directory.path()).unwrap();
        let kept = cache.archive(&Digest::of(b"key"));
        for (end, expected) in [("exit 1", false), ("exit 0", true)] {
            let path = cache.unfinished();
            let script = format!("echo classes > {}; {end}", path.display());
            let archive = Archive::Written(path.clone());
            spawn(directory.path(), &script, archive).start().await.unwrap().ended.await;
            assert_eq!((kept.exists(), path.exists()), (expected, false));
        }
        // One with which a JVM crashes is not used again; a JVM that is killed says nothing about it.
        for (end, expected) in [("kill -KILL $$", true), ("kill -ABRT $$", false)] {
            let archive = Archive::Used(kept.clone());
            spawn(directory.path(), end, archive).start().await.unwrap().ended.await;
            assert_eq!(kept.exists(), expected);
        }
    }

    #[tokio::test]
    async fn a_library_that_lets_no_second_follow_is_remembered() {
        let cache = tempfile::tempdir().unwrap();
        let spawn = spawn(cache.path(), "exit 97", Archive::None);
        let flag = Arc::clone(&spawn.cannot_renumber);
        let reason = spawn.start().await.unwrap().ended.await;
        assert!(reason.contains("does not let a second JVM"), "{reason}");
        assert!(flag.load(Ordering::Acquire));
    }
}
