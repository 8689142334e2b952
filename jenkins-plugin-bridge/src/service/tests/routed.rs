//! Jobs and builds of the bridge over HTTP, on both databases.

use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Value, json};

use super::world::{OPERATOR, READER, SHIM, SHIM_2, World};
use crate::masters::{Health, MastersFile, Registry, State};
use crate::route::BuildState;
use crate::service::store::{AttemptChange, Change, Store};

/// A registry with a master that nobody reaches: these tests make no request there.
pub fn unreachable_masters() -> Arc<Registry> {
    masters_at("http://127.0.0.1:1/")
}

/// A registry with a master at an address.
pub fn masters_at(url: &str) -> Arc<Registry> {
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"11aabb").unwrap();
    let text = format!(
        "api: pilotfish/v1\nkind: masters\nmasters:\n  main: {{url: '{url}', user: bridge, \
         token_file: {}, proxy: none, labels: [linux]}}\n",
        token.path().display()
    );
    Arc::new(Registry::of(&MastersFile::read("m", &text).unwrap()).unwrap())
}

pub fn job(name: &str) -> Value {
    json!({"name": name, "pipeline": "service", "labels": ["linux"],
        "parameters": {"stack": {"default": "go"}, "deploy": {"default": "true"}}})
}

/// Gives a build to a master, as the router does.
pub async fn place(store: &Store, id: &str, key: &str) {
    let mut build = store.routed(id).await.unwrap().unwrap();
    build.state = BuildState::Triggering;
    build.master = Some("main".to_owned());
    build.attempt += 1;
    build.key = Some(key.to_owned());
    let change = Change { build, attempt: AttemptChange::Begins };
    assert_eq!(store.change_routed(std::slice::from_ref(&change), 1).await.unwrap(), [true]);
    assert_eq!(
        store.change_routed(&[change], 1).await.unwrap(),
        [false],
        "it was seen as it is no more"
    );
}

pub async fn asked_for_claimed_and_stopped(world: &World) {
    let wrong = json!({"name": "a//b", "pipeline": "servce", "parameters": {"PILOTFISH_PLAN": {}},
        "supersede_by": "brnch"});
    let refused = world.post("/v1/jobs", OPERATOR, &wrong).await;
    assert_eq!((refused.status, refused.json["errors"].as_array().unwrap().len()), (422, 4));
    let kept = world.post("/v1/jobs", OPERATOR, &job("team/web")).await.ok();
    assert_eq!(kept["revision"], 1);
    assert_eq!(world.post("/v1/jobs", OPERATOR, &job("team/web")).await.ok()["revision"], 1);
    assert_eq!(world.get("/v1/jobs/team%2Fweb", OPERATOR).await.ok(), kept);

    let order = json!({"job": "team/web", "parameters": {"stack": "rust"}});
    let first = world.post_with_key("/v1/builds", OPERATOR, &order, "one").await.ok();
    let again = world.post_with_key("/v1/builds", OPERATOR, &order, "one").await.ok();
    assert_eq!((&first["id"], &first["number"]), (&again["id"], &json!(1)));
    let second = world.post_with_key("/v1/builds", OPERATOR, &order, "two").await.ok();
    assert_eq!(second["number"], 2);
    for (bad, status) in [
        (json!({"job": "team/none"}), 404),
        (json!({"job": "team/web", "parameters": {"stak": "go"}}), 400),
        (json!({"job": "team/web", "parameters": {"stack": "cobol"}}), 422),
    ] {
        assert_eq!(world.post("/v1/builds", OPERATOR, &bad).await.status, status, "{bad}");
    }
    assert_eq!(world.post("/v1/builds", READER, &order).await.status, 403);

    let id = first["id"].as_str().unwrap();
    let path = format!("/v1/builds/{id}/claim");
    let claim = |key: &str, number: u32| json!({"controller": "main", "key": key, "url": format!("https://ci/job/team/job/web/{number}/")});
    assert_eq!(world.post(&path, SHIM, &claim("k-1", 1)).await.status, 409, "it is with nobody");
    place(&world.service.store, id, "k-1").await;
    assert_eq!(world.post(&path, SHIM, &claim("k-0", 1)).await.status, 409, "an old attempt");
    assert_eq!(world.post(&path, SHIM_2, &claim("k-1", 1)).await.status, 403, "another master");
    let runs = (1..11).map(|run| {
        let (path, body) = (&path, claim("k-1", run));
        async move { world.post(path, SHIM, &body).await.status }
    });
    let statuses = futures_util::future::join_all(runs).await;
    assert_eq!(statuses.iter().filter(|one| **one == 200).count(), 1, "{statuses:?}");
    let seen = world.get(&format!("/v1/builds/{id}"), READER).await.ok();
    assert_eq!((&seen["state"], &seen["master"]), (&json!("running"), &json!("main")));
    let url = seen["url"].as_str().unwrap();
    let holder: u32 = url.trim_end_matches('/').rsplit('/').next().unwrap().parse().unwrap();
    assert_eq!(world.post(&path, SHIM, &claim("k-1", holder)).await.status, 200, "it asks again");
    // So it does after its master was lost for a while, unless its pod is being deleted.
    for (result, status) in [(None, 200), (Some("FENCING".to_owned()), 409)] {
        let mut build = world.service.store.routed(id).await.unwrap().unwrap();
        (build.state, build.result) = (BuildState::Unknown, result);
        let change = [Change { build, attempt: AttemptChange::None }];
        assert_eq!(world.service.store.change_routed(&change, 1).await.unwrap(), [true]);
        assert_eq!(world.post(&path, SHIM, &claim("k-1", holder)).await.status, status);
        let other = claim("k-1", holder + 1);
        assert_eq!(world.post(&path, SHIM, &other).await.status, 409, "another run never has it");
    }

    let stop = format!("/v1/builds/{}/stop", second["id"].as_str().unwrap());
    let stopped = world.post(&stop, OPERATOR, &json!({})).await.ok();
    assert_eq!((&stopped["state"], &stopped["result"]), (&json!("finished"), &json!("ABORTED")));
    let listed = world.get("/v1/builds", READER).await.ok();
    assert_eq!(listed.as_array().unwrap().len(), 2);
    lost_and_stopped(world, &order).await;
}

