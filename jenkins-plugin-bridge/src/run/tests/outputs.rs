//! Outputs of stages, in runs with real processes.

use super::*;

const GIVES: (&str, &str, &str) = (
    "gives",
    "printf 'digest=%s\\n' \"$DIGEST\" >> \"$PILOTFISH_OUTPUTS\"",
    "parameters: {type: object, properties: {digest: {type: string}}}\noutputs: {digest: {description: d, pattern: '^sha256:[0-9a-f$()]+$'}, note: {description: n, optional: true}}",
);
const TAKES: (&str, &str, &str) = (
    "takes",
    "printf '%s' \"$IMAGE_DIGEST\" > got",
    "parameters: {type: object, properties: {image_digest: {type: string, pattern: '^(sha256:.*)?$', default: ''}, note: {type: string}}}",
);

#[tokio::test]
async fn outputs_reach_the_stages_that_take_them_as_data() {
    let place = Place::new();
    let pipeline = "parameters: {type: object, properties: {digest: {type: string, default: 'sha256:$(1)'}}}\nstages:\n  - {name: build-image, uses: gives}\n  - {name: deploy, uses: takes, with_outputs: {image_digest: build-image.digest}}\n  - {name: yes-stage, uses: gives, when: 'outputs[\"build-image\"].digest != \"\"'}\n  - {name: no-stage, uses: gives, when: 'outputs[\"build-image\"].note != \"\"'}\n";
    let document = document(&[GIVES, TAKES], pipeline, json!({}));
    assert!(document.plan.needs.contains(&r#"outputs["build-image"].digest"#.to_owned()));
    let result = run_it(&document, &place.options()).await;
    assert_eq!(result.outcome, Outcome::Success, "{result:#?}");
    assert_eq!(std::fs::read_to_string(place.path("workspace/got")).unwrap(), "sha256:$(1)");
    assert_eq!(result.stages[0].outputs["digest"], "sha256:$(1)");
    assert_eq!(outcome(&result, "yes-stage"), Outcome::Success);
    assert_eq!(outcome(&result, "no-stage"), Outcome::Skipped);
    assert!(place.log("build-image").contains("output digest = sha256:$(1)\n"));
    let report = std::fs::read_to_string(place.path("output/report.html")).unwrap();
    assert!(report.contains("<code>sha256:$(1)</code>"), "{report}");
    let json = std::fs::read_to_string(place.path("output/result.json")).unwrap();
    assert_eq!(serde_json::from_str::<RunResult>(&json).unwrap(), result);
}

#[tokio::test]
async fn a_stage_without_its_outputs_fails_and_says_so() {
    let place = Place::new();
    let again = "if [ -e tried ]; then echo digest=sha256:2; else touch tried; echo digest=1; fi >> \"$PILOTFISH_OUTPUTS\"";
    let stages = [
        GIVES,
        TAKES,
        ("again", again, &*format!("{}\nretry: {{attempts: 2}}", GIVES.2)),
        ("silent", "true", GIVES.2),
        ("dead", "echo digest=sha256:3 >> \"$PILOTFISH_OUTPUTS\"\nexit 3", GIVES.2),
        ("ship", "true", &*format!("effects: external\n{}", GIVES.2)),
    ];
    let run_of = async |entries: &str| {
        let document = document(&stages, &format!("stages:\n{entries}"), json!({}));
        run_it(&document, &place.options()).await
    };
    let result = run_of("  - {name: a, uses: again}\n").await;
    assert_eq!((result.outcome, result.stages[0].attempts), (Outcome::Success, 2));
    assert_eq!(result.stages[0].outputs["digest"], "sha256:2", "an earlier try counts no more");
    let result = run_of("  - {name: a, uses: silent}\n").await;
    assert_eq!(result.stages[0].reason, "it did not write its output `digest`");
    let result =
        run_of("  - {name: a, uses: gives, with: {digest: wrong}, allow_failure: true}\n").await;
    assert_eq!(result.stages[0].outcome, Outcome::Unstable);
    assert!(result.stages[0].reason.contains("`digest` does not match"), "{result:#?}");
    // What failed may have told something all the same; a required output that nobody gave is missed.
    let taken = "  - {name: deploy, uses: takes, after_failure: true, with_outputs: {image_digest: a.digest}}\n";
    let noted =
        "  - {name: deploy, uses: takes, after_failure: true, with_outputs: {note: a.note}}\n";
    run_of(&format!("  - {{name: a, uses: dead}}\n{taken}")).await;
    assert_eq!(std::fs::read_to_string(place.path("workspace/got")).unwrap(), "sha256:3");
    let with_required = [
        GIVES,
        (
            "needs",
            "true",
            "parameters: {type: object, required: [note], properties: {note: {type: string}}}",
        ),
    ];
    let pipeline = "stages:\n  - {name: a, uses: gives, with: {digest: 'sha256:4'}}\n  - {name: deploy, uses: needs, with_outputs: {note: a.note}}\n";
    let result = run_it(&document(&with_required, pipeline, json!({})), &place.options()).await;
    assert_eq!(
        result.stages[1].reason,
        "NOTE takes the output `note` of the stage `a`, which gave none (success)"
    );
    // One that is not required keeps what it has; a rehearsal need not write anything.
    let result = run_of(&format!("  - {{name: a, uses: ship}}\n{noted}")).await;
    assert!(result.stages[0].rehearsed && result.outcome == Outcome::Success, "{result:#?}");
}

#[tokio::test]
async fn an_output_with_a_secret_is_refused_and_not_shown() {
    let place = Place::new();
    let document = document(
        &[(
            "leaks",
            "echo \"note=it is $TOKEN\" >> \"$PILOTFISH_OUTPUTS\"",
            "credentials: [{id: t, type: secret-text, variable: TOKEN}]\noutputs: {note: {description: n}}",
        )],
        "stages: [{name: leaks, uses: leaks}]\n",
        json!({}),
    );
    std::fs::write(place.path("secret"), "hunter2-and-more\n").unwrap();
    let mut options = place.options();
    options.credentials.insert("t".into(), place.path("secret"));
    let result = run_it(&document, &options).await;
    assert_eq!(result.outcome, Outcome::Failure);
    assert!(result.stages[0].reason.contains("the value of a credential"), "{result:#?}");
    let report = std::fs::read_to_string(place.path("output/report.html")).unwrap();
    assert!(!report.contains("hunter2") && !place.log("leaks").contains("hunter2"));
}
