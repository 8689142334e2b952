//! What holds for all operations: the document, tokens, methods, bodies.

use std::path::Path;

use serde_json::{Value, json};

use super::world::{PREVIEW, READER, SHIM, World};
use crate::service::openapi::{Needs, OPERATIONS, document};

fn text() -> String {
    format!("{:#}\n", document())
}

/// Where the document lies for those who read it without the service.
fn committed() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("openapi/bridge.json")
}

#[test]
fn the_committed_document_is_the_one_that_is_served() {
    if std::env::var_os("UPDATE_OPENAPI").is_some() {
        std::fs::create_dir_all(committed().parent().unwrap()).unwrap();
        std::fs::write(committed(), text()).unwrap();
    }
    let kept = std::fs::read_to_string(committed()).unwrap_or_default();
    assert!(kept == text(), "run this test with UPDATE_OPENAPI=1 and commit openapi/bridge.json");
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    fn walk(value: &Value, document: &Value) {
        match value {
            Value::Object(map) => {
                if let Some(Value::String(place)) = map.get("$ref") {
                    let pointer = place.strip_prefix('#').unwrap();
                    assert!(document.pointer(pointer).is_some(), "{place}");
                }
                map.values().for_each(|value| walk(value, document));
            }
            Value::Array(items) => items.iter().for_each(|value| walk(value, document)),
            _ => {}
        }
    }
    let document = document();
    walk(&document, &document);
    assert!(document.pointer("/components/schemas/SignedPlan").is_some());
}

#[tokio::test]
async fn every_operation_is_there_and_asks_for_what_it_says() {
    let world = World::sqlite().await;
    for operation in OPERATIONS {
        let path = operation.path.replace("{digest}", "sha256:0").replace(['{', '}'], "");
        let reply = match operation.method {
            "get" => world.get(&path, "").await,
            _ => world.post(&path, "", &json!({})).await,
        };
        let expected = match operation.id {
            // It asks for the signature of a forge, and none is declared here.
            "take_hook" => 404,
            "get_health" => 200,
            _ => 401,
        };
        assert_eq!(reply.status, expected, "{}", operation.id);
        if expected == 401 {
            assert_eq!(reply.json["type"], "urn:pilotfish:problem:token");
        }
    }
    // Health is all that needs nothing; forges sign what they send.
    let open = OPERATIONS.iter().filter(|one| one.needs == Needs::Nothing).map(|one| one.id);
    assert_eq!(open.collect::<Vec<_>>(), ["take_hook", "get_health"]);
    for path in ["/v1/openapi.json", "/v1/keys"] {
        assert_eq!(world.get(path, SHIM).await.status, 200, "{path}");
    }
    assert_eq!(world.get("/metrics", SHIM).await.status, 403);
    let served = world.get("/v1/openapi.json", READER).await.ok();
    assert_eq!(served, document());
}

#[tokio::test]
async fn bad_requests_are_problems_too() {
    let world = World::sqlite().await;
    assert_eq!(world.get("/v2", "").await.json["status"], 404);
    assert_eq!(world.get("/v1/plans", PREVIEW).await.json["status"], 405);
    let raw = |body: &'static str, kind: &'static str| {
        let request = super::world::client().post(format!("{}/v1/plans", world.url));
        world.send(request.header("Content-Type", kind).body(body), PREVIEW)
    };
    assert_eq!(raw("{}", "text/plain").await.json["status"], 400);
    assert_eq!(raw("{", "application/json").await.json["status"], 400);
    assert_eq!(raw("{\"pipeline\":\"a\"}{", "application/json").await.json["status"], 400);
    let deep = raw(Box::leak("[".repeat(100_000).into_boxed_str()), "application/json").await;
    assert_eq!(deep.json["status"], 400);
    let long = "k".repeat(300);
    assert_eq!(world.post_with_key("/v1/plans", PREVIEW, &json!({}), &long).await.status, 400);
}
