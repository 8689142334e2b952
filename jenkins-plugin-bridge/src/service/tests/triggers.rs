//! Webhooks and schedules, from the request of a forge to builds, on both databases.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ring::hmac;
use serde_json::{Value, json};

use super::board::Browser;
use super::routed::unreachable_masters;
use super::world::{OPERATOR, READER, VIEWER, World};
use crate::forges::{Forges, ForgesFile};
use crate::report::send::SendOptions;
use crate::service::leader::LeaseTimes;
use crate::service::store::TriggerRow;
use crate::triggers::{TriggerOptions, run_triggers};

const SECRET: &str = "a secret of sixteen bytes or more";

/// A forge whose secret is in this directory.
pub fn forges(directory: &Path) -> Arc<Forges> {
    std::fs::write(directory.join("secret"), SECRET).unwrap();
    let text = "api: pilotfish/v1\nkind: forges\nforges:\n  github: {kind: github, \
         url: 'https://github.com', webhook_secret_files: [secret]}\n";
    let file = ForgesFile::read("forges.yaml", text).unwrap();
    Arc::new(Forges::of("forges.yaml", &file, directory).unwrap())
}

pub async fn world() -> World {
    World::with_masters_and_forges(None, unreachable_masters(), forges).await
}

fn job(name: &str, triggers: &Value) -> Value {
    json!({"name": name, "pipeline": "service", "labels": ["linux"], "triggers": triggers,
        "parameters": {"stack": {"default": "go"}}})
}

fn on_push(branches: &[&str]) -> Value {
    json!({"events": [{"repository": "https://github.com/acme/web", "branches": branches,
        "parameters": {"stack": "branch"}}]})
}

async fn send(world: &World, body: &Value, secret: &str) -> (u16, Value) {
    let body = body.to_string();
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let signature: String = hmac::sign(&key, body.as_bytes())
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let request = super::world::client()
        .post(format!("{}/v1/hooks/github", world.url))
        .header("Content-Type", "application/json")
        .header("X-GitHub-Event", "push")
        .header("X-Hub-Signature-256", format!("sha256={signature}"))
        .body(body);
    let reply = world.send(request, "").await;
    (reply.status, reply.json)
}

fn push(branch: &str, commit: char) -> Value {
    json!({"ref": format!("refs/heads/{branch}"), "after": commit.to_string().repeat(40),
        "repository": {"full_name": "Acme/web"}, "sender": {"login": "mona"}, "commits": []})
}

pub fn options() -> TriggerOptions {
    let beat = Duration::from_millis(20);
    let lease =
        LeaseTimes { beat, still: Duration::from_millis(300), give_up: Duration::from_millis(200) };
    let send = SendOptions { tick: beat, pause: Duration::from_millis(50) };
    TriggerOptions { tick: beat, look: beat, send, lease }
}

async fn builds(world: &World) -> Vec<Value> {
    world.get("/v1/builds", READER).await.ok().as_array().unwrap().clone()
}

/// Waits for something that a duty does; a minute, as others may use the processors as well.
pub async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    for _ in 0..3000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come");
}

