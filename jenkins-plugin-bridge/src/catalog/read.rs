//! Reading YAML: one file to a checked, typed value.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::model::Api;
use super::schema::formats;
use crate::error::Problem;
use crate::text::nearest_hint;

/// Reads YAML as a JSON value. Duplicate keys are errors, and `yes`, `no`, `on`, `off` are text.
///
/// # Errors
/// What is wrong with the YAML, with line and column.
pub fn yaml(text: &str) -> Result<Value, Problem> {
    let options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
    };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| Problem::new("", format!("not valid YAML: {error}")))
}

/// The `kind` of a file.
///
/// # Errors
/// When there is none or it is not known.
pub fn kind_of(value: &Value) -> Result<&'static str, Problem> {
    // From the job record on they are no files of a catalog.
    let names = || formats().iter().map(|format| format.kind).take_while(|kind| *kind != "job");
    if !value.is_object() {
        return Err(Problem::new("", "expected a mapping that starts with `api: pilotfish/v1`"));
    }
    let Some(kind) = value.get("kind") else {
        let all: Vec<&str> = names().collect();
        return Err(Problem::new("kind", format!("is missing: one of {}", all.join(", "))));
    };
    let kind = kind.as_str().unwrap_or_default();
    names().find(|one| *one == kind).ok_or_else(|| {
        Problem::new("kind", format!("unknown kind `{kind}`{}", nearest_hint(kind, names())))
    })
}

/// Checks a value against the schema of a kind and makes the type of it.
///
/// # Errors
/// All problems at once.
pub fn typed<T: DeserializeOwned>(kind: &str, value: Value) -> Result<T, Vec<Problem>> {
    if let Some(format) = formats().iter().find(|format| format.kind == kind) {
        let problems = format.problems(&value);
        if !problems.is_empty() {
            return Err(problems);
        }
    }
    serde_json::from_value(value).map_err(|error| vec![Problem::new("", error.to_string())])
}

/// What the schema of a file of several says of one of them that came by itself; paths begin in it.
pub(crate) fn problems_of_one(kind: &str, list: &str, one: &impl Serialize) -> Vec<Problem> {
    let file = serde_json::json!({"api": Api::V1, "kind": kind, list: [one]});
    let within = format!("{list}.0.");
    let found = formats().iter().find(|format| format.kind == kind).map(|one| one.problems(&file));
    let own = |one: Problem| {
        let path = one.path.strip_prefix(&within).unwrap_or_default().to_owned();
        Problem { path, ..one }
    };
    found.into_iter().flatten().map(own).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::model::StageTemplate;

    fn problems(text: &str) -> Vec<String> {
        let value = yaml(text).unwrap();
        typed::<StageTemplate>("stage", value)
            .err()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    const HEAD: &str = "api: pilotfish/v1\nkind: stage\nname: a\nversion: 1.0.0\ndescription: d\n";

    #[test]
    fn unknown_keys_are_refused_with_path_and_nearest_name() {
        let text = format!(
            "{HEAD}contaners: []\nsteps:\n- {{script: ls, shel: bash}}\nretry: {{attempts: 3, dely: 1s}}\n"
        );
        assert_eq!(
            problems(&text),
            [
                "unknown key `contaners`; did you mean `containers`?",
                "retry: unknown key `dely`; did you mean `delay`?",
                "steps.0: unknown key `shel`; did you mean `shell`?",
            ]
        );
    }

    #[test]
    fn all_problems_come_at_once() {
        let text =
            format!("{HEAD}timeout: soon\nsteps: [{{shell: fish}}]\nretry: {{attempts: 99}}\n");
        let all = problems(&text);
        assert_eq!(all.len(), 3, "{all:#?}");
        assert!(
            all.iter().any(|one| one.starts_with("timeout: \"soon\" is refused: expected a time")),
            "{all:#?}"
        );
        assert!(
            all.iter().any(|one| one.starts_with("steps.0.shell: expected \"sh\" or \"bash\"")),
            "{all:#?}"
        );
    }

    #[test]
    fn parameter_schemas_are_checked_too() {
        let text = format!(
            "{HEAD}steps: []\nparameters: {{type: object, properties: {{v: {{type: string, patern: x}}}}}}\n"
        );
        assert_eq!(
            problems(&text),
            ["parameters.properties.v: unknown key `patern`; did you mean `pattern`?"]
        );
    }

    #[test]
    fn yaml_is_read_without_surprises() {
        assert!(yaml("a: 1\na: 2\n").is_err(), "duplicate keys");
        assert_eq!(yaml("country: no\n").unwrap()["country"], "no");
        assert_eq!(yaml("v: \"1.0\"\n").unwrap()["v"], "1.0");
        assert!(yaml("a: [").is_err());
        let bomb = "a: &a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]\nd: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]\ne: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]\nf: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]\ng: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]\nh: [*g,*g,*g,*g,*g,*g,*g,*g,*g]\n";
        assert!(yaml(bomb).is_err(), "a bomb of aliases is refused");
    }
}