/// A build that runs where nobody answers any more can be stopped all the same.
async fn lost_and_stopped(world: &World, order: &Value) {
    for (name, why) in
        [("main", "main does not answer"), ("gone", "gone is not among the masters any more")]
    {
        let made = world.post("/v1/builds", OPERATOR, order).await.ok();
        let (id, key) = (made["id"].as_str().unwrap(), format!("k-{name}"));
        place(&world.service.store, id, &key).await;
        let run = "https://ci/job/team/job/web/9/";
        let claim = json!({"controller": "main", "key": key, "url": run});
        world.post(&format!("/v1/builds/{id}/claim"), SHIM, &claim).await.ok();
        let mut build = world.service.store.routed(id).await.unwrap().unwrap();
        build.master = Some(name.to_owned());
        let change = [Change { build, attempt: AttemptChange::None }];
        assert_eq!(world.service.store.change_routed(&change, 1).await.unwrap(), [true]);
        let stop = format!("/v1/builds/{id}/stop");
        if name == "main" {
            // Nobody knows yet that it is away.
            assert_eq!(world.post(&stop, OPERATOR, &json!({})).await.status, 502);
            let state = State { health: Health::Unhealthy, ..State::default() };
            world.service.masters.get(name).unwrap().set_state(state);
        }
        let stopped = world.post(&stop, OPERATOR, &json!({})).await.ok();
        assert_eq!(stopped["result"], "ABORTED");
        let reason = stopped["reason"].as_str().unwrap();
        assert!(reason.contains(why) && reason.contains("may still run there"), "{reason}");
        // It is stopped there when its master is back.
        assert_eq!(stopped["attempts"][0]["is_stale"], true, "{stopped}");
        let stale = world.service.store.stale_of("main").await.unwrap();
        assert!(stale.iter().any(|one| one.key == key && one.url.as_deref() == Some(run)));
    }
    let healthy = State { health: Health::Healthy, ..State::default() };
    world.service.masters.get("main").unwrap().set_state(healthy);
}

#[tokio::test]
async fn a_build_is_asked_for_claimed_and_stopped() {
    let world = World::with_masters(unreachable_masters()).await;
    asked_for_claimed_and_stopped(&world).await;
}
