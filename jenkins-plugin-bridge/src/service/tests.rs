//! The service as its callers see it: over HTTP, on SQLite and on PostgreSQL.

mod agents;
mod archive;
mod board;
mod bucket;
mod builds;
mod controller;
mod copies;
mod declared;
pub mod fence;
mod gateway;
mod gitea;
mod http;
mod leases;
mod limits;
mod locks;
mod made;
mod masters;
mod nodes;
mod oidc;
mod pods;
mod postgres;
mod reports;
pub mod routed;
mod triggers;
pub mod world;

use serde_json::{Value, json};

use super::sign::{Envelope, PLAN_TYPE, PublicKey};
use super::store::Store;
use world::{PREVIEW, READER, SHIM, SHIM_2, World};

fn build_query(job: &str, build: u32) -> Value {
    json!({"controller": "main", "job": job, "build": build,
        "parameters": {"stack": "go", "deploy": "true"},
        "facts": {"branch": "main"}})
}

/// What was signed for a build.
async fn opened(world: &World, answer: &Value) -> Value {
    let keys: Vec<PublicKey> =
        serde_json::from_value(world.get("/v1/keys", READER).await.json).unwrap();
    let envelope: Envelope = serde_json::from_value(answer["signed"].clone()).unwrap();
    serde_json::from_slice(&envelope.open(PLAN_TYPE, &keys).unwrap()).unwrap()
}

#[tokio::test]
async fn a_build_goes_from_its_plan_to_its_end() {
    whole_build(&World::sqlite().await).await;
}

#[tokio::test]
async fn a_build_goes_from_its_plan_to_its_end_on_postgresql() {
    let Some(database) = postgres::start() else { return };
    whole_build(&World::on(&database.url("whole").unwrap()).await).await;
    // Another cluster would only take more time.
    let url = database.url("leases").unwrap();
    let (first, second) = (Store::open(&url).await.unwrap(), Store::open(&url).await.unwrap());
    leases::one_leads(&first, &second).await;
    let url = database.url("routed").unwrap();
    let world = World::on_with_masters(&url, routed::unreachable_masters()).await;
    routed::asked_for_claimed_and_stopped(&world).await;
    locks::are_given_in_the_order_of_asking(&world).await;
    locks::one_at_a_time(&world).await;
    locks::outlive_the_service(&world, &Store::open(&url).await.unwrap()).await;
    locks::older_builds_end_at_a_milestone(&world).await;
    locks::a_milestone_ends_older_builds_of_the_bridge(&world).await;
    masters::taken_out_and_given_back(&world).await;
    masters::declared_and_removed(&world).await;
    let url = database.url("triggers").unwrap();
    let world =
        World::with_masters_and_forges(Some(&url), routed::unreachable_masters(), triggers::forges)
            .await;
    triggers::events_start_builds_once(&world).await;
    triggers::times_start_builds_once(&world).await;
    reports::told_in_order(Some(&database.url("reports").unwrap())).await;
}

