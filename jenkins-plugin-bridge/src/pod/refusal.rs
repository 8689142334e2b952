//! Why a plan gets no pod of a profile: everything at once, each with what to do.

use super::PodRequest;
use super::containers::{Containers, HEALTH_PORT, Role};
use super::requests::{Amounts, written};
use super::volumes::no_place;
use crate::error::Problem;
use crate::plan::{DecisionState, PlanNode};

/// The most bytes of where stages run that fit in an annotation: all of them together may have
/// 256 KiB (`TotalAnnotationSizeLimitB` of Kubernetes).
const MAX_ROUTES: usize = 200 << 10;
/// The longest name of a build, in bytes.
const MAX_BUILD: usize = 512;

/// What is known of a pod before it is made.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub request: &'a PodRequest<'a>,
    pub containers: &'a Containers,
    /// What the pod asks for as a whole.
    pub total: Amounts,
    pub container_count: usize,
    pub volume_count: usize,
    /// Length of the list of where stages run, in bytes.
    pub routes: usize,
}

/// Everything that speaks against the pod.
pub(super) fn problems(draft: &Draft<'_>) -> Vec<Problem> {
    let mut all = Vec::new();
    names(draft, &mut all);
    security(draft, &mut all);
    ports(draft, &mut all);
    caches(draft, &mut all);
    amounts(draft, &mut all);
    sizes(draft, &mut all);
    all.sort();
    all.dedup();
    all
}

fn names(draft: &Draft<'_>, all: &mut Vec<Problem>) {
    let text = draft.request.build;
    if text.is_empty() || text.len() > MAX_BUILD || text.chars().any(char::is_control) {
        let message = format!("expected a name of one line and at most {MAX_BUILD} bytes");
        all.push(Problem::new("build", message));
    }
    match (&draft.request.profile.agent.controller, draft.request.agent) {
        (Some(_), None) if !draft.request.through_plugin && draft.request.runner.is_none() => all
            .push(Problem::new(
                "agent",
                "the profile names a controller: name the agent that connects to it",
            )),
        (_, Some(agent)) if !secret_key(agent) => all.push(Problem::new(
            "agent",
            format!("{agent:?} is no key of a secret: expected letters, digits, - _ and ."),
        )),
        _ => {}
    }
}

/// Whether a text is a key of a Secret of Kubernetes.
fn secret_key(text: &str) -> bool {
    let fits = |one: char| one.is_ascii_alphanumeric() || "-_.".contains(one);
    (1..=253).contains(&text.len())
        && text.chars().all(fits)
        && !text.starts_with("..")
        && text != "."
}

fn security(draft: &Draft<'_>, all: &mut Vec<Problem>) {
    let profile = draft.request.profile;
    let traits = profile.flavour.traits();
    for one in &draft.containers.all {
        let Some(builder) = one.need.builder else { continue };
        let place = one.stages.join(", ");
        let needs = builder.security();
        if needs > profile.pod_security {
            all.push(Problem::new(
                &place,
                format!(
                    "its container {} needs a namespace that enforces {} at most, and that of the \
                     profile {} enforces {}: {}",
                    one.name,
                    needs.word(),
                    profile.name,
                    profile.pod_security.word(),
                    builder.reason(),
                ),
            ));
        }
        if let Some(reason) = traits.no_user_namespace.filter(|_| builder.needs_user_namespace()) {
            all.push(Problem::new(
                &place,
                format!(
                    "its container {} cannot build images on {}: {reason}; build with kaniko",
                    one.name, traits.title
                ),
            ));
        }
    }
}

