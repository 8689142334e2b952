//! Simulated masters as the operator makes them: their image, their volumes, and waiting for them.

use std::path::{Path, PathBuf};

use pilotfish_images::{Config, Layer, USER, accounts, busybox_layer};
use pilotfish_kubernetes::Cluster;
use serde_json::{Value, json};

use super::images::{BUSYBOX, applets, give};
use super::{Namespace, apply, given, repository};

/// Starts as the official image does, and reads no home of a newer one.
const MASTER: &str = r#"#!/bin/sh
set -eu
found=$(cat "$JENKINS_HOME/format" 2>/dev/null || echo 0)
format=$(cat "$JENKINS_HOME/plugins/format.jpi")
if [ "$found" -gt "$format" ]; then echo "the home is of a newer one: $found"; exit 1; fi
grep -q numExecutors "$CASC_JENKINS_CONFIG/jenkins.yaml"
echo "$format" >"$JENKINS_HOME/format"
if [ "$format" = 3 ]; then echo "it does not start"; exit 1; fi
printf %s "$BRIDGE_TOKEN" >/tmp/token
pilotfish-fleet master --name "$PILOTFISH_CONTROLLER" --listen 0.0.0.0:8080 \
    --home "$JENKINS_HOME" --user bridge:full:/tmp/token &
trap 'kill $!' TERM
wait $!
"#;
/// Stands for the program of the official image that fetches plugins.
const PLUGINS: &str = r#"#!/bin/sh
set -eu
test "$1" = --plugin-file
test "$3" = --plugin-download-directory
while IFS=: read -r name version; do echo "$version" >"$4/$name.jpi"; done <"$2"
"#;

/// The image of simulated masters.
const IMAGE: &str = "localhost/master:1";

/// Gives it to the node, once.
pub fn image(cluster: &Cluster) {
    let given_before = cluster.state().path("run/image-of-masters");
    if given_before.exists() {
        return;
    }
    let layer = busybox_layer(accounts(Layer::new()), Path::new(BUSYBOX), &applets())
        .directory("tmp", 0o1777, 0)
        .directory("var/jenkins_home", 0o755, USER)
        .copy("usr/local/bin/pilotfish-fleet", 0o755, &given("PILOTFISH_TEST_MASTER"))
        .file("usr/local/bin/jenkins-plugin-cli", 0o755, PLUGINS)
        .file("usr/local/bin/jenkins.sh", 0o755, MASTER);
    let config = Config {
        user: Some(format!("{USER}:{USER}")),
        env: vec!["PATH=/usr/local/bin:/bin".into()],
        entrypoint: vec!["/usr/local/bin/jenkins.sh".into()],
        ..Config::default()
    };
    give(cluster, IMAGE, config, &layer);
    std::fs::write(given_before, IMAGE).unwrap();
}

/// Volumes for homes and backups, in directories of the cluster's state.
pub fn volumes(namespace: &Namespace<'_>, count: u32) {
    use std::os::unix::fs::PermissionsExt as _;
    for number in 0..count {
        let name = format!("{}-{number}", namespace.name);
        let path = namespace.cluster.state().path(format!("volumes/{name}"));
        std::fs::create_dir_all(&path).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        let volume = json!({"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name},
            "spec": {"storageClassName": namespace.name, "capacity": {"storage": "1Gi"},
                "accessModes": ["ReadWriteOnce"], "hostPath": {"path": path, "type": "Directory"}}});
        apply(namespace.cluster, &[], &volume.to_string()).unwrap();
    }
}

/// The directory behind a claim.
pub fn directory(namespace: &Namespace<'_>, claim: &str) -> PathBuf {
    let name = json_of(namespace, &["get", "pvc", claim])["spec"]["volumeName"].clone();
    namespace.cluster.state().path(format!("volumes/{}", name.as_str().unwrap()))
}

pub fn json_of(namespace: &Namespace<'_>, arguments: &[&str]) -> Value {
    let text = namespace.kubectl(&[arguments, &["--output", "json"]].concat()).unwrap();
    serde_json::from_str(&text).unwrap()
}

pub fn master(namespace: &Namespace<'_>, name: &str) {
    namespace.create(&json!({
        "apiVersion": "pilotfish.io/v1alpha1", "kind": "JenkinsController",
        "metadata": {"name": name},
        "spec": {
            "image": IMAGE, "labels": ["linux", "docker"],
            "plugins": {"format": "1", "configuration-as-code": "2006.v001"},
            "configuration": {"jenkins.yaml": "jenkins: {numExecutors: 0}\n"},
            "secrets": ["variables"],
            "storage": {"size": "1Gi", "class": namespace.name},
            "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}},
            "health": {"periodSeconds": 1, "startSeconds": 120},
            "backup": {"method": "archive"},
            "bridge": {"user": "bridge", "tokenSecret": "bridge"},
        },
    }));
}

/// Waits until a path of a master's status has this value.
pub fn comes(namespace: &Namespace<'_>, name: &str, path: &str, value: &str) {
    let condition = format!("--for=jsonpath={{{path}}}={value}");
    let resource = format!("jenkinscontroller/{name}");
    if let Err(why) = namespace.kubectl(&["wait", &condition, "--timeout=120s", &resource]) {
        let all = namespace.kubectl(&["describe", "jenkinscontrollers,pods,jobs"]);
        let log = namespace.cluster.state().path("log/operator.log");
        let log = std::fs::read_to_string(log).unwrap_or_default();
        panic!("{name}: {path} is not {value}: {why}\n{}\n{log}", all.unwrap_or_default());
    }
}

/// The definitions of the resources.
pub fn definitions(cluster: &Cluster) {
    let file = repository("integration/charts/pilotfish-bridge/crds/pilotfish.io.yaml");
    apply(cluster, &["--server-side"], &std::fs::read_to_string(file).unwrap()).unwrap();
    let established = "--for=condition=Established";
    cluster.kubectl(&["wait", established, "crd/jenkinscontrollers.pilotfish.io"]).unwrap();
}

/// What masters of the tests log in with.
pub fn secrets(namespace: &Namespace<'_>) {
    for (name, data) in [
        ("variables", json!({"BRIDGE_TOKEN": "for-the-tests"})),
        ("bridge", json!({"token": "for-the-tests"})),
    ] {
        namespace.create(&json!({"apiVersion": "v1", "kind": "Secret",
            "metadata": {"name": name}, "stringData": data}));
    }
}

/// Removes the volumes of a test.
pub fn remove_volumes(namespace: &Namespace<'_>, count: u32) {
    for number in 0..count {
        let name = format!("{}-{number}", namespace.name);
        let _ = namespace.cluster.kubectl(&["delete", "pv", &name, "--wait=false"]);
    }
}