async fn whole_build(world: &World) {
    // The plan, signed for this build.
    let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", 7)).await.ok();
    let signed = opened(world, &answer).await;
    assert_eq!(signed["digest"], answer["digest"]);
    assert_eq!((&signed["job"], &signed["number"]), (&json!("go/pay"), &json!(7)));
    assert_eq!(signed["build"], answer["build"]["id"]);
    assert!(signed["expires_at"].as_u64() > signed["issued_at"].as_u64());
    let digest = answer["digest"].as_str().unwrap();
    assert_eq!(crate::plan::digest_of(&crate::text::canonical_json(&signed["plan"])), digest);
    assert_eq!(answer["binding"]["rule"], "go");
    assert_eq!(signed["plan"]["parameters"]["deploy"], json!(true), "text is read as its type");

    // The same plan for whoever may read it.
    let kept = world.get(&format!("/v1/plans/{digest}"), READER).await.ok();
    assert_eq!(kept["plan"], signed["plan"]);

    // Asked again, after a restart of the controller: the same build, the same plan.
    let again = world.post("/v1/plans", SHIM, &build_query("go/pay", 7)).await.ok();
    assert_eq!(again["build"]["id"], answer["build"]["id"]);
    assert_eq!(again["build"]["is_known"], json!(true));
    let mut changed = build_query("go/pay", 7);
    changed["parameters"]["stack"] = json!("rust");
    let again = world.post("/v1/plans", SHIM, &changed).await.ok();
    assert_eq!(again["digest"], answer["digest"], "a build keeps its plan");
    changed["parameters"]["stack"] = json!("cobol");
    let again = world.post("/v1/plans", SHIM, &changed).await.ok();
    assert_eq!(again["digest"], answer["digest"], "also when there would be none now");
    changed["started_ms"] = json!(1);
    assert_eq!(world.post("/v1/plans", SHIM, &changed).await.status, 422);

    // A build that was started for a plan gets that one, if it is a plan of its job.
    let started = json!({"controller": "main", "job": "go/pay", "build": 8, "digest": digest});
    let same = world.post("/v1/plans", SHIM, &started).await.ok();
    assert_eq!(same["digest"], answer["digest"]);
    assert_ne!(same["build"]["id"], answer["build"]["id"]);
    assert_eq!(opened(world, &same).await["number"], 8);
    let mut other = started.clone();
    other["job"] = json!("go/other");
    assert_eq!(world.post("/v1/plans", SHIM, &other).await.status, 404);

    // Facts of the run decide what the plan deferred.
    let token = answer["build"]["token"].as_str().unwrap();
    let path = format!("/v1/plans/{digest}/evaluate");
    let facts = json!({"changed_files": ["docs/a.md"], "results": {"build": "success"}});
    let decided = world.post(&path, token, &facts).await.ok();
    assert_eq!(decided["decisions"][0]["id"], "docs");
    assert_eq!(decided["decisions"][0]["decision"]["state"], "active");
    let facts = json!({"changed_files": ["main.go"]});
    let decided = world.post(&path, token, &facts).await.ok();
    assert_eq!(decided["decisions"][0]["decision"]["state"], "skipped");

    // The run says that it is the one.
    let id = answer["build"]["id"].as_str().unwrap();
    builds::is_claimed_once(world, id, token).await;

    // What happens is kept, once.
    let path = format!("/v1/builds/{id}/events");
    let events = json!({"events": [
        {"sequence": 0, "at_ms": 1, "type": "stage-started", "node": "build"},
        {"sequence": 1, "at_ms": 2, "type": "stage-finished", "node": "build",
            "outcome": "success", "tests": {"passed": 3, "failed": 0, "skipped": 1}},
    ]});
    assert_eq!(world.post(&path, token, &events).await.ok()["added"], 2);
    assert_eq!(world.post(&path, token, &events).await.ok()["added"], 0);
    let contradiction = json!({"events": [
        {"sequence": 2, "at_ms": 3, "type": "build-finished", "outcome": "success"},
        {"sequence": 1, "at_ms": 2, "type": "stage-finished", "node": "build", "outcome": "failure"},
    ]});
    assert_eq!(world.post(&path, token, &contradiction).await.status, 409);
    let build = world.get(&format!("/v1/builds/{id}"), READER).await.ok();
    assert_eq!(build["events"].as_array().unwrap().len(), 2, "a refused request leaves nothing");
    assert_eq!(build["evaluations"].as_array().unwrap().len(), 2);
    assert!(build.get("outcome").is_none());
    let end = json!({"events": [
        {"sequence": 2, "at_ms": 3, "type": "build-finished", "outcome": "success"}]});
    world.post(&path, token, &end).await.ok();
    let build = world.get(&format!("/v1/builds/{id}"), token).await.ok();
    assert_eq!(build["outcome"], "success");

    // What is old goes.
    assert_eq!(world.service.store.sweep(i64::MAX, i64::MAX).await.unwrap(), 2);
    world.service.forget_plans();
    assert_eq!(world.get(&format!("/v1/builds/{id}"), token).await.status, 404);
    assert_eq!(world.get(&format!("/v1/plans/{digest}"), READER).await.status, 404);
}

