//! What runs a step: podman, docker, this machine, or the containers of a pod.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use crate::catalog::model::{Quantity, Resources, Shell};
use crate::plan::environment::is_forbidden;
use crate::plan::{PlanContainer, PlanService};

/// How long a container tool may take to say that it works. Docker waits for ever for a daemon
/// that hangs.
const PROBE: Duration = Duration::from_secs(10);

/// What the user wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RuntimeChoice {
    /// The first that works: podman, docker, this machine.
    #[default]
    Auto,
    /// podman.
    Podman,
    /// docker.
    Docker,
    /// Processes of this machine.
    Local,
    /// The containers of the pod that this process runs in.
    #[value(skip)]
    Pod,
}

/// What runs the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Runtime {
    /// podman.
    Podman,
    /// docker.
    Docker,
    /// Processes of this machine.
    Local,
    /// Sibling containers of a pod.
    Pod,
}

impl Runtime {
    /// The word for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Docker => "docker",
            Self::Local => "local processes",
            Self::Pod => "a pod",
        }
    }

    /// Its program, if it has one.
    #[must_use]
    pub fn program(self) -> Option<&'static str> {
        match self {
            Self::Podman => Some("podman"),
            Self::Docker => Some("docker"),
            Self::Local | Self::Pod => None,
        }
    }

    /// Whether the steps see other directories than this process.
    #[must_use]
    pub fn has_mounts(self) -> bool {
        matches!(self, Self::Podman | Self::Docker)
    }

    /// Finds what the user wants; `in_pod` says whether this process knows the containers of its
    /// pod.
    ///
    /// # Errors
    /// When the user wants a container tool that does not work here.
    pub async fn find(choice: RuntimeChoice, in_pod: bool) -> Result<Self, String> {
        match choice {
            RuntimeChoice::Pod if in_pod => Ok(Self::Pod),
            RuntimeChoice::Pod => Err("the containers of the pod are not known".to_owned()),
            RuntimeChoice::Local => Ok(Self::Local),
            RuntimeChoice::Podman => works(Self::Podman).await.map(|()| Self::Podman),
            RuntimeChoice::Docker => works(Self::Docker).await.map(|()| Self::Docker),
            RuntimeChoice::Auto => {
                for one in [Self::Podman, Self::Docker] {
                    if works(one).await.is_ok() {
                        return Ok(one);
                    }
                }
                Ok(Self::Local)
            }
        }
    }
}

async fn works(runtime: Runtime) -> Result<(), String> {
    let program = runtime.program().unwrap_or_default();
    let mut command = tokio::process::Command::new(program);
    // `info` asks the daemon; `version` would be content with the client.
    command.arg("info").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.kill_on_drop(true);
    match tokio::time::timeout(PROBE, command.status()).await {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("`{program} info` ended with {status}: is it running?")),
        Ok(Err(error)) => Err(format!("`{program}` cannot be started: {error}")),
        Err(_) => Err(format!("`{program} info` gave no answer in {} s", PROBE.as_secs())),
    }
}

/// A file or directory of this machine that a container sees.
#[derive(Debug, Clone)]
pub(super) struct Mount {
    pub from: PathBuf,
    pub to: String,
    pub read_only: bool,
}

impl Mount {
    /// It stands at the same path in the container.
    pub(super) fn same(path: &Path, read_only: bool) -> Self {
        Self { from: path.to_owned(), to: path.to_string_lossy().into_owned(), read_only }
    }

    /// The value of `--mount`, which podman and docker read as CSV.
    fn argument(&self) -> String {
        let field = |key: &str, value: &str| {
            if value.contains([',', '"']) {
                format!("\"{key}={}\"", value.replace('"', "\"\""))
            } else {
                format!("{key}={value}")
            }
        };
        let source = field("source", &self.from.to_string_lossy());
        let target = field("target", &self.to);
        let mode = if self.read_only { ",readonly" } else { "" };
        format!("type=bind,{source},{target}{mode}")
    }
}

