//! One step: a script, its environment, its process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pilotfish_process::{
    Child, Command, Environment, ExitStatus, InputSource, Killer, OutputPump, OutputTarget,
    SearchPath,
};

use super::cancel::Cancel;
use super::in_pod::{PodContainers, PodStep, of_no_text};
use super::log::{LogSink, SharedLog};
use super::runtime::{ContainerRun, Mount, Runtime, container_command, shell_arguments};
use crate::error::BridgeError;
use crate::plan::{PlanContainer, PlanStep};

/// Name of the variable by which the processes of a step are found again.
pub(super) const COOKIE: &str = "PILOTFISH_STEP_COOKIE";
/// How long what a step left running may hold its output.
const LEAK_GRACE: Duration = Duration::from_secs(2);

/// With this exit code podman and docker say that they could not start the container.
const NOT_STARTED: i32 = 125;

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum StepEnd {
    Passed,
    Failed(String),
    TimedOut(u64),
    Cancelled,
}

/// What steps of a stage have in common.
pub(super) struct StepContext<'a> {
    pub runtime: Runtime,
    /// The containers of the pod, where this process runs in one.
    pub pod: Option<&'a PodContainers>,
    /// Id of the stage.
    pub stage: &'a str,
    pub containers: &'a [Arc<PlanContainer>],
    pub workspace: &'a Path,
    pub scripts: PathBuf,
    /// Where caches are kept.
    pub caches: PathBuf,
    pub mounts: Vec<Mount>,
    pub environment: BTreeMap<String, String>,
    pub network: Option<String>,
    pub log: SharedLog,
}

