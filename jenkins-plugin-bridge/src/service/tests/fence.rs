//! The fence over an API server that keeps pods, as far as a client of it sees, and over pods of agents on demand.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::get;
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::build_query;
use super::world::{SHIM, World};
use crate::agents::{self, Agent, AgentState};
use crate::cluster::start::PodStart;
use crate::route::{Fence, Fenced, Lost};
use crate::service::fence::PodFence;

type Pods = Arc<Mutex<Vec<Value>>>;

async fn list(State(pods): State<Pods>) -> Json<Value> {
    let items = pods.lock().unwrap().clone();
    Json(json!({"apiVersion": "v1", "kind": "PodList", "metadata": {}, "items": items}))
}

async fn show(
    State(pods): State<Pods>,
    Path(name): Path<String>,
) -> Result<Json<Value>, (StatusCode, Json<Value>)> {
    let found = pods.lock().unwrap().iter().find(|pod| pod["metadata"]["name"] == name).cloned();
    found.map(Json).ok_or_else(|| {
        let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404,
            "reason": "NotFound", "message": "pods not found"});
        (StatusCode::NOT_FOUND, Json(status))
    })
}

async fn delete(State(pods): State<Pods>, Path(name): Path<String>) -> Json<Value> {
    pods.lock().unwrap().retain(|pod| pod["metadata"]["name"] != name);
    Json(json!({"apiVersion": "v1", "kind": "Status", "status": "Success"}))
}

fn pod(name: &str, build: &str, ready: bool) -> Value {
    json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "uid": name, "namespace": "builds",
            "annotations": {"pilotfish.io/build-id": build}},
        "status": {"phase": "Running", "containerStatuses": [{"name": "jnlp", "image": "a:1",
            "imageID": "", "ready": ready, "restartCount": 0}]}})
}

pub async fn serve(listener: TcpListener, router: Router) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let service = TowerToHyperService::new(router.clone());
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service);
        tokio::spawn(connection);
    }
}

fn lost(number: u32) -> Lost {
    Lost {
        build: "r-1".into(),
        key: "k-1".into(),
        master: "main".into(),
        url: format!("https://ci/job/go/job/pay/{number}/"),
    }
}

fn why(fenced: Fenced) -> String {
    match fenced {
        Fenced::Unknown(why) => why,
        Fenced::Gone => "gone".to_owned(),
    }
}

#[tokio::test]
async fn a_build_is_fenced_once_its_pod_was_in_use_and_is_gone() {
    let pods = Pods::default();
    let router = Router::new()
        .route("/api/v1/namespaces/builds/pods", get(list))
        .route("/api/v1/namespaces/builds/pods/{name}", get(show).delete(delete))
        .with_state(Arc::clone(&pods));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let server = tokio::spawn(serve(listener, router));
    let world = World::with_cluster(&format!("http://{address}")).await;
    let fence = PodFence::new(Arc::clone(&world.service));
    let elsewhere = Lost { master: "second".into(), ..lost(7) };
    assert!(why(fence.fence(&elsewhere).await).contains("no pods that this bridge knows"));
    assert!(why(fence.fence(&lost(7)).await).contains("asked for no plan yet"));

    let mut ids = Vec::new();
    for number in [7, 8, 9] {
        let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", number)).await.ok();
        ids.push(answer["build"]["id"].as_str().unwrap().to_owned());
    }
    assert!(why(fence.fence(&lost(7)).await).contains("no pod of it was seen yet"));
    let other = pod("other", &ids[2], true);
    pods.lock().unwrap().extend([pod("early", &ids[0], false), other]);
    assert!(why(fence.fence(&lost(7)).await).contains("before its agent was connected"));
    assert_eq!(pods.lock().unwrap().len(), 1, "that of another build stays");
    pods.lock().unwrap().push(pod("second", &ids[0], true));
    assert_eq!(fence.fence(&lost(7)).await, Fenced::Gone);
    assert_eq!(pods.lock().unwrap().len(), 1);

    // One that was seen to be in use and is not there any more.
    let start = PodStart { pod: "p".into(), node: None, phases: <_>::default(), failure: None };
    let body = serde_json::to_string(&start).unwrap();
    world.service.store.save_start(&ids[1], &body, 1).await.unwrap();
    assert_eq!(fence.fence(&lost(8)).await, Fenced::Gone);

    server.abort();
    let _ = server.await;
    assert!(why(fence.fence(&lost(9)).await).contains("list the pods of builds"));
}

/// Agents' pods that go when they are deleted, unless their node does not answer.
#[derive(Debug, Default)]
struct AgentPods {
    there: Mutex<BTreeMap<String, bool>>,
}

