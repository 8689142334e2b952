//! Copies of jobs are looked at without being asked for.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;

use super::routed::{job, masters_at};
use super::world::{BOSS, OPERATOR, World};
use crate::jobs::{CopyState, definition, look_at_copies};
use crate::masters::{Health, State};
use crate::rest::stub::{Reply, Stub, recording};
use crate::service::store::CopyRow;

#[tokio::test]
async fn drift_shows_although_nobody_asks() {
    let spec = serde_json::from_value(job("team/web")).unwrap();
    let good = definition::job(&spec);
    let there = Arc::new(Mutex::new(Some(good.clone())));
    let has = Arc::clone(&there);
    let stub = Stub::start(move |request| {
        assert_eq!(
            (request.method.as_str(), request.path.as_str()),
            ("GET", "/job/team/job/web/config.xml")
        );
        match &*has.lock().unwrap() {
            Some(body) => Reply { body: body.clone(), ..recording(16).reply },
            None => Reply { status: 404, ..Reply::default() },
        }
    })
    .await;
    let masters = masters_at(&stub.url);
    let world = World::with_masters(Arc::clone(&masters)).await;
    world.post("/v1/jobs", OPERATOR, &job("team/web")).await.ok();
    let mut other = job("team/arm");
    other["labels"] = json!(["arm"]);
    world.post("/v1/jobs", OPERATOR, &other).await.ok();
    let service = Arc::clone(&world.service);
    let looks =
        tokio::spawn(async move { look_at_copies(&service, Duration::from_millis(10)).await });
    let copy = async || {
        let all = world.service.store.copies().await.unwrap();
        all.into_iter().find(|one| one.job == "team/web").map(|one| one.state)
    };
    let until = async |word: &str| {
        for _ in 0..1_000 {
            match copy().await {
                Some(state) if state.word() == word => return state,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
        panic!("it is {:?}, not {word}", copy().await);
    };
    // One that is ill is not asked.
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(stub.requests().len(), 0);
    masters.get("main").unwrap().set_state(State { health: Health::Healthy, ..State::default() });
    until("same").await;
    assert_eq!(world.service.store.drifted_copies().await.unwrap(), 0);
    let asked = stub.requests().len();
    assert_eq!(
        asked, 1,
        "within the hour a copy is looked at once, and one for another label not at all"
    );

    // Somebody has changed it; a job that is changed here is looked at without waiting for the hour.
    let revise = async |description: &str| {
        let mut new = job("team/web");
        new["description"] = json!(description);
        world.post("/v1/jobs", OPERATOR, &new).await.ok();
    };
    *there.lock().unwrap() = Some(good.replace("pilotfish()", "somethingElse()"));
    revise("one").await;
    let CopyState::Drifted { differences } = until("drifted").await else { unreachable!() };
    assert!(!differences.is_empty());
    assert_eq!(world.service.store.drifted_copies().await.unwrap(), 1);
    let overview = super::board::Browser::with(&world.url, BOSS).await.get("/").await.text;
    assert!(overview.contains("<b>1</b>copies of jobs differ"), "{overview}");

    *there.lock().unwrap() = None;
    revise("two").await;
    until("missing").await;
    assert_eq!(world.service.store.drifted_copies().await.unwrap(), 0, "its first build makes it");
    looks.abort();
    // What was looked for before somebody mended it does not count after that.
    let row = |state: CopyState, checked_ms: i64| CopyRow {
        job: "team/web".to_owned(),
        master: "main".to_owned(),
        state,
        revision: 3,
        checked_ms,
    };
    let now = world.service.now_ms();
    world.service.store.save_copy(&row(CopyState::Same, now + 2)).await.unwrap();
    let late = CopyState::Drifted { differences: vec!["old".to_owned()] };
    world.service.store.save_copy(&row(late, now + 1)).await.unwrap();
    assert_eq!(copy().await, Some(CopyState::Same));
}
