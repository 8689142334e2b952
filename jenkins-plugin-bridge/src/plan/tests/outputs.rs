//! Plans that pass outputs of stages on.

use super::*;

const OUTPUTS: &str = r#"
stages:
  - {name: first, uses: work, when: params.first}
  - {name: second, uses: work, with_outputs: {text: first.made}}
  - {name: third, uses: work, when: 'outputs.first.made != ""'}
parameters: {type: object, properties: {first: {type: boolean, default: true}}}
"#;

/// The small catalog, in which `work` has an output and takes one.
fn with_outputs(pipeline: &str, change: impl Fn(&str) -> String) -> Result<Catalog, BridgeError> {
    let mut files = small_files(pipeline, &[]);
    let stage = files.0.get_mut("stage.yaml").unwrap();
    *stage = change(
        &stage
            .replace(
                "    text: {type: string, default: ''}",
                "    text: {type: string, default: '', pattern: '^[a-z]*$'}",
            )
            .replace("environment: {GREETING: 'hello ${{ params.text }}'}\n", "")
            .replace(", when: params.text != ''", ""),
    ) + "outputs: {made: {description: What was made, pattern: '^[a-z]+$'}}\n";
    Catalog::from_files(&files)
}

#[test]
fn a_plan_says_where_values_come_from_when_it_runs() {
    let catalog = with_outputs(OUTPUTS, str::to_owned).unwrap();
    let plan = plan_of(&catalog, json!({})).unwrap();
    insta::assert_snapshot!("tree-outputs", tree(&plan, Detail::Explain));
    let second = plan.all_stages().nth(1).unwrap();
    insta::assert_snapshot!(
        "plan-outputs",
        serde_json::to_string_pretty(&json!({"inputs": second.inputs, "outputs": second.outputs}))
            .unwrap()
    );
    // A stage that is skipped gives nothing: the parameter is what it is without.
    let plan = plan_of(&catalog, json!({"first": false})).unwrap();
    let second = plan.all_stages().nth(1).unwrap();
    assert!(second.inputs.is_empty() && second.environment["TEXT"].is_empty());
    let given = BTreeMap::from([("made".to_owned(), "x".to_owned())]);
    let decide = |outputs: BTreeMap<String, BTreeMap<String, String>>| {
        let run = RunFacts { outputs: Some(outputs), ..RunFacts::default() };
        evaluate(&plan, &run).unwrap()[0].decision.state
    };
    assert_eq!(decide(BTreeMap::from([("first".to_owned(), given)])), DecisionState::Active);
    assert_eq!(decide(BTreeMap::new()), DecisionState::Skipped);
}

#[test]
fn a_parameter_that_must_have_a_value_is_missed_where_nobody_can_give_it() {
    let required = |stage: &str| {
        stage
            .replace("default: '', pattern", "pattern")
            .replace("  type: object", "  type: object\n  required: [text]")
    };
    let catalog = with_outputs(OUTPUTS, required).unwrap();
    let error = plan_of(&catalog, json!({"first": true})).unwrap_err().to_string();
    assert!(
        error.contains("stages.first.text: is required"),
        "nobody gives it to the first: {error}"
    );
    let pipeline = OUTPUTS
        .replace("{name: first, uses: work,", "{name: first, uses: work, with: {text: a},")
        .replace("{name: third, uses: work,", "{name: third, uses: work, with: {text: a},");
    let catalog = with_outputs(&pipeline, required).unwrap();
    let plan = plan_of(&catalog, json!({"first": true})).unwrap();
    let second = plan.all_stages().nth(1).unwrap();
    assert!(second.inputs["TEXT"].required && !second.environment.contains_key("TEXT"));
    let error = plan_of(&catalog, json!({"first": false})).unwrap_err().to_string();
    assert!(
        error.contains("the stage `first`, whose output `first.made` it takes, does not give it"),
        "{error}"
    );
}

#[test]
fn outputs_that_cannot_be_taken_are_refused_with_the_reason() {
    let error = |from: &str, to: &str| {
        assert!(OUTPUTS.contains(from), "{from}");
        let catalog = with_outputs(&OUTPUTS.replace(from, to), str::to_owned).unwrap();
        plan_of(&catalog, json!({})).unwrap_err().to_string()
    };
    let taken = "{text: first.made}";
    for (to, why) in [
        ("{text: frist.made}", "there is no stage `frist`; did you mean `first`?"),
        ("{text: first.mad}", "declares no output `mad`; did you mean `made`?"),
        ("{text: third.made}", "the stage `third` does not come before"),
        ("{txet: first.made}", "has no parameter `txet`; did you mean `text`?"),
        ("{notes: first.made}", "is passed as a file"),
        ("{list: first.made}", "is not of the type string"),
    ] {
        let error = error(taken, to);
        assert!(error.contains(why), "{to}: {error}");
    }
    let error = error("outputs.first.made", "outputs.first.mad");
    assert!(
        error.contains("stages.third.when.outputs: the stage `first` declares no output"),
        "{error}"
    );
    let in_groups = "stages:\n  - name: both\n    parallel:\n      - {name: left, uses: work}\n      - {name: right, uses: work, with_outputs: {text: left.made}}\n  - {name: many, uses: work, matrix: {axes: {os: [a]}}}\n  - {name: last, uses: work, with_outputs: {text: both.made, level: many.made, flags: left.made}}\n";
    let catalog = with_outputs(in_groups, str::to_owned).unwrap();
    let error = plan_of(&catalog, json!({})).unwrap_err().to_string();
    for why in [
        "stages.both.right.with_outputs.text: the stage `left` does not come before",
        "`both` is a group",
        "`many` has a matrix",
    ] {
        assert!(error.contains(why), "{error}");
    }
    assert!(
        !error.contains("last.with_outputs.flags"),
        "a stage in a group before gives it: {error}"
    );
}
