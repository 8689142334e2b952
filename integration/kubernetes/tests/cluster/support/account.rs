//! Service accounts that a test logs in with.

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::Namespace;

/// A service account with rights in a namespace.
pub struct Account {
    /// As the API server names it.
    pub user: String,
    /// How it logs in.
    pub kubeconfig: PathBuf,
    _dir: TempDir,
}

impl Account {
    pub fn new(namespace: &Namespace<'_>, name: &str, rules: &Value) -> Self {
        let group = "rbac.authorization.k8s.io";
        for object in [
            json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}}),
            json!({"apiVersion": format!("{group}/v1"), "kind": "Role",
                "metadata": {"name": name}, "rules": rules}),
            json!({"apiVersion": format!("{group}/v1"), "kind": "RoleBinding",
                "metadata": {"name": name},
                "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
                "subjects": [{"kind": "ServiceAccount", "name": name}]}),
        ] {
            namespace.create(&object);
        }
        Self::of(namespace, name)
    }

    /// One that is there.
    pub fn of(namespace: &Namespace<'_>, name: &str) -> Self {
        let token = namespace.kubectl(&["create", "token", name]).unwrap();
        let raw = ["config", "view", "--raw", "--output", "json"];
        let mut config: Value = serde_json::from_str(&namespace.kubectl(&raw).unwrap()).unwrap();
        config["users"][0]["user"] = json!({"token": token.trim()});
        let dir = tempfile::tempdir().unwrap();
        let kubeconfig = dir.path().join("kubeconfig");
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        Self {
            user: format!("system:serviceaccount:{}:{name}", namespace.name),
            kubeconfig,
            _dir: dir,
        }
    }
}
