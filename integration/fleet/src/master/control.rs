//! Faults that can be switched on, by a port of their own: what happens to the controller's port does not
//! reach it.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;

use super::server::connections;
use super::state::Shared;

/// The most bytes of a request.
const BYTES: usize = 64 << 10;

/// Faults. What is not given is switched off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Faults {
    /// Nobody reaches the master, and it goes on: connections are held and never answered.
    pub unreachable: bool,
    /// Its builds do not reach the bridge.
    pub bridge_unreachable: bool,
    /// Each answer takes so many milliseconds longer.
    pub slow_ms: u64,
    /// Each answer is 503.
    pub unavailable: bool,
    /// So many of the next triggers are done and not answered.
    pub lost_answers: u32,
    /// It starts no builds, and says nothing of it.
    pub stuck: bool,
}

/// Answers `POST /faults` and `GET /state`.
pub(super) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    connections(listener, move |request| {
        let shared = Arc::clone(&shared);
        async move { Some(answer(request, &shared).await) }
    })
    .await;
}

async fn answer(request: Request<Incoming>, shared: &Shared) -> Response<Full<Bytes>> {
    let (parts, body) = request.into_parts();
    match (parts.method.as_str(), parts.uri.path()) {
        ("POST", "/faults") => {
            let read = Limited::new(body, BYTES).collect().await.map(|body| body.to_bytes());
            let faults = read.ok().and_then(|bytes| serde_json::from_slice::<Faults>(&bytes).ok());
            let Some(faults) = faults else { return reply(StatusCode::BAD_REQUEST, "no faults") };
            shared.lock().faults = faults;
            shared.changed.notify_waiters();
            reply(StatusCode::OK, "{}")
        }
        ("GET", "/state") => {
            let text = {
                let master = shared.lock();
                serde_json::json!({
                    "faults": master.faults,
                    "waiting": master.waiting().count(),
                    "running": master.running().count(),
                    "builds": master.builds.len(),
                    "jobs": master.jobs.len(),
                    "nodes": master.nodes.len(),
                })
            };
            reply(StatusCode::OK, &text.to_string())
        }
        _ => reply(StatusCode::NOT_FOUND, "POST /faults or GET /state"),
    }
}

fn reply(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
    *response.status_mut() = status;
    response
}

/// Waits as long as answers are to take longer.
pub(super) async fn delay(faults: &Faults) {
    if faults.slow_ms > 0 {
        tokio::time::sleep(Duration::from_millis(faults.slow_ms)).await;
    }
}
