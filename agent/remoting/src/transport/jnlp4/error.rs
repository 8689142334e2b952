//! Why there is no connection over TCP, in words a person can act on.

use super::headers::HeadersError;
use super::negotiation::NegotiationError;
use crate::transport::error::{NetworkError, Recovery, suffix};

/// The agent port was not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoveryError {
    /// No connection.
    #[error("Failed to connect to {url}: {error}")]
    Network {
        /// What was asked for.
        url: String,
        /// The reason.
        error: NetworkError,
    },
    /// An option cannot be sent.
    #[error("{0}")]
    InvalidOption(String),
    /// An answer other than 200.
    #[error("{url} is invalid: {status}{}{}", suffix(.page.as_deref()), advice(*.status))]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
        /// Title of the page.
        page: Option<String>,
    },
    /// Redirects without end.
    #[error(
        "{url} redirects again and again; check the address in -url and the Jenkins URL set in the controller"
    )]
    Redirects {
        /// What was asked for.
        url: String,
    },
    /// An answer without the headers of a controller.
    #[error(
        "{url} is not Jenkins: the answer has no X-Jenkins-JNLP-Port; check -url, and that no login page \
             answers instead"
    )]
    NotJenkins {
        /// What was asked for.
        url: String,
    },
    /// A port that is none.
    #[error("{url} is publishing an invalid port: {port:?}")]
    BadPort {
        /// What was asked for.
        url: String,
        /// What it said.
        port: String,
    },
    /// No key to believe the controller by.
    #[error(
        "{url} appears to be publishing an invalid X-Instance-Identity ({problem}); the plugin \
         instance-identity must be installed on the controller"
    )]
    BadIdentity {
        /// What was asked for.
        url: String,
        /// What is wrong.
        problem: String,
    },
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
    /// The port that was found cannot be reached.
    #[error(
        "{url} provided port:{port} is not reachable on host {host} ({error}); open it, or use -tunnel or \
             -webSocket"
    )]
    PortUnreachable {
        /// The controller.
        url: String,
        /// Host of the agent port.
        host: String,
        /// The agent port.
        port: u16,
        /// The reason.
        error: Box<NetworkError>,
    },
}

/// What a status of the discovery page means.
fn advice(status: u16) -> &'static str {
    match status {
        404 => {
            "; check the path in -url, and that the TCP port for inbound agents is enabled on the controller, \
                or use -webSocket"
        }
        401 | 403 => {
            "; a login is required before the controller is reached: use -credentials USER:PASSWORD"
        }
        _ => "",
    }
}

impl DiscoveryError {
    /// What to do next.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Network { error, .. } => error.recovery(),
            Self::InvalidOption(_) | Self::TooOld { .. } => Recovery::GiveUp,
            _ => Recovery::Retry,
        }
    }
}

/// No connection to an agent port that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Jnlp4Error {
    /// No connection.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The port answers with a text.
    #[error(
        "{target} answered {answer:?} instead of an acknowledgement; check that it is the port for inbound \
             agents, and that JNLP4 is enabled on the controller"
    )]
    NotAgentPort {
        /// Host and port.
        target: String,
        /// What came, one line.
        answer: String,
    },
    /// The port answers with bytes.
    #[error(
        "Incorrect acknowledgement received, expected 0x000341434b got 0x{got}; {target} is no port for \
             inbound agents"
    )]
    NotAcknowledged {
        /// Host and port.
        target: String,
        /// What came, in hexadecimal.
        got: String,
    },
    /// The connection ended too early.
    #[error("{target} ended the connection before {before}; see the controller's log{}",
            .detail.as_ref().map(|detail| format!(" ({detail})")).unwrap_or_default())]
    Ended {
        /// Host and port.
        target: String,
        /// What should have come.
        before: &'static str,
        /// What the operating system or the TLS layer reported.
        detail: Option<String>,
    },
    /// The controller does not hold the key that was expected.
    #[error(
        "Expecting identity {expected}, but {target} shows the identity {shown}: it is another controller, or \
         someone in between; after a change of the controller's key correct -instanceIdentity"
    )]
    WrongIdentity {
        /// Host and port.
        target: String,
        /// Fingerprint of the expected key.
        expected: String,
        /// Fingerprint of the key shown, or why there is none.
        shown: String,
    },
    /// TLS cannot be used with this key or peer.
    #[error("TLS with {target} failed: {detail}")]
    Tls {
        /// Host and port.
        target: String,
        /// What the TLS layer reported.
        detail: String,
    },
    /// No agreement inside TLS.
    #[error(transparent)]
    Negotiation(#[from] NegotiationError),
}

impl From<HeadersError> for Jnlp4Error {
    fn from(error: HeadersError) -> Self {
        NegotiationError::from(error).into()
    }
}

impl Jnlp4Error {
    /// What to do next. Refusals are retried, as the Java agent does, even those that call themselves final: a
    /// node may be made anew.
    #[must_use]
    pub fn recovery(&self) -> Recovery {
        match self {
            Self::Network(error) => error.recovery(),
            Self::Negotiation(
                NegotiationError::Capability(_) | NegotiationError::TooLong { .. },
            ) => Recovery::GiveUp,
            _ => Recovery::Retry,
        }
    }
}
