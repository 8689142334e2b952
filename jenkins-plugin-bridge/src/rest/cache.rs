//! What was read before: details from `config.xml`, so that the next reading asks for the file of
//! a job only where its JSON has changed or the details are old.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::client::Validators;
use super::error::RestError;
use super::model::Job;

/// Version of the file. Another one is read as an empty cache.
const VERSION: u32 = 1;
/// The most bytes of a cache: some kilobytes for each of fifty thousand jobs.
const CACHE_BYTES: u64 = 256 << 20;

/// What was read before of one controller by one user.
#[derive(Debug, Default)]
pub struct Cache {
    file: Option<PathBuf>,
    jobs: BTreeMap<String, Entry>,
}

/// Details of one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    /// Digest of the job as its JSON had it.
    pub shape: String,
    /// When its `config.xml` was last seen, in seconds since 1970.
    pub seen: u64,
    /// Version of that file, where the server names one.
    #[serde(default, skip_serializing_if = "Validators::is_empty")]
    pub validators: Validators,
    /// The job with its details.
    pub job: Job,
}

#[derive(Serialize, Deserialize)]
struct CacheFile<J> {
    version: u32,
    jobs: J,
}

impl Cache {
    /// A cache that is nowhere kept.
    #[must_use]
    pub fn none() -> Self {
        Self::default()
    }

    /// Opens the cache of a controller and a user in a directory. What cannot be understood is
    /// treated as not there: everything in it can be read again.
    ///
    /// # Errors
    /// [`RestError::Cache`] when the file is there and cannot be read at all.
    pub fn open(directory: &Path, controller: &str, user: &str) -> Result<Self, RestError> {
        let name = hex(&Sha256::digest(format!("{controller}\n{user}")))[..24].to_owned();
        let file = directory.join(format!("inspect-{name}.json"));
        let failed = |error: &io::Error| RestError::Cache {
            path: file.display().to_string(),
            reason: error.to_string(),
        };
        let bytes = match fs::metadata(&file) {
            Ok(metadata) if metadata.len() > CACHE_BYTES => Vec::new(),
            Ok(_) => fs::read(&file).map_err(|error| failed(&error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(failed(&error)),
        };
        let jobs = serde_json::from_slice::<CacheFile<BTreeMap<String, Entry>>>(&bytes)
            .ok()
            .filter(|read| read.version == VERSION)
            .map(|read| read.jobs)
            .unwrap_or_default();
        Ok(Self { file: Some(file), jobs })
    }

    pub(super) fn get(&self, job: &str) -> Option<&Entry> {
        self.jobs.get(job)
    }

    pub(super) fn put(&mut self, entry: Entry) {
        self.jobs.insert(entry.job.name.clone(), entry);
    }

    /// Drops the jobs of which the function says no.
    pub(super) fn keep(&mut self, mut kept: impl FnMut(&str) -> bool) {
        self.jobs.retain(|name, _| kept(name));
    }

    /// Writes it: wholly or not at all, readable by its owner only.
    ///
    /// # Errors
    /// [`RestError::Cache`].
    pub fn save(&self) -> Result<(), RestError> {
        let Some(file) = &self.file else { return Ok(()) };
        self.write(file).map_err(|error| RestError::Cache {
            path: file.display().to_string(),
            reason: error.to_string(),
        })
    }

    fn write(&self, file: &Path) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt as _;
        if let Some(directory) = file.parent() {
            fs::create_dir_all(directory)?;
        }
        let bytes = serde_json::to_vec(&CacheFile { version: VERSION, jobs: &self.jobs })?;
        let draft = file.with_extension(format!("{}.tmp", std::process::id()));
        let mut options = fs::OpenOptions::new();
        let mut open = options.write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        open.write_all(&bytes)?;
        open.sync_all()?;
        fs::rename(&draft, file)
    }
}

/// The digest of a job as its JSON had it.
pub(super) fn shape(job: &Job) -> String {
    let text = serde_json::to_vec(job).unwrap_or_default();
    hex(&Sha256::digest(text))
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
