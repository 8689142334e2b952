//! A connection to a cluster.

use std::time::Duration;

use k8s_openapi::api::core::v1::Pod;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};

use super::config::ClusterSettings;
use super::error::{ClusterError, causes};

/// How long an API server may take to be reached.
const CONNECT: Duration = Duration::from_secs(5);

/// A cluster.
#[derive(Clone)]
pub struct Cluster {
    /// In messages; empty for the one that needs no name.
    pub name: String,
    pub(super) client: Client,
    namespace: String,
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Cluster {
    /// Reads how the cluster is reached. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClusterError::Settings`].
    pub async fn connect(name: &str, settings: &ClusterSettings) -> Result<Self, ClusterError> {
        let failed = |error: &dyn std::error::Error| ClusterError::Settings {
            cluster: if name.is_empty() { "of the kubeconfig".into() } else { name.to_owned() },
            message: causes(error),
        };
        let options =
            KubeConfigOptions { context: settings.context.clone(), ..KubeConfigOptions::default() };
        let mut config = match &settings.kubeconfig {
            _ if settings.in_cluster => Config::incluster().map_err(|error| failed(&error))?,
            Some(path) => {
                let file = Kubeconfig::read_from(path).map_err(|error| failed(&error))?;
                let made = Config::from_custom_kubeconfig(file, &options).await;
                made.map_err(|error| failed(&error))?
            }
            None if settings.context.is_some() => {
                let made = Config::from_kubeconfig(&options).await;
                made.map_err(|error| failed(&error))?
            }
            None => Config::infer().await.map_err(|error| failed(&error))?,
        };
        config.connect_timeout = Some(CONNECT);
        let namespace = config.default_namespace.clone();
        let client = Client::try_from(config).map_err(|error| failed(&error))?;
        Ok(Self { name: name.to_owned(), client, namespace })
    }

    /// A cluster that a client speaks to.
    pub(crate) fn of(name: &str, client: Client) -> Self {
        let namespace = client.default_namespace().to_owned();
        Self { name: name.to_owned(), client, namespace }
    }

    /// The client below it.
    pub(crate) fn client(&self) -> Client {
        self.client.clone()
    }

    /// The namespace of the connection.
    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }

    /// The namespace of a pod, or that of the connection.
    pub(super) fn namespace_of<'a>(&'a self, pod: &'a Pod) -> &'a str {
        pod.metadata.namespace.as_deref().unwrap_or(&self.namespace)
    }

    /// Pods of a namespace; that of the connection unless given.
    pub(super) fn pods(&self, namespace: Option<&str>) -> Api<Pod> {
        Api::namespaced(self.client.clone(), namespace.unwrap_or(&self.namespace))
    }
}
