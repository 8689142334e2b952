//! Passing on what a process writes, and the wait for those that keep its streams open.
//!
//! A background process a build leaves running often still has the build's output stream. The
//! stream then does not end with the build, so after the end of the process the wait for the end
//! of its stream is limited (Java: `hudson.Proc.LocalProc.join`).

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

use crate::{ExitWatch, OutputReader};

/// How long after the end of a process its streams may stay open without being called leaked.
pub const LEAKED_DESCRIPTORS_GRACE: Duration = Duration::from_secs(10);

/// The most passed to a sink at once, in bytes; also all the memory a pump takes.
const CHUNK: usize = 32 * 1024;

/// Takes the output of a process.
pub trait OutputSink: Send + 'static {
    /// Takes some bytes, at least one and at most 32 KiB. Nothing more is read from the process
    /// until this has finished, so a slow sink slows the process down.
    ///
    /// # Errors
    /// Any error ends the pump; the stream is closed, and the process fails at its next write.
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send;
}

/// A function is a sink.
impl<F, W> OutputSink for F
where
    F: FnMut(Vec<u8>) -> W + Send + 'static,
    W: Future<Output = io::Result<()>> + Send,
{
    fn write(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<()>> + Send {
        self(bytes.to_vec())
    }
}

/// Makes a sink of a writer. It is flushed after every write.
#[derive(Debug)]
pub struct AsyncWriteSink<W>(pub W);

impl<W: AsyncWrite + Unpin + Send + 'static> OutputSink for AsyncWriteSink<W> {
    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes).await?;
        self.0.flush().await
    }
}

/// Why a pump ended.
#[derive(Debug)]
pub enum PumpEnd {
    /// Everybody closed the stream: all output was passed on.
    EndOfStream,
    /// The process has ended, and another one still holds the stream: tell the user that the
    /// process leaked file descriptors. Everything the process wrote itself was passed on.
    ///
    /// What comes later is read and thrown away, so that the other process is not stopped by it.
    LeakedDescriptors,
    /// The sink failed.
    SinkFailed(io::Error),
    /// The stream could not be read.
    ReadFailed(io::Error),
}

/// What a pump did.
#[derive(Debug)]
pub struct PumpOutcome<S> {
    /// Why it ended.
    pub end: PumpEnd,
    /// The bytes the sink took.
    pub bytes: u64,
    /// The sink, for a last word.
    pub sink: S,
}

/// A task that passes one output stream of a process to a sink.
///
/// Dropping it lets the task go on until the stream ends.
#[derive(Debug)]
pub struct OutputPump<S> {
    task: Option<JoinHandle<PumpOutcome<S>>>,
}

impl<S: OutputSink> OutputPump<S> {
    /// Passes a stream on until it ends, or [`LEAKED_DESCRIPTORS_GRACE`] after the process did.
    #[must_use]
    pub fn start(reader: OutputReader, sink: S, exit: ExitWatch) -> Self {
        Self::with_grace(reader, sink, exit, LEAKED_DESCRIPTORS_GRACE)
    }

    /// The same with another grace.
    #[must_use]
    pub fn with_grace(reader: OutputReader, sink: S, exit: ExitWatch, grace: Duration) -> Self {
        Self { task: Some(tokio::spawn(pump(reader, sink, exit, grace))) }
    }

    /// Waits until everything is passed on. `None` if the pump was [stopped](Self::stop), the sink
    /// panicked, or the outcome was given before.
    ///
    /// It takes at most the grace from the end of the process, plus the time the sink needs for
    /// what the process wrote before it ended. The future can be dropped and asked for again.
    pub async fn finish(&mut self) -> Option<PumpOutcome<S>> {
        let outcome = self.task.as_mut()?.await;
        self.task = None;
        outcome.ok()
    }

    /// Stops at once and closes the stream: for a sink that will never finish.
    pub fn stop(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn pump<S: OutputSink>(
    mut reader: OutputReader,
    mut sink: S,
    exit: ExitWatch,
    grace: Duration,
) -> PumpOutcome<S> {
    let mut buffer = vec![0; CHUNK];
    let mut bytes = 0;
    // Set once the process has ended: until when, and how much may still be its own output.
    let mut closing: Option<(Instant, usize)> = None;
    let end = loop {
        if closing.is_none() {
            closing = exit.ended_at().map(|ended| (ended + grace, reader.capacity()));
        }
        // The grace limits waiting for output, not a slow sink: what is in the pipe is passed on
        // first, but a leaker that never stops writing must not keep the build waiting.
        let others_output =
            closing.is_some_and(|(deadline, own)| own == 0 && Instant::now() >= deadline);
        if others_output {
            break PumpEnd::LeakedDescriptors;
        }
        let count = tokio::select! {
            biased;
            read = reader.read(&mut buffer) => match read {
                Ok(0) => break PumpEnd::EndOfStream,
                Ok(count) => count,
                Err(error) => break PumpEnd::ReadFailed(error),
            },
            () = until(closing.map(|(deadline, _)| deadline)) => break PumpEnd::LeakedDescriptors,
            _ = exit.wait(), if closing.is_none() => {
                if exit.ended_at().is_none() {
                    // The runtime is going down and took the wait for the process with it.
                    break PumpEnd::LeakedDescriptors;
                }
                continue;
            }
        };
        if let Some((_, own)) = &mut closing {
            *own = own.saturating_sub(count);
        }
        if let Err(error) = sink.write(&buffer[..count]).await {
            break PumpEnd::SinkFailed(error);
        }
        bytes += u64::try_from(count).unwrap_or(u64::MAX);
    };
    if matches!(end, PumpEnd::LeakedDescriptors) {
        tokio::spawn(discard(reader, buffer));
    }
    PumpOutcome { end, bytes, sink }
}

/// Reads a stream to its end for nobody.
async fn discard(mut reader: OutputReader, mut buffer: Vec<u8>) {
    while matches!(reader.read(&mut buffer).await, Ok(1..)) {}
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
