//! The requests that a reading consists of, and what may come of each.

use std::ops::Range;

use serde::de::DeserializeOwned;

use super::ReadOptions;
use super::details::{self, Details};
use crate::rest::cache::Cache;
use crate::rest::client::{Answer, Client};
use crate::rest::error::RestError;
use crate::rest::json::{FolderJson, JOB_TREE, JobJson, PageJson};
use crate::rest::model::Job;
use crate::rest::name::JobName;

/// Something to ask for.
pub enum Task {
    /// Something that may be a folder or a job; `start` if the user named it.
    Look { name: JobName, start: bool },
    /// Some jobs of a folder.
    Page { folder: JobName, class: Option<String>, range: Range<usize> },
    /// One job, or a folder that turned up since.
    Single { name: JobName, class: Option<String>, start: bool },
    /// The details of a job.
    Details { job: Box<Job> },
}

/// What came of it.
pub enum Done {
    Looked(JobName, FolderJson),
    Page(JobName, Option<String>, PageJson),
    Single(JobName, Option<String>, Box<JobJson>),
    Detailed(Box<Details>),
    Split(JobName, Option<String>, Range<usize>),
    Skipped(JobName, RestError),
}

/// Asks.
///
/// # Errors
/// What concerns more than one job, or a job that the user named.
pub async fn run(
    client: &Client,
    cache: &Cache,
    options: &ReadOptions,
    task: Task,
) -> Result<Done, RestError> {
    match task {
        Task::Look { name, start } => {
            let looked = client.json(&name.path(), "_class,jobs[name]").await;
            match looked.and_then(|answer| parse(&answer)) {
                Ok(folder) => Ok(Done::Looked(name, folder)),
                Err(error) if !start && error.is_about_one_job() => Ok(Done::Skipped(name, error)),
                Err(error) => Err(error),
            }
        }
        Task::Page { folder, class, range } => {
            // The range is Stapler's (`org.kohsuke.stapler.export.TreePruner`).
            let tree = format!("jobs[{JOB_TREE}]{{{},{}}}", range.start, range.end);
            let divisible = range.len() > 1;
            match client.json_of_many(&folder.path(), &tree, divisible).await {
                Ok(answer) => Ok(Done::Page(folder, class, parse(&answer)?)),
                Err(error) if divisible && (error.is_too_much_at_once() || error.is_a_crash()) => {
                    Ok(Done::Split(folder, class, range))
                }
                // One job that the controller cannot show must not hide ten thousand others: it is
                // asked for once more by itself, and named with the reason.
                Err(error) if error.is_a_crash() => {
                    Ok(Done::Page(folder, class, PageJson { jobs: Vec::new() }))
                }
                Err(error) if error.is_about_one_job() && !folder.is_root() => {
                    Ok(Done::Skipped(folder, error))
                }
                Err(error) => Err(error),
            }
        }
        Task::Single { name, class, start } => {
            match client.json(&name.path(), JOB_TREE).await.and_then(|answer| parse(&answer)) {
                Ok(job) => Ok(Done::Single(name, class, Box::new(job))),
                Err(error) if !start && error.is_about_one_job() => Ok(Done::Skipped(name, error)),
                Err(error) => Err(error),
            }
        }
        Task::Details { job } => {
            let details = details::read(client, cache, options, *job).await?;
            Ok(Done::Detailed(Box::new(details)))
        }
    }
}

fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, RestError> {
    serde_json::from_slice(&answer.body).map_err(|error| RestError::Malformed {
        url: answer.url.clone(),
        reason: format!("this is not the JSON that the API gives: {error}"),
    })
}
