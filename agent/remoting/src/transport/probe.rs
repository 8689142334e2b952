//! Readiness: `GET <root>login` must end in 200 before an agent connects.

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::Empty;

use super::clock;
use super::connector;
use super::error::{NetworkError, ProbeError};
use super::http_client::{self, Exchange, HttpFailure};
use super::options::WebSocketOptions;
use super::upgrade::add_extra_headers;
use super::url::Target;

/// More redirects in a row than this are a circle; browsers and Java stop at 20.
const MAX_REDIRECTS: usize = 20;

/// Asks the controller whether it is ready, following redirects.
///
/// While Jenkins starts it answers 503, so agents wait here and not at the upgrade. Extra headers are sent only to
/// the scheme, host and port of the root URL: they may be tokens for the proxy there.
///
/// # Errors
/// No connection, or an answer other than 200.
pub async fn probe(options: &WebSocketOptions) -> Result<(), ProbeError> {
    let mut target = options.url.join("login");
    for _ in 0..=MAX_REDIRECTS {
        let answer = get(options, &target).await?;
        if target.endpoint == *options.url.endpoint() {
            clock::compare(answer.response.headers());
        }
        let status = answer.response.status();
        if status == http::StatusCode::OK {
            answer.discard().await;
            return Ok(());
        }
        let location = answer.response.headers().get(header::LOCATION);
        let Some(location) =
            location.filter(|_| matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308))
        else {
            let page = answer.page_line().await;
            return Err(ProbeError::NotReady {
                url: target.to_string(),
                status: status.as_u16(),
                page,
            });
        };
        let location = String::from_utf8_lossy(location.as_bytes()).into_owned();
        target = target.redirect(&location).map_err(|error| ProbeError::Redirect {
            url: target.to_string(),
            problem: format!("to an unusable address: {error}"),
        })?;
    }
    Err(ProbeError::Redirect {
        url: options.url.join("login").to_string(),
        problem: format!("more than {MAX_REDIRECTS} times"),
    })
}

async fn get(options: &WebSocketOptions, target: &Target) -> Result<Exchange, ProbeError> {
    let mut request = Request::get(&target.path_and_query)
        .header(header::HOST, target.endpoint.host_header())
        .header(header::USER_AGENT, &options.user_agent)
        .header(header::ACCEPT, HeaderValue::from_static("*/*"))
        .header(header::CONNECTION, HeaderValue::from_static("close"))
        .body(Empty::<Bytes>::new())
        .map_err(|error| ProbeError::InvalidOption(error.to_string()))?;
    if target.endpoint == *options.url.endpoint() {
        add_extra_headers(request.headers_mut(), &options.headers)
            .map_err(ProbeError::InvalidOption)?;
    }
    let connection = connector::open(options.into(), &target.endpoint).await?;
    let timeout = options.timeouts.response;
    http_client::exchange(connection.io, request, timeout).await.map_err(|failure| {
        ProbeError::Network(http_error(failure, target.endpoint.authority(), timeout.as_secs()))
    })
}

pub(super) fn http_error(failure: HttpFailure, target: String, seconds: u64) -> NetworkError {
    match failure {
        HttpFailure::Timeout => NetworkError::Timeout { target, step: "the HTTP answer", seconds },
        HttpFailure::Failed(detail) => NetworkError::Http { target, detail },
    }
}
