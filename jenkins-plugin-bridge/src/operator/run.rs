//! The `operator` command.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use futures_util::StreamExt as _;
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::api::batch::v1::Job;
use kube::runtime::controller::{Action, Config};
use kube::runtime::finalizer::{Event, finalizer};
use kube::runtime::{Controller, watcher};
use kube::{Api, Resource, ResourceExt as _};
use tracing::level_filters::LevelFilter;

use super::builds::model::BuildCluster;
use super::context::Context;
use super::health::{self, Health, Watched};
use super::lease::KubernetesLeases;
use super::model::JenkinsController;
use super::peers::{BridgeQuestion, Scope};
use super::release::Leaving;
use super::{builds, prune, reconcile};
use crate::cluster::{Cluster, ClusterError, ClusterSettings};
use crate::error::BridgeError;
use crate::service::{LeaseTimes, LogFormat, lead, replica, start_log, stop};

/// What keeps a resource until its master is stopped.
pub(super) const FINALIZER: &str = "pilotfish.io/operator";
/// Name of the lease.
pub(super) const LEASE: &str = "pilotfish-operator";
/// After something went wrong.
const AGAIN: Duration = Duration::from_secs(10);
/// Resources that are worked on at once: each waits for the API server most of the time.
const AT_ONCE: u16 = 16;

/// `operator`: makes what resources ask for.
#[derive(Debug, Clone, Args)]
pub struct OperatorArgs {
    /// Namespace whose resources it works on; all unless given.
    #[arg(long, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Namespace of the lease by which one of several replicas works; that of the program's own pod, or
    /// of the kubeconfig, unless given.
    #[arg(long, value_name = "NAME")]
    pub lease_namespace: Option<String>,
    /// Kubeconfig; that of KUBECONFIG, else ~/.kube/config, else the cluster that the program runs in.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Address of the bridge: its masters count, too, when one is to be stopped.
    #[arg(long, value_name = "URL", requires = "bridge_token_file")]
    pub bridge_url: Option<String>,
    /// File with a token for it, with the scope masters:read.
    #[arg(long, value_name = "FILE", requires = "bridge_url")]
    pub bridge_token_file: Option<PathBuf>,
    /// PEM file with authorities of the bridge to trust besides the system's.
    #[arg(long, value_name = "FILE")]
    pub bridge_ca_file: Vec<PathBuf>,
    /// Where it answers probes, as 0.0.0.0:8081: `/healthz` while it goes on, `/readyz` while the API server answers.
    #[arg(long, value_name = "ADDRESS")]
    pub health_address: Option<SocketAddr>,
    /// Take the operator's finalizer away from all resources and end: they can be deleted without an operator then.
    /// What they made stays as it is; an operator that is started later takes them up again.
    #[arg(long, conflicts_with_all = ["health_address", "bridge_url"])]
    pub remove_finalizers: bool,
    /// Deployment of the operator in the namespace of the lease: it is deleted first, and seen gone.
    #[arg(long, value_name = "NAME", requires = "remove_finalizers")]
    pub deployment: Option<String>,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// How much is written: error, warn, info, debug.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LevelFilter,
}

