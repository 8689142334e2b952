//! The chart: what a real API server says to what it renders, and the service and the operator that it
//! installs on a real node.

use std::process::Command;

use pilotfish_images::{Flavour, Image, Programs};
use pilotfish_kubernetes::Cluster;
use serde_json::{Value, json};

use crate::support::masters::{
    comes, definitions, image, json_of, master, remove_volumes, secrets, volumes,
};
use crate::support::{Namespace, cluster, given, repository};

/// Name of the release, and of what it installs.
const RELEASE: &str = "pilotfish-bridge";

/// Helm on the chart.
fn helm(namespace: &Namespace<'_>, command: &[&str], values: &str, more: &[String]) -> String {
    let chart = repository("integration/charts/pilotfish-bridge");
    let dir = tempfile::tempdir().unwrap();
    let mut helm = Command::new(given("PILOTFISH_TEST_HELM"));
    helm.args(command).arg(&chart).args(["--namespace", &namespace.name]);
    helm.arg("--values").arg(chart.join("ci").join(values)).args(more);
    helm.env("KUBECONFIG", namespace.cluster.state().kubeconfig());
    for variable in ["HELM_CACHE_HOME", "HELM_CONFIG_HOME", "HELM_DATA_HOME"] {
        helm.env(variable, dir.path());
    }
    let output = helm.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let told = || {
        let pods = namespace.kubectl(&["describe", "pods"]).unwrap_or_default();
        let logs =
            namespace.kubectl(&["logs", "--selector", "app.kubernetes.io/name=pilotfish-bridge"]);
        format!("{pods}\n{}", logs.unwrap_or_default())
    };
    assert!(output.status.success(), "{command:?}: {}\n{}", text(&output.stderr), told());
    text(&output.stdout)
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn the_api_server_takes_what_the_chart_renders() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    let own = ["watchPods", "makePods", "keepImages"];
    let own: Vec<String> =
        own.iter().map(|key| format!("--set=rbac.{key}={{{}}}", namespace.name)).collect();
    for (values, kind) in [("sqlite.yaml", "StatefulSet"), ("everything.yaml", "Deployment")] {
        helm(&namespace, &["lint", "--strict"], values, &own);
        // Helm asks no server here.
        let own = [&own[..], &["--kube-version=1.34.4".to_owned()]].concat();
        let text = helm(&namespace, &["template", RELEASE], values, &own);
        let taken = namespace.apply(&["--dry-run=server", "--output=json"], &text);
        let list: Value = serde_json::from_str(&taken.unwrap()).unwrap();
        let items = list["items"].as_array().unwrap();
        let running: Vec<&Value> =
            items.iter().filter(|one| one["spec"]["template"].is_object()).collect();
        assert!(running.iter().any(|one| one["kind"] == kind), "{values}");
        for one in running {
            // The namespace takes the pods, too, whose account is not there in a dry run.
            let mut spec = one["spec"]["template"]["spec"].clone();
            for account in ["serviceAccount", "serviceAccountName"] {
                spec[account] = json!("default");
            }
            // Nor are the volumes that a StatefulSet has made.
            let made = one["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten();
            let made = made.map(|claim| json!({"name": claim["metadata"]["name"], "emptyDir": {}}));
            let made: Vec<Value> = made.collect();
            spec["volumes"].as_array_mut().into_iter().for_each(|all| all.extend(made.clone()));
            let pod =
                json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec});
            namespace.apply(&["--dry-run=server"], &pod.to_string()).unwrap();
        }
    }
}

/// The image of the service, given to the node.
fn bridge_image(cluster: &Cluster) {
    let flavour = Flavour::Bridge;
    let programs = Programs { own: &given("PILOTFISH_TEST_BRIDGE"), busybox: None };
    let mut image = Image::new(flavour.config("test", "test"), 0);
    let layer = flavour.layer(programs);
    image.layer("pilotfish-kubernetes", |writer| layer.write_to(writer, 0)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let archive = dir.path().join("bridge.tar");
    image.write(&archive, "localhost/pilotfish-bridge:test").unwrap();
    cluster.import(&archive).unwrap();
}

/// What the bridge prints.
fn bridge(arguments: &[&str]) -> String {
    let output = Command::new(given("PILOTFISH_TEST_BRIDGE")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn the_chart_installs_the_service_and_the_operator() {
    let cluster = cluster();
    if !cluster.has_node() {
        return;
    }
    let namespace = Namespace::enforcing(&cluster, "restricted");
    definitions(&cluster);
    bridge_image(&cluster);
    image(&cluster);
    volumes(&namespace, 2);
    secrets(&namespace);
    let dir = tempfile::tempdir().unwrap();
    let (key, tokens) = (dir.path().join("signing.pem"), dir.path().join("tokens.yaml"));
    bridge(&["keygen", key.to_str().unwrap()]);
    let made = bridge(&["token", "tests", "--scope", "plans:preview"]);
    let entry = made.lines().last().unwrap();
    std::fs::write(&tokens, format!("tokens:\n{entry}\n")).unwrap();
    for (name, file) in [("signing", &key), ("tokens", &tokens)] {
        let from = format!("--from-file={}", file.display());
        namespace.kubectl(&["create", "secret", "generic", name, &from]).unwrap();
    }
    let from = format!("--from-file={}", repository("integration/kubernetes/catalog").display());
    namespace.kubectl(&["create", "configmap", "catalog", &from]).unwrap();
    let settings = [
        "image.repository=localhost/pilotfish-bridge".to_owned(),
        "image.tag=test".to_owned(),
        "image.pullPolicy=Never".to_owned(),
        format!("database.sqlite.storageClass={}", namespace.name),
        "database.sqlite.size=1Gi".to_owned(),
        "operator.enabled=true".to_owned(),
        "operator.replicas=1".to_owned(),
        format!("operator.namespace={}", namespace.name),
    ];
    let settings: Vec<String> = settings.iter().map(|one| format!("--set={one}")).collect();
    let install = ["install", "--wait", "--timeout=120s", RELEASE];
    let notes = helm(&namespace, &install, "sqlite.yaml", &settings);
    assert!(notes.contains("It has one replica on SQLite."), "{notes}");
    // It answers through its service.
    let path =
        format!("/api/v1/namespaces/{}/services/{RELEASE}:bridge/proxy/healthz", namespace.name);
    let health: Value =
        serde_json::from_str(&cluster.kubectl(&["get", "--raw", &path]).unwrap()).unwrap();
    assert_eq!(health["status"], "ok", "{health}");
    // The roles of the operator are enough to make a master and to let it go.
    master(&namespace, "north");
    comes(&namespace, "north", ".status.phase", "Running");
    let lease = json_of(&namespace, &["get", "lease", "pilotfish-operator"]);
    let holder = lease["spec"]["holderIdentity"].as_str().unwrap().to_owned();
    assert!(holder.starts_with("pilotfish-bridge-operator-"), "{holder}");
    namespace.kubectl(&["delete", "jenkinscontroller", "north", "--timeout=60s"]).unwrap();
    remove_volumes(&namespace, 2);
}
