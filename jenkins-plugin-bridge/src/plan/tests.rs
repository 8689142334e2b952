//! Plans as a whole: golden plans, bindings, injection, comparison.

mod layers;
mod outputs;
mod properties;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde_json::{Value, json};

use super::binding::{bind, plan_job};
use super::diff::compare;
use super::evaluate::evaluate;
use super::explain::explain_jobs;
use super::tree::{Detail, origins, tree};
use super::*;
use crate::catalog::Catalog;
use crate::catalog::model::JobRecord;
use crate::catalog::shipped;
use crate::catalog::source::Files;
use crate::error::BridgeError;

fn catalog() -> &'static Catalog {
    static CATALOG: LazyLock<Catalog> =
        LazyLock::new(|| Catalog::from_files(&shipped::files()).unwrap());
    &CATALOG
}

/// A small catalog for what the shipped one does not use.
fn small(pipeline: &str, layers: &[&str]) -> Catalog {
    Catalog::from_files(&small_files(pipeline, layers)).unwrap()
}

fn small_files(pipeline: &str, layers: &[&str]) -> Files {
    let stage = r#"
api: pilotfish/v1
kind: stage
name: work
version: 1.0.0
description: d
parameters:
  type: object
  properties:
    text: {type: string, default: ''}
    level: {type: string, x-env: WORK_LEVEL}
    notes: {type: string, x-pass: file}
    list: {type: array, items: {type: string}, x-format: lines}
    flags: {type: string, x-allow-leading-dash: true, x-env: WORK_FLAGS}
containers:
  - {name: one, image: 'one:1', requests: {cpu: 100m, memory: 64Mi}}
  - {name: two, image: 'two:1', requests: {cpu: 100m, memory: 64Mi}}
services:
  - {name: db, image: 'db:1', requests: {cpu: 100m, memory: 64Mi}, port: 5432}
environment: {GREETING: 'hello ${{ params.text }}'}
steps:
  - {name: a, script: 'echo "$TEXT"'}
  - {extension: between}
  - {name: b, container: two, when: params.text != '', script: 'echo "$WORK_LEVEL"'}
post:
  always: [{script: 'echo end'}]
  failure: [{name: why, script: 'echo failed'}]
timeout: 5m
"#;
    let mut files = Files::default();
    let info = "api: pilotfish/v1\nkind: catalog\nname: c\nversion: 1.0.0\ndescription: d\n";
    files.0.insert("catalog.yaml".into(), info.into());
    files.0.insert("stage.yaml".into(), stage.into());
    files.0.insert(
        "pipeline.yaml".into(),
        format!("api: pilotfish/v1\nkind: pipeline\nname: p\nversion: 1.0.0\ndescription: d\nowners: the owners\n{pipeline}"),
    );
    for (index, text) in layers.iter().enumerate() {
        let text = format!("api: pilotfish/v1\nkind: layer\n{text}");
        files.0.insert(format!("layer{index}.yaml"), text);
    }
    files
}

fn request(parameters: Value, facts: Value) -> PlanRequest {
    PlanRequest {
        parameters: serde_json::from_value(parameters).unwrap(),
        facts: serde_json::from_value(facts).unwrap(),
        ..PlanRequest::default()
    }
}

fn plan_of(catalog: &Catalog, parameters: Value) -> Result<Plan, BridgeError> {
    Prepared::new(catalog, "p", &Selection::default())?.plan(&request(parameters, json!({})))
}

fn example_plan(catalog: &Catalog, name: &str) -> Plan {
    let example = &catalog.examples[name].value;
    let request = PlanRequest {
        parameters: example.parameters.clone(),
        facts: example.facts.clone(),
        ..PlanRequest::default()
    };
    let pipeline = example.pipeline.as_str();
    Prepared::new(catalog, pipeline, &Selection::default()).unwrap().plan(&request).unwrap()
}

#[test]
fn golden_plans_of_the_examples() {
    let catalog = catalog();
    for name in catalog.examples.keys() {
        let plan = example_plan(catalog, name);
        insta::assert_snapshot!(format!("tree-{name}"), tree(&plan, Detail::Explain));
        insta::assert_snapshot!(format!("plan-{name}"), plan.into_document().to_text());
    }
}

