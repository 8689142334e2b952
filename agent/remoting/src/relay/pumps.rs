//! The two ends of a child's pipes: what it says goes to the controller, what waits for it goes in.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::Relay;
use super::said::Said;
use super::state::Waiter;
use crate::channel::{Closed, Inner};
use crate::framing::{ChunkReader, ChunkWriter, ChunkWriterOptions, FramingError};

/// How much is read at once.
const READ_BYTES: usize = 64 << 10;

/// Chunks of the length that the Java library writes, as many at once as one write to a pipe takes.
const CHUNKS: (usize, usize) = (8192, 64 << 10);

/// How a child's output ended.
#[derive(Debug)]
pub(crate) enum Silence {
    /// The pipe is closed.
    Nothing,
    /// It closed its channel.
    Goodbye,
    /// It cannot be read.
    Nonsense(String),
}

/// Sends what waits for the child until the backlog is finished, then closes the pipe.
pub(crate) async fn pump_in(
    relay: &Relay,
    mut input: Box<dyn AsyncWrite + Send + Unpin>,
) -> io::Result<()> {
    let mut writer = ChunkWriter::new(ChunkWriterOptions::batched(CHUNKS.0, CHUNKS.1));
    while let Some(first) = relay.backlog.next().await {
        writer.push(first);
        loop {
            while let Some(message) = writer.full_message() {
                input.write_all(&message).await?;
            }
            let Some(next) = relay.backlog.try_next() else { break };
            writer.push(next);
        }
        if let Some(message) = writer.next_message() {
            input.write_all(&message).await?;
        }
        input.flush().await?;
    }
    input.shutdown().await
}

/// Passes on what the child says, beginning with `rest`, which was read already. Once the channel has
/// ended, it is read and dropped.
pub(crate) async fn pump_out(
    inner: &Arc<Inner>,
    relay: &Relay,
    rest: Bytes,
    mut output: Box<dyn AsyncRead + Send + Unpin>,
) -> Silence {
    let mut reader = ChunkReader::default();
    reader.feed(rest);
    let mut buffer = BytesMut::new();
    let mut open = true;
    loop {
        loop {
            match reader.next_command() {
                Ok(Some(command)) => {
                    relay.signs.give();
                    match inner.pass_on(relay, command).await {
                        Ok(true) => {}
                        Ok(false) => return Silence::Goodbye,
                        Err(Closed) => open = false,
                    }
                }
                Ok(None) => break,
                Err(error) => return Silence::Nonsense(nonsense(&error)),
            }
        }
        buffer.reserve(READ_BYTES);
        match output.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return Silence::Nothing,
            Ok(_) => relay.signs.give(),
        }
        let bytes = buffer.split().freeze();
        if open {
            reader.feed(bytes);
        }
    }
}

/// The reader's own words are about a controller.
fn nonsense(error: &FramingError) -> String {
    match error {
        FramingError::CommandTooLong { limit } => {
            format!("it sent a command of more than {limit} bytes")
        }
        FramingError::EndlessCommand { .. } => "it sent something that is no command".to_owned(),
    }
}

impl Inner {
    /// Passes one command of the child on to the controller. False when it closes its channel.
    async fn pass_on(&self, relay: &Relay, command: Bytes) -> Result<bool, Closed> {
        let said = Said::of(&command, &relay.encoder);
        if said == Said::Close {
            return Ok(false);
        }
        if let Said::Response(id) = said
            && let Some(complete) = relay.own_answer(id)
        {
            for io in complete {
                self.order.complete(io);
            }
            return Ok(true);
        }
        relay.signs.blocked.store(true, Ordering::Release);
        let room = self.queue.reserve(command.len()).await;
        relay.signs.blocked.store(false, Ordering::Release);
        relay.signs.give();
        let room = room?;
        // From here on nothing waits: a request is either held or answered.
        let mut state = relay.lock();
        let mut waiter = None;
        let mut complete = None;
        match said {
            Said::Response(id) => match state.held.remove(&id) {
                Some(held) => waiter = Some(held.waiter),
                None => {
                    drop(state);
                    tracing::warn!(id, "the JVM answered a request that it was not sent");
                    return Ok(true);
                }
            },
            Said::Request(id) => state.ledger.called(id),
            Said::Acknowledged(oid) => complete = state.barrier.acknowledged(oid),
            Said::GivenBack(oid) => {
                if !state.given_back(oid) {
                    return Ok(true);
                }
            }
            Said::Close | Said::Other => {}
        }
        drop(state);
        let pushed = self.queue.push(room, command);
        if let Some(io) = complete {
            self.order.complete(io);
        }
        if let Some(Waiter::Task(task)) = waiter {
            // Where the task is gone, the channel is too.
            let _ = task.send(Ok(()));
        }
        pushed.map(|()| true)
    }
}
