//! The cluster of a place: that of the operator, or one that Cluster API or Crossplane has made.

use k8s_openapi::api::core::v1::Secret;
use kube::api::{DynamicObject, GroupVersionKind};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::TypeMeta;
use kube::{Api, Client, Config, ResourceExt as _};
use serde_json::Value;
use zeroize::Zeroizing;

use super::model::{BuildCluster, ClusterRef, KubeconfigSecret};
use crate::cluster::{Cluster, ClusterError};
use crate::operator::context::Context;

/// The most bytes of a kubeconfig.
const BYTES: usize = 1 << 20;

/// The cluster of a place.
#[derive(Debug)]
pub(super) enum Target {
    /// It can be used.
    Ready(Cluster),
    /// Not yet, and why.
    NotYet(String),
    /// The object that was the cluster is not there.
    Gone,
}

/// Finds it.
///
/// # Errors
/// What the API server says, and a kubeconfig that cannot be used.
pub(super) async fn of(context: &Context, place: &BuildCluster) -> Result<Target, ClusterError> {
    let name = place.name_any();
    let Some(reference) = &place.spec.cluster_ref else {
        return match &place.spec.kubeconfig {
            None => Ok(Target::Ready(Cluster::of(&name, context.client.clone()))),
            Some(secret) => connect(context, place, secret).await,
        };
    };
    let Some(object) = find(context, place, reference).await? else { return Ok(Target::Gone) };
    if let Some(why) = not_ready(&object.data) {
        return Ok(Target::NotYet(format!(
            "{} {} is not ready: {why}",
            reference.kind, reference.name
        )));
    }
    let secret = place.spec.kubeconfig.clone().unwrap_or_else(|| kubeconfig_of(reference, &object));
    connect(context, place, &secret).await
}

async fn find(
    context: &Context,
    place: &BuildCluster,
    reference: &ClusterRef,
) -> Result<Option<DynamicObject>, ClusterError> {
    let types =
        TypeMeta { api_version: reference.api_version.clone(), kind: reference.kind.clone() };
    let kind = GroupVersionKind::try_from(types).map_err(|error| ClusterError::Settings {
        cluster: place.name_any(),
        message: format!("{}: {error}", reference.api_version),
    })?;
    let found = kube::discovery::pinned_kind(&context.client, &kind).await;
    let (resource, capabilities) = found
        .map_err(|error| ClusterError::of(&format!("find the kind {}", reference.kind), error))?;
    let namespace = place.namespace().unwrap_or_default();
    let api: Api<DynamicObject> = match capabilities.scope {
        kube::discovery::Scope::Namespaced => {
            Api::namespaced_with(context.client.clone(), &namespace, &resource)
        }
        kube::discovery::Scope::Cluster => Api::all_with(context.client.clone(), &resource),
    };
    let object = api.get_opt(&reference.name).await;
    object.map_err(|error| ClusterError::of(&format!("read the {}", reference.kind), error))
}

/// Why a cluster cannot be used yet; nothing where one of its conditions says that it can.
fn not_ready(object: &Value) -> Option<String> {
    let conditions = object["status"]["conditions"].as_array();
    let said = conditions.into_iter().flatten().filter(|one| {
        // Cluster API up to v1beta1 and Crossplane; Cluster API since v1beta2.
        one["type"] == "Ready" || one["type"] == "Available"
    });
    let mut why = "it says nothing of itself".to_owned();
    for one in said {
        if one["status"] == "True" {
            return None;
        }
        let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
        why = [text("reason"), text("message")].join(" ").trim().to_owned();
    }
    Some(why)
}

/// The Secret that goes with a cluster.
fn kubeconfig_of(reference: &ClusterRef, object: &DynamicObject) -> KubeconfigSecret {
    // What Crossplane writes is where the object says.
    let connection = &object.data["spec"]["writeConnectionSecretToRef"]["name"];
    match connection.as_str() {
        Some(secret) => KubeconfigSecret { secret: secret.to_owned(), key: "kubeconfig".into() },
        None => KubeconfigSecret {
            secret: format!("{}-kubeconfig", reference.name),
            key: "value".into(),
        },
    }
}

