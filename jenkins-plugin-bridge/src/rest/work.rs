//! Work at a controller: jobs made and changed, builds started, followed and stopped.

use std::collections::BTreeSet;

use reqwest::header::LOCATION;
use serde::Deserialize;

use super::client::Client;
use super::error::RestError;
use super::name::{JobName, encode};
use super::overview::read;

/// What is asked for of the queue.
const QUEUE_TREE: &str = "items[id,why,task[url],actions[parameters[name,value]]]";
/// What is asked for of nodes: what they run.
const RUNNING_TREE: &str =
    "computer[executors[currentExecutable[url]],oneOffExecutors[currentExecutable[url]]]";
/// What is asked for of an item.
const ITEM_TREE: &str = "cancelled,why,executable[number,url]";
/// What is asked for of the builds of a job. A key is looked for in so many: all that can have been
/// started since a trigger that was not answered.
const BUILDS_TREE: &str =
    "builds[number,url,building,result,queueId,actions[parameters[name,value]]]{0,200}";
/// What is asked for of a job before it is started.
const DECLARED_TREE: &str = "property[parameterDefinitions[name]]";
/// What is asked for of a build.
const RESULT_TREE: &str = "number,building,result,duration";

/// An item that waits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// Id.
    pub id: u64,
    /// Its key, where it has one.
    pub key: Option<String>,
    /// Why it waits, in the words of the controller.
    pub why: String,
}

/// What a controller has to do.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AtWork {
    /// What waits.
    pub waiting: Vec<Waiting>,
    /// Paths of the builds that run, as `job/a/job/b/12/`.
    pub running: BTreeSet<String>,
}

/// What became of an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// It waits.
    Waits,
    /// It has become this build.
    Build(u64),
    /// Somebody has cancelled it.
    Cancelled,
    /// The controller does not know it, or knows it no more.
    Missing,
}

/// A build with a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ran {
    /// Number.
    pub number: u64,
    /// The item that it was in the queue; it is known longer than the item itself.
    pub item: Option<u64>,
    /// Its key.
    pub key: Option<String>,
    /// How it is.
    pub outcome: Outcome,
}

/// How a build is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It runs.
    Runs,
    /// It has ended with this result.
    Ended(String),
    /// It is not there.
    Missing,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPiece {
    /// The bytes from where they were asked for.
    pub bytes: Vec<u8>,
    /// Where the next piece begins.
    pub next: u64,
    /// Whether more will come.
    pub more: bool,
}

#[derive(Deserialize)]
struct QueueJson {
    #[serde(default)]
    items: Vec<ItemJson>,
}

#[derive(Deserialize)]
struct ItemJson {
    #[serde(default)]
    id: u64,
    #[serde(default)]
    why: Option<String>,
    #[serde(default)]
    cancelled: bool,
    #[serde(default)]
    executable: Option<BuildJson>,
    #[serde(default)]
    actions: Vec<Option<ActionJson>>,
}

#[derive(Deserialize)]
pub(super) struct ActionJson {
    #[serde(default)]
    parameters: Vec<ParameterJson>,
    #[serde(default)]
    pub(super) causes: Vec<CauseJson>,
}

#[derive(Deserialize)]
pub(super) struct CauseJson {
    #[serde(default, rename = "_class")]
    pub(super) class: String,
}

#[derive(Deserialize)]
struct ParameterJson {
    #[serde(default)]
    name: String,
    #[serde(default)]
    value: Option<serde_json::Value>,
}

#[derive(Deserialize)]
struct BuildJson {
    #[serde(default)]
    number: u64,
    #[serde(default)]
    url: String,
    #[serde(default)]
    building: bool,
    #[serde(default)]
    result: Option<String>,
    #[serde(default, rename = "queueId")]
    queue_id: Option<u64>,
    #[serde(default)]
    actions: Vec<Option<ActionJson>>,
}

