//! Clusters without a cluster: the file, and what pods and events say.

use std::time::Duration;

use k8s_openapi::api::core::v1::{Event, Pod};
use serde_json::{Value, json};

use super::start::{Looks, PATIENCE, Phases, StartState, image_starts, phases, state};
use super::*;

const MADE: &str = "2026-11-29T12:00:00Z";

/// A pod of the agent, its init container and one tool, as an API server shows it.
fn pod(status: Value) -> Pod {
    serde_json::from_value(json!({
        "metadata": {"name": "p", "uid": "u", "creationTimestamp": MADE},
        "spec": {
            "initContainers": [{"name": "pilotfish-inject", "image": "agent:1"}],
            "containers": [{"name": "jnlp", "image": "agent:1"}, {"name": "tool", "image": "tool:1"}],
        },
        "status": status,
    }))
    .unwrap()
}

fn event(reason: &str, message: &str, at: &str) -> Event {
    serde_json::from_value(json!({
        "metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"},
        "reason": reason, "message": message, "lastTimestamp": at, "firstTimestamp": at,
    }))
    .unwrap()
}

fn scheduled(ready: &str) -> Value {
    json!([
        {"type": "PodScheduled", "status": "True", "lastTransitionTime": "2026-11-29T12:00:01Z"},
        {"type": "Ready", "status": ready, "lastTransitionTime": "2026-11-29T12:00:20Z"},
    ])
}

fn status_of(name: &str, state: Value, ready: bool) -> Value {
    json!({"name": name, "image": format!("{name}:1"), "imageID": "", "ready": ready,
        "restartCount": 0, "state": state})
}

fn running(name: &str, at: &str, ready: bool) -> Value {
    status_of(name, json!({"running": {"startedAt": at}}), ready)
}

fn copied() -> Value {
    let end = json!({"terminated": {"exitCode": 0, "reason": "Completed",
        "startedAt": "2026-11-29T12:00:04Z", "finishedAt": "2026-11-29T12:00:04Z"}});
    status_of("pilotfish-inject", end, true)
}

fn waiting(name: &str, reason: &str, message: &str) -> Value {
    status_of(name, json!({"waiting": {"reason": reason, "message": message}}), false)
}

fn words(pod: &Pod, events: &[Event], waited: Duration) -> Option<String> {
    match state(pod, events, waited) {
        StartState::Failed(failure) => Some(format!("{}: {}", failure.reason, failure.message)),
        _ => None,
    }
}

#[test]
fn a_start_is_measured_by_phase() {
    let events = [
        event(
            "Pulled",
            "Container image \"agent:1\" already present on machine",
            "2026-11-29T12:00:03Z",
        ),
        event("Pulled", "Successfully pulled image \"tool:1\" in 6.2s", "2026-11-29T12:00:11Z"),
    ];
    let both = |connected: bool| {
        pod(json!({
            "phase": "Running",
            "conditions": scheduled(if connected { "True" } else { "False" }),
            "initContainerStatuses": [copied()],
            "containerStatuses": [
                running("jnlp", "2026-11-29T12:00:05Z", connected),
                running("tool", "2026-11-29T12:00:12Z", true),
            ],
        }))
    };
    let started = Phases {
        scheduled_ms: Some(1_000),
        pulled_ms: Some(11_000),
        started_ms: Some(12_000),
        connected_ms: None,
    };
    assert_eq!(phases(&both(false), &events), started);
    assert_eq!(state(&both(false), &events, Duration::ZERO), StartState::Waiting);
    let connected = Phases { connected_ms: Some(20_000), ..started };
    assert_eq!(phases(&both(true), &events), connected);
    assert_eq!(state(&both(true), &events, Duration::ZERO), StartState::Connected);
    // Where events are forgotten, images were there when the last container started.
    assert_eq!(phases(&both(true), &[]).pulled_ms, Some(12_000));
    let half = pod(json!({"phase": "Pending", "conditions": scheduled("False"),
        "initContainerStatuses": [copied()],
        "containerStatuses": [running("jnlp", "2026-11-29T12:00:05Z", false),
            waiting("tool", "ContainerCreating", "")]}));
    let first = Phases { scheduled_ms: Some(1_000), ..Phases::default() };
    assert_eq!(phases(&half, &events), first);
}

#[test]
fn an_image_that_cannot_be_pulled_ends_the_wait_with_the_words_of_the_event() {
    let pulls = |reason: &str, message: &str| {
        pod(json!({"phase": "Pending", "conditions": scheduled("False"),
            "initContainerStatuses": [copied()],
            "containerStatuses": [waiting("tool", reason, message)]}))
    };
    let events = [
        event("Failed", "Failed to pull image \"tool:1\": manifest unknown", MADE),
        event("Failed", "Error: ErrImagePull", MADE),
        event("BackOff", "Back-off pulling image \"tool:1\"", MADE),
    ];
    let now = Duration::ZERO;
    let back_off = pulls("ImagePullBackOff", "Back-off pulling image \"tool:1\"");
    assert_eq!(
        words(&back_off, &events, now).unwrap(),
        "ImagePullBackOff: container tool: Failed to pull image \"tool:1\": manifest unknown"
    );
    assert_eq!(
        words(&back_off, &[], now).unwrap(),
        "ImagePullBackOff: container tool: Back-off pulling image \"tool:1\""
    );
    // The first failure of a registry may be its last.
    let once = pulls("ErrImagePull", "timeout");
    assert_eq!(words(&once, &events, now), None);
    assert_eq!(words(&once, &events, PATIENCE).unwrap(), "ErrImagePull: container tool: timeout");
}

