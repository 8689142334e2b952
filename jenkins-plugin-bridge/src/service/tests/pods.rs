//! Builds that run in pods: what their controllers are told, and how the pods started.

use serde_json::{Value, json};

use super::world::{AGENT, READER, SHIM, SHIM_2, World};
use super::{build_query, opened};
use crate::cluster::start::{ImageStart, Phases, PodStart, StartFailure};
use crate::service::ImageUse;
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
    assert_eq!(names, ["main", "jnlp"]);
    // The plugin says which controller it is; reports name the build by its id.
    let variables = containers[1]["env"].as_array().unwrap();
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

#[tokio::test]
async fn how_images_came_to_nodes_is_kept_once_for_each_pod() {
    let world = World::sqlite().await;
    let image = |image: &str, pull_ms| ImageStart { image: image.to_owned(), pull_ms };
    let store = &world.service.store;
    let cold = [image("tool:1", Some(9_000)), image("agent:1", None)];
    // Two replicas see the same pod.
    for at in [100, 101] {
        store.save_images("pod-1", &cold, at).await.unwrap();
    }
    store.save_images("pod-2", &[image("tool:1", Some(5_000))], 200).await.unwrap();
    store.save_images("pod-3", &[image("tool:1", Some(7_000))], 300).await.unwrap();
    for pod in ["pod-4", "pod-5"] {
        store.save_images(pod, &[image("tool:1", None)], 400).await.unwrap();
    }
    let uses = store.image_uses().await.unwrap();
    let tool = ImageUse { used_at: 400, present: 2, pulled: 3, median_pull_ms: Some(7_000) };
    let agent = ImageUse { used_at: 100, present: 1, pulled: 0, median_pull_ms: None };
    assert_eq!(uses, [("agent:1".to_owned(), agent), ("tool:1".to_owned(), tool)].into());
    assert_eq!((uses["tool:1"].saved_ms(), uses["agent:1"].saved_ms()), (Some(14_000), None));
    // After a month it is forgotten.
    store.save_images("pod-6", &[image("agent:1", None)], 31 * 86_400).await.unwrap();
    let kept: Vec<_> = store.image_uses().await.unwrap().into_keys().collect();
    assert_eq!(kept, ["agent:1"]);
}

fn used(build: &str, stage: &str, mebibytes: u64, shared: bool) -> Value {
    json!({"build": build, "stage": stage, "container": "main", "seconds": 10.5,
        "cpu_seconds": 21.0, "peak_memory_bytes": mebibytes << 20, "shared": shared})
}

#[tokio::test]
async fn pods_ask_for_what_stages_were_seen_to_use() {
    let world = World::with_pods(&format!(
        "{PROFILE}sizing: {{apply: true, min_samples: 3, most: {{cpu: '1500m'}}}}\n"
    ))
    .await;
    let build = async |number: u32| {
        let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", number)).await.ok();
        signed(&world, &answer).await
    };
    let first = build(1).await;
    let requests = |plan: &SignedPlan| {
        plan.pod.as_ref().unwrap().manifest["spec"]["containers"][0]["resources"]["requests"]
            .clone()
    };
    assert_eq!(requests(&first), json!({"cpu": "100m", "memory": "64Mi"}));
    for number in 2..5 {
        let id = build(number).await.build;
        let reports = json!({"reports": [
            used(&id, "build", 100, false), used(&id, "build", 90, false),
            used(&id, "docs", 900, true), used(&id, "nothing", 1, false), used("b-x", "build", 1, false),
        ]});
        let answer = world.post("/v1/usage", AGENT, &reports).await.ok();
        assert_eq!(answer, json!({"received": 5, "kept": 3}));
    }
    // 100 MiB and a fifth in steps of 16; two processors and a fifth, of which the profile gives less.
    let sized = build(5).await;
    assert_eq!(requests(&sized), json!({"cpu": "1500m", "memory": "128Mi"}));
    let manifest = &sized.pod.as_ref().unwrap().manifest;
    assert_eq!(
        manifest["metadata"]["annotations"]["pilotfish.io/sizing"],
        r#"{"build/main":{"cpu_millis":1500,"memory_bytes":134217728}}"#
    );
    assert_eq!(sized.digest, first.digest, "the plan is the same");
    let rows = world.get("/v1/sizing", READER).await.ok();
    assert_eq!(rows.as_array().unwrap().len(), 1, "what was shared is not guessed: {rows}");
    assert_eq!((&rows[0]["builds"], &rows[0]["p95_memory_bytes"]), (&json!(3), &json!(100 << 20)));
    assert_eq!(rows[0].get("recommended"), None, "ten builds, unless the profile says otherwise");
}

#[tokio::test]
async fn reports_that_cannot_be_are_refused() {
    let world = World::sqlite().await;
    let mut bad = used("b-x", "build", 1, false);
    bad["seconds"] = json!(-1.0);
    let post = async |token: &str, reports: &[Value]| {
        world.post("/v1/usage", token, &json!({"reports": reports})).await.status
    };
    assert_eq!(post(AGENT, &[bad]).await, 400);
    assert_eq!(post(AGENT, &[]).await, 400);
    assert_eq!(post(AGENT, &vec![used("b-x", "build", 1, false); 1001]).await, 400);
    assert_eq!(post(AGENT, &[used("", "build", 1, false)]).await, 400);
    assert_eq!(post(READER, &[used("b-x", "build", 1, false)]).await, 403);
    // Of another controller, or of none: nothing is kept, and nobody learns whether it is there.
    assert_eq!(post(AGENT, &[used("b-x", "build", 1, false)]).await, 200);
}
