//! Plans for builds whose parameters the service reads from the controller itself, which is played by
//! recorded exchanges.

use serde_json::{Value, json};

use super::opened;
use super::world::{SHIM, World};
use crate::rest::stub::{Reply, Stub, recording};
use crate::rest::{Client, ClientOptions, ProxyChoice};

pub fn client(stub: &Stub) -> Client {
    let mut options = ClientOptions::new(&stub.url);
    options.proxy = ProxyChoice::Direct;
    options.retry.tries = 1;
    Client::new(&options).unwrap()
}

/// The recorded build: `controller`, `job`, `build`, and nothing of its parameters.
fn query() -> Value {
    json!({"controller": "main", "job": "team-a/web", "build": 1})
}

#[tokio::test]
async fn a_running_build_is_planned_from_what_the_controller_says() {
    let stub = Stub::recorded(&[28]).await;
    let world = World::with_controller(client(&stub)).await;
    let answer = world.post("/v1/plans", SHIM, &query()).await.ok();
    assert_eq!(answer["binding"]["rule"], "recorded");
    let signed = opened(&world, &answer).await;
    // RUN_SONAR was false in the recorded build.
    assert_eq!(signed["plan"]["parameters"], json!({"deploy": false, "stack": "go"}));
    assert_eq!(signed["plan"]["facts"]["cause"], "user");
    assert_eq!((&signed["job"], &signed["number"]), (&json!("team-a/web"), &json!(1)));
    // The password of the recorded build has no value there, and leaves no trace here.
    assert!(!signed.to_string().contains("DEPLOY_PASSWORD"), "{signed}");
    assert_eq!(stub.requests().len(), 1);
    assert!(stub.requests()[0].tree.is_some(), "no more is asked for than is needed");
}

#[tokio::test]
async fn a_controller_that_cannot_be_read_is_told_and_leaves_no_build() {
    let html = [("Content-Type", "text/html")];
    for (reply, status, words) in [
        (recording(8).reply, 404, "is not there"),
        (recording(10).reply, 502, "it needs the permission"),
        (recording(9).reply, 502, "Make a new API token"),
        (
            Reply::assumed("hudson.util.HudsonIsLoading.doDynamic", 503, &html, "<title>Jenkins"),
            502,
            "is not ready (503)",
        ),
        (
            Reply::assumed(
                "a login page of a proxy, e.g. oauth2-proxy",
                200,
                &html,
                "<title>x</title>",
            ),
            502,
            "answered HTML in place of JSON",
        ),
    ] {
        let stub = Stub::start(move |_| reply.clone()).await;
        let world = World::with_controller(client(&stub)).await;
        let refused = world.post("/v1/plans", SHIM, &query()).await;
        assert_eq!(
            (refused.status, refused.content_type.as_str()),
            (status, "application/problem+json")
        );
        assert_eq!(refused.json["type"], "urn:pilotfish:problem:controller");
        assert!(refused.json["detail"].as_str().unwrap().contains(words), "{}", refused.json);
        assert!(world.text("/metrics").await.contains("pilotfish_bridge_builds_total 0"));
    }
}
