//! Applying layers to a pipeline: pipeline < organisation < team < job. What the upper one does
//! not open is closed.

use serde_json::Value;

use super::choice::choices;
use crate::catalog::Catalog;
use crate::catalog::model::{Layer, Level, Permission, Pipeline};
use crate::catalog::read::typed;
use crate::error::Problem;
use crate::text::{nearest_hint, shown};

/// A change that a layer made.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// What was changed.
    pub path: String,
    /// `override` or `append`.
    pub how: Permission,
    /// Level of the layer.
    pub level: Level,
    /// Name of the layer.
    pub layer: String,
    /// The value before; null if there was none.
    pub before: Value,
    /// The value given.
    pub value: Value,
    /// Why, as the layer says.
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq)]
struct Open {
    pattern: Vec<String>,
    allow: Vec<Permission>,
    to: Vec<Level>,
}

#[derive(Debug, Clone, PartialEq)]
struct Closed {
    pattern: Vec<String>,
    reason: String,
    by: String,
}

/// A pipeline with the layers that were applied to it so far.
#[derive(Debug, Clone, PartialEq)]
pub struct Layered {
    value: Value,
    about: String,
    owners: Option<String>,
    open: Vec<Open>,
    closed: Vec<Closed>,
    /// What the layers changed, in order.
    pub changes: Vec<Change>,
    /// Changes that were refused, each with the reason.
    pub refused: Vec<Problem>,
}

fn segments(path: &str) -> Vec<String> {
    path.split('.').map(str::to_owned).collect()
}

/// Whether a pattern covers a path: it is equal to it or to a beginning of it, `*` being any name.
fn covers(pattern: &[String], path: &[String]) -> bool {
    pattern.len() <= path.len()
        && pattern.iter().zip(path).all(|(one, name)| one == "*" || one == name)
}

/// Whether a pattern is about something inside a path: a change of the whole would change it too.
fn inside(pattern: &[String], path: &[String]) -> bool {
    pattern.len() > path.len()
        && pattern.iter().zip(path).all(|(one, name)| one == "*" || one == name)
}

