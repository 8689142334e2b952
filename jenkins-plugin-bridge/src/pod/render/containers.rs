//! The containers of a pod: what copies the agent's program, the agent, tools, services.

use k8s_openapi::api::core::v1::{
    Container, EnvVar, HTTPGetAction, Probe, ResourceRequirements, TCPSocketAction,
};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{Parts, some};
use crate::catalog::model::Environment;
use crate::pod::containers::{AGENT, Contained, HEALTH_PORT, INJECT, INJECT_RUNNER};
use crate::pod::requests::Amounts;
use crate::pod::security::{Identity, of_container};
use crate::pod::volumes::{
    AGENT_SECRET, HANDOVER, HOME, PROGRAMS, REGISTRY, RUNNER, SOCKETS, WORKSPACE, takes_registry,
};
use crate::pod::{COPY_PROGRAM, WORK};

/// The program of the agent where it is injected from, in all our images.
pub(crate) const PROGRAM_SOURCE: &str = "/usr/local/bin/jenkins-agent";
/// Its name in the pod.
const PROGRAM: &str = "jenkins-agent";
/// This program in its image, and its name in a pod that executes its plan by itself.
const RUNNER_SOURCE: &str = "/usr/local/bin/pilotfish-bridge";
const RUNNER_PROGRAM: &str = "pilotfish-bridge";
/// Seconds between two looks whether a service listens, or the agent is connected.
const PROBE_PERIOD: i32 = 1;
/// How often a service is looked at before it counts as failed: two minutes, as a local run waits.
const PROBE_FAILURES: i32 = 120;
/// Seconds that the agent has to leave in, once it waits for its builds no more.
const LEAVE: u64 = 10;
/// What copying the program takes: a hundredth of a processor, 16 MiB.
pub(in crate::pod) const INJECT_NEEDS: Amounts =
    Amounts { cpu: 10, memory: 1000 << 24, storage: 0 };
/// What it may take: 64 MiB, since the pages of the copied file count too. No limit of processors
/// is written: nothing stands for none.
const INJECT_LIMITS: Amounts = Amounts { cpu: 0, memory: 1000 << 26, storage: 0 };
/// The same for this program: 256 MiB.
const INJECT_RUNNER_LIMITS: Amounts = Amounts { cpu: 0, memory: 1000 << 28, storage: 0 };

