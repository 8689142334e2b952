//! One HTTP/1.1 request over an open connection, with everything bounded.

use std::convert::Infallible;
use std::error::Error as _;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use super::html;

/// A byte stream of any kind: TCP, TLS, or either inside a tunnel.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

pub(crate) type BoxedStream = Box<dyn Stream>;

/// The largest response head accepted, in bytes; Jenkins sends about 1 KiB.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// How much of an error page is read, in bytes; the title stands at the beginning.
const MAX_PAGE_BYTES: usize = 16 << 10;
/// How long to wait for an error page.
const PAGE_TIMEOUT: Duration = Duration::from_secs(5);

/// Why there is no response.
#[derive(Debug)]
pub(crate) enum HttpFailure {
    Timeout,
    Failed(String),
}

/// A response and the connection it came over.
pub(crate) struct Exchange {
    pub(crate) response: Response<Incoming>,
    driver: Driver,
}

/// The body of a response as it comes, with its connection.
pub(crate) struct Body {
    incoming: Incoming,
    _driver: Driver,
}

/// The task that moves the bytes; it ends with its owner.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Sends a request and waits for the head of the response.
pub(crate) async fn exchange<B>(
    io: BoxedStream,
    request: Request<B>,
    timeout: Duration,
) -> Result<Exchange, HttpFailure>
where
    B: hyper::body::Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let work = async {
        let (mut sender, connection) = http1::Builder::new()
            .title_case_headers(true)
            .max_buf_size(MAX_HEAD_BYTES)
            .handshake::<_, B>(TokioIo::new(io))
            .await
            .map_err(|error| describe(&error))?;
        let driver = Driver(tokio::spawn(async move {
            if let Err(error) = connection.with_upgrades().await {
                tracing::debug!(%error, "HTTP connection");
            }
        }));
        let response = sender.send_request(request).await.map_err(|error| describe(&error))?;
        Ok(Exchange { response, driver })
    };
    match tokio::time::timeout(timeout, work).await {
        Ok(result) => result.map_err(HttpFailure::Failed),
        Err(_) => Err(HttpFailure::Timeout),
    }
}

impl Exchange {
    /// Takes the connection over after a 101, or a 2xx to `CONNECT`, with the bytes already read from it.
    pub(crate) async fn upgrade(self) -> Result<(BoxedStream, Bytes), HttpFailure> {
        let upgraded = hyper::upgrade::on(self.response)
            .await
            .map_err(|error| HttpFailure::Failed(describe(&error)))?;
        drop(self.driver);
        match upgraded.downcast::<TokioIo<BoxedStream>>() {
            Ok(parts) => Ok((parts.io.into_inner(), parts.read_buf)),
            Err(_) => Err(HttpFailure::Failed("the connection cannot be taken over".to_owned())),
        }
    }

    /// The body, for one who takes all of it.
    pub(crate) fn into_body(self) -> Body {
        Body { incoming: self.response.into_body(), _driver: self.driver }
    }

    /// Reads the error page, as far as is needed, for one line about the error.
    pub(crate) async fn page_line(self) -> Option<String> {
        let plain = self
            .response
            .headers()
            .get(http::header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
        let page = self.page().await;
        let page = String::from_utf8_lossy(&page);
        if plain {
            html::one_line(page.lines().next().unwrap_or_default())
        } else {
            html::title(&page)
        }
    }

    /// The beginning of the body.
    pub(crate) async fn page(self) -> Vec<u8> {
        let mut body = self.response.into_body();
        let mut page = Vec::new();
        let read = async {
            while page.len() < MAX_PAGE_BYTES {
                match body.frame().await {
                    Some(Ok(frame)) => {
                        if let Ok(data) = frame.into_data() {
                            let room = MAX_PAGE_BYTES - page.len();
                            page.extend_from_slice(&data[..data.len().min(room)]);
                        }
                    }
                    Some(Err(_)) | None => break,
                }
            }
        };
        // What came in time is enough: this only words an error better.
        let _ = tokio::time::timeout(PAGE_TIMEOUT, read).await;
        page
    }

    /// Reads the body to its end if it is short, so that the peer sees an orderly end.
    pub(crate) async fn discard(self) {
        let _ = self.page().await;
    }
}

impl Body {
    /// The next bytes, never empty; `None` at the end. Cancel safe.
    ///
    /// The error is a text for people: the connection broke, or ended before the announced length.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, String> {
        loop {
            match self.incoming.frame().await {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    _ => {}
                },
                Some(Err(error)) => return Err(describe(&error)),
                None => return Ok(None),
            }
        }
    }
}

/// The error with all its causes in one line.
fn describe(error: &hyper::Error) -> String {
    if error.is_parse() || error.is_parse_status() {
        return "the answer is not HTTP".to_owned();
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
