//! Stage templates chosen by a parameter: `uses: unit-test-${{ params.language }}`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde_json::Value;

use super::template::{Namespace, Scope, has_placeholder, placeholders, value_text};
use crate::catalog::model::{ParameterSchema, StageReference, StageTemplate};
use crate::catalog::{Catalog, Filed};
use crate::text::nearest_hint;

/// The most templates that one `uses` may stand for.
const MAX_CHOICES: usize = 64;

/// Every template that a reference can mean, by the text that it becomes.
///
/// # Errors
/// A parameter that is not there or no enum, or a template that is not there.
pub fn choices<'c>(
    catalog: &'c Catalog,
    schema: &ParameterSchema,
    uses: &StageReference,
) -> Result<BTreeMap<String, &'c Filed<StageTemplate>>, String> {
    let mut all = BTreeMap::new();
    for text in texts(schema, &uses.0)? {
        let reference = StageReference(text.clone());
        let Some(template) = catalog.stage(&reference) else {
            return Err(missing(catalog, &reference));
        };
        all.insert(text, template);
    }
    Ok(all)
}

fn texts(schema: &ParameterSchema, uses: &str) -> Result<Vec<String>, String> {
    let mut sets: Vec<BTreeMap<String, Value>> = vec![BTreeMap::new()];
    for one in placeholders(uses)? {
        if one.namespace != Namespace::Params {
            return Err("only a parameter chooses a template, no matrix".to_owned());
        }
        let Some(property) = schema.property(&one.name) else {
            let hint = nearest_hint(&one.name, schema.properties().map(|(name, _)| name));
            return Err(format!("there is no parameter `{}`{hint}", one.name));
        };
        let Some(values) = property.get("enum").and_then(Value::as_array) else {
            return Err(format!("parameter `{}` chooses a template, so make it an enum", one.name));
        };
        sets = sets
            .iter()
            .flat_map(|set| {
                values.iter().map(|value| {
                    let mut set = set.clone();
                    set.insert(one.name.clone(), value.clone());
                    set
                })
            })
            .collect();
        if sets.len() > MAX_CHOICES {
            return Err(format!("it stands for over {MAX_CHOICES} templates"));
        }
    }
    let none = BTreeMap::new();
    sets.iter().map(|params| Scope { params, matrix: &none }.text(uses)).collect()
}

/// The text that a reference becomes; none where its parameter was not given.
#[must_use]
pub fn chosen<'u>(
    uses: &'u StageReference,
    params: &BTreeMap<String, Value>,
) -> Option<Cow<'u, str>> {
    if !has_placeholder(&uses.0) {
        return Some(Cow::Borrowed(&uses.0));
    }
    for one in placeholders(&uses.0).ok()? {
        if value_text(params.get(&one.name)?).is_empty() {
            return None;
        }
    }
    Scope { params, matrix: &BTreeMap::new() }.text(&uses.0).ok().map(Cow::Owned)
}

fn missing(catalog: &Catalog, reference: &StageReference) -> String {
    let (name, version) = reference.parts();
    match catalog.stages.get(name) {
        Some(versions) => {
            let all: Vec<&str> = versions.iter().map(|one| one.value.version.as_str()).collect();
            format!(
                "stage `{name}` has no version {}; there are {}",
                version.unwrap_or_default(),
                all.join(", ")
            )
        }
        None => {
            let known = catalog.stages.keys().map(String::as_str);
            format!("there is no stage template `{name}`{}", nearest_hint(name, known))
        }
    }
}
