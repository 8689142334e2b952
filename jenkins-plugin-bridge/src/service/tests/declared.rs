//! Masters that resources declare, over an API server that has such resources and tells of changes, as far as a client
//! of it sees.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};
use base64::Engine as _;
use futures_util::stream;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};

use super::fence::serve;
use super::routed::unreachable_masters;
use crate::masters::{Registry, Resources, follow_resources};
use crate::operator::Scope;

/// What the API server has.
#[derive(Default)]
struct Cluster {
    controllers: Mutex<Vec<Value>>,
    tokens: Mutex<Vec<(String, String)>>,
    watcher: Mutex<Option<mpsc::UnboundedSender<String>>>,
}

impl Cluster {
    fn tell(&self, kind: &str, object: &Value) {
        let line = json!({"type": kind, "object": object}).to_string() + "\n";
        self.watcher.lock().unwrap().as_ref().unwrap().send(line).unwrap();
    }
}

async fn controllers(
    State(cluster): State<Arc<Cluster>>,
    Query(query): Query<BTreeMap<String, String>>,
) -> Response {
    if query.contains_key("watch") {
        let (sender, receiver) = mpsc::unbounded_channel();
        *cluster.watcher.lock().unwrap() = Some(sender);
        let lines = stream::unfold(receiver, async |mut receiver| {
            let line: String = receiver.recv().await?;
            Some((Ok::<_, Infallible>(line), receiver))
        });
        return Body::from_stream(lines).into_response();
    }
    let items = cluster.controllers.lock().unwrap().clone();
    let list = json!({"apiVersion": "pilotfish.io/v1alpha1", "kind": "JenkinsControllerList",
        "metadata": {"resourceVersion": "1"}, "items": items});
    Json(list).into_response()
}

async fn secret(
    State(cluster): State<Arc<Cluster>>,
    Path((_, name)): Path<(String, String)>,
) -> Response {
    let tokens = cluster.tokens.lock().unwrap();
    let Some((_, token)) = tokens.iter().find(|(own, _)| *own == name) else {
        let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": 404,
            "reason": "NotFound", "message": "secrets not found"});
        return (StatusCode::NOT_FOUND, Json(status)).into_response();
    };
    let token = base64::engine::general_purpose::STANDARD.encode(token);
    let secret = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "namespace": "ci"}, "data": {"token": token}});
    Json(secret).into_response()
}

fn controller(name: &str, url: &str, phase: &str, version: &str) -> Value {
    json!({"apiVersion": "pilotfish.io/v1alpha1", "kind": "JenkinsController",
        "metadata": {"name": name, "namespace": "ci", "uid": name, "resourceVersion": version},
        "spec": {"image": "jenkins:2.555", "labels": ["linux", name], "storage": {"size": "1Gi"}, "url": url,
            "bridge": {"user": "pilotfish", "tokenSecret": name, "capacity": 7, "zone": "eu"}},
        "status": {"phase": phase, "ready": true, "message": if phase == "Running" { "" } else { "2 builds run" }}})
}

fn names(registry: &Registry) -> Vec<String> {
    registry.all().iter().map(|one| one.name.clone()).collect()
}

#[tokio::test]
async fn resources_add_masters_hold_them_and_take_them_away() {
    let cluster = Arc::new(Cluster::default());
    let mut silent = controller("silent", "http://127.0.0.1:4/", "Running", "1");
    silent["spec"].as_object_mut().unwrap().remove("bridge");
    *cluster.controllers.lock().unwrap() = vec![
        controller("a", "http://127.0.0.1:2/", "Running", "1"),
        controller("b", "http://127.0.0.1:3/", "Draining", "1"),
        controller("without-secret", "http://127.0.0.1:5/", "Running", "1"),
        // The file has its address, as `main`.
        controller("twice", "http://127.0.0.1:1", "Running", "1"),
        silent,
    ];
    for name in ["a", "b", "twice"] {
        cluster.tokens.lock().unwrap().push((name.to_owned(), "11aabb\n".to_owned()));
    }
    let router = Router::new()
        .route("/apis/pilotfish.io/v1alpha1/namespaces/ci/jenkinscontrollers", get(controllers))
        .route("/api/v1/namespaces/{namespace}/secrets/{name}", get(secret))
        .with_state(Arc::clone(&cluster));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve(listener, router));
    let client =
        kube::Client::try_from(kube::Config::new(format!("http://{address}").parse().unwrap()))
            .unwrap();
    let registry = unreachable_masters();
    let changed = Arc::new(Notify::new());
    let (own, told) = (Arc::clone(&registry), Arc::clone(&changed));
    let task = tokio::spawn(async move {
        let from = Resources { client, scope: Scope::Namespace("ci".to_owned()), is_outside: true };
        follow_resources(&own, from, || told.notify_one()).await;
    });
    while names(&registry).len() < 3 {
        changed.notified().await;
    }
    assert_eq!(names(&registry), ["a", "b", "main"]);
    let master = registry.get("a").unwrap();
    assert_eq!(master.labels(), BTreeSet::from(["a".to_owned(), "linux".to_owned()]));
    assert_eq!((master.capacity(), master.spec.user.as_str()), (7, "pilotfish"));
    assert_eq!(master.refusal(0).unwrap(), "it was not looked at yet");
    let refusal = "it is being changed (Draining: 2 builds run)";
    assert_eq!(registry.get("b").unwrap().refusal(0).unwrap(), refusal);
    assert!(!format!("{:?}", registry.get("a").unwrap()).contains("11aabb"));

    // Its gate has passed; it is the same master with what is known about it.
    let before = registry.get("b").unwrap();
    while cluster.watcher.lock().unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    cluster.tell("MODIFIED", &controller("b", "http://127.0.0.1:3/", "Running", "2"));
    while before.hold().is_some() {
        changed.notified().await;
    }
    assert!(Arc::ptr_eq(&before, &registry.get("b").unwrap()));
    // Another token is another client.
    cluster.tokens.lock().unwrap()[0].1 = "11ccdd".to_owned();
    cluster.tell("MODIFIED", &controller("a", "http://127.0.0.1:2/", "Running", "3"));
    while Arc::ptr_eq(&master, &registry.get("a").unwrap()) {
        changed.notified().await;
    }
    // Those of the file stay.
    cluster.tell("DELETED", &controller("a", "http://127.0.0.1:2/", "Running", "4"));
    while registry.get("a").is_some() {
        changed.notified().await;
    }
    assert_eq!(names(&registry), ["b", "main"]);
    task.abort();
}
