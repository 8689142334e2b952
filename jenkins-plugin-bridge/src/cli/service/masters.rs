//! `masters`: which there are, how each is, and what the bridge may do there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::{Value, json};

use super::client::Bridge;
use super::{OutputArguments, ServiceArguments, declared, encoded, typed};
use crate::cli::remote::runtime;
use crate::cli::table::Table;
use crate::cli::{FAILED, PASSED, complain};
use crate::error::BridgeError;
use crate::masters::declaration::FORMAT;
use crate::masters::{DeclaredMastersFile, MasterCheck, Permission, PermissionState, State};

/// Arguments of `masters`.
#[derive(Debug, Args)]
pub struct MastersArguments {
    #[command(flatten)]
    service: ServiceArguments,
    #[command(flatten)]
    output: OutputArguments,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// The masters and the labels, and how each is.
    List,
    /// What the bridge's user lacks at masters for each degree of permission. Nothing is changed there.
    Check {
        /// Only these masters.
        masters: Vec<String>,
    },
    /// Declare the masters of a file, for a service with --master-tokens. Others stay as they are.
    Apply {
        /// A YAML file of the kind `declared-masters`.
        file: PathBuf,
    },
    /// Remove a master that was declared so and has no builds of the bridge. Nothing is changed at it.
    Remove {
        /// The master.
        name: String,
    },
    /// Give a master no new builds, until it is resumed. What waits there goes to others; what runs goes on.
    Drain {
        /// The master.
        name: String,
        /// Why, for others who see it.
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Give builds again to a master that was drained.
    Resume {
        /// The master.
        name: String,
    },
}

#[derive(Debug, Deserialize)]
pub(super) struct Master {
    pub name: String,
    pub labels: BTreeSet<String>,
    pub capacity: u32,
    pub permission: Permission,
    #[serde(default)]
    pub refusal: Option<String>,
    pub state: State,
    #[serde(default)]
    pub calls_last_minute: u64,
}

#[derive(Debug, Deserialize)]
struct Label {
    label: String,
    ready: Vec<String>,
    not_ready: BTreeMap<String, String>,
    #[serde(default)]
    alert: Option<String>,
}

pub(in crate::cli) fn execute(arguments: &MastersArguments) -> Result<u8, BridgeError> {
    let bridge = Bridge::connect(&arguments.service)?;
    runtime()?.block_on(async {
        match &arguments.command {
            None | Some(Command::List) => list(&bridge, &arguments.output).await,
            Some(Command::Check { masters }) => check(&bridge, &arguments.output, masters).await,
            Some(Command::Apply { file }) => output_of(arguments, &apply(&bridge, file).await?),
            Some(Command::Remove { name }) => {
                let path = format!("/v1/masters/{}/remove", encoded(name));
                bridge.post(&path, &json!({}), None).await?;
                complain(&format!("{name} is no master of the bridge any more"));
                Ok(PASSED)
            }
            Some(Command::Drain { name, reason }) => {
                let path = format!("/v1/masters/{}/drain", encoded(name));
                let answer = bridge.post(&path, &json!({"reason": reason}), None).await?;
                output_of(arguments, &json!([answer]))
            }
            Some(Command::Resume { name }) => {
                let path = format!("/v1/masters/{}/resume", encoded(name));
                let answer = bridge.post(&path, &json!({}), None).await?;
                output_of(arguments, &json!([answer]))
            }
        }
    })
}

fn output_of(arguments: &MastersArguments, masters: &Value) -> Result<u8, BridgeError> {
    arguments.output.print(masters, table)?;
    Ok(PASSED)
}

async fn apply(bridge: &Bridge, file: &Path) -> Result<Value, BridgeError> {
    let read: DeclaredMastersFile = declared(FORMAT, file, DeclaredMastersFile::problems)?;
    let all = read.masters.iter().map(|master| (master.name.to_string(), json!(master)));
    Ok(Value::from(bridge.post_each("/v1/masters", all).await?))
}

async fn list(bridge: &Bridge, output: &OutputArguments) -> Result<u8, BridgeError> {
    let masters = bridge.get("/v1/masters").await?;
    let labels = bridge.get("/v1/labels").await?;
    output.print(&json!({"masters": masters, "labels": labels}), |answer| {
        Ok(format!("{}\n{}", table(&answer["masters"])?, cover(&answer["labels"])?))
    })?;
    Ok(PASSED)
}

/// The masters as a table.
pub(super) fn table(masters: &Value) -> Result<String, BridgeError> {
    let all: Vec<Master> = typed(masters)?;
    let mut table = Table::new(&[
        "MASTER",
        "STATE",
        "BUSY",
        "QUEUE",
        "TAKES",
        "MAY",
        "CALLS/MIN",
        "VERSION",
        "LABELS",
    ]);
    for one in &all {
        let seen = &one.state.seen;
        let labels: Vec<&str> = one.labels.iter().map(String::as_str).collect();
        table.line([
            one.name.clone(),
            one.refusal.as_ref().map_or("ready", |_| "takes nothing").to_owned(),
            format!("{}/{}", seen.busy, seen.executors),
            seen.queue.to_string(),
            one.capacity.to_string(),
            one.permission.as_str().to_owned(),
            one.calls_last_minute.to_string(),
            seen.version.clone(),
            labels.join(","),
        ]);
    }
    let mut text = table.text();
    for one in &all {
        if let Some(refusal) = &one.refusal {
            text.push_str(&format!("{} takes no builds: {refusal}\n", one.name));
        }
    }
    Ok(text)
}

/// Labels that fewer than two masters can serve, a line each.
pub(super) fn alerts(labels: &Value) -> Result<String, BridgeError> {
    let all: Vec<Label> = typed(labels)?;
    let alerts: Vec<(String, String)> =
        all.iter().filter_map(|one| Some((one.label.clone(), one.alert.clone()?))).collect();
    let mut text =
        format!("\n{} of {} labels with fewer than two masters\n", alerts.len(), all.len());
    for (label, alert) in alerts {
        text.push_str(&format!("{label}: {alert}\n"));
    }
    Ok(text)
}

fn cover(labels: &Value) -> Result<String, BridgeError> {
    let all: Vec<Label> = typed(labels)?;
    let mut table = Table::new(&["LABEL", "MASTERS", "READY", ""]);
    for one in all {
        table.line([
            one.label,
            format!("{} of {}", one.ready.len(), one.ready.len() + one.not_ready.len()),
            one.ready.join(","),
            one.alert.map_or_else(String::new, |alert| format!("ALERT: {alert}")),
        ]);
    }
    Ok(table.text())
}

async fn check(
    bridge: &Bridge,
    output: &OutputArguments,
    masters: &[String],
) -> Result<u8, BridgeError> {
    let mut names = masters.to_vec();
    if names.is_empty() {
        let all: Vec<Master> = typed(&bridge.get("/v1/masters").await?)?;
        names = all.into_iter().map(|one| one.name).collect();
    }
    let mut answers = Vec::new();
    let mut problems = Vec::new();
    for name in names {
        // One that does not answer must not hide what is known of the others.
        match bridge.get(&format!("/v1/masters/{}/check", encoded(&name))).await {
            Ok(answer) => answers.push(answer),
            Err(error) => {
                problems.push(format!("{name}: {error}"));
                answers.push(json!({"master": name, "error": error.to_string()}));
            }
        }
    }
    let all: Vec<MasterCheck> = answers
        .iter()
        .filter(|one| one.get("error").is_none())
        .map(typed)
        .collect::<Result<_, _>>()?;
    output.print(&Value::from(answers), |_| Ok(all.iter().map(told).collect()))?;
    problems.iter().for_each(|problem| complain(problem));
    let falls_short = all.iter().any(|one| one.needed(PermissionState::Lacking).next().is_some());
    Ok(if falls_short || !problems.is_empty() { FAILED } else { PASSED })
}

/// What was found out about a master.
fn told(one: &MasterCheck) -> String {
    let mut table = Table::new(&["NEEDED FOR", "PERMISSION", "", ""]);
    for check in &one.checks {
        table.line([
            check.level.map_or("seeing more", Permission::as_str).to_owned(),
            check.permission.clone(),
            match check.state {
                PermissionState::Given => "yes",
                PermissionState::Lacking => "LACKING",
                PermissionState::Unseen => "cannot be seen",
            }
            .to_owned(),
            check.note.clone(),
        ]);
    }
    let declared = one.declared.as_str();
    let lacking: Vec<&str> = one.needed(PermissionState::Lacking).collect();
    let unseen: Vec<&str> = one.needed(PermissionState::Unseen).collect();
    let verdict = if !lacking.is_empty() {
        let reaches = one.reaches.map_or("nothing", Permission::as_str);
        format!(
            "declared {declared}, but the user lacks {} and reaches {reaches}",
            lacking.join(", ")
        )
    } else if one.reaches < Some(one.declared) {
        format!(
            "declared {declared}: nothing is seen to be lacking, but {} cannot be seen yet; check again once a job \
             of the bridge is there",
            unseen.join(", ")
        )
    } else {
        format!("declared {declared}: nothing that can be seen is lacking")
    };
    format!("{}, user {}: {verdict}\n{}\n", one.master, one.user, table.text())
}
