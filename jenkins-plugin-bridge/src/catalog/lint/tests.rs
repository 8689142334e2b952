//! The mutation check: a catalog without findings, and for every rule a change that only that
//! rule refuses.

use std::collections::BTreeSet;

use super::*;
use crate::catalog::shipped;
use crate::catalog::source::Files;

const STAGE: &str = r#"
api: pilotfish/v1
kind: stage
name: build
version: 1.0.0
description: Builds.
effects: external
parameters:
  type: object
  required: [target]
  properties:
    target: {type: string, description: What is built}
    mode: {enum: [debug, release], default: debug}
    pages: {type: integer, default: 1}
    label: {type: string, pattern: '^[a-z]+$', default: x}
    source: {type: string, pattern: '^[a-z]*$', default: ''}
containers:
  - name: tool
    image: 'tool:1.0'
    requests: {cpu: 100m, memory: 64Mi}
    limits: {memory: 128Mi}
environment: {COLOUR: '${{ params.label }}'}
steps:
  - name: build
    container: tool
    script: |
      printf 'built=%s\n' "$SOURCE" >> "$PILOTFISH_OUTPUTS"
      make "$TARGET" --${{ params.mode }} "$((PAGES * 2))"
  - extension: after-build
rehearsal:
  - script: 'echo "$TARGET"'
reports: {archive: ['${{ params.label }}/**']}
outputs: {built: {description: What was built, pattern: '^[a-z]*$'}}
credentials: [{id: token, type: secret-text, variable: TOKEN}]
timeout: 10m
"#;

const PIPELINE: &str = r#"
api: pilotfish/v1
kind: pipeline
name: app
version: 1.0.0
description: Builds an app.
parameters:
  type: object
  required: [target]
  properties:
    target: {type: string}
    fast: {type: boolean, default: false}
stages:
  - name: first
    uses: build@1
    when: params.fast
  - name: many
    uses: build
    matrix: {axes: {os: [a, b]}, exclude: [{os: a}]}
    when: matrix.os == 'b' && results.first != 'failure' && outputs.first.built != 'no'
    with: {label: '${{ matrix.os }}'}
    with_outputs: {source: first.built}
  - extension: before-end
open:
  - {path: stages.first.timeout, allow: [override]}
"#;

const LAYER: &str = r#"
api: pilotfish/v1
kind: layer
name: shop
level: team
pipelines: [app]
overrides: [{path: stages.first.timeout, value: 20m}]
close: [{path: stages.first.timeout, reason: long enough}]
"#;

const BINDINGS: &str = r#"
api: pilotfish/v1
kind: bindings
rules:
  - name: shops
    match: {folder: 'shop/**'}
    pipeline: app
    team: shop
    parameters: {target: TARGET}
  - name: rest
    pipeline: app
"#;

const EXAMPLE: &str = r#"
api: pilotfish/v1
kind: example
name: all
pipeline: app
parameters: {target: all}
"#;

fn base() -> Files {
    let info = "api: pilotfish/v1\nkind: catalog\nname: c\nversion: 1.0.0\ndescription: d\n";
    Files(
        [
            ("catalog.yaml", info),
            ("stage.yaml", STAGE),
            ("pipeline.yaml", PIPELINE),
            ("layer.yaml", LAYER),
            ("bindings.yaml", BINDINGS),
            ("example.yaml", EXAMPLE),
        ]
        .into_iter()
        .map(|(path, text)| (path.to_owned(), text.to_owned()))
        .collect(),
    )
}

/// The rules that find something after a change of one file.
fn found(file: &str, from: &str, to: &str) -> BTreeSet<Rule> {
    let mut files = base();
    let text = files.0.get_mut(file).unwrap();
    assert!(text.contains(from), "{file} has no {from:?}");
    *text = text.replacen(from, to, 1);
    let catalog = Catalog::from_files(&files).unwrap_or_else(|error| panic!("{to}: {error}"));
    lint(&catalog).into_iter().map(|one| one.rule).collect()
}

