//! Locks of stages and milestones over all controllers, on both databases.

use std::sync::Arc;

use serde_json::{Value, json};

use super::world::{OPERATOR, READER, SHIM, SHIM_2, World};
use crate::leases::{LOOK_EVERY_MS, SILENT_MS, Turn, turn};
use crate::rest::stub::{Stub, recording};
use crate::service::store::{LockQuestion, LockRow, Store};

/// A build with its token.
struct Build {
    id: String,
    token: String,
}

impl Build {
    async fn new(world: &World, shim: &str, controller: &str, job: &str, number: u32) -> Self {
        Self::at(world, shim, controller, job, number, number * 1000).await
    }

    /// One that started then.
    async fn at(
        world: &World,
        shim: &str,
        controller: &str,
        job: &str,
        number: u32,
        started_ms: u32,
    ) -> Self {
        let query = json!({"controller": controller, "job": job, "build": number, "started_ms": started_ms,
            "parameters": {"stack": "go", "deploy": "true", "RUN_SONAR": "true"}});
        let answer = world.post("/v1/plans", shim, &query).await.ok();
        let text = |name: &str| answer["build"][name].as_str().unwrap().to_owned();
        Self { id: text("id"), token: text("token") }
    }

    async fn send(&self, world: &World, what: &str, body: &Value) -> Value {
        world.post(&format!("/v1/builds/{}/{what}", self.id), &self.token, body).await.ok()
    }

    async fn asks(&self, world: &World) -> Value {
        self.send(world, "locks", &json!({"stage": "deploy"})).await
    }

    async fn is_holder(&self, world: &World) -> bool {
        self.asks(world).await["state"] == "held"
    }

    async fn passes(&self, world: &World) -> Value {
        self.send(world, "milestones", &json!({"stage": "deploy"})).await
    }

    async fn event(&self, world: &World, event: Value) {
        self.send(world, "events", &json!({"events": [event]})).await;
    }
}

/// Builds of two controllers have the lock one after the other, whatever way it is given back.
pub async fn are_given_in_the_order_of_asking(world: &World) {
    let first = Build::new(world, SHIM, "main", "go/pay", 101).await;
    let second = Build::new(world, SHIM_2, "second", "rel/web", 7).await;
    let third = Build::new(world, SHIM, "main", "go/pay", 103).await;
    let held = first.asks(world).await;
    assert_eq!((&held["state"], &held["lock"]), (&json!("held"), &json!("production")));
    assert_eq!(
        first.asks(world).await["since_ms"],
        held["since_ms"],
        "asked again, it is the same"
    );
    let waits = second.asks(world).await;
    assert_eq!((&waits["state"], &waits["position"]), (&json!("waiting"), &json!(1)));
    assert_eq!(
        (&waits["holder"]["job"], &waits["holder"]["number"]),
        (&json!("go/pay"), &json!(101))
    );
    assert_eq!(
        waits["reason"],
        "place 1 for the lock production: stage deploy of go/pay #101 at main has it"
    );
    let last = third.asks(world).await;
    assert_eq!((&last["position"], &last["again_in_seconds"]), (&json!(2), &json!(15)));
    let lines = world.get("/v1/locks", READER).await.ok();
    assert_eq!(lines[0]["holder"]["build"], first.id);
    let waiting: Vec<_> =
        lines[0]["waiting"].as_array().unwrap().iter().map(|one| &one["build"]).collect();
    assert_eq!(waiting, [&json!(second.id), &json!(third.id)]);
    let seen = world.get(&format!("/v1/builds/{}", second.id), READER).await.ok();
    assert_eq!(seen["locks"][0]["reason"], waits["reason"]);

    // With the end of the stage it is the next one's, whoever asks first.
    let done = json!({"type": "stage-finished", "sequence": 0, "at_ms": 1, "node": "deploy", "outcome": "success"});
    first.event(world, done).await;
    let free = third.asks(world).await;
    assert_eq!(
        (&free["state"], &free["position"], &free["holder"]),
        (&json!("waiting"), &json!(2), &Value::Null)
    );
    assert!(second.is_holder(world).await);
    // With the end of the build.
    second
        .event(
            world,
            json!({"type": "build-finished", "sequence": 0, "at_ms": 1, "outcome": "aborted"}),
        )
        .await;
    assert!(third.is_holder(world).await);
    // By a person: only from the build that is meant.
    let path = "/v1/locks/release";
    let wrong = json!({"lock": "production", "build": first.id});
    assert_eq!(world.post(path, OPERATOR, &wrong).await.status, 404);
    let right = json!({"lock": "production", "build": third.id});
    assert_eq!(world.post(path, READER, &right).await.status, 403);
    assert_eq!(world.post(path, OPERATOR, &right).await.ok()["released"], true);
    assert!(first.is_holder(world).await);
    // By the stage itself, and once more.
    for released in [true, false] {
        let answer = first.send(world, "locks/release", &json!({"stage": "deploy"})).await;
        assert_eq!(answer["released"], released);
    }
    assert_eq!(world.get("/v1/locks", READER).await.ok(), json!([]));

    let path = format!("/v1/builds/{}/locks", first.id);
    for (body, token, status) in [
        (json!({"stage": "build"}), &first.token, 400),
        (json!({"stage": "none"}), &first.token, 400),
        (json!({"lock": "production"}), &first.token, 400),
        (json!({"stage": "deploy"}), &second.token, 404),
        (json!({"stage": "deploy"}), &SHIM.to_owned(), 403),
    ] {
        assert_eq!(world.post(&path, token, &body).await.status, status, "{body}");
    }
}

