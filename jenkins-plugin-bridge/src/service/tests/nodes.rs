//! Nodes of agents that go away, on a controller that is played by recorded exchanges.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;

use super::world::{AGENT, READER, SHIM, World};
use crate::rest::stub::{Stub, recording};
use crate::rest::{Client, ClientOptions, ProxyChoice};

async fn world() -> (Stub, World) {
    let thrown = AtomicUsize::new(0);
    let stub = Stub::start(move |request| match (request.method.as_str(), request.path.as_str()) {
        ("GET", "/computer/agent-77/api/json") => {
            let number = if thrown.load(Ordering::SeqCst) % 2 == 1 { 39 } else { 35 };
            let mut reply = recording(number).cut(request.tree.as_deref());
            // The recorded reason is another one's.
            reply.body = reply.body.replace("\"draining\"", "\"Pilotfish: SIGTERM\"");
            reply
        }
        ("POST", "/computer/agent-77/toggleOffline") => {
            thrown.fetch_add(1, Ordering::SeqCst);
            recording(38).reply
        }
        _ => recording(8).reply,
    })
    .await;
    let mut options = ClientOptions::new(&stub.url);
    options.proxy = ProxyChoice::Direct;
    options.retry.tries = 1;
    let world = World::with_controller(Client::new(&options).unwrap()).await;
    (stub, world)
}

#[tokio::test]
async fn an_agent_takes_its_node_out_and_brings_it_back() {
    let (stub, world) = world().await;
    let node = json!({"controller": "main", "node": "agent-77", "reason": "SIGTERM"});
    for (path, change) in [
        ("/v1/nodes/offline", "changed"),
        ("/v1/nodes/offline", "already"),
        ("/v1/nodes/online", "changed"),
        ("/v1/nodes/online", "already"),
    ] {
        let answer = world.post(path, AGENT, &node).await.ok();
        let expected = json!({"controller": "main", "node": "agent-77", "change": change});
        assert_eq!(answer, expected, "{path}");
    }
    let sent: Vec<String> = stub
        .requests()
        .into_iter()
        .filter(|request| request.method == "POST")
        .map(|request| request.body)
        .collect();
    assert_eq!(sent, ["offlineMessage=Pilotfish%3A+SIGTERM", ""]);
}

#[tokio::test]
async fn nobody_else_does_and_no_other_controller_is_touched() {
    let (stub, world) = world().await;
    let node = |controller: &str, node: &str| json!({"controller": controller, "node": node});
    for (token, body, status, words) in [
        (SHIM, node("main", "agent-77"), 403, "nodes:drain"),
        (READER, node("main", "agent-77"), 403, "nodes:drain"),
        (AGENT, node("second", "agent-77"), 403, "for the controller main"),
        (AGENT, node("main", "(built-in)"), 400, "the controller's own node"),
        (AGENT, node("main", "../job/x"), 400, "no node's name may have"),
        (AGENT, json!({"controller": "main", "node": "a", "reason": "a\nb"}), 400, "one line"),
        (AGENT, json!({"controller": "main", "node": "a", "more": 1}), 400, "unknown field"),
    ] {
        for path in ["/v1/nodes/offline", "/v1/nodes/online"] {
            if path == "/v1/nodes/online" && words == "one line" {
                continue;
            }
            let refused = world.post(path, token, &body).await;
            assert_eq!(refused.status, status, "{body}: {}", refused.json);
            assert!(refused.json["detail"].as_str().unwrap().contains(words), "{}", refused.json);
        }
    }
    assert!(stub.requests().is_empty());
    let missing = world.post("/v1/nodes/offline", AGENT, &node("main", "nobody")).await;
    assert_eq!((missing.status, stub.requests().len()), (404, 1), "{}", missing.json);
}
