//! What agents that wait ask, over HTTP.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use async_trait::async_trait;
use serde_json::{Value, json};

use super::board::Browser;
use super::world::{OPERATOR, READER, VIEWER, World};
use crate::agents::{
    Agent, AgentState, AgentsFile, Assignment, PodOrder, Pods, Pool, Reviewed, SeenPod, Setup,
    StartedPod,
};
use crate::masters::{MastersFile, Registry};
use crate::rest::stub::{Reply, Stub, recording};
use crate::service::auth::sha256_hex;

const PATH: &str = "/v1/agents/standby";
const SECRET: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

/// A cluster that knows one token.
#[derive(Debug)]
struct OneToken;

#[async_trait]
impl Pods for OneToken {
    async fn start(&self, _: &PodOrder<'_>) -> Result<StartedPod, String> {
        Err("nothing is started here".to_owned())
    }

    async fn delete(&self, _: &str, _: &str) -> Result<(), String> {
        Ok(())
    }

    async fn list(&self, _: &str) -> Result<BTreeMap<String, SeenPod>, String> {
        Ok(BTreeMap::new())
    }

    async fn review(&self, _: &str, token: &str) -> Result<Option<Reviewed>, String> {
        let pod = || Reviewed { pod: "pilotfish-p-b1".into(), uid: "u1".into() };
        Ok((token == "of-the-pod").then(pod))
    }

    fn check(&self, _: &Pool) -> Result<(), String> {
        Ok(())
    }
}

/// A service with a master that tells the secret of any node, and a pool.
async fn world() -> (World, Stub) {
    let stub = Stub::start(|_| {
        let reply = recording(34).reply;
        Reply { body: reply.body.replace("&lt;64 hex digits&gt;", SECRET), ..reply }
    })
    .await;
    let world = with_master(&stub.url).await;
    (world, stub)
}

/// A service with a master at this address, and a pool.
async fn with_master(url: &str) -> World {
    let mut token = tempfile::NamedTempFile::new().unwrap();
    token.write_all(b"11aabb").unwrap();
    let text = format!(
        "api: pilotfish/v1\nkind: masters\nmasters:\n  north: {{url: '{}', user: bridge, token_file: {}, \
         proxy: none, labels: [linux]}}\n",
        url,
        token.path().display()
    );
    let masters = Registry::of(&MastersFile::read("m", &text).unwrap()).unwrap();
    let world = World::with_masters(Arc::new(masters)).await;
    let file = "api: pilotfish/v1\nkind: agents\nbridge: https://b\npools: {p: {labels: [x], profile: q}}\n";
    let file = AgentsFile::read("agents.yaml", file).unwrap();
    world.service.agents.set_up(Setup::new(&file, Arc::new(OneToken)));
    world
}

async fn add(world: &World, id: &str, token: Option<&str>) {
    let agent = Agent::new(id.to_owned(), "p", world.service.now_ms());
    world.service.store.add_agent(&agent, token.map(sha256_hex).as_deref()).await.unwrap();
}

async fn claim(world: &World, id: &str) {
    let claimed = world.service.store.change_agent(id, 1, |agent| {
        let waits = agent.state == AgentState::Waiting;
        agent.state = AgentState::Claimed;
        agent.master = Some("north".to_owned());
        agent.node = Some("agent-77".to_owned());
        agent.made_ms = Some(1);
        waits
    });
    assert!(claimed.await.unwrap().is_some());
}

async fn state(world: &World, id: &str) -> AgentState {
    world.service.store.agent(id).await.unwrap().unwrap().0.state
}