/// Of many that ask at once one has it; all have it in the order in which they stand in line.
pub async fn one_at_a_time(world: &World) {
    let mut builds = Vec::new();
    for number in 0..12 {
        builds.push(Build::new(world, SHIM, "main", "go/many", number).await);
    }
    let asked = builds.iter().map(|build| build.asks(world));
    let answers = futures_util::future::join_all(asked).await;
    let holders = |answers: &[Value]| answers.iter().filter(|one| one["state"] == "held").count();
    assert_eq!(holders(&answers), 1, "{answers:?}");
    let line = world.service.store.locks(Some("production"), 0).await.unwrap();
    assert_eq!(line.len(), builds.len());
    for row in line {
        // All ask at once again: only the next one in line has it.
        let asked = builds.iter().map(|build| build.asks(world));
        let answers = futures_util::future::join_all(asked).await;
        assert_eq!(holders(&answers), 1);
        let at = answers.iter().position(|one| one["state"] == "held").unwrap();
        assert_eq!(builds[at].id, row.place.build);
        builds[at].send(world, "locks/release", &json!({"stage": "deploy"})).await;
        builds.remove(at);
    }
}

async fn ask(store: &Store, build: &Build, now_ms: i64, listening_ms: i64) -> (Turn, Vec<LockRow>) {
    let asks = LockQuestion {
        lock: "production",
        build: &build.id,
        stage: "deploy",
        term_ms: 1_000_000,
        now_ms,
    };
    let decide = |line: &mut [LockRow]| {
        let places: Vec<_> = line.iter().map(|row| row.place.clone()).collect();
        turn(&places, &build.id, "deploy", now_ms, listening_ms)
    };
    store.ask_lock(&asks, decide).await.unwrap().unwrap()
}

/// What was given before a restart is held after it, and the line is the same.
pub async fn outlive_the_service(world: &World, other: &Store) {
    let first = Build::new(world, SHIM, "main", "go/kept", 1).await;
    let second = Build::new(world, SHIM, "main", "go/kept", 2).await;
    let third = Build::new(world, SHIM, "main", "go/kept", 3).await;
    let store = &world.service.store;
    for (build, expected) in [(&first, Turn::Holds), (&second, Turn::Waits), (&third, Turn::Waits)]
    {
        assert_eq!(ask(store, build, 1_000, 0).await.0, expected);
    }
    // Another replica, or the same one after a while.
    let late = 1_000 + SILENT_MS * 3;
    assert_eq!(ask(other, &third, late, late).await.0, Turn::Waits);
    let (turn, line) = ask(other, &first, late, late).await;
    assert_eq!((turn, line[0].place.held_ms), (Turn::Holds, Some(1_000)));
    // Its time is over, and nobody can be asked: the next one has it, and it has lost it.
    let over = late + 1_000_000;
    assert_eq!(ask(other, &third, over, over).await.0, Turn::Waits, "it is the turn of the second");
    assert_eq!(ask(store, &second, over, over).await.0, Turn::Holds);
    let (turn, line) = ask(other, &first, over, over).await;
    assert_eq!((turn, line.len()), (Turn::Waits, 3));
    // Who is silent for long is out of the line.
    let (_, line) = ask(store, &second, over + 3_700_000, 0).await;
    assert_eq!(line.len(), 1);
    assert!(store.release_locks(&second.id, None).await.unwrap());
}