impl Layered {
    /// A pipeline without layers. Extension points are open for appending to every layer.
    #[must_use]
    pub fn new(pipeline: &Pipeline, catalog: &Catalog) -> Self {
        let mut open: Vec<Open> = pipeline
            .open
            .iter()
            .map(|one| Open {
                pattern: segments(&one.path),
                allow: one.allow.clone(),
                to: one.to.clone(),
            })
            .collect();
        let mut append = |path: String| {
            let allow = vec![Permission::Append];
            open.push(Open { pattern: segments(&path), allow, to: Vec::new() });
        };
        for entry in pipeline.entries() {
            if let Some(extension) = &entry.extension {
                append(format!("extensions.{extension}"));
            }
            let uses = entry.uses.as_ref();
            let templates = uses
                .and_then(|uses| choices(catalog, &pipeline.parameters, uses).ok())
                .unwrap_or_default();
            for point in templates.values().flat_map(|one| one.value.extension_points()) {
                append(format!("stages.{}.extensions.{point}", entry.id()));
            }
        }
        Self {
            // A pipeline is JSON with text keys, so this never fails.
            value: serde_json::to_value(pipeline).unwrap_or(Value::Null),
            about: format!("pipeline {} {}", pipeline.name, pipeline.version),
            owners: pipeline.owners.clone(),
            open,
            closed: Vec::new(),
            changes: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Applies a layer. What it may not do is not done, and noted in [`refused`](Self::refused).
    #[must_use]
    pub fn apply(mut self, layer: &Layer) -> Self {
        for (index, one) in layer.overrides.iter().enumerate() {
            let place = format!("overrides.{index}");
            self.change(layer, &place, &one.path, Permission::Override, &one.value, &one.reason);
        }
        for (index, one) in layer.appends.iter().enumerate() {
            let place = format!("appends.{index}");
            let values = Value::Array(one.values.clone());
            self.change(layer, &place, &one.path, Permission::Append, &values, &one.reason);
        }
        let by = format!("{} layer {}", layer.level, layer.name);
        self.closed.extend(layer.close.iter().map(|one| Closed {
            pattern: segments(&one.path),
            reason: one.reason.clone(),
            by: by.clone(),
        }));
        self
    }

    /// The pipeline with all changes.
    ///
    /// # Errors
    /// Everything refused, or what the changes made of the pipeline that is no pipeline any more.
    pub fn finish(self) -> Result<(Pipeline, Vec<Change>), Vec<Problem>> {
        if !self.refused.is_empty() {
            return Err(self.refused);
        }
        match typed::<Pipeline>("pipeline", self.value) {
            Ok(pipeline) => Ok((pipeline, self.changes)),
            Err(problems) => {
                let mut by: Vec<String> = self
                    .changes
                    .iter()
                    .map(|one| format!("{} layer {}", one.level, one.layer))
                    .collect();
                by.dedup();
                let by = by.join(", ");
                Err(problems
                    .into_iter()
                    .map(|one| Problem::new(one.path, format!("{} (after {by})", one.message)))
                    .collect())
            }
        }
    }

    fn change(
        &mut self,
        layer: &Layer,
        place: &str,
        path: &str,
        how: Permission,
        value: &Value,
        reason: &Option<String>,
    ) {
        let done = self.permitted(layer.level, path, how).and_then(|()| self.set(path, how, value));
        match done {
            Ok(before) => self.changes.push(Change {
                path: path.to_owned(),
                how,
                level: layer.level,
                layer: layer.name.to_string(),
                before,
                value: value.clone(),
                reason: reason.clone(),
            }),
            Err(message) => {
                let at = format!("{} layer {}, {place}", layer.level, layer.name);
                self.refused.push(Problem::new(at, message));
            }
        }
    }

    fn permitted(&self, level: Level, path: &str, how: Permission) -> Result<(), String> {
        let wanted = segments(path);
        let shut = self
            .closed
            .iter()
            .find(|one| covers(&one.pattern, &wanted) || inside(&one.pattern, &wanted));
        if let Some(closed) = shut {
            return Err(format!(
                "cannot {how} `{path}`: the {} closed it: {}",
                closed.by, closed.reason
            ));
        }
        let matching: Vec<&Open> =
            self.open.iter().filter(|one| covers(&one.pattern, &wanted)).collect();
        if matching
            .iter()
            .any(|one| one.allow.contains(&how) && (one.to.is_empty() || one.to.contains(&level)))
        {
            return Ok(());
        }
        let ask = self.owners.as_ref().map_or_else(String::new, |who| format!("; ask {who}"));
        if matching.iter().any(|one| one.allow.contains(&how)) {
            return Err(format!("cannot {how} `{path}`: it is not open to the level {level}{ask}"));
        }
        if let Some(other) = matching.first().and_then(|one| one.allow.first()) {
            return Err(format!(
                "cannot {how} `{path}`: {} opens it for {other} only{ask}",
                self.about
            ));
        }
        let opened: Vec<String> = self.open.iter().map(|one| one.pattern.join(".")).collect();
        let hint = nearest_hint(path, opened.iter().map(String::as_str));
        let hint = hint.replace("known are", "open are");
        Err(format!("cannot {how} `{path}`: {} does not open it{hint}{ask}", self.about))
    }

    fn set(&mut self, path: &str, how: Permission, value: &Value) -> Result<Value, String> {
        let segments = segments(path);
        let not_there = || format!("cannot {how} `{path}`: there is no such place");
        let (mut target, rest) = match segments.as_slice() {
            [root, name, rest @ ..] if root == "stages" => {
                (find_entry(&mut self.value, name, false).ok_or_else(not_there)?, rest.to_vec())
            }
            [root, name] if root == "extensions" => {
                let entry = find_entry(&mut self.value, name, true).ok_or_else(not_there)?;
                (entry, vec!["stages".to_owned()])
            }
            [root, name, rest @ ..] if root == "parameters" => {
                let properties =
                    self.value.pointer_mut("/parameters/properties").ok_or_else(not_there)?;
                let one = properties.get_mut(name).ok_or_else(not_there)?;
                (one, rest.to_vec())
            }
            [root] if root == "timeout" => (&mut self.value, segments.clone()),
            _ => {
                return Err(format!(
                    "cannot {how} `{path}`: a path starts with `stages.NAME`, `extensions.NAME`, `parameters.NAME` or is `timeout`"
                ));
            }
        };
        let Some((last, parents)) = rest.split_last() else {
            return Err(format!("cannot {how} `{path}`: name what to change in it"));
        };
        for name in parents {
            let map = target.as_object_mut().ok_or_else(not_there)?;
            target = map.entry(name.clone()).or_insert_with(|| Value::Object(Default::default()));
        }
        let map = target.as_object_mut().ok_or_else(not_there)?;
        let before = map.get(last).cloned().unwrap_or(Value::Null);
        match how {
            Permission::Override => {
                map.insert(last.clone(), value.clone());
            }
            Permission::Append => {
                let list = map.entry(last.clone()).or_insert_with(|| Value::Array(Vec::new()));
                if list.is_null() {
                    *list = Value::Array(Vec::new());
                }
                let Value::Array(list) = list else {
                    let got = shown(list);
                    return Err(format!("cannot append to `{path}`: it is no list but {got}"));
                };
                list.extend(value.as_array().into_iter().flatten().cloned());
            }
        }
        Ok(before)
    }
}

/// Finds a stage by name, or an extension point, at any depth.
fn find_entry<'v>(value: &'v mut Value, name: &str, extension: bool) -> Option<&'v mut Value> {
    let map = value.as_object_mut()?;
    let key = if extension { "extension" } else { "name" };
    // A pipeline itself has a name too, but no entry has the key `api`.
    if !map.contains_key("api") && map.get(key).and_then(Value::as_str) == Some(name) {
        return Some(value);
    }
    for (key, child) in value.as_object_mut()? {
        let found = match (key.as_str(), child) {
            ("stages" | "parallel", Value::Array(items)) => {
                items.iter_mut().find_map(|one| find_entry(one, name, extension))
            }
            ("post", Value::Object(lists)) => lists.values_mut().find_map(|list| {
                list.as_array_mut()?.iter_mut().find_map(|one| find_entry(one, name, extension))
            }),
            _ => None,
        };
        if found.is_some() {
            return found;
        }
    }
    None
}
