//! The `serve` command, and those that make keys and tokens for it.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;
use zeroize::Zeroizing;

use super::auth::{AccessTokens, Role, Scope};
use super::config::{read_controllers, read_tokens};
use super::fence::PodFence;
use super::leader::LeaseTimes;
use super::live::LiveCatalog;
use super::masters::watch_masters;
use super::oidc::Provider;
use super::pods;
use super::rate::Rates;
use super::server::{Limits, Server, TlsFiles};
use super::sign::KeyRing;
use super::state::{Service, ServiceOptions};
use super::store::Store;
use super::traces::{self, LogFormat};
use crate::agents::{AgentOptions, AgentsFile, KubePods, Setup, keep_agents};
use crate::archive::Archive;
use crate::archive::s3::Bucket;
use crate::cluster::{Cluster, ClusterSettings, Clusters};
use crate::error::BridgeError;
use crate::forges::Forges;
use crate::masters::{
    MastersFile, Registry, Resources, TokenDirectory, WatchOptions, follow_resources,
};
use crate::operator;
use crate::route::{Limits as RouteLimits, RouteOptions, route_builds};
use crate::triggers::{TriggerOptions, run_triggers};

/// The variable that may hold the URL of the database, which may hold a password.
const DATABASE_VARIABLE: &str = "PILOTFISH_DATABASE_URL";
/// How often old builds are removed.
const SWEEP_EVERY: Duration = Duration::from_secs(3600);