impl Parts<'_> {
    fn identity(&self, image: &str) -> Identity {
        let profile = self.profile();
        Identity { user: profile.user_of(image).into(), group: profile.group.into() }
    }

    /// Copies the program of the agent to where all containers can read it.
    pub(super) fn inject(&self) -> Container {
        let agent = &self.profile().agent;
        Container {
            name: INJECT.into(),
            image: Some(agent.image.clone()),
            image_pull_policy: Some("IfNotPresent".into()),
            command: Some(vec![
                "cp".into(),
                PROGRAM_SOURCE.into(),
                format!("{PROGRAMS}/{PROGRAM}"),
            ]),
            resources: resources(INJECT_NEEDS, INJECT_LIMITS),
            security_context: Some(of_container(self.agent_identity(), None)),
            volume_mounts: Some(self.volumes.of_inject()),
            ..Container::default()
        }
    }

    /// Copies this program to where the agent's container runs it. Its image has nothing else, so
    /// it does that itself.
    pub(super) fn inject_runner(&self, image: &str) -> Container {
        Container {
            name: INJECT_RUNNER.into(),
            image: Some(image.to_owned()),
            image_pull_policy: Some("IfNotPresent".into()),
            command: Some(vec![
                RUNNER_SOURCE.into(),
                COPY_PROGRAM.into(),
                format!("{RUNNER}/{RUNNER_PROGRAM}"),
            ]),
            resources: resources(INJECT_NEEDS, INJECT_RUNNER_LIMITS),
            security_context: Some(of_container(self.agent_identity(), None)),
            volume_mounts: Some(self.volumes.of_inject_runner()),
            ..Container::default()
        }
    }

    /// What executes the plan, in the image of the agent: steps without a container find its tools.
    pub(super) fn runner(&self) -> Container {
        let agent = &self.profile().agent;
        let mut variables = agent.environment.clone();
        variables.insert("PILOTFISH_BUILD".into(), self.build());
        Container {
            name: AGENT.into(),
            image: Some(agent.image.clone()),
            image_pull_policy: Some("IfNotPresent".into()),
            command: Some(vec![format!("{RUNNER}/{RUNNER_PROGRAM}"), WORK.into(), HANDOVER.into()]),
            env: environment(variables),
            resources: resources(Amounts::of(&agent.requests), Amounts::limits(&agent.limits)),
            security_context: Some(of_container(self.agent_identity(), None)),
            volume_mounts: Some(self.volumes.of_agent()),
            working_dir: Some(WORKSPACE.into()),
            ..Container::default()
        }
    }

    fn agent_identity(&self) -> Identity {
        let profile = self.profile();
        Identity { user: profile.user.into(), group: profile.group.into() }
    }

    /// The build as reports about it name it.
    fn build(&self) -> String {
        self.request.id.unwrap_or(self.request.build).to_owned()
    }

    pub(super) fn agent(&self) -> Container {
        let agent = &self.profile().agent;
        let mut variables = agent.environment.clone();
        variables.insert("JENKINS_AGENT_WORKDIR".into(), WORKSPACE.into());
        variables.insert("PILOTFISH_BUILD".into(), self.build());
        variables.insert("PILOTFISH_EXEC_SOCKETS".into(), SOCKETS.into());
        if self.traits().probes {
            variables.insert("PILOTFISH_HEALTH_ADDRESS".into(), format!(":{HEALTH_PORT}"));
        }
        let drain = drain_seconds(self.profile().grace_seconds());
        variables.entry("PILOTFISH_DRAIN_TIMEOUT".into()).or_insert(format!("{drain}s"));
        if let (Some(controller), Some(name)) = (&agent.controller, self.request.agent) {
            variables.insert("JENKINS_URL".into(), controller.url.clone());
            variables.insert("JENKINS_AGENT_NAME".into(), name.to_owned());
            variables.insert("JENKINS_SECRET_FILE".into(), format!("{AGENT_SECRET}/secret"));
            variables.insert("JENKINS_WEB_SOCKET".into(), "true".into());
        }
        Container {
            name: AGENT.into(),
            image: Some(agent.image.clone()),
            image_pull_policy: Some("IfNotPresent".into()),
            env: environment(variables),
            readiness_probe: self.traits().probes.then(connected),
            resources: resources(Amounts::of(&agent.requests), Amounts::limits(&agent.limits)),
            security_context: Some(of_container(self.agent_identity(), None)),
            volume_mounts: Some(self.volumes.of_agent()),
            working_dir: Some(WORKSPACE.into()),
            ..Container::default()
        }
    }

    pub(super) fn tool(&self, index: usize, one: &Contained) -> Container {
        let needs = self.demand.containers.get(&index).copied().unwrap_or_default();
        let builder = one.need.builder;
        let mut variables = Environment::new();
        variables.insert("PILOTFISH_BUILD".into(), self.build());
        // Of several stages in one container, each launch says whose it is.
        if let [stage] = one.stages.as_slice() {
            variables.insert("PILOTFISH_STAGE".into(), stage.clone());
        }
        if self.volumes.has_home(one) {
            variables.insert("HOME".into(), HOME.into());
        }
        let own = builder.map_or(&[][..], |builder| builder.environment());
        variables.extend(own.iter().map(|(name, value)| ((*name).into(), (*value).into())));
        if takes_registry(self.profile(), one) {
            variables.insert("DOCKER_CONFIG".into(), REGISTRY.into());
        }
        let command = vec![
            format!("{PROGRAMS}/{PROGRAM}"),
            "exec-server".into(),
            "--socket".into(),
            format!("{SOCKETS}/{}/socket", one.name),
            // The agent's, which is another than that of this container where that builds images
            // or its image has a user of its own.
            "--allow-uid".into(),
            self.profile().user.to_string(),
        ];
        Container {
            name: one.name.clone(),
            image: Some(one.need.image.clone()),
            image_pull_policy: Some("IfNotPresent".into()),
            command: Some(command),
            env: environment(variables),
            resources: resources(needs.requests, needs.limits),
            security_context: Some(of_container(self.identity(&one.need.image), builder)),
            volume_mounts: Some(self.volumes.of_tool(one)),
            working_dir: Some(WORKSPACE.into()),
            ..Container::default()
        }
    }

    pub(super) fn service(&self, index: usize, one: &Contained) -> Container {
        let needs = self.demand.containers.get(&index).copied().unwrap_or_default();
        let native = self.traits().native_sidecars;
        let probe = one.need.port.filter(|_| self.traits().probes).map(|port| Probe {
            failure_threshold: Some(PROBE_FAILURES),
            period_seconds: Some(PROBE_PERIOD),
            tcp_socket: Some(TCPSocketAction { host: None, port: IntOrString::Int(port.into()) }),
            ..Probe::default()
        });
        // The containers of the steps start when a native sidecar has started: it listens by then.
        let (startup_probe, readiness_probe) = if native { (probe, None) } else { (None, probe) };
        Container {
            name: one.name.clone(),
            image: Some(one.need.image.clone()),
            image_pull_policy: Some("IfNotPresent".into()),
            env: environment(one.need.environment.clone()),
            readiness_probe,
            resources: resources(needs.requests, needs.limits),
            restart_policy: native.then(|| "Always".to_owned()),
            security_context: Some(of_container(self.identity(&one.need.image), None)),
            startup_probe,
            ..Container::default()
        }
    }
}

/// How long the agent may wait for its builds when the pod is told to stop, which takes `grace` seconds in all.
fn drain_seconds(grace: u64) -> u64 {
    grace.saturating_sub(LEAVE).max(grace / 2)
}

/// Whether the agent is connected to its controller.
fn connected() -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some("/readyz".into()),
            port: IntOrString::Int(HEALTH_PORT.into()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(PROBE_PERIOD),
        ..Probe::default()
    }
}

fn resources(requests: Amounts, limits: Amounts) -> Option<ResourceRequirements> {
    let (requests, limits) = (requests.quantities(), limits.quantities());
    (requests.is_some() || limits.is_some()).then_some(ResourceRequirements {
        claims: None,
        limits,
        requests,
    })
}

fn environment(variables: Environment) -> Option<Vec<EnvVar>> {
    let all = variables.into_iter().map(|(name, value)| EnvVar {
        name,
        value: Some(literal(value)),
        value_from: None,
    });
    some(all.collect())
}

/// A value that Kubernetes puts no other variables into: it does so for `$(NAME)`, and takes `$$`
/// for one dollar.
fn literal(value: String) -> String {
    let read = value.contains("$(") || value.contains("$$");
    if read { value.replace('$', "$$") } else { value }
}
