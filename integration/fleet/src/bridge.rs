//! The real bridge, with a fence that knows the pods of the fleet: a file each.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pilotfish_bridge::agents::{self, AgentOptions, AgentsFile, KubePods, Setup, keep_agents};
use pilotfish_bridge::cluster::Clusters;
use pilotfish_bridge::masters::{HealthRules, MastersFile, Registry, WatchOptions};
use pilotfish_bridge::route::{Fence, Fenced, Limits, Lost, RouteOptions, Rules, route_builds};
use pilotfish_bridge::service::{
    KeyRing, LiveCatalog, PodFence, Rates, Server, Service, ServiceOptions, Store, TlsFiles,
    leader::LeaseTimes, read_tokens, watch_build_pods, watch_masters,
};

use crate::error::FleetError;
use crate::pods::{Deleted, Pods};
use crate::processes::Processes;

/// What a bridge of a campaign is.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Its catalog.
    pub catalog: PathBuf,
    /// Its access tokens.
    pub tokens: PathBuf,
    /// Its signing key.
    pub key: PathBuf,
    /// The masters.
    pub masters: PathBuf,
    /// URL of its database.
    pub database: String,
    /// Directory of the pods.
    pub pods: PathBuf,
    /// The file of clusters: pods are those of Kubernetes then.
    pub clusters: Option<PathBuf>,
    /// The file of agents, where there are agents on demand, and, unless they are pods of Kubernetes, their
    /// program.
    pub agents: Option<(PathBuf, Option<PathBuf>)>,
    /// Its certificate and the key of that; plain HTTP without.
    pub tls: Option<(PathBuf, PathBuf)>,
    /// How much faster than in the field all waiting is.
    pub speed: u32,
}

/// Deletes the pods of the fleet. Of a pod that was not made yet nobody can say that it will not be made.
#[derive(Debug)]
struct Files(Pods);

#[async_trait::async_trait]
impl Fence for Files {
    async fn fence(&self, lost: &Lost) -> Fenced {
        match self.0.delete(&lost.key) {
            Ok(Deleted::Gone) => Fenced::Gone,
            Ok(Deleted::Never) => Fenced::Unknown("its pod was not seen".to_owned()),
            Err(error) => Fenced::Unknown(error.to_string()),
        }
    }
}

fn other(error: impl std::fmt::Display) -> FleetError {
    FleetError::Other(error.to_string())
}

/// Leases are at most so many times as fast as in the field: a process that had to wait for a processor for half a
/// second is not dead.
const LEASE_SPEED: u32 = 10;

/// Times of the field, so many times faster. The numbers of looks stay.
fn times(speed: u32) -> (WatchOptions, RouteOptions, AgentOptions) {
    let speed = speed.max(1);
    let ms = |field: i64| (field / i64::from(speed)).max(1);
    let rules = HealthRules { slow_ms: 2_000, fast_ms: 1_000, ..HealthRules::default() };
    let watch =
        WatchOptions { rules, every: Duration::from_secs(5) / speed, ..WatchOptions::default() };
    let route = RouteOptions {
        rules: Rules {
            lost_after_ms: ms(5_000),
            stuck_after_ms: ms(300_000),
            fence_every_ms: ms(30_000),
            attempts: 1_000,
            ..Rules::default()
        },
        limits: Limits::default(),
        tick: Duration::from_secs(1) / speed,
        follow_every: Duration::from_secs(5) / speed,
        cool_ms: ms(10_000),
        lease: LeaseTimes {
            beat: Duration::from_secs(3) / speed.min(LEASE_SPEED),
            still: Duration::from_secs(10) / speed.min(LEASE_SPEED),
            give_up: Duration::from_secs(8) / speed.min(LEASE_SPEED),
        },
        ..RouteOptions::default()
    };
    let agents = AgentOptions {
        rules: agents::Rules {
            pod_grace_ms: ms(30_000),
            orphan_ms: ms(120_000),
            failures_ms: ms(300_000),
            // An agent waits as long for an answer as in the field.
            ..agents::Rules::default()
        },
        tick: Duration::from_secs(1) / speed,
        look: Duration::from_secs(5) / speed,
        look_busy: Duration::from_secs(2) / speed,
        list: Duration::from_secs(5) / speed,
        again: Duration::from_secs(10) / speed,
        lease: route.lease,
    };
    (watch, route, agents)
}

/// The name of a bridge in leases, by the id of its process.
#[must_use]
pub fn holder(process: u32) -> String {
    format!("bridge-{process}")
}

