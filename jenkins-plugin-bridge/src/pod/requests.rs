//! What the containers of a pod ask of a node: amounts of stages that run at the same time add
//! up, of stages that run one after the other the largest counts.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity as KubernetesQuantity;

use super::containers::{Containers, Role};
use super::profile::Defaults;
use super::sizing::{Recommended, Sizes};
use crate::catalog::model::Resources;
use crate::plan::{DecisionState, Plan, PlanGroup, PlanNode, PlanStage};

/// No limit. Sums and maxima of it stay what they are, so limits and requests are one type.
const UNLIMITED: u128 = u128::MAX;

/// Processor, memory and scratch space, in thousandths of a processor and of a byte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Amounts {
    pub cpu: u128,
    pub memory: u128,
    pub storage: u128,
}

/// What stages ask for where they say nothing, and in place of what they say.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asking<'a> {
    pub defaults: &'a Defaults,
    pub sizes: Option<&'a Sizes>,
}

impl Asking<'_> {
    fn of(self, stage: &str, container: &str) -> Option<Recommended> {
        self.sizes?.get(&format!("{stage}/{container}")).copied()
    }
}

/// What one container of the pod has to stand at most, over the whole plan.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Use {
    pub requests: Amounts,
    pub limits: Amounts,
    /// Stages that run at the same time are in it: its peaks cannot be told apart by stage.
    pub shared: bool,
}

/// What a part of a plan asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Demand {
    /// By index of the container.
    pub containers: BTreeMap<usize, Use>,
    /// What is asked for at any one moment, over all containers.
    pub together: Amounts,
}

impl Amounts {
    /// What is given, and nothing of what is not.
    pub fn of(resources: &Resources) -> Self {
        let amount = |one: &Option<crate::catalog::model::Quantity>| {
            one.as_ref().map_or(0, crate::catalog::model::Quantity::thousandths)
        };
        Self {
            cpu: amount(&resources.cpu),
            memory: amount(&resources.memory),
            storage: amount(&resources.ephemeral_storage),
        }
    }

    /// What a container asks for: what its stage says, else what the profile says, but never more
    /// than it may take.
    pub fn requested(own: &Resources, limits: &Resources, defaults: &Defaults) -> Self {
        let limits = Self::limited(own, limits, defaults);
        let default = Self::of(&defaults.requests).with(limits, Ord::min);
        Self::of(own).with(default, |own, default| if own == 0 { default } else { own })
    }

    /// What a container may take: what its stage says, else what the profile says, but never less
    /// than it asks for.
    pub fn limited(requests: &Resources, own: &Resources, defaults: &Defaults) -> Self {
        let default = Self::limits(&defaults.limits).max(Self::of(requests));
        let choose = |own, default| if own == UNLIMITED { default } else { own };
        Self::limits(own).with(default, choose)
    }

    /// What is given; no limit for what is not.
    pub fn limits(resources: &Resources) -> Self {
        let amount = |one: &Option<crate::catalog::model::Quantity>| {
            one.as_ref().map_or(UNLIMITED, crate::catalog::model::Quantity::thousandths)
        };
        Self {
            cpu: amount(&resources.cpu),
            memory: amount(&resources.memory),
            storage: amount(&resources.ephemeral_storage),
        }
    }

    fn with(self, other: Self, join: fn(u128, u128) -> u128) -> Self {
        Self {
            cpu: join(self.cpu, other.cpu),
            memory: join(self.memory, other.memory),
            storage: join(self.storage, other.storage),
        }
    }

    pub fn plus(self, other: Self) -> Self {
        self.with(other, u128::saturating_add)
    }

    pub fn max(self, other: Self) -> Self {
        self.with(other, Ord::max)
    }

    fn min(self, other: Self) -> Self {
        self.with(other, Ord::min)
    }

    /// The sum of the `most` largest, each resource on its own: which branches run together is
    /// not known, so the worst choice counts.
    fn sum_of_largest(all: &[Self], most: usize) -> Self {
        let sum = |value: fn(&Self) -> u128| {
            let mut values: Vec<u128> = all.iter().map(value).collect();
            values.sort_unstable_by(|a, b| b.cmp(a));
            values.into_iter().take(most).fold(0, u128::saturating_add)
        };
        Self {
            cpu: sum(|one| one.cpu),
            memory: sum(|one| one.memory),
            storage: sum(|one| one.storage),
        }
    }

    /// These with the names that Kubernetes gives them.
    pub fn named(self) -> [(&'static str, u128); 3] {
        [("cpu", self.cpu), ("memory", self.memory), ("ephemeral-storage", self.storage)]
    }

    /// The names of the resources of which this has more than the other.
    pub fn over(self, other: Self) -> Vec<&'static str> {
        let pairs = self.named().into_iter().zip(other.named());
        pairs.filter(|((_, own), (_, other))| own > other).map(|((name, _), _)| name).collect()
    }

    /// As Kubernetes writes it, without what is nothing or unlimited.
    pub fn quantities(self) -> Option<BTreeMap<String, KubernetesQuantity>> {
        let known = self.named().into_iter().filter(|(_, one)| *one != 0 && *one != UNLIMITED);
        let all: BTreeMap<_, _> = known
            .map(|(name, one)| (name.to_owned(), KubernetesQuantity(written(name, one))))
            .collect();
        (!all.is_empty()).then_some(all)
    }
}

/// An amount in words: `1500m`, `2`, `4Gi`. Fractions of a byte are rounded up.
pub(super) fn written(resource: &str, thousandths: u128) -> String {
    if thousandths == UNLIMITED {
        return "no limit".to_owned();
    }
    if resource == "cpu" {
        return match thousandths % 1000 {
            0 => (thousandths / 1000).to_string(),
            _ => format!("{thousandths}m"),
        };
    }
    let bytes = thousandths.div_ceil(1000);
    for (unit, size) in [("Ti", 1u128 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)] {
        if bytes >= size && bytes.is_multiple_of(size) {
            return format!("{}{unit}", bytes / size);
        }
    }
    bytes.to_string()
}

