//! What happens when the process of a launch has ended: lines for the log, and figures for the bridge.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use pilotfish_exec::{End, Measuring, Stage};
use pilotfish_process::ExitStatus;
use tokio::sync::oneshot;

use super::super::Context;
use crate::memory::NewStep;
use crate::usage::{AGENT_CONTAINER, NewTask, Place};

/// Called with the status of a process: the lines that its log gets after its output.
pub(super) type Ending = Box<dyn FnOnce(ExitStatus) -> BoxFuture<'static, Vec<String>> + Send>;

/// Of a process beside the agent.
pub(super) fn here(context: &Context, mut step: NewStep, stage: Option<Stage>) -> Ending {
    // Where nobody is told, nothing is measured.
    let measuring = context.usages.as_ref().and(context.meter.as_ref());
    let measuring = measuring.map(|meter| meter.begin(stage.clone()));
    step.measured = measuring.as_ref().and_then(Measuring::record);
    let place = measuring.map(Place::Here);
    of(context, step, stage, AGENT_CONTAINER.to_owned(), place)
}

/// Of a process in a sibling container.
pub(super) fn in_container(
    context: &Context,
    step: NewStep,
    stage: Option<Stage>,
    container: String,
    end: oneshot::Receiver<End>,
) -> Ending {
    of(context, step, stage, container, Some(Place::Container(end)))
}

fn of(
    context: &Context,
    step: NewStep,
    stage: Option<Stage>,
    container: String,
    place: Option<Place>,
) -> Ending {
    let stage = stage.zip(context.usages.clone());
    let log = step.log.clone();
    let memory = Arc::clone(&context.memory);
    let step = memory.begin(step);
    // A durable task outlives the process that starts it, and has a log of its own.
    if let Some(log) = log {
        if let Some(place) = place {
            let threads = context.file_threads.clone();
            context.tasks.follow(NewTask { log, stage, container, place, threads });
        }
        return Box::new(|_| std::future::ready(Vec::new()).boxed());
    }
    Box::new(move |status| {
        async move {
            let mut lines = memory.stream_ended(step, status);
            let usage = match place {
                Some(Place::Container(end)) => {
                    let report = end.await.unwrap_or_default().report;
                    lines.extend(report.notes);
                    report.usage
                }
                Some(Place::Here(measuring)) => measuring.end(),
                None => None,
            };
            if let (Some((stage, usages)), Some(usage)) = (stage, usage) {
                usages.report(&stage, &container, usage);
            }
            lines
        }
        .boxed()
    })
}
