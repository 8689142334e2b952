//! Forges: where repositories live. [`file`] is what an operator declares; [`Forges`] is that with its secrets,
//! which are read from files and never shown.

pub mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

pub use file::{ForgeKind, ForgeSpec, ForgesFile};

use crate::error::{BridgeError, Problem};

/// The most bytes of a secret.
const SECRET_BYTES: u64 = 4096;
/// The fewest: a shorter one is guessed from one signed webhook.
const SECRET_LEAST: usize = 16;

/// A forge.
pub struct Forge {
    /// Its name, in the addresses of webhooks.
    pub name: String,
    /// What is declared about it.
    pub spec: ForgeSpec,
    /// What it signs webhooks with: several while one is being changed.
    pub secrets: Vec<Zeroizing<String>>,
}

impl fmt::Debug for Forge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forge").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The forges that are declared.
#[derive(Debug, Default)]
pub struct Forges {
    all: BTreeMap<String, Arc<Forge>>,
}

/// An address of a repository in the form in which two of them are compared: forges do not tell letters apart
/// by case, and people write `.git` or leave it out.
#[must_use]
pub fn folded(repository: &str) -> String {
    let text = repository.trim_end_matches('/');
    text.strip_suffix(".git").unwrap_or(text).to_lowercase()
}

impl Forges {
    /// Reads a file of forges, and the secrets that it names. Paths in it are beside it.
    ///
    /// # Errors
    /// [`BridgeError::Forges`] with everything that is wrong.
    pub fn load(path: &Path) -> Result<Self, BridgeError> {
        let read = ForgesFile::load(path)?;
        let directory = path.parent().unwrap_or(Path::new("."));
        Self::of(&path.display().to_string(), &read, directory)
    }

    /// Puts forges together from what is declared; `file` is its name in messages.
    ///
    /// # Errors
    /// [`BridgeError::Forges`] with everything that is wrong.
    pub fn of(file: &str, read: &ForgesFile, directory: &Path) -> Result<Self, BridgeError> {
        let mut wrong = Vec::new();
        let mut all = BTreeMap::new();
        for (name, spec) in &read.forges {
            let mut secrets = Vec::new();
            for (index, place) in spec.webhook_secret_files.iter().enumerate() {
                match secret(&directory.join(place)) {
                    Ok(text) if text.len() < SECRET_LEAST => wrong.push(Problem::new(
                        format!("forges.{name}.webhook_secret_files.{index}"),
                        format!("the secret has fewer than {SECRET_LEAST} bytes"),
                    )),
                    Ok(text) => secrets.push(text),
                    Err(message) => wrong.push(Problem::new(
                        format!("forges.{name}.webhook_secret_files.{index}"),
                        message,
                    )),
                }
            }
            let forge = Forge { name: name.to_string(), spec: spec.clone(), secrets };
            all.insert(name.to_string(), Arc::new(forge));
        }
        if wrong.is_empty() {
            Ok(Self { all })
        } else {
            Err(BridgeError::Forges(wrong.into_iter().map(|one| one.in_file(file)).collect()))
        }
    }

    /// A forge by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Forge>> {
        self.all.get(name)
    }

    /// The names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.all.keys().map(String::as_str)
    }

    /// The forge that has a repository, and what it is called there: `acme/web`.
    ///
    /// # Errors
    /// What would be accepted.
    pub fn of_repository(&self, repository: &str) -> Result<(&Arc<Forge>, String), String> {
        let wanted = folded(repository);
        for forge in self.all.values() {
            let base = format!("{}/", folded(&forge.spec.url));
            if let Some(path) = wanted.strip_prefix(&base).filter(|path| is_path(path)) {
                // As it was written: a plain git server tells letters apart.
                let written = repository.trim_end_matches('/');
                let written = written.get(base.len()..).unwrap_or(path).to_owned();
                return Ok((forge, written));
            }
        }
        let known: Vec<&str> = self.all.values().map(|one| one.spec.url.as_str()).collect();
        Err(match known.is_empty() {
            true => "no forge is declared: give --forges".to_owned(),
            false => format!(
                "{repository:?} is at none of the forges that are declared ({}); expected an address such \
                 as {}/group/repository",
                known.join(", "),
                known[0].trim_end_matches('/')
            ),
        })
    }
}

/// Whether it can stand in an address and in a command as it is.
fn is_path(path: &str) -> bool {
    !path.is_empty()
        && path.len() <= 255
        && path.split('/').all(|part| !part.is_empty() && !part.starts_with(['.', '-']))
        && path.chars().all(|one| one.is_alphanumeric() || "/._-~".contains(one))
}

/// The text of a secret's file, without the end of its line.
pub(crate) fn secret(path: &PathBuf) -> Result<Zeroizing<String>, String> {
    let failed = |error: &dyn fmt::Display| format!("{}: {error}", path.display());
    let size = path.metadata().map_err(|error| failed(&error))?.len();
    if size > SECRET_BYTES {
        return Err(failed(&format!("it has {size} bytes, more than {SECRET_BYTES}")));
    }
    let text = std::fs::read_to_string(path).map_err(|error| failed(&error))?;
    let text = Zeroizing::new(text);
    let cut = Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned());
    if cut.is_empty() { Err(failed(&"it is empty")) } else { Ok(cut) }
}