/// One change per rule: file, text, text in its place.
const MUTATIONS: &[(Rule, &str, &str, &str)] = &[
    (Rule::PastedParameter, "stage.yaml", "make \"$TARGET\"", "make ${{ params.target }}"),
    (Rule::PastedParameter, "stage.yaml", "[debug, release]", "[debug, \"a; b\"]"),
    (Rule::PastedParameter, "stage.yaml", "make \"$TARGET\"", "make ${{ matrix.os }}"),
    (Rule::UnquotedExpansion, "stage.yaml", "make \"$TARGET\"", "make $TARGET"),
    (Rule::Eval, "stage.yaml", "make \"$TARGET\"", "eval \"$TARGET\""),
    (Rule::IndirectEvaluation, "stage.yaml", "make \"$TARGET\"", "sh -c \"make $TARGET\""),
    (Rule::ArithmeticParameter, "stage.yaml", "PAGES * 2", "TARGET * 2"),
    (Rule::UnreadableScript, "stage.yaml", "make \"$TARGET\"", "make \"$TARGET"),
    (Rule::EmptyStep, "stage.yaml", "extension: after-build", "name: nothing"),
    (Rule::ForbiddenVariable, "stage.yaml", "COLOUR: '$", "LD_PRELOAD: '$"),
    (Rule::ForbiddenVariable, "stage.yaml", "variable: TOKEN", "variable: PATH"),
    (Rule::ParameterSchema, "stage.yaml", "default: debug", "default: dbg"),
    (Rule::UnknownParameter, "stage.yaml", "${{ params.label }}/**", "${{ params.lable }}/**"),
    (Rule::UnknownParameter, "pipeline.yaml", "when: params.fast", "when: params.fats"),
    (Rule::FreeTextImage, "stage.yaml", "tool:1.0", "tool:${{ params.target }}"),
    (Rule::FloatingImage, "stage.yaml", "tool:1.0", "tool:latest"),
    (Rule::MissingRequests, "stage.yaml", "cpu: 100m, ", ""),
    (Rule::LimitBelowRequest, "stage.yaml", "memory: 128Mi", "memory: 32Mi"),
    (Rule::UnknownContainer, "stage.yaml", "container: tool", "container: tol"),
    (Rule::MissingRehearsal, "stage.yaml", "rehearsal:\n  - script: 'echo \"$TARGET\"'\n", ""),
    (Rule::MissingTimeout, "stage.yaml", "timeout: 10m\n", ""),
    (Rule::BadCondition, "pipeline.yaml", "when: params.fast", "when: params.fast &&"),
    (Rule::UnknownResult, "pipeline.yaml", "results.first", "results.frist"),
    (Rule::UnknownOutput, "pipeline.yaml", "outputs.first.built", "outputs.first.bulit"),
    (Rule::UnknownOutput, "pipeline.yaml", "{source: first.built}", "{source: many.built}"),
    (Rule::UnknownOutput, "pipeline.yaml", "{source: first.built}", "{source: frist.built}"),
    (Rule::OutputParameter, "pipeline.yaml", "{source: first.built}", "{sorce: first.built}"),
    (Rule::OutputParameter, "pipeline.yaml", "{source: first.built}", "{label: first.built}"),
    (Rule::OutputParameter, "pipeline.yaml", "{source: first.built}", "{pages: first.built}"),
    (
        Rule::OutputParameter,
        "stage.yaml",
        "source: {type: string,",
        "source: {type: string, maxLength: 9,",
    ),
    (Rule::OutputParameter, "stage.yaml", "'^[a-z]*$', default: ''", "'^\\w*$', default: ''"),
    (Rule::UnwrittenOutput, "stage.yaml", "\"$PILOTFISH_OUTPUTS\"", "\"$TARGET\""),
    (
        Rule::UnwrittenOutput,
        "stage.yaml",
        "outputs: {built: {description: What was built, pattern: '^[a-z]*$'}}\n",
        "",
    ),
    (Rule::BadPlaceholder, "stage.yaml", "${{ params.label }}/**", "${{ params.label"),
    (Rule::BadMatrix, "pipeline.yaml", "exclude: [{os: a}]", "exclude: [{so: a}]"),
    (
        Rule::BadMatrix,
        "pipeline.yaml",
        "with: {label: '${{ matrix.os }}'}",
        "with: {label: '${{ matrix.so }}'}",
    ),
    (
        Rule::UnknownOpening,
        "pipeline.yaml",
        "path: stages.first.timeout",
        "path: stages.frist.timeout",
    ),
    (Rule::RefusedLayer, "layer.yaml", "stages.first.timeout, value", "stages.first.when, value"),
    (Rule::RefusedLayer, "layer.yaml", "value: 20m", "value: soon"),
    (Rule::BadBinding, "bindings.yaml", "team: shop", "team: shp"),
    (Rule::BadBinding, "bindings.yaml", "{target: TARGET}", "{taregt: TARGET}"),
    (Rule::BadBinding, "bindings.yaml", "'shop/**'", "'shop/[**'"),
    (Rule::ShadowedRule, "bindings.yaml", "match: {folder: 'shop/**'}", "match: {}"),
    (Rule::FailingExample, "example.yaml", "{target: all}", "{}"),
    (
        Rule::MissingParameter,
        "pipeline.yaml",
        "required: [target]\n  properties:\n    target: {type: string}",
        "properties:\n    x: {type: string}",
    ),
    (Rule::BadPipeline, "pipeline.yaml", "name: many", "name: first"),
    (Rule::BadPipeline, "pipeline.yaml", "uses: build@1", "uses: build@2"),
];

