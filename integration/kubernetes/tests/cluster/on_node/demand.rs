//! Agents on demand and agents that wait, as real pods: the bridge makes nodes on a simulated master and pods by the
//! real API server, with no more rights than the chart gives it; what a crash leaves behind is removed.

use std::collections::BTreeSet;
use std::net::TcpListener;

use pilotfish_bridge::agents::{Mark, Marked};
use pilotfish_bridge::rest::{Client, JobName};
use pilotfish_kubernetes::NODE_ADDRESS;
use serde_json::{Value, json};

use crate::support::account::Account;
use crate::support::chart::account_of_the_bridge;
use crate::support::front::{Front, until};
use crate::support::masters::json_of;
use crate::support::process::{Process, tail};
use crate::support::{Namespace, cluster};

/// Whose nodes and pods they are.
const OWNER: &str = "tests";
/// The label of their pods.
const AGENTS_OF: &str = "pilotfish.io/agents-of";
/// The pools: of one an agent waits at any time, those of the other are started for their builds.
const POOLS: [&str; 2] = ["warm", "cold"];

/// A job that asks for a label.
fn job(label: &str) -> String {
    format!(
        "<project><properties><hudson.model.ParametersDefinitionProperty><parameterDefinitions>\
         <hudson.model.StringParameterDefinition><name>PILOTFISH_BUILD_KEY</name><defaultValue/>\
         </hudson.model.StringParameterDefinition></parameterDefinitions>\
         </hudson.model.ParametersDefinitionProperty></properties>\
         <assignedNode>{label}</assignedNode></project>"
    )
}

struct World<'a> {
    namespace: &'a Namespace<'a>,
    front: Front,
    client: Client,
    listen: String,
    bridge: Process,
    _master: Process,
    _account: Account,
}

impl<'a> World<'a> {
    fn start(namespace: &'a Namespace<'a>) -> Self {
        let settings =
            [format!("rbac.makeAgents={{{}}}", namespace.name), "rbac.reviewTokens=true".into()];
        let account = account_of_the_bridge(namespace, &settings);
        // Secrets of nodes go over TLS only, so the bridge has a certificate of the cluster's authority.
        let pki = |name: &str| namespace.cluster.state().path(format!("pki/{name}"));
        let mut front = Front::new(&[], &[pki("ca.crt")]);
        // Agents connect to the master, too. A live one counts what waits every ten seconds.
        let times = ["--load-ms", "1000", "--stage-least-ms", "500", "--stage-most-ms", "700"];
        let (master, url) = front.start_master("north", &format!("{NODE_ADDRESS}:0"), &times);
        front
            .write_masters(&[("north", &url)], &json!({"permission": "full", "labels": ["linux"]}));
        front.write_cluster(namespace, &account, &json!({}));
        let client = Front::master(&url);
        for label in POOLS {
            let name = JobName::parse(label).unwrap();
            front.runtime.block_on(client.create_item(&name, job(label))).unwrap();
        }
        let port = TcpListener::bind((NODE_ADDRESS, 0)).unwrap().local_addr().unwrap().port();
        let listen = format!("{NODE_ADDRESS}:{port}");
        let agents = json!({"api": "pilotfish/v1", "kind": "agents", "owner": OWNER,
        "bridge": format!("https://{listen}"),
        "pools": {
            "warm": {"labels": ["warm"], "profile": "tests", "warm": {"min": 1},
                "identity": "token-review", "unused_for": "10s"},
            "cold": {"labels": ["cold"], "profile": "tests", "unused_for": "10s"},
        }});
        front.write("agents.yaml", &agents.to_string());
        let bridge = Self::start_bridge(&mut front, namespace, &listen);
        Self { namespace, front, client, listen, bridge, _master: master, _account: account }
    }

    fn start_bridge(front: &mut Front, namespace: &Namespace<'_>, listen: &str) -> Process {
        let pki = |name: &str| namespace.cluster.state().path(format!("pki/{name}"));
        let pki = |name: &str| pki(name).display().to_string();
        let (certificate, key) = (pki("apiserver.crt"), pki("apiserver.key"));
        let agents = front.path("agents.yaml").display().to_string();
        let options = ["--agents", &agents, "--tls-cert", &certificate, "--tls-key", &key];
        front.start_bridge(listen, &options)
    }

    fn restart(&mut self) {
        self.bridge = Self::start_bridge(&mut self.front, self.namespace, &self.listen);
    }

    /// Starts a build that waits for a label.
    fn build(&self, label: &str) {
        let parameters = [("PILOTFISH_BUILD_KEY".to_owned(), format!("{label}-key"))];
        let job = JobName::parse(label).unwrap();
        self.front.runtime.block_on(self.client.trigger(&job, &parameters)).unwrap();
    }

    /// The result of a build, once it has ended.
    fn ends(&self, label: &str, number: u64) -> String {
        let job = JobName::parse(label).unwrap();
        self.until(|| {
            let build = self.front.runtime.block_on(self.client.build(&job, number));
            let build = build.map_err(|error| error.to_string())?;
            build.result.ok_or_else(|| format!("build {number} of {label} has not ended"))
        })
    }

