//! A channel: one peer's half of the remoting protocol over any transport of commands.
//!
//! Two tasks own the transport's halves. The reader decodes and dispatches in arrival order: requests
//! run in tasks of their own, streams are queued, and it waits for nothing but the transport, the
//! writer's half included once too many of its own answers are not taken. The writer sends what everyone
//! queues in the order of the queue, and nothing after the close command.

mod call;
mod cancel;
mod dispatch;
mod export;
mod input;
mod observer;
mod order;
mod output;
mod pending;
mod pipe;
mod queue;
mod reply;
mod running;
mod serve;
mod sink;
mod tasks;
#[cfg(test)]
mod tests;
mod window;

use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::{Notify, watch};

pub use call::{CallError, RemoteProxy};
pub use cancel::Cancellation;
pub use export::{ExportedObject, Invocation, PendingOutput};
pub use input::RemoteInput;
pub use observer::{AnsweringTier, ObservedRequest, Observer, RequestNote, RequestOutcome};
pub use order::IoScope;
pub use output::{BlockingOutput, RemoteOutput, RemoteWriter, StreamError};
pub use pipe::{BlockingPipeReader, PipeReader};
pub use reply::{Reply, Throwable};
pub use serve::{Call, Service};

pub(crate) use running::MAX_RUNNING_REQUESTS;
pub(crate) use sink::Taken;

use crate::command::{Encoder, Outgoing};
use crate::relay::{Relay, RelayOptions};
use crate::transport::{CommandSink, CommandSource, TransportError};
use export::Exports;
use order::IoOrder;
use pending::PendingCalls;
use queue::{Reserved, SendQueue};
use running::Running;
use window::Windows;

/// Ids, oids and ioIds of this side start here: below is room for a second peer on the same channel,
/// a JVM whose own counters start at 1. Java reads them as signed, so they must stay below 2^31.
pub const NATIVE_BASE: i32 = 0x4000_0000;

/// How long the last commands may take to leave when the channel closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// What a command of a stream takes beside its data, about.
const COMMAND_ROOM: usize = 512;

/// What a channel is started with.
pub struct ChannelOptions {
    /// Runs the callables that the peer sends.
    pub service: Arc<dyn Service>,
    /// Classes of user streams whose `writeObject` writes none of their declared fields, beside those
    /// of the remoting library itself (see `java_object_stream::ReadOptions`).
    pub without_default_fields: Vec<&'static str>,
    /// Who is told of each request that has ended, if anybody wants to know.
    pub observer: Option<Arc<dyn Observer>>,
}

impl ChannelOptions {
    /// A channel that runs callables with this service, and whose requests nobody observes.
    #[must_use]
    pub fn new(service: Arc<dyn Service>) -> Self {
        Self { service, without_default_fields: Vec::new(), observer: None }
    }
}

/// A handle of a running channel; clones share it.
#[derive(Clone)]
pub struct Channel {
    pub(crate) inner: Arc<Inner>,
}

/// How a channel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The peer sent a close command, with its reason if it gave one.
    ClosedByPeer(Option<String>),
    /// This side closed it.
    Closed(String),
    /// The transport ended or failed.
    Lost(String),
    /// The transport is given up: it is open, but the peer answers nothing or takes nothing.
    HalfOpen(String),
}

impl End {
    /// Whether the transport takes nothing more.
    pub(crate) fn is_lost(&self) -> bool {
        matches!(self, Self::Lost(_) | Self::HalfOpen(_))
    }
}

impl From<TransportError> for End {
    fn from(error: TransportError) -> Self {
        match error {
            TransportError::PeerSilent { .. } | TransportError::WriteTimeout { .. } => {
                Self::HalfOpen(error.to_string())
            }
            _ => Self::Lost(error.to_string()),
        }
    }
}

/// Counters of a channel since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Commands received.
    pub commands_in: u64,
    /// Commands sent.
    pub commands_out: u64,
    /// Bytes of commands received, framing excluded.
    pub bytes_in: u64,
    /// Bytes of commands sent, framing excluded.
    pub bytes_out: u64,
}