/// Runs the operator until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting.
pub async fn operate(args: &OperatorArgs) -> Result<(), BridgeError> {
    start_log(args.log_format, args.log_level)?;
    let settings =
        ClusterSettings { kubeconfig: args.kubeconfig.clone(), ..ClusterSettings::default() };
    let cluster = Cluster::connect("", &settings).await?;
    let scope = args.namespace.clone().map_or(Scope::Cluster, Scope::Namespace);
    let bridge = match (&args.bridge_url, &args.bridge_token_file) {
        (Some(url), Some(file)) => Some(BridgeQuestion {
            url: url.clone(),
            token_file: file.clone(),
            ca_files: args.bridge_ca_file.clone(),
        }),
        _ => None,
    };
    let holder = replica();
    let client = cluster.client();
    let namespace = args.lease_namespace.clone().unwrap_or_else(|| cluster.namespace().to_owned());
    if args.remove_finalizers {
        let deployment = args.deployment.as_deref();
        let leaving = Leaving { client, scope: &scope, namespace: &namespace, deployment };
        let released = leaving.release().await?;
        tracing::info!(released, "resources were let go");
        return Ok(());
    }
    // A missing definition is told at once, not in the log of a watch.
    let api = scope.api::<JenkinsController>(&client);
    let listed = api.list(&kube::api::ListParams::default().limit(1)).await;
    listed.map_err(|error| {
        ClusterError::of("list masters (pilotfish-bridge crds | kubectl apply -f -)", error)
    })?;
    let context = Arc::new(Context::new(client.clone(), scope, bridge, &holder));
    let health = Arc::new(Health::new(Instant::now()));
    let probes = match args.health_address {
        Some(address) => Some(health::listen(address).await?),
        None => None,
    };
    let leases =
        Watched { leases: KubernetesLeases::of(client, &namespace), health: Arc::clone(&health) };
    tracing::info!(holder, namespace, "the operator is there");
    let duty = || async {
        let _leads = health.lead();
        control(Arc::clone(&context)).await;
    };
    let lead = lead(&leases, LEASE, &holder, LeaseTimes::default(), duty);
    let probes = async {
        match probes {
            Some(listener) => health::serve(listener, Arc::clone(&health)).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = lead => {}
        () = probes => {}
        () = stop() => {}
    }
    use crate::service::Leases as _;
    // The next one need not wait until the lease has stood still.
    let given = tokio::time::timeout(Duration::from_secs(3), leases.give_up(LEASE, &holder)).await;
    if let Ok(Err(error)) = given {
        tracing::warn!(%error, "the lease could not be given up");
    }
    tracing::info!("stopped");
    Ok(())
}

/// Works on resources until it is dropped.
async fn control(context: Arc<Context>) {
    let (client, scope) = (&context.client, &context.scope);
    let any = watcher::Config::default;
    let own = || any().labels("app.kubernetes.io/managed-by=pilotfish-operator");
    let masters = Controller::new(scope.api::<JenkinsController>(client), any())
        .with_config(Config::default().concurrency(AT_ONCE))
        .owns(scope.api::<StatefulSet>(client), own())
        .owns(scope.api::<Job>(client), own())
        .run(master, failed, Arc::clone(&context));
    let places = Controller::new(scope.api::<BuildCluster>(client), any())
        .with_config(Config::default().concurrency(AT_ONCE))
        .run(place, failed, Arc::clone(&context));
    tokio::join!(
        masters.for_each(|_| std::future::ready(())),
        places.for_each(|_| std::future::ready(())),
    );
}

async fn place(place: Arc<BuildCluster>, context: Arc<Context>) -> Result<Action, ClusterError> {
    let namespace = place.namespace().unwrap_or_default();
    let api: Api<BuildCluster> = Api::namespaced(context.client.clone(), &namespace);
    let done = finalizer(&api, FINALIZER, place, |event| async {
        match event {
            Event::Apply(place) => builds::apply(place, &context).await,
            Event::Cleanup(place) => builds::clean_up(&place, &context).await,
        }
    });
    done.await.map_err(finished)
}

async fn master(
    controller: Arc<JenkinsController>,
    context: Arc<Context>,
) -> Result<Action, ClusterError> {
    let namespace = controller.namespace().unwrap_or_default();
    let api: Api<JenkinsController> = Api::namespaced(context.client.clone(), &namespace);
    let done = finalizer(&api, FINALIZER, controller, |event| async {
        match event {
            Event::Apply(controller) => reconcile::apply(controller, &context).await,
            Event::Cleanup(controller) => prune::clean_up(&controller, &context).await,
        }
    });
    done.await.map_err(finished)
}

/// What went wrong, without the way that it took.
fn finished(error: kube::runtime::finalizer::Error<ClusterError>) -> ClusterError {
    use kube::runtime::finalizer::Error;
    match error {
        Error::ApplyFailed(error) | Error::CleanupFailed(error) => error,
        Error::AddFinalizer(error) => ClusterError::of("mark the resource", error),
        Error::RemoveFinalizer(error) => ClusterError::of("let the resource go", error),
        Error::UnnamedObject | Error::InvalidFinalizer => ClusterError::Unreachable {
            action: "mark the resource".to_owned(),
            message: error.to_string(),
        },
    }
}

fn failed<K: Resource>(object: Arc<K>, error: &ClusterError, _: Arc<Context>) -> Action {
    let name = object.name_any();
    match error {
        ClusterError::Waiting { what } => {
            tracing::info!(name, what, "waiting");
            Action::requeue(Duration::from_secs(2))
        }
        error => {
            tracing::warn!(name, %error, "a resource cannot be brought further");
            Action::requeue(AGAIN)
        }
    }
}