/// Runs a bridge until it is killed. `told` gets its address once it listens.
///
/// # Errors
/// [`FleetError`] where it cannot start.
pub async fn run(options: Options, told: impl FnOnce(SocketAddr)) -> Result<(), FleetError> {
    let catalog = LiveCatalog::open(&options.catalog).map_err(other)?;
    let keys = KeyRing::read(&[&options.key]).map_err(other)?;
    let access = read_tokens(&options.tokens).map_err(other)?;
    let file = MastersFile::load(&options.masters).map_err(other)?;
    let registry = Arc::new(Registry::of(&file).map_err(other)?);
    let store = Store::open(&options.database).await.map_err(other)?;
    let rates = Rates { access: 1_000_000, ..Rates::default() };
    let service_options = ServiceOptions { rates, ..ServiceOptions::default() };
    let service = Service::new(catalog, store, access, keys, BTreeMap::new(), service_options);
    let clusters = options.clusters.as_deref().map(Clusters::read).transpose().map_err(other)?;
    let is_cluster = clusters.is_some();
    let service = service.with_masters(registry).with_clusters(clusters.unwrap_or_default());
    let service = Arc::new(service);
    let _ = service.limits.set(file.limits.clone());
    let limits = pilotfish_bridge::service::Limits::default();
    let tls = match &options.tls {
        Some((certificate, key)) => {
            Some(Arc::new(TlsFiles::open(certificate, key).map_err(other)?))
        }
        None => None,
    };
    let server =
        Server::bind(options.listen, Arc::clone(&service), tls, limits).await.map_err(other)?;
    if let Some((file, program)) = &options.agents {
        let file = AgentsFile::load(file).map_err(other)?;
        let pods: Arc<dyn agents::Pods> = match program {
            Some(program) => Arc::new(Processes::open(&options.pods.join("agents"), program)?),
            None => {
                let pools = file.pools.iter().map(|(name, one)| (name.to_string(), one.clone()));
                Arc::new(KubePods::new(service.clusters.clone(), &pools.collect()))
            }
        };
        service.agents.set_up(Setup::new(&file, pods));
    }
    told(server.address().map_err(other)?);
    let (watch, mut route, agents) = times(options.speed);
    route.limits = file.limits;
    let holder = holder(std::process::id());
    let _watches = watch_build_pods(&service, holder.clone()).await;
    route.fence = if is_cluster {
        let patience = PodFence::PATIENCE / options.speed.max(1);
        Arc::new(PodFence::new(Arc::clone(&service)).with_patience(patience))
    } else {
        Arc::new(Files(Pods::open(&options.pods)?))
    };
    tokio::join!(
        server.run(std::future::pending()),
        watch_masters(Arc::clone(&service), holder.clone(), watch, route.lease),
        route_builds(Arc::clone(&service), holder.clone(), route),
        keep_agents(Arc::clone(&service), holder, agents),
    );
    Ok(())
}

/// A catalog with one pipeline, enough for builds whose stages are simulated.
///
/// # Errors
/// [`FleetError::Io`].
pub fn write_catalog(directory: &Path) -> Result<(), FleetError> {
    const FILES: [(&str, &str); 3] = [
        (
            "catalog.yaml",
            "api: pilotfish/v1\nkind: catalog\nname: fleet\nversion: 1.0.0\ndescription: For campaigns.\n",
        ),
        (
            "work.yaml",
            "api: pilotfish/v1\nkind: pipeline\nname: work\nversion: 1.0.0\ndescription: Some stages.\n\
             parameters:\n  type: object\n  properties:\n    branch: {type: string, description: Branch.}\n    \
             FAIL: {type: string, description: Whether it fails.}\nstages:\n  - {name: build, uses: make}\n",
        ),
        (
            "make.yaml",
            "api: pilotfish/v1\nkind: stage\nname: make\nversion: 1.0.0\ndescription: Calls make.\n\
             timeout: 10m\ncontainers:\n  - name: main\n    image: busybox:1.37\n    requests: {cpu: 100m, memory: 64Mi}\n\
             steps:\n  - {script: make}\n",
        ),
    ];
    std::fs::create_dir_all(directory)
        .map_err(FleetError::io(format!("make {}", directory.display())))?;
    for (name, text) in FILES {
        let path = directory.join(name);
        std::fs::write(&path, text).map_err(FleetError::io(format!("write {}", path.display())))?;
    }
    Ok(())
}
