//! The stages of the shipped catalog that deploy to a cluster, with the real kubectl and Helm on a
//! real API server. The pods of what they deploy are on fake nodes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use pilotfish_kubernetes::FAKE;
use serde_json::{Value, json};

use crate::support::account::Account;
use crate::support::{Namespace, cluster, given, repository};

/// A catalog with one pipeline of one shipped stage, and a workspace.
struct World {
    dir: tempfile::TempDir,
    kubeconfig: PathBuf,
}

impl World {
    fn new(account: &Account) -> Self {
        let world =
            Self { dir: tempfile::tempdir().unwrap(), kubeconfig: account.kubeconfig.clone() };
        let programs = world.path("programs");
        std::fs::create_dir(&programs).unwrap();
        std::os::unix::fs::symlink(
            given("PILOTFISH_TEST_KUBERNETES").join("hyper"),
            programs.join("kubectl"),
        )
        .unwrap();
        std::os::unix::fs::symlink(given("PILOTFISH_TEST_HELM"), programs.join("helm")).unwrap();
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// Runs a stage with its effects.
    fn stage(&self, stage: &str, with: &Value) -> Output {
        let file = format!("jenkins-plugin-bridge/catalog/stages/{stage}.yaml");
        self.write("catalog/stage.yaml", &std::fs::read_to_string(repository(&file)).unwrap());
        let head = "api: pilotfish/v1\nversion: 1.0.0\ndescription: d\n";
        self.write("catalog/catalog.yaml", &format!("{head}kind: catalog\nname: c\n"));
        let stages = json!([{"name": "it", "uses": stage, "with": with}]);
        let pipeline = format!("{head}kind: pipeline\nname: only\nstages: {stages}\n");
        self.write("catalog/pipeline.yaml", &pipeline);
        let mut path = vec![self.path("programs")];
        path.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        Command::new(given("PILOTFISH_TEST_BRIDGE"))
            .args(["run", "--with-effects", "--runtime", "local", "--pipeline", "only"])
            .args(["--catalog", "catalog", "--workspace", "workspace", "--output", "output"])
            .arg("--credential")
            .arg(format!("kubeconfig={}", self.kubeconfig.display()))
            .env("PATH", std::env::join_paths(path).unwrap())
            .env("HOME", self.dir.path())
            .current_dir(self.dir.path())
            .output()
            .unwrap()
    }
}

/// What a run said, when it ended as it should.
fn ended(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let said = text(&output.stdout) + &text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    said
}

fn deployment(replicas: &str, image: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: shop}}\nspec:\n  replicas: {replicas}\n  \
         selector: {{matchLabels: {{app: shop}}}}\n  template:\n    metadata: {{labels: {{app: shop}}}}\n    \
         spec:\n      tolerations: [{{key: {FAKE}, operator: Exists}}]\n      nodeSelector: {{{FAKE}: fake}}\n      \
         containers: [{{name: shop, image: '{image}'}}]\n"
    )
}

fn deployed(namespace: &Namespace<'_>) -> Value {
    let get = ["get", "deployment", "shop", "--output", "json"];
    serde_json::from_str(&namespace.kubectl(&get).unwrap()).unwrap()
}

fn image_of(deployment: &Value) -> &Value {
    &deployment["spec"]["template"]["spec"]["containers"][0]["image"]
}

fn with_kubectl(world: &World, namespace: &Namespace<'_>) {
    world.write("workspace/k8s/web/shop.yaml", &deployment("2", "shop:1"));
    world.write(
        "workspace/k8s/settings.yml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {mode: live}\n",
    );
    let with =
        json!({"manifests": "k8s", "namespace": namespace.name, "rollout": "deployment/shop"});
    ended(&world.stage("deploy-kubectl", &with), 0);
    let shop = deployed(namespace);
    assert_eq!(shop["status"]["readyReplicas"], 2, "the rollout was waited for: {shop}");
    namespace.kubectl(&["get", "configmap", "settings"]).unwrap();
    // What the cluster refuses is a failure, in its words.
    world.write("workspace/k8s/web/shop.yaml", &deployment("-1", "shop:2"));
    let output = world.stage("deploy-kubectl", &with);
    assert_eq!(output.status.code(), Some(1));
    let log = log(&world.path("output"));
    assert!(log.contains("spec.replicas: Invalid value: -1"), "{log}");
    assert_eq!(image_of(&deployed(namespace)), "shop:1");
    namespace.kubectl(&["delete", "deployment", "shop"]).unwrap();
}

fn with_helm(world: &World, namespace: &Namespace<'_>) {
    world.write("workspace/chart/Chart.yaml", "apiVersion: v2\nname: shop\nversion: 1.0.0\n");
    world.write("workspace/chart/values.yaml", "replicas: 1\nimage: {tag: none}\n");
    world.write(
        "workspace/chart/templates/shop.yaml",
        &deployment("{{ .Values.replicas }}", "shop:{{ .Values.image.tag }}"),
    );
    let with = |values: &str, tag: &str| json!({"release": "shop", "namespace": namespace.name, "helm_values": values, "image_tag": tag});
    ended(&world.stage("deploy-helm", &with("replicas: 3\n", "7.10")), 0);
    let shop = deployed(namespace);
    assert_eq!(
        (image_of(&shop), &shop["status"]["readyReplicas"]),
        (&json!("shop:7.10"), &json!(3))
    );
    ended(&world.stage("deploy-helm", &with("replicas: 2\n", "8")), 0);
    assert_eq!(image_of(&deployed(namespace)), "shop:8");
    // An upgrade that the cluster refuses is rolled back.
    let output = world.stage("deploy-helm", &with("replicas: -1\n", "9"));
    assert_eq!(output.status.code(), Some(1));
    let shop = deployed(namespace);
    assert_eq!((image_of(&shop), &shop["spec"]["replicas"]), (&json!("shop:8"), &json!(2)));
    let releases =
        ["get", "secrets", "--selector", "owner=helm,status=deployed", "--output", "name"];
    assert_eq!(namespace.kubectl(&releases).unwrap().lines().count(), 1);
}

/// The log of the stage.
fn log(output: &Path) -> String {
    let mut all = String::new();
    for entry in std::fs::read_dir(output.join("logs")).unwrap() {
        all += &std::fs::read_to_string(entry.unwrap().path()).unwrap();
    }
    all
}

#[test]
#[ignore = "needs the cluster of cargo xtask kubernetes test"]
fn kubectl_and_helm_deploy_to_a_real_api_server() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "baseline");
    let rules = json!([{"apiGroups": ["", "apps"], "verbs": ["*"],
        "resources": ["configmaps", "secrets", "deployments", "replicasets", "pods"]}]);
    let account = Account::new(&namespace, "deployer", &rules);
    let nodes = cluster.fake_nodes(1).unwrap();
    let world = World::new(&account);
    with_kubectl(&world, &namespace);
    with_helm(&world, &namespace);
    drop(nodes);
}