#[test]
fn golden_plan_of_everything_a_pipeline_can_say() {
    let catalog = small(
        r#"
parameters: {type: object, properties: {go: {type: boolean, default: true}}}
timeout: 2h
stages:
  - {name: first, uses: work, environment: {MORE: 'x'}, with: {text: hi, level: a}}
  - name: both
    fail_fast: true
    parallel:
      - {name: left, uses: work@1, retry: {attempts: 3, delay: 1s, on: [timeout]}, timeout: 30s}
      - name: right
        stages:
          - {name: right-one, uses: work, allow_failure: true}
          - {name: right-two, uses: work, when: 'false'}
  - name: grid
    uses: work
    matrix: {axes: {os: [a, b], v: [1, 2]}, exclude: [{os: b, v: 2}], max_parallel: 2}
    with: {text: '${{ matrix.os }}'}
    containers: {one: {image: 'other:2', limits: {memory: 1Gi}}}
  - name: gate
    uses: work
    lock: {resource: 'env-${{ params.go }}'}
    milestone: true
    approval: {message: 'Go?', approvers: [ops], timeout: 1h}
    when: params.go && any_match(changed_files, '**/*.rs') && results.first == 'success'
    extensions: {between: [{name: added, script: 'echo more', container: two}]}
  - {name: late, uses: work, after_failure: true, with: {notes: 'long text', list: [a, b], flags: '-v'}}
post:
  always: [{name: tidy, uses: work}]
"#,
        &[],
    );
    let plan = plan_of(&catalog, json!({})).unwrap();
    insta::assert_snapshot!("tree-everything", tree(&plan, Detail::Explain));
    insta::assert_snapshot!("plan-everything", plan.into_document().to_text());
}

#[test]
fn a_plan_is_the_same_bytes_and_its_digest_is_checked() {
    let catalog = catalog();
    let first = example_plan(catalog, "php-service").into_document();
    let second = example_plan(&Catalog::from_files(&shipped::files()).unwrap(), "php-service")
        .into_document();
    assert_eq!(first.to_text(), second.to_text());
    let mut read: PlanDocument = serde_json::from_str(&first.to_text()).unwrap();
    assert!(read.is_intact());
    read.plan.timeout_seconds = Some(1);
    assert!(!read.is_intact());
}

#[test]
fn a_plan_keeps_its_published_schema() {
    let catalog = catalog();
    let format =
        crate::catalog::schema::formats().iter().find(|format| format.kind == "plan").unwrap();
    for name in catalog.examples.keys() {
        let document = example_plan(catalog, name).into_document();
        let problems = format.problems(&serde_json::to_value(&document).unwrap());
        assert!(problems.is_empty(), "{problems:?}");
    }
}

#[test]
fn parameters_are_data_whatever_they_hold() {
    let catalog = small(
        "stages: [{name: s, uses: work}]\nparameters: {type: object, properties: {text: {type: string}}}",
        &[],
    );
    for hostile in ["\"; rm -rf / #", "$(touch /tmp/x)", "`id`", "a\nb", "${{ params.level }}", "'"]
    {
        let plan = plan_of(&catalog, json!({"text": hostile})).unwrap();
        let stage = plan.all_stages().next().unwrap();
        assert_eq!(stage.environment["TEXT"], hostile);
        assert_eq!(stage.environment["GREETING"], format!("hello {hostile}"));
        for step in &stage.steps {
            assert!(!step.script.contains(hostile), "{}", step.script);
        }
    }
    for refused in ["a\0b", "--config=/etc/passwd"] {
        let error = plan_of(&catalog, json!({"text": refused})).unwrap_err();
        assert!(matches!(error, BridgeError::Parameters(_)), "{error}");
    }
    let huge = plan_of(&catalog, json!({"text": "x".repeat(200_000)})).unwrap_err();
    assert!(huge.to_string().contains("96 KiB"), "{huge}");
}

