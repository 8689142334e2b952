//! What holds of every pod, tried with plans of any shape.

use std::collections::BTreeSet;

use k8s_openapi::api::core::v1::{Container, Pod};
use k8s_openapi::api::policy::v1::PodDisruptionBudget;
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use serde_json::{Value, json};

use super::super::containers::Containers;
use super::super::profile::Defaults;
use super::super::requests::{Amounts, Asking, Demand};
use super::super::security::PodSecurity;
use super::super::{Flavour, PodRequest, Profile, RenderedPod, RequestStyle, render};
use super::{edit, plan_of, spec};
use crate::catalog::model::Quantity;
use crate::catalog::read;
use crate::plan::{PlanDocument, PlanGroup, PlanNode, PlanStage};

/// A tree of stages: leaves are stages with a number for their amounts.
#[derive(Debug, Clone)]
enum Shape {
    Stage { kind: u8, memory: u16 },
    Sequence(Vec<Shape>),
    Parallel(Vec<Shape>, Option<u16>),
}

fn any_shape() -> impl Strategy<Value = Shape> {
    let leaf = (0u8..3, 1u16..2000).prop_map(|(kind, memory)| Shape::Stage { kind, memory });
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..5).prop_map(Shape::Sequence),
            (prop::collection::vec(inner, 1..5), prop::option::of(1u16..4))
                .prop_map(|(all, most)| Shape::Parallel(all, most)),
        ]
    })
}

/// The stages that shapes are made of: of both templates, and one with another image.
fn samples() -> &'static [PlanStage] {
    static SAMPLES: std::sync::LazyLock<Vec<PlanStage>> = std::sync::LazyLock::new(|| {
        let plan = plan_of("- {name: a, uses: test}\n- {name: b, uses: package}").plan;
        let mut all: Vec<PlanStage> = plan.all_stages().cloned().collect();
        let mut third = all[0].clone();
        third.services.clear();
        edit(&mut third, |stage| stage["containers"][0]["image"] = json!("third:1"));
        all.push(third);
        all
    });
    &SAMPLES
}

fn node(shape: &Shape, number: &mut usize) -> PlanNode {
    *number += 1;
    let id = format!("n{number}");
    let group = |nodes: Vec<PlanNode>, max_parallel| PlanGroup {
        id: id.clone(),
        name: id.clone(),
        title: id.clone(),
        decision: samples()[0].decision.clone(),
        values: Default::default(),
        fail_fast: false,
        max_parallel,
        matrix: false,
        after_failure: false,
        allow_failure: false,
        nodes,
    };
    match shape {
        Shape::Stage { kind, memory } => {
            let mut stage = samples()[usize::from(*kind)].clone();
            stage.id.clone_from(&id);
            stage.name.clone_from(&id);
            edit(&mut stage, |stage| {
                let container = &mut stage["containers"][0];
                container["requests"]["memory"] = json!(format!("{memory}Mi"));
                let limit = u32::from(*memory) * 2;
                container["limits"]["memory"] = json!(format!("{limit}Mi"));
            });
            PlanNode::Stage(Box::new(stage))
        }
        Shape::Sequence(all) => {
            PlanNode::Sequence(group(all.iter().map(|one| node(one, number)).collect(), None))
        }
        Shape::Parallel(all, most) => {
            PlanNode::Parallel(group(all.iter().map(|one| node(one, number)).collect(), *most))
        }
    }
}

fn document(shapes: &[Shape]) -> PlanDocument {
    let mut plan = plan_of("- {name: a, uses: test}").plan;
    let mut number = 0;
    plan.stages = shapes.iter().map(|one| node(one, &mut number)).collect();
    plan.into_document()
}

fn demand(document: &PlanDocument) -> Demand {
    let containers = Containers::of(&document.plan);
    let asking = Asking { defaults: &Defaults::default(), sizes: None };
    Demand::of(&document.plan, &containers, asking)
}

fn not_less(big: &Demand, small: &Demand) -> bool {
    let covers = |big: Amounts, small: Amounts| small.over(big).is_empty();
    covers(big.together, small.together)
        && small.containers.iter().all(|(index, one)| {
            big.containers.get(index).is_some_and(|big| {
                covers(big.requests, one.requests) && covers(big.limits, one.limits)
            })
        })
}

