//! Listening as a controller.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use pilotfish_bridge::rest::percent_decoded;
use tokio::net::TcpListener;

use super::agents;
use super::control::delay;
use super::routes::{self, Asked};
use super::state::Shared;
use crate::shapes::Answer;

/// The most bytes of a request: a `config.xml` is far smaller.
const BYTES: usize = 4 << 20;
/// While it starts.
const STARTING: &str = "<html><head><title>Starting Jenkins</title></head><body></body></html>";

/// Serves connections. Where there is no answer the connection is closed without one.
pub(super) async fn connections<F, D>(listener: TcpListener, answer: F)
where
    F: Fn(Request<Incoming>) -> D + Clone + Send + Sync + 'static,
    D: Future<Output = Option<Response<Full<Bytes>>>> + Send + 'static,
{
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let answer = answer.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let answered = answer(request);
                async move { answered.await.ok_or(NoAnswer) }
            });
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

#[derive(Debug)]
struct NoAnswer;

impl std::fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection is closed without an answer")
    }
}

impl std::error::Error for NoAnswer {}

pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    connections(listener, move |request| {
        let shared = Arc::clone(&shared);
        async move { answer(request, &shared).await }
    })
    .await;
}

async fn answer(
    mut request: Request<Incoming>,
    shared: &Arc<Shared>,
) -> Option<Response<Full<Bytes>>> {
    let faults = shared.lock().faults;
    if faults.unreachable {
        // Until the caller gives up, or the way is free again.
        while shared.lock().faults.unreachable {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        return None;
    }
    delay(&faults).await;
    let starts = shared.started.elapsed() < Duration::from_millis(shared.options.start_ms);
    if faults.unavailable || starts {
        // As a live one while it loads: HTML, and no header that says that it is Jenkins.
        let mut response = Response::new(Full::new(Bytes::from_static(STARTING.as_bytes())));
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/html"));
        return Some(response);
    }
    if request.uri().path() == "/wsagents/" {
        return Some(agents::upgrade(shared, &mut request));
    }
    let (parts, body) = request.into_parts();
    let bytes = Limited::new(body, BYTES).collect().await.ok()?.to_bytes();
    let login = parts.headers.get("authorization").and_then(|value| login(value.to_str().ok()?));
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().unwrap_or_default());
    let asked = Asked {
        method: parts.method.as_str().to_owned(),
        segments: path.split('/').filter(|part| !part.is_empty()).map(percent_decoded).collect(),
        query: routes::form(query),
        body: String::from_utf8_lossy(&bytes).into_owned(),
        level: shared.level(login.as_ref().map(|(name, token)| (name.as_str(), token.as_str()))),
        has_login: login.is_some(),
        user: login.map(|(name, _)| name).unwrap_or_default(),
    };
    let is_trigger = asked.segments.last().is_some_and(|one| one == "buildWithParameters");
    let answer = routes::answer(shared, &asked);
    if is_trigger && answer.status == 201 {
        let mut master = shared.lock();
        if master.faults.lost_answers > 0 {
            master.faults.lost_answers -= 1;
            return None;
        }
    }
    Some(response(answer))
}

fn response(answer: Answer) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(answer.body)));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) =
            (http::HeaderName::from_bytes(name.as_bytes()), http::HeaderValue::from_str(&value))
        {
            response.headers_mut().append(name, value);
        }
    }
    response
}

fn login(header: &str) -> Option<(String, String)> {
    let encoded = header.strip_prefix("Basic ")?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (name, token) = text.split_once(':')?;
    Some((name.to_owned(), token.to_owned()))
}
