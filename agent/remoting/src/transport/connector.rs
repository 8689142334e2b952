//! From a host name to a byte stream: resolve, connect, tunnel through a proxy, start TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use http_body_util::Empty;
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;

use super::error::{NetworkError, TlsDiagnosis};
use super::http_client::{self, BoxedStream, HttpFailure};
use super::jnlp4::SocketOptions;
use super::options::{Timeouts, WebSocketOptions};
use super::proxy::{Proxy, ProxyOptions};
use super::tls::{TlsContext, TrustReport};
use super::url::Endpoint;

/// Head start of one address before the next is tried as well (RFC 8305).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// More addresses of one name than this are not tried.
const MAX_ADDRESSES: usize = 16;
/// TCP keep-alive: first probe, then every so often, so many times.
const KEEP_ALIVE: (Duration, Duration, u32) = (Duration::from_secs(60), Duration::from_secs(15), 4);

/// How a connection runs, for the log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Route {
    /// Address of the TCP connection: the controller's, or the proxy's.
    pub address: SocketAddr,
    /// The proxy in between, without credentials.
    pub proxy: Option<String>,
    /// TLS with the controller.
    pub tls: Option<TlsSession>,
}

/// TLS parameters agreed on, for the log.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct TlsSession {
    /// Such as `TLSv1_3`.
    pub version: String,
    /// Which certificates were accepted.
    pub trust: TrustReport,
}

pub(crate) struct Connection {
    pub(crate) io: BoxedStream,
    pub(crate) route: Route,
}

/// What requests to any endpoint have in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialing<'a> {
    pub(crate) proxy: &'a ProxyOptions,
    pub(crate) tls: &'a TlsContext,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) user_agent: &'a str,
    pub(crate) socket: SocketOptions,
}

impl<'a> From<&'a WebSocketOptions> for Dialing<'a> {
    fn from(options: &'a WebSocketOptions) -> Self {
        Self {
            proxy: &options.proxy,
            tls: &options.tls,
            timeouts: &options.timeouts,
            user_agent: &options.user_agent,
            socket: SocketOptions::default(),
        }
    }
}

/// Opens a connection to an endpoint; through a tunnel if there is a proxy for it.
pub(crate) async fn open(
    dialing: Dialing<'_>,
    endpoint: &Endpoint,
) -> Result<Connection, NetworkError> {
    let timeouts = dialing.timeouts;
    let proxy = dialing.proxy.select(endpoint);
    let (mut io, address): (BoxedStream, _) = match proxy {
        Some(proxy) => {
            let (io, address) = connect_proxy(dialing, proxy).await?;
            (tunnel(io, proxy, endpoint, dialing).await?, address)
        }
        None => {
            let (tcp, address) = connect_tcp(endpoint, endpoint.authority(), dialing).await?;
            (Box::new(tcp), address)
        }
    };
    let mut tls = None;
    if endpoint.secure {
        let (secured, session) = start_tls(io, dialing.tls, endpoint, timeouts).await?;
        io = secured;
        tls = Some(session);
    }
    Ok(Connection { io, route: Route { address, proxy: proxy.map(ToString::to_string), tls } })
}

/// Opens a connection for ordinary requests to an endpoint. If it leads to a proxy that passes single requests on,
/// that proxy comes with it: many proxies tunnel to no port but that of https.
pub(crate) async fn open_for_requests<'a>(
    dialing: Dialing<'a>,
    endpoint: &Endpoint,
) -> Result<(BoxedStream, Option<&'a Proxy>), NetworkError> {
    match dialing.proxy.select(endpoint).filter(|_| !endpoint.secure) {
        Some(proxy) => Ok((connect_proxy(dialing, proxy).await?.0, Some(proxy))),
        None => Ok((open(dialing, endpoint).await?.io, None)),
    }
}

async fn connect_proxy(
    dialing: Dialing<'_>,
    proxy: &Proxy,
) -> Result<(BoxedStream, SocketAddr), NetworkError> {
    let (endpoint, timeouts) = (proxy.endpoint(), dialing.timeouts);
    let (tcp, address) =
        connect_tcp(endpoint, format!("proxy {}", endpoint.authority()), dialing).await?;
    let io: BoxedStream = Box::new(tcp);
    if endpoint.secure {
        return Ok((start_tls(io, dialing.tls, endpoint, timeouts).await?.0, address));
    }
    Ok((io, address))
}