/// Findings that a change brings along because something else needs what it breaks.
fn follows(rule: Rule, other: Rule) -> bool {
    // No plan of a catalog that is broken, and no layer on a stage that is not there.
    other == Rule::FailingExample
        || (other == Rule::RefusedLayer
            && matches!(
                rule,
                Rule::UnknownOpening
                    | Rule::BadPipeline
                    | Rule::UnknownResult
                    | Rule::UnknownOutput
                    | Rule::OutputParameter
                    | Rule::UnwrittenOutput
            ))
        || (rule == Rule::UnwrittenOutput && other == Rule::UnknownOutput)
        || (rule == Rule::MissingParameter && other == Rule::BadBinding)
        || (rule == Rule::BadPipeline && other == Rule::UnknownOpening)
        || (rule == Rule::ParameterSchema && other == Rule::BadPipeline)
        // A condition that is not CEL says nothing else.
        || (rule == Rule::PastedParameter && other == Rule::BadMatrix)
}

#[test]
fn the_base_has_no_findings() {
    let catalog = Catalog::from_files(&base()).unwrap();
    assert_eq!(lint(&catalog), []);
}

#[test]
fn every_rule_catches_its_violation_and_no_other_does() {
    for (rule, file, from, to) in MUTATIONS {
        let found = found(file, from, to);
        assert!(found.contains(rule), "{}: {to:?} gave {found:?}", rule.id());
        let more: Vec<_> =
            found.iter().filter(|one| *one != rule && !follows(*rule, **one)).collect();
        assert!(more.is_empty(), "{}: {to:?} also gave {more:?}", rule.id());
    }
}

#[test]
fn every_rule_has_a_mutation() {
    let tried: BTreeSet<Rule> = MUTATIONS.iter().map(|one| one.0).collect();
    let missing: Vec<&str> =
        Rule::ALL.iter().filter(|one| !tried.contains(one)).map(|one| one.id()).collect();
    assert_eq!(missing, [""; 0]);
    let ids: BTreeSet<&str> = Rule::ALL.iter().map(|one| one.id()).collect();
    assert_eq!(ids.len(), Rule::ALL.len(), "ids are distinct");
}

#[test]
fn steps_that_a_layer_adds_keep_the_rules() {
    let layer = "overrides: [{path: stages.first.timeout, value: 20m}]";
    let with = |script: &str| {
        let step = format!("{{script: '{script}'}}");
        format!(
            "{layer}\nappends: [{{path: stages.first.extensions.after-build, values: [{step}]}}]"
        )
    };
    assert_eq!(found("layer.yaml", layer, &with("ls \"$TARGET\"")), BTreeSet::new());
    let bad = found("layer.yaml", layer, &with("ls $TARGET"));
    assert_eq!(bad, BTreeSet::from([Rule::UnquotedExpansion]));
}

#[test]
fn the_shipped_catalog_has_no_findings() {
    let catalog = Catalog::from_files(&shipped::files()).unwrap();
    let findings: Vec<String> = lint(&catalog).iter().map(ToString::to_string).collect();
    assert!(findings.is_empty(), "{findings:#?}");
}

/// Every quoted expansion of every shipped script, one by one without its quotes.
#[test]
fn taking_the_quotes_from_any_shipped_script_is_found() {
    let files = shipped::files();
    let mut tried = 0;
    for (file, text) in files.0.iter().filter(|(file, _)| file.starts_with("stages/")) {
        let mut of_another_program = false;
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let offset = start;
            start += line.len();
            match line.trim() {
                "EOF" => of_another_program = false,
                text if text.ends_with("<<'EOF'") => of_another_program = true,
                _ => {}
            }
            // Neither an assignment nor `case` splits a value.
            let splits = !of_another_program && !line.trim_start().starts_with("case ");
            for (at, _) in line.match_indices(" \"$").filter(|_| splits) {
                // Text for a shell that another program starts.
                if line[..at].matches('\'').count() % 2 == 1 {
                    continue;
                }
                let open = offset + at + 1;
                let Some(length) = text[open + 1..].find('"') else { continue };
                let close = open + 1 + length;
                if text[open..close].contains(['(', '\n']) {
                    continue;
                }
                let mut changed = text.clone();
                changed.remove(close);
                changed.remove(open);
                let alone = Files(
                    [("catalog.yaml", &files.0["catalog.yaml"]), (file.as_str(), &changed)]
                        .map(|(file, text)| (file.to_owned(), text.to_owned()))
                        .into(),
                );
                let Ok(catalog) = Catalog::from_files(&alone) else { continue };
                let rules: BTreeSet<Rule> =
                    lint(&catalog).into_iter().map(|one| one.rule).collect();
                let line = line.trim();
                assert!(rules.contains(&Rule::UnquotedExpansion), "{file}: {line}: {rules:?}");
                tried += 1;
            }
        }
    }
    assert!(tried > 50, "only {tried} places were tried");
}
