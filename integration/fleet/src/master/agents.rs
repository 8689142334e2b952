//! Agents: who connects at `/wsagents/`, and what waits for the labels of nodes.
//!
//! Of what a live one has an agent do a fleet needs one thing: a build begins with a request, a recorded one, and
//! does nothing before that is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use flate2::read::GzDecoder;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use jenkins_remoting::capability::Capability;
use jenkins_remoting::command::Command;
use jenkins_remoting::framing::{ChunkReader, ChunkWriter, ChunkWriterOptions};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::state::Shared;
use crate::error::FleetError;
use crate::ledger::What;
use crate::random::Random;

/// How often it is looked whether the node of an agent is still there.
const LOOK: Duration = Duration::from_millis(20);
/// What a live one said to an agent whose first build was a freestyle one.
const RECORDING: &[u8] = include_bytes!("../../../recordings/02-freestyle.jsonl.gz");
/// The request in it that the build made and that changes nothing: which shell there is.
const REQUEST: u64 = 50;
/// Builds that wait for one agent: it has one executor.
const WAITING: usize = 4;

/// The way to an agent that is connected: whoever goes it is told when the agent has answered a request.
pub type Way = mpsc::Sender<oneshot::Sender<()>>;

/// Reads the request that a build begins with.
///
/// # Errors
/// [`FleetError`] where the recording is not what it was.
pub(super) fn request() -> Result<Bytes, FleetError> {
    let other = |error: &dyn std::fmt::Display| FleetError::Other(format!("02-freestyle: {error}"));
    let mut text = String::new();
    GzDecoder::new(RECORDING).read_to_string(&mut text).map_err(|error| other(&error))?;
    let encoded = text.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        (line["n"] == REQUEST).then(|| line["bytes"].as_str().map(str::to_owned))?
    });
    let encoded = encoded.ok_or_else(|| other(&"it has no such request"))?;
    let bytes = base64::engine::general_purpose::STANDARD.decode(encoded);
    Ok(bytes.map_err(|error| other(&error))?.into())
}

/// Has a build make its first request of the agent of its node; false where that is lost before it answers.
pub(super) async fn begin(shared: &Shared, node: &str) -> bool {
    let Some(way) = shared.way(node) else { return false };
    let (done, answered) = oneshot::channel();
    way.send(done).await.is_ok() && answered.await.is_ok()
}

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
    let (way, mut asked) = mpsc::channel(WAITING);
    shared.connected(&name, Some(way));
    set_offline(&shared, &name, false);
    shared.record(&BTreeMap::new(), What::Online, &name);
    let mut reader = ChunkReader::default();
    // All have the same number, as they are the same recorded request: one after the other.
    let mut waits: Option<oneshot::Sender<()>> = None;
    loop {
        tokio::select! {
            message = socket.next() => match message {
                Some(Ok(Message::Binary(bytes))) => {
                    reader.feed(bytes);
                    let Ok(answered) = answers(&mut reader) else { break };
                    if answered && let Some(waits) = waits.take() {
                        let _ = waits.send(());
                    }
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break,
            },
            Some(done) = asked.recv(), if waits.is_none() => {
                waits = Some(done);
                let mut writer = ChunkWriter::new(ChunkWriterOptions::compatible());
                writer.push(shared.request.clone());
                while let Some(message) = writer.next_message() {
                    if socket.send(Message::Binary(message)).await.is_err() {
                        break;
                    }
                }
            }
            () = tokio::time::sleep(LOOK) => {
                if !shared.lock().nodes.contains_key(&name) {
                    break;
                }
            }
        }
    }
    shared.connected(&name, None);
    set_offline(&shared, &name, true);
}

/// Whether an answer is among what has come. A controller of one request needs no more of the others.
fn answers(reader: &mut ChunkReader) -> Result<bool, FleetError> {
    let other = |error: &dyn std::fmt::Display| FleetError::Other(error.to_string());
    let mut answered = false;
    while let Some(command) = reader.next_command().map_err(|error| other(&error))? {
        let command = Command::decode(&command).map_err(|error| other(&error))?;
        answered |= matches!(command, Command::Response { .. });
    }
    Ok(answered)
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