impl StepContext<'_> {
    /// A value of the container that names one of its caches, for a process of this machine: the
    /// path in the container is not there, or belongs to somebody else.
    fn with_local_caches(&self, container: &PlanContainer, value: &str) -> String {
        if self.runtime != Runtime::Local {
            return value.to_owned();
        }
        container
            .caches
            .iter()
            .find_map(|cache| {
                let rest = value.strip_prefix(&cache.path)?;
                let own = self.caches.join(cache.name.as_str());
                (rest.is_empty() || rest.starts_with('/'))
                    .then(|| format!("{}{rest}", own.display()))
            })
            .unwrap_or_else(|| value.to_owned())
    }

    /// What a failure of the container tool itself means to people. A script may end with its code, too.
    fn not_started(&self, container: Option<&PlanContainer>) -> String {
        match (self.runtime.program(), container) {
            (Some(program), Some(container)) => format!(
                "exit code {NOT_STARTED}: {program} could not start a container of {}, as its message above says; `--runtime local` runs the steps with the tools of this machine",
                container.image
            ),
            _ => format!("exit code {NOT_STARTED}"),
        }
    }

    /// Runs a step. `number` is unique in the stage.
    pub(super) async fn run(
        &self,
        step: &PlanStep,
        number: usize,
        cancel: &Cancel,
    ) -> Result<StepEnd, BridgeError> {
        let script = self.scripts.join(format!("{number}.sh"));
        let mut own = self.environment.clone();
        let container = step
            .container
            .as_ref()
            .and_then(|name| self.containers.iter().find(|one| one.name == *name))
            .map(|one| &**one);
        if let Some(container) = container {
            own.extend(
                container
                    .environment
                    .iter()
                    .map(|(name, value)| (name.clone(), self.with_local_caches(container, value))),
            );
        }
        own.extend(step.environment.clone());
        let cookie = unique();
        own.insert(COOKIE.into(), cookie.clone());
        let script_of = |text: &str| {
            std::fs::write(&script, text)
                .map_err(|e| BridgeError::io(format!("write {}", script.display()), e))
        };
        let name = format!("pilotfish-{cookie}");
        let mut elsewhere = None;
        let mut child = match (self.pod, container) {
            (Some(pod), Some(container)) => {
                script_of(&format!("{}{}", of_no_text(&own), step.script))?;
                let started = pod.start(PodStep {
                    stage: self.stage,
                    container: &container.name,
                    arguments: shell_arguments(step.shell, &script),
                    environment: &own,
                    cookie: &cookie,
                    directory: self.workspace.to_string_lossy().into_owned(),
                });
                match started.await {
                    Ok(started) => {
                        elsewhere = Some((pod, container, started.end));
                        started.child
                    }
                    Err(why) => return Ok(StepEnd::Failed(why)),
                }
            }
            _ => {
                script_of(&step.script)?;
                self.start_here(step, container, &own, &name, &script).await?
            }
        };
        let mut pump = child.stdout.take().map(|reader| {
            let sink = LogSink(self.log.clone());
            OutputPump::with_grace(reader, sink, child.exit_watch(), LEAK_GRACE)
        });
        let timeout = async {
            match step.timeout_seconds {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        let end = tokio::select! {
            status = child.wait() => match status {
                ExitStatus::Exited(0) => StepEnd::Passed,
                ExitStatus::Exited(NOT_STARTED) if container.is_some() => {
                    StepEnd::Failed(self.not_started(container))
                }
                other => StepEnd::Failed(other.to_string()),
            },
            () = timeout => StepEnd::TimedOut(step.timeout_seconds.unwrap_or_default()),
            () = cancel.cancelled() => StepEnd::Cancelled,
        };
        if let (StepEnd::TimedOut(_) | StepEnd::Cancelled, Some(program), Some(_)) =
            (&end, self.runtime.program(), container)
        {
            quietly(program, &["kill", &name]).await;
        }
        // Whatever the step left behind ends with it, as Jenkins does at the end of a build.
        match &elsewhere {
            Some((pod, container, _)) => pod.kill(self.stage, &container.name, &cookie).await,
            None => drop(Killer::new().kill_matching([(COOKIE, cookie)]).await),
        }
        if let Some(pump) = &mut pump {
            pump.finish().await;
        }
        let notes = match elsewhere {
            Some((_, _, end)) => end.await.map(|end| end.report.notes).unwrap_or_default(),
            None => Vec::new(),
        };
        if let Ok(mut log) = self.log.lock() {
            let _ = log.flush_line();
            for note in notes {
                log.say(&note);
            }
        }
        Ok(end)
    }

    /// Starts a step as a process of this machine: its shell, or a container tool.
    async fn start_here(
        &self,
        step: &PlanStep,
        container: Option<&PlanContainer>,
        own: &BTreeMap<String, String>,
        name: &str,
        script: &Path,
    ) -> Result<Child, BridgeError> {
        let mut environment = Environment::of_this_process();
        let arguments = match (self.runtime, container) {
            (Runtime::Local | Runtime::Pod, _) | (_, None) => {
                for (name, value) in own {
                    environment.insert(name.as_str(), value.as_str());
                }
                shell_arguments(step.shell, script)
            }
            (runtime, Some(container)) => {
                let (arguments, passed) = container_command(
                    runtime,
                    &ContainerRun {
                        name,
                        container,
                        mounts: &self.mounts,
                        workspace: self.workspace,
                        environment: own,
                        network: self.network.as_deref(),
                        shell: step.shell,
                        script,
                    },
                );
                for (name, value) in passed {
                    environment.insert(name, value);
                }
                arguments
            }
        };
        let search = SearchPath::of(&Environment::of_this_process());
        let command = Command::new(arguments, search)
            .environment(environment)
            .directory(self.workspace)
            .stdin(InputSource::Null)
            .stdout(OutputTarget::Piped);
        Ok(command.start().await?)
    }
}

/// Runs a short command of a container tool for its effect.
pub(super) async fn quietly(program: &str, arguments: &[&str]) {
    let mut command = tokio::process::Command::new(program);
    command.args(arguments).kill_on_drop(true);
    command.stdin(std::process::Stdio::null());
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
    // A tool that hangs here must not hold the run for ever.
    let _ = tokio::time::timeout(Duration::from_secs(30), command.status()).await;
}

/// A text that no other step of this machine has.
pub(crate) fn unique() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The keys of a new hasher are random.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}{:x}{number:x}", hasher.finish(), std::process::id())
}
