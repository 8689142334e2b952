//! Figures of a real cluster: `cargo xtask kubernetes bench`.
//!
//! Pods are made by the bridge and, in turns, by plain POST requests of bytes that are ready. Steps
//! are started through the exec server of a container and, in turns, by `kubectl exec` and by a
//! client of the exec API that is connected already. Memory is what the kubelet counts.

#![expect(clippy::print_stdout, reason = "the figures are the output")]
#![expect(clippy::unwrap_used, reason = "a figure that cannot be had ends the run")]

#[path = "../tests/cluster/support/mod.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod support;

use std::io::Read as _;
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use k8s_openapi::api::core::v1::Pod;
use kube::api::AttachParams;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use pilotfish_bridge::cluster::{Cluster, ClusterSettings};
use pilotfish_bridge::pod::RenderedPod;
use pilotfish_exec::{Container, Containers, ErrorStream, Launch};
use pilotfish_kubernetes::{BUSYBOX, NODE};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use support::{Namespace, agent_image, cluster};

/// How many pods are made at once.
const PODS: usize = 200;
/// How often everything is measured; the median counts.
const ROUNDS: usize = 5;
/// Steps that are started in a round, one after the other.
const STEPS: usize = 10;
/// What a step prints to have its speed measured, in bytes.
const OUTPUT: usize = 256 << 20;
/// Containers of the pod that has exec servers.
const CONTAINERS: [&str; 3] = ["one", "two", "three"];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn ratio(ours: &[f64], theirs: &[f64]) -> f64 {
    median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect())
}

#[tokio::main]
async fn main() {
    let cluster = cluster();
    let kubeconfig = Kubeconfig::read_from(cluster.state().kubeconfig()).unwrap();
    let options = KubeConfigOptions::default();
    let config = Config::from_custom_kubeconfig(kubeconfig, &options).await.unwrap();
    let client = Client::try_from(config).unwrap();
    creation(&cluster, &client).await;
    if cluster.has_node() {
        exec(&cluster, &client).await;
    } else {
        println!("SKIPPED: steps and memory, for want of a node");
    }
}

/// How many pods with their budgets are made in a second.
async fn creation(cluster: &pilotfish_kubernetes::Cluster, client: &Client) {
    let kubeconfig = Some(cluster.state().kubeconfig());
    let settings = ClusterSettings { kubeconfig, ..ClusterSettings::default() };
    let bridge = Cluster::connect("bench", &settings).await.unwrap();
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // The first round only warms up what both use.
    for round in 0..=ROUNDS {
        for plain in [round % 2 == 0, round % 2 != 0] {
            let namespace = Namespace::enforcing(cluster, "restricted");
            let pods = support::storm::pods(&namespace.name, PODS);
            let begun = Instant::now();
            if plain {
                join_all(pods.iter().map(|pod| posted(client, &namespace.name, pod))).await;
            } else {
                let made = join_all(pods.iter().map(|pod| bridge.create(pod))).await;
                made.into_iter().for_each(|one| drop(one.unwrap()));
            }
            let rate = PODS as f64 / begun.elapsed().as_secs_f64();
            if round > 0 {
                if plain { &mut theirs } else { &mut ours }.push(rate);
            }
            drop(namespace);
        }
    }
    let of = ratio(&ours, &theirs);
    let (ours, theirs) = (median(ours), median(theirs));
    println!(
        "pods with budgets made in a second, {PODS} at once: {ours:.0}, plain POST {theirs:.0}: {of:.2}"
    );
}

/// The same two objects, as bytes, with nothing looked at in the answers but that they were made.
async fn posted(client: &Client, namespace: &str, pod: &RenderedPod) {
    let post = |path: String, body: Vec<u8>| async move {
        let request = http::Request::post(path).header("content-type", "application/json");
        client.request_text(request.body(body).unwrap()).await.unwrap();
    };
    let body = serde_json::to_vec(&pod.pod).unwrap();
    post(format!("/api/v1/namespaces/{namespace}/pods"), body).await;
    let body = serde_json::to_vec(pod.disruption_budget.as_ref().unwrap()).unwrap();
    post(format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets"), body).await;
}

/// A pod of containers with exec servers, which the user of this program may ask.
fn servers(image: &str) -> Value {
    let program = "/run/pilotfish/bin/pilotfish-agent";
    let own = |name: &str| format!("/run/pilotfish/exec/{name}");
    let containers = CONTAINERS.map(|name| {
        json!({
            "name": name, "image": BUSYBOX, "imagePullPolicy": "IfNotPresent",
            "command": [program, "exec-server", "--socket", format!("{}/socket", own(name)), "--allow-uid", "0"],
            "resources": {"limits": {"memory": "512Mi"}},
            "volumeMounts": [
                {"name": "program", "mountPath": "/run/pilotfish/bin", "readOnly": true},
                {"name": "sockets", "mountPath": own(name), "subPath": name}],
        })
    });
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "servers"},
        "spec": {
            "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "securityContext": {"runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000},
            "volumes": [{"name": "program", "emptyDir": {}}, {"name": "sockets", "emptyDir": {}}],
            "initContainers": [{
                "name": "inject", "image": image, "imagePullPolicy": "IfNotPresent",
                "command": ["cp", "/usr/local/bin/jenkins-agent", program],
                "volumeMounts": [{"name": "program", "mountPath": "/run/pilotfish/bin"}]}],
            "containers": containers,
        },
    })
}