/// `serve`: the service.
#[derive(Debug, Clone, Args)]
#[command(group(clap::ArgGroup::new("managed").multiple(true).args(["masters", "masters_from_cluster", "master_tokens"])))]
pub struct ServeArgs {
    /// Directory of the catalog.
    #[arg(long, value_name = "DIR")]
    pub catalog: PathBuf,
    /// Where to listen. Without TLS only an address of this machine is taken.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8089")]
    pub listen: SocketAddr,
    /// PEM file with the certificate and those that lead to its authority.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// PEM file with the key of the certificate.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Listen without TLS on any address: something in front of the service ends TLS.
    #[arg(long, conflicts_with = "tls_cert")]
    pub behind_proxy: bool,
    /// File of access tokens; `token` makes entries for it.
    #[arg(long, value_name = "FILE")]
    pub tokens: PathBuf,
    /// PEM file with an Ed25519 key; `keygen` makes one. The first signs; further ones are those
    /// that signed before.
    #[arg(long, value_name = "FILE", required = true)]
    pub signing_key: Vec<PathBuf>,
    /// File of controllers that the service may read for parameters.
    #[arg(long, value_name = "FILE")]
    pub controllers: Option<PathBuf>,
    /// File of masters that are managed as one: builds are routed to them by label.
    #[arg(long, value_name = "FILE")]
    pub masters: Option<PathBuf>,
    /// Directory with API tokens for masters that are declared over the API (`masters apply`), with or without a
    /// file: each in a file of its own, with the addresses below it that it may be sent to.
    #[arg(long, value_name = "DIR")]
    pub master_tokens: Option<PathBuf>,
    /// Take the masters that JenkinsController resources declare, too, with labels, capacity and Secrets as they
    /// say. One that is being changed gets no builds until it has passed its gate.
    #[arg(long)]
    pub masters_from_cluster: bool,
    /// Namespace of the resources; all unless given.
    #[arg(long, value_name = "NAME", requires = "masters_from_cluster")]
    pub masters_namespace: Option<String>,
    /// Kubeconfig of the cluster that has the resources; masters are reached at their `spec.url` then. Without it:
    /// KUBECONFIG, else ~/.kube/config, else the cluster that the program runs in, and their Services.
    #[arg(long, value_name = "FILE", requires = "masters_from_cluster")]
    pub masters_kubeconfig: Option<PathBuf>,
    /// File of forges: whose webhooks are taken, and where repositories live.
    #[arg(long, value_name = "FILE", requires = "managed")]
    pub forges: Option<PathBuf>,
    /// Directory where logs, test results and artefacts of finished builds are kept. Replicas share it.
    #[arg(long, value_name = "DIR", requires = "managed")]
    pub archive: Option<PathBuf>,
    /// File about a bucket of S3 where they are kept in place of a directory.
    #[arg(long, value_name = "FILE", requires = "managed", conflicts_with = "archive")]
    pub archive_s3: Option<PathBuf>,
    /// Days that builds are kept there; no longer than --keep-days.
    #[arg(long, value_name = "DAYS", default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub archive_days: u32,
    /// MiB of the artefacts of one build that are kept there; 0 for their list only.
    #[arg(long, value_name = "MIB", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=10_240))]
    pub archive_artifacts: u64,
    /// File of clusters: which controllers' builds run in pods, of which profile and where.
    #[arg(long, value_name = "FILE")]
    pub clusters: Option<PathBuf>,
    /// File of agents: which labels get agents on demand, and how many wait. Needs masters and
    /// --clusters.
    #[arg(long, value_name = "FILE", requires = "managed", requires = "clusters")]
    pub agents: Option<PathBuf>,
    /// `sqlite:FILE` or `postgres://…`. The variable PILOTFISH_DATABASE_URL keeps a password off the
    /// command line.
    #[arg(long, value_name = "URL")]
    pub database: Option<String>,
    /// Seconds between looks at the files of the catalog; 0 for SIGHUP and the operation only.
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub reload: u32,
    /// Hours that a signed plan and the token of its build hold.
    #[arg(long, value_name = "HOURS", default_value_t = 24, value_parser = clap::value_parser!(u32).range(1..=720))]
    pub plan_hours: u32,
    /// Days that builds are kept.
    #[arg(long, value_name = "DAYS", default_value_t = 90, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub keep_days: u32,
    /// File about the identity provider that people log in at (OpenID Connect).
    #[arg(long, value_name = "FILE")]
    pub oidc: Option<PathBuf>,
    /// Hours after which a person has to log in again.
    #[arg(long, value_name = "HOURS", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=720))]
    pub session_hours: u32,
    /// Days that it is kept who did what.
    #[arg(long, value_name = "DAYS", default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    pub audit_days: u32,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub log_format: LogFormat,
    /// How much is written: error, warn, info, or debug for a line about each request.
    #[arg(long, value_name = "LEVEL", default_value = "info")]
    pub log_level: LevelFilter,
    /// Address of a collector that takes traces by OTLP over HTTP, as http://collector:4318.
    /// Without it: the variables OTEL_EXPORTER_OTLP_ENDPOINT and
    /// OTEL_EXPORTER_OTLP_TRACES_ENDPOINT; no traces where none is set.
    #[arg(long, value_name = "URL")]
    pub otlp_endpoint: Option<String>,
    /// Requests a second that one access token may make, unless its entry says otherwise.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..))]
    pub token_rate: u32,
}

/// `keygen`: a signing key.
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    /// File to write. One that is there is not touched.
    pub file: PathBuf,
}

/// `token`: an access token.
#[derive(Debug, Clone, Args)]
pub struct TokenArgs {
    /// Whose it is, for the log.
    pub name: String,
    /// What it is good for. May be given several times.
    #[arg(long, value_name = "SCOPE", required_unless_present = "role", value_parser = scope)]
    pub scope: Vec<Scope>,
    /// What it is good for, as the role of a person: viewer, builder or operator.
    #[arg(long, value_name = "ROLE")]
    pub role: Option<Role>,
    /// The one controller that it is good for. Needed for plans:create.
    #[arg(long, value_name = "NAME")]
    pub controller: Option<String>,
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::ALL.into_iter().find(|one| one.as_str() == text).ok_or_else(|| {
        let known: Vec<&str> = Scope::ALL.iter().map(|one| one.as_str()).collect();
        format!("known are {}", known.join(", "))
    })
}