impl Demand {
    /// What a plan asks for, the stages that are skipped left out. Stages after the others run
    /// when those are done.
    pub fn of(plan: &Plan, containers: &Containers, asking: Asking<'_>) -> Self {
        let post = plan.post.lists().into_iter().flat_map(|(_, nodes)| nodes);
        let all = plan.stages.iter().chain(post);
        Self::one_after_the_other(all.map(|node| Self::of_node(node, containers, asking)))
    }

    fn of_node(node: &PlanNode, containers: &Containers, asking: Asking<'_>) -> Self {
        if node.decision().state == DecisionState::Skipped {
            return Self::default();
        }
        match node {
            PlanNode::Stage(stage) => Self::of_stage(stage, containers, asking),
            PlanNode::Sequence(group) => {
                Self::one_after_the_other(inside(group, containers, asking))
            }
            PlanNode::Parallel(group) => {
                let most = group.max_parallel.map_or(usize::MAX, usize::from).max(1);
                Self::at_the_same_time(inside(group, containers, asking).collect(), most)
            }
        }
    }

    /// The steps of a stage run one after the other, its services all the time.
    fn of_stage(stage: &PlanStage, containers: &Containers, asking: Asking<'_>) -> Self {
        let one = |role: Role, name: &str, requests: &Resources, limits_of: &Resources| {
            let mut demand = Self::default();
            if let Some(index) = containers.find(&stage.id, role, name) {
                let defaults = asking.defaults;
                let limits = Amounts::limited(requests, limits_of, defaults);
                let sized = asking.of(&stage.id, &containers.all[index].name);
                let requested = match sized {
                    // A stage may take no more than its limit, whatever it was seen to use.
                    Some(one) => {
                        let said = Amounts::requested(requests, &Resources::default(), defaults);
                        Amounts { storage: said.storage, ..Amounts::of(&one.resources()) }
                            .min(limits)
                    }
                    None => Amounts::requested(requests, limits_of, defaults),
                };
                let one = Use { requests: requested, limits, shared: false };
                demand.containers.insert(index, one);
                demand.together = requested;
            }
            demand
        };
        let tools = stage.containers.iter();
        let tools = Self::one_after_the_other(
            tools.map(|it| one(Role::Tool, &it.name, &it.requests, &it.limits)),
        );
        let services = stage.services.iter();
        let mut all: Vec<Self> =
            services.map(|it| one(Role::Service, &it.name, &it.requests, &it.limits)).collect();
        all.push(tools);
        let mut demand = Self::at_the_same_time(all, usize::MAX);
        // Within a stage nothing is shared between stages.
        demand.containers.values_mut().for_each(|one| one.shared = false);
        demand
    }

    /// The largest of each.
    pub fn one_after_the_other(all: impl IntoIterator<Item = Self>) -> Self {
        all.into_iter().fold(Self::default(), |mut sum, next| {
            for (index, one) in next.containers {
                let own = sum.containers.entry(index).or_default();
                own.requests = own.requests.max(one.requests);
                own.limits = own.limits.max(one.limits);
                own.shared |= one.shared;
            }
            sum.together = sum.together.max(next.together);
            sum
        })
    }

    /// The sum of the `most` largest of each.
    pub fn at_the_same_time(all: Vec<Self>, most: usize) -> Self {
        let together: Vec<Amounts> = all.iter().map(|one| one.together).collect();
        let mut uses: BTreeMap<usize, Vec<Use>> = BTreeMap::new();
        for (index, one) in all.into_iter().flat_map(|one| one.containers) {
            uses.entry(index).or_default().push(one);
        }
        let joined = uses.into_iter().map(|(index, uses)| {
            let requests: Vec<Amounts> = uses.iter().map(|one| one.requests).collect();
            let limits: Vec<Amounts> = uses.iter().map(|one| one.limits).collect();
            let joined = Use {
                requests: Amounts::sum_of_largest(&requests, most),
                limits: Amounts::sum_of_largest(&limits, most),
                shared: (most > 1 && uses.len() > 1) || uses.iter().any(|one| one.shared),
            };
            (index, joined)
        });
        Self { containers: joined.collect(), together: Amounts::sum_of_largest(&together, most) }
    }

    /// Makes the containers ask together for what is needed at any one moment, each for its part
    /// of it. Scratch space stays: a pod as a whole cannot ask for it.
    pub fn scaled_to_together(&mut self) {
        let sum = self.of_all_containers();
        let part = |own: u128, together: u128, sum: u128| {
            if sum == 0 || together >= sum { own } else { own.saturating_mul(together) / sum }
        };
        for one in self.containers.values_mut() {
            let own = one.requests;
            one.requests.cpu = part(own.cpu, self.together.cpu, sum.cpu);
            // Whole bytes: a fraction would be rounded up and the sum be too much.
            one.requests.memory = part(own.memory, self.together.memory, sum.memory) / 1000 * 1000;
        }
    }

    /// What all containers ask for when each keeps its own largest amount.
    pub fn of_all_containers(&self) -> Amounts {
        self.containers.values().fold(Amounts::default(), |sum, one| sum.plus(one.requests))
    }
}

fn inside<'a>(
    group: &'a PlanGroup,
    containers: &'a Containers,
    asking: Asking<'a>,
) -> impl Iterator<Item = Demand> + 'a {
    group.nodes.iter().map(move |node| Demand::of_node(node, containers, asking))
}
