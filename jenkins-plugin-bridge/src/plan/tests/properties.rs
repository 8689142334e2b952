//! What holds of every plan, tried with parameters made from the schemas themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::strategy::BoxedStrategy;
use proptest::string::string_regex;
use serde_json::{Value, json};

use super::super::{DecisionState, Plan, PlanDocument, PlanRequest, Prepared, Selection};
use super::catalog;
use crate::catalog::model::{ParameterSchema, PlanFacts};
use crate::error::BridgeError;

type Values = BTreeMap<String, Value>;

static PREPARED: LazyLock<Vec<Prepared>> = LazyLock::new(|| {
    let names = catalog().pipelines.keys();
    names.map(|name| Prepared::new(catalog(), name, &Selection::default()).unwrap()).collect()
});

fn any_pipeline() -> impl Strategy<Value = &'static Prepared> {
    (0..PREPARED.len()).prop_map(|index| &PREPARED[index])
}

/// Any text that a shell, a template or a terminal might take for more than text.
fn any_text() -> BoxedStrategy<Value> {
    let hostile = prop::sample::select(vec![
        "\"; rm -rf / #",
        "$(touch pwned)",
        "`id`",
        "${{ params.language }}",
        "a\nb",
        "'; x; '",
        "\u{1b}[2J",
        "%s%n",
    ]);
    prop_oneof![hostile.prop_map(str::to_owned), "[^-\\x00]\\PC{0,30}"]
        .prop_map(Value::from)
        .boxed()
}

/// Any value that a schema accepts.
fn any_value(schema: &Value) -> BoxedStrategy<Value> {
    let number = |key: &str, otherwise: i64| schema[key].as_i64().unwrap_or(otherwise);
    if let Some(values) = schema["enum"].as_array() {
        return prop::sample::select(values.clone()).boxed();
    }
    match schema["type"].as_str() {
        Some("boolean") => any::<bool>().prop_map(Value::from).boxed(),
        Some("integer") => {
            (number("minimum", -9)..=number("maximum", 99)).prop_map(Value::from).boxed()
        }
        Some("array") => {
            let least = usize::try_from(number("minItems", 1)).unwrap().max(1);
            let all = prop::collection::vec(any_value(&schema["items"]), least..least + 3);
            all.prop_map(|mut all| {
                let mut seen = BTreeSet::new();
                all.retain(|one| seen.insert(one.to_string()));
                Value::from(all)
            })
            .boxed()
        }
        _ => match schema["pattern"].as_str() {
            Some(pattern) => {
                let inner = pattern.trim_start_matches('^').trim_end_matches('$');
                string_regex(inner).unwrap().prop_map(Value::from).boxed()
            }
            None => any_text(),
        },
    }
}

/// A value for every parameter of a schema.
fn all_values(schema: &ParameterSchema) -> BoxedStrategy<Values> {
    let all: Vec<_> =
        schema.properties().map(|(name, one)| (Just(name.to_owned()), any_value(one))).collect();
    all.prop_map(|all| all.into_iter().collect()).boxed()
}

/// A pipeline with a value for each of its parameters.
fn any_request() -> impl Strategy<Value = (&'static Prepared, Values, PlanFacts)> {
    let facts = (
        prop::option::of("(main|release/[0-9]|feature/[a-z]{1,5})"),
        prop::option::of(Just("main".to_owned())),
        prop::option::of(prop::collection::vec("[a-z/]{1,12}[.](md|php)", 0..4)),
    )
        .prop_map(|(branch, pull_request, changed_files)| PlanFacts {
            branch,
            pull_request,
            changed_files,
            ..PlanFacts::default()
        });
    (any_pipeline(), facts)
        .prop_flat_map(|(one, facts)| (Just(one), all_values(one.rules.schema()), Just(facts)))
}

fn plan(prepared: &Prepared, parameters: &Values, facts: &PlanFacts) -> Result<Plan, BridgeError> {
    prepared.plan(&PlanRequest {
        parameters: parameters.clone(),
        facts: facts.clone(),
        ..PlanRequest::default()
    })
}

