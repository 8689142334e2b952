//! The relay: what no native handler knows is passed on, byte for byte, to a child process that runs the
//! controller's own remoting library, on the same channel.
//!
//! The child sees the controller's bytes and the controller the child's; nothing is decoded and written
//! anew. What each side may be told of is decided by ids: those of this side begin at
//! [`NATIVE_BASE`](crate::channel::NATIVE_BASE), those of a child at [`first_id`] of its generation.

mod backlog;
mod barrier;
mod clean_up;
mod greeting;
mod inbound;
mod ledger;
mod private;
mod pumps;
mod said;
mod set_up;
mod signs;
mod state;
mod statistics;
mod supervise;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::capability::Capability;
use crate::channel::Channel;

pub use greeting::{Greeting, GreetingError};
pub(crate) use inbound::Rest;
pub(crate) use ledger::{Brought, brought_by, going_home, loaders_in};
pub(crate) use set_up::Request as SetUpRequest;
pub(crate) use state::{Handover, Relay, Target, Unanswered, Waiter};
pub use statistics::Relayed;

/// How many generations of children one channel can have: their ids must stay below those of this side.
pub const MAX_GENERATIONS: u32 = 0x40;

/// Starts the process that answers what no native handler knows.
pub trait Fallback: Send + Sync + 'static {
    /// Starts a child. Called when the first request for it arrives, or at once if the channel was
    /// started so; never while another child of the channel lives. Dropping the future must stop what it
    /// began: the channel does that when it ends.
    fn start(&self, start: Start) -> BoxFuture<'static, Result<Child, NotStarted>>;

    /// The message of the exception that answers a request of `class` (empty if it could not be read)
    /// where the child could not be started, or came to an end, for the reason `why`.
    fn explain(&self, class: &str, why: &str) -> String {
        let class = if class.is_empty() { "this request" } else { class };
        format!("the agent cannot run {class}: {why}")
    }
}

/// What a child is started for.
#[derive(Clone)]
pub struct Start {
    /// 0 for the first child of a channel, then 1, 2, … below [`MAX_GENERATIONS`]. A child of a later
    /// generation must begin its request ids, oids and ioIds at [`first_id`], or not be started.
    pub generation: u32,
    /// The channel, for fetching the library over it. To be dropped with the future.
    pub channel: Channel,
}

/// A child that was started. Its remoting library waits for the greeting on its standard input.
pub struct Child {
    /// Its standard input.
    pub input: Box<dyn AsyncWrite + Send + Unpin>,
    /// Its standard output.
    pub output: Box<dyn AsyncRead + Send + Unpin>,
    /// Its process id, if it is a process.
    pub pid: Option<u32>,
    /// Resolves once it has ended, with the reason in words: "the JVM ran out of memory (exit code 3)".
    pub ended: BoxFuture<'static, String>,
    /// Ends it at once, whatever it does. Not called for one that is known to have ended.
    pub kill: Box<dyn FnOnce() + Send>,
    /// Whether a child of the next generation may follow it, that is, whether the ids of such a child can
    /// be set.
    pub restartable: bool,
}

/// There is no child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotStarted {
    /// Why, and what to do, in plain words. It becomes the exception of each request that waits: see
    /// [`Fallback::explain`].
    pub message: String,
    /// Whether another attempt on this channel would fail in the same way.
    pub lasting: bool,
}

/// How a channel relays.
#[derive(Clone)]
pub struct RelayOptions {
    /// Starts the child.
    pub fallback: Arc<dyn Fallback>,
    /// What the controller said it understands: the child is told the same.
    pub capability: Capability,
    /// Start the child at once instead of with the first request for it.
    pub eager: bool,
    /// Classes of callables that set the connection up. They are answered natively, and the child is
    /// handed each of them too, before anything else, without the controller noticing.
    pub set_up: &'static [&'static str],
    /// Bounds.
    pub limits: RelayLimits,
}

/// Bounds of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RelayLimits {
    /// How many bytes of requests and stream data may wait for the child in total. What comes on top
    /// fails: the request with an exception, the stream as if its reader had gone. One command always
    /// fits.
    pub queued_bytes: usize,
    /// How many bytes may wait for the child counting what cannot be refused: answers and
    /// acknowledgements. A child that lets more pile up is ended.
    pub queued_bytes_at_most: usize,
    /// How long [`Fallback::start`] may take, fetching the library included.
    pub start: Duration,
    /// How long a child that was started may take to greet.
    pub greeting: Duration,
    /// How long a child that holds requests or streams may give no sign of life.
    pub silence: Duration,
    /// How long a child may take to end once the channel is closed.
    pub goodbye: Duration,
}

impl Default for RelayLimits {
    fn default() -> Self {
        Self {
            queued_bytes: 16 << 20,
            queued_bytes_at_most: 64 << 20,
            start: Duration::from_secs(15 * 60),
            greeting: Duration::from_secs(60),
            silence: Duration::from_secs(120),
            goodbye: Duration::from_secs(5),
        }
    }
}

/// The first request id, oid (the channel itself, 1, aside) and ioId of the child of a generation. 0 for
/// the first: it counts from where it likes.
#[must_use]
pub fn first_id(generation: u32) -> i32 {
    i32::try_from(generation.min(MAX_GENERATIONS) << 24).unwrap_or(i32::MAX)
}

impl RelayOptions {
    /// Relaying to `fallback` when needed, with the usual bounds and nothing to set up.
    #[must_use]
    pub fn new(fallback: Arc<dyn Fallback>) -> Self {
        Self {
            fallback,
            capability: Capability::CURRENT,
            eager: false,
            set_up: &[],
            limits: RelayLimits::default(),
        }
    }
}

impl fmt::Debug for RelayOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RelayOptions")
            .field("capability", &self.capability)
            .field("eager", &self.eager)
            .field("set_up", &self.set_up)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Channel {
    /// Whether what the service does not know may be passed on: see
    /// [`Reply::relayed`](crate::channel::Reply::relayed).
    #[must_use]
    pub fn has_fallback(&self) -> bool {
        self.inner.relay.is_some()
    }

    /// What was relayed so far.
    #[must_use]
    pub fn relayed(&self) -> Relayed {
        self.inner.relay.as_ref().map(|relay| relay.statistics.get()).unwrap_or_default()
    }

    /// The process id of the child, while one runs.
    #[must_use]
    pub fn child_pid(&self) -> Option<u32> {
        self.inner.relay.as_ref().and_then(|relay| *relay.pid.borrow())
    }

    /// Waits until no child lives. After the end of the channel there will be none again.
    pub async fn child_ended(&self) {
        if let Some(relay) = &self.inner.relay {
            let mut alive = relay.alive.subscribe();
            // Fails when the relay is gone, and the child with it.
            let _ = alive.wait_for(|alive| !*alive).await;
        }
    }
}