fn refused(message: impl Into<String>) -> BridgeError {
    BridgeError::Start(message.into())
}

/// Makes a signing key and says what its public half is.
///
/// # Errors
/// When the file is there or cannot be written.
pub fn make_key(args: &KeyArgs) -> Result<String, BridgeError> {
    let pem = KeyRing::make().map_err(refused)?;
    let failed = |error| BridgeError::io(format!("write {}", args.file.display()), error);
    let mut options = fs::OpenOptions::new();
    let mut file =
        options.write(true).create_new(true).mode(0o600).open(&args.file).map_err(failed)?;
    file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    let keys = KeyRing::read(&[&args.file]).map_err(refused)?;
    let public = keys.public().into_iter().next().ok_or_else(|| refused("no key was made"))?;
    Ok(format!("key {}\n{}\n", public.keyid, public.spki))
}

/// A token for its holder, and the entry for the file of tokens.
pub struct MadeToken {
    /// The token. It is shown once.
    pub token: Zeroizing<String>,
    /// The entry.
    pub entry: String,
}

impl fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MadeToken").field("entry", &self.entry).finish_non_exhaustive()
    }
}

/// Makes an access token.
///
/// # Errors
/// `plans:create` without a controller.
pub fn make_token(args: &TokenArgs) -> Result<MadeToken, BridgeError> {
    let scopes: BTreeSet<Scope> = args.scope.iter().copied().collect();
    let (token, mut kept) =
        AccessTokens::make(&args.name, scopes, args.controller.clone()).map_err(refused)?;
    kept.role = args.role;
    AccessTokens::new(vec![kept.clone()]).map_err(refused)?;
    // A JSON object is a YAML value.
    let entry = serde_json::to_string(&kept).map_err(|error| refused(error.to_string()))?;
    Ok(MadeToken { token: Zeroizing::new(token), entry: format!("  - {entry}\n") })
}

