//! Agents: who connects at `/wsagents/`, and what waits for the labels of nodes.
//!
//! What a live one does with an agent beside keeping its node online is nothing that a fleet needs: no
//! command is ever sent.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use jenkins_remoting::capability::Capability;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::state::Shared;
use crate::ledger::What;
use crate::random::Random;

/// How often it is looked whether the node of an agent is still there.
const LOOK: Duration = Duration::from_millis(20);

/// The secret of a node: it follows from its name, and is another one at another master.
pub(super) fn secret(shared: &Shared, node: &str) -> String {
    let mut random = Random::of(&format!("{}/{node}", shared.options.name));
    (0..4).map(|_| format!("{:016x}", random.number())).collect()
}

/// Answers one who wants to be the agent of a node (`jenkins.agents.WebSocketAgents`).
pub(super) fn upgrade(
    shared: &Arc<Shared>,
    request: &mut Request<Incoming>,
) -> Response<Full<Bytes>> {
    let text = |name: &str| {
        let value = request.headers().get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let (node, given, key) = (text("node-name"), text("secret-key"), text("sec-websocket-key"));
    let mut response = Response::new(Full::new(Bytes::new()));
    let is_known = shared.lock().nodes.contains_key(&node) && given == secret(shared, &node);
    if !is_known || key.is_empty() {
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    let mut set = |name: &'static str, value: &str| {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    };
    set("connection", "Upgrade");
    set("upgrade", "websocket");
    set("sec-websocket-accept", &derive_accept_key(key.as_bytes()));
    set("x-remoting-capability", &Capability::CURRENT.to_base64());
    let upgraded = hyper::upgrade::on(request);
    tokio::spawn(keep(Arc::clone(shared), node, upgraded));
    response
}

/// Keeps a node online as long as its agent is connected and the node is there.
async fn keep(shared: Arc<Shared>, name: String, upgraded: OnUpgrade) {
    let Ok(upgraded) = upgraded.await else { return };
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
    set_offline(&shared, &name, false);
    shared.record(&BTreeMap::new(), What::Online, &name);
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            () = tokio::time::sleep(LOOK) => {
                if !shared.lock().nodes.contains_key(&name) {
                    break;
                }
            }
        }
    }
    set_offline(&shared, &name, true);
}

fn set_offline(shared: &Shared, name: &str, offline: bool) {
    if let Some(node) = shared.lock().nodes.get_mut(name) {
        node.offline = offline;
    }
    shared.changed.notify_waiters();
}

/// Counts what waits for each label, as a live one does every ten seconds (`hudson.model.LoadStatistics`).
pub(super) async fn count(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(Duration::from_millis(shared.options.load_ms)).await;
        let mut master = shared.lock();
        let labels: BTreeSet<String> =
            master.nodes.values().flat_map(|node| node.labels.iter().cloned()).collect();
        master.loads.retain(|label, _| labels.contains(label));
        for label in labels {
            let waiting = master
                .waiting()
                .filter(|item| {
                    master.jobs.get(&item.job).and_then(|job| job.label()) == Some(&label)
                })
                .count();
            let waiting = u16::try_from(waiting).unwrap_or(u16::MAX);
            let average = master.loads.entry(label).or_default();
            *average = 0.9 * *average + 0.1 * f32::from(waiting);
        }
    }
}
