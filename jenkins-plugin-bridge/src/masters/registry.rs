//! The masters, with what is known about each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::drain::Drain;
use super::file::{CAPACITY, Labels, MasterSpec, MastersFile};
use super::health::{Health, HealthRules, Observation, State};
use crate::error::BridgeError;
use crate::rest::{Client, ClientOptions, ConnectArgs, Login, RetryPolicy};

/// The most time of one request for work: the answer to a trigger is short.
const WORK_TIMEOUT: Duration = Duration::from_secs(15);
/// The most time of a look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(4);
/// The most masters that are declared in one place other than the file: the lists of the service are not made for more.
pub const MOST: usize = 1_000;
/// Requests under way at once for work.
const WORK_AT_ONCE: usize = 8;

/// Where a master is declared. Where two declare the same name or address, the first of these counts.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    /// In the masters file.
    File,
    /// Over the API.
    Api,
    /// By a `JenkinsController` resource.
    Resource,
}

/// A master.
pub struct Master {
    /// Its name.
    pub name: String,
    /// Where it is declared.
    pub source: Source,
    /// What is declared about it.
    pub spec: MasterSpec,
    /// For work. Requests that change nothing are tried twice, others once.
    pub client: Arc<Client>,
    /// For looks: never tried again, given up after a few seconds.
    pub probe: Arc<Client>,
    state: Mutex<State>,
    /// The token, where it is not declared in the file.
    token: Option<Zeroizing<String>>,
    /// Why it gets no builds although it may answer.
    hold: Mutex<Option<String>>,
    drain: Mutex<Option<Drain>>,
}

impl std::fmt::Debug for Master {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Master").field("name", &self.name).finish_non_exhaustive()
    }
}

/// A master that is declared elsewhere than in the file.
pub struct Declared {
    /// Its name.
    pub name: String,
    /// What is declared about it; its `token_file` counts for nothing.
    pub spec: MasterSpec,
    /// The API token of its user; nothing where it cannot be read, and then there is a `hold`.
    pub token: Option<Zeroizing<String>>,
    /// Why it gets no builds although it may answer.
    pub hold: Option<String>,
}

