//! The sending half.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Sink as _;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::{CLOSE_TIMEOUT, Shared};
use crate::framing::ChunkWriter;
use crate::transport::options::WebSocketOptions;
use crate::transport::{CloseReason, CommandSink, TransportError};

/// The longest text a close frame can carry, in bytes (RFC 6455, 5.5).
const MAX_CLOSE_TEXT: usize = 123;

/// The sending half of a WebSocket to a controller.
pub struct WebSocketSink {
    shared: Arc<Shared>,
    writer: ChunkWriter,
    write_timeout: Duration,
}

impl WebSocketSink {
    pub(super) fn new(shared: Arc<Shared>, options: &WebSocketOptions) -> Self {
        Self {
            shared,
            writer: ChunkWriter::new(options.framing),
            write_timeout: options.timeouts.write,
        }
    }

    /// Sends messages as long as `take` yields them. A message is taken from the writer only when the socket is
    /// ready for it, in the same step, so a dropped future loses none.
    async fn send_messages(
        &mut self,
        take: fn(&mut ChunkWriter) -> Option<Bytes>,
    ) -> Result<(), TransportError> {
        loop {
            let Self { shared, writer, .. } = self;
            let send_one = poll_fn(|cx| {
                shared.poll_write(cx, |state, cx| {
                    let mut websocket = Pin::new(&mut state.websocket);
                    match websocket.as_mut().poll_ready(cx) {
                        Poll::Ready(Ok(())) => {}
                        other => return other.map_ok(|()| false),
                    }
                    match take(writer) {
                        Some(message) => Poll::Ready(
                            websocket.start_send(Message::Binary(message)).map(|()| true),
                        ),
                        None => Poll::Ready(Ok(false)),
                    }
                })
            });
            let sent = match timeout(self.write_timeout, send_one).await {
                Ok(sent) => sent?,
                Err(_) => return Err(self.timed_out()),
            };
            if !sent {
                return Ok(());
            }
        }
    }

    async fn flush_socket(&mut self) -> Result<(), TransportError> {
        let flush = poll_fn(|cx| {
            self.shared.poll_write(cx, |state, cx| Pin::new(&mut state.websocket).poll_flush(cx))
        });
        match timeout(self.write_timeout, flush).await {
            Ok(result) => result,
            Err(_) => Err(self.timed_out()),
        }
    }

    fn timed_out(&self) -> TransportError {
        self.shared.fail(TransportError::WriteTimeout { seconds: self.write_timeout.as_secs() })
    }

    async fn say_goodbye(&mut self, reason: CloseReason) -> Result<(), TransportError> {
        self.flush().await?;
        let mut frame = reason.code.map(|code| CloseFrame {
            code: code.into(),
            reason: cut(&reason.text, MAX_CLOSE_TEXT).into(),
        });
        poll_fn(|cx| {
            self.shared.poll_write(cx, |state, _| {
                state.closing = true;
                Poll::Ready(Pin::new(&mut state.websocket).start_send(Message::Close(frame.take())))
            })
        })
        .await?;
        self.flush_socket().await
    }
}

/// The beginning of a text, at most so many bytes.
fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

impl CommandSink for WebSocketSink {
    async fn send(&mut self, command: Bytes) -> Result<(), TransportError> {
        self.writer.push(command);
        if self.writer.has_full_message() {
            return self.send_messages(ChunkWriter::full_message).await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), TransportError> {
        self.send_messages(ChunkWriter::next_message).await?;
        self.flush_socket().await
    }

    async fn close(&mut self, reason: CloseReason) -> Result<(), TransportError> {
        match timeout(CLOSE_TIMEOUT, self.say_goodbye(reason)).await {
            Ok(result) => result,
            Err(_) => Err(self
                .shared
                .fail(TransportError::WriteTimeout { seconds: CLOSE_TIMEOUT.as_secs() })),
        }
    }
}

impl fmt::Debug for WebSocketSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketSink").field("writer", &self.writer).finish_non_exhaustive()
    }
}