/// A step in a container.
#[derive(Debug)]
pub(super) struct ContainerRun<'a> {
    pub name: &'a str,
    pub container: &'a PlanContainer,
    pub mounts: &'a [Mount],
    pub workspace: &'a Path,
    pub environment: &'a BTreeMap<String, String>,
    /// The container whose network it shares.
    pub network: Option<&'a str>,
    pub shell: Shell,
    pub script: &'a Path,
}

fn limit(limits: &Resources, arguments: &mut Vec<String>) {
    let amount = |one: &Option<Quantity>| one.as_ref().map(Quantity::thousandths);
    if let Some(memory) = amount(&limits.memory) {
        arguments.extend(["--memory".into(), (memory / 1000).to_string()]);
    }
    if let Some(cpu) = amount(&limits.cpu) {
        arguments.extend(["--cpus".into(), format!("{}.{:03}", cpu / 1000, cpu % 1000)]);
    }
}

/// Names the variables of a container, and keeps apart those whose values stand in the environment
/// of the container tool: an argument can be read by everybody on the machine.
fn pass(
    environment: &BTreeMap<String, String>,
    arguments: &mut Vec<String>,
) -> BTreeMap<String, String> {
    let mut passed = BTreeMap::new();
    for (name, value) in environment {
        // What would steer the container tool itself is never the value of a parameter, so it
        // may stand in an argument.
        if is_forbidden(name) && !name.starts_with("PILOTFISH_") && !name.starts_with("MATRIX_") {
            arguments.extend(["--env".into(), format!("{name}={value}")]);
        } else {
            arguments.extend(["--env".into(), name.clone()]);
            passed.insert(name.clone(), value.clone());
        }
    }
    passed
}

/// Arguments for files that belong to the user of this program, not to root of the container.
fn as_this_user(runtime: Runtime, arguments: &mut Vec<String>) {
    let user = rustix::process::getuid();
    match runtime {
        // Podman of root has no map of users to keep, and root is who it runs as anyway.
        Runtime::Podman if user.is_root() => {}
        Runtime::Podman => arguments.push("--userns=keep-id".into()),
        Runtime::Docker | Runtime::Local | Runtime::Pod => {
            let group = rustix::process::getgid().as_raw();
            arguments.extend(["--user".into(), format!("{}:{group}", user.as_raw())]);
        }
    }
}

/// The arguments of a shell that stops at the first command that fails.
pub(super) fn shell_arguments(shell: Shell, script: &Path) -> Vec<String> {
    let script = script.to_string_lossy().into_owned();
    match shell {
        Shell::Sh => vec!["sh".into(), "-eu".into(), script],
        Shell::Bash => {
            vec!["bash".into(), "-eu".into(), "-o".into(), "pipefail".into(), script]
        }
    }
}

/// The command line of a step in a container, and the variables that the container tool itself
/// must have in its environment.
pub(super) fn container_command(
    runtime: Runtime,
    run: &ContainerRun<'_>,
) -> (Vec<String>, BTreeMap<String, String>) {
    // No `--init`: podman has a program of another package for it, which is often missing.
    let program = runtime.program().unwrap_or("docker").to_owned();
    let mut arguments = vec![program, "run".into(), "--rm".into()];
    arguments.extend(["--name".into(), run.name.to_owned()]);
    // Labels of SELinux would hide the directories of the user from the container; labelling them
    // anew, the other way, would change what else on this machine may read them.
    arguments.extend(["--security-opt".into(), "label=disable".into()]);
    if let Some(network) = run.network {
        arguments.extend(["--network".into(), format!("container:{network}")]);
    }
    as_this_user(runtime, &mut arguments);
    limit(&run.container.limits, &mut arguments);
    for mount in run.mounts {
        arguments.extend(["--mount".into(), mount.argument()]);
    }
    arguments.extend(["--workdir".into(), run.workspace.display().to_string()]);
    arguments.extend(["--entrypoint".into(), String::new()]);
    let passed = pass(run.environment, &mut arguments);
    if !run.environment.contains_key("HOME") {
        // The user has no home in most images.
        arguments.extend(["--env".into(), "HOME=/tmp".into()]);
    }
    arguments.push(run.container.image.clone());
    arguments.extend(shell_arguments(run.shell, run.script));
    (arguments, passed)
}

