//! What builds left behind outlives their master.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::board::Browser;
use super::routed::masters_at;
use super::triggers::{options, until};
use super::world::{OPERATOR, READER, VIEWER, World, client};
use crate::archive::{Archive, sweep};
use crate::rest::stub::{Reply, Stub, recording};
use crate::route::BuildState;
use crate::service::store::{AttemptChange, Change};
use crate::triggers::run_triggers;

const LOG: &str = "Started by user bridge\nFinished: UNSTABLE\n";

/// A master with one build, which has tests and artefacts, one of so many bytes.
pub async fn master(large: usize) -> Stub {
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
            "artifact/big" => text("X-A", "a", &"x".repeat(large)),
            "testReport/api/json" => build.reply.clone().with_json(&json!({"duration": 0.5, "failCount": 1,
                "passCount": 2, "skipCount": 0, "suites": [{"name": "s", "cases": [
                {"className": "A", "name": "one", "status": "FAILED", "duration": 0.1, "errorDetails": "no"}]}]})),
            _ => missing.clone(),
        }
    })
    .await
}

pub async fn ran(world: &World) -> String {
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

/// What a build left behind is read as from its master, which is asked for nothing.
pub async fn read_without_its_master(world: &World, id: &str, large: Option<u64>) {
    let path = |rest: &str| format!("/v1/builds/{id}/{rest}");
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
    let names: Vec<_> =
        listed["artifacts"].as_array().unwrap().iter().map(|one| &one["path"]).collect();
    assert_eq!(names, ["out/a b.txt", "big", "gone"]);
    let sizes: Vec<_> =
        listed["artifacts"].as_array().unwrap().iter().map(|one| one["bytes"].as_u64()).collect();
    assert_eq!(sizes, [Some(8), large, None]);
    assert_eq!(
        listed["artifacts"][0]["sha256"],
        "5b63e5b2097fc6906601e85e381d998a7db971aca73c9213dc2b107ccab734d4"
    );
    assert_eq!(listed["archive"], json!({"state": "done", "tries": listed["archive"]["tries"]}));
    let reply = artifact(world, id, 0).await;
    assert_eq!(reply.headers()["content-type"], "application/octet-stream");
    assert_eq!(reply.headers()["x-content-type-options"], "nosniff");
    assert_eq!(reply.headers()["content-length"], "8");
    assert_eq!(reply.text().await.unwrap(), "<script>");
    let reply = artifact(world, id, 1).await;
    match large {
        Some(bytes) => assert_eq!(reply.bytes().await.unwrap().len() as u64, bytes),
        None => assert_eq!(reply.status(), 404, "it was too large"),
    }
}

pub async fn artifact(world: &World, id: &str, number: usize) -> reqwest::Response {
    let url = format!("{}/v1/builds/{id}/artifacts/{number}", world.url);
    client().get(url).bearer_auth(READER).send().await.unwrap()
}

/// After its time what is kept of a build goes.
pub async fn goes_after_its_time(world: &World, id: &str) {
    let store = &world.service.store;
    let rows = store.archives(false, i64::MAX, 10).await.unwrap();
    assert_eq!((rows.len(), rows[0].state.as_str()), (1, "done"));
    let archive = world.service.archive.as_deref().unwrap();
    sweep(&world.service, archive).await.unwrap();
    assert!(archive.kept(id).await.unwrap().is_some());
    let mut over: Archive = archive.clone();
    over.keep = Duration::ZERO;
    until("its time is over", async || {
        sweep(&world.service, &over).await.unwrap();
        store.archives(false, i64::MAX, 10).await.unwrap().is_empty()
    })
    .await;
    assert_eq!(archive.kept(id).await.unwrap(), None);
}

#[tokio::test]
async fn logs_tests_and_artefacts_outlive_their_master() {
    let master = master(2_000).await;
    let world = World::with_archive(masters_at(&master.url), 1_000).await;
    let id = ran(&world).await;
    // From the master, as long as nothing is archived.
    let path = |rest: &str| format!("/v1/builds/{id}/{rest}");
    assert_eq!(world.get(&path("tests"), READER).await.ok()["fail_count"], 1);
    assert_eq!(world.get(&path("artifacts"), READER).await.ok()["is_archived"], false);
    assert_eq!(world.get(&path("artifacts/0"), READER).await.status, 404);
    let browser = Browser::with(&world.url, VIEWER).await;
    let page = browser.get(&format!("/builds/{id}")).await.text;
    for part in [
        "2 passed, 1 failed, 0 skipped",
        "<summary>A one</summary><pre>no</pre>",
        "<a href=\"http://ci.example/job/team/job/web/7/artifact/out/a%20b.txt\">out/a b.txt</a>",
        "at its master",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let leader =
        tokio::spawn(run_triggers(Arc::clone(&world.service), "one".to_owned(), options()));
    until("the archive", async || {
        world.get(&path("artifacts"), READER).await.ok()["is_archived"] == true
    })
    .await;
    until("its end", async || {
        world.get(&path("artifacts"), READER).await.ok()["archive"]["state"] == "done"
    })
    .await;
    leader.abort();
    let _ = leader.await;
    // As if the master were gone: it is asked for nothing any more.
    let asked = master.requests().len();
    read_without_its_master(&world, &id, None).await;
    let page = browser.get(&format!("/builds/{id}")).await.text;
    for part in [
        "2 passed, 1 failed, 0 skipped",
        &format!("<a href=\"/builds/{id}/artifacts/0\" download=\"a b.txt\">out/a b.txt</a>"),
        "in the archive of the bridge",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let address = format!("/builds/{id}/artifacts/0");
    assert_eq!(browser.get(&address).await.text, "<script>");
    assert_eq!(browser.get(&address).await.headers["content-disposition"], "attachment");
    assert_eq!(browser.get(&format!("/builds/{id}/artifacts/2")).await.status, 404);
    assert_eq!(Browser::new(&world.url).get(&address).await.status, 303);
    assert_eq!(master.requests().len(), asked);
    goes_after_its_time(&world, &id).await;
}