#[tokio::test]
async fn a_build_neither_reads_nor_writes_another_ones() {
    let world = World::sqlite().await;
    let one = world.post("/v1/plans", SHIM, &build_query("go/pay", 1)).await.ok();
    let other = world.post("/v1/plans", SHIM, &build_query("go/shop", 1)).await.ok();
    let token = one["build"]["token"].as_str().unwrap();
    let (id, digest) = (other["build"]["id"].as_str().unwrap(), other["digest"].as_str().unwrap());
    assert_ne!(one["digest"], other["digest"]);
    let event = json!({"events": [
        {"sequence": 0, "at_ms": 1, "type": "build-finished", "outcome": "failure"}]});
    assert_eq!(world.post(&format!("/v1/builds/{id}/events"), token, &event).await.status, 404);
    let claim = json!({"controller": "main", "url": "https://ci/job/go/job/shop/1/"});
    assert_eq!(world.post(&format!("/v1/builds/{id}/claim"), token, &claim).await.status, 404);
    assert_eq!(world.get(&format!("/v1/builds/{id}"), token).await.status, 404);
    assert_eq!(world.get(&format!("/v1/plans/{digest}"), token).await.status, 404);
    let path = format!("/v1/plans/{digest}/evaluate");
    assert_eq!(world.post(&path, token, &json!({})).await.status, 404);
    // Nor does it get plans, or see the catalog.
    assert_eq!(world.post("/v1/plans", token, &build_query("go/pay", 1)).await.status, 403);
    assert_eq!(world.get("/v1/catalog", token).await.status, 403);
    assert_eq!(world.post("/v1/catalog/reload", token, &json!(null)).await.status, 403);
    // And the token of a controller does not speak for a build.
    assert_eq!(world.post(&format!("/v1/builds/{id}/events"), SHIM, &event).await.status, 403);
    let seen = world.get(&format!("/v1/builds/{id}"), READER).await.ok();
    assert_eq!((&seen["events"], seen.get("claim")), (&json!([]), None));
    // What belongs to the other build is neither shown nor changed by its digest or its keys.
    // Nor do its idempotency keys stand in the way of the other's.
    let own = format!("/v1/builds/{}/events", one["build"]["id"].as_str().unwrap());
    world.post_with_key(&own, token, &event, "k").await.ok();
    let theirs = other["build"]["token"].as_str().unwrap();
    let path = format!("/v1/builds/{id}/events");
    assert_eq!(world.post_with_key(&path, theirs, &event, "k").await.ok()["added"], 1);
}

#[tokio::test]
async fn the_token_of_a_controller_is_for_that_controller() {
    let world = World::sqlite().await;
    assert_eq!(world.post("/v1/plans", SHIM_2, &build_query("go/pay", 1)).await.status, 403);
    let mut preview = build_query("go/pay", 1);
    preview.as_object_mut().unwrap().remove("build");
    assert_eq!(world.post("/v1/plans", SHIM, &preview).await.status, 403, "another scope");
    let made = world.post("/v1/plans", PREVIEW, &preview).await.ok();
    assert!(made.get("signed").is_none() && made.get("build").is_none());
    assert_eq!(made["plan"]["pipeline"], "service");
    // Plans of one controller are not there for the token of another.
    let digest = made["digest"].as_str().unwrap();
    world.get(&format!("/v1/plans/{digest}"), READER).await.ok();
    assert_eq!(world.get(&format!("/v1/plans/{digest}"), SHIM_2).await.status, 404);
}

