//! A build: its parameters while it runs, and the start of a new one.

use std::collections::BTreeMap;

use reqwest::header::LOCATION;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::class;
use super::client::Client;
use super::error::RestError;
use super::name::JobName;
use crate::catalog::model::{JobRecord, PlanFacts};

/// What is asked for of a build. Without it the answer has every change and every artifact.
const BUILD_TREE: &str = "number,url,building,result,\
    actions[_class,parameters[_class,name,value,jobName,number],causes[_class]]";

/// A build of a job.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Build {
    /// Full name of the job.
    pub job: String,
    /// Number.
    pub number: u64,
    /// Whether it runs.
    pub building: bool,
    /// `SUCCESS`, `UNSTABLE`, `FAILURE`, `NOT_BUILT`, `ABORTED`; none while it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub result: Option<String>,
    /// What started it: `push`, `timer`, `user`, `upstream`, `remote`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// Its parameters.
    pub parameters: Vec<BuildParameter>,
}

/// A parameter of a build.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BuildParameter {
    /// Name.
    pub name: String,
    /// Value; none for a secret, and for what the controller does not export.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<Value>,
    /// Whether it is a secret.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub secret: bool,
}

/// A place in the queue of a controller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueItem {
    /// Its number.
    pub id: u64,
}

#[derive(Deserialize)]
struct BuildJson {
    number: u64,
    #[serde(default)]
    building: bool,
    #[serde(default)]
    result: Option<String>,
    #[serde(default)]
    actions: Vec<Option<ActionJson>>,
}

#[derive(Deserialize)]
struct ActionJson {
    #[serde(default)]
    parameters: Option<Vec<ValueJson>>,
    #[serde(default)]
    causes: Option<Vec<CauseJson>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ValueJson {
    #[serde(rename = "_class", default)]
    class: String,
    name: String,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    job_name: Option<String>,
    #[serde(default)]
    number: Option<Value>,
}

#[derive(Deserialize)]
struct CauseJson {
    #[serde(rename = "_class", default)]
    class: String,
}

impl Client {
    /// A build with its parameters, also while it runs.
    ///
    /// # Errors
    /// [`RestError`], after all tries.
    pub async fn build(&self, job: &JobName, number: u64) -> Result<Build, RestError> {
        let answer = self.json(&format!("{}{number}/", job.path()), BUILD_TREE).await?;
        let read: BuildJson =
            serde_json::from_slice(&answer.body).map_err(|error| RestError::Malformed {
                url: answer.url.clone(),
                reason: format!("this is not the JSON of a build: {error}"),
            })?;
        if read.number != number {
            return Err(RestError::Malformed {
                url: answer.url.clone(),
                reason: format!("build {number} was asked for, {} came", read.number),
            });
        }
        let actions: Vec<ActionJson> = read.actions.into_iter().flatten().collect();
        let cause = actions
            .iter()
            .flat_map(|action| action.causes.iter().flatten())
            .find_map(|cause| class::cause(&cause.class))
            .map(str::to_owned);
        let parameters = actions
            .into_iter()
            .filter_map(|action| action.parameters)
            .flatten()
            .map(ValueJson::into_parameter)
            .collect();
        Ok(Build {
            job: job.as_str().to_owned(),
            number,
            building: read.building,
            result: read.result,
            cause,
            parameters,
        })
    }

    /// Starts a build with these parameters; those not given have their defaults.
    ///
    /// # Errors
    /// [`RestError`]. The request is made once: after a broken connection the build may have been
    /// started all the same. A controller answers a value that is not among the choices of a
    /// parameter with status 500.
    pub async fn start(
        &self,
        job: &JobName,
        parameters: &[(String, String)],
    ) -> Result<QueueItem, RestError> {
        let path = format!("{}buildWithParameters", job.path());
        let (status, headers) = self.post(&path, parameters).await?;
        let place = headers.get(LOCATION).and_then(|value| value.to_str().ok()).unwrap_or_default();
        place
            .trim_end_matches('/')
            .rsplit_once("/queue/item/")
            .and_then(|(_, id)| id.parse().ok())
            .map(|id| QueueItem { id })
            .ok_or_else(|| RestError::Malformed {
                url: format!("{}{path}", self.base()),
                reason: format!("{} came without the place in the queue", status.as_u16()),
            })
    }
}

impl ValueJson {
    fn into_parameter(self) -> BuildParameter {
        if class::is_secret_value(&self.class) {
            return BuildParameter { name: self.name, value: None, secret: true };
        }
        let run = match (self.job_name, self.number) {
            // `hudson.model.RunParameterValue` exports the number as text.
            (Some(job), Some(Value::String(number))) => {
                Some(Value::from(format!("{job}#{number}")))
            }
            (Some(job), Some(number)) => Some(Value::from(format!("{job}#{number}"))),
            _ => None,
        };
        let value = self.value.filter(|value| !value.is_null()).or(run);
        BuildParameter { name: self.name, value, secret: false }
    }
}

impl Build {
    /// The build as the catalog's rules see it.
    #[must_use]
    pub fn record(
        &self,
        controller: &str,
        labels: Vec<String>,
        branch: Option<String>,
    ) -> JobRecord {
        let parameters: BTreeMap<String, Value> = self
            .parameters
            .iter()
            .filter_map(|one| Some((one.name.clone(), one.value.clone()?)))
            .collect();
        JobRecord {
            controller: controller.to_owned(),
            job: self.job.clone(),
            labels,
            parameters,
            facts: PlanFacts { branch, cause: self.cause.clone(), ..PlanFacts::default() },
        }
    }
}
