//! Conditions that are decided, deferred, explained and refused.

use serde_json::json;

use super::*;
use crate::catalog::model::PlanFacts;

fn decide(source: &str, run: &RunFacts) -> Result<Verdict, String> {
    let params = BTreeMap::from([
        ("deploy".to_owned(), json!("none")),
        ("count".to_owned(), json!(3)),
        ("names".to_owned(), json!(["a", "b"])),
    ]);
    let plan = PlanFacts { branch: Some("release/1".into()), ..PlanFacts::default() };
    let facts = Facts::new(&params, &plan, ("prod", "php/shop"), run);
    let matrix = BTreeMap::from([("php".to_owned(), json!("8.3"))]);
    Condition::compile(source)?.evaluate(&facts, &matrix)
}

#[test]
fn what_is_known_decides() {
    for (source, expected) in [
        ("params.deploy == 'none'", Verdict::True),
        ("params.count > 3", Verdict::False),
        ("'b' in params.names", Verdict::True),
        ("params.names.exists(n, n == 'c')", Verdict::False),
        ("branch.startsWith('release/')", Verdict::True),
        ("glob(branch, 'release/*')", Verdict::True),
        ("glob(branch, '*')", Verdict::False),
        ("has(params.missing)", Verdict::False),
        ("is_pull_request", Verdict::False),
        ("matrix.php == '8.3'", Verdict::True),
        ("job.startsWith('php/') && controller == 'prod'", Verdict::True),
        ("branch.matches('^release/[0-9]+$')", Verdict::True),
    ] {
        assert_eq!(decide(source, &RunFacts::default()), Ok(expected), "{source}");
    }
}

#[test]
fn unknown_facts_defer_only_where_they_matter() {
    for (source, expected) in [
        ("any_match(changed_files, 'src/**')", Verdict::Unknown),
        ("changed_files.exists(f, f.startsWith('src/'))", Verdict::Unknown),
        ("params.deploy != 'none' && any_match(changed_files, 'src/**')", Verdict::False),
        ("any_match(changed_files, 'src/**') && params.deploy != 'none'", Verdict::False),
        ("any_match(changed_files, 'src/**') || params.deploy == 'none'", Verdict::True),
        ("!(results['unit-tests'] == 'success')", Verdict::Unknown),
        ("params.deploy == 'none' ? true : size(changed_files) > 0", Verdict::True),
    ] {
        assert_eq!(decide(source, &RunFacts::default()), Ok(expected), "{source}");
    }
}

#[test]
fn facts_of_run_time_decide_later() {
    let run = RunFacts {
        changed_files: Some(vec!["src/a/b.php".into(), "README.md".into()]),
        results: Some(BTreeMap::from([("unit-tests".into(), Outcome::Failure)])),
        ..RunFacts::default()
    };
    assert_eq!(decide("any_match(changed_files, 'src/**')", &run), Ok(Verdict::True));
    assert_eq!(decide("any_match(changed_files, '*.php')", &run), Ok(Verdict::False));
    assert_eq!(decide("results['unit-tests'] == 'failure'", &run), Ok(Verdict::True));
}

#[test]
fn outputs_are_facts_of_run_time_and_empty_where_nobody_gave_them() {
    let given = BTreeMap::from([("digest".to_owned(), "sha256:1".to_owned())]);
    let run = RunFacts {
        outputs: Some(BTreeMap::from([("build-image".to_owned(), given)])),
        ..RunFacts::default()
    };
    for (source, expected) in [
        ("outputs['build-image'].digest == 'sha256:1'", Verdict::True),
        ("outputs['build-image']['digest'].startsWith('sha256:')", Verdict::True),
        ("outputs.other.digest == ''", Verdict::True),
        ("outputs['build-image'].note == '' && outputs.other.digest != 'x'", Verdict::True),
        ("has(outputs.other.digest)", Verdict::True),
        ("outputs.other.digest.matches('^sha256')", Verdict::False),
    ] {
        assert_eq!(decide(source, &run), Ok(expected), "{source}");
        assert_eq!(decide(source, &RunFacts::default()), Ok(Verdict::Unknown), "{source}");
    }
    let decided = decide("params.deploy == 'x' && outputs.a.b == ''", &RunFacts::default());
    assert_eq!(decided, Ok(Verdict::False), "what is known decides");
    for whole in ["size(outputs) > 0", "outputs.image == 'x'", "outputs[branch].digest == ''"] {
        assert!(decide(whole, &run).unwrap_err().contains("one by one"), "{whole}");
    }
    let condition = Condition::compile("outputs['build-image'].digest != '' && outputs.a.b == ''");
    assert_eq!(condition.unwrap().needs(), ["outputs.a.b", r#"outputs["build-image"].digest"#]);
}

#[test]
fn mistakes_are_explained() {
    let error = |source: &str| decide(source, &RunFacts::default()).unwrap_err();
    assert!(error("parms.deploy == 'x'").contains("did you mean `params`"));
    assert!(error("globb(branch, 'x')").contains("did you mean `glob`"));
    assert!(error("params.deploy ==").contains("not a CEL condition"));
    assert!(error("params.count").contains("expected true or false"));
    assert!(error(&"(".repeat(2000)).contains("deep"));
    assert!(error(&format!("1{} == 1", "+1".repeat(40))).contains("deep"));
    assert!(error(&"!".repeat(2000)).contains("deep"));
    assert!(error(&format!("branch == '{}'", "a".repeat(5000))).contains("bytes"));
}

/// Chains make a tree as deep as they are long; it is walked on the small stack of a thread of
/// a service.
#[test]
fn long_chains_are_walked_or_refused() {
    for (start, link, end) in [
        ("true", " && true", ""),
        ("true", "||false", ""),
        ("1", "+1", " == 1"),
        ("params", ".a", " == 1"),
        ("params", "[0]", " == 1"),
        ("'a'", ".size()", " == 1"),
        ("true", "?true:true", ""),
        ("1", "<1", ""),
    ] {
        for count in
            [(MAX_LENGTH - start.len() - end.len()) / link.len(), MAX_HEIGHT, MAX_HEIGHT / 2]
        {
            let source = format!("{start}{}{end}", link.repeat(count));
            let _ = decide(&source, &RunFacts::default());
        }
    }
    for (open, close) in [("(", ")"), ("!(", ")"), ("size([", "]) > 0 && true"), ("[", "]")] {
        for count in [2, 4, 8, 16] {
            let source = format!("{}true{}", open.repeat(count), close.repeat(count));
            let _ = decide(&source, &RunFacts::default());
        }
    }
    let nested = "!(!(params.names.exists(n, glob(n, string(int('1')))) || (branch == 'a')))";
    assert_eq!(decide(nested, &RunFacts::default()), Ok(Verdict::False));
    let texts = "params.deploy != '((((((((((((((((((((((((((((((((((((((((((((' && true";
    assert_eq!(decide(texts, &RunFacts::default()), Ok(Verdict::True), "text is no bracket");
    let names = "params.deploy != 'a-b' && ".repeat(60);
    let names = format!("{names}true");
    assert_eq!(decide(&names, &RunFacts::default()), Ok(Verdict::True));
}

#[test]
fn needs_name_the_facts() {
    let condition =
        Condition::compile("any_match(changed_files, 'a') && results.build == 'success'").unwrap();
    assert_eq!(condition.needs(), ["changed_files", "results.build"]);
    let condition = Condition::compile(r#"results["unit-tests"] == 'success'"#).unwrap();
    assert_eq!(condition.needs(), [r#"results["unit-tests"]"#]);
}
