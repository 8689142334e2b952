//! What only `config.xml` has: fields of plugins' parameters, the default of a credential.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use super::ReadOptions;
use crate::rest::cache::{Cache, Entry, shape};
use crate::rest::class::{Family, is_whole_in_json};
use crate::rest::client::{Client, Conditional, Validators};
use crate::rest::error::RestError;
use crate::rest::model::{Job, Parameter, ParameterKind};
use crate::rest::xml;

/// A job with its details, and what the cache keeps of them.
pub struct Details {
    pub job: Job,
    pub entry: Option<Entry>,
    pub origin: Origin,
}

/// Where details came from.
pub enum Origin {
    Read,
    Same,
    Failed,
}

fn family(kind: &ParameterKind) -> Family {
    match kind {
        ParameterKind::String { .. } => Family::Text,
        ParameterKind::Text { .. } => Family::MultilineText,
        ParameterKind::Boolean { .. } => Family::Boolean,
        ParameterKind::Choice { .. } => Family::Choice,
        ParameterKind::Password { .. } => Family::Password,
        ParameterKind::File => Family::File,
        ParameterKind::Run { .. } => Family::Run,
        ParameterKind::Credentials { .. } => Family::Credentials,
        ParameterKind::GitReference { .. } => Family::Git,
        ParameterKind::ActiveChoice { .. } => Family::ActiveChoice,
        ParameterKind::ValidatingString { .. } => Family::ValidatingString,
        ParameterKind::ExtendedChoice { .. } => Family::ExtendedChoice,
        ParameterKind::Opaque { .. } => Family::Opaque,
    }
}

fn names(job: &Job, wanted: impl Fn(Family) -> bool) -> Vec<&str> {
    job.parameters
        .iter()
        .filter(|one| wanted(family(&one.kind)))
        .map(|one| one.name.as_str())
        .collect()
}

/// Whether a job has details that only its `config.xml` has, and may be asked for it. A user who
/// may configure the job gets the file with the encrypted defaults of its passwords
/// (`hudson.model.AbstractItem.writeConfigDotXml`), so such a file is not asked for.
pub fn are_needed(job: &mut Job) -> bool {
    let wanted = names(job, |family| !is_whole_in_json(family));
    if wanted.is_empty() {
        return false;
    }
    let secrets = names(job, |family| family == Family::Password);
    if secrets.is_empty() {
        return true;
    }
    let note = format!(
        "details of {} are not read: config.xml may carry the default of the password {}",
        wanted.join(", "),
        secrets.join(", ")
    );
    job.notes.push(note);
    false
}

/// The job with the details that were read before, if they still hold.
pub fn kept(cache: &Cache, job: &Job, options: &ReadOptions) -> Option<Job> {
    let entry = cache.get(&job.name)?;
    let seen = UNIX_EPOCH + Duration::from_secs(entry.seen);
    let age = options.now.duration_since(seen).ok()?;
    (entry.shape == shape(job) && age <= options.max_age).then(|| entry.job.clone())
}

/// Reads the details of a job.
pub async fn read(
    client: &Client,
    cache: &Cache,
    options: &ReadOptions,
    mut job: Job,
) -> Result<Details, RestError> {
    let shape = shape(&job);
    let seen = options.now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let before = cache.get(&job.name).filter(|entry| entry.shape == shape);
    let known = before.map(|entry| &entry.validators);
    let answer = match client.config_xml(&job.job_name(), known).await {
        Ok(Conditional::New(answer)) => answer,
        Ok(Conditional::Same) => {
            // 304 comes only where `known` was sent, which is where there is an entry.
            let entry = before.map(|entry| Entry { seen, ..entry.clone() });
            let job = entry.as_ref().map_or(job, |entry| entry.job.clone());
            return Ok(Details { job, entry, origin: Origin::Same });
        }
        Err(error) if error.is_about_one_job() => {
            let wanted = names(&job, |family| !is_whole_in_json(family)).join(", ");
            job.notes.push(match error {
                RestError::Forbidden { .. } => format!(
                    "details of {wanted} are not read: config.xml needs the permission \
                     Job/ExtendedRead"
                ),
                other => format!("details of {wanted} are not read: {other}"),
            });
            return Ok(Details { job, entry: None, origin: Origin::Failed });
        }
        Err(error) => return Err(error),
    };
    match xml::parse(&answer.body) {
        Ok(config) => {
            merge(&mut job, config);
            let validators: Validators = answer.validators.clone();
            let entry = Entry { shape, seen, validators, job: job.clone() };
            Ok(Details { job, entry: Some(entry), origin: Origin::Read })
        }
        Err(reason) => {
            let wanted = names(&job, |family| !is_whole_in_json(family)).join(", ");
            job.notes.push(format!(
                "details of {wanted} are not known: config.xml cannot be read {reason}"
            ));
            Ok(Details { job, entry: None, origin: Origin::Failed })
        }
    }
}

/// Adds what the file has. Which parameters there are, the JSON says: a definition in the file whose
/// plugin is not installed is one that the controller does not load.
fn merge(job: &mut Job, config: xml::JobConfig) {
    job.script = config.script;
    if job.label.is_none() {
        job.label = config.label;
    }
    let mut in_file: BTreeMap<String, Parameter> =
        config.parameters.into_iter().map(|one| (one.name.clone(), one)).collect();
    let mut changed = false;
    for parameter in &mut job.parameters {
        match in_file.remove(&parameter.name) {
            Some(read) if family(&read.kind) == family(&parameter.kind) => *parameter = read,
            _ => changed = true,
        }
    }
    if changed {
        let note = "it was changed while it was read; some details are missing";
        job.notes.push(note.to_owned());
    }
    for (name, parameter) in in_file {
        let class = match parameter.kind {
            ParameterKind::Opaque { class } => format!(" ({class})"),
            _ => String::new(),
        };
        job.notes.push(format!(
            "config.xml also has {name}{class}, which the controller does not load: its plugin is \
             missing, or the job was changed meanwhile"
        ));
    }
}