/// What waits at one moment for the transport to take it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Queued {
    /// How many commands.
    pub commands: usize,
    /// Their bytes, framing excluded.
    pub bytes: usize,
}

pub(crate) struct Inner {
    service: Arc<dyn Service>,
    observer: Option<Arc<dyn Observer>>,
    without_default_fields: Vec<&'static str>,
    encoder: Encoder,
    pub(crate) queue: SendQueue,
    pub(crate) runtime: Handle,
    exports: Exports,
    calls: PendingCalls,
    windows: Windows,
    pub(crate) order: IoOrder,
    running: Running,
    /// Held while an I/O is numbered and queued, so that ioIds go out in ascending order: a response
    /// names the highest one of its request, and by that means all of them.
    next_io: Mutex<i32>,
    next_id: AtomicI32,
    /// The oid of the peer's first class loader, which sees the remoting classes; 0 until known.
    core_loader: AtomicI32,
    core_loader_known: Notify,
    pub(crate) end: watch::Sender<Option<End>>,
    /// Whether the writer is done with the transport.
    written: watch::Sender<bool>,
    traffic: TrafficCounters,
    /// Where what this side does not know goes; nothing without a fallback.
    pub(crate) relay: Option<Relay>,
}

#[derive(Default)]
struct TrafficCounters {
    commands_in: AtomicU64,
    commands_out: AtomicU64,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
}

/// The channel has ended, or is about to; nothing can be sent any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the channel is closed")]
pub struct Closed;

impl Channel {
    /// Starts a channel on a transport that is connected and negotiated. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// Never in practice: when the library's own command forms cannot be encoded.
    pub fn start(
        source: impl CommandSource + 'static,
        sink: impl CommandSink + 'static,
        options: ChannelOptions,
    ) -> Result<Self, java_object_stream::EncodeError> {
        Self::launch(source, sink, options, None)
    }

    /// Starts a channel that passes on what its service answers with
    /// [`Reply::relayed`], what it cannot read, and what follows from either. Must be called within a
    /// tokio runtime.
    ///
    /// # Errors
    /// Never in practice: when the library's own command forms cannot be encoded.
    pub fn start_with_fallback(
        source: impl CommandSource + 'static,
        sink: impl CommandSink + 'static,
        options: ChannelOptions,
        relay: RelayOptions,
    ) -> Result<Self, java_object_stream::EncodeError> {
        let eager = relay.eager;
        let channel = Self::launch(source, sink, options, Some(Relay::new(relay)?))?;
        if eager {
            channel.inner.start_child();
        }
        Ok(channel)
    }

    fn launch(
        source: impl CommandSource + 'static,
        sink: impl CommandSink + 'static,
        options: ChannelOptions,
        relay: Option<Relay>,
    ) -> Result<Self, java_object_stream::EncodeError> {
        let mut without_default_fields = crate::class::WITHOUT_DEFAULT_FIELDS.to_vec();
        without_default_fields.extend(options.without_default_fields);
        let inner = Arc::new(Inner {
            service: options.service,
            observer: options.observer,
            without_default_fields,
            encoder: Encoder::new()?,
            queue: SendQueue::new(),
            runtime: Handle::current(),
            exports: Exports::default(),
            calls: PendingCalls::default(),
            windows: Windows::default(),
            order: IoOrder::default(),
            running: Running::default(),
            next_io: Mutex::new(NATIVE_BASE),
            next_id: AtomicI32::new(NATIVE_BASE),
            core_loader: AtomicI32::new(0),
            core_loader_known: Notify::new(),
            end: watch::Sender::new(None),
            written: watch::Sender::new(false),
            traffic: TrafficCounters::default(),
            relay,
        });
        tokio::spawn(tasks::read(Arc::clone(&inner), source));
        tokio::spawn(tasks::write(Arc::clone(&inner), sink));
        Ok(Self { inner })
    }

    /// Waits until the channel has ended.
    pub async fn ended(&self) -> End {
        let mut end = self.inner.end.subscribe();
        let ended = end.wait_for(Option::is_some).await.map(|end| end.clone());
        ended.ok().flatten().unwrap_or_else(|| End::Lost("the channel was dropped".to_owned()))
    }