async fn connect_tcp(
    endpoint: &Endpoint,
    target: String,
    dialing: Dialing<'_>,
) -> Result<(TcpStream, SocketAddr), NetworkError> {
    let (timeouts, socket) = (dialing.timeouts, dialing.socket);
    let work = async {
        let addresses = resolve(endpoint).await?;
        race(addresses, socket).await.map_err(|error| match error.kind() {
            io::ErrorKind::ConnectionRefused => NetworkError::Refused { target: target.clone() },
            _ => NetworkError::Unreachable { target: target.clone(), detail: error.to_string() },
        })
    };
    match tokio::time::timeout(timeouts.connect, work).await {
        Ok(result) => result,
        Err(_) => Err(NetworkError::Timeout {
            target,
            step: "connecting",
            seconds: timeouts.connect.as_secs(),
        }),
    }
}

/// The addresses of a host, families taking turns, IPv6 first.
async fn resolve(endpoint: &Endpoint) -> Result<Vec<SocketAddr>, NetworkError> {
    if let Ok(address) = endpoint.host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, endpoint.port)]);
    }
    let found: io::Result<Vec<SocketAddr>> =
        tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port))
            .await
            .map(Iterator::collect);
    let found = match found {
        Ok(found) if !found.is_empty() => found,
        // An image without /etc/hosts still has a loopback interface (RFC 6761, 6.3).
        _ if is_localhost(&endpoint.host) => {
            [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)]
                .map(|address| SocketAddr::new(address, endpoint.port))
                .to_vec()
        }
        Ok(_) => {
            let detail = "the name has no address".to_owned();
            return Err(NetworkError::Resolve { host: endpoint.host.clone(), detail });
        }
        Err(error) => {
            return Err(NetworkError::Resolve {
                host: endpoint.host.clone(),
                detail: error.to_string(),
            });
        }
    };
    Ok(interleave(found))
}

fn is_localhost(host: &str) -> bool {
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

fn interleave(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    // The resolver's order of the families is kept: it knows which of them has a route.
    let (first, second): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == first_is_v6);
    let mut merged = Vec::new();
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let before = merged.len();
        merged.extend(first.next());
        merged.extend(second.next());
        if merged.len() == before || merged.len() >= MAX_ADDRESSES {
            merged.truncate(MAX_ADDRESSES);
            return merged;
        }
    }
}

/// Connects to the first address that answers; each gets a short head start on the next.
async fn race(
    addresses: Vec<SocketAddr>,
    socket: SocketOptions,
) -> io::Result<(TcpStream, SocketAddr)> {
    let mut waiting = addresses.into_iter();
    let mut running = FuturesUnordered::new();
    let mut last_error = io::Error::new(io::ErrorKind::NotFound, "no address");
    let mut start_next = true;
    loop {
        if start_next && let Some(address) = waiting.next() {
            running.push(async move {
                connect_one(address, socket).await.map(|stream| (stream, address))
            });
        }
        start_next = tokio::select! {
            biased;
            result = running.next() => match result {
                Some(Ok(connected)) => return Ok(connected),
                Some(Err(error)) => {
                    last_error = error;
                    true
                }
                None => return Err(last_error),
            },
            () = tokio::time::sleep(ATTEMPT_DELAY), if waiting.len() > 0 => true,
        };
    }
}

async fn connect_one(address: SocketAddr, options: SocketOptions) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    let stream = socket.connect(address).await?;
    stream.set_nodelay(true)?;
    if let Err(error) = watch_over(SockRef::from(&stream), options) {
        // The connection works without it; pings remain.
        tracing::debug!(%error, "TCP keep-alive");
    }
    Ok(stream)
}

/// Has the operating system look for a dead peer.
fn watch_over(socket: SockRef<'_>, options: SocketOptions) -> io::Result<()> {
    if options.keep_alive {
        let (time, interval, retries) = KEEP_ALIVE;
        let keep_alive =
            TcpKeepalive::new().with_time(time).with_interval(interval).with_retries(retries);
        socket.set_tcp_keepalive(&keep_alive)?;
    }
    #[cfg(target_os = "linux")]
    if options.user_timeout.is_some() {
        socket.set_tcp_user_timeout(options.user_timeout)?;
    }
    Ok(())
}

