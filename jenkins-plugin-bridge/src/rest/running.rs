//! What a controller runs, whoever started it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::class;
use super::client::Client;
use super::error::RestError;
use super::overview::read;
use super::work::{ActionJson, build_of, key};

/// What is asked for of nodes: builds on executors, and Pipelines, which run on one of their own at the node
/// of the controller while their stages are on executors of agents (`hudson.model.Computer`; the stage of a
/// Pipeline exports address and start of its build: `ExecutorStepExecution.PlaceholderTask`). Causes and
/// parameters are those of the build (`hudson.model.CauseAction`, `hudson.model.ParametersAction`).
const RUNNING_TREE: &str = "computer[displayName,\
     executors[currentExecutable[url,timestamp,actions[causes[_class],parameters[name,value]]]]{0,500},\
     oneOffExecutors[currentExecutable[url,timestamp,actions[causes[_class],parameters[name,value]]]]{0,1000}]\
     {0,1000}";
/// The most builds that are told: a page with more of them is read by nobody.
pub const RUNNING: usize = 1_000;

/// A build that runs at a controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Running {
    /// Full name of its job.
    pub job: String,
    /// Its number there.
    pub number: i64,
    /// Its address, as the controller says it.
    pub url: String,
    /// Names of the nodes that it is on.
    pub nodes: BTreeSet<String>,
    /// When it began, in milliseconds since 1970.
    pub started_ms: Option<i64>,
    /// What started it: `push`, `timer`, `user`, `upstream`, `remote`.
    pub cause: Option<&'static str>,
    /// Its key, where the bridge started it.
    pub key: Option<String>,
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
    display_name: String,
    #[serde(default)]
    executors: Vec<Option<ExecutorJson>>,
    #[serde(default)]
    one_off_executors: Vec<Option<ExecutorJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExecutorJson {
    #[serde(default)]
    current_executable: Option<ExecutableJson>,
}

#[derive(Deserialize)]
struct ExecutableJson {
    #[serde(default)]
    url: Option<String>,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default)]
    actions: Vec<Option<ActionJson>>,
}

/// Builds by job and number. The same one is seen on several executors.
#[derive(Default)]
struct Found(BTreeMap<(String, i64), Running>);

impl Found {
    fn add(&mut self, executable: ExecutableJson, node: Option<&str>) {
        let Some(url) = executable.url else { return };
        let Some((job, number)) = build_of(&url) else { return };
        let at = (job.as_str().to_owned(), number);
        if self.0.len() >= RUNNING && !self.0.contains_key(&at) {
            return;
        }
        let one = self.0.entry(at).or_insert_with_key(|(job, number)| Running {
            job: job.clone(),
            number: *number,
            url,
            ..Running::default()
        });
        one.nodes.extend(node.map(str::to_owned));
        one.started_ms = one.started_ms.or(executable.timestamp);
        one.key = one.key.take().or_else(|| key(&executable.actions));
        let causes = executable.actions.iter().flatten().flat_map(|action| &action.causes);
        one.cause = one.cause.or_else(|| causes.filter_map(|one| class::cause(&one.class)).next());
    }
}

impl Client {
    /// What runs, by the names of jobs: one request, however much that is. At most [`RUNNING`] builds are told.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn running(&self) -> Result<Vec<Running>, RestError> {
        let all: ComputersJson = read(&self.json("computer/", RUNNING_TREE).await?, "nodes")?;
        let mut found = Found::default();
        for computer in all.computer {
            let node = Some(computer.display_name.as_str());
            for one in computer.executors.into_iter().flatten() {
                one.current_executable.into_iter().for_each(|one| found.add(one, node));
            }
            // Such an executor takes no place of a node.
            for one in computer.one_off_executors.into_iter().flatten() {
                one.current_executable.into_iter().for_each(|one| found.add(one, None));
            }
        }
        Ok(found.0.into_values().collect())
    }
}
