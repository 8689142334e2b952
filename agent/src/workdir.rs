//! The agent's own directories: `<workDir>/<internalDir>/{jarCache,logs}`, checked and created as
//! `org.jenkinsci.remoting.engine.WorkDirManager` does.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::cli::{Configuration, WorkDirectoryOptions};
use crate::preflight::{Problem, explain};
use crate::unix;

/// The directories that the agent uses, all of them existing where not said otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directories {
    /// `-workDir`.
    pub work: Option<PathBuf>,
    /// `<workDir>/<internalDir>`.
    pub internal: Option<PathBuf>,
    /// For the log files; none without `-workDir` or with `-agentLog`.
    pub logs: Option<PathBuf>,
    /// For jar files of the controller. May not exist yet when it lies outside the work directory;
    /// none if neither an option nor `HOME` tells one.
    pub jar_cache: Option<PathBuf>,
    /// Whether `jar_cache` is the legacy place below the home directory.
    pub legacy_jar_cache: bool,
}

/// What a directory is for, as messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `-workDir`.
    Work,
    /// `-internalDir`.
    Internal,
    /// Jar files of the controller.
    JarCache,
    /// Log files.
    Logs,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Work => "working directory",
            Self::Internal => "remoting internal directory",
            Self::JarCache => "JAR Cache directory",
            Self::Logs => "Log directory",
        })
    }
}

