//! The way to a controller and back: connection, upgrade, commands over a WebSocket or over TCP.
//!
//! Everything above this module sees complete commands ([`CommandSource`], [`CommandSink`]) and never a socket;
//! this module sees bytes and never a Java class, apart from the fixed capability header.

mod any;
mod backoff;
mod clock;
mod connector;
mod download;
mod error;
mod get;
mod html;
mod http_client;
mod jnlp4;
mod options;
mod post;
mod probe;
mod proxy;
mod secret;
mod tls;
mod upgrade;
mod url;
mod version;
mod websocket;

use std::fmt;
use std::future::Future;

use bytes::Bytes;

use crate::framing::FramingError;

pub use any::{AnySink, AnySource};
pub use backoff::Backoff;
pub use connector::{Route, TlsSession};
pub use download::{Download, DownloadError, DownloadOptions, download, without_credentials};
pub use error::{ConnectError, NetworkError, ProbeError, Recovery, TlsDiagnosis};
pub use jnlp4::{
    AgentEndpoint, ConnectionHeaders, DiscoveryError, HeadersError, IdentityError,
    InstanceIdentity, Jnlp4Error, Jnlp4Handshake, Jnlp4Options, Negotiated, Negotiation,
    NegotiationError, Protocol, ProvedConnection, SocketOptions, TcpSink, TcpSource,
    agent_port_ready, discover, open_agent_port,
};
pub use options::{KeepAlive, Timeouts, WebSocketOptions};
pub use post::{PostError, PostTarget};
pub use probe::probe;
pub use proxy::{NoProxy, Proxy, ProxyOptions, ProxyUrlError};
pub use secret::{Cookie, Secret};
pub use tls::{TlsContext, TlsOptions, TlsSetupError, Trust, TrustReport};
pub use upgrade::{Handshake, connect};
pub use url::{Endpoint, RootUrl, UrlError};
pub use version::VersionNumber;
pub use websocket::{WebSocketSink, WebSocketSource};

/// What comes out of a transport.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TransportEvent {
    /// One complete command.
    Command(Bytes),
    /// Nothing more will come.
    Closed(CloseReason),
}

/// Why a connection ended, or is to be ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseReason {
    /// WebSocket close code; `None` if there was none.
    pub code: Option<u16>,
    /// Text for people, one line, possibly empty.
    pub text: String,
}

impl CloseReason {
    /// The ordinary end: code 1000. It is what both sides of Jenkins send.
    #[must_use]
    pub fn normal() -> Self {
        Self { code: Some(1000), text: String::new() }
    }

    /// A reason with a code and a text for people.
    pub fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code: Some(code), text: text.into() }
    }

    /// Whether the peer ended the connection on purpose (codes 1000, 1001 or none).
    #[must_use]
    pub fn is_orderly(&self) -> bool {
        matches!(self.code, None | Some(1000 | 1001))
    }

    /// What a close code means for an agent.
    fn explanation(&self) -> &'static str {
        match self.code {
            Some(1000) => "normal close",
            Some(1001) => {
                "going away: the controller or a proxy is stopping, or the connection was idle too long"
            }
            Some(1002) => "protocol error",
            Some(1003) => "unacceptable kind of data",
            Some(1008) => "refused by policy",
            Some(1009) => {
                "message too large: the limit between agent and controller is below 64 KiB; \
                           use the compatible message size"
            }
            Some(1011) => "error inside the controller; see its log",
            Some(1012) => "restarting",
            Some(1013) => "overloaded, try again later",
            Some(1014) => "a gateway in between got a bad answer",
            Some(_) => "close code without a common meaning",
            None => "no close code",
        }
    }
}

impl fmt::Display for CloseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code {
            Some(code) => write!(f, "code {code}, {}", self.explanation())?,
            None if self.text.is_empty() => return f.write_str(self.explanation()),
            None => return f.write_str(&self.text),
        }
        if self.text.is_empty() { Ok(()) } else { write!(f, ": {}", self.text) }
    }
}

/// A connection that does not work any more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TransportError {
    /// The peer closed the connection for a reason other than an ordinary end.
    #[error("the controller closed the connection ({0})")]
    ClosedByPeer(CloseReason),
    /// This side has closed the connection; nothing can be sent any more.
    #[error("the connection is already closed")]
    AlreadyClosed,
    /// The connection broke.
    #[error("the connection to the controller was lost: {detail}")]
    ConnectionLost {
        /// What the operating system or the TLS layer reported.
        detail: String,
    },
    /// The peer does not keep to the WebSocket protocol.
    #[error("the controller or a proxy in between broke the WebSocket protocol: {detail}")]
    Protocol {
        /// The rule that was broken.
        detail: String,
    },
    /// The peer's chunks are not acceptable.
    #[error(transparent)]
    Framing(#[from] FramingError),
    /// Nothing could be written for too long.
    #[error(
        "the controller took no data for {seconds} s: it hangs, or the connection is half open (a load balancer or node \
         that went away)"
    )]
    WriteTimeout {
        /// How long was waited, in seconds.
        seconds: u64,
    },
    /// The peer answers nothing, not even pings.
    #[error(
        "nothing came from the controller for {seconds} s, no ping and no answer to one: the connection is half open (a \
         load balancer or node that went away)"
    )]
    PeerSilent {
        /// Time since the last byte, in seconds.
        seconds: u64,
    },
}

/// The receiving half of a transport.
pub trait CommandSource: Send {
    /// The next command; `None` when the peer ended the connection in order ([`CommandSource::close_reason`] has
    /// its words). Pings are answered inside. Cancel safe: a dropped future loses nothing.
    ///
    /// # Errors
    /// The connection broke, the peer broke a rule, or nothing came for too long. The source is then at its end.
    fn receive(&mut self) -> impl Future<Output = Result<Option<Bytes>, TransportError>> + Send;

    /// What the peer said when it closed the connection, once it has.
    fn close_reason(&self) -> Option<CloseReason>;

    /// [`CommandSource::receive`] with every kind of end as one event.
    fn next_event(&mut self) -> impl Future<Output = TransportEvent> + Send {
        async {
            match self.receive().await {
                Ok(Some(command)) => TransportEvent::Command(command),
                Ok(None) => TransportEvent::Closed(
                    self.close_reason().unwrap_or(CloseReason { code: None, text: String::new() }),
                ),
                Err(TransportError::ClosedByPeer(reason)) => TransportEvent::Closed(reason),
                Err(error) => {
                    TransportEvent::Closed(CloseReason { code: None, text: error.to_string() })
                }
            }
        }
    }
}

/// The sending half of a transport.
///
/// A dropped future of these methods never leaves half a command on the wire: what was handed over is kept and
/// goes out with the next call.
pub trait CommandSink: Send {
    /// Hands over one command. It may wait in a buffer until [`CommandSink::flush`]; so send everything there is,
    /// then flush. Waits while the peer does not take data.
    ///
    /// # Errors
    /// The connection broke, is closed, or the peer took nothing for the write timeout.
    fn send(&mut self, command: Bytes) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Sends everything handed over.
    ///
    /// # Errors
    /// As for [`CommandSink::send`].
    fn flush(&mut self) -> impl Future<Output = Result<(), TransportError>> + Send;

    /// Flushes and tells the peer that this is the end. Takes a few seconds at most; what the peer sends after
    /// that can still be received.
    ///
    /// # Errors
    /// The peer could not be told. The connection is closed all the same.
    fn close(
        &mut self,
        reason: CloseReason,
    ) -> impl Future<Output = Result<(), TransportError>> + Send;
}