impl std::fmt::Debug for Declared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Declared").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Master {
    /// Puts a master together from what is declared.
    ///
    /// # Errors
    /// What is wrong with its address, token, certificate or proxy.
    pub fn new(name: &str, spec: &MasterSpec) -> Result<Self, BridgeError> {
        let options = ConnectArgs::of(
            Some(spec.user.clone()),
            Some(spec.token_file.clone()),
            spec.ca_files.clone(),
            spec.proxy.clone(),
        )
        .options(&spec.url)?;
        Self::with(name, Source::File, spec, options)
    }

    /// The same, of what is declared elsewhere.
    fn declared(source: Source, one: &Declared) -> Result<Self, BridgeError> {
        let mut options = ClientOptions::new(&one.spec.url);
        options.ca_files.clone_from(&one.spec.ca_files);
        let login =
            |token: &Zeroizing<String>| Login { user: one.spec.user.clone(), token: token.clone() };
        options.login = one.token.as_ref().map(login);
        let master = Self::with(&one.name, source, &one.spec, options)?;
        Ok(Self { token: one.token.clone(), ..master })
    }

    fn with(
        name: &str,
        source: Source,
        spec: &MasterSpec,
        mut options: ClientOptions,
    ) -> Result<Self, BridgeError> {
        options.concurrency = WORK_AT_ONCE;
        options.timeout = WORK_TIMEOUT;
        options.connect_timeout = LOOK_TIMEOUT;
        options.retry = RetryPolicy { tries: 2, ..RetryPolicy::default() };
        let client = Arc::new(Client::new(&options)?);
        options.timeout = LOOK_TIMEOUT;
        options.concurrency = 1;
        options.retry = RetryPolicy { tries: 1, ..RetryPolicy::default() };
        let probe = Arc::new(Client::new(&options)?);
        let (name, spec) = (name.to_owned(), spec.clone());
        let (state, hold, drain) = (Mutex::default(), Mutex::default(), Mutex::default());
        Ok(Self { name, source, spec, client, probe, state, token: None, hold, drain })
    }

    /// Why it gets no builds although it may answer: what waits there is moved.
    #[must_use]
    pub fn hold(&self) -> Option<String> {
        self.hold.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_hold(&self, hold: Option<String>) {
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = hold;
    }

    /// What is known about it.
    #[must_use]
    pub fn state(&self) -> State {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Takes a look into account; the new state if the health has changed by it.
    pub fn observe(&self, look: &Observation, rules: &HealthRules) -> Option<State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.observe(look, rules).then(|| state.clone())
    }

    /// Sets what is known, as another replica has seen it.
    pub fn set_state(&self, state: State) {
        *self.state.lock().unwrap_or_else(PoisonError::into_inner) = state;
    }

    /// Who has taken it out, and why; nothing where nobody has.
    #[must_use]
    pub fn drain(&self) -> Option<Drain> {
        self.drain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set_drain(&self, drain: Option<Drain>) {
        *self.drain.lock().unwrap_or_else(PoisonError::into_inner) = drain;
    }

    /// Labels that builds may ask for.
    #[must_use]
    pub fn labels(&self) -> BTreeSet<String> {
        match &self.spec.labels {
            Labels::Named(labels) => labels.iter().map(|label| label.0.clone()).collect(),
            Labels::FromNodes(_) => self.state().seen.labels,
        }
    }

    /// Builds of the bridge that it may have at once.
    #[must_use]
    pub fn capacity(&self) -> u32 {
        self.spec.capacity.unwrap_or_else(|| match self.state().seen.executors {
            0 => CAPACITY,
            executors => executors,
        })
    }

    /// Why it gets no new builds at a time in seconds since 1970; nothing where it does.
    #[must_use]
    pub fn refusal(&self, now: i64) -> Option<String> {
        if let Some(drain) = self.drain() {
            return Some(format!("{} has taken it out: {}", drain.who, drain.reason));
        }
        if let Some(hold) = self.hold() {
            return Some(hold);
        }
        let state = self.state();
        match state.health {
            Health::Unknown => return Some("it was not looked at yet".to_owned()),
            Health::Unhealthy => return Some(format!("it is not healthy: {}", state.reason)),
            Health::Healthy => {}
        }
        if state.seen.quieting_down {
            return Some("it is about to shut down".to_owned());
        }
        if self.spec.maintenance.iter().any(|window| window.is_open(now)) {
            return Some("it is in a maintenance window".to_owned());
        }
        None
    }

    /// REST calls made there so far.
    #[must_use]
    pub fn calls(&self) -> u64 {
        self.client.counts().0 + self.probe.counts().0
    }
}

/// All masters.
#[derive(Debug, Default)]
pub struct Registry {
    /// By where they are declared. A name or an address is there once.
    masters: RwLock<BTreeMap<Source, Masters>>,
    /// Which are taken out, also of those that are not declared now.
    drains: Mutex<BTreeMap<String, Drain>>,
}

impl Registry {
    /// The masters of a file. All that is wrong is reported at once.
    ///
    /// # Errors
    /// [`BridgeError::Masters`].
    pub fn of(file: &MastersFile) -> Result<Self, BridgeError> {
        let registry = Self::default();
        registry.replace(file)?;
        Ok(registry)
    }

    /// Says which masters are taken out; all others are not.
    pub fn set_drains(&self, drains: BTreeMap<String, Drain>) {
        let mut known = self.drains.lock().unwrap_or_else(PoisonError::into_inner);
        *known = drains;
        for master in self.all() {
            master.set_drain(known.get(&master.name).cloned());
        }
    }

    fn drain_of(&self, master: &str) -> Option<Drain> {
        self.drains.lock().unwrap_or_else(PoisonError::into_inner).get(master).cloned()
    }

    /// Takes another file. A master that is declared as before keeps its state.
    ///
    /// # Errors
    /// [`BridgeError::Masters`]; nothing is changed then.
    pub fn replace(&self, file: &MastersFile) -> Result<(), BridgeError> {
        let before = self.from(Source::File);
        let mut all = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, spec) in &file.masters {
            let known = before.get(name.as_str()).filter(|one| one.spec == *spec);
            if let Some(known) = known {
                all.insert(name.to_string(), Arc::clone(known));
                continue;
            }
            match Master::new(name.as_str(), spec) {
                Ok(master) => {
                    // Whatever else of it changes, it is not given back by that.
                    master.set_drain(self.drain_of(&master.name));
                    all.insert(name.to_string(), Arc::new(master));
                }
                Err(error) => {
                    let path = format!("masters.{name}");
                    problems.push(crate::error::Problem::new(path, error.to_string()));
                }
            }
        }
        if !problems.is_empty() {
            return Err(BridgeError::Masters(problems));
        }
        self.set(Source::File, all);
        Ok(())
    }

    /// Takes what is declared now, over the API or by resources, in place of what was declared there before. A master
    /// that is declared as before keeps its state. Gives what is wrong: those get no builds.
    pub fn declare(&self, source: Source, declared: Vec<Declared>) -> Vec<String> {
        let mut problems = Vec::new();
        let mut all: Masters = BTreeMap::new();
        let earlier: Vec<Masters> = self
            .read()
            .iter()
            .filter(|(other, _)| **other < source)
            .map(|(_, masters)| masters.clone())
            .collect();
        let before = self.from(source);
        for one in declared {
            let is_same = |other: &&Arc<Master>| {
                other.name == one.name || other.spec.address() == one.spec.address()
            };
            let other = earlier.iter().chain([&all]).flat_map(BTreeMap::values).find(is_same);
            if let Some(other) = other {
                let (name, url) = (&one.name, &one.spec.url);
                problems.push(format!("{name} ({url}) is declared as {} already", other.name));
                continue;
            }
            let is_known =
                |known: &&Arc<Master>| known.spec == one.spec && known.token == one.token;
            let master = match before.get(&one.name).filter(is_known) {
                Some(known) => Arc::clone(known),
                None => match Master::declared(source, &one) {
                    Ok(master) => {
                        master.set_drain(self.drain_of(&master.name));
                        Arc::new(master)
                    }
                    Err(error) => {
                        problems.push(format!("{}: {error}", one.name));
                        continue;
                    }
                },
            };
            master.set_hold(one.hold);
            all.insert(one.name, master);
        }
        self.set(source, all);
        problems
    }

    /// The master that has an address, whatever its name.
    #[must_use]
    pub fn at(&self, url: &str) -> Option<Arc<Master>> {
        let url = url.trim_end_matches('/');
        self.all().into_iter().find(|master| master.spec.address() == url)
    }

    /// All, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Master>> {
        let mut all = Masters::new();
        for masters in self.read().values().rev() {
            all.extend(masters.clone());
        }
        all.into_values().collect()
    }

    /// One, by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Master>> {
        self.read().values().find_map(|masters| masters.get(name).cloned())
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.read().values().all(BTreeMap::is_empty)
    }

    fn from(&self, source: Source) -> Masters {
        self.read().get(&source).cloned().unwrap_or_default()
    }

    fn set(&self, source: Source, masters: Masters) {
        self.masters.write().unwrap_or_else(PoisonError::into_inner).insert(source, masters);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<Source, Masters>> {
        self.masters.read().unwrap_or_else(PoisonError::into_inner)
    }
}

type Masters = BTreeMap<String, Arc<Master>>;