/// Runs the service until it is told to stop by SIGTERM or SIGINT.
///
/// # Errors
/// What keeps it from starting.
pub async fn serve(args: &ServeArgs) -> Result<(), BridgeError> {
    let traces = traces::start(args.log_format, args.log_level, args.otlp_endpoint.as_deref())
        .map_err(refused)?;
    if args.tls_cert.is_none() && !args.behind_proxy && !args.listen.ip().is_loopback() {
        return Err(refused(format!(
            "tokens would go over {} in the clear; give --tls-cert and --tls-key, or \
             --behind-proxy where something in front of the service ends TLS",
            args.listen
        )));
    }
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(Arc::new(TlsFiles::open(certificate, key)?)),
        _ => None,
    };
    let catalog = LiveCatalog::open(&args.catalog)?;
    let keys = KeyRing::read(&args.signing_key).map_err(refused)?;
    let access = read_tokens(&args.tokens)?;
    let controllers = args.controllers.as_deref().map(read_controllers).transpose()?;
    let (masters, limits) =
        args.masters.as_deref().map(read_masters).transpose()?.unwrap_or_default();
    let tokens = args.master_tokens.as_deref().map(TokenDirectory::open).transpose()?;
    let takes_more = tokens.is_some() || args.masters_from_cluster;
    let resources = match args.masters_from_cluster {
        true => Some(resources(args).await?),
        false => None,
    };
    let forges = args.forges.as_deref().map(Forges::load).transpose()?.unwrap_or_default();
    let login = args.oidc.as_deref().map(Provider::read).transpose()?;
    let clusters = args.clusters.as_deref().map(Clusters::read).transpose()?.unwrap_or_default();
    let store = Store::open(&database(args.database.as_deref()))
        .await
        .map_err(|error| refused(error.to_string()))?;
    let options = ServiceOptions {
        plan_lifetime: Duration::from_secs(u64::from(args.plan_hours) * 3600),
        keep_builds: Duration::from_secs(u64::from(args.keep_days) * 24 * 3600),
        rates: Rates { access: args.token_rate, ..Rates::default() },
        keep_sessions: Duration::from_secs(u64::from(args.session_hours) * 3600),
        keep_audit: Duration::from_secs(u64::from(args.audit_days) * 24 * 3600),
        behind_proxy: args.behind_proxy,
        ..ServiceOptions::default()
    };
    let controllers = controllers.unwrap_or_default();
    let service = Service::new(catalog, store, access, keys, controllers, options);
    let service = service
        .with_masters(masters)
        .with_master_tokens(tokens)
        .with_clusters(clusters)
        .with_forges(Arc::new(forges))
        .with_login(login)
        .with_archive(archive(args).await?);
    let _ = service.limits.set(limits.clone());
    if let Some(file) = &args.agents {
        set_up_agents(&service, file, takes_more)?;
    }
    let service = Arc::new(service);
    let holder = replica();
    let watches = pods::watch(&service, holder.clone()).await;
    let server =
        Server::bind(args.listen, Arc::clone(&service), tls.clone(), Limits::default()).await?;
    let sent = traces.are_sent();
    tracing::info!(address = %server.address()?, tls = tls.is_some(), traces = sent, "listening");
    let watching = (!service.masters.is_empty() || takes_more).then(|| {
        let (watch, lease) = (WatchOptions::default(), LeaseTimes::default());
        let watching = watch_masters(Arc::clone(&service), holder.clone(), watch, lease);
        let triggers =
            run_triggers(Arc::clone(&service), holder.clone(), TriggerOptions::default());
        let options = RouteOptions {
            limits,
            fence: Arc::new(PodFence::new(Arc::clone(&service))),
            ..RouteOptions::default()
        };
        let routing = route_builds(Arc::clone(&service), holder.clone(), options);
        let agents = keep_agents(Arc::clone(&service), holder, AgentOptions::default());
        tokio::spawn(async move { tokio::join!(watching, routing, triggers, agents) })
    });
    let following = resources.map(|from| {
        let service = Arc::clone(&service);
        tokio::spawn(async move {
            let changed = || service.route_now.notify_one();
            follow_resources(&service.masters, from, changed).await;
        })
    });
    let chores = tokio::spawn(chores(Arc::clone(&service), tls, args.reload));
    server.run(stop()).await;
    chores.abort();
    watching.iter().for_each(tokio::task::JoinHandle::abort);
    following.iter().for_each(tokio::task::JoinHandle::abort);
    watches.iter().for_each(tokio::task::JoinHandle::abort);
    traces.finish().await;
    tracing::info!("stopped");
    Ok(())
}

/// Starts the log of a command that serves nothing.
///
/// # Errors
/// Why it cannot be started.
pub(crate) fn start_log(format: LogFormat, level: LevelFilter) -> Result<(), BridgeError> {
    traces::start(format, level, None).map(drop).map_err(refused)
}

/// The archive. One in which nothing can be kept is told before the service is there: builds would come and
/// go. One that does not answer now may do so later, and they wait for it.
async fn archive(args: &ServeArgs) -> Result<Option<Archive>, BridgeError> {
    let keep = Duration::from_secs(u64::from(args.archive_days) * 24 * 3600);
    let artifact_bytes = args.archive_artifacts << 20;
    let archive = match (&args.archive, &args.archive_s3) {
        (Some(directory), _) => Archive::open(directory, keep, artifact_bytes)
            .map_err(|error| refused(error.to_string()))?,
        (None, Some(file)) => Archive::in_bucket(Bucket::load(file)?, keep, artifact_bytes),
        (None, None) => return Ok(None),
    };
    match archive.check().await {
        Err(error) if error.is_passing() => {
            tracing::error!(%error, "the archive does not answer: what builds leave behind waits at their masters");
        }
        checked => checked.map_err(|error| refused(format!("the archive: {error}")))?,
    }
    Ok(Some(archive))
}