    fn until<T>(&self, look: impl FnMut() -> Result<T, String>) -> T {
        let told = || {
            let pods = self.namespace.kubectl(&["describe", "pods"]).unwrap_or_default();
            let logs = self.namespace.kubectl(&["logs", "--selector", AGENTS_OF, "--prefix"]);
            let logs = logs.unwrap_or_else(|error| error);
            format!("{}\n{pods}\n{logs}", tail(&self.front.log()))
        };
        until(look, told)
    }

    /// The first agent that is as asked for.
    fn agent(&self, wanted: impl Fn(&Value) -> bool) -> Value {
        self.until(|| {
            let all = self.front.ask("/v1/agents", None)?;
            let found = all.as_array().unwrap().iter().find(|one| wanted(one)).cloned();
            found.ok_or_else(|| format!("{all:#}"))
        })
    }

    fn pods(&self) -> BTreeSet<String> {
        let selector = format!("--selector={AGENTS_OF}={OWNER}");
        let list = json_of(self.namespace, &["get", "pods", &selector]);
        let name = |one: &Value| one["metadata"]["name"].as_str().unwrap().to_owned();
        list["items"].as_array().unwrap().iter().map(name).collect()
    }

    /// Nodes of agents, and of how many pools there is one to count by.
    fn nodes(&self) -> Result<(BTreeSet<String>, usize), String> {
        let computers = self.front.runtime.block_on(self.client.computers());
        let (mut agents, mut others) = (BTreeSet::new(), 0);
        for one in computers.map_err(|error| error.to_string())? {
            match Mark::read(&one.description).map(|mark| mark.what) {
                Some(Marked::Agent) => drop(agents.insert(one.name)),
                Some(Marked::Placeholder) => others += 1,
                None => {}
            }
        }
        Ok((agents, others))
    }

    /// Waits until nothing is left but the one agent that waits, and the nodes to count by.
    fn nothing_is_left(&self) {
        self.until(|| {
            let all = self.front.ask("/v1/agents", None)?;
            let is = |one: &&Value, state: &str| one["state"] == state;
            let here = all.as_array().unwrap().iter().filter(|one| !is(one, "gone"));
            let waiting: BTreeSet<String> = here
                .clone()
                .filter(|one| is(one, "waiting"))
                .map(|one| one["pod"].as_str().unwrap().to_owned())
                .collect();
            let (nodes, others) = self.nodes()?;
            let is_well = here.count() == 1
                && waiting.len() == 1
                && self.pods() == waiting
                && nodes.is_empty()
                && others == POOLS.len();
            let pods = self.pods();
            if is_well { Ok(()) } else { Err(format!("{nodes:?} {others} {pods:?} {all:#}")) }
        });
    }
}

#[test]
#[ignore = "needs the node of cargo xtask kubernetes test"]
fn agents_are_pods_that_are_made_claimed_and_removed_whatever_dies() {
    let cluster = cluster();
    let namespace = Namespace::enforcing(&cluster, "restricted");
    let mut world = World::start(&namespace);
    // One of somebody else's, which nobody touches.
    namespace.create(&json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": "untouched", "labels": {AGENTS_OF: "others"}}}));

    // A pod that has waited is claimed, and gone after its one build; another one waits in its place.
    let waits = world.agent(|one| one["pool"] == "warm" && one["state"] == "waiting");
    let pod = waits["pod"].as_str().unwrap().to_owned();
    let running = json_of(&namespace, &["get", "pod", &pod]);
    assert_eq!(running["metadata"]["uid"], waits["uid"]);
    world.build("warm");
    assert_eq!(world.ends("warm", 1), "SUCCESS");
    let used = world.agent(|one| one["pod"] == pod.as_str() && one["state"] == "gone");
    assert_eq!(used["node"], pod.as_str(), "the build ran there: {used}");
    assert!(used["claimed_ms"].as_i64() > waits["waiting_ms"].as_i64(), "{used}");
    assert!(used["online_ms"].is_i64(), "{used}");
    world.nothing_is_left();
    assert!(!world.pods().contains(&pod));

    // Of the other pool one is started for the build.
    world.build("cold");
    let started = world.agent(|one| one["pool"] == "cold" && one["state"] == "claimed");
    assert_eq!(world.ends("cold", 1), "SUCCESS");
    world.agent(|one| one["id"] == started["id"] && one["state"] == "gone");
    world.nothing_is_left();

    // The bridge dies while an agent is on its way, and goes on with it.
    world.build("cold");
    world.agent(|one| one["pool"] == "cold" && one["state"] == "claimed");
    world.bridge.kill();
    world.restart();
    assert_eq!(world.ends("cold", 2), "SUCCESS");
    world.nothing_is_left();

    // It dies, and its database is lost: what it had made is known by its mark, and goes once it is old enough.
    world.build("cold");
    world
        .agent(|one| one["pool"] == "cold" && one["state"] == "claimed" && one["made_ms"].is_i64());
    world.bridge.kill();
    let (pods, (nodes, _)) = (world.pods(), world.nodes().unwrap());
    assert_eq!((pods.len(), nodes.len()), (2, 1), "{pods:?} {nodes:?}");
    for file in ["db", "db-wal", "db-shm"] {
        let _ = std::fs::remove_file(world.front.path(file));
    }
    world.restart();
    world.nothing_is_left();
    assert!(world.pods().is_disjoint(&pods), "{pods:?}");
    namespace.kubectl(&["get", "secret", "untouched"]).unwrap();
}
