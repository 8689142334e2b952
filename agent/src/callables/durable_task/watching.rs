//! Watched steps (`DurableTaskStep.USE_WATCHING`): the agent pushes output and the exit status.
//!
//! Where a watch has got to is kept in the control directory, so that a later connection goes on from
//! there. It is kept only once the controller has acknowledged the output: what is under way when a
//! connection breaks is sent again rather than lost.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use java_object_stream::{Datum, from_java, jdk};
use jenkins_remoting::channel::{Channel, IoScope, RemoteProxy, Reply, StreamError, Throwable};
use jenkins_remoting::proxy_of;

use super::super::listener::{Listener, Listeners};
use super::super::{Context, Entry, FileCall, Run, unknown};
use super::{exit_status, transcode, transcoding};
use crate::confine::{FileThreads, check_here};
use crate::files::attributes::last_modified;
use crate::files::charset::Charset;
use crate::files::{Cancel, FileError, removal};

pub(in super::super) const ENTRIES: &[Entry] = &[Entry {
    class: "org.jenkinsci.plugins.durabletask.FileMonitoringTask$StartWatching",
    run: Run::FileAsync(start_watching),
}];

const HANDLER: &str =
    "org.jenkinsci.plugins.workflow.steps.durable_task.DurableTaskStep$HandlerImpl";
const SHELL_CONTROLLER: &str =
    "org.jenkinsci.plugins.durabletask.BourneShellScript$ShellController";

/// Controllers of other interpreters, which have the same files and no heartbeat.
const OTHER_CONTROLLERS: [&str; 2] = [
    "org.jenkinsci.plugins.durabletask.WindowsBatchScript$BatchController",
    "org.jenkinsci.plugins.durabletask.PowershellScript$PowershellController",
];

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_millis(100);

/// Output is gathered for this long, as the controller's own buffer does
/// (`DelayBufferedOutputStream.Tuning.minRecurrencePeriod`), unless there is much of it.
const GATHERING: Duration = Duration::from_secs(1);

/// How much is read, and sent, at a time.
const PART_BYTES: u64 = 256 << 10;

/// How often the wrapper script's sign of life is looked for (`HEARTBEAT_CHECK_INTERVAL`).
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(300);

/// How much younger the log must have become in that time, in milliseconds
/// (`HEARTBEAT_MINIMUM_DELTA`). The script touches it every three seconds.
const HEARTBEAT_DELTA: i64 = 2000;

from_java! {
    struct Controller {
        directory: Option<String> = "controlDir",
        charset: Option<String> = "charset",
    }
}

fn start_watching<'a>(file: &'a FileCall<'a>) -> BoxFuture<'a, Reply> {
    async move {
        let watch = match watch(file) {
            Ok(watch) => watch,
            Err(throwable) => return Reply::throw(throwable),
        };
        // It may name a directory of its own.
        let directory = watch.directory.clone();
        let check = move |_: &Cancel| check_here(&directory, true).map_err(Throwable::from);
        if let Err(throwable) = file.blocking(check).await {
            return Reply::throw(throwable);
        }
        tokio::spawn(watch.run());
        Reply::null()
    }
    .boxed()
}

/// Prepares a watch. Nothing is written past a listener that is not known exactly.
fn watch(file: &FileCall<'_>) -> Result<Watch, Throwable> {
    let controller = file.callable.field("controller")?;
    let class = controller.class_name().unwrap_or_default();
    let is_shell = class == SHELL_CONTROLLER;
    if !is_shell && !OTHER_CONTROLLERS.contains(&class.as_ref()) {
        return Err(unknown::limit(&format!("watch a step of {class}")));
    }
    let handler = file.callable.field("handler")?;
    let handler_class = handler.class_name().unwrap_or_default();
    if handler_class != HANDLER {
        return Err(unknown::limit(&format!("report to {handler_class}")));
    }
    let Controller { directory, charset } = controller.read()?;
    let directory = directory.ok_or_else(|| {
        Throwable::io("this step was started by a durable-task plugin older than 1.8")
    })?;
    let charset = transcoding(charset.as_deref())
        .map_err(|error| Throwable::from(error).beyond_this_side())?;
    let execution = proxy_of(handler.field("execution")?)
        .ok_or_else(|| unknown::limit("report to a step that is no remote object"))?;
    let scope = IoScope::new();
    let listener =
        Listeners::detached(file.call, scope.clone()).read(handler.field("listener")?)?;
    Ok(Watch {
        directory: file.path.join(directory),
        charset,
        execution: file.call.channel().proxy(execution),
        channel: file.call.channel().clone(),
        listener,
        scope,
        heartbeat: is_shell.then(Heartbeat::default),
        last_sent: None,
        position: None,
        threads: file.connection.context.file_threads.clone(),
        context: Arc::clone(&file.connection.context),
    })
}

