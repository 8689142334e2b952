//! The bridge as a client of a real cluster: what becomes of the start of a pod, in the cluster's
//! words, and objects that keep images.

use std::process::{Command, Output};

use serde_json::{Value, json};

use crate::support::{Namespace, cluster, given, repository};

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

/// The kind as its provider describes it, with the fields that are set here.
fn image_caches() -> Value {
    let strings = json!({"type": "array", "items": {"type": "string"}});
    let spec = json!({"type": "object", "required": ["images"], "properties": {
        "images": strings, "imagePullSecrets": strings,
        "imageCacheSize": {"type": "integer"}, "retentionDays": {"type": "integer"}}});
    let status = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "imagecaches.eci.alibabacloud.com"},
        "spec": {
            "group": "eci.alibabacloud.com", "scope": "Cluster",
            "names": {"kind": "ImageCache", "plural": "imagecaches"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema":
                {"type": "object", "properties": {"spec": spec, "status": status}}}}],
        },
    })
}

/// A catalog with a pipeline for each of these names, whose stage has an image of that name.
fn catalog(dir: &std::path::Path, images: &[&str]) {
    let _ = std::fs::remove_dir_all(dir);
    std::fs::create_dir(dir).unwrap();
    let write = |name: &str, text: String| {
        std::fs::write(dir.join(name), format!("api: pilotfish/v1\n{text}")).unwrap();
    };
    let head = |kind: &str, name: &str| {
        format!("kind: {kind}\nname: {name}\nversion: 1.0.0\ndescription: d\n")
    };
    write("catalog.yaml", head("catalog", "test"));
    for image in images {
        let container = format!(
            "containers: [{{name: main, image: '{image}:1', requests: {{cpu: 1m, memory: 1Mi}}}}]\n"
        );
        write(
            &format!("s-{image}.yaml"),
            head("stage", image) + &container + "steps: [{script: 'true'}]\n",
        );
        let stages = format!("stages: [{{name: one, uses: {image}}}]\n");
        write(&format!("p-{image}.yaml"), head("pipeline", image) + &stages);
        let example = format!("kind: example\nname: {image}\npipeline: {image}\n");
        write(&format!("e-{image}.yaml"), example);
    }
}

fn kept(namespace: &Namespace<'_>, dir: &std::path::Path) -> String {
    let output = Command::new(given("PILOTFISH_TEST_BRIDGE"))
        .args(["images", "--apply", "--catalog", "catalog", "--clusters", "clusters.yaml"])
        .env("KUBECONFIG", namespace.cluster.state().kubeconfig())
        .current_dir(dir)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    said(&output)
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn image_caches_are_made_changed_and_removed_with_the_catalog() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    namespace.create(&image_caches());
    let established =
        ["wait", "--for=condition=Established", "crd/imagecaches.eci.alibabacloud.com"];
    namespace.kubectl(&established).unwrap();
    let foreign = json!({"apiVersion": "eci.alibabacloud.com/v1", "kind": "ImageCache",
        "metadata": {"name": "of-somebody-else"}, "spec": {"images": ["a:1"]}});
    namespace.create(&foreign);
    let dir = tempfile::tempdir().unwrap();
    let settings = "api: pilotfish/v1\nkind: clusters\nclusters: {one: {images: {type: image-cache, size_gb: 40}}}\n";
    std::fs::write(dir.path().join("clusters.yaml"), settings).unwrap();
    let names = || {
        let all = listed(&namespace, "imagecaches").into_iter();
        all.map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    catalog(&dir.path().join("catalog"), &["go", "php"]);
    kept(&namespace, dir.path());
    assert_eq!(names(), ["of-somebody-else", "pilotfish-go", "pilotfish-php"]);
    let again = kept(&namespace, dir.path());
    assert!(again.contains("go:1\n  for go\n  kept by one: Pending"), "{again}");
    catalog(&dir.path().join("catalog"), &["php", "rust"]);
    let changed = kept(&namespace, dir.path());
    assert!(changed.contains("pilotfish-go removed"), "{changed}");
    assert_eq!(names(), ["of-somebody-else", "pilotfish-php", "pilotfish-rust"]);
    namespace.kubectl(&["delete", "crd", "imagecaches.eci.alibabacloud.com"]).unwrap();
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn images_are_pulled_by_a_daemon_set_that_a_restricted_namespace_admits() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    let dir = tempfile::tempdir().unwrap();
    let settings = format!(
        "api: pilotfish/v1\nkind: clusters\nclusters: {{one: {{images: {{type: prepull, namespace: {}, \
         node_selector: {{no: such-node}}}}}}}}\n",
        namespace.name
    );
    std::fs::write(dir.path().join("clusters.yaml"), settings).unwrap();
    catalog(&dir.path().join("catalog"), &["go", "php"]);
    let said = kept(&namespace, dir.path());
    assert!(said.contains("pilotfish-prepull kept"), "{said}");
    let [set] = &listed(&namespace, "daemonsets")[..] else { panic!("{said}") };
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": set["spec"]["template"]["spec"]});
    namespace.apply(&["--dry-run=server"], &pod.to_string()).unwrap();
}
