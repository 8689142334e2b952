//! Why there is no connection, in words a person can act on, and whether another attempt makes sense.

use std::io;

use rustls::{AlertDescription, CertificateError};

use super::tls::TlsSetupError;
use super::url::UrlError;
use crate::capability::CapabilityError;

/// What to do after a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recovery {
    /// Try again after a while. This includes refusals such as an unknown node, which a cloud may be about to
    /// create.
    Retry,
    /// Try again, but forget the cookie: it seems to be what the controller chokes on.
    RetryWithoutCookie,
    /// Another attempt cannot succeed without a change here.
    GiveUp,
}

/// What went wrong with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsDiagnosis {
    /// No accepted authority has signed the certificate.
    UnknownIssuer,
    /// The certificate's time is over.
    Expired,
    /// The certificate's time has not begun.
    NotYetValid,
    /// The certificate is for other hosts.
    WrongHost,
    /// The certificate is an authority's own, used for a server.
    AuthorityAsServer,
    /// The certificate is bad in another way.
    BadCertificate,
    /// The peer does not speak TLS on this port.
    NotTls,
    /// No common TLS version or cipher.
    Incompatible,
    /// The peer wants a client certificate.
    ClientCertificateWanted,
    /// The host name cannot be used for TLS.
    BadName,
    /// The connection ended during the handshake.
    Interrupted,
    /// Anything else.
    Other,
}

impl TlsDiagnosis {
    /// Finds the reason in what the TLS layer reported.
    pub(crate) fn of(error: &io::Error) -> Self {
        let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>())
        else {
            return Self::Interrupted;
        };
        match error {
            rustls::Error::InvalidCertificate(problem) => match problem {
                // A bad signature is what an authority of the same name with another key looks like.
                CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                    Self::UnknownIssuer
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    Self::Expired
                }
                CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                    Self::NotYetValid
                }
                CertificateError::NotValidForName
                | CertificateError::NotValidForNameContext { .. } => Self::WrongHost,
                // webpki's own error for this case only comes wrapped; its text is stable.
                CertificateError::Other(other)
                    if other.0.to_string().contains("CaUsedAsEndEntity") =>
                {
                    Self::AuthorityAsServer
                }
                _ => Self::BadCertificate,
            },
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            rustls::Error::PeerIncompatible(_)
            | rustls::Error::AlertReceived(
                AlertDescription::HandshakeFailure
                | AlertDescription::ProtocolVersion
                | AlertDescription::InsufficientSecurity,
            ) => Self::Incompatible,
            rustls::Error::AlertReceived(AlertDescription::CertificateRequired) => {
                Self::ClientCertificateWanted
            }
            _ => Self::Other,
        }
    }

    fn advice(self) -> &'static str {
        match self {
            Self::UnknownIssuer => {
                "the certificate is signed by an unknown authority; give it with -cert, or put the authority's \
                 certificate in a file and set SSL_CERT_FILE"
            }
            Self::Expired => {
                "the certificate has expired; renew it on the server, or correct this machine's clock"
            }
            Self::NotYetValid => "the certificate is not valid yet; correct this machine's clock",
            Self::WrongHost => {
                "the certificate is for another host name; use the name in the certificate in -url, \
                 or get a certificate with this name as subjectAltName"
            }
            Self::AuthorityAsServer => {
                "the certificate is that of an authority; give it with -cert to accept it"
            }
            Self::BadCertificate => "the certificate is not acceptable",
            Self::NotTls => {
                "the server does not speak TLS on this port; use http:// in -url, or the TLS port"
            }
            Self::Incompatible => {
                "no common TLS version or cipher; the server must offer TLS 1.2 or 1.3"
            }
            Self::ClientCertificateWanted => {
                "the server wants a client certificate, which agents do not have; exempt wsagents/ and login there"
            }
            Self::BadName => "the host name cannot be used with TLS",
            Self::Interrupted => "the connection ended during the TLS handshake",
            Self::Other => "the TLS handshake failed",
        }
    }
}

