//! The WebSocket upgrade: request headers, the verdict on the answer, and what the controller says in it.
//!
//! Header names are those of `hudson.remoting.Engine` and `jenkins.agents.WebSocketAgents`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, header};
use http_body_util::Empty;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::connector::{self, Route};
use super::error::ConnectError;
use super::html;
use super::http_client::{self, Exchange};
use super::options::WebSocketOptions;
use super::probe::http_error;
use super::secret::Cookie;
use super::version::VersionNumber;
use super::websocket::{self, WebSocketSink, WebSocketSource};
use crate::capability::Capability;

const NODE_NAME: HeaderName = HeaderName::from_static("node-name");
const SECRET_KEY: HeaderName = HeaderName::from_static("secret-key");
const CAPABILITY: HeaderName = HeaderName::from_static("x-remoting-capability");
const COOKIE: HeaderName = HeaderName::from_static("connection-cookie");
const MINIMUM_VERSION: HeaderName = HeaderName::from_static("x-remoting-minimum-version");

/// What the controller said when it took the agent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Handshake {
    /// The controller's capability.
    pub capability: Capability,
    /// The controller sent no capability; this agent's own is assumed, as the Java agent does.
    pub capability_assumed: bool,
    /// To be sent with the next connection. If `None`, an older one must be forgotten.
    pub cookie: Option<Cookie>,
    /// Oldest remoting version the controller takes; `None` if it takes any.
    pub minimum_version: Option<VersionNumber>,
    /// How the connection runs.
    pub route: Route,
}

/// Connects to the controller as an agent.
///
/// # Errors
/// See [`ConnectError`]; [`ConnectError::recovery`] tells whether another attempt makes sense.
pub async fn connect(
    options: &WebSocketOptions,
) -> Result<(WebSocketSource, WebSocketSink, Handshake), ConnectError> {
    let target = options.url.join("wsagents/");
    let key = generate_key();
    let mut request = Request::get(&target.path_and_query)
        .header(header::HOST, target.endpoint.host_header())
        .body(Empty::<Bytes>::new())
        .map_err(|error| ConnectError::InvalidOption(error.to_string()))?;
    fill_headers(request.headers_mut(), options, &key).map_err(ConnectError::InvalidOption)?;

    let connection = connector::open(options.into(), &target.endpoint).await?;
    let timeout = options.timeouts.response;
    let failure = |failure| http_error(failure, target.endpoint.authority(), timeout.as_secs());
    let answer = http_client::exchange(connection.io, request, timeout).await.map_err(failure)?;
    if answer.response.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(refusal(answer, options, &target.to_string()).await);
    }
    check_upgrade(answer.response.headers(), &key)?;
    let handshake = read_handshake(answer.response.headers(), options, connection.route)?;
    let (io, early) = answer.upgrade().await.map_err(failure)?;
    let (source, sink) = websocket::start(io, early, options).await;
    Ok((source, sink, handshake))
}

fn fill_headers(
    headers: &mut HeaderMap,
    options: &WebSocketOptions,
    key: &str,
) -> Result<(), String> {
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
    headers.insert(header::SEC_WEBSOCKET_KEY, value(key.as_bytes(), "Sec-WebSocket-Key", false)?);
    headers.insert(header::USER_AGENT, value(options.user_agent.as_bytes(), "User-Agent", false)?);
    headers.insert(NODE_NAME, value(&header_text(&options.node_name), "Node-Name (-name)", false)?);
    headers.insert(
        SECRET_KEY,
        value(options.secret.expose().as_bytes(), "Secret-Key (-secret)", true)?,
    );
    let capability = Capability::CURRENT.to_base64();
    headers.insert(CAPABILITY, value(capability.as_bytes(), "X-Remoting-Capability", false)?);
    if let Some(cookie) = &options.cookie {
        headers.insert(COOKIE, value(cookie.expose().as_bytes(), "Connection-Cookie", true)?);
    }
    add_extra_headers(headers, &options.headers)
}

/// The servlet container reads header values as ISO 8859-1; names with other characters go as UTF-8.
pub(super) fn header_text(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).ok())
        .collect::<Option<_>>()
        .unwrap_or_else(|| text.into())
}

fn value(bytes: &[u8], name: &str, sensitive: bool) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_bytes(bytes).map_err(|_| {
        format!("{name} has a character that cannot be sent in a header, such as a line break")
    })?;
    value.set_sensitive(sensitive);
    Ok(value)
}

