//! What builds left behind outlives their master.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::routed::masters_at;
use super::triggers::{options, until};
use super::world::{OPERATOR, READER, World, client};
use crate::archive::{Archive, sweep};
use crate::rest::stub::{Reply, Stub, recording};
use crate::route::BuildState;
use crate::service::store::{AttemptChange, Change};
use crate::triggers::run_triggers;

const LOG: &str = "Started by user bridge\nFinished: UNSTABLE\n";

/// A master with one build, which has tests and artefacts.
async fn master() -> Stub {
    let build = recording(45);
    let missing = recording(8).reply;
    Stub::start(move |request| {
        let text = |name: &str, value: &str, body: &str| {
            Reply::assumed("hudson.model.Run", 200, &[("Content-Type", "text/plain"), (name, value)], body)
        };
        match request.path.trim_start_matches("/job/team/job/web/7/") {
            "logText/progressiveText" => text("X-Text-Size", &LOG.len().to_string(), LOG),
            "api/json" => {
                let artifacts = json!({"artifacts": [{"fileName": "a b.txt", "relativePath": "out/a b.txt"},
                    {"fileName": "big", "relativePath": "big"}, {"fileName": "gone", "relativePath": "gone"}]});
                build.reply.clone().with_json(&artifacts)
            }
            "artifact/out/a%20b.txt" => text("X-A", "a", "<script>"),
            "artifact/big" => text("X-A", "a", &"x".repeat(2_000)),
            "testReport/api/json" => build.reply.clone().with_json(&json!({"duration": 0.5, "failCount": 1,
                "passCount": 2, "skipCount": 0, "suites": [{"name": "s", "cases": [
                {"className": "A", "name": "one", "status": "FAILED", "duration": 0.1, "errorDetails": "no"}]}]})),
            _ => missing.clone(),
        }
    })
    .await
}

async fn ran(world: &World) -> String {
    let job = json!({"name": "team/web", "pipeline": "service", "labels": ["linux"],
        "parameters": {"stack": {"default": "go"}}});
    world.post("/v1/jobs", OPERATOR, &job).await.ok();
    let build = world.post("/v1/builds", OPERATOR, &json!({"job": "team/web"})).await.ok();
    let id = build["id"].as_str().unwrap().to_owned();
    let store = &world.service.store;
    for step in 0..3 {
        let mut build = store.routed(&id).await.unwrap().unwrap();
        let attempt = match step {
            0 => {
                build.state = BuildState::Triggering;
                (build.master, build.key) = (Some("main".to_owned()), Some("k-1".to_owned()));
                build.attempt = 1;
                AttemptChange::Begins
            }
            1 => {
                build.state = BuildState::Running;
                build.url = Some("http://ci.example/job/team/job/web/7/".to_owned());
                AttemptChange::Moves
            }
            _ => {
                build.state = BuildState::Finished;
                build.result = Some("UNSTABLE".to_owned());
                AttemptChange::None
            }
        };
        assert_eq!(store.change_routed(&[Change { build, attempt }], 1).await.unwrap(), [true]);
    }
    id
}

#[tokio::test]
async fn logs_tests_and_artefacts_outlive_their_master() {
    let master = master().await;
    let world = World::with_archive(masters_at(&master.url), 1_000).await;
    let id = ran(&world).await;
    // From the master, as long as nothing is archived.
    let path = |rest: &str| format!("/v1/builds/{id}/{rest}");
    assert_eq!(world.get(&path("tests"), READER).await.ok()["fail_count"], 1);
    assert_eq!(world.get(&path("artifacts"), READER).await.ok()["is_archived"], false);
    assert_eq!(world.get(&path("artifacts/0"), READER).await.status, 404);
    let leader =
        tokio::spawn(run_triggers(Arc::clone(&world.service), "one".to_owned(), options()));
    until("the archive", async || {
        world.get(&path("artifacts"), READER).await.ok()["is_archived"] == true
    })
    .await;
    // As if the master were gone: it is asked for nothing any more.
    let asked = master.requests().len();
    let log = async |query: &str| {
        let request = client().get(format!("{}{}{query}", world.url, path("log")));
        let reply = request.bearer_auth(READER).send().await.unwrap();
        let more =
            reply.headers().get("pilotfish-log-more").map(|one| one.to_str().unwrap() == "true");
        (reply.text().await.unwrap(), more)
    };
    assert_eq!(log("").await, (LOG.to_owned(), Some(false)));
    assert_eq!(log("?offset=23&attempt=1").await, (LOG[23..].to_owned(), Some(false)));
    assert_eq!(log("?follow=true").await, (LOG.to_owned(), None));
    let tests = world.get(&path("tests"), READER).await.ok();
    assert_eq!(tests["suites"][0]["cases"][0]["error_details"], "no");
    let listed = world.get(&path("artifacts"), READER).await.ok();
    assert_eq!(
        listed["artifacts"],
        json!([{"path": "out/a b.txt", "bytes": 8}, {"path": "big"}, {"path": "gone"}])
    );
    let request = client().get(format!("{}{}", world.url, path("artifacts/0"))).bearer_auth(READER);
    let reply = request.send().await.unwrap();
    assert_eq!(reply.headers()["content-type"], "application/octet-stream");
    assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
    assert_eq!(reply.text().await.unwrap(), "<script>");
    assert_eq!(world.get(&path("artifacts/1"), READER).await.status, 404, "it was too large");
    assert_eq!(master.requests().len(), asked);

    // After its time it goes.
    let store = &world.service.store;
    let rows = store.archives(false, i64::MAX, 10).await.unwrap();
    assert_eq!((rows.len(), rows[0].state.as_str()), (1, "done"));
    leader.abort();
    let _ = leader.await;
    let archive = world.service.archive.as_deref().unwrap();
    sweep(&world.service, &Arc::new(archive.clone())).await.unwrap();
    assert!(archive.kept(&id).is_some());
    let mut over: Archive = archive.clone();
    over.keep = Duration::ZERO;
    until("its time is over", async || {
        sweep(&world.service, &Arc::new(over.clone())).await.unwrap();
        store.archives(false, i64::MAX, 10).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(archive.kept(&id), None);
}
