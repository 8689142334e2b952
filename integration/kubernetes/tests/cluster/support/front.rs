//! A bridge of a test, a process of this machine: the files that it reads, and what it is asked.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use pilotfish_bridge::rest::{Client, ClientOptions, Login, ProxyChoice, tls_client_config};
use pilotfish_bridge::service::{AccessTokens, KeyRing, Scope};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::account::Account;
use super::images::agent_that_trusts_the_cluster;
use super::process::{Process, tail};
use super::{Namespace, given, repository};

/// How long anything may take until it is as it should be: seconds, on busy processors more.
const PATIENCE: Duration = Duration::from_secs(120);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(200);
/// What the bridge logs in with at masters.
const MASTER_TOKEN: &str = "for-the-tests";

/// The files, and a client.
pub struct Front {
    directory: TempDir,
    token: String,
    pub runtime: Runtime,
    http: reqwest::Client,
    /// Its address, once it is known.
    pub url: String,
}

impl Front {
    /// With a token for the test, and one for each of these masters, in `NAME-token`.
    pub fn new(masters: &[&str], authorities: &[PathBuf]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let scopes = [
            Scope::BuildsTrigger,
            Scope::BuildsRead,
            Scope::JobsWrite,
            Scope::JobsRead,
            Scope::MastersRead,
        ];
        let (token, entry) = AccessTokens::make("tests", BTreeSet::from(scopes), None).unwrap();
        let mut entries = vec![entry];
        for name in masters {
            let scopes = BTreeSet::from([Scope::PlansCreate]);
            let own = Some((*name).to_owned());
            let (text, entry) = AccessTokens::make(name, scopes, own).unwrap();
            std::fs::write(directory.path().join(format!("{name}-token")), text).unwrap();
            entries.push(entry);
        }
        let tls = tls_client_config(authorities).unwrap();
        let http = reqwest::Client::builder().tls_backend_preconfigured(tls).no_proxy();
        let front = Self {
            token,
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            http: http.build().unwrap(),
            url: String::new(),
            directory,
        };
        front.write("tokens.yaml", &json!({"tokens": entries}).to_string());
        front.write("key.pem", &KeyRing::make().unwrap());
        front.write("master-token", MASTER_TOKEN);
        front
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The file of masters, each with its address and what there is more to say.
    pub fn write_masters(&self, masters: &[(&str, &str)], more: &Value) {
        let entry = |(name, url): &(&str, &str)| {
            let mut entry = json!({"url": url, "user": "bridge", "proxy": "none",
                "token_file": self.path("master-token")});
            let all = entry.as_object_mut().unwrap();
            all.extend(more.as_object().unwrap().clone());
            ((*name).to_owned(), entry)
        };
        let all: serde_json::Map<String, Value> = masters.iter().map(entry).collect();
        let file = json!({"api": "pilotfish/v1", "kind": "masters", "masters": all});
        self.write("masters.yaml", &file.to_string());
    }

    /// Starts a simulated master that listens there; its address.
    pub fn start_master(&self, name: &str, listen: &str, more: &[&str]) -> (Process, String) {
        let mut master = Command::new(given("PILOTFISH_TEST_MASTER"));
        master.args(["master", "--name", name, "--listen", listen]).args(more);
        master.arg("--home").arg(self.path(name));
        let user = format!("bridge:full:{}", self.path("master-token").display());
        master.args(["--user", &user]);
        let (process, line) =
            Process::start_and_hear(&mut master, &self.path(&format!("{name}.log")));
        let url = line.split_whitespace().nth(1).unwrap().to_owned();
        (process, url)
    }

    /// Starts a bridge in which all waiting is ten times as short as in the field, with the files that are here.
    pub fn start_bridge(&mut self, listen: &str, more: &[&str]) -> Process {
        let mut bridge = Command::new(given("PILOTFISH_TEST_MASTER"));
        bridge.args(["bridge", "--speed", "10", "--listen", listen]).args(more);
        for (option, file) in [
            ("--tokens", "tokens.yaml"),
            ("--key", "key.pem"),
            ("--masters", "masters.yaml"),
            ("--clusters", "clusters.yaml"),
            ("--pods", "pods"),
        ] {
            bridge.arg(option).arg(self.path(file));
        }
        bridge.arg("--catalog").arg(repository("integration/kubernetes/catalog"));
        bridge.args(["--database", &format!("sqlite:{}?mode=rwc", self.path("db").display())]);
        let (process, line) = Process::start_and_hear(&mut bridge, &self.log());
        self.url = line.split_whitespace().nth(1).unwrap().to_owned();
        process
    }

    /// The log of the bridge.
    pub fn log(&self) -> PathBuf {
        self.path("bridge.log")
    }

    /// The files of a cluster in which the bridge is this account, with one pod profile.
    pub fn write_cluster(&self, namespace: &Namespace<'_>, account: &Account, controllers: &Value) {
        let profile = json!({"api": "pilotfish/v1", "kind": "pod-profile", "name": "tests",
            "namespace": namespace.name, "cluster": "tests",
            "agent": {"image": agent_that_trusts_the_cluster(namespace.cluster),
                "requests": {"cpu": "10m", "memory": "16Mi"}}});
        self.write("profile.yaml", &profile.to_string());
        let clusters = json!({"api": "pilotfish/v1", "kind": "clusters", "profiles": ["profile.yaml"],
            "clusters": {"tests": {"kubeconfig": account.kubeconfig}}, "controllers": controllers});
        self.write("clusters.yaml", &clusters.to_string());
    }

    /// A client of a simulated master.
    pub fn master(url: &str) -> Client {
        let mut options = ClientOptions::new(url);
        options.login =
            Some(Login { user: "bridge".into(), token: MASTER_TOKEN.to_owned().into() });
        options.proxy = ProxyChoice::Direct;
        Client::new(&options).unwrap()
    }

    /// What the bridge answers.
    pub fn ask(&self, path: &str, body: Option<&Value>) -> Result<Value, String> {
        self.ask_as(&self.token, path, body)
    }

    /// The same, for whoever has this token.
    pub fn ask_as(&self, token: &str, path: &str, body: Option<&Value>) -> Result<Value, String> {
        let url = format!("{}{path}", self.url.trim_end_matches('/'));
        let request = match body {
            Some(body) => self.http.post(url).body(body.to_string()),
            None => self.http.get(url),
        };
        let request = request.header("content-type", "application/json").bearer_auth(token);
        self.runtime.block_on(async {
            let answer = request.send().await.map_err(|error| format!("{error:?}"))?;
            let (status, text) = (answer.status(), answer.text().await.unwrap_or_default());
            if !status.is_success() {
                return Err(format!("{path}: {status}: {text}"));
            }
            serde_json::from_str(&text).map_err(|error| format!("{path}: {error}: {text}"))
        })
    }

    /// Asks until the answer is as it should be.
    pub fn until(&self, path: &str, log: &Path, wanted: impl Fn(&Value) -> bool) -> Value {
        let what = || match self.ask(path, None) {
            Ok(answer) if wanted(&answer) => Ok(answer),
            Ok(answer) => Err(format!("{answer:#}")),
            Err(error) => Err(error),
        };
        until(what, || tail(log))
    }
}

/// Looks until it is as it should be; what it is instead, and more to tell, where that takes too long.
pub fn until<T>(mut look: impl FnMut() -> Result<T, String>, told: impl Fn() -> String) -> T {
    let begun = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(what) => assert!(begun.elapsed() < PATIENCE, "it is still {what}\n{}", told()),
        }
        std::thread::sleep(LOOK);
    }
}
