//! What an API server says no to: which of it is as good as a yes, and that nothing else passes for one.

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::IntoResponse as _;
use kube::Client;
use serde_json::json;
use tokio::net::TcpListener;

use super::small;
use crate::cluster::ClusterError;
use crate::operator::context::Context;
use crate::operator::objects::{gone, keep_revision, write_status};
use crate::operator::render::Revision;
use crate::operator::status::JenkinsControllerStatus;
use crate::operator::{KubernetesLeases, Scope};
use crate::service::Leases as _;
use crate::service::tests::fence::serve;

/// A client of an API server that has every lease, and answers all that would change something in the same way.
async fn refused(code: u16) -> Client {
    let answer = move |method: Method| async move {
        let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": "pilotfish-operator", "resourceVersion": "7"},
            "spec": {"holderIdentity": "us"}});
        if method == Method::GET {
            return axum::Json(lease).into_response();
        }
        // As `k8s.io/apimachinery/pkg/api/errors` writes it.
        let status = json!({"apiVersion": "v1", "kind": "Status", "status": "Failure", "code": code,
            "reason": "Because", "message": format!("no {code}")});
        (StatusCode::from_u16(code).unwrap(), axum::Json(status)).into_response()
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(serve(listener, Router::new().fallback(answer)));
    let mut config = kube::Config::new(url.parse().unwrap());
    // What is looked at is what becomes of an answer once the client has given up, which takes minutes of 503.
    config.default_retry = false;
    Client::try_from(config).unwrap()
}

fn code(error: &ClusterError) -> u16 {
    match error {
        ClusterError::Refused { code, .. } => *code,
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn what_is_there_already_was_made_and_all_else_is_a_failure() {
    let controller = small();
    let revision = Revision::of(&controller);
    for status in [409, 403, 500, 503] {
        let client = refused(status).await;
        let context = Context::new(client, Scope::Cluster, None, "us");
        let made = keep_revision(&context, &controller, &revision).await;
        match made {
            // It was made before a crash: the same name is the same revision.
            Ok(()) => assert_eq!(status, 409),
            Err(error) => {
                assert_eq!(code(&error), status);
                let text = error.to_string();
                assert!(
                    text.ends_with(&format!("make the ControllerRevision: no {status}")),
                    "{text}"
                );
            }
        }
        // A status is never taken as written that was not: the next round begins with what is there.
        let status_written = JenkinsControllerStatus::default();
        let written = write_status(&context, &controller, &status_written).await;
        assert_eq!(code(&written.unwrap_err()), status);
    }
}

#[tokio::test]
async fn a_lease_that_another_one_has_changed_is_not_ours_and_a_failure_says_nothing_of_it() {
    for status in [409, 500, 503] {
        let leases = KubernetesLeases::of(refused(status).await, "ci");
        let seen = leases.read("pilotfish-operator").await.unwrap();
        let taken = leases.take("pilotfish-operator", &seen, "us").await;
        let renewed = leases.renew("pilotfish-operator", "us").await;
        for answer in [taken, renewed] {
            match answer {
                Ok(is_ours) => assert_eq!((status, is_ours), (409, false)),
                Err(error) => assert_eq!(code(&error), status),
            }
        }
        assert!(!leases.renew("pilotfish-operator", "them").await.unwrap());
    }
}

#[tokio::test]
async fn what_is_not_there_is_gone_and_nothing_else_is() {
    for status in [404, 409, 500, 503] {
        let client = refused(status).await;
        let pods: kube::Api<k8s_openapi::api::core::v1::Pod> = kube::Api::namespaced(client, "ci");
        let deleted = pods.delete("north-0", &kube::api::DeleteParams::default()).await;
        assert_eq!(gone(deleted, "delete").is_ok(), status == 404, "{status}");
    }
}
