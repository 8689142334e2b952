//! The operator on a real node: simulated masters are made, changed one at a time, kept before, put back
//! and deleted. No real Jenkins is run here.

use std::process::Command;

use serde_json::{Value, json};

use crate::declared::{Declared, is_given_builds, is_held, reach};
use crate::support::masters::{
    comes, definitions, directory, image, json_of, master, remove_volumes, secrets, volumes,
};
use crate::support::process::Process;
use crate::support::{Namespace, cluster, given};

/// A replica of the operator, as a process of this machine.
fn operator(namespace: &Namespace<'_>) -> Process {
    let mut operator = Command::new(given("PILOTFISH_TEST_BRIDGE"));
    operator.args(["operator", "--namespace", &namespace.name]);
    operator.args(["--lease-namespace", &namespace.name]);
    operator.env("KUBECONFIG", namespace.cluster.state().kubeconfig());
    Process::start(&mut operator, &namespace.cluster.state().path("log/operator.log"))
}

/// Asks for another version of the plugin by which masters here differ.
fn ask(namespace: &Namespace<'_>, name: &str, version: &str) {
    let patch = json!({"spec": {"plugins": {"format": version}}}).to_string();
    let arguments = ["patch", "jenkinscontroller", name, "--type=merge", "--patch", &patch];
    namespace.kubectl(&arguments).unwrap();
}