/// The command line that starts a service in the background, and the variables that the container
/// tool itself must have in its environment.
pub(super) fn service_command(
    runtime: Runtime,
    name: &str,
    service: &PlanService,
    network: Option<&str>,
) -> (Vec<String>, BTreeMap<String, String>) {
    let program = runtime.program().unwrap_or("docker").to_owned();
    // Not `--rm`: what it said must still be there when it has ended too early.
    let mut arguments = vec![program, "run".into(), "--detach".into()];
    arguments.extend(["--name".into(), name.to_owned()]);
    if let Some(network) = network {
        arguments.extend(["--network".into(), format!("container:{network}")]);
    }
    limit(&service.limits, &mut arguments);
    let passed = pass(&service.environment, &mut arguments);
    arguments.push(service.image.clone());
    (arguments, passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_parameters_stand_in_no_argument() {
        let container: PlanContainer = serde_json::from_value(serde_json::json!({
            "name": "php", "image": "php:8.3-cli",
            "limits": {"memory": "512Mi", "cpu": "1500m"},
        }))
        .unwrap();
        let environment = BTreeMap::from([
            ("REPOSITORY".to_owned(), "\"; rm -rf / #".to_owned()),
            ("PATH".to_owned(), "/opt/bin:/bin".to_owned()),
        ]);
        let mounts =
            [Mount::same(Path::new("/w"), false), Mount::same(Path::new("/a,b \"c\""), true)];
        let run = ContainerRun {
            name: "pf-1",
            container: &container,
            mounts: &mounts,
            workspace: Path::new("/w"),
            environment: &environment,
            network: Some("pf-db"),
            shell: Shell::Bash,
            script: Path::new("/o/1.sh"),
        };
        let (arguments, passed) = container_command(Runtime::Podman, &run);
        let line = arguments.join(" ");
        assert!(!line.contains("rm -rf"));
        assert_eq!(passed["REPOSITORY"], "\"; rm -rf / #");
        assert!(line.contains("--env REPOSITORY "));
        assert!(line.contains("--env PATH=/opt/bin:/bin"));
        assert!(line.contains("--memory 536870912 --cpus 1.500"));
        assert!(line.contains("--mount type=bind,source=/w,target=/w --mount"));
        assert!(
            arguments.contains(
                &r#"type=bind,"source=/a,b ""c""","target=/a,b ""c""",readonly"#.to_owned()
            )
        );
        assert!(line.ends_with("php:8.3-cli bash -eu -o pipefail /o/1.sh"));
        assert!(!passed.contains_key("PATH"), "it would steer podman");
        let keeps = line.contains("--userns=keep-id");
        assert_eq!(keeps, !rustix::process::getuid().is_root(), "podman refuses it of root");
        let (arguments, _) = container_command(Runtime::Docker, &run);
        assert!(arguments.contains(&"--user".to_owned()));
    }

    #[test]
    fn services_share_a_network_and_show_no_value() {
        let service: PlanService = serde_json::from_value(serde_json::json!({
            "name": "db", "image": "postgres:17-alpine", "limits": {"memory": "256Mi"},
            "environment": {"POSTGRES_DB": "$(id)", "PGPORT": "1"}, "port": 5432,
        }))
        .unwrap();
        let (arguments, passed) = service_command(Runtime::Docker, "pf-2", &service, Some("pf-1"));
        assert_eq!(
            arguments.join(" "),
            "docker run --detach --name pf-2 --network container:pf-1 --memory 268435456 --env PGPORT --env POSTGRES_DB postgres:17-alpine"
        );
        assert_eq!(passed["POSTGRES_DB"], "$(id)");
    }
}
