//! Here: creates the pod of a plan, follows it to its end, and deletes it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::Pod;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::handover::Handover;
use super::receive::{Finished, Receiver, nothing_yet};
use super::wire::MAX_LINE;
use crate::cluster::{Cluster, Followed, Step, Until};
use crate::error::{BridgeError, Problem};
use crate::plan::{Outcome, PlanDocument};
use crate::pod::{AGENT, RenderedPod};
use crate::run::{Event, Progress, RunOptions, RunResult};

/// How long the last lines may take that a runner wrote before it ended.
const LAST_LINES: Duration = Duration::from_secs(15);
/// How long the cluster may take to say why a pod ended.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A plan to execute in a pod.
pub struct PodRun<'a> {
    /// The cluster.
    pub cluster: &'a Cluster,
    /// The pod, rendered with a runner.
    pub rendered: &'a RenderedPod,
    /// The plan.
    pub document: &'a PlanDocument,
    /// How it is executed. The workspace, the runtime and the containers are the pod's.
    pub options: &'a RunOptions,
    /// Leave the pod when the run has ended.
    pub keep: bool,
}

/// What became of the pod.
enum PodEnd {
    /// It did not start.
    NotStarted(Followed),
    /// The runner's container has ended, or the pod is gone: why.
    Ended(String),
}

/// Executes a plan in a pod. `stop` is told each time that somebody wants it to end: the first
/// time the pod is deleted, which has the runner do what the plan does after a stop; the second
/// time nobody waits for that.
///
/// A pod that does not start, or is lost, is a failed run that says so.
///
/// # Errors
/// A plan that is too large, a cluster that says no, files that cannot be written.
pub async fn run_in_cluster(
    run: PodRun<'_>,
    progress: Arc<dyn Progress>,
    mut stop: mpsc::Receiver<()>,
) -> Result<RunResult, BridgeError> {
    let routes = &run.rendered.routes;
    let users = other_users(&run.rendered.pod);
    let data = Handover::pack(run.document, run.options, routes, users)?;
    let plan = &run.document.plan;
    let mut receiver = Receiver::new(plan, &run.options.output, Arc::clone(&progress))?;
    let begun = Instant::now();
    let started = OffsetDateTime::now_utc();
    let started = started.replace_nanosecond(0).unwrap_or(started);
    let started = started.format(&Rfc3339).unwrap_or_default();
    let pod = run.cluster.create(run.rendered).await?;
    if let Err(error) = run.cluster.create_secret(&pod, data).await {
        let _ = run.cluster.delete(&pod).await;
        return Err(error.into());
    }
    let name = pod.metadata.name.clone().unwrap_or_default();
    progress.event(&Event::Note(&format!("pod {name}: created")));
    let ended = to_the_end(&run, &pod, &progress, &mut receiver, &mut stop).await;
    let without = match ended {
        Ok(without) => without,
        Err(error) => {
            let _ = run.cluster.delete(&pod).await;
            return Err(error);
        }
    };
    if run.keep {
        receiver.note(format!("pod {name}: kept, as asked for"));
    } else if let Err(error) = run.cluster.delete(&pod).await {
        receiver.note(format!("pod {name}: not deleted: {error}"));
    }
    let runtime = format!("pod {name}");
    let result =
        nothing_yet(&plan.pipeline, &run.document.digest, runtime, started, begun.elapsed());
    progress.finish();
    match receiver.finish(result, without)? {
        Finished::Run(result) => Ok(*result),
        Finished::Refused(text) => Err(BridgeError::Plan(vec![Problem::new("", text)])),
    }
}

/// Follows the pod until the runner has told its result; else how it ended without one, and why.
async fn to_the_end(
    run: &PodRun<'_>,
    pod: &Pod,
    progress: &Arc<dyn Progress>,
    receiver: &mut Receiver,
    stop: &mut mpsc::Receiver<()>,
) -> Result<Option<(Outcome, String)>, BridgeError> {
    let name = pod.metadata.name.as_deref().unwrap_or_default();
    let mut lines = run.cluster.log_lines(pod, AGENT, MAX_LINE);
    let told = |step: Step, after: Duration| {
        // With no controller there is nothing to connect to.
        if step != Step::Connected {
            let text = format!("pod {name}: {} after {:.1} s", step.word(), after.as_secs_f64());
            progress.event(&Event::Note(&text));
        }
    };
    let watched = async {
        match run.cluster.follow(pod, Until::AllStarted, told).await {
            Ok(followed) if followed.failure.is_some() => PodEnd::NotStarted(followed),
            // A cluster that does not answer: the runner may be at work all the same.
            Ok(_) | Err(_) => PodEnd::Ended(run.cluster.ended(pod, AGENT).await),
        }
    };
    let mut watched = std::pin::pin!(watched);
    let mut why: Option<String> = None;
    let mut stopping = false;
    let mut patience: Option<tokio::time::Instant> = None;
    loop {
        let over = async {
            match patience {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            line = lines.recv() => match line {
                Some(line) => receiver.line(&line)?,
                None => break,
            },
            end = &mut watched, if why.is_none() => {
                let lost = match end {
                    PodEnd::Ended(text) => { why = Some(text); false }
                    PodEnd::NotStarted(Followed { failure, agent_ended, .. }) => {
                        let text = failure.map(|one| format!("{}: {}", one.reason, one.message));
                        why = Some(format!("the pod did not start: {}", text.unwrap_or_default()));
                        // A short plan may be over before its pod counts as started.
                        !agent_ended
                    }
                };
                if lost {
                    break;
                }
                patience = Some(tokio::time::Instant::now() + LAST_LINES);
            }
            Some(()) = stop.recv() => {
                if stopping || !receiver.has_begun() {
                    stopping = true;
                    break;
                }
                stopping = true;
                let grace = pod.spec.as_ref().and_then(|it| it.termination_grace_period_seconds);
                receiver.note(format!(
                    "stopping: pod {name} is deleted when the plan's stages after a stop are done, \
                     in {} s at the latest",
                    grace.unwrap_or(30)
                ));
                run.cluster.delete(pod).await?;
            }
            () = over => break,
        }
        if receiver.is_done() {
            return Ok(None);
        }
    }
    if stopping {
        return Ok(Some((Outcome::Aborted, "stopped".to_owned())));
    }
    let why = match why {
        Some(why) => why,
        None => match timeout(LAST_WORDS, watched).await {
            Ok(PodEnd::Ended(text)) => text,
            _ => "the log of the pod ended, and with it all that is known of it".to_owned(),
        },
    };
    let words = receiver.last_words();
    let why = if words.is_empty() { why } else { format!("{why}: {words}") };
    receiver.note(format!("pod {name}: {why}"));
    Ok(Some((Outcome::Failure, String::new())))
}

/// The containers that have another user than the runner.
fn other_users(pod: &Pod) -> BTreeSet<String> {
    let Some(spec) = &pod.spec else { return BTreeSet::new() };
    let users: BTreeMap<&str, Option<i64>> = spec
        .containers
        .iter()
        .map(|one| {
            let user = one.security_context.as_ref().and_then(|context| context.run_as_user);
            (one.name.as_str(), user)
        })
        .collect();
    let own = users.get(AGENT).copied().flatten();
    let others = users.iter().filter(|(_, user)| **user != own);
    others.map(|(name, _)| (*name).to_owned()).collect()
}