#[tokio::test]
async fn refusals_are_complete_and_structured() {
    let world = World::sqlite().await;
    let mut query = build_query("go/pay", 1);
    query["parameters"] = json!({"stack": "cobol", "deploy": "maybe"});
    let refused = world.post("/v1/plans", SHIM, &query).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.content_type, "application/problem+json");
    assert_eq!(refused.json["type"], "urn:pilotfish:problem:parameters");
    let paths: Vec<&str> = refused.json["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths.len(), 2, "{}", refused.json);
    assert!(paths.iter().any(|path| path.contains("stack")));

    let mut query = build_query("go/pay", 1);
    query["overrides"] = json!({"stages.build.timeout": "1h"});
    let refused = world.post("/v1/plans", SHIM, &query).await;
    assert_eq!(
        (refused.status, &refused.json["type"]),
        (422, &json!("urn:pilotfish:problem:overrides"))
    );

    let refused = world.post("/v1/plans", SHIM, &build_query("php/x", 1)).await;
    assert_eq!(
        (refused.status, &refused.json["type"]),
        (422, &json!("urn:pilotfish:problem:plan"))
    );

    for bad in [
        json!({}),
        json!({"pipeline": "service", "job": "a"}),
        json!({"pipeline": "service", "unknown": 1}),
        json!({"controller": "main", "job": "../x", "build": 1}),
    ] {
        assert_eq!(world.post("/v1/plans", PREVIEW, &bad).await.status, 400, "{bad}");
    }
    let mut query = build_query("go/pay", 2);
    query.as_object_mut().unwrap().remove("parameters");
    let refused = world.post("/v1/plans", SHIM, &query).await;
    assert!(refused.json["detail"].as_str().unwrap().contains("file of controllers"));
}

#[tokio::test]
async fn a_key_stands_for_one_request() {
    let world = World::sqlite().await;
    let first = world.post_with_key("/v1/plans", SHIM, &build_query("go/pay", 1), "k1").await.ok();
    let again = world.post_with_key("/v1/plans", SHIM, &build_query("go/pay", 1), "k1").await.ok();
    assert_eq!(first["build"]["id"], again["build"]["id"]);
    let other = world.post_with_key("/v1/plans", SHIM, &build_query("go/pay", 2), "k1").await;
    assert_eq!(
        (other.status, &other.json["type"]),
        (422, &json!("urn:pilotfish:problem:key-reused"))
    );
    // Another caller's keys are its own.
    let query = json!({"pipeline": "service", "parameters": {"stack": "go"}});
    world.post_with_key("/v1/plans", PREVIEW, &query, "k1").await.ok();
}

#[tokio::test]
async fn a_broken_catalog_is_told_and_not_taken() {
    let world = World::sqlite().await;
    let query = json!({"pipeline": "service", "parameters": {"stack": "go"}});
    let before = world.post("/v1/plans", PREVIEW, &query).await.ok();
    world.write("service.yaml", "api: pilotfish/v1\nkind: pipeline\nname: service\nstagess: []\n");
    let state = world.post("/v1/catalog/reload", READER, &json!(null)).await.ok();
    assert_eq!(state["is_current"], json!(false));
    assert!(state["problems"][0].as_str().unwrap().contains("service.yaml"), "{state}");
    assert_eq!(world.post("/v1/plans", PREVIEW, &query).await.ok()["digest"], before["digest"]);
    assert_eq!(world.get("/healthz", "").await.ok()["status"], "degraded");
    assert!(world.text("/metrics").await.contains("pilotfish_bridge_catalog_current 0"));

    world.write("service.yaml", &world::PIPELINE.replace("version: 1.0.0", "version: 2.0.0"));
    let state = world.post("/v1/catalog/reload", READER, &json!(null)).await.ok();
    assert_eq!(state["is_current"], json!(true), "{state}");
    let after = world.post("/v1/plans", PREVIEW, &query).await.ok();
    assert_eq!(after["plan"]["version"], "2.0.0");
    let catalog = world.get("/v1/catalog", READER).await.ok();
    assert_eq!(catalog["pipelines"]["service"], "2.0.0");
    assert_eq!(world.get("/healthz", "").await.ok()["status"], "ok");
}

#[tokio::test]
async fn the_catalog_can_be_read() {
    let world = World::sqlite().await;
    let pipeline = world.get("/v1/catalog/pipelines/service", READER).await.ok();
    assert_eq!(pipeline["pipeline"]["parameters"]["properties"]["stack"]["enum"][0], "go");
    let stage = world.get("/v1/catalog/stages/make", READER).await.ok();
    assert_eq!(stage["versions"][0]["version"], "1.0.0");
    assert_eq!(world.get("/v1/catalog/stages/none", READER).await.status, 404);
    assert_eq!(world.get("/v1/catalog", SHIM).await.status, 403);
}