/// The same tree with all groups of one kind.
fn all_as(shape: &Shape, parallel: bool) -> Shape {
    match shape {
        Shape::Stage { .. } => shape.clone(),
        Shape::Sequence(all) | Shape::Parallel(all, _) => {
            let all = all.iter().map(|one| all_as(one, parallel)).collect();
            if parallel { Shape::Parallel(all, None) } else { Shape::Sequence(all) }
        }
    }
}

/// The same tree with one leaf that asks for more.
fn with_more(shape: &Shape, which: &mut usize, by: u16) -> Shape {
    let all = |all: &[Shape], which: &mut usize| {
        all.iter().map(|one| with_more(one, which, by)).collect::<Vec<_>>()
    };
    match shape {
        Shape::Stage { kind, memory } => {
            let chosen = *which == 0;
            *which = which.wrapping_sub(1);
            Shape::Stage { kind: *kind, memory: if chosen { memory + by } else { *memory } }
        }
        Shape::Sequence(inner) => Shape::Sequence(all(inner, which)),
        Shape::Parallel(inner, most) => Shape::Parallel(all(inner, which), *most),
    }
}

fn leaves(shape: &Shape) -> usize {
    match shape {
        Shape::Stage { .. } => 1,
        Shape::Sequence(all) | Shape::Parallel(all, _) => all.iter().map(leaves).sum(),
    }
}