/// Everything that must hold of a plan.
fn check(plan: Plan) -> Result<(), TestCaseError> {
    let mut ids = BTreeSet::new();
    for node in plan.nodes() {
        prop_assert!(ids.insert(node.id().to_owned()), "{} is there twice", node.id());
        prop_assert!(!node.decision().reason.is_empty(), "{} gives no reason", node.id());
        let deferred = node.decision().state == DecisionState::Deferred;
        prop_assert_eq!(deferred, !node.decision().needs.is_empty());
    }
    for stage in plan.all_stages() {
        if stage.decision.state == DecisionState::Skipped {
            prop_assert!(stage.steps.is_empty() && stage.environment.is_empty());
            continue;
        }
        prop_assert!(!stage.steps.is_empty(), "{} does nothing", stage.id);
        prop_assert!(stage.timeout_seconds.is_some());
        for step in stage.steps.iter().chain(&stage.rehearsal) {
            prop_assert!(!step.script.contains("${{"), "{}", step.script);
            let container = step.container.as_ref().unwrap();
            prop_assert!(stage.containers.iter().any(|one| one.name == *container));
        }
        for container in &stage.containers {
            let requests = &container.requests;
            prop_assert!(requests.cpu.is_some() && requests.memory.is_some());
        }
    }
    let document = plan.into_document();
    let format =
        crate::catalog::schema::formats().iter().find(|format| format.kind == "plan").unwrap();
    let problems = format.problems(&serde_json::to_value(&document).unwrap());
    prop_assert!(problems.is_empty(), "{:?}", problems);
    let read: PlanDocument = serde_json::from_str(&document.to_text()).unwrap();
    prop_assert_eq!(&read, &document);
    prop_assert!(read.is_intact());
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_valid_parameters_give_a_valid_plan(request in any_request()) {
        let (prepared, parameters, facts) = request;
        let plan = plan(prepared, &parameters, &facts);
        check(plan.map_err(|error| TestCaseError::fail(error.to_string()))?)?;
    }

    /// Some parameters left out: a plan, or a refusal that names nothing but what is missing.
    #[test]
    fn parameters_left_out_are_named(request in any_request(), keep in any::<u64>()) {
        let (prepared, mut parameters, facts) = request;
        let mut bit = 0;
        parameters.retain(|_, _| { bit += 1; keep >> (bit % 64) & 1 == 1 });
        match plan(prepared, &parameters, &facts) {
            Ok(plan) => check(plan)?,
            Err(BridgeError::Parameters(problems)) => {
                for one in problems {
                    let missing = one.message.contains("is required and was not given")
                        || one.message.contains("needs its parameter");
                    prop_assert!(missing, "{}", one);
                }
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }

    /// The same input gives the same bytes, also from a catalog that was read again.
    #[test]
    fn a_plan_is_deterministic(request in any_request()) {
        let (prepared, parameters, facts) = request;
        static AGAIN: LazyLock<Vec<Prepared>> = LazyLock::new(|| {
            let catalog = crate::catalog::Catalog::from_files(&crate::catalog::shipped::files()).unwrap();
            let names = catalog.pipelines.keys();
            names.map(|name| Prepared::new(&catalog, name, &Selection::default()).unwrap()).collect()
        });
        let again = AGAIN.iter().find(|one| one.pipeline.name == prepared.pipeline.name).unwrap();
        let one = plan(prepared, &parameters, &facts).unwrap().into_document();
        let other = plan(again, &parameters, &facts).unwrap().into_document();
        prop_assert_eq!(one.to_text(), other.to_text());
    }

    /// No free text has any influence on what is executed: other text, the same scripts.
    #[test]
    fn scripts_do_not_depend_on_text(request in any_request(), seed in any_request()) {
        let (prepared, parameters, facts) = request;
        let mut other = parameters.clone();
        for (name, schema) in prepared.rules.schema().properties() {
            let free = schema["type"] == json!("string");
            if let (true, Some(value)) = (free && schema.get("pattern").is_none(), seed.1.get(name)) {
                other.insert(name.to_owned(), value.clone());
            } else if free && schema.get("pattern").is_none() {
                other.insert(name.to_owned(), json!("x; $(touch pwned)"));
            }
        }
        let scripts = |plan: &Plan| -> BTreeMap<String, Vec<String>> {
            let active = plan.all_stages().filter(|one| !one.steps.is_empty());
            active
                .map(|one| {
                    let all = one.steps.iter().chain(&one.rehearsal);
                    (one.id.clone(), all.map(|step| step.script.clone()).collect())
                })
                .collect()
        };
        let one = scripts(&plan(prepared, &parameters, &facts).unwrap());
        let two = scripts(&plan(prepared, &other, &facts).unwrap());
        for (id, all) in &one {
            if let Some(same) = two.get(id) {
                prop_assert_eq!(all, same, "{}", id);
            }
        }
    }

    #[test]
    fn no_parameters_at_all_make_it_panic(
        prepared in any_pipeline(),
        values in prop::collection::btree_map("[a-z_]{1,12}", "\\PC{0,12}", 0..6),
    ) {
        let parameters = values.into_iter().map(|(k, v)| (k, Value::from(v))).collect();
        let request = PlanRequest { parameters, read_text: true, ..PlanRequest::default() };
        let _ = prepared.plan(&request);
    }
}
