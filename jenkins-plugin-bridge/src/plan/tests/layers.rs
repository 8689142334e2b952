//! Layers: what is open is changed, the rest is refused, and grouping makes no difference.

use std::sync::LazyLock;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::layers::{Change, Layered};
use super::super::tree::origins;
use super::super::{PlanRequest, Prepared, Selection};
use super::small;
use crate::catalog::Catalog;
use crate::catalog::model::{Layer, Level, Permission};

const OPEN: &str = "
stages:
  - {name: s, uses: work, timeout: 1m}
  - {name: t, uses: work}
  - {extension: end}
open:
  - {path: stages.*.timeout, allow: [override]}
  - {path: stages.s.approval, allow: [override], to: [organisation]}
  - {path: stages.t.environment, allow: [override]}
";

#[test]
fn layers_change_what_is_open_and_the_last_one_wins() {
    let catalog = small(
        OPEN,
        &[
            "name: org\nlevel: organisation\noverrides: [{path: stages.s.timeout, value: 2m, reason: slow net}, {path: stages.s.approval, value: {message: ok?}}]",
            "name: shop\nlevel: team\noverrides: [{path: stages.s.timeout, value: 3m}]\nappends: [{path: extensions.end, values: [{name: extra, uses: work}]}, {path: stages.t.extensions.between, values: [{script: 'echo added'}]}]",
        ],
    );
    let selection = Selection { team: Some("shop"), ..Selection::default() };
    let prepared = Prepared::new(&catalog, "p", &selection).unwrap();
    let plan = prepared.plan(&PlanRequest::default()).unwrap();
    let stages: Vec<_> = plan.all_stages().collect();
    assert_eq!(stages[0].timeout_seconds, Some(180));
    assert!(stages[0].approval.is_some());
    assert_eq!(stages[1].steps[1].script, "echo added");
    assert_eq!(stages[2].id, "extra");
    insta::assert_snapshot!(origins(None, &plan, &prepared.changes), @r#"
    parameters:
    changes by layers:
      organisation org: override stages.s.timeout from "1m" to "2m" (slow net)
      organisation org: override stages.s.approval from null to {"message":"ok?"}
      team shop: override stages.s.timeout from "2m" to "3m"
      team shop: append extensions.end from null to [{"name":"extra","uses":"work"}]
      team shop: append stages.t.extensions.between from null to [{"script":"echo added"}]
    "#);
    let without = Prepared::new(&catalog, "p", &Selection::default()).unwrap();
    assert_eq!(without.layers.len(), 1, "the team's layer holds for its jobs only");
}

#[test]
fn what_is_not_open_is_refused_with_the_reason() {
    let catalog = small(
        OPEN,
        &[
            "name: org\nlevel: organisation\nclose: [{path: stages.t.timeout, reason: audits need it}]",
            "name: shop\nlevel: team\noverrides: [{path: stages.s.when, value: 'false'}, {path: stages.t.timeout, value: 9m}, {path: stages.s.approval, value: null}, {path: extensions.end, value: []}, {path: stages.s.timout, value: 1m}, {path: stages.t, value: {}}]",
        ],
    );
    let selection = Selection { team: Some("shop"), ..Selection::default() };
    let error = Prepared::new(&catalog, "p", &selection).unwrap_err();
    insta::assert_snapshot!(error.to_string());
}

fn open_catalog() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> = LazyLock::new(|| small(OPEN, &[]));
    &CATALOG
}

/// A change that keeps the form of a pipeline, whether it is allowed or not.
#[derive(Debug, Clone)]
struct Wanted {
    path: &'static str,
    how: Permission,
    value: Value,
}

fn any_change() -> impl Strategy<Value = Wanted> {
    let change = |path, how, value| Wanted { path, how, value };
    let text = prop::sample::select(vec!["1m", "2m", "90s"]);
    let name = prop::sample::select(vec!["a", "b"]);
    prop_oneof![
        (prop::sample::select(vec!["stages.s.timeout", "stages.t.timeout", "timeout"]), text)
            .prop_map(move |(path, text)| change(path, Permission::Override, json!(text))),
        (name, any::<u8>()).prop_map(move |(name, value)| change(
            "stages.t.environment",
            Permission::Override,
            json!({name.to_uppercase(): value.to_string()})
        )),
        any::<u8>().prop_map(move |value| change(
            "stages.t.environment.A",
            Permission::Override,
            json!(value.to_string())
        )),
        Just(change("stages.s.approval", Permission::Override, json!({"message": "ok?"}))),
        Just(change("stages.s.when", Permission::Override, json!("false"))),
        Just(change("stages.s.environment", Permission::Override, json!({"B": "1"}))),
        Just(change("extensions.end", Permission::Append, json!([{"extension": "more"}]))),
        Just(change(
            "stages.t.extensions.between",
            Permission::Append,
            json!([{"script": "echo added"}])
        )),
        Just(change("stages.t.extensions.between", Permission::Override, json!([]))),
    ]
}

