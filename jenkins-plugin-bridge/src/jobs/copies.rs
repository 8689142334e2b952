//! Copies of jobs at masters: looked at, made, mended, removed. What the bridge did not make is not touched.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::definition::{self, Meaning};
use super::model::JobSpec;
use crate::rest::{Client, Conditional, JobName, RestError};

/// How the copy of a job is at a master.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", tag = "state")]
pub enum CopyState {
    /// As it should be.
    Same,
    /// It is not there.
    Missing,
    /// It is another one than it should be.
    Drifted {
        /// How.
        differences: Vec<String>,
    },
    /// There is one that the bridge did not make. It is not touched.
    Foreign {
        /// What is there.
        reason: String,
    },
    /// It cannot be seen or changed.
    Failed {
        /// Why.
        reason: String,
    },
}

impl CopyState {
    /// In one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Missing => "missing",
            Self::Drifted { .. } => "drifted",
            Self::Foreign { .. } => "foreign",
            Self::Failed { .. } => "failed",
        }
    }
}

async fn found(client: &Client, job: &JobName) -> Result<Option<Meaning>, RestError> {
    let answer = match client.config_xml(job, None).await {
        Err(RestError::Missing { .. }) => return Ok(None),
        Err(error) => return Err(error),
        Ok(Conditional::Same) => return Ok(None),
        Ok(Conditional::New(answer)) => answer,
    };
    let text = String::from_utf8_lossy(&answer.body);
    definition::read(&text).map(Some).map_err(|reason| RestError::Malformed {
        url: answer.url.clone(),
        reason: format!("this is no config.xml: {reason}"),
    })
}

fn judge(spec: &JobSpec, found: Option<Meaning>) -> CopyState {
    let Some(found) = found else { return CopyState::Missing };
    match &found.marked {
        None => CopyState::Foreign { reason: "the bridge did not make it".to_owned() },
        // A person has copied a job, with its description.
        Some(name) if *name != spec.name => {
            CopyState::Foreign { reason: format!("it is a copy of {name} that somebody else made") }
        }
        Some(_) => match definition::drift(spec, &found) {
            differences if differences.is_empty() => CopyState::Same,
            differences => CopyState::Drifted { differences },
        },
    }
}

fn failed(error: &RestError) -> CopyState {
    CopyState::Failed { reason: error.to_string() }
}

/// How the copy of a job is; nothing is changed.
pub async fn inspect_copy(client: &Client, spec: &JobSpec) -> CopyState {
    let job = match JobName::parse(&spec.name) {
        Ok(job) => job,
        Err(error) => return failed(&error),
    };
    match found(client, &job).await {
        Ok(meaning) => judge(spec, meaning),
        Err(error) => failed(&error),
    }
}

/// Makes or mends the copy of a job, with the folders that it needs. Gives how it was before and how it is
/// now.
pub async fn mend_copy(client: &Client, spec: &JobSpec) -> (CopyState, CopyState) {
    let before = inspect_copy(client, spec).await;
    let done = match (&before, JobName::parse(&spec.name)) {
        (_, Err(error)) => Err(error),
        (CopyState::Missing, Ok(job)) => make(client, &job, spec).await,
        (CopyState::Drifted { .. }, Ok(job)) => {
            client.update_item(&job, definition::job(spec)).await
        }
        _ => return (before.clone(), before),
    };
    let after = match done {
        Ok(()) => inspect_copy(client, spec).await,
        Err(error) => failed(&error),
    };
    (before, after)
}

async fn make(client: &Client, job: &JobName, spec: &JobSpec) -> Result<(), RestError> {
    let (folder, _) = job.parent();
    let mut parts: Vec<JobName> = Vec::new();
    let mut one = folder;
    while !one.is_root() {
        let parent = one.parent().0;
        parts.push(one);
        one = parent;
    }
    for folder in parts.iter().rev() {
        // A folder that somebody else made is used as it is.
        if client.json(&folder.path(), "name").await.is_err_and(|error| is_missing(&error)) {
            let made = client.create_item(folder, definition::folder(folder.as_str())).await;
            tolerate_existing(client, folder, made).await?;
        }
    }
    let made = client.create_item(job, definition::job(spec)).await;
    tolerate_existing(client, job, made).await
}

fn is_missing(error: &RestError) -> bool {
    matches!(error, RestError::Missing { .. })
}

/// Another replica, or an earlier try whose answer was lost, may have made it.
async fn tolerate_existing(
    client: &Client,
    item: &JobName,
    made: Result<(), RestError>,
) -> Result<(), RestError> {
    match made {
        Ok(()) => Ok(()),
        Err(error) => client.json(&item.path(), "name").await.map(drop).map_err(|_| error),
    }
}

/// Removes the copy of a job that the bridge made. Gives how it was before.
pub async fn remove_copy(client: &Client, spec: &JobSpec) -> CopyState {
    let before = inspect_copy(client, spec).await;
    if let (CopyState::Same | CopyState::Drifted { .. }, Ok(job)) =
        (&before, JobName::parse(&spec.name))
        && let Err(error) = client.delete_item(&job).await
    {
        return failed(&error);
    }
    before
}
