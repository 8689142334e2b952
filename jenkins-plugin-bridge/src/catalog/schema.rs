//! The JSON Schemas of the file formats, and checking a file against one.

use std::sync::LazyLock;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{ValidationError, Validator};
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::model::{Bindings, CatalogInfo, Example, JobRecord, Layer, Pipeline, StageTemplate};
use crate::error::Problem;
use crate::text::{nearest_hint, shown};

/// A kind of file, with its schema.
#[derive(Debug)]
pub struct Format {
    /// The value of `kind`, and the name of the schema.
    pub kind: &'static str,
    /// The JSON Schema.
    pub schema: Value,
    validator: Validator,
}

fn schema_of<T: schemars::JsonSchema>(kind: &str) -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<T>();
    let mut value = schema.to_value();
    if let Value::Object(map) = &mut value {
        let id = format!("https://pilotfish-ci.github.io/schemas/v1/{kind}.json");
        map.insert("$id".into(), id.into());
    }
    value
}

fn format<T: schemars::JsonSchema>(kind: &'static str) -> Option<Format> {
    let schema = schema_of::<T>(kind);
    // Every schema is built by the test below, so a format is never missing in a release.
    let validator = jsonschema::options().build(&schema).ok()?;
    Some(Format { kind, schema, validator })
}

static FORMATS: LazyLock<Vec<Format>> = LazyLock::new(|| {
    [
        format::<CatalogInfo>("catalog"),
        format::<StageTemplate>("stage"),
        format::<Pipeline>("pipeline"),
        format::<Layer>("layer"),
        format::<Bindings>("bindings"),
        format::<Example>("example"),
        format::<JobRecord>("job"),
        format::<crate::plan::PlanDocument>("plan"),
        format::<crate::pod::Profile>("pod-profile"),
        format::<crate::masters::MastersFile>("masters"),
        format::<crate::masters::DeclaredMastersFile>("declared-masters"),
        format::<crate::cluster::ClustersFile>("clusters"),
        format::<crate::jobs::JobsFile>("jobs"),
        format::<crate::forges::ForgesFile>("forges"),
        format::<crate::agents::AgentsFile>("agents"),
        format::<crate::archive::s3::ArchiveFile>("archive"),
    ]
    .into_iter()
    .flatten()
    .collect()
});

/// All formats, catalog files first, then the job record, the plan, the pod profile, and the files of
/// masters (those of the service, and those for its API), clusters, jobs, forges, agents and the archive.
#[must_use]
pub fn formats() -> &'static [Format] {
    &FORMATS
}

/// The text of a schema as it is published: sorted keys, two spaces, a newline at the end.
#[must_use]
pub fn published(schema: &Value) -> String {
    // Through a sorted value, so that the text does not depend on the map implementation.
    let sorted: Value =
        serde_json::from_str(&crate::text::canonical_json(schema)).unwrap_or(Value::Null);
    format!("{sorted:#}\n")
}

impl Format {
    /// Everything that is wrong with a value, with paths and the nearest known names.
    #[must_use]
    pub fn problems(&self, value: &Value) -> Vec<Problem> {
        let mut problems = Vec::new();
        for error in self.validator.iter_errors(value) {
            collect(&error, &self.schema, &mut problems);
        }
        problems.sort();
        problems.dedup();
        problems
    }
}

/// The path of a JSON pointer as people write it: `stages.2.timeout`.
pub(crate) fn dotted(pointer: &str) -> String {
    pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
}

fn collect(error: &ValidationError<'_>, schema: &Value, problems: &mut Vec<Problem>) {
    let path = dotted(error.instance_path().as_str());
    let mut add = |message: String| problems.push(Problem::new(path.clone(), message));
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected } => {
            let known = known_names(error, schema);
            for name in unexpected {
                let hint = nearest_hint(name, known.iter().map(String::as_str));
                add(format!("unknown key `{name}`{hint}"));
            }
        }
        ValidationErrorKind::Required { property } => {
            let name = property.as_str().unwrap_or_default();
            add(format!("`{name}` is missing"));
        }
        ValidationErrorKind::AnyOf { context }
        | ValidationErrorKind::OneOfNotValid { context }
        | ValidationErrorKind::OneOfMultipleValid { context } => {
            let constants: Vec<String> = context
                .iter()
                .filter_map(|branch| match branch.as_slice() {
                    [one] => match one.kind() {
                        ValidationErrorKind::Constant { expected_value } => {
                            Some(expected_value.to_string())
                        }
                        _ => None,
                    },
                    _ => None,
                })
                .collect();
            if constants.len() == context.len() && !constants.is_empty() {
                let got = shown(error.instance());
                add(format!("expected {}, got {got}", constants.join(" or ")));
                return;
            }
            // The branch that was meant is the one that got furthest into the value.
            let meant = context.iter().max_by_key(|branch| {
                let depth = |one: &ValidationError<'_>| one.instance_path().as_str().len();
                let wrong_type = branch.iter().any(|one| {
                    matches!(one.kind(), ValidationErrorKind::Type { .. })
                        && one.instance_path() == error.instance_path()
                });
                (!wrong_type, branch.iter().map(depth).max())
            });
            match meant {
                Some(branch) if !branch.is_empty() => {
                    for one in branch {
                        collect(one, schema, problems);
                    }
                }
                _ => add(error.to_string()),
            }
        }
        ValidationErrorKind::Pattern { .. } => {
            add(format!("{} is refused: {}", shown(error.instance()), expected(error, schema)));
        }
        ValidationErrorKind::Type { .. }
        | ValidationErrorKind::Enum { .. }
        | ValidationErrorKind::Constant { .. } => add(error.to_string().replace('"', "`")),
        _ => add(error.to_string()),
    }
}

/// The schema around the keyword that an error is about.
fn around<'s>(error: &ValidationError<'_>, schema: &'s Value) -> Option<&'s Value> {
    let pointer = error.schema_path().as_str();
    let (parent, _) = pointer.rsplit_once('/')?;
    schema.pointer(parent)
}

fn expected(error: &ValidationError<'_>, schema: &Value) -> String {
    around(error, schema)
        .and_then(|schema| schema.get("description"))
        .and_then(Value::as_str)
        .map_or_else(|| error.to_string(), |text| text.replace("Must be", "expected"))
}

fn known_names(error: &ValidationError<'_>, schema: &Value) -> Vec<String> {
    around(error, schema)
        .and_then(|schema| schema.get("properties"))
        .and_then(Value::as_object)
        .map(|map| map.keys().cloned().collect())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_format_has_a_schema_that_compiles() {
        assert_eq!(formats().len(), 16);
    }

    /// Run with `UPDATE_SCHEMAS=1` after a change of the types.
    #[test]
    fn committed_schemas_are_those_of_the_types() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
        for format in formats() {
            let path = directory.join(format!("{}.json", format.kind));
            let text = published(&format.schema);
            if std::env::var_os("UPDATE_SCHEMAS").is_some() {
                std::fs::create_dir_all(&directory).unwrap();
                std::fs::write(&path, &text).unwrap();
            }
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                committed == text,
                "{} is not the schema of the types: run UPDATE_SCHEMAS=1 cargo test -p pilotfish-bridge schemas",
                path.display()
            );
        }
    }
}