fn any_level() -> impl Strategy<Value = Level> {
    prop::sample::select(vec![Level::Organisation, Level::Team, Level::Job])
}

fn layer(level: Level, changes: &[Wanted], closed: &[&str]) -> Layer {
    let of = |how: Permission, key: &str| -> Vec<Value> {
        let all = changes.iter().filter(|one| one.how == how);
        all.map(|one| json!({"path": one.path, key: one.value})).collect()
    };
    let close: Vec<Value> =
        closed.iter().map(|path| json!({"path": path, "reason": "r"})).collect();
    serde_json::from_value(json!({
        "api": "pilotfish/v1", "kind": "layer", "name": "l", "level": level,
        "overrides": of(Permission::Override, "value"),
        "appends": of(Permission::Append, "values"),
        "close": close,
    }))
    .unwrap()
}

fn any_layer() -> impl Strategy<Value = Layer> {
    (any_level(), prop::collection::vec(any_change(), 0..4))
        .prop_map(|(level, changes)| layer(level, &changes, &[]))
}

fn applied(start: Layered, layers: &[Layer]) -> Layered {
    layers.iter().fold(start, |so_far, one| so_far.apply(one))
}

/// What `OPEN` allows, said again without the code that decides it.
fn is_open(change: &Wanted, level: Level) -> bool {
    match (change.path, change.how) {
        ("stages.s.timeout" | "stages.t.timeout", Permission::Override) => true,
        ("stages.t.environment" | "stages.t.environment.A", Permission::Override) => true,
        ("stages.s.approval", Permission::Override) => level == Level::Organisation,
        ("extensions.end" | "stages.t.extensions.between", Permission::Append) => true,
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// (pipeline · upper layers) · lower layers is pipeline · (upper layers · lower layers): the
    /// first half may be made a pipeline of its own, written down and read again.
    #[test]
    fn layers_are_associative(all in prop::collection::vec(any_layer(), 0..5), split in 0usize..5) {
        let catalog = open_catalog();
        let pipeline = &catalog.pipelines["p"].value;
        let together = applied(Layered::new(pipeline, catalog), &all);
        let (first, second) = all.split_at(split.min(all.len()));
        let half = applied(Layered::new(pipeline, catalog), first);
        prop_assert_eq!(&together.refused[..half.refused.len()], &half.refused[..]);
        let Ok((half, half_changes)) = half.finish() else {
            prop_assert!(together.finish().is_err());
            return Ok(());
        };
        let text = serde_json::to_string(&half).unwrap();
        let half = serde_json::from_str(&text).unwrap();
        let apart = applied(Layered::new(&half, catalog), second);
        prop_assert_eq!(apart.refused.is_empty(), together.refused.is_empty());
        let (Ok((one, changes)), Ok((other, more))) = (together.finish(), apart.finish()) else {
            return Ok(());
        };
        prop_assert_eq!(one, other);
        // What stood there before is told with its defaults once it was written down and read.
        let told = |all: &[Change]| -> Vec<_> {
            all.iter().map(|one| (one.path.clone(), one.how, one.value.clone())).collect()
        };
        prop_assert_eq!(told(&changes), told(&[half_changes, more].concat()));
    }

    /// What is not open is refused, whatever stands around it; what is closed stays closed.
    #[test]
    fn everything_is_denied_that_is_not_open(
        layers in prop::collection::vec(
            (any_level(), any_change(), prop::option::of(any_change())),
            1..5,
        )
    ) {
        let catalog = open_catalog();
        let mut layered = Layered::new(&catalog.pipelines["p"].value, catalog);
        let mut closed: Vec<&str> = Vec::new();
        for (level, change, close) in &layers {
            let close: Vec<&str> = close.iter().map(|one| one.path).collect();
            let before = (layered.changes.len(), layered.refused.len());
            layered = layered.apply(&layer(*level, std::slice::from_ref(change), &close));
            let shut = closed.iter().any(|path| {
                let (one, other) = (format!("{path}."), format!("{}.", change.path));
                one.starts_with(&other) || other.starts_with(&one)
            });
            let allowed = is_open(change, *level) && !shut;
            let after = (layered.changes.len(), layered.refused.len());
            let expected =
                if allowed { (before.0 + 1, before.1) } else { (before.0, before.1 + 1) };
            prop_assert_eq!(after, expected, "{:?} by {:?}, closed {:?}", change, level, closed);
            closed.extend(close);
        }
    }

    /// A layer without changes changes nothing, wherever it stands.
    #[test]
    fn an_empty_layer_is_nothing(all in prop::collection::vec(any_layer(), 0..5), at in 0usize..5) {
        let catalog = open_catalog();
        let pipeline = &catalog.pipelines["p"].value;
        let without = applied(Layered::new(pipeline, catalog), &all);
        let mut with = all.clone();
        with.insert(at.min(all.len()), layer(Level::Team, &[], &[]));
        prop_assert_eq!(without, applied(Layered::new(pipeline, catalog), &with));
    }
}
