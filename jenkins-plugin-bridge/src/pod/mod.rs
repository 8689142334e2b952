//! The pod of a plan: one agent beside one container for each image that the stages need.
//!
//! [`render`] walks the tree of a plan. Stages that run at the same time in one container add up,
//! stages that run one after the other take the largest amount, and services are sidecars. An
//! init container copies the agent's program into the pod; each tool container runs it as an exec
//! server whose socket only that container and the agent's see, so that no step needs the exec
//! API of Kubernetes. What a [`Profile`] cannot give is refused here, not by the cluster later.
//!
//! The environment of a tool container is part of each launch, not of the pod: containers of a
//! plan that differ only in it are one container of the pod.

mod agent;
mod containers;
mod deadline;
mod flavour;
mod profile;
mod refusal;
mod render;
mod requests;
mod security;
pub mod sizing;
mod volumes;
mod yaml;

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use serde_json::{Value, json};

use crate::error::BridgeError;
use crate::plan::Plan;
use containers::{Containers, Role};
use refusal::Draft;
use render::{INJECT_NEEDS, Parts, pod_name};

pub(crate) use agent::{AGENT_ID, AgentPod, OWNER, POOL, TOKEN_FILE, TokenSource};
pub(crate) use containers::{AGENT, label};
pub(crate) use render::{BUILD_ID, PROGRAM_SOURCE};
use requests::{Amounts, Asking, Demand};
pub(crate) use security::{Identity, of_container, of_pod};
use sizing::Sizes;
pub(crate) use volumes::SOCKETS;
use volumes::Volumes;
pub(crate) use volumes::WORKSPACE;
pub(crate) use yaml::document as to_yaml;

pub use flavour::Flavour;
pub use profile::{
    AgentSettings, ControllerSettings, Deadline, Defaults, DnsLabel, DnsName, ImageUser, Owner,
    Profile, ProfileKind, RequestStyle, Spread, Storage, StorageType, TaintEffect, Tolerated,
};
pub use security::PodSecurity;

/// The command of this program that executes a plan in the pod of the plan.
pub(crate) const WORK: &str = "work";
/// The command of this program that copies it to a place.
pub(crate) const COPY_PROGRAM: &str = "copy-program";

/// What an exec server that does nothing needs, in thousandths of a byte: 4 MiB. It counts where
/// the pod asks as a whole; in the requests of a container it is lost in the tool's own.
const EXEC_SERVER: u128 = 1000 << 22;

/// The pod of which plan, where.
#[derive(Debug, Clone, Copy)]
pub struct PodRequest<'a> {
    /// The plan.
    pub plan: &'a Plan,
    /// Its digest.
    pub digest: &'a str,
    /// What the cluster gives.
    pub profile: &'a Profile,
    /// The build, as people know it: `shop/main#12`. At most 512 bytes, one line.
    pub build: &'a str,
    /// Its id in the service, where it has one.
    pub id: Option<&'a str>,
    /// Name of the agent, where the profile says which controller it connects to.
    pub agent: Option<&'a str>,
    /// What stages ask for in place of what they say.
    pub sizes: Option<&'a Sizes>,
    /// The kubernetes plugin applies the pod and says what the agent connects to: the controller
    /// of the profile is not used.
    pub through_plugin: bool,
    /// Image of this program, for a pod that executes the plan by itself: in the place of the
    /// agent it runs this program ([`WORK`]), injected as the agent's program is into the others.
    pub runner: Option<&'a str>,
}

/// The objects of Kubernetes for a build.
#[derive(Debug, Clone, PartialEq)]
pub struct RenderedPod {
    /// The pod.
    pub pod: Pod,
    /// Makes a drain of nodes wait for it. Who applies both makes the pod its owner.
    pub disruption_budget: Option<PodDisruptionBudget>,
    /// Where the steps of each stage run: `stage/container` to the container of the pod. It is
    /// also in the annotation `pilotfish.io/containers`.
    pub routes: BTreeMap<String, String>,
    /// What people should know about it.
    pub notes: Vec<String>,
}

/// Makes the pod of a plan.
///
/// # Errors
/// [`BridgeError::Plan`] with every reason why the profile cannot give it.
pub fn render(request: &PodRequest<'_>) -> Result<RenderedPod, BridgeError> {
    let profile = request.profile;
    let containers = Containers::of(request.plan);
    let asking = Asking { defaults: &profile.defaults, sizes: request.sizes };
    let mut demand = Demand::of(request.plan, &containers, asking);
    let tools = containers.of_role(Role::Tool).count() as u128;
    let agent = Amounts::of(&profile.agent.requests);
    let total = match profile.requests {
        RequestStyle::PerContainer => demand.of_all_containers().plus(agent),
        RequestStyle::Pod => {
            let servers = Amounts { memory: EXEC_SERVER * tools, ..Amounts::default() };
            let storage = demand.of_all_containers().storage;
            demand.scaled_to_together();
            Amounts { storage, ..demand.together }.plus(agent).plus(servers).max(INJECT_NEEDS)
        }
    };
    let name = pod_name(request);
    let volumes = Volumes::of(profile, &containers, &name, request);
    let routes = json!(containers.routes()).to_string();
    let problems = refusal::problems(&Draft {
        containers: &containers,
        total,
        // The agent and the init containers.
        container_count: containers.all.len() + 2 + usize::from(request.runner.is_some()),
        volume_count: volumes.all().len(),
        routes: routes.len(),
        request,
    });
    if !problems.is_empty() {
        return Err(BridgeError::Plan(problems));
    }
    let parts = Parts {
        request,
        containers: &containers,
        demand: &demand,
        volumes: &volumes,
        name: &name,
        total,
    };
    Ok(parts.render())
}

impl RenderedPod {
    fn objects(&self) -> Vec<Value> {
        // Types of Kubernetes have text keys and finite numbers, so this never fails.
        let pod = serde_json::to_value(&self.pod).ok();
        let budget = self.disruption_budget.as_ref();
        let budget = budget.and_then(|one| serde_json::to_value(one).ok());
        pod.into_iter().chain(budget).collect()
    }

    /// The objects as YAML documents, for `kubectl apply -f -`.
    #[must_use]
    pub fn to_yaml(&self) -> String {
        let all: Vec<String> = self.objects().iter().map(yaml::document).collect();
        all.join("---\n")
    }

    /// The objects as a list in JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let list = json!({"apiVersion": "v1", "kind": "List", "items": self.objects()});
        crate::catalog::schema::published(&list)
    }
}

#[cfg(test)]
mod tests;
