//! The catalog: stage templates, pipeline templates, layers, bindings and examples, read from
//! YAML and checked as a whole.

pub mod docs;
pub mod lint;
pub mod model;
pub mod read;
pub mod schema;
pub mod shipped;
pub mod source;

use std::collections::BTreeMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{BridgeError, Problem};
use model::{Bindings, CatalogInfo, Example, Layer, Pipeline, Rule, StageReference, StageTemplate};
use source::Files;

/// A value with the file that it came from.
#[derive(Debug, Clone, PartialEq)]
pub struct Filed<T> {
    /// The file, relative to the catalog.
    pub file: String,
    /// The value.
    pub value: T,
}

/// A catalog. What is in it is well formed; whether it makes sense, [`lint`] tells.
#[derive(Debug, Clone, PartialEq)]
pub struct Catalog {
    /// Name, version, description.
    pub info: CatalogInfo,
    /// Stage templates, by name, newest version first.
    pub stages: BTreeMap<String, Vec<Filed<StageTemplate>>>,
    /// Pipeline templates by name.
    pub pipelines: BTreeMap<String, Filed<Pipeline>>,
    /// Layers, upper levels first, then by file.
    pub layers: Vec<Filed<Layer>>,
    /// The rules of all bindings, in the order of files and in them.
    pub rules: Vec<Filed<Rule>>,
    /// Examples by name.
    pub examples: BTreeMap<String, Filed<Example>>,
}

impl Catalog {
    /// Reads a catalog from a directory.
    ///
    /// # Errors
    /// [`BridgeError::Catalog`] with all problems of all files.
    pub fn load(directory: &Path) -> Result<Self, BridgeError> {
        Self::from_files(&Files::of_directory(directory)?)
    }

    /// Reads a catalog as it is in a revision of git.
    ///
    /// # Errors
    /// As [`load`](Self::load), and what git says.
    pub fn load_revision(directory: &Path, revision: &str) -> Result<Self, BridgeError> {
        Self::from_files(&Files::of_revision(directory, revision)?)
    }

    /// Makes a catalog of files.
    ///
    /// # Errors
    /// [`BridgeError::Catalog`] with all problems of all files.
    pub fn from_files(files: &Files) -> Result<Self, BridgeError> {
        let mut builder = Builder::default();
        for (file, text) in &files.0 {
            builder.file(file, text);
        }
        builder.finish()
    }

    /// The stage template that a reference means: the newest version that satisfies it.
    #[must_use]
    pub fn stage(&self, reference: &StageReference) -> Option<&Filed<StageTemplate>> {
        let (name, version) = reference.parts();
        let versions = self.stages.get(name)?;
        match version {
            None => versions.first(),
            Some(wanted) => versions.iter().find(|one| one.value.version.satisfies(wanted)),
        }
    }

    /// The pipeline template of a name.
    ///
    /// # Errors
    /// When there is none, with the nearest names.
    pub fn pipeline(&self, name: &str) -> Result<&Filed<Pipeline>, BridgeError> {
        self.pipelines.get(name).ok_or_else(|| {
            BridgeError::unknown("pipeline", name, self.pipelines.keys().map(String::as_str))
        })
    }
}

#[derive(Default)]
struct Builder {
    problems: Vec<Problem>,
    info: Option<Filed<CatalogInfo>>,
    stages: BTreeMap<String, Vec<Filed<StageTemplate>>>,
    pipelines: BTreeMap<String, Filed<Pipeline>>,
    layers: Vec<Filed<Layer>>,
    rules: Vec<Filed<Rule>>,
    examples: BTreeMap<String, Filed<Example>>,
}

impl Builder {
    fn file(&mut self, file: &str, text: &str) {
        let value = match read::yaml(text) {
            Ok(value) => value,
            Err(problem) => return self.problems.push(problem.in_file(file)),
        };
        let kind = match read::kind_of(&value) {
            Ok(kind) => kind,
            Err(problem) => return self.problems.push(problem.in_file(file)),
        };
        match kind {
            "catalog" => {
                if let Some(info) = self.read::<CatalogInfo>(file, kind, value) {
                    if let Some(first) = &self.info {
                        let message = format!("{} describes the catalog already", first.file);
                        self.problems.push(Problem::new("kind", message).in_file(file));
                    }
                    self.info = Some(info);
                }
            }
            "stage" => {
                if let Some(stage) = self.read::<StageTemplate>(file, kind, value) {
                    let versions = self.stages.entry(stage.value.name.to_string()).or_default();
                    let same = versions.iter().find(|one| one.value.version == stage.value.version);
                    if let Some(same) = same {
                        let message = format!(
                            "{} has stage {} {} already: raise the version",
                            same.file, stage.value.name, stage.value.version
                        );
                        self.problems.push(Problem::new("version", message).in_file(file));
                    }
                    versions.push(stage);
                }
            }
            "pipeline" => {
                if let Some(one) = self.read::<Pipeline>(file, kind, value) {
                    let name = one.value.name.to_string();
                    let old = self.pipelines.insert(name, one);
                    self.twice(file, old.map(|old| old.file));
                }
            }
            "layer" => {
                let layer = self.read::<Layer>(file, kind, value);
                self.layers.extend(layer);
            }
            "bindings" => {
                if let Some(bindings) = self.read::<Bindings>(file, kind, value) {
                    let file = bindings.file;
                    let rules = bindings.value.rules.into_iter();
                    self.rules.extend(rules.map(|value| Filed { file: file.clone(), value }));
                }
            }
            _ => {
                if let Some(one) = self.read::<Example>(file, kind, value) {
                    let old = self.examples.insert(one.value.name.to_string(), one);
                    self.twice(file, old.map(|old| old.file));
                }
            }
        }
    }

    fn read<T: DeserializeOwned>(
        &mut self,
        file: &str,
        kind: &str,
        value: Value,
    ) -> Option<Filed<T>> {
        match read::typed(kind, value) {
            Ok(value) => Some(Filed { file: file.to_owned(), value }),
            Err(problems) => {
                self.problems.extend(problems.into_iter().map(|problem| problem.in_file(file)));
                None
            }
        }
    }

    fn twice(&mut self, file: &str, other: Option<String>) {
        if let Some(other) = other {
            let message = format!("{other} has this name already: choose another");
            self.problems.push(Problem::new("name", message).in_file(file));
        }
    }

    fn finish(mut self) -> Result<Catalog, BridgeError> {
        let Some(info) = self.info else {
            self.problems.push(Problem::new("", "no file of kind `catalog`: add catalog.yaml"));
            return Err(BridgeError::Catalog(self.problems));
        };
        if !self.problems.is_empty() {
            return Err(BridgeError::Catalog(self.problems));
        }
        for versions in self.stages.values_mut() {
            versions.sort_by(|a, b| b.value.version.compare(&a.value.version));
        }
        self.layers.sort_by(|a, b| (a.value.level, &a.file).cmp(&(b.value.level, &b.file)));
        Ok(Catalog {
            info: info.value,
            stages: self.stages,
            pipelines: self.pipelines,
            layers: self.layers,
            rules: self.rules,
            examples: self.examples,
        })
    }
}