async fn connect(
    context: &Context,
    place: &BuildCluster,
    wanted: &KubeconfigSecret,
) -> Result<Target, ClusterError> {
    let namespace = place.namespace().unwrap_or_default();
    let secrets: Api<Secret> = Api::namespaced(context.client.clone(), &namespace);
    let secret = secrets.get_opt(&wanted.secret).await;
    let secret = secret.map_err(|error| ClusterError::of("read the kubeconfig", error))?;
    let bytes = secret.and_then(|one| one.data).and_then(|mut data| data.remove(&wanted.key));
    let Some(bytes) = bytes else {
        let (secret, key) = (&wanted.secret, &wanted.key);
        return Ok(Target::NotYet(format!("the Secret {secret} has no kubeconfig in {key} yet")));
    };
    let bytes = Zeroizing::new(bytes.0);
    let name = place.name_any();
    let failed = |message: String| ClusterError::Settings { cluster: name.clone(), message };
    if bytes.len() > BYTES {
        return Err(failed(format!("its kubeconfig has more than {BYTES} bytes")));
    }
    let text = std::str::from_utf8(&bytes).map_err(|error| failed(error.to_string()))?;
    let read = Kubeconfig::from_yaml(text).map_err(|error| failed(error.to_string()))?;
    harmless(&read).map_err(&failed)?;
    let config = Config::from_custom_kubeconfig(read, &KubeConfigOptions::default()).await;
    let config = config.map_err(|error| failed(error.to_string()))?;
    let client = Client::try_from(config).map_err(|error| failed(error.to_string()))?;
    Ok(Target::Ready(Cluster::of(&name, client)))
}

/// A kubeconfig of somebody else may start no program here and read no file.
pub(super) fn harmless(config: &Kubeconfig) -> Result<(), String> {
    for user in config.auth_infos.iter().filter_map(|one| one.auth_info.as_ref()) {
        if user.exec.is_some() || user.auth_provider.is_some() {
            return Err(
                "its kubeconfig starts a program; give one with a token or a certificate".into()
            );
        }
        if user.token_file.is_some()
            || user.client_certificate.is_some()
            || user.client_key.is_some()
        {
            return Err("its kubeconfig names files; give one that has everything in itself".into());
        }
    }
    let clusters = config.clusters.iter().filter_map(|one| one.cluster.as_ref());
    if clusters.into_iter().any(|one| one.certificate_authority.is_some()) {
        return Err("its kubeconfig names files; give one that has everything in itself".into());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_kubeconfig_that_starts_programs_or_reads_files_is_refused() {
        let config = |user: &str, cluster: &str| {
            let text = format!(
                "{{clusters: [{{name: a, cluster: {{server: 'https://a'{cluster}}}}}], \
                 users: [{{name: a, user: {{{user}}}}}], contexts: []}}"
            );
            harmless(&Kubeconfig::from_yaml(&text).unwrap())
        };
        assert_eq!(config("token: t", ""), Ok(()));
        let exec = "exec: {apiVersion: client.authentication.k8s.io/v1, command: sh}";
        assert!(config(exec, "").unwrap_err().contains("starts a program"));
        assert!(config("tokenFile: /run/secrets/token", "").unwrap_err().contains("names files"));
        assert!(config("client-key: /k", "").unwrap_err().contains("names files"));
        let authority = ", certificate-authority: /etc/passwd";
        assert!(config("token: t", authority).unwrap_err().contains("names files"));
    }

    #[test]
    fn a_cluster_is_used_once_it_says_that_it_is_ready() {
        let object = |kind: &str, status: &str| {
            let one =
                json!({"type": kind, "status": status, "reason": "Scaling", "message": "wait"});
            not_ready(
                &json!({"status": {"conditions": [{"type": "Other", "status": "False"}, one]}}),
            )
        };
        assert_eq!(object("Ready", "True"), None);
        assert_eq!(object("Available", "True"), None);
        assert_eq!(object("Ready", "False").as_deref(), Some("Scaling wait"));
        assert_eq!(not_ready(&json!({})).as_deref(), Some("it says nothing of itself"));
    }
}
