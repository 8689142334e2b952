//! Where the agent port is: the headers of `tcpSlaveAgentListener/` on the controller's HTTP port
//! (`org.jenkinsci.remoting.engine.JnlpAgentEndpointResolver`).

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, StatusCode, header};

use super::super::clock;
use super::error::DiscoveryError;
use super::identity::InstanceIdentity;
use super::options::{AgentEndpoint, Jnlp4Options};
use crate::transport::connector::{self, Dialing};
use crate::transport::get::{self, GetError};
use crate::transport::html;
use crate::transport::http_client::Exchange;
use crate::transport::options::Timeouts;
use crate::transport::secret::Secret;
use crate::transport::upgrade::header_text;
use crate::transport::url::{Endpoint, RootUrl, Target};
use crate::transport::version::VersionNumber;

const PAGE: &str = "tcpSlaveAgentListener/";
/// How long the port that was found may take to accept a connection.
const PORT_CHECK: Duration = Duration::from_secs(5);
/// Time limit of each step of [`agent_port_ready`].
const READY_TIMEOUT: Duration = Duration::from_secs(5);
/// More redirects in a row than this are a circle; Java stops there too.
const MAX_REDIRECTS: usize = 20;
/// More protocols than this are not kept; a controller has about three.
const MAX_PROTOCOLS: usize = 16;

/// Asks a controller for its agent port, and checks that the port can be reached unless there is a tunnel.
///
/// # Errors
/// No connection, an answer that is not a controller's, or a port that cannot be reached.
pub async fn discover(
    options: &Jnlp4Options,
    url: &RootUrl,
) -> Result<AgentEndpoint, DiscoveryError> {
    let target = url.join(PAGE);
    let answer = get(options, options.timeouts, &target).await?;
    if answer.response.status() != StatusCode::OK {
        return Err(refused(answer, &target).await);
    }
    let mut found = read_headers(answer.response.headers(), options, url)?;
    answer.discard().await;
    if options.is_tunnelled() {
        found.host = options.tunnel_host.clone().unwrap_or(found.host);
        found.port = options.tunnel_port.unwrap_or(found.port);
    } else {
        check_port(options, url, &found).await?;
    }
    Ok(found)
}

/// Whether a controller answers there again, after a connection to it has ended.
///
/// # Errors
/// No connection, or an answer other than 200.
pub async fn agent_port_ready(options: &Jnlp4Options, url: &RootUrl) -> Result<(), DiscoveryError> {
    let target = url.join(PAGE);
    let timeouts = Timeouts { connect: READY_TIMEOUT, response: READY_TIMEOUT, ..options.timeouts };
    let answer = get(options, timeouts, &target).await?;
    if answer.response.status() != StatusCode::OK {
        return Err(refused(answer, &target).await);
    }
    answer.discard().await;
    Ok(())
}

async fn refused(answer: Exchange, target: &Target) -> DiscoveryError {
    let status = answer.response.status().as_u16();
    let page = answer.page_line().await;
    DiscoveryError::Status { url: target.to_string(), status, page }
}

/// Asks for a page, following redirects; what is not followed is the answer.
async fn get(
    options: &Jnlp4Options,
    timeouts: Timeouts,
    first: &Target,
) -> Result<Exchange, DiscoveryError> {
    let mut target = first.clone();
    for _ in 0..MAX_REDIRECTS {
        // Credentials are for the controller that was named, and no other.
        let credentials =
            options.credentials.as_ref().filter(|_| target.endpoint == first.endpoint);
        let answer = get_once(options, timeouts, &target, credentials).await?;
        clock::compare(answer.response.headers());
        let status = answer.response.status().as_u16();
        let location = answer.response.headers().get(header::LOCATION);
        let next = location.filter(|_| matches!(status, 301 | 302 | 303 | 307 | 308)).and_then(
            |location| target.redirect(&String::from_utf8_lossy(location.as_bytes())).ok(),
        );
        match next {
            // The key that is believed must not come over a way that is less safe than the one asked for.
            Some(next) if next.endpoint.secure || !target.endpoint.secure => target = next,
            _ => return Ok(answer),
        }
    }
    Err(DiscoveryError::Redirects { url: first.to_string() })
}

