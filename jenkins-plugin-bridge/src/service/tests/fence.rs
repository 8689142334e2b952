//! The fence over an API server that keeps pods, as far as a client of it sees.

use std::sync::{Arc, Mutex};

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
    let lost = |number: u32| Lost {
        build: "r-1".into(),
        key: "k-1".into(),
        master: "main".into(),
        url: format!("https://ci/job/go/job/pay/{number}/"),
    };
    let why = |fenced: Fenced| match fenced {
        Fenced::Unknown(why) => why,
        Fenced::Gone => "gone".to_owned(),
    };
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
