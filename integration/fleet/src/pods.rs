//! Pods of builds, as far as it matters here: a pod is a file in a directory. A stage runs by writing a
//! line into it, which only works while the pod is there. Deleting a pod is moving its file away.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use crate::error::FleetError;

/// A directory of pods.
#[derive(Debug, Clone)]
pub struct Pods(PathBuf);

/// What became of a pod that was to be deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deleted {
    /// It was there and is gone.
    Gone,
    /// There is none of this name, now.
    Never,
}

impl Pods {
    /// The pods of a directory, which is made where it is not there.
    ///
    /// # Errors
    /// [`FleetError::Io`].
    pub fn open(directory: &Path) -> Result<Self, FleetError> {
        let gone = directory.join("gone");
        fs::create_dir_all(&gone).map_err(FleetError::io(format!("make {}", gone.display())))?;
        Ok(Self(directory.to_owned()))
    }

    fn path(&self, key: &str) -> PathBuf {
        let safe: String =
            key.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '-' }).collect();
        self.0.join(safe)
    }

    fn gone(&self, key: &str) -> PathBuf {
        let path = self.path(key);
        self.0.join("gone").join(path.file_name().unwrap_or_default())
    }

    /// Makes a pod. False where one of that name was deleted before: a pod is made once.
    ///
    /// # Errors
    /// [`FleetError::Io`].
    pub fn make(&self, key: &str) -> Result<bool, FleetError> {
        if self.gone(key).exists() {
            return Ok(false);
        }
        let path = self.path(key);
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&path)
            .map_err(FleetError::io(format!("make {}", path.display())))?;
        Ok(true)
    }

    /// Runs something in a pod. False where the pod is not there.
    ///
    /// # Errors
    /// [`FleetError::Io`].
    pub fn run(&self, key: &str, what: &str) -> Result<bool, FleetError> {
        let path = self.path(key);
        match OpenOptions::new().append(true).open(&path) {
            Ok(mut file) => {
                let line = format!("{what}\n");
                let done = file.write_all(line.as_bytes());
                done.map_err(FleetError::io(format!("write {}", path.display()))).map(|()| true)
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(FleetError::io(format!("open {}", path.display()))(error)),
        }
    }

    /// Whether something has run in a pod that is there.
    #[must_use]
    pub fn has_run(&self, key: &str, what: &str) -> bool {
        fs::read_to_string(self.path(key)).is_ok_and(|text| text.lines().any(|line| line == what))
    }

    /// Deletes a pod and sees that it is gone.
    ///
    /// # Errors
    /// [`FleetError::Io`].
    pub fn delete(&self, key: &str) -> Result<Deleted, FleetError> {
        let (path, gone) = (self.path(key), self.gone(key));
        match fs::rename(&path, &gone) {
            Ok(()) => Ok(Deleted::Gone),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(if gone.exists() { Deleted::Gone } else { Deleted::Never })
            }
            Err(error) => Err(FleetError::io(format!("move {}", path.display()))(error)),
        }
    }

    /// Removes a pod at the end of its build.
    pub fn remove(&self, key: &str) {
        // One that is not there was deleted by somebody else.
        let _ = fs::rename(self.path(key), self.gone(key));
    }
}
