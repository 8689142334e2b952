//! An image that kaniko builds in its pod, by the stage of the shipped catalog, and pushes to a registry: without
//! docker.sock, without privilege. kaniko takes minutes to build: `cargo xtask kubernetes kaniko`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;

use pilotfish_images::{Config, Layer, accounts};
use pilotfish_kubernetes::{BUSYBOX, Cluster, REGISTRY};
use serde_json::json;

use crate::support::{Namespace, agent_image, bridge_image, cluster, given, images, repository};

/// Where the recipe says that kaniko is.
const PROGRAM: &str = "PILOTFISH_TEST_KANIKO";
/// Its image, which the node gets.
const IMAGE: &str = "localhost/kaniko:1";
/// What is built.
const REPOSITORY: &str = "tests/hello";
/// Two stages: kaniko unpacks each over `/`, and clears it in between.
const DOCKERFILE: &str =
    r"FROM scratch AS one\nCOPY hello /hello\nFROM scratch\nCOPY --from=one /hello /bin/hello\n";

/// The files of kaniko's image as its own recipe lays them out, with a busybox as in those named debug.
fn kaniko_image(cluster: &Cluster, program: &Path) {
    let busybox = Path::new(images::BUSYBOX);
    let layer = accounts(Layer::new())
        .directory("kaniko", 0o777, 0)
        .copy("kaniko/executor", 0o755, program)
        .directory("workspace", 0o755, 0)
        .directory("tmp", 0o1777, 0)
        .file("etc/nsswitch.conf", 0o644, "hosts: files dns\n")
        .copy("busybox/busybox", 0o755, busybox)
        .link("bin/sh", "/busybox/sh");
    let links = images::applets().into_iter().filter(|name| name != "busybox");
    let layer =
        links.fold(layer, |layer, name| layer.link(&format!("busybox/{name}"), "/busybox/busybox"));
    let config = Config {
        env: vec![
            "HOME=/root".into(),
            "USER=root".into(),
            "PATH=/usr/local/bin:/kaniko:/busybox".into(),
            "DOCKER_CONFIG=/kaniko/.docker/".into(),
        ],
        entrypoint: vec!["/kaniko/executor".into()],
        ..Config::default()
    };
    images::give(cluster, IMAGE, config, &layer);
}

/// A catalog with the shipped stage, one before it that writes the Dockerfile, and one after it that takes its output.
fn catalog(dir: &Path) -> PathBuf {
    let catalog = dir.join("catalog");
    fs::create_dir(&catalog).unwrap();
    let write = |name: &str, value: &serde_json::Value| {
        fs::write(catalog.join(name), value.to_string()).unwrap();
    };
    let shipped = repository("jenkins-plugin-bridge/catalog/stages/image-build.yaml");
    fs::copy(shipped, catalog.join("image-build.yaml")).unwrap();
    write(
        "catalog.yaml",
        &json!({"api": "pilotfish/v1", "kind": "catalog", "name": "kaniko", "version": "1.0.0",
            "description": "A build of an image."}),
    );
    let stage = |name: &str, script: &str, properties: serde_json::Value| {
        json!({"api": "pilotfish/v1", "kind": "stage", "name": name, "version": "1.0.0",
            "description": "Around the build of an image.",
            "parameters": {"type": "object", "properties": properties},
            "containers": [{"name": "tools", "image": BUSYBOX, "tools": ["sh"],
                "requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"memory": "64Mi"}}],
            "steps": [{"name": name, "script": script}], "timeout": "5m"})
    };
    let files =
        format!("mkdir -p app\necho hello > app/hello\nprintf '{DOCKERFILE}' > app/Dockerfile\n");
    write("files.yaml", &stage("files", &files, json!({})));
    let digest =
        json!({"digest": {"type": "string", "default": "none", "description": "What was pushed."}});
    write("tell.yaml", &stage("tell", "echo \"deploys $DIGEST\"\n", digest));
    let image = json!({"image": format!("{REGISTRY}/{REPOSITORY}"), "project_dir": "app", "image_tag": "one",
        "kaniko_image": IMAGE, "registry_credential": "registry"});
    write(
        "image.yaml",
        &json!({"api": "pilotfish/v1", "kind": "pipeline", "name": "image", "version": "1.0.0",
        "description": "An image.", "stages": [
            {"name": "files", "uses": "files@1"},
            {"name": "build-image", "uses": "image-build@1", "with": image},
            {"name": "tell", "uses": "tell@1", "with_outputs": {"digest": "build-image.digest"}},
        ]}),
    );
    catalog
}

/// The digest that the registry has for a tag.
fn in_registry(tag: &str) -> Option<String> {
    let mut stream = TcpStream::connect(REGISTRY).unwrap();
    let types = "application/vnd.oci.image.manifest.v1+json, \
                 application/vnd.docker.distribution.manifest.v2+json";
    let request = format!(
        "HEAD /v2/{REPOSITORY}/manifests/{tag} HTTP/1.1\r\nHost: {REGISTRY}\r\nAccept: {types}\r\n\
         Connection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let line = |line: &str| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("docker-content-digest").then(|| value.to_owned())
    };
    answer.lines().find_map(line)
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes kaniko"]
fn kaniko_pushes_an_image_and_its_digest_is_the_output_of_the_stage() {
    let Some(program) = std::env::var_os(PROGRAM) else {
        // Not `eprintln!`, which the test harness swallows: what was not tried is always said.
        let why = "it is built by cargo xtask kubernetes kaniko";
        let _ = writeln!(std::io::stderr(), "SKIPPED: the build of an image by kaniko: {why}");
        return;
    };
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "baseline");
    kaniko_image(&cluster, Path::new(&program));
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    let profile = json!({
        "api": "pilotfish/v1", "kind": "pod-profile", "name": "tests", "pod_security": "baseline",
        "agent": {"image": agent_image(&cluster), "requests": {"cpu": "20m", "memory": "32Mi"}},
    });
    fs::write(path("profile.yaml"), profile.to_string()).unwrap();
    // The registry asks for none; that the file arrives where kaniko reads it is what counts.
    fs::write(path("config.json"), r#"{"auths": {}}"#).unwrap();
    let mut bridge = Command::new(given("PILOTFISH_TEST_BRIDGE"));
    bridge.args(["run", "--pipeline", "image", "--plain", "--with-effects", "--cluster"]);
    bridge.args(["--namespace", &namespace.name, "--runner-image", &bridge_image(&cluster)]);
    bridge.arg("--catalog").arg(catalog(directory.path()));
    bridge.arg("--profile").arg(path("profile.yaml")).arg("--output").arg(path("output"));
    bridge.arg("--credential").arg(format!("registry={}", path("config.json").display()));
    let ended = bridge.env("KUBECONFIG", cluster.state().kubeconfig()).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}{}", String::from_utf8_lossy(&ended.stdout));
    let digest = in_registry("one").expect("the registry has the image");
    let output = |name: &str| fs::read_to_string(path("output").join(name)).unwrap();
    let told = output("logs/tell.log");
    assert!(told.contains(&format!("deploys {digest}")), "{digest}: {told}");
    let kept = output("artifacts/build-image/image-digest.txt");
    assert_eq!(kept.trim(), digest);
}