pub async fn events_start_builds_once(world: &World) {
    let wrong = job(
        "team/bad",
        &json!({"events": [{"repository": "https://forge.example/a/b", "branches": ["["],
            "parameters": {"NONE": "branch"}}], "cron": [{"schedule": "61 * * * *", "time_zone": "Mars"}]}),
    );
    let refused = world.post("/v1/jobs", OPERATOR, &wrong).await;
    assert_eq!(
        (refused.status, refused.json["errors"].as_array().unwrap().len()),
        (422, 5),
        "{}",
        refused.json
    );
    for number in 0..30 {
        let branches: &[&str] = if number % 3 == 0 { &["go"] } else { &["!go"] };
        let name = format!("team/web{number}");
        world.post("/v1/jobs", OPERATOR, &job(&name, &on_push(branches))).await.ok();
    }
    // What the pipeline refuses is refused for that job, and said.
    world.post("/v1/jobs", OPERATOR, &job("team/picky", &on_push(&["cobol"]))).await.ok();

    assert_eq!(send(world, &push("go", 'a'), "not the secret of this one").await.0, 401);
    let (status, first) = send(world, &push("go", 'a'), SECRET).await;
    assert_eq!(status, 200, "{first}");
    // Two replicas, one of which leads; and the forge sends it again.
    let duties: Vec<_> = ["one", "two"]
        .map(|name| {
            tokio::spawn(run_triggers(Arc::clone(&world.service), name.to_owned(), options()))
        })
        .into();
    let again = send(world, &push("go", 'a'), SECRET).await.1;
    assert_eq!((&again["event"], &again["note"]), (&first["event"], &json!("it came before")));
    until("ten builds", async || builds(world).await.len() == 10).await;
    send(world, &push("cobol", 'b'), SECRET).await;
    until("the second event", async || {
        let all = world.get("/v1/hooks", OPERATOR).await.ok();
        all.as_array().unwrap().iter().all(|one| one["is_new"] == false)
    })
    .await;
    let all = builds(world).await;
    // 20 jobs take every branch but `go`; their pipeline refuses this one.
    assert_eq!(all.len(), 10);
    assert_eq!(all[0]["parameters"]["stack"], "go");
    assert_eq!(
        all[0]["cause"],
        format!("push of Acme/web: branch go at {} by mona", "a".repeat(10))
    );
    let picky = world.get("/v1/jobs/team%2Fpicky", OPERATOR).await.ok();
    let note = picky["triggers"][0]["note"].as_str().unwrap();
    assert!(note.contains("stack"), "{note}");
    let fired = world.get("/v1/jobs/team%2Fweb0", OPERATOR).await.ok()["triggers"][0].clone();
    assert!(
        fired["build"].is_string()
            && fired["note"].as_str().unwrap().contains("none of its branches")
    );
    let browser = Browser::with(&world.url, VIEWER).await;
    let page = browser.get("/jobs/team%2Fweb0").await.text;
    let id = fired["build"].as_str().unwrap();
    for part in ["webhook", "push of https://github.com/acme/web", id, "none of its branches"] {
        assert!(page.contains(part), "{part}: {page}");
    }
    let page = browser.get("/deliveries").await.text;
    for part in [
        "push of Acme/web: branch go at aaaaaaaaaa by mona",
        &format!("<a href=\"/builds/{id}\">team/web0</a>"),
        "<a href=\"/jobs/team%2Fpicky\">team/picky</a>",
        "/v1/hooks/github",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    duties.iter().for_each(tokio::task::JoinHandle::abort);
}

pub async fn times_start_builds_once(world: &World) {
    let triggers = json!({"cron": [{"schedule": "H H * * *", "parameters": {"stack": "rust"}},
        {"schedule": "0 0 1 1 *", "skip_missed": true}]});
    world.post("/v1/jobs", OPERATOR, &job("team/nightly", &triggers)).await.ok();
    let before = builds(world).await.len();
    let lead = |name: &str| {
        tokio::spawn(run_triggers(Arc::clone(&world.service), name.to_owned(), options()))
    };
    let first = lead("three");
    let store = &world.service.store;
    let known = async || store.triggers(Some("team/nightly")).await.unwrap();
    until("the next times", async || {
        known().await.iter().filter(|one| one.next_ms.is_some()).count() == 2
    })
    .await;
    first.abort();
    let _ = first.await;
    assert_eq!(builds(world).await.len(), before, "a new trigger waits for its time");
    // Both should have come days ago, several times; the leader died after it had started the build and
    // before it could say so.
    let due = world.service.now_ms() - 5 * 86_400_000;
    for row in known().await {
        store.save_trigger(&TriggerRow { next_ms: Some(due), ..row }).await.unwrap();
    }
    for name in ["four", "five"] {
        let leader = lead(name);
        until("the build", async || known().await.iter().all(|one| one.next_ms > Some(due))).await;
        leader.abort();
        let _ = leader.await;
        let rows = known().await;
        assert_eq!(builds(world).await.len(), before + 1, "once, and not for the one that skips");
        assert_eq!(rows.iter().filter(|one| one.build.is_some()).count(), 1);
        assert_eq!(rows.iter().filter(|one| one.note.contains("missed")).count(), 1);
        for row in rows.into_iter().filter(|row| row.build.is_some()) {
            store.save_trigger(&TriggerRow { next_ms: Some(due), ..row }).await.unwrap();
        }
    }
    let told = world.get("/v1/jobs/team%2Fnightly", OPERATOR).await.ok();
    assert_eq!(told["triggers"][0]["kind"], "cron");
    // A trigger that its job has no more is forgotten.
    world.post("/v1/jobs", OPERATOR, &job("team/nightly", &json!({}))).await.ok();
    let last = lead("six");
    until("nothing known", async || known().await.is_empty()).await;
    last.abort();
}

#[tokio::test]
async fn events_and_times_start_builds_once() {
    let world = world().await;
    events_start_builds_once(&world).await;
    times_start_builds_once(&world).await;
}