async fn until_waiting(world: &World, id: &str) {
    while state(world, id).await != AgentState::Waiting {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn an_agent_waits_is_given_a_node_and_takes_it_once() {
    let (world, _stub) = world().await;
    add(&world, "a1", Some("pfs_1")).await;
    let ask = json!({"id": "a1"});
    let asking = world.post(PATH, "pfs_1", &ask);
    let claiming = async {
        until_waiting(&world, "a1").await;
        claim(&world, "a1").await;
        let given = Assignment {
            url: "http://north/".to_owned(),
            node: "agent-77".to_owned(),
            secret: SECRET.to_owned().into(),
            one_use: true,
        };
        assert!(!format!("{given:?}").contains(SECRET));
        world.service.agents.assign("a1", given);
    };
    let (answer, ()) = tokio::join!(asking, claiming);
    let claimed = json!({
        "state": "claimed", "url": "http://north/", "node": "agent-77", "secret": SECRET, "one_use": true,
    });
    assert_eq!(answer.ok(), claimed);
    // The answer may have been lost: the same agent gets the same node again.
    assert_eq!(world.post(PATH, "pfs_1", &ask).await.ok(), claimed);
    let taken = json!({"id": "a1", "taken": true});
    assert_eq!(world.post(PATH, "pfs_1", &taken).await.ok(), json!({"state": "taken"}));
    assert_eq!(world.post(PATH, "pfs_1", &taken).await.ok(), json!({"state": "taken"}));
    let again = world.post(PATH, "pfs_1", &ask).await.ok();
    assert_eq!(again, json!({"state": "leave", "reason": "its secret was given out before"}));
    let shown = world.get("/v1/agents", OPERATOR).await.ok();
    assert_eq!((&shown[0]["id"], &shown[0]["state"]), (&json!("a1"), &json!("claimed")));
    assert!(!shown.to_string().contains(SECRET));
    assert_eq!(world.get("/v1/agents", READER).await.status, 403);
}

#[tokio::test]
async fn an_agent_that_was_claimed_before_a_restart_gets_its_node() {
    let (world, stub) = world().await;
    add(&world, "a1", Some("pfs_1")).await;
    let ask = json!({"id": "a1"});
    let asking = world.post(PATH, "pfs_1", &ask);
    // Nothing of it is in the memory of this process.
    let claiming = async {
        until_waiting(&world, "a1").await;
        claim(&world, "a1").await;
    };
    let (answer, ()) = tokio::join!(asking, claiming);
    let answer = answer.ok();
    assert_eq!((&answer["state"], &answer["secret"]), (&json!("claimed"), &json!(SECRET)));
    let url = answer["url"].as_str().unwrap();
    assert_eq!(url.trim_end_matches('/'), stub.url.trim_end_matches('/'));
}

#[tokio::test]
async fn a_build_begins_when_its_node_takes_no_other() {
    // The node is idle, then busy, then out.
    let phase = Arc::new(AtomicUsize::new(0));
    let now = Arc::clone(&phase);
    let stub = Stub::start(move |request| {
        let phase = now.load(Relaxed);
        let node = recording(if phase < 2 { 35 } else { 39 }).cut(request.tree.as_deref());
        let body = if phase == 1 { node.body.replace(":true", ":false") } else { node.body };
        Reply { body, ..node }
    })
    .await;
    let world = with_master(&stub.url).await;
    add(&world, "a1", Some("pfs_1")).await;
    let used = json!({"id": "a1", "used": true});
    assert_eq!(world.post(PATH, "pfs_1", &used).await.ok()["state"], "leave", "it has no node");
    let waits = |agent: &mut Agent| {
        agent.state = AgentState::Waiting;
        true
    };
    world.service.store.change_agent("a1", 1, waits).await.unwrap();
    claim(&world, "a1").await;
    assert_eq!(world.post(PATH, "pfs_1", &used).await.ok(), json!({"state": "idle"}));
    phase.store(1, Relaxed);
    let asking = world.post(PATH, "pfs_1", &used);
    let taking_out = async {
        while world.service.store.agent("a1").await.unwrap().unwrap().0.busy_ms.is_none() {
            tokio::task::yield_now().await;
        }
        phase.store(2, Relaxed);
        world.service.agents.tell("a1");
    };
    let (answer, ()) = tokio::join!(asking, taking_out);
    assert_eq!(answer.ok(), json!({"state": "out"}));
    assert_eq!(stub.count("toggleOffline"), 0, "one alone throws the switch");
}

#[tokio::test]
async fn a_token_is_good_for_its_own_agent() {
    let (world, _stub) = world().await;
    add(&world, "a1", Some("pfs_1")).await;
    add(&world, "a2", Some("pfs_2")).await;
    for (id, token) in [("a1", "pfs_2"), ("a1", "pfb_operator"), ("a3", "pfs_1"), ("a1", "")] {
        let answer = world.post(PATH, token, &json!({"id": id})).await;
        assert_eq!(answer.status, 401, "{id} {token}");
    }
    assert_eq!(world.get("/v1/agents", "pfs_1").await.status, 401);
    let leaving = world.service.store.change_agent("a1", 1, |agent| {
        agent.state = AgentState::Leaving;
        agent.reason = "it is not needed".to_owned();
        true
    });
    leaving.await.unwrap();
    let leave: Value = world.post(PATH, "pfs_1", &json!({"id": "a1"})).await.ok();
    assert_eq!(leave, json!({"state": "leave", "reason": "it is not needed"}));
    let late = world.post(PATH, "pfs_1", &json!({"id": "a1", "taken": true})).await.ok();
    assert_eq!(late["state"], "leave");
}

#[tokio::test]
async fn a_cluster_says_whose_the_token_of_a_service_account_is() {
    let (world, _stub) = world().await;
    add(&world, "b1", None).await;
    add(&world, "b2", None).await;
    for (id, token) in [("b1", "other"), ("b2", "of-the-pod")] {
        assert_eq!(world.post(PATH, token, &json!({"id": id})).await.status, 401, "{id}");
    }
    let good = world.post(PATH, "of-the-pod", &json!({"id": "b1", "taken": true})).await.ok();
    assert_eq!(good["state"], "leave", "it is known, and has nothing to take");
    let other = |agent: &mut Agent| {
        agent.uid = Some("u2".to_owned());
        true
    };
    world.service.store.change_agent("b1", 1, other).await.unwrap();
    assert_eq!(world.post(PATH, "of-the-pod", &json!({"id": "b1"})).await.status, 401);
}

#[tokio::test]
async fn pools_and_agents_are_on_a_page() {
    let (world, _stub) = world().await;
    for id in ["a1", "a2", "a3"] {
        add(&world, id, None).await;
    }
    let now_ms = world.service.now_ms();
    let at_work = |agent: &mut Agent| {
        agent.state = AgentState::Claimed;
        (agent.master, agent.node) = (Some("north".to_owned()), Some(agent.pod.clone()));
        (agent.claimed_ms, agent.online_ms) = (Some(now_ms - 9_059), Some(now_ms - 9_000));
        (agent.busy_ms, agent.build) = (Some(now_ms - 1_000), Some("r-1".to_owned()));
        true
    };
    let failed = |agent: &mut Agent| {
        agent.state = AgentState::Gone;
        agent.left_ms = Some(now_ms);
        agent.reason = "<b>no image</b>".to_owned();
        true
    };
    world.service.store.change_agent("a2", now_ms, at_work).await.unwrap();
    world.service.store.change_agent("a3", now_ms, failed).await.unwrap();
    let waits = BTreeMap::from([("north".to_owned(), 7)]);
    world.service.store.save_pool_builds("p", &waits).await.unwrap();
    let pools = world.get("/v1/agents/pools", OPERATOR).await.ok();
    let count = |name: &str| pools[0][name].as_i64().unwrap();
    assert_eq!((count("starting"), count("busy"), count("waiting")), (1, 1, 0), "{pools}");
    assert_eq!(pools[0]["builds"], json!({"north": 7}));
    assert_eq!(world.get("/v1/agents/pools", READER).await.status, 403);
    let page = Browser::with(&world.url, VIEWER).await.get("/agents").await;
    let base = world.service.masters.get("north").unwrap().client.base().to_owned();
    for part in [
        "7 <span class=\"dim\">north</span>".to_owned(),
        "<span class=\"mark busy\">busy</span>".to_owned(),
        format!("<a href=\"{base}computer/pilotfish-p-a2/\">pilotfish-p-a2</a>"),
        "<a href=\"/builds/r-1\">its build</a>".to_owned(),
        "data-name=\"Claim to online\">0.1 s</td>".to_owned(),
        "&lt;b&gt;no image&lt;/b&gt;".to_owned(),
    ] {
        assert!(page.text.contains(&part), "{part}: {}", page.text);
    }
}
