//! Cuts JSON as a controller does by `tree`, for whoever plays a controller from recorded answers.

use serde_json::{Map, Value};

/// The most nested brackets of a `tree`: the deepest that is asked for has four.
const DEPTH: usize = 16;

/// Cuts JSON: named fields only, `_class` always, `{m,n}` for a part of a list
/// (`org.kohsuke.stapler.export.TreePruner`). Nothing where the `tree` cannot be read.
#[must_use]
pub fn prune(value: &Value, tree: &str) -> Option<Value> {
    let mut rest = tree;
    let fields = fields(&mut rest, 0)?;
    rest.is_empty().then(|| cut(value, &fields))
}

struct Field {
    name: String,
    inner: Vec<Field>,
    range: Option<(usize, usize)>,
}

fn fields(rest: &mut &str, depth: usize) -> Option<Vec<Field>> {
    if depth > DEPTH {
        return None;
    }
    let mut all = Vec::new();
    loop {
        let end = rest.find(['[', ']', ',', '{']).unwrap_or(rest.len());
        let mut field = Field { name: rest[..end].to_owned(), inner: Vec::new(), range: None };
        *rest = &rest[end..];
        if let Some(after) = rest.strip_prefix('[') {
            *rest = after;
            field.inner = fields(rest, depth + 1)?;
            *rest = rest.strip_prefix(']')?;
        }
        if let Some(after) = rest.strip_prefix('{') {
            let (range, after) = after.split_once('}')?;
            let (from, to) = range.split_once(',')?;
            field.range = Some((from.parse().ok()?, to.parse().ok()?));
            *rest = after;
        }
        all.push(field);
        match rest.strip_prefix(',') {
            Some(after) => *rest = after,
            None => return Some(all),
        }
    }
}

fn cut(value: &Value, fields: &[Field]) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| cut(item, fields)).collect(),
        Value::Object(map) => {
            let mut kept = Map::new();
            kept.extend(map.get("_class").map(|class| ("_class".to_owned(), class.clone())));
            for field in fields {
                if field.name == "*" {
                    kept.extend(map.iter().map(|(name, value)| (name.clone(), value.clone())));
                    continue;
                }
                let Some(value) = map.get(&field.name) else { continue };
                let part = match (field.range, value) {
                    (Some((from, to)), Value::Array(items)) => {
                        let to = to.min(items.len());
                        Value::from(items[from.min(to)..to].to_vec())
                    }
                    _ => Value::Null,
                };
                let value = if part.is_null() { value } else { &part };
                let value =
                    if field.inner.is_empty() { value.clone() } else { cut(value, &field.inner) };
                kept.insert(field.name.clone(), value);
            }
            Value::Object(kept)
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::stub::recording;

    #[test]
    fn json_is_cut_as_the_controller_did() {
        let (whole, by_tree) = (recording(17), recording(18));
        let tree = by_tree.query.unwrap();
        let whole = serde_json::from_str(&whole.reply.body).unwrap();
        let cut = prune(&whole, &tree["tree=".len()..]).unwrap();
        let mut recorded: Value = serde_json::from_str(&by_tree.reply.body).unwrap();
        assert_eq!(cut, recorded.take());
    }

    #[test]
    fn what_is_no_tree_is_refused() {
        let value = serde_json::json!({"a": [1]});
        for wrong in ["a[", "a]", "a{1", "a{x,2}", &"a[".repeat(40)] {
            assert_eq!(prune(&value, wrong), None, "{wrong}");
        }
    }
}