#[test]
fn no_node_ends_the_wait_unless_one_is_being_made() {
    let lonely = pod(json!({"phase": "Pending", "conditions": [{"type": "PodScheduled",
        "status": "False", "reason": "Unschedulable", "message": "0/3 nodes are available: 3 Insufficient memory."}]}));
    assert_eq!(words(&lonely, &[], Duration::from_secs(10)), None);
    assert_eq!(
        words(&lonely, &[], PATIENCE).unwrap(),
        "Unschedulable: 0/3 nodes are available: 3 Insufficient memory."
    );
    let scale = event("TriggeredScaleUp", "pod triggered scale-up: [{builds 1->2 (max: 9)}]", MADE);
    assert_eq!(words(&lonely, &[scale], PATIENCE), None);
}

#[test]
fn what_keeps_a_pod_from_starting_is_told_in_its_words() {
    let creating = pod(json!({"phase": "Pending", "conditions": scheduled("False"),
        "initContainerStatuses": [waiting("pilotfish-inject", "PodInitializing", "")]}));
    let mount = event("FailedMount", "MountVolume.SetUp failed: secret \"push\" not found", MADE);
    assert_eq!(words(&creating, std::slice::from_ref(&mount), Duration::ZERO), None);
    assert_eq!(
        words(&creating, &[mount], PATIENCE).unwrap(),
        "FailedMount: MountVolume.SetUp failed: secret \"push\" not found"
    );
    let dead = pod(json!({"phase": "Running", "conditions": scheduled("False"),
        "containerStatuses": [status_of("jnlp", json!({"terminated": {"exitCode": 2,
            "reason": "Error", "message": "no URL"}}), false)]}));
    let told = words(&dead, &[], Duration::ZERO).unwrap();
    assert_eq!(told, "Error: container jnlp ended with 2: no URL");
    let evicted = pod(json!({"phase": "Failed", "reason": "Evicted", "message": "low on memory"}));
    assert_eq!(words(&evicted, &[], Duration::ZERO).unwrap(), "Evicted: low on memory");
    let long = pod(json!({"phase": "Failed", "reason": "Evicted", "message": "é".repeat(9_000)}));
    assert!(words(&long, &[], Duration::ZERO).unwrap().len() < 2_100);
}

#[test]
fn refusals_say_what_to_do() {
    let refused = |message: &str| {
        let error = ClusterError::Refused {
            action: "create the pod".into(),
            code: 403,
            message: message.into(),
        };
        error.to_string()
    };
    assert!(refused("exceeded quota: builds").ends_with("have the quota raised"));
    assert!(refused("violates PodSecurity \"restricted\"").contains("`pod_security`"));
    assert!(refused("namespaces \"x\" not found").contains("make the namespace"));
    assert_eq!(refused("no"), "the cluster refused to create the pod: no");
}

fn read(files: &[(&str, &str)]) -> Result<Clusters, String> {
    let place = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(place.path().join(name), text).unwrap();
    }
    let told = |error: crate::BridgeError| {
        error.to_string().replace(&format!("{}/", place.path().display()), "")
    };
    Clusters::read(&place.path().join("clusters.yaml")).map_err(told)
}

const PROFILE: &str =
    "api: pilotfish/v1\nkind: pod-profile\nname: fast\nnamespace: builds\ncluster: one\n";

#[test]
fn a_file_of_clusters_says_whose_pods_go_where() {
    let text = "api: pilotfish/v1\nkind: clusters\nclusters: {one: {context: build-1, kubeconfig: kube}}\n\
        profiles: [fast.yaml]\ncontrollers: {main: fast}\n";
    let clusters = read(&[("clusters.yaml", text), ("fast.yaml", PROFILE)]).unwrap();
    assert_eq!(clusters.of_controller("main").unwrap().name.as_str(), "fast");
    assert!(clusters.of_controller("second").is_none());
    let [(name, settings, namespaces)] = &clusters.in_use()[..] else { panic!() };
    assert_eq!((name.as_str(), settings.context.as_deref()), ("one", Some("build-1")));
    assert!(settings.kubeconfig.as_ref().unwrap().is_absolute());
    assert_eq!(namespaces, &[Some("builds".to_owned())]);
    // Without the file, the name is one of a context.
    let profile = clusters.of_controller("main").unwrap();
    assert_eq!(Clusters::default().settings_of(profile).context.as_deref(), Some("one"));
}

