//! `pilotfish-bridge pod --apply` on a real cluster: what becomes of the start, in its words.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::process::{Command, Output};

use serde_json::{Value, json};

use support::{Namespace, cluster, given, repository};

/// The pod of the static site, created with a profile that has these lines more.
fn applied(namespace: &Namespace<'_>, more: &str, arguments: &[&str]) -> Output {
    let dir = tempfile::tempdir().unwrap();
    let profile = dir.path().join("profile.yaml");
    let head = "api: pilotfish/v1\nkind: pod-profile\nname: test\n";
    std::fs::write(&profile, format!("{head}namespace: {}\n{more}", namespace.name)).unwrap();
    Command::new(given("PILOTFISH_TEST_BRIDGE"))
        .args(["pod", "--apply", "--pipeline", "static-site", "--build", "site#7"])
        .args(["-P", "repository=https://git.example.com/site.git", "-P", "revision=main"])
        .arg("--profile")
        .arg(&profile)
        .args(arguments)
        .env("KUBECONFIG", namespace.cluster.state().kubeconfig())
        .current_dir(repository("jenkins-plugin-bridge"))
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

fn listed(namespace: &Namespace<'_>, kind: &str) -> Vec<Value> {
    let text = namespace.kubectl(&["get", kind, "--output", "json"]).unwrap();
    let list: Value = serde_json::from_str(&text).unwrap();
    list["items"].as_array().unwrap().clone()
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn a_pod_for_which_there_is_no_node_ends_the_wait() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    let output = applied(&namespace, "node_selector: {no: such-node}\n", &["--keep"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("did not start: Unschedulable: "), "{text}");
    assert!(text.contains("nodes"), "the words of the scheduler: {text}");
    // It was kept, and its budget is its own.
    let [pod] = &listed(&namespace, "pods")[..] else { panic!("{text}") };
    let [budget] = &listed(&namespace, "poddisruptionbudgets")[..] else { panic!("{text}") };
    assert_eq!(budget["metadata"]["ownerReferences"][0]["uid"], pod["metadata"]["uid"]);
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn a_quota_refuses_the_pod_in_its_own_words() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    namespace.create(&json!({"apiVersion": "v1", "kind": "ResourceQuota",
        "metadata": {"name": "builds"}, "spec": {"hard": {"pods": "0"}}}));
    // The controller of quotas takes a moment to see a new one.
    let counted = ["wait", "--for=jsonpath={.status.hard.pods}=0", "resourcequota/builds"];
    namespace.kubectl(&counted).unwrap();
    let output = applied(&namespace, "", &[]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    let text = said(&output);
    assert!(text.contains("refused to create the pod: "), "{text}");
    assert!(text.contains("exceeded quota: builds"), "{text}");
    assert!(listed(&namespace, "pods").is_empty());
    assert!(listed(&namespace, "poddisruptionbudgets").is_empty());
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn admission_refuses_what_the_profile_says_wrongly_of_its_namespace() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    let wrong = "pod_security: privileged\nworkspace: {type: host-path, path: /srv/builds}\n";
    let output = applied(&namespace, wrong, &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("violates PodSecurity") && text.contains("`pod_security`"), "{text}");
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn an_image_that_is_not_there_ends_the_wait_with_the_words_of_the_event() {
    let cluster = cluster();
    if !cluster.has_node() {
        return;
    }
    let namespace = Namespace::enforcing(&cluster, "restricted");
    let output = applied(&namespace, "agent: {image: '10.99.0.1:5000/none:1'}\n", &[]);
    let text = said(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains(": scheduled after "), "{text}");
    assert!(text.contains("did not start: ") && text.contains("10.99.0.1:5000/none:1"), "{text}");
    assert!(text.contains("ImagePull"), "{text}");
    assert!(text.contains(": deleted; "), "{text}");
}
