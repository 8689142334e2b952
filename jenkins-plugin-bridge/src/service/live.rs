//! The catalog in use. It is read anew when its files change, all at once; a broken one is not
//! taken, the last good one stays, and what is wrong is told.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::SystemTime;

use schemars::JsonSchema;
use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::made::MadePlans;
use crate::catalog::Catalog;
use crate::catalog::lint::{Severity, lint};
use crate::catalog::source::Files;
use crate::error::{BridgeError, Problem};
use crate::plan::{Prepared, Selection, digest_of, layers_for};

/// The most prepared pipelines of one catalog that are kept. Each is one pipeline with one set of
/// layers; job layers are few.
const PREPARED: usize = 1_000;

/// A catalog with what was prepared of it.
#[derive(Debug)]
pub struct Loaded {
    /// The catalog.
    pub catalog: Catalog,
    /// Digest of its files.
    pub digest: String,
    /// When it was read.
    pub loaded_at: String,
    prepared: Mutex<HashMap<String, Arc<Prepared>>>,
    /// What was made of it: another catalog begins anew.
    pub(super) made: MadePlans,
}

/// What became of the last reading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReloadState {
    /// Whether the files as they are now are in use.
    pub is_current: bool,
    /// When they were last looked at.
    pub checked_at: String,
    /// What is wrong with them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// The catalog in use.
#[derive(Debug)]
pub struct LiveCatalog {
    directory: PathBuf,
    loaded: RwLock<Arc<Loaded>>,
    state: Mutex<ReloadState>,
    /// Digest of the files that were last looked at, good or not.
    seen: Mutex<String>,
}

fn now() -> String {
    OffsetDateTime::from(SystemTime::now()).format(&Rfc3339).unwrap_or_default()
}

fn digest(files: &Files) -> String {
    let mut text = String::new();
    for (name, content) in &files.0 {
        text.push_str(&format!("{name}\n{}\n{content}", content.len()));
    }
    digest_of(&text)
}

impl Loaded {
    fn of(files: &Files) -> Result<Self, BridgeError> {
        let catalog = Catalog::from_files(files)?;
        let problems: Vec<Problem> = lint(&catalog)
            .into_iter()
            .filter(|finding| finding.rule.severity() == Severity::Error)
            .map(|finding| finding.problem)
            .collect();
        if !problems.is_empty() {
            return Err(BridgeError::Catalog(problems));
        }
        Ok(Self {
            catalog,
            digest: digest(files),
            loaded_at: now(),
            prepared: Mutex::new(HashMap::new()),
            made: MadePlans::default(),
        })
    }

    /// A pipeline with its layers, compiled. Kept, unless the Jenkinsfile overrides something.
    ///
    /// # Errors
    /// As [`Prepared::new`].
    pub fn prepared(
        &self,
        pipeline: &str,
        selection: &Selection<'_>,
    ) -> Result<Arc<Prepared>, BridgeError> {
        if selection.overrides.is_some() {
            return Prepared::new(&self.catalog, pipeline, selection).map(Arc::new);
        }
        let layers = layers_for(&self.catalog, pipeline, selection)?;
        let mut key = pipeline.to_owned();
        for layer in layers {
            key.push_str(&format!("\n{} {}", layer.level, layer.name));
        }
        let kept = || self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = kept().get(&key) {
            return Ok(Arc::clone(known));
        }
        let made = Arc::new(Prepared::new(&self.catalog, pipeline, selection)?);
        let mut all = kept();
        if all.len() >= PREPARED {
            all.clear();
        }
        all.insert(key, Arc::clone(&made));
        Ok(made)
    }
}

impl LiveCatalog {
    /// Reads a catalog from a directory.
    ///
    /// # Errors
    /// [`BridgeError`]: without a good catalog to begin with there is no service.
    pub fn open(directory: &Path) -> Result<Self, BridgeError> {
        let files = Files::of_directory(directory)?;
        let loaded = Loaded::of(&files)?;
        Ok(Self {
            directory: directory.to_owned(),
            seen: Mutex::new(loaded.digest.clone()),
            loaded: RwLock::new(Arc::new(loaded)),
            state: Mutex::new(ReloadState {
                is_current: true,
                checked_at: now(),
                problems: Vec::new(),
            }),
        })
    }

    /// The catalog in use. What holds it keeps it while another one comes.
    #[must_use]
    pub fn current(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What became of the last reading.
    #[must_use]
    pub fn state(&self) -> ReloadState {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Looks at the files, and takes them if they have changed and are good. This reads files and
    /// takes some time: call it where that blocks nobody.
    pub fn reload(&self) -> ReloadState {
        let outcome = Files::of_directory(&self.directory).and_then(|files| {
            let digest = digest(&files);
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if *seen == digest {
                return Ok(None);
            }
            seen.clone_from(&digest);
            Loaded::of(&files).map(Some)
        });
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.checked_at = now();
        match outcome {
            // The same files as the last time: what was said of them still holds.
            Ok(None) => {}
            Ok(Some(loaded)) => {
                tracing::info!(digest = loaded.digest, "the catalog has changed and is in use");
                *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(loaded);
                state.is_current = true;
                state.problems.clear();
            }
            Err(error) => {
                state.is_current = false;
                state.problems = match error.problems() {
                    [] => vec![error.to_string()],
                    all => all.iter().map(ToString::to_string).collect(),
                };
                // So that the same files are looked at again: the trouble may have been the disk's.
                if error.problems().is_empty() {
                    self.seen.lock().unwrap_or_else(PoisonError::into_inner).clear();
                }
                tracing::error!(%error, "the catalog is broken; the last good one stays in use");
            }
        }
        state.clone()
    }
}
