//! What is refused, with which words, and what is taken.

use super::*;

fn rules(schema: Value) -> ParameterRules {
    ParameterRules::compile(&serde_json::from_value(schema).unwrap()).unwrap()
}

fn refused(schema: Value, values: Value) -> Vec<String> {
    let values: BTreeMap<String, Value> = serde_json::from_value(values).unwrap();
    let problems = rules(schema).check(values).err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

fn sample() -> Value {
    json!({"type": "object", "required": ["repository"], "properties": {
        "repository": {"type": "string", "description": "URL of the repository", "minLength": 1},
        "php": {"enum": ["8.2", "8.3"], "default": "8.3"},
        "workers": {"type": "integer", "minimum": 1, "maximum": 8},
        "host": {"type": "string", "pattern": "^[a-z.]+$"},
        "paths": {"type": "array", "items": {"type": "string"}, "x-format": "lines"},
        "notes": {"type": "string", "x-pass": "file"},
        "flags": {"type": "string", "x-allow-leading-dash": true},
    }})
}

#[test]
fn everything_wrong_comes_at_once_with_path_value_rule_and_what_is_accepted() {
    let values = json!({"php": "9", "workers": 99, "host": "A;b", "reposiotry": "x", "paths": [1]});
    insta::assert_snapshot!(refused(sample(), values).join("\n"), @r#"
    host: "A;b" breaks the rule `pattern`: accepted is text that matches ^[a-z.]+$
    paths.0: 1 breaks the rule `type`: accepted is a value of type string
    php: "9" breaks the rule `enum`: accepted is one of "8.2", "8.3"
    reposiotry: there is no such parameter; did you mean `repository`?
    repository: is required and was not given (URL of the repository)
    workers: 99 breaks the rule `maximum`: accepted is a number of at most 8
    "#);
}

#[test]
fn hostile_values_are_refused_or_stay_data() {
    let one = |value: Value| refused(sample(), json!({"repository": value}));
    assert!(one(json!("a\0b"))[0].contains("NUL"));
    assert!(one(json!("--upload-pack=x"))[0].contains("leading dash"));
    assert!(one(json!("x".repeat(MAX_VARIABLE + 1)))[0].contains("`size`"));
    assert!(one(json!("x".repeat(MAX_VARIABLE))).is_empty());
    // These are text like any other; the run tests show that they do nothing.
    for harmless in ["\"; rm -rf / #", "$(touch /tmp/x)", "`id`", "a\nb", "${IFS}", "%n"] {
        assert!(one(json!(harmless)).is_empty(), "{harmless}");
    }
    let file = json!({"repository": "r", "notes": "x".repeat(MAX_VARIABLE * 3)});
    assert!(refused(sample(), file).is_empty(), "`x-pass: file` takes it");
    let dash = json!({"repository": "r", "flags": "-v"});
    assert!(refused(sample(), dash).is_empty(), "an explicit allowance");
    let lines = json!({"repository": "r", "paths": ["a\nb"]});
    assert!(refused(sample(), lines)[0].contains("one line"));
}

#[test]
fn defaults_are_added_and_text_is_read() {
    let rules = rules(sample());
    let given = BTreeMap::from([
        ("repository".to_owned(), json!("r")),
        ("workers".to_owned(), json!("4")),
        ("paths".to_owned(), json!("a\nb")),
    ]);
    let values = rules.check(rules.read_text(&given)).unwrap();
    assert_eq!(values["php"], "8.3");
    assert_eq!(values["workers"], 4);
    assert_eq!(values["paths"], json!(["a", "b"]));
}

#[test]
fn wrong_schemas_are_explained() {
    let compile = |schema: Value| -> Vec<String> {
        let schema = serde_json::from_value(schema).unwrap();
        ParameterRules::compile_bound(&schema)
            .err()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect()
    };
    let one = |property: Value| compile(json!({"properties": {"path": property}}));
    assert!(one(json!({"type": "string"}))[0].contains("steers programs"));
    assert!(one(json!({"type": "string", "x-env": "a-b"}))[0].contains("no name"));
    assert!(one(json!({"x-env": "P", "pattern": "("}))[0].contains("not a JSON Schema"));
    let default = one(json!({"x-env": "P", "enum": ["a"], "default": "b"}));
    assert!(default[0].starts_with("parameters.properties.path.default:"), "{default:?}");
    let twice = compile(json!({"properties": {"a-b": {}, "a_b": {}}}));
    assert!(twice[0].contains("bound to variable"), "{twice:?}");
    let missing = compile(json!({"required": ["x"], "properties": {}}));
    assert!(missing[0].contains("no parameter `x`"), "{missing:?}");
}
