//! Many builds at once, and what the bridge needs to make their pods.

use pilotfish_bridge::catalog::{Catalog, shipped};
use pilotfish_bridge::plan::{PlanRequest, Prepared, Selection};
use pilotfish_bridge::pod::{PodRequest, Profile, RenderedPod, render};
use pilotfish_kubernetes::FAKE;
use serde_json::{Value, json};

/// Pods of so many builds of the static site, for fake nodes.
pub fn pods(namespace: &str, count: usize) -> Vec<RenderedPod> {
    let catalog = Catalog::from_files(&shipped::files()).unwrap();
    let prepared = Prepared::new(&catalog, "static-site", &Selection::default()).unwrap();
    let parameters = json!({"repository": "https://git.example.com/site.git", "revision": "main"});
    let parameters = serde_json::from_value(parameters).unwrap();
    let request = PlanRequest { parameters, ..PlanRequest::default() };
    let document = prepared.plan(&request).unwrap().into_document();
    let profile = json!({
        "api": "pilotfish/v1", "kind": "pod-profile", "name": "fake", "namespace": namespace,
        "node_selector": {FAKE: "fake"}, "tolerations": [{"key": FAKE}],
    });
    let profile = Profile::read("fake", &profile.to_string()).unwrap();
    let pod = |number: usize| {
        let request = PodRequest {
            plan: &document.plan,
            digest: &document.digest,
            profile: &profile,
            build: &format!("site#{number}"),
            id: None,
            agent: None,
            sizes: None,
            through_plugin: false,
            runner: None,
        };
        render(&request).unwrap()
    };
    (0..count).map(pod).collect()
}

/// What the bridge has to be allowed to do in a namespace.
pub fn rights_of_the_bridge() -> Value {
    json!([
        {"apiGroups": [""], "resources": ["pods"],
            "verbs": ["create", "delete", "get", "list", "watch"]},
        {"apiGroups": [""], "resources": ["events"], "verbs": ["list"]},
        {"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["create"]},
    ])
}