#[derive(Deserialize)]
struct JobJson {
    #[serde(default)]
    property: Vec<Option<PropertyJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PropertyJson {
    #[serde(default)]
    parameter_definitions: Vec<ParameterJson>,
}

#[derive(Deserialize)]
struct BuildsJson {
    #[serde(default)]
    builds: Vec<BuildJson>,
}

#[derive(Deserialize)]
struct ComputersJson {
    #[serde(default)]
    computer: Vec<ComputerJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ComputerJson {
    #[serde(default)]
    executors: Vec<Option<ExecutorJson>>,
    #[serde(default)]
    one_off_executors: Vec<Option<ExecutorJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecutorJson {
    #[serde(default)]
    current_executable: Option<BuildJson>,
}

#[derive(Deserialize)]
struct CredentialsJson {
    #[serde(default)]
    credentials: Vec<CredentialJson>,
}

#[derive(Deserialize)]
struct CredentialJson {
    id: String,
}

#[derive(Deserialize)]
struct PluginsJson {
    #[serde(default)]
    plugins: Vec<PluginJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PluginJson {
    #[serde(default)]
    active: bool,
    short_name: String,
}

/// Name of the parameter that carries the key of an attempt.
pub const KEY_PARAMETER: &str = "PILOTFISH_BUILD_KEY";

/// The key among the parameters of a build or an item.
pub(super) fn key(actions: &[Option<ActionJson>]) -> Option<String> {
    actions
        .iter()
        .flatten()
        .flat_map(|action| &action.parameters)
        .find(|one| one.name == KEY_PARAMETER)
        .and_then(|one| one.value.as_ref()?.as_str())
        .filter(|key| !key.is_empty())
        .map(str::to_owned)
}

fn outcome(build: &BuildJson) -> Outcome {
    match (&build.result, build.building) {
        (Some(result), false) => Outcome::Ended(result.clone()),
        _ => Outcome::Runs,
    }
}

/// The path of a build in its address, whatever host the controller calls itself.
#[must_use]
pub fn build_path(url: &str) -> Option<String> {
    let at = url.find("job/")?;
    let path = url[at..].trim_end_matches('/');
    Some(format!("{path}/"))
}

/// The job and the number of a build in its address.
#[must_use]
pub fn build_of(url: &str) -> Option<(JobName, i64)> {
    let path = build_path(url)?;
    let mut parts = path.trim_end_matches('/').split('/');
    let number = parts.next_back()?.parse().ok()?;
    let mut names = Vec::new();
    while let Some("job") = parts.next() {
        names.push(super::name::percent_decoded(parts.next()?));
    }
    Some((JobName::parse(&names.join("/")).ok()?, number))
}

impl Client {
    /// Makes a job or a folder.
    ///
    /// # Errors
    /// [`RestError`]; made once, so that after a broken connection it may be there all the same.
    pub async fn create_item(&self, job: &JobName, xml: String) -> Result<(), RestError> {
        let (folder, name) = job.parent();
        let mut path = format!("{}createItem?name=", folder.path());
        encode(&name, &mut path);
        self.post_body(&path, "application/xml; charset=utf-8", xml).await.map(drop)
    }

    /// Changes a job or a folder.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn update_item(&self, job: &JobName, xml: String) -> Result<(), RestError> {
        let path = format!("{}config.xml", job.path());
        self.post_body(&path, "application/xml; charset=utf-8", xml).await.map(drop)
    }

    /// Removes a job or a folder.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn delete_item(&self, job: &JobName) -> Result<(), RestError> {
        self.post(&format!("{}doDelete", job.path()), &[]).await.map(drop)
    }

    /// What waits and what runs: two requests, however much that is.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn at_work(&self) -> Result<AtWork, RestError> {
        // Running first: what leaves the queue between the two is seen as neither, never as both, and is
        // looked at by its item then.
        let computers: ComputersJson = read(&self.json("computer/", RUNNING_TREE).await?, "nodes")?;
        let queue: QueueJson = read(&self.json("queue/", QUEUE_TREE).await?, "a queue")?;
        let waiting = queue.items.into_iter().map(|item| Waiting {
            id: item.id,
            key: key(&item.actions),
            why: item.why.unwrap_or_default(),
        });
        let running = computers
            .computer
            .into_iter()
            .flat_map(|one| one.executors.into_iter().chain(one.one_off_executors))
            .flatten()
            .filter_map(|executor| build_path(&executor.current_executable?.url))
            .collect();
        Ok(AtWork { waiting: waiting.collect(), running })
    }

    /// Ids of the credentials of the controller itself; nothing where they cannot be seen, which needs
    /// Credentials/View.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn credential_ids(&self) -> Result<Option<BTreeSet<String>>, RestError> {
        let path = "credentials/store/system/domain/_/";
        let Some(answer) = self.json_if_allowed(path, "credentials[id]").await? else {
            return Ok(None);
        };
        let read: CredentialsJson = read(&answer, "credentials")?;
        Ok(Some(read.credentials.into_iter().map(|one| one.id).collect()))
    }