/// No usable connection to the controller or the proxy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The host name has no address.
    #[error("cannot find the address of {host} ({detail}); check the name and this machine's DNS")]
    Resolve {
        /// The host name.
        host: String,
        /// What the resolver reported.
        detail: String,
    },
    /// Nothing listens there.
    #[error("{target} refused the connection; check the port, and that the controller is running")]
    Refused {
        /// Host and port.
        target: String,
    },
    /// The network does not get there.
    #[error("cannot reach {target}: {detail}")]
    Unreachable {
        /// Host and port.
        target: String,
        /// What the operating system reported.
        detail: String,
    },
    /// No answer in time.
    #[error(
        "{target} did not answer within {seconds} s ({step}); check firewalls and proxy settings"
    )]
    Timeout {
        /// Host and port.
        target: String,
        /// What was being done.
        step: &'static str,
        /// The limit in seconds.
        seconds: u64,
    },
    /// TLS with the controller or the proxy failed.
    #[error("TLS with {target} failed: {} ({detail})", .diagnosis.advice())]
    Tls {
        /// Host and port.
        target: String,
        /// The reason.
        diagnosis: TlsDiagnosis,
        /// What the TLS library reported.
        detail: String,
    },
    /// TLS settings of this agent are unusable.
    #[error(transparent)]
    TlsSetup(TlsSetupError),
    /// The proxy wants a user name and password.
    #[error("proxy {proxy} {}; set -proxyCredentials user:password",
            if *.given { "refused the user name or password" } else { "wants a user name and password" })]
    ProxyAuthentication {
        /// The proxy.
        proxy: String,
        /// Whether credentials were sent.
        given: bool,
    },
    /// The proxy does not connect to the controller.
    #[error("proxy {proxy} refused to connect to {target}: status {status}{}; allow it there, or add the host to no_proxy",
            suffix(.page.as_deref()))]
    ProxyRefused {
        /// The proxy.
        proxy: String,
        /// The controller's host and port.
        target: String,
        /// HTTP status.
        status: u16,
        /// Title of the error page.
        page: Option<String>,
    },
    /// No HTTP answer.
    #[error("no usable HTTP answer from {target}: {detail}")]
    Http {
        /// Whom was asked.
        target: String,
        /// What was wrong.
        detail: String,
    },
}

impl NetworkError {
    /// What to do next.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::TlsSetup(_) | Self::Tls { diagnosis: TlsDiagnosis::BadName, .. } => {
                Recovery::GiveUp
            }
            _ => Recovery::Retry,
        }
    }
}

/// The controller does not answer as ready (`GET <root>login`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// No connection.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// An answer other than 200.
    #[error("{url} is not ready: {status}{}", suffix(.page.as_deref()))]
    NotReady {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// Title of the page.
        page: Option<String>,
    },
    /// The answer leads around in circles, or to no usable address.
    #[error(
        "{url} redirects {problem}; check the address in -url and the Jenkins URL set in the controller"
    )]
    Redirect {
        /// Where the redirect that was not followed came from.
        url: String,
        /// Why it was not followed.
        problem: String,
    },
    /// An option cannot be sent.
    #[error("{0}")]
    InvalidOption(String),
}

