//! Leases of `coordination.k8s.io`: of several operators one acts.

use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff::Timestamp;
use kube::api::PostParams;
use kube::{Api, Client};
use serde_json::json;

use super::MANAGER;
use crate::cluster::ClusterError;
use crate::service::Leases;

/// What the object says of how long a lease holds, in seconds. Whoever waits goes by how long it has seen
/// the lease stand still, not by clocks of others.
const SECONDS: i32 = 10;

/// Leases in a namespace.
#[derive(Clone)]
pub struct KubernetesLeases(Api<Lease>);

impl KubernetesLeases {
    /// Those of a namespace.
    #[must_use]
    pub fn of(client: Client, namespace: &str) -> Self {
        Self(Api::namespaced(client, namespace))
    }

    /// Writes a lease that is still the one that was read. False where it is another one.
    async fn write(&self, name: &str, lease: &Lease) -> Result<bool, ClusterError> {
        match self.0.replace(name, &PostParams::default(), lease).await {
            Ok(_) => Ok(true),
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => Err(ClusterError::of("write the lease", error)),
        }
    }
}

impl Leases for KubernetesLeases {
    type Row = Lease;
    type Error = ClusterError;

    fn holder(row: &Lease) -> &str {
        let spec = row.spec.as_ref();
        spec.and_then(|spec| spec.holder_identity.as_deref()).unwrap_or_default()
    }

    async fn read(&self, name: &str) -> Result<Lease, ClusterError> {
        let failed = |error| ClusterError::of("read the lease", error);
        if let Some(lease) = self.0.get_opt(name).await.map_err(failed)? {
            return Ok(lease);
        }
        let new = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
            "metadata": {"name": name, "labels": {"app.kubernetes.io/managed-by": MANAGER}}});
        let new: Lease = serde_json::from_value(new)
            .map_err(|error| ClusterError::of("make the lease", kube::Error::SerdeError(error)))?;
        match self.0.create(&PostParams::default(), &new).await {
            Ok(lease) => Ok(lease),
            Err(kube::Error::Api(status)) if status.code == 409 => {
                self.0.get(name).await.map_err(failed)
            }
            Err(error) => Err(ClusterError::of("make the lease", error)),
        }
    }

    async fn take(&self, name: &str, seen: &Lease, holder: &str) -> Result<bool, ClusterError> {
        let mut lease = seen.clone();
        let spec = lease.spec.get_or_insert_default();
        let now = MicroTime(Timestamp::now());
        if spec.holder_identity.as_deref() != Some(holder) {
            spec.lease_transitions = Some(spec.lease_transitions.unwrap_or(0).saturating_add(1));
            spec.acquire_time = Some(now.clone());
        }
        spec.holder_identity = Some(holder.to_owned());
        spec.lease_duration_seconds = Some(SECONDS);
        spec.renew_time = Some(now);
        self.write(name, &lease).await
    }

    async fn renew(&self, name: &str, holder: &str) -> Result<bool, ClusterError> {
        let lease = self.read(name).await?;
        if Self::holder(&lease) != holder {
            return Ok(false);
        }
        self.take(name, &lease, holder).await
    }

    async fn give_up(&self, name: &str, holder: &str) -> Result<(), ClusterError> {
        let mut lease = self.read(name).await?;
        if Self::holder(&lease) != holder {
            return Ok(());
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = None;
        }
        self.write(name, &lease).await.map(drop)
    }
}
