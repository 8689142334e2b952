//! The way over TCP: the port for inbound agents and its protocol JNLP4-connect.
//!
//! From the outside in: the name of the protocol, an acknowledgement from each side, TLS in which the controller
//! proves its instance identity, connection headers and verdicts, capabilities, chunks
//! (`org.jenkinsci.remoting.engine.JnlpProtocol4Handler`).

mod der;
mod discovery;
mod error;
mod headers;
mod identity;
mod negotiation;
mod options;
mod stream;
mod verifier;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::BytesMut;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::connector::{self, Dialing, Route, TlsSession};
use super::error::{NetworkError, TlsDiagnosis};
use super::html;
use super::http_client::BoxedStream;
use super::tls::TrustReport;
use super::url::Endpoint;
use verifier::WrongIdentity;

pub use discovery::{agent_port_ready, discover};
pub use error::{DiscoveryError, Jnlp4Error};
pub use headers::{ConnectionHeaders, HeadersError};
pub use identity::{IdentityError, InstanceIdentity};
pub use negotiation::{Negotiated, Negotiation, NegotiationError};
pub use options::{AgentEndpoint, Jnlp4Options, Protocol, SocketOptions};
pub use stream::{TcpSink, TcpSource};

/// What each side sends once after the name of the protocol.
const ACKNOWLEDGEMENT: &[u8; 5] = b"\x00\x03ACK";
/// How long the acknowledgement, and the end after a refusal, may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How much of an answer that is no acknowledgement is looked at, in bytes, and how long.
const ANSWER_BYTES: u64 = 256;
const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes read at once while negotiating.
const READ_BYTES: usize = 4 << 10;

/// A connection whose other end has proved to be the controller, and to which nothing about the agent was said.
pub struct ProvedConnection {
    io: BoxedStream,
    target: String,
    route: Route,
}

/// What the controller said when it took the agent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Jnlp4Handshake {
    /// The controller's capability.
    pub capability: crate::capability::Capability,
    /// To be sent with the next connection. If `None`, an older one must be forgotten.
    pub cookie: Option<super::Cookie>,
    /// How the connection runs.
    pub route: Route,
}

impl<'a> From<&'a Jnlp4Options> for Dialing<'a> {
    fn from(options: &'a Jnlp4Options) -> Self {
        Self {
            proxy: &options.proxy,
            tls: &options.tls,
            timeouts: &options.timeouts,
            user_agent: &options.user_agent,
            socket: options.socket,
        }
    }
}

/// Connects to an agent port, as far as the proof of the controller's identity.
///
/// # Errors
/// No connection, something else than an agent port, or another controller.
pub async fn open_agent_port(
    options: &Jnlp4Options,
    endpoint: &AgentEndpoint,
    protocol: Protocol,
) -> Result<ProvedConnection, Jnlp4Error> {
    let address = Endpoint { secure: false, host: endpoint.host.clone(), port: endpoint.port };
    let target = address.authority();
    let connection = connector::open(options.into(), &address).await?;
    let mut io = connection.io;
    match timeout(HANDSHAKE_TIMEOUT, acknowledge(&mut io, &target, options, protocol)).await {
        Ok(done) => done?,
        Err(_) => return Err(too_slow(target, "the acknowledgement", HANDSHAKE_TIMEOUT).into()),
    }
    let (io, session) = start_tls(io, &target, endpoint, options).await?;
    let route = Route { tls: Some(session), ..connection.route };
    Ok(ProvedConnection { io, target, route })
}

impl ProvedConnection {
    /// How the connection runs.
    #[must_use]
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Introduces the agent to the controller.
    ///
    /// # Errors
    /// A refusal, or a peer that does not keep to the protocol.
    pub async fn introduce(
        mut self,
        options: &Jnlp4Options,
    ) -> Result<(TcpSource, TcpSink, Jnlp4Handshake), Jnlp4Error> {
        let mut negotiation = Negotiation::new(&options.headers())?;
        let limit = options.timeouts.response;
        let outcome = timeout(limit, self.negotiate(&mut negotiation)).await;
        let negotiated = match outcome {
            Ok(Ok(negotiated)) => negotiated,
            Ok(Err(error)) => {
                if let Jnlp4Error::Negotiation(_) = error {
                    let _ = timeout(HANDSHAKE_TIMEOUT, self.say_goodbye(&mut negotiation)).await;
                }
                return Err(error);
            }
            Err(_) => return Err(too_slow(self.target, negotiation.waits_for(), limit).into()),
        };
        let (source, sink) = stream::start(self.io, negotiated.rest, options);
        let handshake = Jnlp4Handshake {
            capability: negotiated.capability,
            cookie: negotiated.cookie,
            route: self.route,
        };
        Ok((source, sink, handshake))
    }

    async fn negotiate(&mut self, negotiation: &mut Negotiation) -> Result<Negotiated, Jnlp4Error> {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            let done = negotiation.advance()?;
            let ended =
                |detail, before| Jnlp4Error::Ended { target: self.target.clone(), before, detail };
            let output = negotiation.take_output();
            let sent = async {
                self.io.write_all(&output).await?;
                self.io.flush().await
            };
            if let Err(error) = sent.await {
                return Err(ended(Some(error.to_string()), negotiation.waits_for()));
            }
            if let Some(negotiated) = done {
                return Ok(negotiated);
            }
            buffer.clear();
            match self.io.read_buf(&mut buffer).await {
                Ok(0) => return Err(ended(None, negotiation.waits_for())),
                Ok(_) => negotiation.feed(&buffer),
                Err(error) => return Err(ended(Some(error.to_string()), negotiation.waits_for())),
            }
        }
    }

    /// Sends the last words and waits for the peer's end, without which it would not get them all.
    async fn say_goodbye(&mut self, negotiation: &mut Negotiation) -> std::io::Result<()> {
        self.io.write_all(&negotiation.take_output()).await?;
        self.io.shutdown().await?;
        let mut ignored = [0; 512];
        while self.io.read(&mut ignored).await? > 0 {}
        Ok(())
    }
}

