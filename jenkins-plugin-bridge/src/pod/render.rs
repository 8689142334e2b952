//! The objects of Kubernetes: the pod, and the budget that keeps it from being drained.

mod containers;

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::{
    HostAlias, LocalObjectReference, Pod, PodSpec, ResourceRequirements, Toleration,
    TopologySpreadConstraint,
};
use k8s_openapi::api::policy::v1::{PodDisruptionBudget, PodDisruptionBudgetSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta, OwnerReference};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::containers::{Containers, Role, label};
use super::deadline;
use super::flavour::Traits;
use super::profile::{Profile, RequestStyle, TaintEffect};
use super::requests::{Amounts, Demand};
use super::security::{Identity, of_pod};
use super::volumes::Volumes;
use super::{PodRequest, RenderedPod};
use crate::plan::digest_of;

pub(super) use containers::INJECT_NEEDS;
pub(crate) use containers::PROGRAM_SOURCE;

/// The longest part of a pod's name that is made from the pipeline and the build, in bytes; the
/// rest of 63 is for the dash and eight digits that tell builds apart.
const MAX_STEM: usize = 54;
/// The longest value of a label, in bytes.
const MAX_LABEL: usize = 63;

/// The annotation that names a build as the service does.
pub(crate) const BUILD_ID: &str = "pilotfish.io/build-id";

/// Everything that the objects are made of.
#[derive(Debug)]
pub(super) struct Parts<'a> {
    pub request: &'a PodRequest<'a>,
    pub containers: &'a Containers,
    pub demand: &'a Demand,
    pub volumes: &'a Volumes<'a>,
    pub name: &'a str,
    /// What the pod asks for as a whole.
    pub total: Amounts,
}

/// The name of the pod of a build.
pub(super) fn pod_name(request: &PodRequest<'_>) -> String {
    let stem = format!("{}-{}", request.plan.pipeline, request.build);
    format!("{}-{}", label(&stem, MAX_STEM), &build_id(request)[..8])
}

/// A short text that only this build of this plan has.
fn build_id(request: &PodRequest<'_>) -> String {
    let job = request.plan.job.as_ref();
    let job = job.map(|job| (job.controller.as_str(), job.name.as_str()));
    let all = json!([request.build, job, request.digest]).to_string();
    digest_of(&all).trim_start_matches("sha256:")[..16].to_owned()
}

