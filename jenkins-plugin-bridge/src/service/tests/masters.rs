//! Masters and labels over HTTP.

use std::io::Write as _;
use std::sync::Arc;

use super::world::{AGENT, OPERATOR, World};
use crate::masters::watch::look;
use crate::masters::{HealthRules, MastersFile, Registry};
use crate::rest::stub::{Reply, Stub, recording};

#[tokio::test]
async fn masters_and_labels_are_told() {
    let (root, computers, queue) = (recording(51), recording(31), recording(24));
    let stub = Stub::start(move |request| match request.path.as_str() {
        "/api/json" => {
            let reply = root.cut(Some("mode,quietingDown"));
            Reply { body: reply.body.replace("true", "false"), ..reply }
        }
        "/computer/api/json" => computers.cut(request.tree.as_deref()),
        _ => queue.cut(request.tree.as_deref()),
    })
    .await;
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"11aabb").unwrap();
    let file = MastersFile::read(
        "masters.yaml",
        &format!(
            "api: pilotfish/v1\nkind: masters\nmasters:\n  north: {{url: '{}', user: bridge, token_file: {}, \
             proxy: none, labels: [linux], permission: trigger}}\n",
            stub.url,
            token.path().display()
        ),
    )
    .unwrap();
    let registry = Arc::new(Registry::of(&file).unwrap());
    let world = World::with_masters(Arc::clone(&registry)).await;
    let masters = world.get("/v1/masters", OPERATOR).await.ok();
    assert_eq!(masters[0]["refusal"], "it was not looked at yet");
    let master = registry.get("north").unwrap();
    master.observe(&look(&master, true).await, &HealthRules::default());
    let masters = world.get("/v1/masters", OPERATOR).await.ok();
    assert_eq!(masters[0]["name"], "north");
    assert_eq!(masters[0]["refusal"], serde_json::Value::Null);
    assert_eq!(masters[0]["state"]["health"], "healthy");
    assert_eq!(masters[0]["state"]["seen"]["version"], "2.568.2");
    assert_eq!(masters[0]["permission"], "trigger");
    assert!(!masters.to_string().contains("11aabb"));
    let labels = world.get("/v1/labels", OPERATOR).await.ok();
    assert_eq!(labels[0]["label"], "linux");
    assert_eq!(labels[0]["alert"], "only north is ready for it: no other master has it");
    assert_eq!(world.get("/v1/masters", AGENT).await.status, 403);
}
