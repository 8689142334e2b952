//! Everything that describes connections over TCP.

use std::fmt;
use std::time::Duration;

use super::headers::{COOKIE, ConnectionHeaders, NODE_NAME, SECRET_KEY};
use super::identity::InstanceIdentity;
use crate::framing::{ChunkWriterOptions, MAX_COMMAND_BYTES};
use crate::transport::options::Timeouts;
use crate::transport::proxy::ProxyOptions;
use crate::transport::secret::{Cookie, Secret};
use crate::transport::tls::TlsContext;

/// How long the controller may send nothing at all. It pings every five minutes; the Java agent waits as long
/// (`hudson.remoting.Engine.socketTimeout`).
const SILENCE: Duration = Duration::from_secs(30 * 60);

/// What is needed to connect as an agent over TCP.
#[derive(Clone)]
#[non_exhaustive]
pub struct Jnlp4Options {
    /// Name of the node (`-name`).
    pub node_name: String,
    /// Secret of the node (`-secret`).
    pub secret: Secret,
    /// Remoting version this agent stands for; compared with the controller's minimum.
    pub version: String,
    /// `USER:PASSWORD` for the discovery request (`-credentials`).
    pub credentials: Option<Secret>,
    /// What takes the place of the discovered host (`-tunnel`).
    pub tunnel_host: Option<String>,
    /// What takes the place of the discovered port (`-tunnel`).
    pub tunnel_port: Option<u16>,
    /// Whom to trust for discovery over https. The agent port itself is believed by its key alone.
    pub tls: TlsContext,
    /// Proxies, for discovery and for the agent port.
    pub proxy: ProxyOptions,
    /// Cookie of the previous connection, when reconnecting.
    pub cookie: Option<Cookie>,
    /// Value of `User-Agent`.
    pub user_agent: String,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Detection of a dead peer by the operating system.
    pub socket: SocketOptions,
    /// How long the controller may send nothing at all.
    pub silence: Duration,
    /// Chunk sizes for sending.
    pub framing: ChunkWriterOptions,
    /// Longest command accepted, in bytes.
    pub max_command_bytes: usize,
}

/// What the operating system watches over while a connection is quiet or takes no data.
#[derive(Debug, Clone, Copy)]
pub struct SocketOptions {
    /// TCP keep-alive: a probe after 60 quiet seconds, then every 15 s; without it (`-noKeepAlive`) a quiet
    /// connection that is dead is noticed at the next write.
    pub keep_alive: bool,
    /// How long data, or a probe, may stay unacknowledged until the connection counts as dead; `None` leaves it
    /// to the system, which takes about a quarter of an hour for data.
    pub user_timeout: Option<Duration>,
}

impl Default for SocketOptions {
    /// What a connection with pings of its own needs.
    fn default() -> Self {
        Self { keep_alive: true, user_timeout: None }
    }
}

impl SocketOptions {
    /// For a connection without pings: dead ones are found after two minutes, which outlast a switch of routes
    /// and a long garbage collection.
    pub const WITHOUT_PINGS: Self =
        Self { keep_alive: true, user_timeout: Some(Duration::from_secs(120)) };
}

impl Jnlp4Options {
    /// Options with defaults for everything that is not an argument: system trust, no proxy, no cookie.
    pub fn new(node_name: impl Into<String>, secret: Secret, version: impl Into<String>) -> Self {
        Self {
            node_name: node_name.into(),
            secret,
            version: version.into(),
            credentials: None,
            tunnel_host: None,
            tunnel_port: None,
            tls: TlsContext::default(),
            proxy: ProxyOptions::default(),
            cookie: None,
            user_agent: concat!("jenkins-remoting-rs/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts::default(),
            socket: SocketOptions::WITHOUT_PINGS,
            silence: SILENCE,
            framing: ChunkWriterOptions::default(),
            max_command_bytes: MAX_COMMAND_BYTES,
        }
    }

    /// Whether `-tunnel` was given.
    #[must_use]
    pub fn is_tunnelled(&self) -> bool {
        self.tunnel_host.is_some() || self.tunnel_port.is_some()
    }

    /// What the agent tells the controller.
    pub(super) fn headers(&self) -> ConnectionHeaders {
        let mut headers = ConnectionHeaders::default();
        headers.insert(NODE_NAME, &self.node_name);
        headers.insert(SECRET_KEY, self.secret.expose());
        if let Some(cookie) = &self.cookie {
            headers.insert(COOKIE, cookie.expose());
        }
        headers
    }
}

impl fmt::Debug for Jnlp4Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Jnlp4Options")
            .field("node_name", &self.node_name)
            .field("secret", &self.secret)
            .field("version", &self.version)
            .field("credentials", &self.credentials)
            .field("tunnel_host", &self.tunnel_host)
            .field("tunnel_port", &self.tunnel_port)
            .field("tls", &self.tls)
            .field("proxy", &self.proxy)
            .field("cookie", &self.cookie)
            .field("timeouts", &self.timeouts)
            .field("socket", &self.socket)
            .field("silence", &self.silence)
            .field("framing", &self.framing)
            .field("max_command_bytes", &self.max_command_bytes)
            .finish_non_exhaustive()
    }
}

/// Where the agent port is, and whom to expect there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentEndpoint {
    /// Name or address; an IPv6 address without brackets.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The key that the controller must prove.
    pub identity: InstanceIdentity,
    /// The protocols that the controller speaks there; empty if it is not known.
    pub protocols: Vec<String>,
}

impl AgentEndpoint {
    /// Whether it makes sense to try a protocol.
    #[must_use]
    pub fn speaks(&self, protocol: Protocol) -> bool {
        self.protocols.is_empty() || self.protocols.iter().any(|name| name == protocol.name())
    }
}

/// A protocol of the agent port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `JNLP4-connect-proxy`: the same, with the node's name in clear before it, by which a gateway finds the
    /// controller (`org.jenkinsci.remoting.engine.JnlpProtocol4ProxyHandler`).
    Jnlp4ConnectProxy,
    /// `JNLP4-connect`.
    Jnlp4Connect,
}

impl Protocol {
    /// All of them, in the order in which the Java agent tries them.
    pub const ALL: [Self; 2] = [Self::Jnlp4ConnectProxy, Self::Jnlp4Connect];

    /// The name in `X-Jenkins-Agent-Protocols`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Jnlp4ConnectProxy => "JNLP4-connect-proxy",
            Self::Jnlp4Connect => "JNLP4-connect",
        }
    }
}
