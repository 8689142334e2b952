//! Fencing on a real API server: a build whose master is lost is run again once its pod is deleted and gone, and not
//! before, however long that takes.

use std::net::TcpListener;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pilotfish_bridge::rest::{JobName, RestError};
use pilotfish_kubernetes::BUSYBOX;
use serde_json::{Value, json};

use crate::support::chart::account_of_the_bridge;
use crate::support::front::Front;
use crate::support::process::Process;
use crate::support::{Namespace, cluster};

/// What holds a pod, as a node that is away does.
const FINALIZER: &str = "tests.pilotfish.io/held";

/// Plays the library of a build: it asks for its plan, and has the pod that the bridge says, but for what runs in
/// it. The name of the pod.
fn pod_of(front: &Front, namespace: &Namespace<'_>, number: u32, master: &str) -> String {
    let job = JobName::parse("web").unwrap();
    let build = front.runtime.block_on(Front::master(master).build(&job, number.into())).unwrap();
    let digest = build.parameters.iter().find(|one| one.name == "PILOTFISH_PLAN").unwrap();
    let token = std::fs::read_to_string(front.path("north-token")).unwrap();
    let query =
        json!({"controller": "north", "job": "web", "build": number, "digest": digest.value});
    let answer = front.ask_as(&token, "/v1/plans", Some(&query)).unwrap();
    let payload = STANDARD.decode(answer["signed"]["payload"].as_str().unwrap()).unwrap();
    let signed: Value = serde_json::from_slice(&payload).unwrap();
    let name = format!("build-{number}");
    let mut pod = signed["pod"]["manifest"].clone();
    pod["metadata"]["name"] = json!(name);
    // It does not mind being told to end.
    pod["spec"] = json!({
        "terminationGracePeriodSeconds": 3,
        "securityContext": {"runAsNonRoot": true, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "jnlp", "image": BUSYBOX,
            "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
            "securityContext": {"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}}}],
    });
    namespace.create(&pod);
    name
}

fn is_there(namespace: &Namespace<'_>, pod: &str) -> bool {
    !namespace
        .kubectl(&["get", "pod", pod, "--ignore-not-found", "--output=name"])
        .unwrap()
        .is_empty()
}

/// A master whose builds have one stage that takes so long.
fn start(front: &Front, name: &str, port: u16, bridge: &str, ms: &str) -> (Process, String) {
    let token = front.path(&format!("{name}-token")).display().to_string();
    let bridge = ["--bridge", bridge, "--bridge-token", &token];
    let stages = ["--stages", "1", "--stage-least-ms", ms, "--stage-most-ms", ms];
    front.start_master(name, &format!("127.0.0.1:{port}"), &[&bridge[..], &stages].concat())
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn a_started_build_is_run_again_once_its_pod_is_seen_gone_and_not_before() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    let rights = [format!("rbac.makePods={{{}}}", namespace.name)];
    let account = account_of_the_bridge(&namespace, &rights);
    let mut front = Front::new(&["north", "south"], &[]);
    let port = || TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let (bridge_port, south_port) = (port(), port());
    let bridge_url = format!("http://127.0.0.1:{bridge_port}");
    // What was begun on this one does not end by itself.
    let (mut north, north_url) = start(&front, "north", 0, &bridge_url, "600000");
    let south_url = format!("http://127.0.0.1:{south_port}/");
    front.write_masters(
        &[("north", &north_url), ("south", &south_url)],
        &json!({"permission": "full", "labels": ["linux"]}),
    );
    front.write_cluster(&namespace, &account, &json!({"north": "tests", "south": "tests"}));
    let _bridge = front.start_bridge(&format!("127.0.0.1:{bridge_port}"), &[]);
    let log = front.log();
    let job = json!({"name": "web", "pipeline": "three", "labels": ["linux"], "on_lost": "rerun"});
    front.ask("/v1/jobs", Some(&job)).unwrap();
    // The other one is not there yet: both builds are where they are to be.
    front.until("/v1/masters", &log, |all| all[0]["refusal"].is_null());
    let mut builds = Vec::new();
    for number in [1, 2] {
        let asked = front.ask("/v1/builds", Some(&json!({"job": "web"}))).unwrap();
        let path = format!("/v1/builds/{}", asked["id"].as_str().unwrap());
        let running = front.until(&path, &log, |one| one["state"] == "running");
        assert_eq!(running["master"], "north");
        assert!(running["url"].as_str().unwrap().ends_with(&format!("/{number}/")), "{running}");
        builds.push((path, pod_of(&front, &namespace, number, &north_url)));
    }
    let [(one, pod), (held, held_pod)] = &builds[..] else { panic!("{builds:?}") };
    let hold = |finalizers: &Value| {
        let patch = json!({"metadata": {"finalizers": finalizers}}).to_string();
        namespace.kubectl(&["patch", "pod", held_pod, "--type=merge", "--patch", &patch]).unwrap();
    };
    hold(&json!([FINALIZER]));
    for name in [pod, held_pod] {
        namespace
            .kubectl(&["wait", "--for=condition=Ready", "--timeout=60s", "pod", name])
            .unwrap();
    }
    let (_south, _) = start(&front, "south", south_port, &bridge_url, "100");
    front.until("/v1/masters", &log, |all| all[1]["refusal"].is_null());

    north.kill();
    // What is asked first is at least as old: a build that is elsewhere has no pod any more.
    let ended = front.until(one, &log, |build| {
        let moved = build["master"] != "north";
        assert!(
            !moved || !is_there(&namespace, pod),
            "it was moved while its pod was there: {build}"
        );
        build["result"] == "SUCCESS"
    });
    assert_eq!(ended["master"], "south");
    assert!(is_there(&namespace, held_pod));
    let unknown = front.until(held, &log, |build| {
        assert_eq!(build["master"], "north", "{build}");
        build["reason"].as_str().is_some_and(|why| why.contains("is deleted and not gone"))
    });
    assert_eq!(unknown["state"], "unknown", "{unknown}");
    let second = |number| {
        let south = Front::master(&south_url);
        front.runtime.block_on(south.build(&JobName::parse("web").unwrap(), number))
    };
    second(1).unwrap();
    assert!(matches!(second(2), Err(RestError::Missing { .. })), "it ran elsewhere");

    // Once it is gone it is run again.
    hold(&json!(null));
    let ended = front.until(held, &log, |build| build["result"] == "SUCCESS");
    assert_eq!(ended["master"], "south");
    second(2).unwrap();
}