/// Builds that a controller started by itself: older ones end at the milestone, whatever their numbers.
pub async fn older_builds_end_at_a_milestone(world: &World) {
    let mut builds = Vec::new();
    for number in 1..4 {
        builds.push(Build::new(world, SHIM, "main", "go/mile", number).await);
    }
    let [first, second, third] = &builds[..] else { unreachable!() };
    let passed = json!({"milestone": "deploy", "passed": true});
    assert_eq!(second.passes(world).await, passed);
    let old = first.passes(world).await;
    assert_eq!(old["passed"], false);
    assert_eq!(
        old["reason"],
        "superseded: build 2 of go/mile has passed the milestone deploy already"
    );
    assert_eq!(third.passes(world).await, passed);
    assert_eq!(second.passes(world).await, passed, "what has passed goes on");
    // A job that was made anew begins with 1; another controller's builds are others.
    let anew = Build::at(world, SHIM, "main", "go/mile", 1, 9_000).await;
    assert_eq!(anew.passes(world).await, passed);
    let other = Build::new(world, SHIM_2, "second", "rel/mile", 1).await;
    assert_eq!(other.passes(world).await, passed);
    let bad = json!({"stage": "build"});
    let path = format!("/v1/builds/{}/milestones", first.id);
    assert_eq!(world.post(&path, &first.token, &bad).await.status, 400);
}

/// Builds of the bridge: those that wait end at once, newer ones stay.
pub async fn a_milestone_ends_older_builds_of_the_bridge(world: &World) {
    use super::routed::{job, place};
    world.post("/v1/jobs", OPERATOR, &job("go/routed")).await.ok();
    let mut ids = Vec::new();
    for _ in 0..4 {
        let built = world.post("/v1/builds", OPERATOR, &json!({"job": "go/routed"})).await.ok();
        ids.push(built["id"].as_str().unwrap().to_owned());
    }
    let store = &world.service.store;
    for (at, number) in [(1, 11), (2, 5)] {
        let key = format!("k-{number}");
        place(store, &ids[at], &key).await;
        let url = format!("https://ci/job/go/job/routed/{number}/");
        assert!(store.claim_routed(&ids[at], &key, "main", &url, 1).await.unwrap());
    }
    // The bridge's third build is the fifth of its master, and the second one the eleventh.
    let third = Build::new(world, SHIM, "main", "go/routed", 5).await;
    assert_eq!(third.passes(world).await["passed"], true);
    loop {
        let first = store.routed(&ids[0]).await.unwrap().unwrap();
        if first.state == crate::route::BuildState::Finished {
            assert_eq!(first.result.as_deref(), Some("ABORTED"));
            assert_eq!(first.reason, "superseded at the milestone deploy by build 3");
            break;
        }
        tokio::task::yield_now().await;
    }
    let fourth = store.routed(&ids[3]).await.unwrap().unwrap();
    assert_eq!(fourth.state, crate::route::BuildState::Waiting);
    let second = Build::new(world, SHIM, "main", "go/routed", 11).await;
    assert_eq!(
        second.passes(world).await["reason"],
        "superseded: build 3 of go/routed has passed the milestone deploy already"
    );
}

#[tokio::test]
async fn milestones_on_sqlite() {
    let world = World::with_masters(super::routed::unreachable_masters()).await;
    older_builds_end_at_a_milestone(&world).await;
    a_milestone_ends_older_builds_of_the_bridge(&world).await;
}

#[tokio::test]
async fn locks_of_stages_on_sqlite() {
    let world = World::sqlite().await;
    are_given_in_the_order_of_asking(&world).await;
    one_at_a_time(&world).await;
    let url = format!("sqlite:{}", world.path().join("state.db").display());
    outlive_the_service(&world, &Store::open(&url).await.unwrap()).await;
}

#[tokio::test]
async fn a_build_that_was_killed_holds_nothing() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let number = Arc::new(AtomicU32::new(28));
    let now = Arc::clone(&number);
    let stub = Stub::start(move |request| {
        let kept = recording(now.load(Ordering::SeqCst));
        if request.path == kept.path {
            kept.cut(request.tree.as_deref())
        } else {
            recording(8).reply
        }
    })
    .await;
    let world = World::with_controller(super::controller::client(&stub)).await;
    let killed = Build::new(&world, SHIM, "main", "team-a/web", 1).await;
    let next = Build::new(&world, SHIM, "main", "go/pay", 1).await;
    let ago = world.service.now_ms() - LOOK_EVERY_MS;
    assert_eq!(ask(&world.service.store, &killed, ago, 0).await.0, Turn::Holds);
    // It runs: it keeps the lock, and is not asked about with each request.
    let asked = stub.requests().len();
    for _ in 0..3 {
        assert!(!next.is_holder(&world).await);
    }
    while world.service.store.locks(None, 0).await.unwrap()[0].place.looked_ms == 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(stub.requests().len(), asked + 1);
    // It was aborted there, and told nobody.
    number.store(42, Ordering::SeqCst);
    for build in [&killed, &next] {
        assert!(world.service.store.release_locks(&build.id, None).await.unwrap());
    }
    assert_eq!(ask(&world.service.store, &killed, ago, 0).await.0, Turn::Holds);
    while !next.is_holder(&world).await {
        tokio::task::yield_now().await;
    }
}
