//! What runs at masters that the bridge did not start. A master is asked when somebody looks, and once for
//! all who look within a few seconds.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::stream::{self, StreamExt as _};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::api::routed::given;
use super::state::Service;
use super::store::StoreError;
use crate::masters::{Health, Master};
use crate::rest::{Running, build_of};

/// What was read is told for so long: a master has at most twelve requests a minute with it, however many
/// people look.
const FRESH: Duration = Duration::from_secs(5);
/// The longest that a master is waited for.
const PATIENCE: Duration = Duration::from_secs(4);
/// Masters that are asked at the same time.
const AT_ONCE: usize = 64;

/// Which of them.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RunningQuery {
    /// Of this job.
    #[serde(deserialize_with = "given")]
    pub job: Option<String>,
    /// At this master.
    #[serde(deserialize_with = "given")]
    pub master: Option<String>,
}

/// A build that a master runs and the bridge did not start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunningBuild {
    /// Its master.
    pub master: String,
    /// Full name of its job.
    pub job: String,
    /// Its number at the master.
    pub number: i64,
    /// Its address, as the master says it.
    pub url: String,
    /// Nodes that it is on.
    pub nodes: Vec<String>,
    /// When it began, in milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started_ms: Option<i64>,
    /// What started it: `push`, `timer`, `user`, `upstream`, `remote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
}

/// What runs at masters that the bridge did not start.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RunningList {
    /// By master and job; of each master at most 1,000.
    pub builds: Vec<RunningBuild>,
    /// Masters of which it is not known what they run, and why.
    pub unseen: BTreeMap<String, String>,
}

type Answer = Result<Arc<Vec<Running>>, String>;
type Place = Arc<tokio::sync::Mutex<Option<(Instant, Answer)>>>;

/// What masters said last.
#[derive(Debug, Default)]
pub struct LastRunning(Mutex<HashMap<String, Place>>);

impl LastRunning {
    /// What a master runs. Whoever comes while it is being asked has its answer, too.
    async fn of(&self, master: &Master) -> Answer {
        let state = master.state();
        if state.health == Health::Unhealthy {
            return Err(state.reason);
        }
        let place = {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(all.entry(master.name.clone()).or_default())
        };
        let mut last = place.lock().await;
        if let Some((at, answer)) = &*last
            && at.elapsed() < FRESH
        {
            return answer.clone();
        }
        let answer = match tokio::time::timeout(PATIENCE, master.client.running()).await {
            Ok(Ok(running)) => Ok(Arc::new(running)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

impl Service {
    /// What runs at masters that the bridge did not start.
    ///
    /// # Errors
    /// [`StoreError`]. A master that does not answer is told of in the list.
    pub async fn running_elsewhere(&self, query: &RunningQuery) -> Result<RunningList, StoreError> {
        let mut masters = self.masters.all();
        masters.retain(|one| query.master.as_ref().is_none_or(|name| *name == one.name));
        let answers: Vec<(Arc<Master>, Answer)> = stream::iter(masters)
            .map(|master| async move {
                let answer = self.last_running.of(&master).await;
                (master, answer)
            })
            .buffered(AT_ONCE)
            .collect()
            .await;
        // After the masters were asked: what was started meanwhile is known here by now.
        let mut ours = HashSet::new();
        for build in self.store.live_routed().await? {
            if let Some(((job, number), master)) =
                build.url.as_deref().and_then(build_of).zip(build.master)
            {
                ours.insert((master, job.as_str().to_owned(), number));
            }
        }
        let mut list = RunningList::default();
        for (master, answer) in answers {
            let running = match answer {
                Ok(running) => running,
                Err(why) => {
                    list.unseen.insert(master.name.clone(), why);
                    continue;
                }
            };
            let others = running.iter().filter(|one| {
                one.key.is_none()
                    && query.job.as_ref().is_none_or(|job| *job == one.job)
                    && !ours.contains(&(master.name.clone(), one.job.clone(), one.number))
            });
            list.builds.extend(others.map(|one| RunningBuild {
                master: master.name.clone(),
                job: one.job.clone(),
                number: one.number,
                url: one.url.clone(),
                nodes: one.nodes.iter().cloned().collect(),
                started_ms: one.started_ms,
                cause: one.cause.map(str::to_owned),
            }));
        }
        Ok(list)
    }
}