impl ProbeError {
    /// What to do next.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Network(error) => error.recovery(),
            Self::InvalidOption(_) => Recovery::GiveUp,
            Self::NotReady { .. } | Self::Redirect { .. } => Recovery::Retry,
        }
    }

    /// HTTP status, for `<url>login is not ready: <code>`.
    #[must_use]
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::NotReady { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// The controller, or something in front of it, did not take the agent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// No connection.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The URL cannot be used.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// An option cannot be sent.
    #[error("{0}")]
    InvalidOption(String),
    /// 403: the secret is not that of the node.
    #[error("the controller refused the secret of node `{node}`; copy it again from the node's page (403{})",
            suffix(.page.as_deref()))]
    WrongSecret {
        /// The node name sent.
        node: String,
        /// Title of the page.
        page: Option<String>,
    },
    /// 401: something wants a login before the controller is reached.
    #[error("a login is required before the controller is reached (401{}); exempt wsagents/ in the proxy, \
             or give it a header with -webSocketHeader", suffix(.page.as_deref()))]
    LoginRequired {
        /// Title of the page.
        page: Option<String>,
    },
    /// 400: the controller knows no such node.
    #[error("the controller has no node `{node}`; check -name, and that the node still exists")]
    NoSuchNode {
        /// The node name sent.
        node: String,
    },
    /// 400: another connection of the node is alive.
    #[error(
        "node `{node}` is already connected; if no other agent runs under this name, the old connection \
             will end soon"
    )]
    AlreadyConnected {
        /// The node name sent.
        node: String,
    },
    /// 400: the node is not one that agents connect to in this way.
    #[error(
        "node `{node}` does not take WebSocket connections from agents: {page}; set its launch method to \
             \"connecting to the controller\""
    )]
    NotInbound {
        /// The node name sent.
        node: String,
        /// Title of the page.
        page: String,
    },
    /// 400: a header got lost on the way.
    #[error(
        "the controller did not get all headers of the agent; a proxy in between drops Node-Name, Secret-Key \
             or X-Remoting-Capability"
    )]
    HeadersLost,
    /// 404: nothing there takes agents.
    #[error("{url} does not exist (404{}); check the path in -url, and that the proxy and the controller's servlet \
             container support WebSocket", suffix(.page.as_deref()))]
    NotFound {
        /// What was asked for.
        url: String,
        /// Title of the page.
        page: Option<String>,
    },
    /// 2xx or 3xx: the upgrade was answered like a visit by a browser.
    #[error("a proxy or login page answered instead of the controller (status {status}{}{}); pass WebSocket \
             upgrades of wsagents/ through to the controller without login, and check http:// or https:// in -url",
            suffix(.page.as_deref()), .location.as_ref().map(|to| format!(", redirects to {to}")).unwrap_or_default())]
    Swallowed {
        /// HTTP status.
        status: u16,
        /// Where it redirects to, without the query.
        location: Option<String>,
        /// Title of the page.
        page: Option<String>,
    },
    /// 426: the WebSocket headers did not arrive.
    #[error(
        "the controller did not see a WebSocket upgrade (426); a proxy in between drops the Upgrade header"
    )]
    UpgradeDropped,
    /// 5xx: an error in the controller or a gateway.
    #[error("the controller or a gateway in front of it failed with status {status}{}{}", suffix(.page.as_deref()), taken(*.status))]
    Server {
        /// HTTP status.
        status: u16,
        /// Title of the page.
        page: Option<String>,
        /// Whether a cookie was sent, which may be the reason.
        with_cookie: bool,
    },
    /// Any other refusal.
    #[error("the controller refused the connection with status {status}{}", suffix(.page.as_deref()))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Title of the page.
        page: Option<String>,
    },
    /// A 101 that is not one.
    #[error(
        "the answer to the WebSocket upgrade is wrong ({detail}); a proxy in between does not support WebSocket"
    )]
    BadUpgrade {
        /// What is wrong.
        detail: &'static str,
    },
    /// The controller's capability is unusable.
    #[error(transparent)]
    Capability(#[from] CapabilityError),
    /// The controller wants a newer agent.
    #[error(
        "the controller wants remoting {minimum} or later, this agent stands for {own}; update this agent"
    )]
    TooOld {
        /// The controller's minimum.
        minimum: String,
        /// This agent's version.
        own: String,
    },
}

impl ConnectError {
    /// What to do next. Refusals are retried, as the Java agent does: a cloud node may be unknown for some
    /// seconds, and "already connected" passes.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Network(error) => error.recovery(),
            Self::Server { with_cookie: true, .. } => Recovery::RetryWithoutCookie,
            Self::Url(_) | Self::InvalidOption(_) | Self::Capability(_) | Self::TooOld { .. } => {
                Recovery::GiveUp
            }
            _ => Recovery::Retry,
        }
    }
}

/// A controller that refuses a second agent of one name answers like one with a bug (`WebSocketAgents.doIndex`).
fn taken(status: u16) -> &'static str {
    if status == 500 {
        "; if it is the controller, another agent may be connected as this node: its log says so"
    } else {
        ""
    }
}

/// `: text`, or nothing.
pub(super) fn suffix(page: Option<&str>) -> String {
    page.map(|page| format!(": {page}")).unwrap_or_default()
}
