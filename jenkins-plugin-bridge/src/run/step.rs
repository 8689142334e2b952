//! One step: a script, its environment, its process.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pilotfish_process::{
    Command, Environment, ExitStatus, InputSource, Killer, OutputPump, OutputTarget, SearchPath,
};

use super::cancel::Cancel;
use super::log::{LogSink, SharedLog};
use super::runtime::{ContainerRun, Mount, Runtime, container_command, shell_arguments};
use crate::error::BridgeError;
use crate::plan::{PlanContainer, PlanStep};

/// Name of the variable by which the processes of a step are found again.
const COOKIE: &str = "PILOTFISH_STEP_COOKIE";
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
        std::fs::write(&script, &step.script)
            .map_err(|e| BridgeError::io(format!("write {}", script.display()), e))?;
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
        let mut environment = Environment::of_this_process();
        let name = format!("pilotfish-{cookie}");
        let arguments = match (self.runtime, container) {
            (Runtime::Local, _) | (_, None) => {
                for (name, value) in &own {
                    environment.insert(name.as_str(), value.as_str());
                }
                shell_arguments(step.shell, &script)
            }
            (runtime, Some(container)) => {
                let (arguments, passed) = container_command(
                    runtime,
                    &ContainerRun {
                        name: &name,
                        container,
                        mounts: &self.mounts,
                        workspace: self.workspace,
                        environment: &own,
                        network: self.network.as_deref(),
                        shell: step.shell,
                        script: &script,
                    },
                );
                for (name, value) in passed {
                    environment.insert(name, value);
                }
                arguments
            }
        };
        let search = SearchPath::of(&Environment::of_this_process());
        let mut child = Command::new(arguments, search)
            .environment(environment)
            .directory(self.workspace)
            .stdin(InputSource::Null)
            .stdout(OutputTarget::Piped)
            .start()
            .await?;
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
        let _ = Killer::new().kill_matching([(COOKIE, cookie)]).await;
        if let Some(pump) = &mut pump {
            pump.finish().await;
        }
        if let Ok(mut log) = self.log.lock() {
            let _ = log.flush_line();
        }
        Ok(end)
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
pub(super) fn unique() -> String {
    use std::hash::{BuildHasher as _, Hasher as _};
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    // The keys of a new hasher are random.
    let mut hasher = std::collections::hash_map::RandomState::new().build_hasher();
    hasher.write_u32(std::process::id());
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("{:016x}{:x}{number:x}", hasher.finish(), std::process::id())
}
