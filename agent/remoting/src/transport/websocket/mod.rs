//! Commands over an open WebSocket: both halves, pings, time limits, close.

mod idle;
mod sink;
mod source;

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

use super::TransportError;
use super::http_client::BoxedStream;
use super::options::WebSocketOptions;
use idle::Activity;
pub use sink::WebSocketSink;
pub use source::WebSocketSource;

/// Longest incoming message or frame, in bytes. Controllers send at most 8,194, and a chunk can never be longer
/// than 32,769; the rest is room for whoever gathers chunks in between.
const MAX_INCOMING_MESSAGE: usize = 4 << 20;
/// Bytes read from the socket at once; also what an idle connection holds for reading.
const READ_BUFFER: usize = 64 << 10;
/// Outgoing bytes are gathered up to this before a system call is made, unless flushed.
const WRITE_BUFFER: usize = 128 << 10;
/// Bound for outgoing bytes that the socket does not take: the above, a full message, pongs.
const MAX_WRITE_BUFFER: usize = 1 << 20;
/// How long saying goodbye may take.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Starts the WebSocket on a connection that was upgraded; `early` was read from it beyond the response.
pub(super) async fn start(
    io: BoxedStream,
    early: Bytes,
    options: &WebSocketOptions,
) -> (WebSocketSource, WebSocketSink) {
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_write_buffer_size(MAX_WRITE_BUFFER)
        .max_message_size(Some(MAX_INCOMING_MESSAGE))
        .max_frame_size(Some(MAX_INCOMING_MESSAGE));
    let activity = Arc::new(Activity::new());
    let io = Watched { io, activity: Arc::clone(&activity) };
    let websocket =
        WebSocketStream::from_partially_read(io, early.to_vec(), Role::Client, Some(config)).await;
    let wakers = Arc::new(Wakers::default());
    let shared = Arc::new(Shared {
        state: Mutex::new(State { websocket, failure: None, closing: false }),
        waker: Waker::from(Arc::clone(&wakers)),
        wakers,
    });
    let source = WebSocketSource::new(Arc::clone(&shared), activity, options);
    let sink = WebSocketSink::new(shared, options);
    (source, sink)
}

struct Watched {
    io: BoxedStream,
    activity: Arc<Activity>,
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let result = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.mark();
        }
        result
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

/// The tasks waiting in the two halves. The socket keeps one waker per direction, but each half writes (the
/// reading one answers pings), so whatever happens to the socket wakes both.
#[derive(Default)]
struct Wakers {
    reader: AtomicWaker,
    writer: AtomicWaker,
}

impl Wake for Wakers {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.reader.wake();
        self.writer.wake();
    }
}

struct State {
    websocket: WebSocketStream<Watched>,
    /// Why neither half can go on.
    failure: Option<TransportError>,
    /// This side has sent its close frame.
    closing: bool,
}

struct Shared {
    /// Held for single polls only, never across an await.
    state: Mutex<State>,
    wakers: Arc<Wakers>,
    waker: Waker,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends both halves with this error, unless there is an earlier one.
    fn fail(&self, error: TransportError) -> TransportError {
        let error = self.lock().failure.get_or_insert(error).clone();
        self.waker.wake_by_ref();
        error
    }

    fn poll_receive(&self, cx: &Context<'_>) -> Poll<Option<Result<Message, TransportError>>> {
        self.wakers.reader.register(cx.waker());
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Poll::Ready(Some(Err(failure.clone())));
        }
        Pin::new(&mut state.websocket)
            .poll_next(&mut Context::from_waker(&self.waker))
            .map(|message| message.map(|result| result.map_err(transport_error)))
    }

    /// Runs a step of the sending half with the socket; errors become the failure of both halves.
    fn poll_write<T>(
        &self,
        cx: &Context<'_>,
        step: impl FnOnce(&mut State, &mut Context<'_>) -> Poll<Result<T, WsError>>,
    ) -> Poll<Result<T, TransportError>> {
        self.wakers.writer.register(cx.waker());
        let mut state = self.lock();
        if let Some(failure) = &state.failure {
            return Poll::Ready(Err(failure.clone()));
        }
        let result = step(&mut state, &mut Context::from_waker(&self.waker));
        drop(state);
        // The reading half reports the end of the connection: it may have more to read, a close frame at least.
        result.map_err(transport_error)
    }

    /// Sends a ping as far as the socket takes it; the reading half must not wait for the writing one.
    fn ping(&self) {
        let mut state = self.lock();
        if state.closing || state.failure.is_some() {
            return;
        }
        let cx = &mut Context::from_waker(&self.waker);
        let mut websocket = Pin::new(&mut state.websocket);
        // A full buffer means that data is on its way; a broken connection shows when reading.
        if websocket.as_mut().start_send(Message::Ping(Bytes::new())).is_ok() {
            let _ = websocket.poll_flush(cx);
        }
    }
}

fn transport_error(error: WsError) -> TransportError {
    match error {
        WsError::ConnectionClosed
        | WsError::AlreadyClosed
        | WsError::Protocol(ProtocolError::SendAfterClosing) => TransportError::AlreadyClosed,
        WsError::Io(error) => TransportError::ConnectionLost { detail: error.to_string() },
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            TransportError::ConnectionLost {
                detail: "the controller or a proxy in between ended it without a word".to_owned(),
            }
        }
        other => TransportError::Protocol { detail: other.to_string() },
    }
}