fn condition(namespace: &Namespace<'_>, name: &str, kind: &str) -> Value {
    let master = json_of(namespace, &["get", "jenkinscontroller", name]);
    let all = master["status"]["conditions"].as_array().unwrap().clone();
    all.into_iter().find(|one| one["type"] == kind).unwrap()
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn masters_are_made_changed_one_at_a_time_kept_put_back_and_deleted() {
    let cluster = cluster();
    if !cluster.has_node() {
        return;
    }
    definitions(&cluster);
    let namespace = Namespace::enforcing(&cluster, "restricted");
    image(&cluster);
    volumes(&namespace, 5);
    secrets(&namespace);
    let mut operators = vec![operator(&namespace)];

    // Made, and healthy.
    master(&namespace, "north");
    master(&namespace, "south");
    for name in ["north", "south"] {
        comes(&namespace, name, ".status.phase", "Running");
    }
    assert_eq!(condition(&namespace, "north", "Ready")["status"], "True");
    // They are masters of a bridge, by nothing but their resources.
    ["north", "south"].iter().for_each(|name| reach(&namespace, name));
    let bridge = Declared::start(&namespace);
    bridge.has_least_rights(&namespace);
    bridge.until(&["north", "south"], |_, one| is_given_builds(one));
    operators.push(operator(&namespace));

    // Two others are asked for, and there is one.
    ask(&namespace, "north", "2");
    comes(&namespace, "north", ".status.phase", "Waiting");
    let waiting = condition(&namespace, "north", "Progressing");
    let expected = format!(
        "every label needs 2 other healthy masters: docker, linux has only {}/south",
        namespace.name
    );
    assert_eq!(waiting["message"], expected.as_str());
    let first = json_of(&namespace, &["get", "pod", "north-0"])["metadata"]["uid"].clone();

    // With a third one the change goes through; the home was kept before.
    master(&namespace, "east");
    comes(&namespace, "north", ".status.phase", "BackingUp");
    bridge.until(&["east", "north", "south"], |name, one| name != "north" || is_held(one));
    comes(&namespace, "north", ".status.phase", "Running");
    let now = json_of(&namespace, &["get", "pod", "north-0"])["metadata"]["uid"].clone();
    assert_ne!(now, first);
    let home = directory(&namespace, "north-home");
    let format = || std::fs::read_to_string(home.join("format")).unwrap();
    assert_eq!(format(), "2\n");
    let backup =
        json_of(&namespace, &["get", "jenkinscontroller", "north"])["status"]["backup"].clone();
    let archive = format!("{}.tar.gz", backup["name"].as_str().unwrap());
    assert!(directory(&namespace, "north-backups").join(archive).exists(), "{backup}");

    // One that does not start is put back with its home, which it had already changed.
    let revision =
        json_of(&namespace, &["get", "jenkinscontroller", "north"])["status"]["revision"].clone();
    ask(&namespace, "north", "3");
    comes(&namespace, "north", ".status.phase", "Reverting");
    assert_eq!(format(), "3\n");
    comes(&namespace, "north", ".status.phase", "Running");
    assert_eq!(format(), "2\n");
    let status = json_of(&namespace, &["get", "jenkinscontroller", "north"])["status"].clone();
    assert_eq!(status["revision"], revision);
    assert_eq!(status["ready"], true);
    let degraded = condition(&namespace, "north", "Degraded");
    assert_eq!(degraded["reason"], "RolledBack");
    let why = degraded["message"].as_str().unwrap();
    assert!(why.contains("container jenkins does not start (CrashLoopBackOff)"), "{why}");
    let events =
        json_of(&namespace, &["get", "events", "--field-selector=involvedObject.name=north"]);
    let events = events["items"].as_array().unwrap();
    for reason in ["Creating", "Waiting", "BackingUp", "Starting", "Reverting", "Restoring"] {
        assert!(events.iter().any(|one| one["reason"] == reason), "{reason} is in no event");
    }

    // It is given builds again; of the third nobody has said how it is reached.
    bridge.until(&["east", "north", "south"], |name, one| name == "east" || is_given_builds(one));

    // A killed leader is replaced, and a master that is deleted leaves its home.
    drop(operators.remove(0));
    let gone = ["delete", "jenkinscontroller", "south", "--timeout=60s"];
    namespace.kubectl(&gone).unwrap();
    // It goes by the collector, a moment after its pod.
    namespace.kubectl(&["wait", "--for=delete", "statefulset/south", "--timeout=30s"]).unwrap();
    namespace.kubectl(&["get", "pvc", "south-home"]).unwrap();
    bridge.until(&["east", "north"], |_, _| true);
    let delete = json!({"spec": {"deletion": "delete"}}).to_string();
    namespace
        .kubectl(&["patch", "jenkinscontroller", "east", "--type=merge", "--patch", &delete])
        .unwrap();
    namespace.kubectl(&["delete", "jenkinscontroller", "east", "--timeout=60s"]).unwrap();
    namespace.kubectl(&["wait", "--for=delete", "pvc/east-home", "--timeout=30s"]).unwrap();

    // None that is left keeps its namespace from going.
    namespace.kubectl(&["delete", "jenkinscontroller", "--all", "--timeout=60s"]).unwrap();
    remove_volumes(&namespace, 5);
}

/// The kind of clusters of Cluster API, as far as it is looked at.
fn cluster_api() -> Value {
    let any = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "clusters.cluster.x-k8s.io",
            "annotations": {"api-approved.kubernetes.io": "https://github.com/kubernetes-sigs/cluster-api"}},
        "spec": {
            "group": "cluster.x-k8s.io", "scope": "Namespaced",
            "names": {"kind": "Cluster", "plural": "clusters"},
            "versions": [{"name": "v1beta1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": any, "status": any}}}}],
        },
    })
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn a_place_for_builds_is_made_once_its_cluster_is_ready_and_goes_with_its_resource() {
    let cluster = cluster();
    definitions(&cluster);
    let namespace = Namespace::enforcing(&cluster, "restricted");
    namespace.create(&cluster_api());
    cluster
        .kubectl(&["wait", "--for=condition=Established", "crd/clusters.cluster.x-k8s.io"])
        .unwrap();
    let _operator = operator(&namespace);
    let builds = format!("{}-builds", namespace.name);
    namespace.create(&json!({"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster",
        "metadata": {"name": "frankfurt"}}));
    let place = |name: &str, target: &str, reference: Value| {
        namespace.create(&json!({
            "apiVersion": "pilotfish.io/v1alpha1", "kind": "BuildCluster", "metadata": {"name": name},
            "spec": {
                "clusterRef": reference, "namespace": target, "deletion": "delete",
                "quota": {"pods": "20"}, "limits": {"defaultRequests": {"cpu": "10m", "memory": "16Mi"}},
                "access": [{"kind": "User", "name": "the-bridge"}],
                "images": {"keeper": "prepull", "agent": "agent:1", "images": ["gradle:8"]},
                "nodes": {"selector": {"no": "such-node"}},
            },
        }));
    };
    let reason = |name: &str, kind: &str, reason: &str| {
        let path = format!("{{.status.conditions[?(@.type==\"{kind}\")].reason}}");
        let condition = format!("--for=jsonpath={path}={reason}");
        let resource = format!("buildcluster/{name}");
        if let Err(why) = namespace.kubectl(&["wait", &condition, "--timeout=60s", &resource]) {
            let log = namespace.cluster.state().path("log/operator.log");
            let log = std::fs::read_to_string(log).unwrap_or_default();
            panic!("{why}\n{}\n{log}", namespace.kubectl(&["describe", "buildclusters"]).unwrap());
        }
    };
    let reference =
        json!({"apiVersion": "cluster.x-k8s.io/v1beta1", "kind": "Cluster", "name": "frankfurt"});
    place("frankfurt", &builds, reference);
    reason("frankfurt", "Progressing", "WaitingForCluster");
    assert!(cluster.kubectl(&["get", "namespace", &builds]).is_err());
    // What Cluster API writes when the cluster is there: here it is this one.
    let kubeconfig = format!("--from-file=value={}", cluster.state().kubeconfig().display());
    namespace
        .kubectl(&["create", "secret", "generic", "frankfurt-kubeconfig", &kubeconfig])
        .unwrap();
    let ready =
        json!({"status": {"conditions": [{"type": "Ready", "status": "True"}]}}).to_string();
    let patch =
        ["patch", "cluster.cluster.x-k8s.io", "frankfurt", "--subresource=status", "--type=merge"];
    namespace.kubectl(&[&patch[..], &["--patch", &ready]].concat()).unwrap();
    reason("frankfurt", "Ready", "Furnished");

    let inside = |arguments: &[&str]| {
        cluster
            .kubectl(&[&["--namespace", &builds], arguments].concat())
            .map_err(|one| one.to_string())
    };
    let labels =
        inside(&["get", "namespace", &builds, "--output=jsonpath={.metadata.labels}"]).unwrap();
    assert!(labels.contains("\"pod-security.kubernetes.io/enforce\":\"restricted\""), "{labels}");
    for object in [
        "resourcequota/pilotfish-builds",
        "limitrange/pilotfish-builds",
        "networkpolicy/pilotfish-builds-closed",
        "networkpolicy/pilotfish-builds-egress",
        "daemonset/pilotfish-prepull",
    ] {
        inside(&["get", object]).unwrap();
    }
    inside(&["auth", "can-i", "create", "pods", "--as=the-bridge"]).unwrap();
    assert!(inside(&["auth", "can-i", "get", "secrets", "--as=the-bridge"]).is_err());
    assert!(inside(&["auth", "can-i", "create", "pods", "--as=somebody"]).is_err());
    namespace.kubectl(&["get", "configmap", "frankfurt-pod-profile"]).unwrap();

    // A namespace of somebody else is left alone.
    place("other", &namespace.name, Value::Null);
    reason("other", "Degraded", "NamespaceTaken");
    for name in ["other", "frankfurt"] {
        namespace.kubectl(&["delete", "buildcluster", name, "--timeout=30s"]).unwrap();
    }
    cluster
        .kubectl(&["wait", "--for=delete", &format!("namespace/{builds}"), "--timeout=60s"])
        .unwrap();
    namespace.kubectl(&["get", "namespace", &namespace.name]).unwrap();
    cluster.kubectl(&["delete", "crd", "clusters.cluster.x-k8s.io", "--wait=false"]).unwrap();
}