/// Why the work directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum WorkDirectoryError {
    /// Something else is at the path.
    #[error(
        "The specified {role} path points to a non-directory file: {}. Remove it or name another directory",
        .path.display()
    )]
    NotDirectory {
        /// What it is for.
        role: Role,
        /// Where.
        path: PathBuf,
    },
    /// The user of the agent lacks rights.
    #[error(
        "The specified {role} should be fully accessible to the remoting executable (RWX): {}. Give user \
         {user} read, write and execute rights on it",
        .path.display()
    )]
    NotAccessible {
        /// What it is for.
        role: Role,
        /// Where.
        path: PathBuf,
        /// Number of the agent's user.
        user: u32,
    },
    /// It has to exist (`-failIfWorkDirIsMissing`).
    #[error(
        "The {role} is missing, but it is expected to exist: {}. Mount or create it, or leave out \
         -failIfWorkDirIsMissing",
        .path.display()
    )]
    Missing {
        /// What it is for.
        role: Role,
        /// Where.
        path: PathBuf,
    },
    /// The machine does not let anything be written there.
    #[error(transparent)]
    Problem(#[from] Problem),
    /// It could not be created or looked at.
    #[error("cannot create the {role} {}: {source}", .path.display())]
    Create {
        /// What it is for.
        role: Role,
        /// Where.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Checks and creates what the configuration asks for.
///
/// # Errors
/// The first directory that cannot be used; the agent must not start then.
pub fn prepare(configuration: &Configuration) -> Result<Directories, WorkDirectoryError> {
    let mut directories = Directories::default();
    if let Some(options) = &configuration.work_directory {
        let with_logs = configuration.logging.agent_log.is_none();
        let with_cache = configuration.jar_cache.is_none();
        prepare_work_directory(options, with_logs, with_cache, &mut directories)?;
    }
    if let Some(path) = &configuration.jar_cache {
        directories.jar_cache = Some(path.clone());
    } else if directories.jar_cache.is_none() {
        let home = configuration.environment.iter().find(|(name, _)| name == "HOME");
        directories.jar_cache = home.map(|(_, home)| Path::new(home).join(".jenkins/cache/jars"));
        directories.legacy_jar_cache = directories.jar_cache.is_some();
    }
    Ok(directories)
}

fn prepare_work_directory(
    options: &WorkDirectoryOptions,
    with_logs: bool,
    with_cache: bool,
    directories: &mut Directories,
) -> Result<(), WorkDirectoryError> {
    // Absolute, because builds and log lines use it after the agent may have changed directory.
    let work = std::path::absolute(&options.path).map_err(|source| WorkDirectoryError::Create {
        role: Role::Work,
        path: options.path.clone(),
        source,
    })?;
    let internal = work.join(&options.internal_name);
    // Both are checked before anything is created.
    verify(Role::Work, &work, options.must_exist)?;
    verify(Role::Internal, &internal, options.must_exist)?;
    let create = |role, path: PathBuf| {
        verify(role, &path, false)?;
        match fs::create_dir_all(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(match explain(&path, &source) {
                Some(problem) => WorkDirectoryError::Problem(problem),
                None => WorkDirectoryError::Create { role, path, source },
            }),
        }
    };
    create(Role::Internal, internal.clone())?;
    if with_cache {
        directories.jar_cache = Some(create(Role::JarCache, internal.join("jarCache"))?);
    }
    if with_logs {
        directories.logs = Some(create(Role::Logs, internal.join("logs"))?);
    }
    directories.work = Some(work);
    directories.internal = Some(internal);
    Ok(())
}

fn verify(role: Role, path: &Path, must_exist: bool) -> Result<(), WorkDirectoryError> {
    let path = path.to_owned();
    match fs::metadata(&path) {
        Ok(metadata) if !metadata.is_dir() => Err(WorkDirectoryError::NotDirectory { role, path }),
        Ok(_) => {
            unix::may_use_directory(&path).map_err(|error| match explain(&path, &error) {
                Some(problem @ Problem::ReadOnly { .. }) => WorkDirectoryError::Problem(problem),
                // Whoever owns it may have taken the rights from himself.
                Some(problem @ Problem::NotWritable { owner, user, .. }) if owner != user => {
                    WorkDirectoryError::Problem(problem)
                }
                _ => {
                    let user = unix::real_user();
                    WorkDirectoryError::NotAccessible { role, path, user }
                }
            })
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if must_exist {
                Err(WorkDirectoryError::Missing { role, path })
            } else {
                Ok(())
            }
        }
        Err(source) => Err(WorkDirectoryError::Create { role, path, source }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(path: &Path, must_exist: bool) -> WorkDirectoryOptions {
        WorkDirectoryOptions {
            path: path.to_owned(),
            internal_name: "remoting".to_owned(),
            must_exist,
        }
    }

    #[test]
    fn creates_everything_on_demand() {
        let root = tempfile::tempdir().unwrap();
        let work = root.path().join("a/b");
        let mut directories = Directories::default();
        prepare_work_directory(&options(&work, false), true, true, &mut directories).unwrap();
        assert!(work.join("remoting/jarCache").is_dir());
        assert!(work.join("remoting/logs").is_dir());
        assert_eq!(directories.internal, Some(work.join("remoting")));
        assert_eq!(directories.logs, Some(work.join("remoting/logs")));
        // What exists now is accepted as it is.
        prepare_work_directory(&options(&work, true), true, true, &mut directories).unwrap();
    }

    #[test]
    fn no_logs_and_no_cache_when_they_are_elsewhere() {
        let root = tempfile::tempdir().unwrap();
        let mut directories = Directories::default();
        prepare_work_directory(&options(root.path(), false), false, false, &mut directories)
            .unwrap();
        assert_eq!(fs::read_dir(root.path().join("remoting")).unwrap().count(), 0);
        assert_eq!((directories.logs, directories.jar_cache), (None, None));
    }

    #[test]
    fn missing_ones_fail_when_asked_to() {
        let root = tempfile::tempdir().unwrap();
        let check = |path: &Path| {
            let mut directories = Directories::default();
            prepare_work_directory(&options(path, true), true, true, &mut directories)
                .unwrap_err()
                .to_string()
        };
        let missing = root.path().join("x");
        assert!(
            check(&missing)
                .starts_with("The working directory is missing, but it is expected to exist")
        );
        assert!(!missing.exists());
        assert!(check(root.path()).starts_with("The remoting internal directory is missing"));
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
    }

    #[test]
    fn files_in_the_way_are_named() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("remoting")).unwrap();
        fs::write(root.path().join("remoting/logs"), "").unwrap();
        let mut directories = Directories::default();
        let error =
            prepare_work_directory(&options(root.path(), false), true, true, &mut directories)
                .unwrap_err()
                .to_string();
        assert!(error.contains("Log directory path points to a non-directory file"), "{error}");
    }
}
