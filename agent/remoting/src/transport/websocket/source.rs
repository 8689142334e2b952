//! The receiving half.

use std::fmt;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Sink as _;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

use super::idle::{Activity, IdleAction, IdleWatch};
use super::{CLOSE_TIMEOUT, Shared};
use crate::framing::ChunkReader;
use crate::transport::html;
use crate::transport::options::WebSocketOptions;
use crate::transport::{CloseReason, CommandSource, TransportError};

/// The receiving half of a WebSocket to a controller.
pub struct WebSocketSource {
    shared: Arc<Shared>,
    reader: ChunkReader,
    idle: IdleWatch,
    /// How the connection ended, once it has.
    end: Option<Result<CloseReason, TransportError>>,
}

enum Received {
    Message(Option<Result<Message, TransportError>>),
    Idle(IdleAction),
}

impl WebSocketSource {
    pub(super) fn new(
        shared: Arc<Shared>,
        activity: Arc<Activity>,
        options: &WebSocketOptions,
    ) -> Self {
        Self {
            shared,
            reader: ChunkReader::with_limit(options.max_command_bytes),
            idle: IdleWatch::new(options.keep_alive, activity),
            end: None,
        }
    }

    async fn next(&mut self) -> Received {
        poll_fn(|cx| {
            if let Poll::Ready(message) = self.shared.poll_receive(cx) {
                return Poll::Ready(Received::Message(message));
            }
            self.idle.poll(cx).map(Received::Idle)
        })
        .await
    }

    async fn advance(&mut self) -> Result<Option<Bytes>, TransportError> {
        loop {
            if let Some(command) = self.reader.next_command()? {
                return Ok(Some(command));
            }
            match self.next().await {
                Received::Message(Some(Ok(Message::Binary(bytes)))) => self.reader.feed(bytes),
                Received::Message(Some(Ok(Message::Close(frame)))) => {
                    let reason = close_reason(frame);
                    self.send_queued().await;
                    if !reason.is_orderly() {
                        return Err(TransportError::ClosedByPeer(reason));
                    }
                    return self.ended(reason);
                }
                Received::Message(Some(Ok(Message::Text(_)))) => {
                    let detail = "it sent a text message; agents use binary ones".to_owned();
                    return Err(TransportError::Protocol { detail });
                }
                // Pongs are queued by the library and go out with the next poll.
                Received::Message(Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Frame(_),
                ))) => {}
                // This side closed, and the peer has hung up.
                Received::Message(None | Some(Err(TransportError::AlreadyClosed))) => {
                    return self.ended(CloseReason { code: None, text: String::new() });
                }
                Received::Message(Some(Err(error))) => {
                    // A peer that hangs up instead of answering the close frame is no failure.
                    let closing = self.shared.lock().closing;
                    if closing && matches!(error, TransportError::ConnectionLost { .. }) {
                        return self.ended(CloseReason { code: None, text: String::new() });
                    }
                    return Err(error);
                }
                Received::Idle(IdleAction::Ping) => self.shared.ping(),
                Received::Idle(IdleAction::Dead(silent)) => {
                    return Err(TransportError::PeerSilent { seconds: silent.as_secs() });
                }
            }
        }
    }

    fn ended(&mut self, reason: CloseReason) -> Result<Option<Bytes>, TransportError> {
        if self.reader.is_mid_command() {
            let detail = format!("it ended in the middle of a command ({reason})");
            return Err(TransportError::ConnectionLost { detail });
        }
        self.end = Some(Ok(reason));
        Ok(None)
    }

    /// Lets the answer to a close frame out.
    async fn send_queued(&self) {
        let flush = poll_fn(|cx| {
            self.shared.wakers.reader.register(cx.waker());
            let mut state = self.shared.lock();
            Pin::new(&mut state.websocket).poll_flush(&mut Context::from_waker(&self.shared.waker))
        });
        let _ = timeout(CLOSE_TIMEOUT, flush).await;
    }
}

impl CommandSource for WebSocketSource {
    async fn receive(&mut self) -> Result<Option<Bytes>, TransportError> {
        match &self.end {
            Some(Ok(_)) => return Ok(None),
            Some(Err(error)) => return Err(error.clone()),
            None => {}
        }
        let result = self.advance().await;
        if let Err(error) = &result {
            // The sending half learns of it too, and does not wait for its time limit.
            let error = self.shared.fail(error.clone());
            self.end = Some(Err(error.clone()));
            return Err(error);
        }
        result
    }

    fn close_reason(&self) -> Option<CloseReason> {
        match &self.end {
            Some(Ok(reason) | Err(TransportError::ClosedByPeer(reason))) => Some(reason.clone()),
            _ => None,
        }
    }
}

fn close_reason(frame: Option<CloseFrame>) -> CloseReason {
    match frame {
        None => CloseReason { code: None, text: String::new() },
        Some(frame) => CloseReason {
            code: Some(frame.code.into()),
            text: html::one_line(frame.reason.as_str()).unwrap_or_default(),
        },
    }
}

impl fmt::Debug for WebSocketSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketSource").field("end", &self.end).finish_non_exhaustive()
    }
}
