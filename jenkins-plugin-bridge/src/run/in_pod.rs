//! Steps in the containers of the pod that this process runs in, by their exec servers.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use pilotfish_exec::{Attendance, Containers, ErrorStream, Launch, Stage, Started};
use tokio::net::TcpStream;

use super::cancel::Cancel;
use super::step::COOKIE;
use crate::plan::{Outcome, PlanStage};

/// How long a service may take until it accepts connections, as without a pod.
const READY: Duration = Duration::from_secs(120);
/// How often the ports of a service are tried.
const LOOK: Duration = Duration::from_millis(100);

/// The containers of the pod, and where the steps of each stage run.
#[derive(Debug, Clone)]
pub struct PodContainers {
    containers: Containers,
    /// `stage/container` of the plan to the container of the pod.
    routes: BTreeMap<String, String>,
    /// Containers whose user is another than that of this process.
    other_users: BTreeSet<String>,
    /// The build, for the figures of what stages use.
    build: String,
}

/// A step to start.
pub(super) struct PodStep<'a> {
    pub stage: &'a str,
    pub container: &'a str,
    pub arguments: Vec<String>,
    pub environment: &'a BTreeMap<String, String>,
    pub cookie: &'a str,
    pub directory: String,
}

impl PodContainers {
    /// Those whose sockets are below a directory.
    #[must_use]
    pub fn new(
        containers: Containers,
        routes: BTreeMap<String, String>,
        other_users: BTreeSet<String>,
        build: String,
    ) -> Self {
        Self { containers, routes, other_users, build }
    }

    /// Has all of them stay when the pod is told to stop, until what is given is dropped: what the
    /// plan does after a stop may need them. One that does not answer is left to the step that
    /// needs it, which says so.
    pub async fn attend(&self) -> Vec<Attendance> {
        let names: BTreeSet<&String> = self.routes.values().collect();
        let asked = names.into_iter().map(async |name| {
            let container = self.containers.get(name).ok()?;
            container.attend().await.ok()
        });
        futures_util::future::join_all(asked).await.into_iter().flatten().collect()
    }

    fn route(&self, stage: &str, container: &str) -> Result<&str, String> {
        let route = self.routes.get(&format!("{stage}/{container}")).map(String::as_str);
        route.ok_or_else(|| format!("the pod has no container for {container} of {stage}"))
    }

    /// Whether a container of the stage has another user than this process.
    pub(super) fn has_other_users(&self, stage: &PlanStage) -> bool {
        let mut all = stage.containers.iter();
        all.any(|one| {
            self.route(&stage.id, &one.name).is_ok_and(|name| self.other_users.contains(name))
        })
    }

    /// Starts a step in its container.
    pub(super) async fn start(&self, step: PodStep<'_>) -> Result<Started, String> {
        let name = self.route(step.stage, step.container)?;
        let container = self.containers.get(name).map_err(|error| error.to_string())?;
        let launch = Launch {
            arguments: step.arguments.iter().map(|one| literal(one)).collect(),
            overrides: overrides(step.environment),
            cookie: step.cookie.to_owned(),
            directory: Some(step.directory),
            stdin: false,
            stderr: ErrorStream::Output,
            stage: Some(Stage { build: self.build.clone(), stage: step.stage.to_owned() }),
            follow: false,
        };
        container.launch(launch).await.map_err(|error| error.to_string())
    }

    /// Ends what a step left in its container.
    pub(super) async fn kill(&self, stage: &str, container: &str, cookie: &str) {
        let Ok(name) = self.route(stage, container) else { return };
        let Ok(container) = self.containers.get(name) else { return };
        let variables = vec![(COOKIE.to_owned(), cookie.to_owned())];
        // What has ended has no processes.
        if let Err(error) = container.at_once().kill(variables).await {
            tracing::debug!("processes of a step may be left behind: {error}");
        }
    }
}

/// Text that is not expanded: the exec server puts variables in for macros, and values are data.
fn literal(text: &str) -> String {
    text.replace('$', "$$")
}

/// Variables as the exec server takes them. Those without text would be taken away
/// ([`of_no_text`] is for them), and a name with a `+` is none that a shell takes.
fn overrides(environment: &BTreeMap<String, String>) -> Vec<String> {
    let some = environment.iter().filter(|(name, value)| is_name(name) && !value.is_empty());
    some.map(|(name, value)| format!("{name}={}", literal(value))).collect()
}

/// What a script begins with, on its first line so that line numbers in messages stay, for the
/// variables without text.
pub(super) fn of_no_text(environment: &BTreeMap<String, String>) -> String {
    let none = environment.iter().filter(|(name, value)| is_name(name) && value.is_empty());
    let names: Vec<String> = none.map(|(name, _)| format!("{name}=")).collect();
    match names.is_empty() {
        true => String::new(),
        false => format!("export {}; ", names.join(" ")),
    }
}

/// Whether a shell takes it as the name of a variable.
fn is_name(name: &str) -> bool {
    let mut all = name.bytes();
    all.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && all.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Waits until the services of a stage listen: they are containers of the same pod, so of the same
/// host, and were started with it.
pub(super) async fn services_listen(
    stage: &PlanStage,
    cancel: &Cancel,
) -> Option<(Outcome, String)> {
    let begin = Instant::now();
    for service in &stage.services {
        let Some(port) = service.port else { continue };
        while TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            if begin.elapsed() >= READY {
                let seconds = READY.as_secs();
                let text = format!(
                    "service {}: it does not listen at port {port} after {seconds} s",
                    service.name
                );
                return Some((Outcome::Failure, text));
            }
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = cancel.cancelled() => return Some((Outcome::Aborted, "stopped".to_owned())),
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_reach_a_container_as_they_are() {
        let environment = BTreeMap::from(
            [("A", "$HOME `id` $$"), ("EMPTY", ""), ("PATH+X", "/x"), ("Z", "two\nlines")]
                .map(|(name, value)| (name.to_owned(), value.to_owned())),
        );
        assert_eq!(overrides(&environment), ["A=$$HOME `id` $$$$", "Z=two\nlines"]);
        assert_eq!(of_no_text(&environment), "export EMPTY=; ");
        assert_eq!(of_no_text(&BTreeMap::new()), "");
    }
}