/// Adds the headers of `-webSocketHeader`. A name given twice is sent twice, and replaces one set before.
pub(super) fn add_extra_headers(
    headers: &mut HeaderMap,
    extra: &[(String, String)],
) -> Result<(), String> {
    let mut seen: Vec<HeaderName> = Vec::new();
    for (name, text) in extra {
        let name = HeaderName::from_bytes(name.trim().as_bytes()).map_err(|_| {
            format!("`{name}` given with -webSocketHeader is not a header name; use NAME=VALUE")
        })?;
        let text = value(
            &header_text(text.trim()),
            &format!("the value of {name} (-webSocketHeader)"),
            true,
        )?;
        if seen.contains(&name) {
            headers.append(name, text);
        } else {
            headers.insert(name.clone(), text);
            seen.push(name);
        }
    }
    Ok(())
}

fn check_upgrade(headers: &HeaderMap, key: &str) -> Result<(), ConnectError> {
    let has_token = |name: HeaderName, token: &str| {
        headers
            .get_all(name)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token)))
    };
    let detail = if !has_token(header::UPGRADE, "websocket") {
        "no `Upgrade: websocket`"
    } else if !has_token(header::CONNECTION, "upgrade") {
        "no `Connection: Upgrade`"
    } else if headers.get(header::SEC_WEBSOCKET_ACCEPT).map(HeaderValue::as_bytes)
        != Some(derive_accept_key(key.as_bytes()).as_bytes())
    {
        "Sec-WebSocket-Accept does not fit the key"
    } else if headers.contains_key(header::SEC_WEBSOCKET_EXTENSIONS)
        || headers.contains_key(header::SEC_WEBSOCKET_PROTOCOL)
    {
        "an extension or subprotocol that was not asked for"
    } else {
        return Ok(());
    };
    Err(ConnectError::BadUpgrade { detail })
}

fn read_handshake(
    headers: &HeaderMap,
    options: &WebSocketOptions,
    route: Route,
) -> Result<Handshake, ConnectError> {
    let text = |name: HeaderName| {
        headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_owned())
    };
    // First of all: a controller that refuses this version may use capabilities this agent cannot know.
    let minimum_version = text(MINIMUM_VERSION).map(|text| VersionNumber::parse(&text));
    if let Some(minimum) = &minimum_version
        && VersionNumber::parse(&options.version) < *minimum
    {
        let minimum = html::one_line(minimum.as_str()).unwrap_or_default();
        return Err(ConnectError::TooOld { minimum, own: options.version.clone() });
    }
    let sent = text(CAPABILITY);
    let capability_assumed = sent.is_none();
    let capability = match sent {
        Some(text) => Capability::from_base64(&text)?,
        None => Capability::CURRENT,
    };
    capability.require(Capability::CURRENT)?;
    let cookie = text(COOKIE).and_then(|text| Cookie::parse(&text));
    Ok(Handshake { capability, capability_assumed, cookie, minimum_version, route })
}

async fn refusal(answer: Exchange, options: &WebSocketOptions, url: &str) -> ConnectError {
    let status = answer.response.status().as_u16();
    let location = answer
        .response
        .headers()
        .get(header::LOCATION)
        .and_then(|value| value.to_str().ok())
        // Without the query: it often holds tokens or the page asked for.
        .and_then(|location| html::one_line(location.split(['?', '#']).next().unwrap_or_default()));
    let page = answer
        .page_line()
        .await
        .map(|page| without_status(&page, status))
        .filter(|page| !page.is_empty());
    let node = options.node_name.clone();
    match status {
        200..=399 => ConnectError::Swallowed { status, location, page },
        400 => bad_request(node, page),
        401 => ConnectError::LoginRequired { page },
        403 => ConnectError::WrongSecret { node, page },
        404 => ConnectError::NotFound { url: url.to_owned(), page },
        407 => super::error::NetworkError::ProxyAuthentication {
            proxy: format!("in front of {}", options.url.endpoint().authority()),
            given: false,
        }
        .into(),
        426 => ConnectError::UpgradeDropped,
        500..=599 => ConnectError::Server { status, page, with_cookie: options.cookie.is_some() },
        _ => ConnectError::Refused { status, page },
    }
}

/// `Error 400 no such agent` → `no such agent`: the number is said elsewhere.
fn without_status(page: &str, status: u16) -> String {
    let page = page.strip_prefix("Error ").unwrap_or(page);
    page.strip_prefix(&status.to_string()).unwrap_or(page).trim_start().to_owned()
}

fn bad_request(node: String, page: Option<String>) -> ConnectError {
    let text = page.as_deref().unwrap_or_default().to_lowercase();
    if text.contains("no such agent") {
        ConnectError::NoSuchNode { node }
    } else if text.contains("already connected") {
        ConnectError::AlreadyConnected { node }
    } else if text.contains("not an inbound agent") || text.contains("only ws connections") {
        ConnectError::NotInbound { node, page: page.unwrap_or_default() }
    } else if text.contains("only for use from agent.jar") {
        ConnectError::HeadersLost
    } else {
        ConnectError::Refused { status: 400, page }
    }
}