#[async_trait]
impl agents::Pods for AgentPods {
    async fn start(&self, _: &agents::PodOrder<'_>) -> Result<agents::StartedPod, String> {
        Err("nothing is started here".to_owned())
    }

    async fn delete(&self, pool: &str, name: &str) -> Result<(), String> {
        assert_eq!(pool, "p");
        let mut there = self.there.lock().unwrap();
        let goes = *there.get(name).unwrap_or(&true);
        if goes {
            there.remove(name);
        }
        Ok(())
    }

    async fn list(&self, owner: &str) -> Result<BTreeMap<String, agents::SeenPod>, String> {
        assert_eq!(owner, "pilotfish");
        let seen = |name: &String| agents::SeenPod {
            name: name.clone(),
            pool: "p".to_owned(),
            id: name.clone(),
            made_ms: 1,
            ended: false,
        };
        Ok(self.there.lock().unwrap().keys().map(|name| (name.clone(), seen(name))).collect())
    }

    async fn review(&self, _: &str, _: &str) -> Result<Option<agents::Reviewed>, String> {
        Ok(None)
    }

    fn check(&self, _: &agents::Pool) -> Result<(), String> {
        Ok(())
    }
}

#[tokio::test]
async fn a_build_is_fenced_once_the_agent_that_is_its_own_is_gone() {
    let world = World::sqlite().await;
    let file = "api: pilotfish/v1\nkind: agents\nbridge: https://b\n\
                pools: {p: {labels: [x], profile: q, builds: true, masters: [main]}}\n";
    let file = agents::AgentsFile::read("agents.yaml", file).unwrap();
    let pods = Arc::new(AgentPods::default());
    world.service.agents.set_up(agents::Setup::new(&file, Arc::clone(&pods) as _));
    let store = &world.service.store;
    let patience = Duration::from_millis(50);
    let fence = PodFence::new(Arc::clone(&world.service)).with_patience(patience);
    let elsewhere = Lost { master: "second".into(), ..lost(7) };
    assert!(why(fence.fence(&elsewhere).await).contains("no pods that this bridge knows"));
    let plan = async |number: u32| {
        let answer = world.post("/v1/plans", SHIM, &build_query("go/pay", number)).await.ok();
        answer["build"]["id"].as_str().unwrap().to_owned()
    };
    let agent = async |id: &str, build: &str, taken: bool| {
        let new = Agent::new(id.to_owned(), "p", 1);
        store.add_agent(&new, None).await.unwrap();
        let claimed = store.change_agent(id, 1, |agent| {
            agent.state = AgentState::Claimed;
            agent.build = Some(build.to_owned());
            agent.taken_ms = taken.then_some(2);
            true
        });
        let pod = claimed.await.unwrap().unwrap().pod;
        pods.there.lock().unwrap().insert(pod.clone(), true);
        pod
    };
    let (seven, eight) = (plan(7).await, plan(8).await);
    assert_eq!(store.agent_wishes().await.unwrap().len(), 2);
    assert!(why(fence.fence(&lost(7)).await).contains("no pod of it was seen yet"));
    assert_eq!(store.agent_wishes().await.unwrap().len(), 1, "no agent is made for it any more");
    // One that had not connected is no proof that nothing was done.
    agent("a1", &seven, false).await;
    assert!(why(fence.fence(&lost(7)).await).contains("before its agent was connected"));
    let (own, other) = (agent("a2", &seven, true).await, agent("a3", &eight, true).await);
    *pods.there.lock().unwrap().get_mut(&own).unwrap() = false;
    assert!(why(fence.fence(&lost(7)).await).contains("is deleted and not gone: see its node"));
    *pods.there.lock().unwrap().get_mut(&own).unwrap() = true;
    assert_eq!(fence.fence(&lost(7)).await, Fenced::Gone);
    assert_eq!(pods.there.lock().unwrap().keys().collect::<Vec<_>>(), [&other]);
    let state = async |id: &str| store.agent(id).await.unwrap().unwrap().0.state;
    assert_eq!((state("a2").await, state("a3").await), (AgentState::Leaving, AgentState::Claimed));
    // Asked again, also after everything of the agent is gone.
    assert_eq!(fence.fence(&lost(7)).await, Fenced::Gone);
    let gone = |agent: &mut Agent| {
        agent.state = AgentState::Gone;
        true
    };
    store.change_agent("a2", 3, gone).await.unwrap();
    assert_eq!(fence.fence(&lost(7)).await, Fenced::Gone);
}