/// The cluster whose resources declare masters, and where they are looked for.
async fn resources(args: &ServeArgs) -> Result<Resources, BridgeError> {
    let kubeconfig = args.masters_kubeconfig.clone();
    let settings = ClusterSettings { kubeconfig, ..ClusterSettings::default() };
    let cluster = Cluster::connect("of the masters", &settings).await?;
    let scope =
        args.masters_namespace.clone().map_or(operator::Scope::Cluster, operator::Scope::Namespace);
    let is_outside = args.masters_kubeconfig.is_some();
    Ok(Resources { client: cluster.client(), scope, is_outside })
}

fn read_masters(file: &std::path::Path) -> Result<(Arc<Registry>, RouteLimits), BridgeError> {
    let read = MastersFile::load(file)?;
    Ok((Arc::new(Registry::of(&read)?), read.limits))
}

/// Reads the file of agents. All that is wrong with it beside the other files is reported at once.
fn set_up_agents(
    service: &Service,
    path: &std::path::Path,
    takes_more: bool,
) -> Result<(), BridgeError> {
    let file = AgentsFile::load(path)?;
    let pools = file.pools.iter().map(|(name, pool)| (name.to_string(), pool.clone())).collect();
    let pods = Arc::new(KubePods::new(service.clusters.clone(), &pools));
    let problems = file.problems_beside(&service.masters, takes_more, pods.as_ref());
    if !problems.is_empty() {
        let file = path.display().to_string();
        let problems = problems.into_iter().map(|one| one.in_file(file.clone())).collect();
        return Err(BridgeError::Agents(problems));
    }
    service.agents.set_up(Setup::new(&file, pods));
    Ok(())
}

/// A name for this process among its replicas. A restarted process is another one.
pub(crate) fn replica() -> String {
    use std::hash::{BuildHasher as _, RandomState};
    let chance = RandomState::new().hash_one(std::process::id());
    let host = std::env::var("HOSTNAME").unwrap_or_default();
    format!("{host}-{}-{chance:016x}", std::process::id())
}

/// The URL of the database: what is given, else what the variable says, else a file here.
#[must_use]
pub fn database(given: Option<&str>) -> String {
    let url = given.map(str::to_owned).or_else(|| std::env::var(DATABASE_VARIABLE).ok());
    let url = url.unwrap_or_else(|| "sqlite:pilotfish-bridge.db".to_owned());
    // A file that is not there is made.
    if url.starts_with("sqlite:") && !url.contains('?') { format!("{url}?mode=rwc") } else { url }
}

pub(crate) async fn stop() {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

/// Looks at the files from time to time and when SIGHUP says so; removes what is old.
async fn chores(service: Arc<Service>, tls: Option<Arc<TlsFiles>>, reload: u32) {
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    let every = Duration::from_secs(u64::from(reload.max(1)));
    let mut look = tokio::time::interval(every);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    look.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = look.tick(), if reload > 0 => reload_files(&service, tls.as_ref()).await,
            _ = hangup.recv() => reload_files(&service, tls.as_ref()).await,
            _ = sweep.tick() => match service.sweep().await {
                Ok(0) => {}
                Ok(removed) => tracing::info!(removed, "old builds were removed"),
                Err(error) => tracing::warn!(%error, "old builds could not be removed"),
            },
        }
    }
}

async fn reload_files(service: &Arc<Service>, tls: Option<&Arc<TlsFiles>>) {
    let service = Arc::clone(service);
    let tls = tls.map(Arc::clone);
    let _ = tokio::task::spawn_blocking(move || {
        service.catalog.reload();
        if let Some(Err(error)) = tls.map(|tls| tls.reload()) {
            tracing::error!(%error, "the certificate cannot be read; the earlier one stays");
        }
    })
    .await;
}
