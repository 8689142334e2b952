//! Nodes that only say that pods run on them: kwok. They are there for scheduling and for numbers;
//! nothing runs on them, so no agent ever did.

use serde_json::json;

use crate::Cluster;
use crate::error::Error;
use crate::process::{end, start, wait};

/// The taint that keeps other pods away from fake nodes, and the label by which they are chosen.
pub const FAKE: &str = "kwok.x-k8s.io/node";
/// The annotation by which kwok knows its nodes, and the value of the taint and the label.
const VALUE: &str = "fake";
/// The process.
const KWOK: &str = "kwok";

/// Fake nodes, until this is dropped.
#[derive(Debug)]
pub struct FakeNodes<'a> {
    cluster: &'a Cluster,
}

impl Cluster {
    /// Adds so many fake nodes and waits until they are ready. Each takes any number of pods.
    ///
    /// # Errors
    /// What keeps them from being ready.
    pub fn fake_nodes(&self, count: usize) -> Result<FakeNodes<'_>, Error> {
        let mut kwok = self.part(KWOK);
        kwok.arg("--kubeconfig").arg(self.state().kubeconfig());
        kwok.args(["--manage-all-nodes=false", "--node-lease-duration-seconds=40"]);
        kwok.arg(format!("--manage-nodes-with-annotation-selector={FAKE}={VALUE}"));
        start(self.state(), KWOK, &mut kwok)?;
        let nodes = FakeNodes { cluster: self };
        let file = self.state().path("conf/fake-nodes.json");
        let items: Vec<_> = (0..count).map(node).collect();
        let list = json!({"apiVersion": "v1", "kind": "List", "items": items});
        std::fs::write(&file, list.to_string()).map_err(Error::at(&file))?;
        self.kubectl(&["create", "--filename", &file.display().to_string()])?;
        let selector = format!("--selector={FAKE}={VALUE}");
        let ready = "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")].status}";
        wait(self.state(), "the fake nodes Ready", 60, &["kube-apiserver", KWOK], || {
            let told = self.kubectl(&["get", "nodes", &selector, "--output", ready]);
            told.is_ok_and(|told| {
                told.split_whitespace().filter(|one| *one == "True").count() == count
            })
        })?;
        Ok(nodes)
    }
}

impl Drop for FakeNodes<'_> {
    fn drop(&mut self) {
        let selector = format!("--selector={FAKE}={VALUE}");
        let _ = self.cluster.kubectl(&["delete", "nodes", &selector, "--wait=false"]);
        end(self.cluster.state(), &[KWOK]);
    }
}

fn node(number: usize) -> serde_json::Value {
    let name = format!("fake-{number}");
    json!({
        "apiVersion": "v1", "kind": "Node",
        "metadata": {
            "name": name, "annotations": {FAKE: VALUE},
            "labels": {FAKE: VALUE, "kubernetes.io/hostname": name, "kubernetes.io/os": "linux"},
        },
        "spec": {"taints": [{"key": FAKE, "value": VALUE, "effect": "NoSchedule"}]},
    })
}
