//! The validated configuration. Its `Debug` shows no secret.

use std::ffi::OsString;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

use jenkins_remoting::transport::{
    DownloadOptions, InstanceIdentity, Jnlp4Options, ProxyOptions, RootUrl, Secret, TlsContext,
    TlsOptions, Trust, WebSocketOptions,
};

use super::addresses::{Authority, Tunnel};
use super::help::REMOTING_VERSION;
use crate::bridge::BridgeOptions;
use crate::confine::ConfineOptions;
use crate::memory::Margin;
use crate::observe::{Collector, ListenAddress};
use crate::standby::Client as StandbyClient;

const USER_AGENT: &str = concat!("pilotfish-agent/", env!("CARGO_PKG_VERSION"));

/// Everything that the agent was told at start.
#[derive(Debug, Clone)]
pub struct Configuration {
    /// Name of the node on the controller.
    pub node_name: String,
    /// The node's secret.
    pub secret: Secret,
    /// How to reach the controller.
    pub transport: Transport,
    /// What to do when the connection ends or fails.
    pub reconnect: Reconnect,
    /// Trust for https.
    pub tls: TlsOptions,
    /// Proxies for requests to the controller.
    pub proxy: ProxyOptions,
    /// The work directory, if one was given.
    pub work_directory: Option<WorkDirectoryOptions>,
    /// `-jar-cache`.
    pub jar_cache: Option<PathBuf>,
    /// Log files, levels and format.
    pub logging: LoggingOptions,
    /// Settings for a JVM that the agent may start.
    pub java: JavaSettings,
    /// `--drain-timeout`.
    pub drain_timeout: Duration,
    /// `--memory-margin`.
    pub memory_margin: Margin,
    /// `--confine`; `None` if file operations are not limited.
    pub confine: Option<ConfineOptions>,
    /// `--health-address`; `None` if nothing is served.
    pub health_address: Option<ListenAddress>,
    /// `--otlp-endpoint`; `None` if no traces are sent.
    pub collector: Option<Collector>,
    /// `--bridge-url` and its like; `None` if there is no bridge.
    pub bridge: Option<BridgeOptions>,
    /// Who is asked so that this agent has one build; `None` if it may have many.
    pub one_use: Option<StandbyClient>,
    /// The environment that builds inherit and that the controller may ask for: no secret in it. The
    /// rest of the program uses this and never `std::env`.
    pub environment: Vec<(OsString, OsString)>,
    /// What is odd about the options and variables; logged once the log runs.
    pub warnings: Vec<String>,
}

impl Configuration {
    /// What the WebSocket transport needs; `None` for TCP.
    #[must_use]
    pub fn web_socket_options(&self) -> Option<WebSocketOptions> {
        let Transport::WebSocket { url, headers } = &self.transport else { return None };
        let (url, secret) = (url.clone(), self.secret.clone());
        let mut options =
            WebSocketOptions::new(url, self.node_name.as_str(), secret, REMOTING_VERSION);
        let pair = |header: &Header| (header.name.clone(), header.value.expose().to_owned());
        options.headers = headers.iter().map(pair).collect();
        options.tls = TlsContext::new(self.tls.clone());
        options.proxy = self.proxy.clone();
        options.user_agent = USER_AGENT.to_owned();
        Some(options)
    }

    /// What the TCP transport needs; `None` for WebSocket.
    #[must_use]
    pub fn jnlp4_options(&self) -> Option<(TcpEntry, Jnlp4Options)> {
        let Transport::Tcp(tcp) = &self.transport else { return None };
        let secret = self.secret.clone();
        let mut options = Jnlp4Options::new(self.node_name.as_str(), secret, REMOTING_VERSION);
        options.credentials.clone_from(&tcp.credentials);
        if let Some(tunnel) = &tcp.tunnel {
            options.tunnel_host.clone_from(&tunnel.host);
            options.tunnel_port = tunnel.port.map(NonZeroU16::get);
        }
        options.socket.keep_alive = tcp.keep_alive;
        options.tls = TlsContext::new(self.tls.clone());
        options.proxy = self.proxy.clone();
        options.user_agent = USER_AGENT.to_owned();
        Some((tcp.entry.clone(), options))
    }

    /// How files of the controller itself are downloaded: trust is what was given for it.
    #[must_use]
    pub fn controller_downloads(&self) -> DownloadOptions {
        DownloadOptions { tls: TlsContext::new(self.tls.clone()), ..self.download_options() }
    }

