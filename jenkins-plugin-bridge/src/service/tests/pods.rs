//! Builds that run in pods: what their controllers are told, and how the pods started.

use serde_json::{Value, json};

use super::world::{READER, SHIM, SHIM_2, World};
use super::{build_query, opened};
use crate::cluster::start::{Phases, PodStart, StartFailure};
use crate::service::plans::SignedPlan;

const PROFILE: &str = "api: pilotfish/v1\nkind: pod-profile\nname: fast\nnamespace: builds\n\
    agent: {controller: {url: 'https://ci.example.com/', secret: agents}}\n";

async fn signed(world: &World, answer: &Value) -> SignedPlan {
    serde_json::from_value(opened(world, answer).await).unwrap()
}

#[tokio::test]
async fn the_signed_plan_carries_the_pod_and_where_stages_run() {
    let world = World::with_pods(PROFILE).await;
    let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", 7)).await.ok();
    let plan = signed(&world, &answer).await;
    let pod = plan.pod.unwrap();
    assert_eq!(pod.routes["build/main"], "main");
    assert_eq!(pod.manifest["kind"], "Pod");
    assert_eq!(pod.manifest["metadata"]["annotations"]["pilotfish.io/build"], "go/pay#7");
    assert_eq!(pod.manifest["metadata"]["annotations"]["pilotfish.io/build-id"], plan.build);
    let containers = pod.manifest["spec"]["containers"].as_array().unwrap();
    let names: Vec<&Value> = containers.iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["jnlp", "main"]);
    // The plugin says which controller it is; reports name the build by its id.
    let variables = containers[0]["env"].as_array().unwrap();
    assert!(variables.iter().all(|one| one["name"] != "JENKINS_URL"), "{variables:?}");
    assert!(variables.contains(&json!({"name": "PILOTFISH_BUILD", "value": plan.build})));
    // The same build gets the same pod again, and no other controller gets any.
    let again = world.post("/v1/plans", SHIM, &build_query("go/pay", 7)).await.ok();
    assert_eq!(signed(&world, &again).await.pod.unwrap(), pod);
    let mut other = build_query("go/pay", 7);
    other["controller"] = json!("second");
    let other = world.post("/v1/plans", SHIM_2, &other).await;
    assert_eq!(other.status, 422, "no rule is for it: {}", other.json);
}

#[tokio::test]
async fn without_a_profile_there_is_no_pod() {
    let world = World::sqlite().await;
    let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", 7)).await.ok();
    assert_eq!(signed(&world, &answer).await.pod, None);
}

#[tokio::test]
async fn what_the_cluster_cannot_give_is_refused_like_bad_parameters() {
    let world = World::with_pods(&format!("{PROFILE}most: {{memory: 1Mi}}\n")).await;
    let refused = world.post("/v1/plans", SHIM, &build_query("go/pay", 7)).await;
    assert_eq!(
        (refused.status, &refused.json["type"]),
        (422, &json!("urn:pilotfish:problem:pod")),
        "{}",
        refused.json
    );
    let message = refused.json["errors"][0]["message"].as_str().unwrap();
    assert!(message.contains("the profile fast gives 1Mi at most"), "{message}");
}

#[tokio::test]
async fn how_a_pod_started_is_kept_with_its_build_and_counted() {
    let world = World::with_pods(PROFILE).await;
    let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", 7)).await.ok();
    let id = answer["build"]["id"].as_str().unwrap();
    let path = format!("/v1/builds/{id}");
    assert_eq!(world.get(&path, READER).await.ok().get("pod"), None);
    let failure = StartFailure { reason: "ImagePullBackOff".into(), message: "no such tag".into() };
    let mut start = PodStart {
        pod: "p".into(),
        node: None,
        phases: Phases { scheduled_ms: Some(1_000), ..Phases::default() },
        failure: Some(failure.clone()),
    };
    let save = async |start: &PodStart, id: &str| {
        let body = serde_json::to_string(start).unwrap();
        world.service.store.save_start(id, &body, 1).await.unwrap();
    };
    save(&start, id).await;
    save(&start, "b-nobody").await;
    assert_eq!(world.get(&path, READER).await.ok()["pod"]["failure"]["reason"], "ImagePullBackOff");
    start.failure = None;
    start.phases.connected_ms = Some(20_000);
    save(&start, id).await;
    let pod = world.get(&path, READER).await.ok()["pod"].clone();
    assert_eq!(pod, json!({"pod": "p", "phases": {"scheduled_ms": 1000, "connected_ms": 20000}}));
    world.service.metrics.pod_started(&start.phases, Some(&failure));
    let strange = StartFailure { reason: "a\"b".into(), message: String::new() };
    world.service.metrics.pod_started(&Phases::default(), Some(&strange));
    let text = world.text("/metrics").await;
    for line in [
        "pilotfish_bridge_pod_start_seconds_bucket{phase=\"connected\",le=\"10\"} 0",
        "pilotfish_bridge_pod_start_seconds_bucket{phase=\"connected\",le=\"20\"} 1",
        "pilotfish_bridge_pod_starts_failed_total{reason=\"ImagePullBackOff\"} 1",
        "pilotfish_bridge_pod_starts_failed_total{reason=\"Other\"} 1",
    ] {
        assert!(text.lines().any(|one| one == line), "{line}\n{text}");
    }
}
