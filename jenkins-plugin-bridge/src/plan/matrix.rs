//! The combinations of a matrix.

use std::collections::BTreeMap;

use serde_json::Value;

use super::template::{Scope, value_text};
use crate::catalog::model::Matrix;
use crate::text::shown;

/// The most combinations of one matrix: more starve every other build.
pub const MAX_COMBINATIONS: usize = 256;

/// One value for every axis.
pub type Combination = BTreeMap<String, Value>;

/// All combinations that are not excluded, axes in alphabetical order, values as they stand.
///
/// # Errors
/// An axis without values, with a value that is no scalar, with the same value twice; too many
/// combinations; an exclusion of an axis or a value that is not there.
pub fn combinations(matrix: &Matrix, scope: &Scope<'_>) -> Result<Vec<Combination>, String> {
    let mut axes: Vec<(String, Vec<Value>)> = Vec::new();
    for (axis, values) in &matrix.axes {
        let Value::Array(values) = scope.value(values)? else {
            return Err(format!("axis `{axis}` must be a list of values"));
        };
        if values.is_empty() {
            return Err(format!("axis `{axis}` has no values"));
        }
        for (index, value) in values.iter().enumerate() {
            if value.is_array() || value.is_object() || value.is_null() {
                return Err(format!("axis `{axis}` has {}: only plain values", shown(value)));
            }
            if values[..index].iter().any(|one| value_text(one) == value_text(value)) {
                return Err(format!("axis `{axis}` has {} twice", shown(value)));
            }
        }
        axes.push((axis.to_string(), values));
    }
    let count = axes.iter().try_fold(1usize, |count, (_, values)| count.checked_mul(values.len()));
    if count.is_none_or(|count| count > MAX_COMBINATIONS) {
        return Err(format!("over {MAX_COMBINATIONS} combinations: use fewer axes or values"));
    }
    for exclusion in &matrix.exclude {
        for axis in exclusion.keys() {
            if !matrix.axes.contains_key(axis) {
                return Err(format!("an exclusion names axis `{axis}`, which is not there"));
            }
        }
    }
    let mut all = vec![Combination::new()];
    for (axis, values) in axes {
        all = all
            .into_iter()
            .flat_map(|one| {
                let axis = axis.clone();
                values
                    .iter()
                    .map(move |value| {
                        let mut next = one.clone();
                        next.insert(axis.clone(), value.clone());
                        next
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
    }
    all.retain(|one| {
        !matrix.exclude.iter().any(|exclusion| {
            !exclusion.is_empty()
                && exclusion.iter().all(|(axis, value)| {
                    one.get(axis.as_str()).is_some_and(|own| value_text(own) == value_text(value))
                })
        })
    });
    Ok(all)
}

/// `[os=linux,php=8.3]`, for ids and titles.
#[must_use]
pub fn label(combination: &Combination) -> String {
    if combination.is_empty() {
        return String::new();
    }
    let all: Vec<String> =
        combination.iter().map(|(axis, value)| format!("{axis}={}", value_text(value))).collect();
    format!("[{}]", all.join(","))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels(matrix: Value) -> Result<Vec<String>, String> {
        let matrix: Matrix = serde_json::from_value(matrix).unwrap();
        let params = BTreeMap::from([("versions".to_owned(), json!(["1", "2"]))]);
        let scope = Scope { params: &params, matrix: &BTreeMap::new() };
        Ok(combinations(&matrix, &scope)?.iter().map(label).collect())
    }

    #[test]
    fn combinations_are_ordered_and_exclusions_left_out() {
        let all = labels(json!({
            "axes": {"php": ["8.2", 8.3], "os": ["linux", "alpine"]},
            "exclude": [{"php": 8.2, "os": "alpine"}],
        }));
        let expected = ["[os=linux,php=8.2]", "[os=linux,php=8.3]", "[os=alpine,php=8.3]"];
        assert_eq!(all.unwrap(), expected);
        let from_parameter = labels(json!({"axes": {"v": "${{ params.versions }}"}}));
        assert_eq!(from_parameter.unwrap(), ["[v=1]", "[v=2]"]);
    }

    #[test]
    fn mistakes_are_explained() {
        let error = |matrix: Value| labels(matrix).unwrap_err();
        assert!(error(json!({"axes": {"a": []}})).contains("no values"));
        assert!(error(json!({"axes": {"a": [[1]]}})).contains("plain values"));
        assert!(error(json!({"axes": {"a": ["1", 1]}})).contains("twice"));
        assert!(error(json!({"axes": {"a": [1]}, "exclude": [{"b": 1}]})).contains("axis `b`"));
        let many: Vec<u32> = (0..100).collect();
        assert!(error(json!({"axes": {"a": many, "b": many}})).contains("combinations"));
    }
}
