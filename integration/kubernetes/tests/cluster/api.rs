//! What a real API server says to what the bridge makes. No node is needed.

use std::sync::Once;

use serde_json::json;

use crate::support::{Namespace, cluster, repository};

/// The pods that the bridge's own tests pin down.
fn golden_pods() -> Vec<(String, String)> {
    let dir = repository("jenkins-plugin-bridge/src/pod/snapshots");
    let mut found = Vec::new();
    for entry in dir.read_dir().unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        // Behind the two lines with which insta begins a snapshot.
        let (_, yaml) = text.trim_start_matches("---\n").split_once("\n---\n").unwrap();
        if yaml.starts_with("apiVersion: v1\nkind: Pod\n") {
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            // Each goes into a namespace of the test.
            found.push((name, yaml.replace("\n  namespace: builds\n", "\n")));
        }
    }
    found.sort();
    found
}

/// A namespace with what the pods of the examples ask for.
fn furnished<'a>(cluster: &'a pilotfish_kubernetes::Cluster, standard: &str) -> Namespace<'a> {
    let namespace = Namespace::enforcing(cluster, standard);
    namespace.create(&json!({"apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "builds"}}));
    // It belongs to the cluster, not to the namespace: two tests at once would both find it missing.
    static PRIORITY: Once = Once::new();
    PRIORITY.call_once(|| {
        namespace.create(&json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": {"name": "builds"}, "value": 1000}));
    });
    namespace
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn the_api_server_admits_the_pods_that_the_bridge_makes() {
    let cluster = cluster();
    let restricted = furnished(&cluster, "restricted");
    let baseline = furnished(&cluster, "baseline");
    let pods = golden_pods();
    assert!(pods.len() >= 6, "{} snapshots", pods.len());
    let mut refused = Vec::new();
    for (name, yaml) in &pods {
        // Only what builds images needs more than the strictest standard.
        let builds_images = yaml.contains("mountPath: /run/pilotfish/exec/kaniko");
        let namespace = if builds_images { &baseline } else { &restricted };
        if let Err(why) = namespace.apply(&["--dry-run=server"], yaml) {
            refused.push(format!("{name}: {why}"));
        }
        if builds_images {
            let why = restricted.apply(&["--dry-run=server"], yaml).unwrap_err();
            assert!(why.contains("violates PodSecurity \"restricted:latest\""), "{name}: {why}");
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n"));
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn a_restricted_namespace_refuses_what_the_bridge_never_makes() {
    let cluster = cluster();
    let namespace = furnished(&cluster, "restricted");
    let (_, yaml) = golden_pods().swap_remove(0);
    for (is, should_not_be, said) in [
        ("runAsNonRoot: true", "runAsNonRoot: false", "runAsNonRoot != true"),
        (
            "allowPrivilegeEscalation: false",
            "allowPrivilegeEscalation: true",
            "allowPrivilegeEscalation != false",
        ),
        ("type: RuntimeDefault", "type: Unconfined", "seccompProfile"),
    ] {
        assert!(yaml.contains(is), "{is}");
        let worse = yaml.replace(is, should_not_be);
        let why = namespace.apply(&["--dry-run=server"], &worse).unwrap_err();
        assert!(why.contains("violates PodSecurity") && why.contains(said), "{why}");
    }
}
