//! Launches that go to a sibling container of the pod: those whose environment names one.
//!
//! A controller sends the whole environment of the agent with a launch, since it knows of no other. Of that,
//! a container gets only what the job changed: its own `PATH` and `HOME` stay.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};

use jenkins_remoting::channel::Throwable;
use pilotfish_exec::{Container, ErrorStream, ExecError, Launch};
use pilotfish_process::Environment;

use super::super::Context;
use super::launch::without_nohup;
use crate::memory::task_log;
use crate::usage::AGENT_CONTAINER;

/// Names the container that a launch is for. A controller need not know what it means.
const CONTAINER: &str = "PILOTFISH_CONTAINER";

/// Variables of builds that an agent may have too: its pod tells it where the controller is.
const OF_BUILDS: [&str; 4] = ["JENKINS_URL", "HUDSON_URL", "PILOTFISH_BUILD", "PILOTFISH_STAGE"];

/// What names of variables of builds begin with; an agent that is a part of a build has them as well.
const OF_BUILDS_PREFIXES: [&str; 3] = ["BUILD_", "JOB_", "RUN_"];

/// The container that a launch names, if it names one.
pub(super) fn container_of(
    context: &Context,
    overrides: &[String],
) -> Result<Option<Container>, Throwable> {
    let named =
        |one: &&String| one.strip_prefix(CONTAINER).is_some_and(|rest| rest.starts_with('='));
    let name = overrides.iter().rfind(named).map(|one| &one[CONTAINER.len() + 1..]);
    match name.filter(|name| !name.is_empty()) {
        None | Some(AGENT_CONTAINER) => Ok(None),
        Some(name) => match context.containers.get(name) {
            Ok(container) => Ok(Some(container)),
            Err(error) => Err(Throwable::io(error.to_string())),
        },
    }
}

/// A launch as its container's server takes it, but for the streams, and the log of a durable task. Of
/// `overrides` it gets what the job changed.
pub(super) fn request(
    context: &Context,
    command: &[String],
    overrides: &[String],
    directory: Option<&str>,
    cookie: &str,
) -> (Launch, Option<PathBuf>) {
    let mut arguments = command.to_vec();
    // It is in the workspace, which all containers share: the agent appends to it there too.
    let task = task_log(&mut arguments);
    // The server alone knows what the image has.
    without_nohup(&mut arguments, task.is_some());
    let launch = Launch {
        arguments,
        overrides: of_the_job(&context.environment, overrides),
        cookie: cookie.to_owned(),
        directory: directory.map(str::to_owned),
        stdin: true,
        stderr: ErrorStream::Output,
        stage: None,
        follow: task.is_some(),
    };
    (launch, task)
}

/// Has a container that steps run in stay for as long as the agent does. It knows before its first step runs:
/// whoever tells the container to stop because of that comes later.
pub(super) async fn attend(context: &Context, container: &Container) -> Result<(), ExecError> {
    let attended = Arc::clone(&context.attended);
    let name = container.name().to_owned();
    if attended.lock().unwrap_or_else(PoisonError::into_inner).contains(&name) {
        return Ok(());
    }
    // Two at the same time do no harm.
    let attendance = container.attend().await?;
    attended.lock().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
    tokio::spawn(async move {
        attendance.lost().await;
        attended.lock().unwrap_or_else(PoisonError::into_inner).remove(&name);
    });
    Ok(())
}

/// Of an environment that goes out from the agent's, what is the build's and not the agent's. What the job put
/// in front of a list of the agent's (`PATH+MAVEN`) is put in front of the container's.
fn of_the_job(agent: &Environment, overrides: &[String]) -> Vec<String> {
    let relative = |one: &String| {
        let Some((name, value)) = one.split_once('=') else { return Some(one.clone()) };
        let of_builds = OF_BUILDS.contains(&name)
            || OF_BUILDS_PREFIXES.iter().any(|prefix| name.starts_with(prefix));
        match agent.get(name).filter(|_| !of_builds) {
            Some(own) if own == value => None,
            Some(own) => {
                let before = value.strip_suffix(own).and_then(|rest| rest.strip_suffix(':'));
                Some(match before.filter(|before| !own.is_empty() && !before.is_empty()) {
                    Some(before) => format!("{name}+PILOTFISH={before}"),
                    None => one.clone(),
                })
            }
            None => Some(one.clone()),
        }
    };
    overrides.iter().filter_map(relative).collect()
}

/// Ends what a build left behind in the containers of the pod.
pub(super) async fn kill_everywhere(context: &Arc<Context>, variables: &BTreeMap<String, String>) {
    if variables.is_empty() {
        return;
    }
    let variables: Vec<(String, String)> =
        variables.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    for (name, outcome) in context.containers.kill_everywhere(&variables).await {
        match outcome {
            Ok(killed) if killed.survivors > 0 => tracing::warn!(
                container = name,
                survivors = killed.survivors,
                "processes of a build ignore SIGTERM and stay"
            ),
            // What has ended has no processes.
            Ok(_) | Err(ExecError::Ended { .. }) => {}
            Err(error) => tracing::warn!("a build's processes may be left behind: {error}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_keeps_its_own_environment() {
        let agent = Environment::from_overrides(["PATH=/bin:/usr/bin", "HOME=/home/jenkins", "E="]);
        let sent = [
            "PATH=/opt/m/bin:/bin:/usr/bin",
            "HOME=/home/jenkins",
            "JOB_NAME=a",
            "E=",
            "HOMER=/home/jenkins",
            "PILOTFISH_CONTAINER=maven",
        ];
        let sent: Vec<String> = sent.map(str::to_owned).into();
        assert_eq!(
            of_the_job(&agent.unwrap(), &sent),
            [
                "PATH+PILOTFISH=/opt/m/bin",
                "JOB_NAME=a",
                "HOMER=/home/jenkins",
                "PILOTFISH_CONTAINER=maven"
            ]
        );
        let agent = Environment::from_overrides(["JENKINS_URL=http://c/", "BUILD_ID=1"]).unwrap();
        let of_builds = ["JENKINS_URL=http://c/".to_owned(), "BUILD_ID=1".to_owned()];
        assert_eq!(of_the_job(&agent, &of_builds), of_builds, "though the agent has them too");
        let agent = Environment::from_overrides(["PATH=/bin"]).unwrap();
        let other = ["PATH=/x".to_owned(), "PATH=:/bin".to_owned()];
        assert_eq!(of_the_job(&agent, &other), other, "replaced is replaced");
    }
}