/// The containers of a pod are one host: a port is there once.
fn ports(draft: &Draft<'_>, all: &mut Vec<Problem>) {
    let traits = draft.request.profile.flavour.traits();
    let services: Vec<_> = draft.containers.of_role(Role::Service).map(|(_, one)| one).collect();
    for (index, one) in services.iter().enumerate() {
        let Some(port) = one.need.port else { continue };
        let place = one.stages.join(", ");
        if port == HEALTH_PORT && traits.probes {
            let message = format!(
                "its service {} listens on port {port}, on which the agent says whether it is \
                 connected: choose another",
                one.name
            );
            all.push(Problem::new(&place, message));
        }
        if traits.ports.contains(&port) {
            let message = format!(
                "its service {} listens on port {port}, which {} needs itself: choose another",
                one.name, traits.title
            );
            all.push(Problem::new(&place, message));
        }
        for other in services[..index].iter().filter(|other| other.need.port == Some(port)) {
            let message = format!(
                "its service {} ({}) and the service {} ({}) of {} both listen on port {port}, \
                 and the containers of a pod are one host: give one of them another port",
                one.name,
                one.need.image,
                other.name,
                other.need.image,
                other.stages.join(", ")
            );
            all.push(Problem::new(&place, message));
        }
    }
}

fn caches(draft: &Draft<'_>, all: &mut Vec<Problem>) {
    for one in &draft.containers.all {
        let place = one.stages.join(", ");
        for (index, cache) in one.need.caches.iter().enumerate() {
            let path = cache.path.trim_end_matches('/');
            let known = &one.need.caches[..index];
            let reason = match no_place(path) {
                Some(reason) => reason,
                None if known.iter().any(|it| it.path.trim_end_matches('/') == path) => {
                    "another cache is there"
                }
                None => continue,
            };
            let message = format!(
                "its container {} cannot have the cache {} at {:?}: {reason}",
                one.name, cache.name, cache.path
            );
            all.push(Problem::new(&place, message));
        }
    }
}

fn amounts(draft: &Draft<'_>, all: &mut Vec<Problem>) {
    let defaults = &draft.request.profile.defaults;
    let active = |node: &&PlanNode| node.decision().state != DecisionState::Skipped;
    for node in draft.request.plan.nodes().into_iter().filter(active) {
        let PlanNode::Stage(stage) = node else { continue };
        let tools = stage.containers.iter().map(|it| (&it.name, &it.requests, &it.limits));
        let services = stage.services.iter().map(|it| (&it.name, &it.requests, &it.limits));
        for (name, requests, limits) in tools.chain(services) {
            let requested = Amounts::requested(requests, limits, defaults);
            let limited = Amounts::limited(requests, limits, defaults);
            for resource in requested.over(limited) {
                let amount = |all: Amounts| {
                    let found = all.named().into_iter().find(|(one, _)| *one == resource);
                    written(resource, found.map_or(0, |(_, amount)| amount))
                };
                let message = format!(
                    "its container {name} asks for {resource} {} and may take {} at most: raise \
                     the limit",
                    amount(requested),
                    amount(limited)
                );
                all.push(Problem::new(&stage.id, message));
            }
        }
    }
}

fn sizes(draft: &Draft<'_>, all: &mut Vec<Problem>) {
    let traits = draft.request.profile.flavour.traits();
    let mut bound = |most: Amounts, total: Amounts, whose: &str| {
        for ((resource, most), (_, asked)) in most.named().into_iter().zip(total.named()) {
            if most != 0 && asked > most {
                let (asked, most) = (written(resource, asked), written(resource, most));
                let message = format!(
                    "the pod asks for {resource} {asked} and {whose} gives {most} at most: lower \
                     the requests of its stages, or let fewer run at the same time"
                );
                all.push(Problem::new("", message));
            }
        }
    };
    let name = draft.request.profile.name.as_str();
    bound(Amounts::of(&draft.request.profile.most), draft.total, &format!("the profile {name}"));
    bound(traits.most, draft.total.plus(traits.own), traits.title);
    let mut count = |what: &str, count: usize, most: Option<usize>| {
        if let Some(most) = most.filter(|most| count > *most) {
            let message = format!(
                "the pod has {count} {what} and {} takes {most} at most: use fewer images and \
                 caches",
                traits.title
            );
            all.push(Problem::new("", message));
        }
    };
    count("containers", draft.container_count, traits.max_containers);
    count("volumes", draft.volume_count, traits.max_volumes);
    if draft.routes > MAX_ROUTES {
        let message = format!(
            "where its stages run takes {} bytes and {MAX_ROUTES} fit: split the pipeline",
            draft.routes
        );
        all.push(Problem::new("", message));
    }
}
