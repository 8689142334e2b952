//! Everything that describes one WebSocket connection.

use std::fmt;
use std::time::Duration;

use super::proxy::ProxyOptions;
use super::secret::{Cookie, Secret};
use super::tls::TlsContext;
use super::url::RootUrl;
use crate::framing::{ChunkWriterOptions, MAX_COMMAND_BYTES};

/// What is needed to connect as an agent.
#[derive(Clone)]
#[non_exhaustive]
pub struct WebSocketOptions {
    /// Root URL of the controller (`-url`).
    pub url: RootUrl,
    /// Name of the node (`-name`).
    pub node_name: String,
    /// Secret of the node (`-secret`).
    pub secret: Secret,
    /// Remoting version this agent stands for; compared with the controller's minimum.
    pub version: String,
    /// Extra headers (`-webSocketHeader`), in order.
    pub headers: Vec<(String, String)>,
    /// Whom to trust.
    pub tls: TlsContext,
    /// Proxies.
    pub proxy: ProxyOptions,
    /// Cookie of the previous connection, when reconnecting.
    pub cookie: Option<Cookie>,
    /// Value of `User-Agent`.
    pub user_agent: String,
    /// Time limits.
    pub timeouts: Timeouts,
    /// Pings and the detection of a dead peer.
    pub keep_alive: KeepAlive,
    /// Chunk and message sizes for sending.
    pub framing: ChunkWriterOptions,
    /// Longest command accepted, in bytes.
    pub max_command_bytes: usize,
}

impl WebSocketOptions {
    /// Options with defaults for everything that is not an argument: system trust, no proxy, no cookie.
    pub fn new(
        url: RootUrl,
        node_name: impl Into<String>,
        secret: Secret,
        version: impl Into<String>,
    ) -> Self {
        Self {
            url,
            node_name: node_name.into(),
            secret,
            version: version.into(),
            headers: Vec::new(),
            tls: TlsContext::default(),
            proxy: ProxyOptions::default(),
            cookie: None,
            user_agent: concat!("jenkins-remoting-rs/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts::default(),
            keep_alive: KeepAlive::default(),
            framing: ChunkWriterOptions::default(),
            max_command_bytes: MAX_COMMAND_BYTES,
        }
    }
}

impl fmt::Debug for WebSocketOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Extra headers are often tokens for a proxy in front of the controller: names only.
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("WebSocketOptions")
            .field("url", &self.url.to_string())
            .field("node_name", &self.node_name)
            .field("secret", &self.secret)
            .field("version", &self.version)
            .field("headers", &headers)
            .field("tls", &self.tls)
            .field("proxy", &self.proxy)
            .field("cookie", &self.cookie)
            .field("timeouts", &self.timeouts)
            .field("keep_alive", &self.keep_alive)
            .field("framing", &self.framing)
            .field("max_command_bytes", &self.max_command_bytes)
            .finish_non_exhaustive()
    }
}

/// Time limits of one connection.
#[derive(Debug, Clone, Copy)]
pub struct Timeouts {
    /// For each of: name resolution and TCP connect together, TLS handshake.
    pub connect: Duration,
    /// For the answer to one HTTP request.
    pub response: Duration,
    /// How long the peer may take no data before the connection counts as broken.
    pub write: Duration,
}

impl Default for Timeouts {
    /// 30 s and 60 s are what the Java agent uses for its HTTP requests; its writes end after 5 minutes.
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            response: Duration::from_secs(60),
            write: Duration::from_secs(300),
        }
    }
}

/// Own WebSocket pings. They keep proxies and the controller (idle limit 60 s) from dropping a quiet connection,
/// and find a dead one.
#[derive(Debug, Clone, Copy)]
pub struct KeepAlive {
    /// Send a ping when nothing came for this long; `None` sends none.
    pub ping_interval: Option<Duration>,
    /// After a ping (or, without pings, after the last byte): how long without a single byte until the peer
    /// counts as dead; `None` never.
    pub peer_timeout: Option<Duration>,
}

impl Default for KeepAlive {
    /// The controller pings every 30 s itself, so a healthy connection is never silent for long; two minutes
    /// outlast a long garbage collection there.
    fn default() -> Self {
        Self {
            ping_interval: Some(Duration::from_secs(25)),
            peer_timeout: Some(Duration::from_secs(120)),
        }
    }
}
