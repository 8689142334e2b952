//! The health endpoint: a small HTTP server of its own, bounded so that nobody can hurt the agent by it.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::traces::Traces;
use super::{metrics, prometheus, snapshot};
use crate::callables::Context;
use crate::connection::State;

/// How many are served at once; others wait to be accepted.
const MAX_CONNECTIONS: usize = 16;

/// The longest request head, in bytes.
const MAX_HEAD: usize = 8 << 10;

/// How long a connection may last, in which it is served once.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait after an accept failed, as for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where to listen: `HOST:PORT`, or `:PORT` for all addresses of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address without brackets; `None` for all addresses.
    pub host: Option<String>,
    /// 0 for any free port.
    pub port: u16,
}

/// The server, bound and not yet serving.
#[derive(Debug)]
pub struct Server {
    listener: TcpListener,
    node: String,
}

impl ListenAddress {
    /// Parses `HOST:PORT`, `[IPV6]:PORT` or `:PORT`.
    ///
    /// # Errors
    /// A sentence that says what was expected.
    pub fn parse(text: &str) -> Result<Self, String> {
        let expected = || format!("{text:?} is no address: expected HOST:PORT or :PORT");
        let (host, port) = text.rsplit_once(':').ok_or_else(expected)?;
        let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        let port = port.parse().ok().filter(|_| digits).ok_or_else(|| {
            format!("{port:?} is no port: expected a number from 0 to 65535 (0 takes a free one)")
        })?;
        let bare = match host.strip_prefix('[') {
            Some(rest) => rest.strip_suffix(']').ok_or_else(expected)?,
            None if host.contains(':') => {
                return Err(format!("{text:?}: write an IPv6 address in brackets, as [::1]:8081"));
            }
            None => host,
        };
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._:%".contains(c);
        if !bare.chars().all(allowed) {
            return Err(expected());
        }
        Ok(Self { host: Some(bare.to_owned()).filter(|host| !host.is_empty()), port })
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]:{}", self.port),
            Some(host) => write!(f, "{host}:{}", self.port),
            None => write!(f, ":{}", self.port),
        }
    }
}

impl Server {
    /// Takes the address. `node` is the node's name, for the metrics.
    ///
    /// # Errors
    /// When it is taken, not of this machine, or not allowed.
    pub async fn bind(address: &ListenAddress, node: &str) -> io::Result<Self> {
        let listener = match &address.host {
            Some(host) => TcpListener::bind((host.as_str(), address.port)).await?,
            // Both families where the machine has both.
            None => match TcpListener::bind(("::", address.port)).await {
                Ok(listener) => listener,
                Err(_) => TcpListener::bind(("0.0.0.0", address.port)).await?,
            },
        };
        Ok(Self { listener, node: node.to_owned() })
    }

    /// The address that it has.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until it is dropped.
    pub async fn serve(self, context: Arc<Context>, traces: Option<Arc<Traces>>) {
        let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        let asked = Arc::new(Asked { context, traces, node: self.node });
        loop {
            let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let asked = Arc::clone(&asked);
                    tokio::spawn(async move {
                        let served = asked.connection(stream);
                        // A client that is too slow loses its connection, and nobody else anything.
                        let _ = tokio::time::timeout(CONNECTION_TIMEOUT, served).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    tracing::debug!("the health endpoint cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

/// What answers are made of.
struct Asked {
    context: Arc<Context>,
    traces: Option<Arc<Traces>>,
    node: String,
}

impl Asked {
    async fn connection(self: Arc<Self>, stream: TcpStream) {
        let answer = service_fn(move |request: Request<Incoming>| {
            let asked = Arc::clone(&self);
            async move {
                Ok::<_, Infallible>(asked.answer(request.method(), request.uri().path()).await)
            }
        });
        let served = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(CONNECTION_TIMEOUT)
            .max_buf_size(MAX_HEAD)
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), answer)
            .await;
        if let Err(error) = served {
            tracing::debug!("a client of the health endpoint: {error}");
        }
    }

    async fn answer(self: Arc<Self>, method: &Method, path: &str) -> Response<Full<Bytes>> {
        if method != Method::GET && method != Method::HEAD {
            return plain(StatusCode::METHOD_NOT_ALLOWED, "only GET and HEAD\n".to_owned());
        }
        let state = self.context.connection.state();
        match path {
            "/healthz" => match state {
                State::Ended => {
                    plain(StatusCode::SERVICE_UNAVAILABLE, "the agent ends\n".to_owned())
                }
                _ => plain(StatusCode::OK, "ok\n".to_owned()),
            },
            "/readyz" => match not_ready(state, self.context.drain.is_draining()) {
                None => plain(StatusCode::OK, "ready\n".to_owned()),
                Some(why) => plain(StatusCode::SERVICE_UNAVAILABLE, format!("not ready: {why}\n")),
            },
            "/metrics" => {
                let gathered = tokio::task::spawn_blocking(move || {
                    let dropped = self.traces.as_ref().map(|traces| traces.dropped());
                    metrics::render(&snapshot::gather(&self.context, &self.node, dropped))
                });
                match gathered.await {
                    Ok(text) => answer(StatusCode::OK, prometheus::CONTENT_TYPE, text),
                    Err(error) => plain(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
                }
            }
            _ => plain(
                StatusCode::NOT_FOUND,
                "there are /healthz, /readyz and /metrics\n".to_owned(),
            ),
        }
    }
}

/// Why the agent takes no builds; `None` if it does.
pub(super) fn not_ready(state: State, draining: bool) -> Option<&'static str> {
    match state {
        State::Starting => Some("starting"),
        State::Probing => Some("probing: the controller is not ready, or cannot be reached"),
        State::Connecting => Some("connecting: the connection is not open yet"),
        State::Pausing => {
            Some("pausing: the connection is lost, or an attempt failed; the agent tries again")
        }
        State::Ended => Some("ended"),
        State::Connected if draining => {
            Some("draining: the agent was told to stop and takes no new build")
        }
        State::Connected => None,
    }
}

fn plain(status: StatusCode, text: String) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", text)
}

fn answer(status: StatusCode, kind: &'static str, text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    *response.status_mut() = status;
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