    /// The controller's root URL; `None` where it is reached over TCP alone.
    #[must_use]
    pub fn root_url(&self) -> Option<String> {
        match &self.transport {
            Transport::WebSocket { url, .. } => Some(url.to_string()),
            Transport::Tcp(options) => match &options.entry {
                TcpEntry::Discover(urls) => urls.first().map(ToString::to_string),
                TcpEntry::Direct { .. } => None,
            },
        }
    }

    /// How archives of tools are downloaded from servers anywhere: through the same proxies, but with the roots of
    /// the system, as `-cert` and `-noCertificateCheck` are about the controller alone.
    #[must_use]
    pub fn download_options(&self) -> DownloadOptions {
        let tls = TlsOptions { trust: Trust::System, ..self.tls.clone() };
        DownloadOptions {
            proxy: self.proxy.clone(),
            tls: TlsContext::new(tls),
            user_agent: USER_AGENT.to_owned(),
            ..DownloadOptions::default()
        }
    }
}

/// How to reach the controller.
#[derive(Debug, Clone)]
pub enum Transport {
    /// WebSocket on the controller's HTTP port.
    WebSocket {
        /// Root URL.
        url: RootUrl,
        /// Further headers of the upgrade request.
        headers: Vec<Header>,
    },
    /// TCP on the controller's agent port.
    Tcp(TcpOptions),
}

impl Transport {
    /// Its name as the Java agent gives it to controllers that ask (`CommunicationProtocol`).
    #[must_use]
    pub fn protocol(&self) -> &'static str {
        match self {
            Self::WebSocket { .. } => "WebSocket",
            Self::Tcp(_) => "JNLP4-connect",
        }
    }
}

/// One `-webSocketHeader` or `--otlp-header`. The value may be a credential and is not shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// Name; a valid HTTP token.
    pub name: String,
    /// Value; visible ASCII, spaces and tabs.
    pub value: Secret,
}

/// Options of the TCP transport.
#[derive(Debug, Clone)]
pub struct TcpOptions {
    /// Where to begin.
    pub entry: TcpEntry,
    /// `-tunnel`.
    pub tunnel: Option<Tunnel>,
    /// `-credentials`: `USER:PASSWORD` for the discovery request.
    pub credentials: Option<Secret>,
    /// Whether the socket has keep-alive set.
    pub keep_alive: bool,
}

/// Where a TCP connection begins.
#[derive(Debug, Clone)]
pub enum TcpEntry {
    /// Ask these controllers, in order, for the agent port.
    Discover(Vec<RootUrl>),
    /// Connect at once.
    Direct {
        /// The agent port.
        address: Authority,
        /// The key that the controller must prove.
        instance_identity: InstanceIdentity,
        /// Protocols to try; empty means all.
        protocols: Vec<String>,
    },
}

/// What to do when the connection ends or fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reconnect {
    /// Connect again, for ever.
    Always,
    /// Exit when the channel ends. The first connection over WebSocket is still tried for ever.
    Never,
    /// Exit after failing to connect for this long.
    GiveUpAfter(Duration),
}

/// `-workDir` and what belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkDirectoryOptions {
    /// The directory.
    pub path: PathBuf,
    /// `-internalDir`: letters, digits, `.`, `_` and `-`.
    pub internal_name: String,
    /// `-failIfWorkDirIsMissing`.
    pub must_exist: bool,
}

/// Log files, levels and format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoggingOptions {
    /// `-agentLog`: further copy of what goes to standard error.
    pub agent_log: Option<PathBuf>,
    /// `-loggingConfig`: a `java.util.logging` properties file.
    pub java_config: Option<PathBuf>,
    /// Format of lines.
    pub format: LogFormat,
    /// `PILOTFISH_LOG`.
    pub filter: Option<String>,
}

/// Format of log lines.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Two lines a record, as `java.util.logging` prints them.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// When a JVM is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum JvmMode {
    /// Never: what no native handler knows fails.
    Never,
    /// With the first request that needs it.
    #[default]
    Lazy,
    /// With each connection, so that the first such request need not wait.
    Eager,
}

/// Settings for a JVM that the agent may start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JavaSettings {
    /// `--jvm`.
    pub mode: JvmMode,
    /// `JENKINS_JAVA_BIN`: this program and no other.
    pub binary: Option<PathBuf>,
    /// `JAVA_HOME`; after it, `PATH` is searched.
    pub home: Option<PathBuf>,
    /// `JENKINS_JAVA_OPTS`, else `JAVA_OPTS`, split at white space.
    pub options: Vec<String>,
    /// `JENKINS_AGENT_FILE`: an `agent.jar`.
    pub agent_file: Option<PathBuf>,
}
