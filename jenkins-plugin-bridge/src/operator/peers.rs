//! All masters, as the gate sees them: those of resources, and those that the bridge knows.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::api::ListParams;
use kube::{Api, Client, ResourceExt as _};
use reqwest::header::{AUTHORIZATION, HeaderValue};
use reqwest::redirect::Policy;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::gate::Peer;
use super::model::JenkinsController;
use super::observe::is_ready;
use super::render::{INSTANCE, NAMED};
use crate::cluster::ClusterError;
use crate::rest::tls_client_config;

/// How long the bridge may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most bytes of its answer: ten thousand labels are less than one mebibyte.
const ANSWER: usize = 4 << 20;

/// Where the operator looks for resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// In all namespaces.
    Cluster,
    /// In one.
    Namespace(String),
}

impl Scope {
    /// An API of this scope.
    #[must_use]
    pub fn api<K>(&self, client: &Client) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope>,
        K::DynamicType: Default,
    {
        match self {
            Self::Cluster => Api::all(client.clone()),
            Self::Namespace(namespace) => Api::namespaced(client.clone(), namespace),
        }
    }
}

/// How the bridge is asked which masters are ready.
#[derive(Debug, Clone)]
pub struct BridgeQuestion {
    /// Its address.
    pub url: String,
    /// File with a token of the scope `masters:read`.
    pub token_file: PathBuf,
    /// PEM files with authorities to trust besides the system's.
    pub ca_files: Vec<PathBuf>,
}

#[derive(Debug, Deserialize)]
struct LabelRow {
    label: String,
    ready: Vec<String>,
}

/// The masters of all resources, by namespace and name.
///
/// # Errors
/// What the API server says.
pub async fn of_resources(
    client: &Client,
    scope: &Scope,
) -> Result<BTreeMap<(String, String), Peer>, ClusterError> {
    let all = scope.api::<JenkinsController>(client).list(&ListParams::default()).await;
    let all = all.map_err(|error| ClusterError::of("list the masters", error))?;
    let own = format!("{}={}", NAMED.0, NAMED.1);
    let pods = scope.api::<Pod>(client).list(&ListParams::default().labels(&own)).await;
    let pods = pods.map_err(|error| ClusterError::of("list the pods of masters", error))?;
    let ready = |namespace: &str, name: &str| {
        pods.items.iter().any(|pod| {
            pod.namespace().as_deref() == Some(namespace)
                && pod.labels().get(INSTANCE).map(String::as_str) == Some(name)
                && pod.metadata.deletion_timestamp.is_none()
                && is_ready(pod)
        })
    };
    let peers = all.items.iter().map(|one| {
        let (namespace, name) = (one.namespace().unwrap_or_default(), one.name_any());
        let changing = one.status.as_ref().is_some_and(|status| status.phase.is_upgrade());
        let leaves = one.metadata.deletion_timestamp.is_some();
        let peer = Peer {
            name: format!("{namespace}/{name}"),
            labels: one.spec.labels.iter().cloned().collect(),
            ready: !changing && !leaves && ready(&namespace, &name),
            changing,
        };
        ((namespace, name), peer)
    });
    Ok(peers.collect())
}

/// The masters that the bridge knows and that are ready.
///
/// # Errors
/// Why it did not answer. A gate that cannot know stays closed.
pub async fn of_bridge(question: &BridgeQuestion) -> Result<Vec<Peer>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("the bridge cannot be asked: {error}");
    let token = tokio::fs::read_to_string(&question.token_file).await;
    let token = Zeroizing::new(token.map_err(|error| failed(&error))?);
    let tls = tls_client_config(&question.ca_files).map_err(|error| failed(&error))?;
    let client = reqwest::Client::builder().tls_backend_preconfigured(tls).timeout(PATIENCE);
    let client = client.redirect(Policy::none()).build().map_err(|error| failed(&error))?;
    let url = format!("{}/v1/labels", question.url.trim_end_matches('/'));
    let header = Zeroizing::new(format!("Bearer {}", token.trim()));
    let mut header = HeaderValue::from_str(&header).map_err(|error| failed(&error))?;
    header.set_sensitive(true);
    let answer = client.get(url).header(AUTHORIZATION, header).send().await;
    let answer = answer.and_then(reqwest::Response::error_for_status);
    let mut answer = answer.map_err(|error| failed(&error))?;
    let mut bytes = Vec::new();
    while let Some(part) = answer.chunk().await.map_err(|error| failed(&error))? {
        if bytes.len() + part.len() > ANSWER {
            return Err(failed(&format!("its answer has more than {ANSWER} bytes")));
        }
        bytes.extend_from_slice(&part);
    }
    let rows: Vec<LabelRow> = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
    let mut peers: BTreeMap<String, Peer> = BTreeMap::new();
    for row in rows {
        for name in row.ready {
            let peer = peers.entry(name.clone()).or_insert_with(|| Peer {
                name,
                ready: true,
                ..Peer::default()
            });
            peer.labels.insert(row.label.clone());
        }
    }
    Ok(peers.into_values().collect())
}
