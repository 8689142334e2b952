//! Which containers a pod has: one for each distinct image and need of the plan's stages.

use std::collections::{BTreeMap, BTreeSet};

use super::security::Builder;
use crate::catalog::model::{Cache, Environment};
use crate::plan::{DecisionState, Plan, PlanNode, PlanStage};

/// The longest name of a container, in bytes (a DNS label).
const MAX_NAME: usize = 63;
/// The container of the agent. The kubernetes plugin knows it by this name
/// (`KubernetesCloud.JNLP_NAME`).
pub(crate) const AGENT: &str = "jnlp";
/// Where the agent says whether it is connected. The containers of a pod are one host, so no
/// service has it.
pub(super) const HEALTH_PORT: u16 = 18_081;
/// The init container that brings the agent's program into the pod.
pub(super) const INJECT: &str = "pilotfish-inject";
/// The init container that brings this program into a pod that executes its plan by itself.
pub(super) const INJECT_RUNNER: &str = "pilotfish-runner";

/// What a container is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// Steps run in it.
    Tool,
    /// It runs beside the steps.
    Service,
}

/// What makes two containers of a plan the same container of the pod.
///
/// The environment of a tool is not part of it: it comes with each launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Need {
    pub role: Role,
    pub image: String,
    /// Directories kept between builds, by path.
    pub caches: Vec<Cache>,
    /// What builds images in it, if anything does.
    pub builder: Option<Builder>,
    /// Variables of a service.
    pub environment: Environment,
    /// Port of a service.
    pub port: Option<u16>,
}

/// A container of the pod.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Contained {
    /// Unique in the pod.
    pub name: String,
    pub need: Need,
    /// Ids of the stages that use it, in the order of the plan.
    pub stages: Vec<String>,
    /// Names that the stages know it by, in alphabetical order.
    pub aliases: BTreeSet<String>,
    /// A stage that uses it brings the credentials of the registry itself.
    pub brings_credentials: bool,
}

/// The containers of a pod beside the agent's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Containers {
    /// In the order in which the plan names them first.
    pub all: Vec<Contained>,
    places: BTreeMap<(String, Role, String), usize>,
}

impl Containers {
    /// The containers that the stages of a plan need, those of skipped stages left out.
    pub fn of(plan: &Plan) -> Self {
        let mut containers = Self::default();
        let post = plan.post.lists().into_iter().flat_map(|(_, nodes)| nodes);
        for node in plan.stages.iter().chain(post) {
            containers.add_node(node);
        }
        containers
    }

    /// The index of the container that a stage knows by a name.
    pub fn find(&self, stage: &str, role: Role, name: &str) -> Option<usize> {
        self.places.get(&(stage.to_owned(), role, name.to_owned())).copied()
    }

    /// The containers of a role with their indices.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = (usize, &Contained)> {
        self.all.iter().enumerate().filter(move |(_, one)| one.need.role == role)
    }

    /// Where the steps of each stage run: `stage/container` to the container of the pod.
    pub fn routes(&self) -> BTreeMap<String, String> {
        let tools = self.places.iter().filter(|((_, role, _), _)| *role == Role::Tool);
        tools
            .map(|((stage, _, name), index)| {
                (format!("{stage}/{name}"), self.all[*index].name.clone())
            })
            .collect()
    }

    fn add_node(&mut self, node: &PlanNode) {
        if node.decision().state == DecisionState::Skipped {
            return;
        }
        if let PlanNode::Stage(stage) = node {
            self.add_stage(stage);
        }
        for child in node.children() {
            self.add_node(child);
        }
    }

    fn add_stage(&mut self, stage: &PlanStage) {
        for one in &stage.containers {
            let mut caches = one.caches.clone();
            caches.sort_by(|a, b| (&a.path, a.name.as_str()).cmp(&(&b.path, b.name.as_str())));
            let need = Need {
                role: Role::Tool,
                image: one.image.clone(),
                caches,
                builder: Builder::of(&one.tools),
                environment: Environment::new(),
                port: None,
            };
            self.add(stage, &one.name, need);
        }
        for one in &stage.services {
            let need = Need {
                role: Role::Service,
                image: one.image.clone(),
                caches: Vec::new(),
                builder: None,
                environment: one.environment.clone(),
                port: one.port,
            };
            self.add(stage, &one.name, need);
        }
    }

    fn add(&mut self, stage: &PlanStage, name: &str, need: Need) {
        let brings = need.builder.is_some()
            && stage
                .credentials
                .iter()
                .any(|one| one.kind == crate::catalog::model::CredentialType::File);
        let role = need.role;
        let known = self.all.iter().position(|one| one.need == need);
        let index = known.unwrap_or_else(|| {
            self.all.push(Contained {
                name: self.free_name(name),
                need,
                stages: Vec::new(),
                aliases: BTreeSet::new(),
                brings_credentials: false,
            });
            self.all.len() - 1
        });
        let one = &mut self.all[index];
        if one.stages.last() != Some(&stage.id) {
            one.stages.push(stage.id.clone());
        }
        one.aliases.insert(name.to_owned());
        one.brings_credentials |= brings;
        self.places.insert((stage.id.clone(), role, name.to_owned()), index);
    }

    /// The name, with a number behind it where another container has it.
    fn free_name(&self, name: &str) -> String {
        let taken = |wanted: &str| {
            [AGENT, INJECT, INJECT_RUNNER].contains(&wanted)
                || self.all.iter().any(|one| one.name == wanted)
        };
        let base = label(name, MAX_NAME);
        let mut free = base.clone();
        let mut number = 2;
        while taken(&free) {
            let suffix = format!("-{number}");
            free = format!("{}{suffix}", label(&base, MAX_NAME - suffix.len()));
            number += 1;
        }
        free
    }
}

/// A text as a DNS label of at most so many bytes: other characters become dashes.
pub(crate) fn label(text: &str, most: usize) -> String {
    let mut made = String::new();
    for character in text.chars() {
        let plain = character.to_ascii_lowercase();
        let dash = !(plain.is_ascii_lowercase() || plain.is_ascii_digit());
        if dash && (made.is_empty() || made.ends_with('-')) {
            continue;
        }
        made.push(if dash { '-' } else { plain });
        if made.len() == most {
            break;
        }
    }
    let made = made.trim_end_matches('-');
    if made.is_empty() { "x".to_owned() } else { made.to_owned() }
}
