//! Plans that were made before, and builds that ask at the same time.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::Relaxed;

use serde_json::json;

use super::world::{PIPELINE, SHIM, World};
use super::{build_query, opened};

#[tokio::test]
async fn the_same_question_is_worked_out_once_for_each_catalog() {
    let world = World::sqlite().await;
    let found = || world.service.metrics.found.load(Relaxed);
    let first = world.post("/v1/plans", SHIM, &build_query("go/pay", 1)).await.ok();
    assert_eq!(found(), 0);
    let second = world.post("/v1/plans", SHIM, &build_query("go/pay", 2)).await.ok();
    assert_eq!(found(), 1);
    assert_eq!(first["digest"], second["digest"]);
    assert_eq!(first["binding"], second["binding"]);
    // Each build has a signature and a token of its own all the same.
    let signed = opened(&world, &second).await;
    assert_eq!((&signed["number"], &signed["build"]), (&json!(2), &second["build"]["id"]));
    assert_ne!(first["build"]["token"], second["build"]["token"]);

    // Whatever an answer depends on makes another question.
    let mut digests = BTreeSet::from([first["digest"].to_string()]);
    for (pointer, value) in [
        ("/job", json!("go/other")),
        ("/parameters/stack", json!("rust")),
        ("/parameters/deploy", json!("false")),
        ("/facts/branch", json!("topic")),
        ("/facts/cause", json!("push")),
    ] {
        let mut query = build_query("go/pay", 3);
        let (parent, key) = pointer.rsplit_once('/').unwrap();
        query.pointer_mut(parent).unwrap()[key] = value;
        query["started_ms"] = json!(digests.len());
        let answer = world.post("/v1/plans", SHIM, &query).await.ok();
        assert!(digests.insert(answer["digest"].to_string()), "{pointer}");
    }
    assert_eq!(found(), 1);

    // Another catalog has other answers.
    world.write("service.yaml", &PIPELINE.replace("version: 1.0.0", "version: 1.1.0"));
    assert!(world.service.catalog.reload().is_current);
    let third = world.post("/v1/plans", SHIM, &build_query("go/pay", 4)).await.ok();
    assert_ne!(third["digest"], first["digest"]);
    assert_eq!(found(), 1);
}

#[tokio::test]
async fn builds_that_ask_at_the_same_time_are_all_kept() {
    let world = World::sqlite().await;
    let asked: Vec<_> = (1..=100)
        .map(|number| {
            // Two ask for each build, and every second job has a plan of its own.
            let job = format!("go/j{}", number % 4);
            build_query(&job, number / 2 + 1)
        })
        .collect();
    let answers = asked.iter().map(|query| world.post("/v1/plans", SHIM, query));
    let answers = futures_util::future::join_all(answers).await;
    for (query, answer) in asked.iter().zip(answers) {
        let answer = answer.ok();
        let id = answer["build"]["id"].as_str().unwrap();
        let kept = world.service.store.build(id).await.unwrap().unwrap();
        assert_eq!(json!(kept.job), query["job"]);
        assert_eq!(json!(kept.number), query["build"]);
        assert_eq!(json!(kept.digest), answer["digest"]);
        let plan = world.service.store.plan(&kept.digest).await.unwrap();
        assert!(plan.is_some(), "the plan is there once its build is");
        // Who asks again is given the same build.
        let again = world.post("/v1/plans", SHIM, query).await.ok();
        assert_eq!(again["build"]["id"], answer["build"]["id"]);
    }
}
