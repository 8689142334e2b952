//! What the tests of the cluster share.

pub mod account;
pub mod chart;
pub mod controller;
pub mod front;
pub mod images;
pub mod masters;
pub mod process;
pub mod storm;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use pilotfish_kubernetes::{Cluster, VARIABLE};
use serde_json::{Value, json};

/// The cluster that `cargo xtask kubernetes test` has brought up.
pub fn cluster() -> Cluster {
    let cluster = Cluster::of_tests().unwrap();
    cluster.unwrap_or_else(|| panic!("{VARIABLE} is not set; run: cargo xtask kubernetes test"))
}

/// A path that the recipe gives to the tests.
pub fn given(variable: &str) -> PathBuf {
    let value = std::env::var_os(variable);
    value
        .unwrap_or_else(|| panic!("{variable} is not set; run: cargo xtask kubernetes test"))
        .into()
}

/// A file of this repository.
pub fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The agent's image, given to the node.
pub fn agent_image(cluster: &Cluster) -> String {
    static IMPORTED: Once = Once::new();
    IMPORTED.call_once(|| {
        cluster.import(&given("PILOTFISH_TEST_IMAGES").join("static.tar")).unwrap();
    });
    concat!("pilotfish-agent:", env!("CARGO_PKG_VERSION"), "-static").to_owned()
}

/// The image of the bridge, given to the node.
pub fn bridge_image(cluster: &Cluster) -> String {
    static IMPORTED: Once = Once::new();
    IMPORTED.call_once(|| {
        cluster.import(&given("PILOTFISH_TEST_IMAGES").join("bridge.tar")).unwrap();
    });
    concat!("pilotfish-bridge:", env!("CARGO_PKG_VERSION")).to_owned()
}

/// A namespace that is deleted when the test ends.
pub struct Namespace<'a> {
    pub name: String,
    pub cluster: &'a Cluster,
}

impl<'a> Namespace<'a> {
    /// One that enforces a Pod Security Standard.
    pub fn enforcing(cluster: &'a Cluster, standard: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("test-{}-{number}", std::process::id());
        let labels = json!({"pod-security.kubernetes.io/enforce": standard});
        let object = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": name, "labels": labels}});
        apply(cluster, &[], &object.to_string()).unwrap();
        // Pods are refused until the controller has made the account that they run as.
        let args = ["wait", "--for=create", "serviceaccount/default", "--namespace", &name];
        cluster.kubectl(&args).unwrap();
        Self { name, cluster }
    }

    /// `kubectl` in it.
    pub fn kubectl(&self, arguments: &[&str]) -> Result<String, String> {
        let all = [&["--namespace", &self.name], arguments].concat();
        self.cluster.kubectl(&all).map_err(|error| error.to_string())
    }

    /// Applies objects, as YAML or JSON.
    pub fn apply(&self, more: &[&str], text: &str) -> Result<String, String> {
        apply(self.cluster, &[&["--namespace", &self.name], more].concat(), text)
    }

    /// Applies one object.
    pub fn create(&self, object: &Value) {
        self.apply(&[], &object.to_string()).unwrap();
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        let _ = self.cluster.kubectl(&["delete", "namespace", &self.name, "--wait=false"]);
    }
}

/// Applies objects; what the API server says against them is the error.
pub fn apply(cluster: &Cluster, more: &[&str], text: &str) -> Result<String, String> {
    let mut command = cluster.kubectl_command();
    command.args(["apply", "--filename", "-"]).args(more);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}
