//! Everything that requests share.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::auth::{AccessTokens, BuildTokens};
use super::live::LiveCatalog;
use super::metrics::Metrics;
use super::oidc::Provider;
use super::rate::{RateLimits, Rates};
use super::running::LastRunning;
use super::session::LoginTries;
use super::sign::KeyRing;
use super::store::{Store, StoreError};
use crate::agents::Standbys;
use crate::archive::Archive;
use crate::cluster::Clusters;
use crate::forges::Forges;
use crate::masters::{Registry, TokenDirectory};
use crate::plan::Plan;
use crate::rest::Client;
use crate::route::Limits;

/// The most plans kept in memory.
const PLANS: usize = 2_000;
/// The most bytes of a plan that is kept in memory.
const PLAN_BYTES: usize = 1 << 20;

/// Webhooks that are read at the same time: with 4 MiB each, 64 MiB.
const HOOKS_AT_ONCE: usize = 16;

/// What can be chosen about the service.
#[derive(Debug, Clone)]
pub struct ServiceOptions {
    /// How long the signature of a plan holds, and the token of its build.
    pub plan_lifetime: Duration,
    /// How long builds are kept.
    pub keep_builds: Duration,
    /// The most time of one request.
    pub request_timeout: Duration,
    /// The most bytes of one request.
    pub request_bytes: usize,
    /// Requests a second of one token.
    pub rates: Rates,
    /// How long a person stays logged in to the pages.
    pub keep_sessions: Duration,
    /// How long it is kept who did what.
    pub keep_audit: Duration,
    /// Something in front of the service ends TLS, and says where requests come from.
    pub behind_proxy: bool,
}

impl Default for ServiceOptions {
    fn default() -> Self {
        Self {
            // A build that waits over night for a person's approval must still be able to report.
            plan_lifetime: Duration::from_secs(24 * 3600),
            keep_builds: Duration::from_secs(90 * 24 * 3600),
            request_timeout: Duration::from_secs(30),
            request_bytes: 4 << 20,
            rates: Rates::default(),
            keep_sessions: Duration::from_secs(12 * 3600),
            keep_audit: Duration::from_secs(365 * 24 * 3600),
            behind_proxy: false,
        }
    }
}

/// A plan that was made.
#[derive(Debug)]
pub struct StoredPlan {
    /// Its digest.
    pub digest: String,
    /// The controller of its job; empty where it is for none.
    pub controller: String,
    /// Its JSON, with sorted keys: what the digest is of.
    pub text: String,
    /// The plan.
    pub plan: Plan,
}

/// The service.
#[derive(Debug)]
pub struct Service {
    /// The catalog in use.
    pub catalog: LiveCatalog,
    /// The database.
    pub store: Store,
    /// Access tokens.
    pub access: AccessTokens,
    /// Tokens of builds.
    pub build_tokens: BuildTokens,
    /// Signing keys.
    pub keys: KeyRing,
    /// Controllers that may be read.
    pub controllers: BTreeMap<String, Arc<Client>>,
    /// Counters.
    pub metrics: Metrics,
    /// Requests that tokens have left.
    pub rates: RateLimits,
    /// Tries to log in, by address.
    pub login_tries: LoginTries,
    /// Where people log in.
    pub login: Option<Provider>,
    /// Which builds run in pods, and where.
    pub clusters: Clusters,
    /// Options.
    pub options: ServiceOptions,
    /// Masters that are managed as one.
    pub masters: Arc<Registry>,
    /// Limits of labels, teams and clusters.
    pub limits: OnceLock<Limits>,
    /// Something has changed that a build may wait for.
    pub route_now: tokio::sync::Notify,
    /// Where repositories live.
    pub forges: Arc<Forges>,
    /// Where what builds left behind is kept.
    pub archive: Option<Arc<Archive>>,
    /// Something has come that may start builds.
    pub trigger_now: tokio::sync::Notify,
    /// Webhooks that are read at the same time.
    pub(super) hook_places: Arc<tokio::sync::Semaphore>,
    /// When this replica began to listen, in milliseconds since 1970.
    pub listening_ms: i64,
    /// Agents that wait.
    pub agents: Standbys,
    leads_masters: AtomicBool,
    /// Tokens that masters declared over the API may have; none is declared so without them.
    pub master_tokens: Option<TokenDirectory>,
    /// Held while it is read what was said of masters over the API, so that what was read first is not taken last.
    /// What is wrong with them is in it: it is told once.
    pub(super) masters_turn: tokio::sync::Mutex<BTreeSet<String>>,
    /// What masters said last of what they run.
    pub(super) last_running: LastRunning,
    plans: Mutex<KnownPlans>,
}

#[derive(Debug, Default)]
struct KnownPlans {
    by_digest: HashMap<String, Arc<StoredPlan>>,
    order: VecDeque<String>,
}

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_millis()).unwrap_or(i64::MAX)
}