/// A step that is being watched (`FileMonitoringTask$Watcher`).
struct Watch {
    directory: PathBuf,
    charset: Option<Charset>,
    listener: Listener,
    execution: RemoteProxy,
    channel: Channel,
    scope: IoScope,
    heartbeat: Option<Heartbeat>,
    last_sent: Option<Instant>,
    /// How far the log was read; before the first look, where the last watch got to.
    position: Option<u64>,
    threads: FileThreads,
    context: Arc<Context>,
}

/// The wrapper script touches the log as long as it lives (`ShellController.exitStatus`).
#[derive(Default)]
struct Heartbeat {
    checked: Option<Instant>,
    modified: i64,
}

/// Why a watch gives up. The step then waits for the next connection, or for the controller's own
/// check.
#[derive(Debug, thiserror::Error)]
enum WatchError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{0}")]
    Call(#[from] jenkins_remoting::channel::CallError),
}

impl Watch {
    async fn run(mut self) {
        loop {
            match self.look().await {
                Ok(true) => return,
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(%error, directory = %self.directory.display(), "giving up on watching a step");
                    return;
                }
            }
            tokio::select! {
                () = tokio::time::sleep(INTERVAL) => {}
                _ = self.channel.ended() => return,
            }
        }
    }

    /// One look at the files; true when the step is over.
    async fn look(&mut self) -> Result<bool, WatchError> {
        // Before the output is read: what the process wrote before it ended is then there.
        let status = self.status().await?;
        if let Some(status) = status {
            let (context, directory) = (Arc::clone(&self.context), self.directory.clone());
            self.blocking(move || {
                context.tasks.ended(&directory, status);
                context.memory.task_ended(&directory, status);
                Ok(())
            })
            .await?;
        }
        let due = self.last_sent.is_none_or(|last| last.elapsed() >= GATHERING);
        if status.is_some() || due {
            while self.send_part(status.is_some()).await? {}
        }
        let Some(status) = status else {
            let directory = self.directory.clone();
            if !self.blocking(move || Ok(directory.is_dir())).await? {
                tracing::warn!(directory = %self.directory.display(), "the control directory of a step is gone");
                return Ok(true);
            }
            return Ok(false);
        };
        self.listener.finish().await?;
        let output = self.output().await?;
        let arguments = vec![jdk::integer(status), output.map_or(Datum::Null, Datum::Bytes)];
        self.execution.invoke("exited", &["int", "[B"], arguments, &self.scope).await?;
        let directory = self.directory.clone();
        self.blocking(move || removal::delete_recursive(&directory, &Cancel::new())).await?;
        Ok(true)
    }

    /// Runs a file operation where it may block.
    async fn blocking<T: Send + 'static>(
        &self,
        operation: impl FnOnce() -> Result<T, FileError> + Send + 'static,
    ) -> Result<T, WatchError> {
        let ended = self.threads.run(operation).await;
        ended.unwrap_or_else(|gone| Err(FileError::io(gone.to_string()))).map_err(Into::into)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// Sends the next part of the output; false when there is no more for now. `all`: the process has
    /// ended, so what is there is all that comes.
    async fn send_part(&mut self, all: bool) -> Result<bool, WatchError> {
        let (log, location, from) =
            (self.file("jenkins-log.txt"), self.file("last-location.txt"), self.position);
        let (from, mut bytes) = self
            .blocking(move || {
                let from = from.map_or_else(|| last_location(&location), Ok)?;
                Ok((from, read_part(&log, from)?))
            })
            .await?;
        if self.charset.is_some() && !all {
            cut_at_line_end(&mut bytes);
        }
        self.position = Some(from);
        if bytes.is_empty() {
            return Ok(false);
        }
        let reached = from + bytes.len() as u64;
        self.listener.write(&transcode(bytes, self.charset)).await?;
        let held = self.listener.settle().await? as u64;
        self.last_sent = Some(Instant::now());
        self.position = Some(reached);
        // What decorators hold back of an unfinished line was not sent. In another charset it cannot be
        // found in the file again, so the place of the last whole line stays.
        if held == 0 || self.charset.is_none() {
            let location = self.file("last-location.txt");
            let sent = reached.saturating_sub(held).to_string();
            self.blocking(move || {
                std::fs::write(&location, sent).map_err(|error| FileError::at(error, &location))
            })
            .await?;
        }
        Ok(true)
    }

    async fn output(&self) -> Result<Option<Vec<u8>>, WatchError> {
        let (file, charset) = (self.file("output.txt"), self.charset);
        self.blocking(move || match std::fs::read(&file) {
            Ok(bytes) => Ok(Some(transcode(bytes, charset))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(FileError::at(error, &file)),
        })
        .await
    }

    async fn status(&mut self) -> Result<Option<i32>, WatchError> {
        let result = self.file("jenkins-result.txt");
        let status = self.blocking(move || exit_status(&result)).await?;
        match (status, self.heartbeat.take()) {
            (None, Some(mut heartbeat)) => {
                let status = self.check_heartbeat(&mut heartbeat).await?;
                self.heartbeat = Some(heartbeat);
                Ok(status)
            }
            (status, heartbeat) => {
                self.heartbeat = heartbeat;
                Ok(status)
            }
        }
    }

    /// The status of a process whose wrapper script is gone without having written one.
    async fn check_heartbeat(
        &mut self,
        heartbeat: &mut Heartbeat,
    ) -> Result<Option<i32>, WatchError> {
        let Some(checked) = heartbeat.checked else {
            heartbeat.checked = Some(Instant::now());
            return Ok(None);
        };
        if checked.elapsed() < HEARTBEAT_INTERVAL {
            return Ok(None);
        }
        heartbeat.checked = Some(Instant::now());
        let (log, pid) = (self.file("jenkins-log.txt"), self.file("pid"));
        let (modified, has_pid) =
            self.blocking(move || Ok((last_modified(&log), pid.exists()))).await?;
        let before = std::mem::replace(&mut heartbeat.modified, modified);
        let directory = self.directory.display().to_string();
        if modified == 0 {
            let line = format!("process apparently never started in {directory}\n");
            return self.give_up(&line, -2).await;
        }
        if before > 0 && modified < before {
            self.listener.write(format!("apparent clock skew in {directory}\n").as_bytes()).await?;
        } else if before > 0 && modified < before + HEARTBEAT_DELTA && !has_pid {
            let line = format!(
                "wrapper script does not seem to be touching the log file in {directory}\n\
                 (JENKINS-48300: if on an extremely laggy filesystem, consider \
                 -Dorg.jenkinsci.plugins.durabletask.BourneShellScript.HEARTBEAT_CHECK_INTERVAL=86400)\n"
            );
            return self.give_up(&line, -1).await;
        }
        Ok(None)
    }

    async fn give_up(&mut self, line: &str, status: i32) -> Result<Option<i32>, WatchError> {
        self.listener.write(line.as_bytes()).await?;
        let result = self.file("jenkins-result.txt");
        self.blocking(move || {
            std::fs::write(&result, status.to_string())
                .map_err(|error| FileError::at(error, &result))
        })
        .await?;
        Ok(Some(status))
    }
}

/// Where the last watch got to.
fn last_location(file: &Path) -> Result<u64, FileError> {
    match std::fs::read_to_string(file) {
        Ok(text) => text.trim().parse().map_err(|_| {
            FileError::io(format!("corrupted content in {}: no number", file.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(FileError::at(error, file)),
    }
}

fn read_part(log: &Path, from: u64) -> Result<Vec<u8>, FileError> {
    let Ok(mut file) = std::fs::File::open(log) else { return Ok(Vec::new()) };
    let failed = |error| FileError::at(error, log);
    file.seek(SeekFrom::Start(from)).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(PART_BYTES).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// Leaves an unfinished line for later: a character of several bytes may be cut in two there.
fn cut_at_line_end(bytes: &mut Vec<u8>) {
    if let Some(last) = bytes.iter().rposition(|byte| *byte == b'\n') {
        bytes.truncate(last + 1);
    } else if (bytes.len() as u64) < PART_BYTES {
        bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_lines_wait_unless_they_are_very_long() {
        for (bytes, kept) in [(&b"a\nbc"[..], &b"a\n"[..]), (b"abc", b""), (b"a\n", b"a\n")] {
            let mut part = bytes.to_vec();
            cut_at_line_end(&mut part);
            assert_eq!(part, kept);
        }
        let mut long = vec![b'x'; usize::try_from(PART_BYTES).unwrap()];
        cut_at_line_end(&mut long);
        assert_eq!(long.len() as u64, PART_BYTES);
    }

    #[test]
    fn the_place_of_the_last_watch_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("last-location.txt");
        assert_eq!(last_location(&file).unwrap(), 0);
        std::fs::write(&file, "1482").unwrap();
        assert_eq!(last_location(&file).unwrap(), 1482);
        std::fs::write(&file, "x").unwrap();
        assert!(last_location(&file).is_err());
    }
}