    /// Short names of the plugins that are active; nothing where they cannot be seen, which controllers of
    /// today show to administrators only.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn plugin_names(&self) -> Result<Option<BTreeSet<String>>, RestError> {
        let Some(answer) =
            self.json_if_allowed("pluginManager/", "plugins[shortName,active]").await?
        else {
            return Ok(None);
        };
        let read: PluginsJson = read(&answer, "plugins")?;
        let active = read.plugins.into_iter().filter(|one| one.active);
        Ok(Some(active.map(|one| one.short_name).collect()))
    }

    async fn json_if_allowed(
        &self,
        path: &str,
        tree: &str,
    ) -> Result<Option<super::client::Answer>, RestError> {
        match self.json(path, tree).await {
            Ok(answer) => Ok(Some(answer)),
            Err(RestError::Missing { .. } | RestError::Forbidden { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What became of an item.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn place(&self, item: u64) -> Result<Place, RestError> {
        let answer = match self.json(&format!("queue/item/{item}/"), ITEM_TREE).await {
            Err(RestError::Missing { .. }) => return Ok(Place::Missing),
            answer => answer?,
        };
        let item: ItemJson = read(&answer, "a queue item")?;
        Ok(match item.executable {
            Some(build) => Place::Build(build.number),
            None if item.cancelled => Place::Cancelled,
            None => Place::Waits,
        })
    }

    /// The last builds of a job, with their keys.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn recent_builds(&self, job: &JobName) -> Result<Vec<Ran>, RestError> {
        let answer = match self.json(&job.path(), BUILDS_TREE).await {
            Err(RestError::Missing { .. }) => return Ok(Vec::new()),
            answer => answer?,
        };
        let read: BuildsJson = read(&answer, "a job")?;
        Ok(read
            .builds
            .iter()
            .map(|build| Ran {
                number: build.number,
                item: build.queue_id,
                key: key(&build.actions),
                outcome: outcome(build),
            })
            .collect())
    }

    /// How a build is.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn outcome(&self, path: &str) -> Result<Outcome, RestError> {
        let answer = match self.json(path, RESULT_TREE).await {
            Err(RestError::Missing { .. }) => return Ok(Outcome::Missing),
            answer => answer?,
        };
        Ok(outcome(&read(&answer, "a build")?))
    }

    /// Whether a job is there and shown.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn is_visible(&self, job: &JobName) -> Result<bool, RestError> {
        Ok(self.json_if_allowed(&job.path(), "name").await?.is_some())
    }

    /// Whether a job declares the parameter of the key. A value for a parameter that a job does not declare
    /// is dropped without a word, and a build without its key runs as if nobody knew it.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn declares_key(&self, job: &JobName) -> Result<bool, RestError> {
        let job: JobJson = read(&self.json(&job.path(), DECLARED_TREE).await?, "a job")?;
        let mut declared = job.property.iter().flatten().flat_map(|one| &one.parameter_definitions);
        Ok(declared.any(|one| one.name == KEY_PARAMETER))
    }

    /// Starts a build; gives the id of its item. An equal item that waits already is that item.
    ///
    /// # Errors
    /// [`RestError`]. After [`RestError::Unreachable`] or [`RestError::Slow`] it may have been started.
    pub async fn trigger(
        &self,
        job: &JobName,
        parameters: &[(String, String)],
    ) -> Result<u64, RestError> {
        let path = format!("{}buildWithParameters", job.path());
        let (status, headers) = self.post(&path, parameters).await?;
        headers
            .get(LOCATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|place| place.trim_end_matches('/').rsplit_once("/queue/item/"))
            .and_then(|(_, id)| id.parse().ok())
            .ok_or_else(|| RestError::Malformed {
                url: format!("{}{path}", self.base()),
                reason: format!("{} came without the place in the queue", status.as_u16()),
            })
    }

    /// Cancels an item. One that has left the queue is no error.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn cancel(&self, item: u64) -> Result<(), RestError> {
        let form = [("id".to_owned(), item.to_string())];
        match self.post("queue/cancelItem", &form).await {
            // 404 for an unknown one, 500 for one that has left (`hudson.model.Queue.doCancelItem`).
            Ok(_) | Err(RestError::Missing { .. } | RestError::Status { status: 500, .. }) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Stops a build. One that is not there is no error.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn stop(&self, path: &str) -> Result<(), RestError> {
        match self.post(&format!("{path}stop"), &[]).await {
            Ok(_) | Err(RestError::Missing { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The log of a build from a byte on.
    ///
    /// # Errors
    /// [`RestError`].
    pub async fn log(&self, path: &str, start: u64) -> Result<LogPiece, RestError> {
        let (headers, bytes) = self
            .text(&format!("{path}logText/progressiveText"), &[("start", start.to_string())])
            .await?;
        let number = |name: &str| headers.get(name)?.to_str().ok()?.parse::<u64>().ok();
        let size = number("x-text-size").unwrap_or(start + bytes.len() as u64);
        let more = headers.contains_key("x-more-data");
        // A start beyond the end is answered from the beginning (`AnnotatedLargeText.doProgressText`).
        if size < start {
            return Ok(LogPiece { bytes: Vec::new(), next: start, more });
        }
        Ok(LogPiece { bytes, next: size, more })
    }
}