#[test]
fn deferred_conditions_are_decided_by_the_same_code() {
    let catalog = catalog();
    let plan = example_plan(catalog, "library-matrix");
    let decide = |files: &[&str]| {
        let run = RunFacts {
            changed_files: Some(files.iter().map(|one| (*one).to_owned()).collect()),
            ..RunFacts::default()
        };
        let decided = evaluate(&plan, &run).unwrap();
        assert_eq!(decided.len(), 3);
        decided[0].decision.clone()
    };
    assert_eq!(decide(&["src/Money.php", "README.md"]).state, DecisionState::Active);
    let skipped = decide(&["README.md", "docs/a.md"]);
    assert_eq!(skipped.state, DecisionState::Skipped);
    assert!(skipped.reason.contains("at run time"), "{}", skipped.reason);
    let open = evaluate(&plan, &RunFacts::default()).unwrap();
    assert_eq!(open[0].decision.needs, ["changed_files"]);
}

#[test]
fn rules_bind_jobs_in_order_and_explain() {
    let catalog = catalog();
    let job = |name: &str, parameters: Value| JobRecord {
        controller: "prod".into(),
        job: name.into(),
        parameters: serde_json::from_value(parameters).unwrap(),
        ..JobRecord::default()
    };
    let service = job(
        "php/shop",
        json!({"REPOSITORY": "https://g/x.git", "BRANCH": "main", "LANGUAGE": "php", "PHP_VERSION": "8.3", "OLD": "1", "DEPLOY_PATH": ""}),
    );
    let binding = bind(catalog, &service).unwrap();
    assert_eq!(binding.rule.name.as_str(), "services");
    assert_eq!(binding.unmapped, ["OLD"]);
    let planned = plan_job(catalog, &service, &BTreeMap::new()).unwrap();
    assert_eq!(planned.plan.parameters["php_version"], "8.3");
    assert!(!planned.plan.parameters.contains_key("deploy_path"));
    insta::assert_snapshot!(origins(Some(&planned.binding), &planned.plan, &[]));
    let allowed = BTreeMap::from([("stages.unit-tests.timeout".to_owned(), json!("50m"))]);
    let planned = plan_job(catalog, &service, &allowed).unwrap();
    assert!(planned.plan.all_stages().any(|one| one.timeout_seconds == Some(3000)));
    let refused = BTreeMap::from([("stages.scan.when".to_owned(), json!("false"))]);
    let error = plan_job(catalog, &service, &refused).unwrap_err();
    assert!(error.to_string().contains("does not let the Jenkinsfile"), "{error}");
    let error = bind(catalog, &job("x", json!({}))).unwrap_err().to_string();
    assert!(error.contains("no rule") && error.contains("has no parameter"), "{error}");
    let all = explain_jobs(catalog, &[service, job("x", json!({}))]);
    assert!(all.starts_with("== php/shop\nweb-service ") && all.contains("Unit tests"), "{all}");
    assert!(all.contains("\n== x\nno plan: ") && all.contains("no rule"), "{all}");
    assert!(all.ends_with("2 jobs: 1 have a plan, 1 have none\n"), "{all}");
}

#[test]
fn a_comparison_tells_which_plans_change_and_how() {
    let from = catalog();
    let mut files = shipped::files();
    let stage = files.0.get_mut("stages/unit-test-php.yaml").unwrap();
    *stage = stage
        .replace("version: 1.0.0", "version: 1.1.0")
        .replace("--log-junit build/junit.xml", "--log-junit build/junit.xml --testdox");
    let pipeline = files.0.get_mut("pipelines/static-site.yaml").unwrap();
    *pipeline = pipeline
        .replace("required: [repository]", "required: [repository, deploy_user]")
        .replace("    deploy_hosts:", "    deploy_user: {type: string}\n    deploy_hosts:");
    let to = Catalog::from_files(&files).unwrap();
    let comparison = compare(from, &to, &[]);
    assert!(comparison.breaks());
    insta::assert_snapshot!(comparison.to_text());
    assert!(!compare(from, from, &[]).breaks());
}
