//! Executors: items leave the queue, builds run their stages.

use std::sync::Arc;
use std::time::Duration;

use super::agents;
use super::journal::Line;
use super::shim::{self, Claimed};
use super::state::{Build, Shared, now_ms};
use crate::ledger::What;
use crate::random::Random;

/// How often the queue is looked at when nothing says that it has changed.
const LOOK: Duration = Duration::from_millis(20);

/// Runs what waits, as long as the master lives.
pub(super) async fn run(shared: Arc<Shared>, client: reqwest::Client) {
    while shared.started.elapsed() < Duration::from_millis(shared.options.start_ms) {
        tokio::time::sleep(LOOK).await;
    }
    // Pipelines go on where they were when the controller stopped.
    let resumed: Vec<Build> = shared.lock().running().cloned().collect();
    for build in resumed {
        tokio::spawn(execute(Arc::clone(&shared), client.clone(), build, true));
    }
    loop {
        while let Some(build) = take(&shared) {
            tokio::spawn(execute(Arc::clone(&shared), client.clone(), build, false));
        }
        let _ = tokio::time::timeout(LOOK, shared.changed.notified()).await;
    }
}

/// The next item that may leave the queue, as a build.
fn take(shared: &Shared) -> Option<Build> {
    let mut master = shared.lock();
    if master.quieting_down || master.faults.stuck {
        return None;
    }
    let executors: u32 = master
        .nodes
        .values()
        .filter(|node| !node.offline && node.taken_out.is_none() && !node.exclusive)
        .map(|node| node.executors)
        .sum();
    let free = master.running().filter(|one| one.node.is_none()).count() < executors as usize;
    let now = now_ms();
    let place = |item: &super::state::Item| {
        if item.since_ms + shared.options.queue_ms > now {
            return None;
        }
        match master.jobs.get(&item.job).and_then(|job| job.label()) {
            Some(label) => master.free_node(label).map(|node| Some(node.name.clone())),
            None => free.then_some(None),
        }
    };
    let (item, node) = master.waiting().find_map(|item| Some((item.clone(), place(item)?)))?;
    let Some(job) = master.jobs.get_mut(&item.job) else {
        // A job that was deleted takes its items with it.
        let item = super::state::Item { cancelled: true, ..item };
        shared.keep(&Line::Item(&item));
        master.items.insert(item.id, item);
        return None;
    };
    let number = job.next;
    job.next += 1;
    let user = "Started by user bridge\n[Pipeline] Start of Pipeline\n";
    let build = Build {
        job: item.job.clone(),
        number,
        queue_id: item.id,
        parameters: item.parameters.clone(),
        started_ms: now,
        ended_ms: None,
        result: None,
        claimed: false,
        stages: 0,
        log: user.to_owned(),
        stopped: false,
        node,
    };
    shared.keep(&Line::Build(&build));
    master.builds.insert((build.job.clone(), number), build.clone());
    let item = super::state::Item { build: Some(number), ..item };
    shared.keep(&Line::Item(&item));
    master.items.insert(item.id, item);
    master.forget(&build.job);
    Some(build)
}

/// Changes a build and writes it down; false where it is gone or has been stopped.
fn change(shared: &Shared, build: &mut Build, log: &str, change: impl FnOnce(&mut Build)) -> bool {
    let mut master = shared.lock();
    let Some(kept) = master.builds.get_mut(&(build.job.clone(), build.number)) else {
        return false;
    };
    kept.log.push_str(log);
    change(kept);
    shared.keep(&Line::Build(kept));
    *build = kept.clone();
    !kept.stopped
}

fn end(shared: &Shared, build: &mut Build, log: &str, result: &str) {
    let text = format!("{log}[Pipeline] End of Pipeline\nFinished: {result}\n");
    shared.record(&build.parameters, What::Ended, result);
    change(shared, build, &text, |build| {
        build.result = Some(result.to_owned());
        build.ended_ms = Some(now_ms());
    });
    // A run that lost its claim has the key of another run, whose pod it is.
    if build.claimed
        && let (Some(pods), Some(key)) = (&shared.pods, build.parameters.get("PILOTFISH_BUILD_KEY"))
    {
        pods.remove(key);
    }
    shared.changed.notify_waiters();
}