fn is_label(text: &str) -> bool {
    let fits = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
    (1..=63).contains(&text.len())
        && text.chars().all(fits)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Everything that must hold of the pod of a plan.
pub(super) fn check(
    document: &PlanDocument,
    profile: &Profile,
    rendered: &RenderedPod,
) -> Result<(), TestCaseError> {
    // What is printed is read back as the same objects.
    let text = rendered.to_yaml();
    let documents: Vec<Value> = text.split("---\n").map(|one| read::yaml(one).unwrap()).collect();
    let pod: Pod = serde_json::from_value(documents[0].clone()).unwrap();
    prop_assert_eq!(&pod, &rendered.pod);
    if let Some(budget) = &rendered.disruption_budget {
        let read: PodDisruptionBudget = serde_json::from_value(documents[1].clone()).unwrap();
        prop_assert_eq!(&read, budget);
        let chosen = read.spec.unwrap().selector.unwrap().match_labels.unwrap();
        let labels = pod.metadata.labels.as_ref().unwrap();
        prop_assert!(chosen.iter().all(|(key, value)| labels.get(key) == Some(value)));
    }
    let list: Value = serde_json::from_str(&rendered.to_json()).unwrap();
    prop_assert_eq!(&list["items"][0], &documents[0]);

    let spec = spec(rendered);
    let all: Vec<&Container> =
        spec.init_containers.iter().flatten().chain(&spec.containers).collect();
    let mut names = BTreeSet::new();
    let mut volumes = BTreeSet::new();
    for volume in spec.volumes.iter().flatten() {
        prop_assert!(is_label(&volume.name) && volumes.insert(volume.name.as_str()));
    }
    for one in &all {
        prop_assert!(is_label(&one.name) && names.insert(one.name.as_str()), "{}", one.name);
        let security = one.security_context.as_ref().unwrap();
        prop_assert!(security.privileged.is_none());
        if profile.pod_security == PodSecurity::Restricted {
            prop_assert_eq!(security.run_as_non_root, Some(true));
            prop_assert_eq!(security.allow_privilege_escalation, Some(false));
            let capabilities = security.capabilities.as_ref().unwrap();
            prop_assert_eq!(&capabilities.drop, &Some(vec!["ALL".to_owned()]));
            prop_assert_eq!(&capabilities.add, &None);
        }
        let mut paths = BTreeSet::new();
        for mount in one.volume_mounts.iter().flatten() {
            prop_assert!(volumes.contains(mount.name.as_str()), "{}", mount.name);
            prop_assert!(paths.insert(mount.mount_path.as_str()), "{}", mount.mount_path);
        }
        let resources = one.resources.clone().unwrap_or_default();
        for (name, request) in resources.requests.iter().flatten() {
            let amount = |text: &str| Quantity::new(text).unwrap().thousandths();
            if let Some(limit) = resources.limits.as_ref().and_then(|all| all.get(name)) {
                prop_assert!(amount(&request.0) <= amount(&limit.0), "{}: {}", one.name, name);
            }
        }
    }
    // Every container of a stage that may run has its place.
    for (route, container) in &rendered.routes {
        prop_assert!(names.contains(container.as_str()), "{}", route);
    }
    for stage in document.plan.all_stages() {
        for one in &stage.containers {
            let route = rendered.routes.get(&format!("{}/{}", stage.id, one.name));
            let Some(route) = route else { continue };
            let found = all.iter().find(|it| it.name == *route).unwrap();
            prop_assert_eq!(found.image.as_ref(), Some(&one.image));
        }
    }
    prop_assert!(is_label(pod.metadata.name.as_ref().unwrap()));
    prop_assert!(spec.active_deadline_seconds.unwrap() > 0);
    // Where the pod asks as a whole, its containers ask for no more than it.
    if let Some(whole) = spec.resources.as_ref().and_then(|one| one.requests.as_ref()) {
        for (name, most) in whole {
            let asked: u128 = all
                .iter()
                .filter(|one| one.name != "pilotfish-inject")
                .filter_map(|one| one.resources.as_ref()?.requests.as_ref()?.get(name))
                .map(|one| Quantity::new(&one.0).unwrap().thousandths())
                .sum();
            prop_assert!(asked <= Quantity::new(&most.0).unwrap().thousandths(), "{}", name);
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_stage_that_asks_for_more_makes_no_pod_ask_for_less(
        shape in any_shape(), which in any::<prop::sample::Index>(), by in 1u16..2000,
    ) {
        let mut which = which.index(leaves(&shape));
        let more = with_more(&shape, &mut which, by);
        prop_assert!(not_less(&demand(&document(&[more])), &demand(&document(&[shape]))));
    }

    #[test]
    fn at_the_same_time_is_never_less_than_one_after_the_other(shape in any_shape()) {
        let own = demand(&document(std::slice::from_ref(&shape)));
        let parallel = demand(&document(&[all_as(&shape, true)]));
        let sequential = demand(&document(&[all_as(&shape, false)]));
        prop_assert!(not_less(&parallel, &own));
        prop_assert!(not_less(&own, &sequential));
    }

    /// No pod asks as a whole for more than its containers do one by one.
    #[test]
    fn together_is_never_more_than_the_sum(shape in any_shape()) {
        let own = demand(&document(&[shape]));
        prop_assert!(own.together.over(own.of_all_containers()).is_empty());
    }

    #[test]
    fn any_plan_has_a_pod_that_kubernetes_reads(
        shapes in prop::collection::vec(any_shape(), 0..4),
        flavour in prop::sample::select(Flavour::ALL.to_vec()),
        whole in any::<bool>(),
        build in "[a-zA-Z0-9/ #_.-]{1,80}",
    ) {
        let document = document(&shapes);
        let requests = if whole { RequestStyle::Pod } else { RequestStyle::PerContainer };
        let profile = Profile { flavour, requests, ..Profile::default() };
        let request = PodRequest {
            plan: &document.plan, digest: &document.digest, profile: &profile, build: &build, id: None, agent: None, sizes: None, through_plugin: false, runner: None,
        };
        match render(&request) {
            Ok(pod) => {
                check(&document, &profile, &pod)?;
                prop_assert_eq!(render(&request).unwrap().to_yaml(), pod.to_yaml());
            }
            // Only what a kind of nodes cannot give is refused here.
            Err(error) => prop_assert!(error.to_string().contains("at most"), "{}", error),
        }
    }

    #[test]
    fn no_profile_makes_it_panic(text in "\\PC{0,200}", key in "[a-z_]{1,12}") {
        let _ = Profile::read("p.yaml", &text);
        let head = "api: pilotfish/v1\nkind: pod-profile\nname: p\n";
        let _ = Profile::read("p.yaml", &format!("{head}{key}: {text}\n"));
    }
}
