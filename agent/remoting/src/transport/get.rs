//! One request for a page, through a proxy where there is one.

use std::convert::Infallible;

use bytes::Bytes;
use http::request::Builder;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::Empty;
use hyper::body::Body;

use super::connector::{self, Dialing};
use super::error::NetworkError;
use super::http_client::{self, Exchange};
use super::probe::http_error;
use super::url::Target;

/// Why there is no answer.
#[derive(Debug)]
pub(crate) enum GetError {
    /// No connection, or no answer over it.
    Network(NetworkError),
    /// The URL or a header cannot be sent.
    Request(http::Error),
}

/// Asks for a page over a connection of its own, and waits for the head of the answer. `more` adds
/// headers.
pub(crate) async fn get(
    dialing: Dialing<'_>,
    target: &Target,
    more: impl FnOnce(Builder) -> Builder,
) -> Result<Exchange, GetError> {
    request(dialing, target, Method::GET, Empty::<Bytes>::new(), more).await
}

/// The same with any method and body.
pub(super) async fn request<B>(
    dialing: Dialing<'_>,
    target: &Target,
    method: Method,
    body: B,
    more: impl FnOnce(Builder) -> Builder,
) -> Result<Exchange, GetError>
where
    B: Body<Data = Bytes, Error = Infallible> + Send + 'static,
{
    let (io, proxy) =
        connector::open_for_requests(dialing, &target.endpoint).await.map_err(GetError::Network)?;
    let host = target.endpoint.host_header();
    let uri = match proxy {
        // A proxy is asked for the whole URL (RFC 9112, 3.2.2).
        Some(_) => format!("http://{host}{}", target.path_and_query),
        None => target.path_and_query.clone(),
    };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::HOST, host)
        .header(header::USER_AGENT, dialing.user_agent)
        .header(header::ACCEPT, HeaderValue::from_static("*/*"))
        .header(header::CONNECTION, HeaderValue::from_static("close"));
    let mut request = more(request);
    let authorization = proxy.map(connector::authorization).transpose();
    if let Some(value) = authorization.map_err(GetError::Network)?.flatten() {
        request = request.header(header::PROXY_AUTHORIZATION, value);
    }
    let request = request.body(body).map_err(GetError::Request)?;
    let timeout = dialing.timeouts.response;
    let answer = http_client::exchange(io, request, timeout).await.map_err(|failure| {
        let host = target.endpoint.authority();
        GetError::Network(http_error(failure, host, timeout.as_secs()))
    })?;
    if let (Some(proxy), StatusCode::PROXY_AUTHENTICATION_REQUIRED) =
        (proxy, answer.response.status())
    {
        let given = proxy.authorization().is_some();
        let proxy = proxy.to_string();
        return Err(GetError::Network(NetworkError::ProxyAuthentication { proxy, given }));
    }
    Ok(answer)
}