impl fmt::Debug for ProvedConnection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProvedConnection").field("route", &self.route).finish_non_exhaustive()
    }
}

fn too_slow(target: String, step: &'static str, limit: Duration) -> NetworkError {
    NetworkError::Timeout { target, step, seconds: limit.as_secs() }
}

/// Says which protocol this is to be, and exchanges the acknowledgements.
async fn acknowledge(
    io: &mut BoxedStream,
    target: &str,
    options: &Jnlp4Options,
    protocol: Protocol,
) -> Result<(), Jnlp4Error> {
    let ended = |detail| Jnlp4Error::Ended {
        target: target.to_owned(),
        before: "the acknowledgement",
        detail,
    };
    let lost = |error: std::io::Error| ended(Some(error.to_string()));
    io.write_all(&preamble(&options.node_name, protocol)).await.map_err(lost)?;
    io.flush().await.map_err(lost)?;
    let mut got = Vec::with_capacity(ACKNOWLEDGEMENT.len());
    while got.len() < ACKNOWLEDGEMENT.len() && ACKNOWLEDGEMENT.starts_with(&got) {
        match io.read_u8().await {
            Ok(byte) => got.push(byte),
            Err(_) if got.is_empty() => return Err(ended(None)),
            Err(_) => break,
        }
    }
    if got == ACKNOWLEDGEMENT {
        return Ok(());
    }
    // Most likely words, and worth to be seen.
    let _ = timeout(ANSWER_TIMEOUT, io.take(ANSWER_BYTES).read_to_end(&mut got)).await;
    let target = target.to_owned();
    let is_text = got.first().is_some_and(u8::is_ascii_graphic);
    let answer = String::from_utf8_lossy(&got);
    match html::one_line(answer.lines().next().unwrap_or_default()) {
        Some(answer) if is_text => Err(Jnlp4Error::NotAgentPort { target, answer }),
        _ => {
            let got = got.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
            Err(Jnlp4Error::NotAcknowledged { target, got })
        }
    }
}

/// What the agent sends before TLS.
fn preamble(node_name: &str, protocol: Protocol) -> Vec<u8> {
    let mut bytes = opening(protocol);
    if protocol == Protocol::Jnlp4ConnectProxy {
        bytes.extend_from_slice(format!("Node-Name: {node_name}\n\n").as_bytes());
        bytes.extend_from_slice(&opening(Protocol::Jnlp4Connect));
    }
    bytes.extend_from_slice(ACKNOWLEDGEMENT);
    bytes
}

/// The record with the name of the protocol (`DataInput.readUTF` there).
fn opening(protocol: Protocol) -> Vec<u8> {
    let text = format!("Protocol:{}", protocol.name());
    let length = u16::try_from(text.len()).unwrap_or(0).to_be_bytes();
    [&length[..], text.as_bytes()].concat()
}

async fn start_tls(
    io: BoxedStream,
    target: &str,
    endpoint: &AgentEndpoint,
    options: &Jnlp4Options,
) -> Result<(BoxedStream, TlsSession), Jnlp4Error> {
    let failed = |detail: String| Jnlp4Error::Tls { target: target.to_owned(), detail };
    let config = verifier::config(&endpoint.identity).map_err(|error| failed(error.to_string()))?;
    // Neither sent nor compared with anything.
    let name = ServerName::IpAddress(IpAddr::V4(Ipv4Addr::UNSPECIFIED).into());
    let handshake = TlsConnector::from(Arc::new(config)).connect(name, io);
    let limit = options.timeouts.connect;
    let stream = match timeout(limit, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            if let Some(WrongIdentity { expected, shown }) = WrongIdentity::of(&error) {
                let target = target.to_owned();
                return Err(Jnlp4Error::WrongIdentity { target, expected, shown });
            }
            return Err(match TlsDiagnosis::of(&error) {
                TlsDiagnosis::Interrupted => Jnlp4Error::Ended {
                    target: target.to_owned(),
                    before: "TLS was set up",
                    detail: Some(error.to_string()),
                },
                _ => failed(error.to_string()),
            });
        }
        Err(_) => return Err(too_slow(target.to_owned(), "the TLS handshake", limit).into()),
    };
    let version = stream.get_ref().1.protocol_version();
    let version = version.map_or_else(String::new, |version| format!("{version:?}"));
    Ok((Box::new(stream), TlsSession { version, trust: TrustReport::InstanceIdentity }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preambles() {
        assert_eq!(
            preamble("n", Protocol::Jnlp4Connect),
            b"\x00\x16Protocol:JNLP4-connect\x00\x03ACK"
        );
        assert_eq!(
            preamble("n", Protocol::Jnlp4ConnectProxy),
            b"\x00\x1cProtocol:JNLP4-connect-proxyNode-Name: n\n\n\x00\x16Protocol:JNLP4-connect\x00\x03ACK"
        );
    }
}
