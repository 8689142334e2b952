//! How a controller is: its pulse, its nodes, its queue.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::client::{Answer, Client};
use super::error::RestError;

/// What is asked for of the controller itself.
const PULSE_TREE: &str = "mode,quietingDown";
/// What is asked for of its nodes.
const NODES_TREE: &str =
    "busyExecutors,totalExecutors,computer[displayName,offline,numExecutors,assignedLabels[name]]";

/// The pulse of a controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    /// Version of Jenkins.
    pub version: String,
    /// It starts no builds any more.
    pub quieting_down: bool,
}

/// The nodes of a controller.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Nodes {
    /// Executors of nodes that are online.
    pub executors: u32,
    /// Executors that run something.
    pub busy: u32,
    /// Nodes that are online.
    pub online: u32,
    /// Nodes that are not.
    pub offline: u32,
    /// Labels of nodes that are online.
    pub labels: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RootJson {
    #[serde(default)]
    quieting_down: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ComputersJson {
    #[serde(default)]
    busy_executors: u32,
    #[serde(default)]
    computer: Vec<ComputerJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ComputerJson {
    #[serde(default)]
    offline: bool,
    #[serde(default)]
    num_executors: u32,
    #[serde(default)]
    assigned_labels: Vec<LabelJson>,
}

#[derive(Deserialize)]
struct LabelJson {
    name: String,
}

#[derive(Deserialize)]
struct QueueJson {
    #[serde(default)]
    items: Vec<serde::de::IgnoredAny>,
}

/// Reads an answer as what it should be.
pub(super) fn read<T: DeserializeOwned>(answer: &Answer, what: &str) -> Result<T, RestError> {
    serde_json::from_slice(&answer.body).map_err(|error| RestError::Malformed {
        url: answer.url.clone(),
        reason: format!("this is not the JSON of {what}: {error}"),
    })
}

impl Client {
    /// Whether the controller answers, which version it has, and whether it is about to stop.
    ///
    /// # Errors
    /// [`RestError`], after all tries; [`RestError::NotJenkins`] where something else answers.
    pub async fn pulse(&self) -> Result<Pulse, RestError> {
        let answer = self.json("", PULSE_TREE).await?;
        let root: RootJson = read(&answer, "a controller")?;
        let version = answer.jenkins_version.clone();
        let version = version.ok_or_else(|| RestError::NotJenkins { url: answer.url.clone() })?;
        Ok(Pulse { version, quieting_down: root.quieting_down })
    }

    /// What nodes and executors it has.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn nodes(&self) -> Result<Nodes, RestError> {
        let answer = self.json("computer/", NODES_TREE).await?;
        let read: ComputersJson = read(&answer, "nodes")?;
        let mut nodes = Nodes { busy: read.busy_executors, ..Nodes::default() };
        for computer in read.computer {
            if computer.offline {
                nodes.offline += 1;
                continue;
            }
            nodes.online += 1;
            nodes.executors = nodes.executors.saturating_add(computer.num_executors);
            nodes.labels.extend(computer.assigned_labels.into_iter().map(|label| label.name));
        }
        Ok(nodes)
    }

    /// How many items wait in its queue.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn queue_length(&self) -> Result<u32, RestError> {
        let answer = self.json("queue/", "items[id]").await?;
        let read: QueueJson = read(&answer, "a queue")?;
        Ok(u32::try_from(read.items.len()).unwrap_or(u32::MAX))
    }
}