async fn start_tls(
    io: BoxedStream,
    context: &TlsContext,
    endpoint: &Endpoint,
    timeouts: &Timeouts,
) -> Result<(BoxedStream, TlsSession), NetworkError> {
    let config = context.config().map_err(NetworkError::TlsSetup)?;
    let trust = context.prepare().map_err(NetworkError::TlsSetup)?;
    let target = endpoint.authority();
    let tls_error =
        |diagnosis, detail| NetworkError::Tls { target: target.clone(), diagnosis, detail };
    let name = ServerName::try_from(endpoint.host.trim_end_matches('.').to_owned())
        .map_err(|error| tls_error(TlsDiagnosis::BadName, error.to_string()))?;
    let handshake = TlsConnector::from(Arc::clone(&config)).connect(name, io);
    let stream = match tokio::time::timeout(timeouts.connect, handshake).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(tls_error(TlsDiagnosis::of(&error), error.to_string())),
        Err(_) => {
            let seconds = timeouts.connect.as_secs();
            return Err(NetworkError::Timeout { target, step: "the TLS handshake", seconds });
        }
    };
    let version = stream
        .get_ref()
        .1
        .protocol_version()
        .map_or_else(String::new, |version| format!("{version:?}"));
    Ok((Box::new(stream), TlsSession { version, trust }))
}

/// Asks the proxy for a connection to the endpoint.
async fn tunnel(
    io: BoxedStream,
    proxy: &Proxy,
    endpoint: &Endpoint,
    dialing: Dialing<'_>,
) -> Result<BoxedStream, NetworkError> {
    let proxy_error =
        |detail: String| NetworkError::Http { target: format!("proxy {proxy}"), detail };
    let authority = endpoint.authority();
    let uri = Uri::try_from(&authority).map_err(|error| proxy_error(error.to_string()))?;
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri(uri)
        .header(header::HOST, &authority)
        .header(header::USER_AGENT, dialing.user_agent);
    if let Some(value) = authorization(proxy)? {
        request = request.header(header::PROXY_AUTHORIZATION, value);
    }
    let request =
        request.body(Empty::<Bytes>::new()).map_err(|error| proxy_error(error.to_string()))?;
    let seconds = dialing.timeouts.response.as_secs();
    let failure = |failure| match failure {
        HttpFailure::Timeout => NetworkError::Timeout {
            target: format!("proxy {proxy}"),
            step: "the answer to CONNECT",
            seconds,
        },
        HttpFailure::Failed(detail) => proxy_error(detail),
    };
    let answer =
        http_client::exchange(io, request, dialing.timeouts.response).await.map_err(failure)?;
    let status = answer.response.status();
    if status == StatusCode::PROXY_AUTHENTICATION_REQUIRED {
        return Err(NetworkError::ProxyAuthentication {
            proxy: proxy.to_string(),
            given: proxy.authorization().is_some(),
        });
    }
    if !status.is_success() {
        let page = answer.page_line().await;
        return Err(NetworkError::ProxyRefused {
            proxy: proxy.to_string(),
            target: authority,
            status: status.as_u16(),
            page,
        });
    }
    let (io, early) = answer.upgrade().await.map_err(failure)?;
    if early.is_empty() {
        Ok(io)
    } else {
        Err(proxy_error("it sent data before the tunnel was used".to_owned()))
    }
}

/// The value of `Proxy-Authorization`, if the proxy wants one.
pub(crate) fn authorization(proxy: &Proxy) -> Result<Option<HeaderValue>, NetworkError> {
    let Some(authorization) = proxy.authorization() else { return Ok(None) };
    let mut value =
        HeaderValue::from_str(authorization.expose()).map_err(|_| NetworkError::Http {
            target: format!("proxy {proxy}"),
            detail: "the credentials cannot be sent in a header".to_owned(),
        })?;
    value.set_sensitive(true);
    Ok(Some(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_take_turns() {
        let at = |text: &str| SocketAddr::new(text.parse().unwrap(), 1);
        let given = ["::1", "::2", "::3", "1.1.1.1", "2.2.2.2"].map(at).to_vec();
        assert_eq!(interleave(given), ["::1", "1.1.1.1", "::2", "2.2.2.2", "::3"].map(at));
        assert_eq!(interleave(vec![at("::1"); 100]).len(), MAX_ADDRESSES);
        assert!(
            is_localhost("LocalHost.")
                && is_localhost("a.localhost")
                && !is_localhost("localhost.test")
        );
    }

    #[tokio::test]
    async fn a_dead_address_does_not_keep_the_others_from_answering() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let good = listener.local_addr().unwrap();
        // Nothing listens on port 1.
        let refused = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);
        let (_stream, address) =
            race(vec![refused, refused, good], SocketOptions::default()).await.unwrap();
        assert_eq!(address, good);
        assert_eq!(
            race(vec![refused], SocketOptions::default()).await.unwrap_err().kind(),
            io::ErrorKind::ConnectionRefused
        );
        assert!(race(Vec::new(), SocketOptions::default()).await.is_err());
    }
}