impl Service {
    /// Puts a service together.
    #[must_use]
    pub fn new(
        catalog: LiveCatalog,
        store: Store,
        access: AccessTokens,
        keys: KeyRing,
        controllers: BTreeMap<String, Client>,
        options: ServiceOptions,
    ) -> Self {
        let build_tokens = BuildTokens::new(keys.token_keys());
        Self {
            catalog,
            store,
            access,
            build_tokens,
            keys,
            controllers: controllers.into_iter().map(|(name, one)| (name, Arc::new(one))).collect(),
            metrics: Metrics::default(),
            rates: RateLimits::new(options.rates),
            login_tries: LoginTries::default(),
            login: None,
            clusters: Clusters::default(),
            options,
            masters: Arc::default(),
            limits: OnceLock::new(),
            route_now: tokio::sync::Notify::new(),
            forges: Arc::default(),
            archive: None,
            trigger_now: tokio::sync::Notify::new(),
            hook_places: Arc::new(tokio::sync::Semaphore::new(HOOKS_AT_ONCE)),
            listening_ms: now_ms(),
            agents: Standbys::default(),
            leads_masters: AtomicBool::new(false),
            master_tokens: None,
            masters_turn: tokio::sync::Mutex::default(),
            last_running: LastRunning::default(),
            plans: Mutex::default(),
        }
    }

    /// The same with masters.
    #[must_use]
    pub fn with_masters(mut self, masters: Arc<Registry>) -> Self {
        self.masters = masters;
        self
    }

    /// The same with tokens for masters that are declared over the API.
    #[must_use]
    pub fn with_master_tokens(self, master_tokens: Option<TokenDirectory>) -> Self {
        Self { master_tokens, ..self }
    }

    /// The same with an archive.
    #[must_use]
    pub fn with_archive(self, archive: Option<Archive>) -> Self {
        Self { archive: archive.map(Arc::new), ..self }
    }

    /// The same with forges.
    #[must_use]
    pub fn with_forges(self, forges: Arc<Forges>) -> Self {
        Self { forges, ..self }
    }

    /// How a controller is reached, by its name: one of the file of controllers, or a master.
    #[must_use]
    pub fn controller(&self, name: &str) -> Option<Arc<Client>> {
        let master = || self.masters.get(name).map(|master| Arc::clone(&master.client));
        self.controllers.get(name).cloned().or_else(master)
    }

    pub(super) fn leads_masters(&self, leads: bool) {
        self.leads_masters.store(leads, Ordering::Relaxed);
    }

    /// Whether this replica is the one that looks at the masters.
    #[must_use]
    pub fn is_leading_masters(&self) -> bool {
        self.leads_masters.load(Ordering::Relaxed)
    }

    /// The same, with builds that run in pods.
    #[must_use]
    pub fn with_clusters(self, clusters: Clusters) -> Self {
        Self { clusters, ..self }
    }

    /// The same, with an identity provider.
    #[must_use]
    pub fn with_login(self, login: Option<Provider>) -> Self {
        Self { login, ..self }
    }

    /// Seconds since 1970.
    #[must_use]
    pub fn now(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
    }

    /// The same, as the database has it.
    #[must_use]
    pub fn now_signed(&self) -> i64 {
        i64::try_from(self.now()).unwrap_or(i64::MAX)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        now_ms()
    }

    /// Whether a plan is in the database for certain.
    pub(super) fn is_known(&self, digest: &str) -> bool {
        self.plans().by_digest.contains_key(digest)
    }

    /// Keeps a plan that is in the database in memory, too.
    pub(super) fn remember(&self, plan: Arc<StoredPlan>) {
        if plan.text.len() > PLAN_BYTES {
            return;
        }
        let mut known = self.plans();
        if known.by_digest.insert(plan.digest.clone(), Arc::clone(&plan)).is_none() {
            known.order.push_back(plan.digest.clone());
        }
        if known.order.len() > PLANS
            && let Some(oldest) = known.order.pop_front()
        {
            known.by_digest.remove(&oldest);
        }
    }

    /// Forgets what may have been removed from the database.
    pub(super) fn forget_plans(&self) {
        *self.plans() = KnownPlans::default();
    }

    fn plans(&self) -> std::sync::MutexGuard<'_, KnownPlans> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A plan by its digest.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plan(&self, digest: &str) -> Result<Option<Arc<StoredPlan>>, StoreError> {
        if let Some(known) = self.plans().by_digest.get(digest) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some((controller, text)) = self.store.plan(digest).await? else { return Ok(None) };
        let plan = serde_json::from_str(&text)
            .map_err(|error| StoreError::Database(sqlx::Error::Decode(error.into())))?;
        let stored = Arc::new(StoredPlan { digest: digest.to_owned(), controller, text, plan });
        self.remember(Arc::clone(&stored));
        Ok(Some(stored))
    }

    /// Removes what is older than it is kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn sweep(&self) -> Result<u64, StoreError> {
        const KEYS: i64 = 24 * 3600;
        let keep = i64::try_from(self.options.keep_builds.as_secs()).unwrap_or(i64::MAX);
        let now = self.now_signed();
        let audit = i64::try_from(self.options.keep_audit.as_millis()).unwrap_or(i64::MAX);
        self.store.sweep_access(now, self.now_ms().saturating_sub(audit)).await?;
        let removed = self.store.sweep(now.saturating_sub(keep), now - KEYS).await?;
        self.forget_plans();
        Ok(removed)
    }
}
