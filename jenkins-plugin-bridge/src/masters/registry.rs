//! The masters, with what is known about each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use super::file::{CAPACITY, Labels, MasterSpec, MastersFile};
use super::health::{Health, HealthRules, Observation, State};
use crate::error::BridgeError;
use crate::rest::{Client, ConnectArgs, RetryPolicy};

/// The most time of one request for work: the answer to a trigger is short.
const WORK_TIMEOUT: Duration = Duration::from_secs(15);
/// The most time of a look.
const LOOK_TIMEOUT: Duration = Duration::from_secs(4);
/// Requests under way at once for work.
const WORK_AT_ONCE: usize = 8;

/// A master.
#[derive(Debug)]
pub struct Master {
    /// Its name.
    pub name: String,
    /// What is declared about it.
    pub spec: MasterSpec,
    /// For work. Requests that change nothing are tried twice, others once.
    pub client: Arc<Client>,
    /// For looks: never tried again, given up after a few seconds.
    pub probe: Arc<Client>,
    state: Mutex<State>,
}

impl Master {
    /// Puts a master together from what is declared.
    ///
    /// # Errors
    /// What is wrong with its address, token, certificate or proxy.
    pub fn new(name: &str, spec: &MasterSpec) -> Result<Self, BridgeError> {
        let mut options = ConnectArgs::of(
            Some(spec.user.clone()),
            Some(spec.token_file.clone()),
            spec.ca_files.clone(),
            spec.proxy.clone(),
        )
        .options(&spec.url)?;
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
        Ok(Self { name, spec, client, probe, state: Mutex::default() })
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
    masters: RwLock<BTreeMap<String, Arc<Master>>>,
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

    /// Takes another file. A master that is declared as before keeps its state.
    ///
    /// # Errors
    /// [`BridgeError::Masters`]; nothing is changed then.
    pub fn replace(&self, file: &MastersFile) -> Result<(), BridgeError> {
        let before = self.all();
        let mut all = BTreeMap::new();
        let mut problems = Vec::new();
        for (name, spec) in &file.masters {
            let known = before.iter().find(|one| one.name == name.as_str() && one.spec == *spec);
            if let Some(known) = known {
                all.insert(name.to_string(), Arc::clone(known));
                continue;
            }
            match Master::new(name.as_str(), spec) {
                Ok(master) => {
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
        *self.masters.write().unwrap_or_else(PoisonError::into_inner) = all;
        Ok(())
    }

    /// All, by name.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<Master>> {
        self.masters.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// One, by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Master>> {
        self.masters.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.masters.read().unwrap_or_else(PoisonError::into_inner).is_empty()
    }
}
