//! Pods of agents that wait: made with the token that they show, listed by their owner, deleted.

use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenReview, TokenReviewSpec};
use k8s_openapi::api::core::v1::{Pod, Secret};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Api;
use kube::api::{DeleteParams, PostParams};

use super::apply::MANAGER;
use super::connect::Cluster;
use super::error::ClusterError;
use crate::agents::{Reviewed, SeenPod};
use crate::pod::{AGENT_ID, OWNER, POOL, TOKEN_FILE};

/// What an API server adds to the answer about a token that is bound to a pod
/// (`k8s.io/apiserver/pkg/authentication/serviceaccount`).
const POD_NAME: &str = "authentication.kubernetes.io/pod-name";
const POD_UID: &str = "authentication.kubernetes.io/pod-uid";

impl Cluster {
    /// Creates the pod of an agent, and the Secret with its token, which goes when the pod does.
    ///
    /// # Errors
    /// What the API server says. A pod whose Secret was refused is deleted again.
    pub(crate) async fn create_agent(
        &self,
        pod: &Pod,
        token: Option<&str>,
    ) -> Result<Pod, ClusterError> {
        let parameters =
            PostParams { field_manager: Some(MANAGER.to_owned()), ..PostParams::default() };
        let namespace = self.namespace_of(pod).to_owned();
        let made = self
            .pods(Some(&namespace))
            .create(&parameters, pod)
            .await
            .map_err(|error| ClusterError::of("create the pod of an agent", error))?;
        let Some(token) = token else { return Ok(made) };
        // The pod first: whatever happens then, nothing is left that has no owner. It is there long before
        // a node asks for it.
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), &namespace);
        if let Err(error) = secrets.create(&parameters, &secret_of(&made, token)).await {
            let error = ClusterError::of("create the Secret of the pod of an agent", error);
            // The first answer is the one that counts.
            let _ = self.delete(&made).await;
            return Err(error);
        }
        Ok(made)
    }

    /// Deletes the pod of an agent by its name, which no other pod ever has. One that is gone is no error.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn delete_agent(
        &self,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), ClusterError> {
        match self.pods(namespace).delete(name, &DeleteParams::default()).await {
            Ok(_) => Ok(()),
            Err(error) => match ClusterError::of("delete the pod of an agent", error) {
                error if error.is_missing() => Ok(()),
                error => Err(error),
            },
        }
    }

    /// The pods of agents of an owner.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn agents_of(
        &self,
        namespace: Option<&str>,
        owner: &str,
    ) -> Result<Vec<SeenPod>, ClusterError> {
        let selector = format!("{OWNER}={owner}");
        let all = self.pods_with(namespace, &selector, "list the pods of agents").await?;
        Ok(all.into_iter().filter_map(seen).collect())
    }

    /// Which pod a token of a service account belongs to; nothing where it is none that is good for the
    /// audience, or of another namespace.
    ///
    /// # Errors
    /// What the API server says.
    pub(crate) async fn review(
        &self,
        token: &str,
        audience: &str,
        namespace: Option<&str>,
    ) -> Result<Option<Reviewed>, ClusterError> {
        let review = TokenReview {
            spec: TokenReviewSpec {
                audiences: Some(vec![audience.to_owned()]),
                token: Some(token.to_owned()),
            },
            ..TokenReview::default()
        };
        let reviews: Api<TokenReview> = Api::all(self.client.clone());
        let answer = reviews
            .create(&PostParams::default(), &review)
            .await
            .map_err(|error| ClusterError::of("check the token of a pod", error))?;
        Ok(reviewed(answer, audience, namespace.unwrap_or(self.namespace())))
    }
}

fn secret_of(pod: &Pod, token: &str) -> Secret {
    let meta = &pod.metadata;
    let data = (TOKEN_FILE.to_owned(), ByteString(token.as_bytes().to_vec()));
    Secret {
        metadata: ObjectMeta {
            labels: meta.labels.clone(),
            name: meta.name.clone(),
            namespace: meta.namespace.clone(),
            owner_references: Some(vec![OwnerReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: meta.name.clone().unwrap_or_default(),
                uid: meta.uid.clone().unwrap_or_default(),
                ..OwnerReference::default()
            }]),
            ..ObjectMeta::default()
        },
        data: Some([data].into()),
        immutable: Some(true),
        type_: Some("Opaque".to_owned()),
        ..Secret::default()
    }
}

fn seen(pod: Pod) -> Option<SeenPod> {
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    let ended = matches!(phase, Some("Succeeded" | "Failed"));
    let meta = pod.metadata;
    Some(SeenPod {
        name: meta.name?,
        pool: meta.labels?.get(POOL)?.clone(),
        id: meta.annotations?.get(AGENT_ID)?.clone(),
        made_ms: meta.creation_timestamp.map_or(0, |at| at.0.as_millisecond()),
        ended,
    })
}

fn reviewed(review: TokenReview, audience: &str, namespace: &str) -> Option<Reviewed> {
    let status = review.status.filter(|status| status.authenticated == Some(true))?;
    // A server that knows no audiences names none.
    if !status.audiences.iter().flatten().any(|one| one == audience) {
        return None;
    }
    let user = status.user?;
    let own = format!("system:serviceaccount:{namespace}:");
    if !user.username.as_deref().is_some_and(|name| name.starts_with(&own)) {
        return None;
    }
    let extra = user.extra.unwrap_or_default();
    let one = |name: &str| match extra.get(name).map(Vec::as_slice) {
        Some([only]) => Some(only.clone()),
        _ => None,
    };
    Some(Reviewed { pod: one(POD_NAME)?, uid: one(POD_UID)? })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn answer(change: impl FnOnce(&mut serde_json::Value)) -> TokenReview {
        // As an API server of Kubernetes 1.34 answers for the token of a volume.
        let mut review = json!({
            "apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
            "status": {"authenticated": true, "audiences": ["pilotfish-bridge"], "user": {
                "username": "system:serviceaccount:builds:default",
                "extra": {"authentication.kubernetes.io/pod-name": ["p"], "authentication.kubernetes.io/pod-uid": ["u"]},
            }},
        });
        change(&mut review["status"]);
        serde_json::from_value(review).unwrap()
    }

    #[test]
    fn only_the_token_of_a_pod_of_the_namespace_and_for_us_is_good() {
        let read = |review| reviewed(review, "pilotfish-bridge", "builds");
        let good = read(answer(|_| {})).unwrap();
        assert_eq!((good.pod.as_str(), good.uid.as_str()), ("p", "u"));
        let bad: [fn(&mut serde_json::Value); 5] = [
            |status| status["authenticated"] = json!(false),
            |status| status["audiences"] = json!(["https://kubernetes.default.svc"]),
            |status| status["audiences"] = json!(null),
            |status| status["user"]["username"] = json!("system:serviceaccount:builds2:default"),
            |status| status["user"]["extra"] = json!({}),
        ];
        for change in bad {
            assert_eq!(read(answer(change)), None);
        }
    }
}
