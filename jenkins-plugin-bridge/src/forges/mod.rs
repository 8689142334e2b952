//! Forges: where repositories live. [`file`] is what an operator declares; [`Forges`] is that with its secrets,
//! which are read from files and never shown.

pub mod file;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zeroize::Zeroizing;

pub use file::{BuildEvent, ForgeKind, ForgeSpec, ForgesFile, WebhookSpec};

use crate::error::{BridgeError, Problem};
use crate::triggers::hooks::signing_key;
use crate::triggers::matching::{Globs, globs};

/// The most bytes of a secret.
const SECRET_BYTES: u64 = 4096;
/// The most time for a connection.
const CONNECT: Duration = Duration::from_secs(5);
/// The most time of a request.
const REQUEST: Duration = Duration::from_secs(15);
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
    /// What statuses of commits are set with.
    pub token: Option<Zeroizing<String>>,
    /// For its API.
    pub http: reqwest::Client,
}

impl Forge {
    /// Address of its API, without a slash at the end.
    #[must_use]
    pub fn api(&self) -> String {
        let url = self.spec.url.trim_end_matches('/');
        match (&self.spec.api_url, self.spec.kind) {
            (Some(api), _) => api.trim_end_matches('/').to_owned(),
            (None, ForgeKind::Github) if folded(url) == "https://github.com" => {
                "https://api.github.com".to_owned()
            }
            (None, ForgeKind::Github) => format!("{url}/api/v3"),
            (None, ForgeKind::Gitlab) => format!("{url}/api/v4"),
            (None, ForgeKind::Gitea | ForgeKind::Git) => format!("{url}/api/v1"),
        }
    }
}

/// Somebody who is told what becomes of builds.
pub struct Webhook {
    /// Its name.
    pub name: String,
    /// What is declared about it.
    pub spec: WebhookSpec,
    /// What webhooks are signed with.
    pub secret: Option<Zeroizing<String>>,
    /// For its address.
    pub http: reqwest::Client,
    jobs: Option<Globs>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Webhook {
    /// Whether it is told of an event of a build of a job.
    #[must_use]
    pub fn wants(&self, event: BuildEvent, job: &str) -> bool {
        self.spec.events.contains(&event) && self.jobs.as_ref().is_none_or(|globs| globs.has(job))
    }

    /// Its name among those that are told something.
    #[must_use]
    pub fn target(&self) -> String {
        format!("webhook:{}", self.name)
    }
}

/// A client for requests that are short, and never follow to another place.
fn client(ca_files: &[PathBuf]) -> Result<reqwest::Client, String> {
    crate::rest::client_builder(ca_files)
        .map_err(|error| error.to_string())?
        .connect_timeout(CONNECT)
        .timeout(REQUEST)
        .build()
        .map_err(|error| error.to_string())
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
    webhooks: Vec<Arc<Webhook>>,
    public_url: Option<String>,
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
                    Ok(text) => match signing_key(&text) {
                        Err(message) if spec.kind == ForgeKind::Gitlab => wrong.push(Problem::new(
                            format!("forges.{name}.webhook_secret_files.{index}"),
                            message,
                        )),
                        _ => secrets.push(text),
                    },
                    Err(message) => wrong.push(Problem::new(
                        format!("forges.{name}.webhook_secret_files.{index}"),
                        message,
                    )),
                }
            }
            let mut add = |field: &str, message: String| {
                wrong.push(Problem::new(format!("forges.{name}.{field}"), message));
            };
            let beside = |file: &PathBuf| directory.join(file);
            let token = spec.token_file.as_ref().map(|file| secret(&beside(file))).transpose();
            let token = token.map_err(|message| add("token_file", message)).ok().flatten();
            let ca_files: Vec<PathBuf> = spec.ca_files.iter().map(beside).collect();
            let http = client(&ca_files).map_err(|message| add("ca_files", message)).ok();
            let mut spec = spec.clone();
            for (field, file) in [
                ("git_credentials_file", &mut spec.git_credentials_file),
                ("ssh_key_file", &mut spec.ssh_key_file),
                ("ssh_known_hosts_file", &mut spec.ssh_known_hosts_file),
            ] {
                if let Some(file) = file {
                    *file = std::path::absolute(directory.join(&*file)).unwrap_or_default();
                    if !file.is_file() {
                        add(field, format!("{} is not there", file.display()));
                    }
                }
            }
            if let Some(http) = http {
                let forge = Forge { name: name.to_string(), spec, secrets, token, http };
                all.insert(name.to_string(), Arc::new(forge));
            }
        }
        let mut webhooks = Vec::new();
        for (name, spec) in &read.webhooks {
            let mut add = |field: &str, message: String| {
                wrong.push(Problem::new(format!("webhooks.{name}.{field}"), message));
            };
            let key =
                spec.secret_file.as_ref().map(|file| secret(&directory.join(file))).transpose();
            let key = key.map_err(|message| add("secret_file", message)).ok().flatten();
            let ca_files: Vec<PathBuf> =
                spec.ca_files.iter().map(|file| directory.join(file)).collect();
            let http = client(&ca_files).map_err(|message| add("ca_files", message)).ok();
            let jobs = (!spec.jobs.is_empty()).then(|| globs(&spec.jobs)).transpose();
            let jobs = jobs.map_err(|message| add("jobs", message)).ok().flatten();
            if let Some(http) = http {
                let (name, spec) = (name.to_string(), spec.clone());
                webhooks.push(Arc::new(Webhook { name, spec, secret: key, http, jobs }));
            }
        }
        if wrong.is_empty() {
            Ok(Self { all, webhooks, public_url: read.public_url.clone() })
        } else {
            Err(BridgeError::Forges(wrong.into_iter().map(|one| one.in_file(file)).collect()))
        }
    }

    /// A forge by its name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<Forge>> {
        self.all.get(name)
    }

    /// All forges.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Forge>> {
        self.all.values()
    }

    /// Those who are told what becomes of builds.
    pub fn webhooks(&self) -> impl Iterator<Item = &Arc<Webhook>> {
        self.webhooks.iter()
    }

    /// The page of a build here; nothing where the bridge does not know its own address.
    #[must_use]
    pub fn page_of(&self, build: &str) -> Option<String> {
        let base = self.public_url.as_ref()?.trim_end_matches('/');
        Some(format!("{base}/builds/{build}"))
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