async fn get_once(
    options: &Jnlp4Options,
    timeouts: Timeouts,
    target: &Target,
    credentials: Option<&Secret>,
) -> Result<Exchange, DiscoveryError> {
    let dialing = Dialing { timeouts: &timeouts, ..options.into() };
    let answer = get::get(dialing, target, |mut request| {
        let node_name = HeaderName::from_static("node-name");
        request = request.header(node_name, header_text(&options.node_name));
        match credentials {
            Some(credentials) => {
                let value = Secret::new(format!("Basic {}", STANDARD.encode(credentials.expose())));
                request.header(header::AUTHORIZATION, value.expose())
            }
            None => request,
        }
    });
    answer.await.map_err(|error| match error {
        GetError::Network(error) => DiscoveryError::Network { url: target.to_string(), error },
        GetError::Request(error) => {
            DiscoveryError::InvalidOption(format!("-name or -credentials cannot be sent: {error}"))
        }
    })
}

fn read_headers(
    headers: &HeaderMap,
    options: &Jnlp4Options,
    url: &RootUrl,
) -> Result<AgentEndpoint, DiscoveryError> {
    let text = |name: &str| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
    };
    let shown = |text: &str| html::one_line(text).unwrap_or_default();
    if let Some(minimum) = text("x-remoting-minimum-version")
        && VersionNumber::parse(&options.version) < VersionNumber::parse(&minimum)
    {
        let minimum = shown(&minimum);
        return Err(DiscoveryError::TooOld { minimum, own: options.version.clone() });
    }
    let Some(port) = text("x-jenkins-jnlp-port").or_else(|| text("x-hudson-jnlp-port")) else {
        return Err(DiscoveryError::NotJenkins { url: url.to_string() });
    };
    let bad_identity =
        |problem: String| DiscoveryError::BadIdentity { url: url.to_string(), problem };
    let identity =
        text("x-instance-identity").ok_or_else(|| bad_identity("it is absent".to_owned()))?;
    let identity =
        InstanceIdentity::parse(&identity).map_err(|error| bad_identity(error.to_string()))?;
    let bad_port = |port: &str| DiscoveryError::BadPort { url: url.to_string(), port: shown(port) };
    let port = port.parse().ok().filter(|&port| port != 0).ok_or_else(|| bad_port(&port))?;
    let host = text("x-jenkins-jnlp-host").filter(|host| !host.is_empty());
    let host = match host {
        Some(host) => bare_host(&host).ok_or_else(|| bad_port(&host))?,
        None => url.endpoint().host.clone(),
    };
    let protocols = text("x-jenkins-agent-protocols").unwrap_or_default();
    let protocols = protocols.split(',').filter_map(html::one_line).take(MAX_PROTOCOLS).collect();
    Ok(AgentEndpoint { host, port, identity, protocols })
}

/// A host name or address, without the brackets of an IPv6 address.
fn bare_host(host: &str) -> Option<String> {
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:%".contains(&byte);
    (host.len() <= 255 && host.bytes().all(fits)).then(|| host.to_owned())
}

async fn check_port(
    options: &Jnlp4Options,
    url: &RootUrl,
    found: &AgentEndpoint,
) -> Result<(), DiscoveryError> {
    let timeouts = Timeouts { connect: PORT_CHECK, ..options.timeouts };
    let endpoint = Endpoint { secure: false, host: found.host.clone(), port: found.port };
    let dialing = Dialing { timeouts: &timeouts, ..options.into() };
    match connector::open(dialing, &endpoint).await {
        Ok(_) => Ok(()),
        Err(error) => Err(DiscoveryError::PortUnreachable {
            url: url.to_string(),
            host: found.host.clone(),
            port: found.port,
            error: Box::new(error),
        }),
    }
}