#[test]
fn mistakes_in_a_file_of_clusters_are_told_at_once() {
    let text = "api: pilotfish/v1\nkind: clusters\nclusters: {won: {in_cluster: true, context: a}}\n\
        profiles: [fast.yaml, again.yaml]\ncontrollers: {main: fats}\n";
    let told = read(&[("clusters.yaml", text), ("fast.yaml", PROFILE), ("again.yaml", PROFILE)]);
    insta::assert_snapshot!(told.unwrap_err());
    let unknown = "api: pilotfish/v1\nkind: clusters\nclusters: {one: {contxt: a}}\n";
    assert!(read(&[("clusters.yaml", unknown)]).unwrap_err().contains("did you mean `context`?"));
}

#[test]
fn the_example_is_read() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/clusters.yaml");
    let clusters = Clusters::read(&path).unwrap();
    assert_eq!(clusters.in_use().len(), 2);
}

fn of_one_pipeline() -> Images {
    let images = ["agent:1", "tool:1", "db:17"].map(str::to_owned);
    Images::from([("web service".to_owned(), images.into_iter().collect())])
}

#[test]
fn images_are_kept_by_a_cache_of_each_pipeline() {
    let settings: ImageSettings = serde_json::from_value(json!({"type": "image-cache",
        "size_gb": 40, "retention_days": 30, "secrets": ["builds:read"]}))
    .unwrap();
    insta::assert_json_snapshot!(settings.objects(&of_one_pipeline(), "agent:1"));
}

#[test]
fn images_are_pulled_on_ordinary_nodes_by_containers_that_end_at_once() {
    let settings: ImageSettings = serde_json::from_value(json!({"type": "prepull",
        "namespace": "builds", "node_selector": {"pool": "builds"}, "tolerations": ["builds"]}))
    .unwrap();
    insta::assert_json_snapshot!(settings.objects(&of_one_pipeline(), "agent:1"));
    assert!(settings.objects(&Images::new(), "agent:1").is_empty());
}

#[test]
fn what_an_image_cache_does_not_take_is_refused() {
    let text = "api: pilotfish/v1\nkind: clusters\nclusters: {one: {images: {type: image-cache, \
        size_gb: 10, retention_days: 0, secrets: [read]}}, two: {images: {type: prepull, namespace: A}}}\n";
    let told = read(&[("clusters.yaml", text)]).unwrap_err();
    for part in [
        "size_gb: 10 is refused: expected 20 to 32768",
        "retention_days: 0",
        "namespace:name",
        "\"A\" is no name",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
}

#[test]
fn how_images_came_is_read_from_the_events_of_the_kubelet() {
    let pulled = |message: &str| event("Pulled", message, MADE);
    let events = [
        pulled("Container image \"agent:1\" already present on machine"),
        pulled(
            "Successfully pulled image \"r.example.com/tool:1\" in 1m2.5s (1m4s including waiting). Image size: 386 bytes.",
        ),
        pulled(
            "Container image \"r.example.com/tool:1\" already present on machine and can be accessed by the pod",
        ),
        pulled("Successfully pulled image \"small:1\" in 350ms"),
        pulled("Successfully pulled image \"odd:1\" in a while"),
        pulled("Pulled"),
        event("Failed", "Failed to pull image \"none:1\": no", MADE),
    ];
    let told: Vec<_> =
        image_starts(&events).into_iter().map(|one| (one.image, one.pull_ms)).collect();
    let expected =
        [("agent:1", None), ("r.example.com/tool:1", Some(62_500)), ("small:1", Some(350))];
    assert_eq!(told, expected.map(|(image, ms)| (image.to_owned(), ms)));
}

#[test]
fn a_pod_that_waits_is_looked_at_ever_more_rarely() {
    let begun = tokio::time::Instant::now();
    let mut looks = Looks::since(begun);
    let mut at = Vec::new();
    for _ in 0..7 {
        at.push((looks.next() - begun).as_secs());
        looks.looked(looks.next());
    }
    assert_eq!(at, [25, 30, 40, 60, 100, 160, 220]);
}

#[test]
fn a_pod_goes_once_its_agent_has_ended_and_not_before() {
    let ended = json!({"terminated": {"exitCode": 0}});
    let with = |phase: &str, agent: Value| {
        pod(json!({"phase": phase, "containerStatuses": [running("tool", MADE, true),
            status_of("jnlp", agent, false)]}))
    };
    let runs = json!({"running": {"startedAt": MADE}});
    assert_eq!(over(&with("Running", runs.clone())), None);
    assert_eq!(over(&with("Pending", json!({"waiting": {"reason": "PodInitializing"}}))), None);
    assert_eq!(over(&pod(json!({"phase": "Pending"}))), None);
    assert_eq!(over(&with("Running", ended.clone())), Some("its agent has ended"));
    assert_eq!(over(&with("Succeeded", ended.clone())), Some("it succeeded"));
    // Evicted, with the statuses that it had.
    assert_eq!(over(&with("Failed", runs)), Some("it failed"));
    let mut kept = with("Succeeded", ended);
    let mark = (KEEP.to_owned(), "true".to_owned());
    kept.metadata.annotations = Some([mark].into_iter().collect());
    assert_eq!(over(&kept), None);
}