    /// How the channel ended, if it has.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.inner.end.borrow().clone()
    }

    /// Says goodbye with a close command and ends the channel. Returns once everything queued before
    /// has left, or after a few seconds if the peer does not take it.
    pub async fn close(&self, reason: &str) {
        let inner = &self.inner;
        inner.queue.finish(inner.encode(Outgoing::Close).ok());
        inner.end(End::Closed(reason.to_owned()));
        let mut written = inner.written.subscribe();
        // The writer limits its own time.
        let _ = written.wait_for(|written| *written).await;
    }

    /// What went over the channel so far.
    #[must_use]
    pub fn traffic(&self) -> Traffic {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let traffic = &self.inner.traffic;
        Traffic {
            commands_in: of(&traffic.commands_in),
            commands_out: of(&traffic.commands_out),
            bytes_in: of(&traffic.bytes_in),
            bytes_out: of(&traffic.bytes_out),
        }
    }

    /// What waits for the transport at the moment.
    #[must_use]
    pub fn queued(&self) -> Queued {
        self.inner.queue.waiting()
    }

    /// How many objects and streams this side exports at the moment.
    #[must_use]
    pub fn exported(&self) -> usize {
        self.inner.exports.len()
    }

    /// How many requests of the peer are running at the moment.
    #[must_use]
    pub fn running(&self) -> usize {
        self.inner.running.len()
    }
}

impl Inner {
    /// Queues a command; waits while the transport is slow.
    async fn send(&self, command: Outgoing) -> Result<(), Closed> {
        let command = self.encode(command)?;
        let room = self.queue.reserve(command.len()).await?;
        self.queue.push(room, command)
    }

    /// Queues a command at once, however much waits already. For the reader task, and for destructors,
    /// which cannot wait.
    pub(crate) fn post(&self, command: Outgoing) {
        if let Ok(command) = self.encode(command) {
            // A channel that has ended has told everyone.
            let _ = self.queue.post(command);
        }
    }

    /// Numbers an I/O of this side and queues it, with `room` or at once. Who waits for `scope` waits
    /// for it.
    pub(crate) fn send_io(
        &self,
        room: Option<Reserved<'_>>,
        scope: Option<&IoScope>,
        command: impl FnOnce(i32) -> Outgoing,
    ) -> Result<(), Closed> {
        let mut next = lock(&self.next_io);
        let io = *next;
        let command = self.encode(command(io))?;
        match room {
            Some(room) => self.queue.push(room, command)?,
            None => self.queue.post(command)?,
        }
        *next = io.wrapping_add(1);
        if let Some(scope) = scope {
            scope.issued(io);
        }
        Ok(())
    }

    pub(crate) fn encode(&self, command: Outgoing) -> Result<Bytes, Closed> {
        self.encoder.encode(command).map_err(|error| {
            tracing::error!(%error, "a command cannot be encoded; this is a bug");
            Closed
        })
    }

    /// Waits until nothing of the peer's I/O up to `last` is outstanding, with whom ever it is.
    pub(crate) async fn until_complete(&self, last: i32) {
        if self.order.is_complete(last) {
            return;
        }
        if let Some(relay) = &self.relay {
            // What is with the child may be complete without this side having been told.
            relay.want_io();
        }
        self.order.wait(last).await;
    }

    fn next_id(&self) -> i32 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Ends the channel once: pending calls fail, running requests are cancelled, exports dropped. Each
    /// of these tables takes nothing new from then on.
    fn end(&self, end: End) {
        let first = self.end.send_if_modified(|slot| {
            let first = slot.is_none();
            if first {
                *slot = Some(end);
            }
            first
        });
        if first {
            self.queue.finish(None);
            self.calls.fail_all();
            self.windows.fail_all();
            self.running.cancel_all();
            self.exports.clear();
            self.order.clear();
        }
    }
}

/// A panic while a lock was held leaves these small tables usable, so poison is of no interest.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