impl Parts<'_> {
    fn profile(&self) -> &Profile {
        self.request.profile
    }

    fn traits(&self) -> &'static Traits {
        self.profile().flavour.traits()
    }

    /// The pod with its budget.
    pub fn render(&self) -> RenderedPod {
        RenderedPod {
            pod: Pod { metadata: self.metadata(), spec: Some(self.spec()), status: None },
            disruption_budget: self.profile().disruption_budget.then(|| self.budget()),
            routes: self.containers.routes(),
            notes: self.notes(),
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut all = BTreeMap::from([
            ("app.kubernetes.io/managed-by".to_owned(), "pilotfish-bridge".to_owned()),
            ("app.kubernetes.io/name".to_owned(), "pilotfish-build".to_owned()),
            ("pilotfish.io/build".to_owned(), build_id(self.request)),
            ("pilotfish.io/pipeline".to_owned(), label(&self.request.plan.pipeline, MAX_LABEL)),
        ]);
        all.extend(self.traits().labels());
        all.extend(self.profile().labels.clone());
        all
    }

    fn annotations(&self) -> BTreeMap<String, String> {
        let evict = self.profile().safe_to_evict;
        let mut all = BTreeMap::from([
            ("cluster-autoscaler.kubernetes.io/safe-to-evict".to_owned(), evict.to_string()),
            ("pilotfish.io/build".to_owned(), self.request.build.to_owned()),
            ("pilotfish.io/plan".to_owned(), self.request.digest.to_owned()),
            ("pilotfish.io/containers".to_owned(), json!(self.containers.routes()).to_string()),
        ]);
        all.extend(self.traits().annotations());
        if !evict {
            all.insert("karpenter.sh/do-not-disrupt".to_owned(), "true".to_owned());
        }
        if let Some(sizes) = self.request.sizes.filter(|sizes| !sizes.is_empty()) {
            // What the requests rest on beside the plan.
            all.insert("pilotfish.io/sizing".to_owned(), json!(sizes).to_string());
        }
        if let Some(id) = self.request.id {
            all.insert(BUILD_ID.to_owned(), id.to_owned());
        }
        if let Some(job) = &self.request.plan.job {
            all.insert("pilotfish.io/controller".to_owned(), job.controller.clone());
            all.insert("pilotfish.io/job".to_owned(), job.name.clone());
        }
        let shared: Vec<&str> = (self.containers.all.iter().enumerate())
            .filter(|(index, _)| self.is_shared(*index))
            .map(|(_, one)| one.name.as_str())
            .collect();
        if !shared.is_empty() {
            // Whose peak of memory it was cannot be told for these.
            all.insert("pilotfish.io/shared".to_owned(), shared.join(","));
        }
        all.extend(self.profile().annotations.clone());
        all
    }

    fn is_shared(&self, index: usize) -> bool {
        self.demand.containers.get(&index).is_some_and(|one| one.shared)
    }

    fn metadata(&self) -> ObjectMeta {
        ObjectMeta {
            annotations: Some(self.annotations()),
            labels: Some(self.labels()),
            name: Some(self.name.to_owned()),
            namespace: self.profile().namespace.as_ref().map(|one| one.0.clone()),
            owner_references: self.owners(),
            ..ObjectMeta::default()
        }
    }

    fn owners(&self) -> Option<Vec<OwnerReference>> {
        let owner = self.profile().owner.as_ref()?;
        Some(vec![OwnerReference {
            api_version: owner.api_version.clone(),
            block_owner_deletion: None,
            controller: Some(false),
            kind: owner.kind.clone(),
            name: owner.name.0.clone(),
            uid: owner.uid.clone(),
        }])
    }

    fn spec(&self) -> PodSpec {
        let profile = self.profile();
        let traits = self.traits();
        let own = Identity { user: profile.user.into(), group: profile.group.into() };
        let mut init = vec![self.inject()];
        let tools = self.containers.of_role(Role::Tool);
        let mut containers: Vec<_> = tools.map(|(at, one)| self.tool(at, one)).collect();
        let services = self.containers.of_role(Role::Service);
        let services = services.map(|(index, one)| self.service(index, one));
        if traits.native_sidecars {
            init.extend(services);
        } else {
            containers.extend(services);
        }
        // Last: a kubelet starts containers in order, each once its image is there. An agent that
        // comes first would be given steps for containers whose images are still pulled.
        containers.push(match self.request.runner {
            None => self.agent(),
            Some(image) => {
                init.push(self.inject_runner(image));
                self.runner()
            }
        });
        let mut tolerations = traits.tolerations();
        tolerations.extend(profile.tolerations.iter().map(toleration));
        let secrets = profile.pull_secrets.iter();
        let secrets = secrets.map(|one| LocalObjectReference { name: one.0.clone() });
        PodSpec {
            active_deadline_seconds: Some(self.deadline()),
            affinity: traits.affinity(),
            automount_service_account_token: Some(false),
            containers,
            // The variables of every service of the namespace would come into every build.
            enable_service_links: Some(false),
            host_aliases: self.host_aliases(),
            image_pull_secrets: some(secrets.collect()),
            init_containers: Some(init),
            node_selector: traits.selector(&profile.node_selector),
            priority_class_name: profile.priority_class.as_ref().map(|one| one.0.clone()),
            resources: self.pod_resources(),
            restart_policy: Some("Never".into()),
            runtime_class_name: profile.runtime_class.as_ref().map(|one| one.0.clone()),
            security_context: Some(of_pod(own)),
            service_account_name: profile.service_account.as_ref().map(|one| one.0.clone()),
            termination_grace_period_seconds: Some(seconds(profile.grace_seconds())),
            tolerations: some(tolerations),
            topology_spread_constraints: some(self.topology()),
            volumes: Some(self.volumes.all()),
            ..PodSpec::default()
        }
    }

    fn deadline(&self) -> i64 {
        let deadline = &self.profile().deadline;
        let plan = deadline::longest(self.request.plan);
        let plan = plan.unwrap_or_else(|| deadline.otherwise_seconds());
        let all = plan.saturating_add(deadline.start_seconds());
        seconds(deadline.most.as_ref().map_or(all, |most| all.min(most.seconds())))
    }

    fn topology(&self) -> Vec<TopologySpreadConstraint> {
        let name = ("app.kubernetes.io/name".to_owned(), "pilotfish-build".to_owned());
        let one = |spread: &super::profile::Spread| TopologySpreadConstraint {
            label_selector: Some(LabelSelector {
                match_labels: Some(BTreeMap::from([name.clone()])),
                ..LabelSelector::default()
            }),
            max_skew: spread.max_skew.into(),
            topology_key: spread.key.clone(),
            when_unsatisfiable: if spread.strict { "DoNotSchedule" } else { "ScheduleAnyway" }
                .to_owned(),
            ..TopologySpreadConstraint::default()
        };
        self.profile().topology.iter().map(one).collect()
    }

    /// Services by the names that the stages know them by: all are on the same host.
    fn host_aliases(&self) -> Option<Vec<HostAlias>> {
        let services = self.containers.of_role(Role::Service);
        let names: BTreeSet<String> =
            services.flat_map(|(_, one)| one.aliases.iter().map(|it| label(it, 63))).collect();
        (self.traits().host_aliases && !names.is_empty()).then(|| {
            let hostnames = Some(names.into_iter().collect());
            vec![HostAlias { hostnames, ip: "127.0.0.1".into() }]
        })
    }

    fn pod_resources(&self) -> Option<ResourceRequirements> {
        if self.profile().requests == RequestStyle::PerContainer {
            return None;
        }
        // A pod as a whole has processors and memory only.
        let requests = Amounts { storage: 0, ..self.total }.quantities();
        Some(ResourceRequirements { requests, ..ResourceRequirements::default() })
    }

    fn budget(&self) -> PodDisruptionBudget {
        let id = ("pilotfish.io/build".to_owned(), build_id(self.request));
        PodDisruptionBudget {
            metadata: ObjectMeta {
                annotations: None,
                labels: Some(self.labels()),
                ..self.metadata()
            },
            spec: Some(PodDisruptionBudgetSpec {
                // For pods without a controller only a whole number of `minAvailable` counts.
                min_available: Some(IntOrString::Int(1)),
                selector: Some(LabelSelector {
                    match_labels: Some(BTreeMap::from([id])),
                    ..LabelSelector::default()
                }),
                ..PodDisruptionBudgetSpec::default()
            }),
            status: None,
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut all: Vec<String> = self.traits().note.iter().map(|it| (*it).to_owned()).collect();
        for (_, one) in self.containers.of_role(Role::Service) {
            if one.stages.len() > 1 {
                all.push(format!(
                    "the service {} is one container for {}: what one stage leaves in it, the \
                     next finds",
                    one.name,
                    one.stages.join(", ")
                ));
            }
        }
        if deadline::longest(self.request.plan).is_none() {
            all.push(format!(
                "the plan has no bound (a lock, an approval or a stage without a timeout): the \
                 pod is stopped after {} s",
                self.deadline()
            ));
        }
        all
    }
}

fn toleration(one: &super::profile::Tolerated) -> Toleration {
    let effect = one.effect.map(|effect| match effect {
        TaintEffect::NoSchedule => "NoSchedule",
        TaintEffect::PreferNoSchedule => "PreferNoSchedule",
        TaintEffect::NoExecute => "NoExecute",
    });
    Toleration {
        effect: effect.map(str::to_owned),
        key: Some(one.key.clone()),
        operator: Some(if one.value.is_some() { "Equal" } else { "Exists" }.to_owned()),
        toleration_seconds: None,
        value: one.value.clone(),
    }
}

fn some<T>(all: Vec<T>) -> Option<Vec<T>> {
    (!all.is_empty()).then_some(all)
}

/// Seconds as Kubernetes counts them; its deadlines end at 2^31.
fn seconds(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX).min(i32::MAX.into())
}
