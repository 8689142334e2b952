//! Masters that the bridge takes from `JenkinsController` resources, with the account that the chart makes for it
//! and nothing else.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::account::Account;
use crate::support::chart::account_of_the_bridge;
use crate::support::front::Front;
use crate::support::masters::json_of;
use crate::support::process::Process;
use crate::support::{Namespace, given, repository};

/// A service that follows the resources of a namespace.
pub struct Declared {
    front: Front,
    account: Account,
    log: PathBuf,
    _service: Process,
}

impl Declared {
    pub fn start(namespace: &Namespace<'_>) -> Self {
        let settings = [
            "mastersFromCluster.enabled=true".to_owned(),
            format!("mastersFromCluster.namespace={}", namespace.name),
            "mastersFromCluster.secrets={bridge}".to_owned(),
        ];
        let account = account_of_the_bridge(namespace, &settings);
        let mut front = Front::new(&[], &[]);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        front.url = format!("http://127.0.0.1:{port}");
        let mut service = Command::new(given("PILOTFISH_TEST_BRIDGE"));
        service.args(["serve", "--masters-from-cluster", "--masters-namespace", &namespace.name]);
        service.arg("--masters-kubeconfig").arg(&account.kubeconfig);
        service.arg("--catalog").arg(repository("integration/kubernetes/catalog"));
        service.arg("--tokens").arg(front.path("tokens.yaml"));
        service.arg("--signing-key").arg(front.path("key.pem"));
        service.args(["--listen", &format!("127.0.0.1:{port}"), "--database"]);
        service.arg(format!("sqlite:{}", front.path("bridge.db").display()));
        let log = namespace.cluster.state().path("log/declared.log");
        let process = Process::start(&mut service, &log);
        Self { front, account, log, _service: process }
    }

    /// Waits until the masters are these, and as they should be.
    pub fn until(&self, names: &[&str], wanted: impl Fn(&str, &Value) -> bool) {
        self.front.until("/v1/masters", &self.log, |all| {
            let all = all.as_array().unwrap();
            let own: Vec<&str> = all.iter().map(|one| one["name"].as_str().unwrap()).collect();
            own == names && all.iter().all(|one| wanted(one["name"].as_str().unwrap(), one))
        });
    }

    /// What the account may do, and no more.
    pub fn has_least_rights(&self, namespace: &Namespace<'_>) {
        let user = format!("--as={}", self.account.user);
        let may = |what: &[&str]| {
            namespace.kubectl(&[&["auth", "can-i"], what, &[&user]].concat()).is_ok()
        };
        for what in [
            &["list", "jenkinscontrollers"][..],
            &["watch", "jenkinscontrollers"],
            &["get", "secrets/bridge"],
        ] {
            assert!(may(what), "{what:?}");
        }
        for what in [
            &["get", "secrets/variables"][..],
            &["list", "secrets"],
            &["patch", "jenkinscontrollers"],
            &["delete", "jenkinscontrollers"],
            &["list", "pods"],
            &["list", "jenkinscontrollers", "--all-namespaces"],
        ] {
            assert!(!may(what), "{what:?}");
        }
    }
}

/// Whether it gets builds.
pub fn is_given_builds(master: &Value) -> bool {
    master["refusal"].is_null()
}

/// Whether it gets none because the operator is at it.
pub fn is_held(master: &Value) -> bool {
    let why = master["refusal"].as_str().unwrap_or_default();
    why.starts_with("it is being changed (")
}

/// Gives a master the address by which this machine reaches its Service: the names of Services are known in the
/// cluster only.
pub fn reach(namespace: &Namespace<'_>, name: &str) {
    let service = json_of(namespace, &["get", "service", name]);
    let address = service["spec"]["clusterIP"].as_str().unwrap();
    let patch = json!({"spec": {"url": format!("http://{address}:8080/")}}).to_string();
    let arguments = ["patch", "jenkinscontroller", name, "--type=merge", "--patch", &patch];
    namespace.kubectl(&arguments).unwrap();
}