async fn exec(cluster: &pilotfish_kubernetes::Cluster, client: &Client) {
    let namespace = Namespace::enforcing(cluster, "baseline");
    namespace.create(&servers(&agent_image(cluster)));
    namespace.kubectl(&["wait", "--for=condition=Ready", "pod/servers", "--timeout=120s"]).unwrap();
    let pods: Api<Pod> = Api::namespaced(client.clone(), &namespace.name);
    let pod = pods.get("servers").await.unwrap();
    let volume = "volumes/kubernetes.io~empty-dir/sockets";
    let uid = pod.metadata.uid.unwrap();
    let sockets = cluster.state().path(format!("kubelet/pods/{uid}/{volume}"));
    let container = Containers::below(sockets).ready_within(Duration::from_secs(30));
    let container = container.get(CONTAINERS[0]).unwrap();
    through_socket(&container, &["true"]).await;
    memory(cluster, "idle");

    let (mut ours, mut kubectl, mut api) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (mut own, mut by_kubectl, mut by_api) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..STEPS {
            let begun = Instant::now();
            through_socket(&container, &["true"]).await;
            own.push(begun.elapsed().as_secs_f64() * 1e3);
            let begun = Instant::now();
            through_kubectl(&namespace, &["true"]);
            by_kubectl.push(begun.elapsed().as_secs_f64() * 1e3);
            let begun = Instant::now();
            through_api(&pods, &["true"]).await;
            by_api.push(begun.elapsed().as_secs_f64() * 1e3);
        }
        ours.push(median(own));
        kubectl.push(median(by_kubectl));
        api.push(median(by_api));
    }
    let (of_kubectl, of_api) = (ratio(&ours, &kubectl), ratio(&ours, &api));
    println!(
        "a step from start to end: {:.1} ms, kubectl exec {:.0} ms: {of_kubectl:.3} (bar 0.1), a connected client {:.1} ms: {of_api:.2}",
        median(ours),
        median(kubectl),
        median(api)
    );

    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    // In pieces that are large for a pipe: what is measured is not who prints.
    let script = format!("dd if=/dev/zero bs=1M count={} 2>/dev/null", OUTPUT >> 20);
    let prints = ["sh", "-c", script.as_str()];
    for _ in 0..ROUNDS {
        let rate =
            |begun: Instant| OUTPUT as f64 / f64::from(1 << 20) / begun.elapsed().as_secs_f64();
        let begun = Instant::now();
        assert_eq!(through_socket(&container, &prints).await, OUTPUT);
        ours.push(rate(begun));
        let begun = Instant::now();
        assert_eq!(through_kubectl(&namespace, &prints), OUTPUT);
        theirs.push(rate(begun));
    }
    let of = ratio(&ours, &theirs);
    println!(
        "output of a step: {:.0} MiB/s, kubectl exec {:.0} MiB/s: {of:.1} (bar 5)",
        median(ours),
        median(theirs)
    );
    memory(cluster, "after the steps");
}

/// Runs a process in the container; how many bytes it printed.
async fn through_socket(container: &Container, arguments: &[&str]) -> usize {
    let launch = Launch {
        arguments: arguments.iter().map(|one| (*one).to_owned()).collect(),
        overrides: Vec::new(),
        cookie: "bench".to_owned(),
        directory: Some("/".to_owned()),
        stdin: false,
        stderr: ErrorStream::Output,
        stage: None,
        follow: false,
    };
    let mut started = container.launch(launch).await.unwrap();
    let mut output = started.child.stdout.take().unwrap();
    let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
    loop {
        match output.read(&mut buffer).await.unwrap() {
            0 => break,
            more => bytes += more,
        }
    }
    started.child.wait().await;
    bytes
}

/// The same, by the program.
fn through_kubectl(namespace: &Namespace<'_>, arguments: &[&str]) -> usize {
    let mut command = namespace.cluster.kubectl_command();
    command.args([
        "--namespace",
        &namespace.name,
        "exec",
        "servers",
        "--container",
        CONTAINERS[0],
        "--",
    ]);
    let mut child =
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut output = child.stdout.take().unwrap();
    let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
    loop {
        match output.read(&mut buffer).unwrap() {
            0 => break,
            more => bytes += more,
        }
    }
    assert!(child.wait().unwrap().success());
    bytes
}

/// The same, by a client that has its connection: a WebSocket is made for each step.
async fn through_api(pods: &Api<Pod>, arguments: &[&str]) {
    let parameters = AttachParams::default().container(CONTAINERS[0]).stderr(false);
    let mut process = pods.exec("servers", arguments.iter().copied(), &parameters).await.unwrap();
    let mut said = Vec::new();
    process.stdout().unwrap().read_to_end(&mut said).await.unwrap();
    let status = process.take_status().unwrap().await;
    assert!(status.is_some_and(|status| status.status.as_deref() == Some("Success")));
}

/// The memory of the containers as the kubelet counts it: their control groups' usage without
/// what of the page cache was not used lately.
fn memory(cluster: &pilotfish_kubernetes::Cluster, when: &str) {
    let path = format!("/api/v1/nodes/{NODE}/proxy/stats/summary");
    // The kubelet looks every ten seconds or so.
    std::thread::sleep(Duration::from_secs(20));
    let summary = cluster.kubectl(&["get", "--raw", &path]).unwrap();
    let summary: Value = serde_json::from_str(&summary).unwrap();
    let pods = summary["pods"].as_array().unwrap();
    let pod = pods.iter().find(|pod| pod["podRef"]["name"] == "servers").unwrap();
    let mebibytes = |value: &Value| value.as_f64().unwrap_or(f64::NAN) / f64::from(1 << 20);
    for container in pod["containers"].as_array().unwrap() {
        let memory = &container["memory"];
        println!(
            "memory of container {}, {when}: working set {:.2} MiB (bar 3), usage {:.2}, anonymous {:.2}",
            container["name"].as_str().unwrap(),
            mebibytes(&memory["workingSetBytes"]),
            mebibytes(&memory["usageBytes"]),
            mebibytes(&memory["rssBytes"]),
        );
    }
}