/// Whether the agent of a build is still there; one that needs none has it always.
fn has_agent(shared: &Shared, build: &Build) -> bool {
    let Some(node) = &build.node else { return true };
    shared.lock().nodes.get(node).is_some_and(|node| !node.offline)
}

/// Runs a build, or goes on with one that the controller had when it stopped.
async fn execute(shared: Arc<Shared>, client: reqwest::Client, mut build: Build, resumed: bool) {
    if let Some(node) = build.node.clone() {
        // One that is not a Pipeline does not outlive its controller.
        if resumed || !agents::begin(&shared, &node).await {
            return end(&shared, &mut build, "ERROR: the agent was lost\n", "ABORTED");
        }
        shared.record(&build.parameters, What::OnNode, &node);
    }
    if !build.claimed {
        match shim::claim(&shared, &client, &build).await {
            Claimed::Won => {}
            Claimed::Lost(why) => {
                shared.record(&build.parameters, What::Refused, "");
                return end(&shared, &mut build, &format!("Not run: {why}\n"), "NOT_BUILT");
            }
            Claimed::Unanswered(why) => {
                return end(
                    &shared,
                    &mut build,
                    &format!("ERROR: {why}\nNothing was run.\n"),
                    "FAILURE",
                );
            }
        }
        shared.record(&build.parameters, What::Claimed, &super::builds::url(&shared, &build));
        change(&shared, &mut build, "", |build| build.claimed = true);
    }
    let key = build.parameters.get("PILOTFISH_BUILD_KEY").cloned().unwrap_or_default();
    let pods = shared.pods.as_ref().filter(|_| !key.is_empty());
    if let Some(pods) = pods
        && build.stages == 0
        && !matches!(pods.make(&key), Ok(true))
    {
        return end(&shared, &mut build, "ERROR: no pod can be made\n", "FAILURE");
    }
    // What a build does follows from its key, on whatever master it runs.
    let mut random = Random::of(&format!("{key}{}", build.number));
    let (least, most) = shared.options.stage_ms;
    let fails = build.parameters.get("FAIL").is_some_and(|one| one == "true");
    let first = build.stages;
    for stage in 0..shared.options.stages {
        let takes = Duration::from_millis(random.between(least, most));
        if stage < build.stages {
            continue;
        }
        tokio::time::sleep(takes).await;
        if shared
            .lock()
            .builds
            .get(&(build.job.clone(), build.number))
            .is_none_or(|one| one.stopped)
        {
            return end(&shared, &mut build, "Aborted by bridge\n", "ABORTED");
        }
        if !has_agent(&shared, &build) {
            return end(&shared, &mut build, "ERROR: the agent was lost\n", "ABORTED");
        }
        let name = format!("stage {stage}");
        // A script outlives its controller, which may have stopped before it wrote down that the script had ended.
        let ran = resumed && stage == first && pods.is_some_and(|pods| pods.has_run(&key, &name));
        if let Some(pods) = pods
            && !ran
            && !matches!(pods.run(&key, &name), Ok(true))
        {
            return end(&shared, &mut build, "ERROR: the pod of this build is gone\n", "FAILURE");
        }
        let number = stage.to_string();
        if !(ran && shared.is_recorded(&build.parameters, What::Stage, &number)) {
            shared.record(&build.parameters, What::Stage, &number);
        }
        let log = format!("[Pipeline] {{ ({name})\n+ echo {name} of {key}\n{name} of {key}\n");
        change(&shared, &mut build, &log, |build| build.stages = stage + 1);
    }
    let result = if fails { "FAILURE" } else { "SUCCESS" };
    end(&shared, &mut build, "", result);
}
