//! Looks at the machine before the first build does: each problem is one line that says what it is and
//! what to do.
//!
//! | problem | where it is told | what happens |
//! |---|---|---|
//! | work directory not writable: rights, another user's, read-only | here | exit code 1 |
//! | work directory full, or nearly so: space or inodes | here | goes on: a build may clean up |
//! | files of another user in the work directory | here | goes on |
//! | `/tmp` not writable | here | goes on |
//! | clock far from the controller's | with the controller's first answer | goes on |
//! | no address for a name, controller not reachable | at each attempt | tried again, as the Java agent does |
//! | wrong secret, wrong name, a proxy's page instead of an answer | at each attempt | tried again |
//!
//! A user without an entry in `/etc/passwd` is no problem: nothing here asks for one.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::unix;

/// Less free space than this, in bytes, is as good as none: a check-out or a log needs more.
const LITTLE_SPACE: u64 = 64 << 20;

/// Fewer free inodes than this are as good as none.
const FEW_INODES: u64 = 1000;

/// How many files of the work directory, and of the workspaces in it, are looked at.
const MAX_LOOKED_AT: usize = 200;

/// What is written to see whether writing works, in bytes: more than a file system keeps inside an
/// inode.
const PROBE: [u8; 8192] = [0; 8192];

/// Something that builds will stumble over.
#[derive(Debug, PartialEq, Eq)]
pub enum Problem {
    /// Nothing can be written, whoever asks.
    ReadOnly {
        /// Where.
        path: PathBuf,
        /// What to do there.
        advice: &'static str,
    },
    /// It is not there.
    Missing {
        /// Where.
        path: PathBuf,
        /// What to do there.
        advice: &'static str,
    },
    /// This user may not write.
    NotWritable {
        /// Where.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who this is.
        user: u32,
    },
    /// Writing failed otherwise.
    Broken {
        /// Where.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// No space, or very little.
    Full {
        /// Where.
        path: PathBuf,
        /// What is free, in bytes.
        free: u64,
    },
    /// No inodes, or very few.
    NoInodes {
        /// Where.
        path: PathBuf,
        /// How many are free.
        free: u64,
    },
    /// Files of another user, which this one may not change.
    ForeignFiles {
        /// One of them.
        path: PathBuf,
        /// How many were seen.
        count: usize,
        /// Whose it is.
        owner: u32,
        /// Who this is.
        user: u32,
    },
}

const MOUNT_WORK: &str = "mount a writable volume there, or name another directory with -workDir";
const MOUNT_TMP: &str = "mount a writable volume (an emptyDir or a tmpfs) there, or freestyle builds cannot write their \
     scripts";

impl Problem {
    /// Whether the agent cannot work at all.
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        !matches!(self, Self::Full { .. } | Self::NoInodes { .. } | Self::ForeignFiles { .. })
    }
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ReadOnly { path, advice } => {
                write!(f, "{} is on a read-only file system: {advice}", path.display())
            }
            Self::Missing { path, advice } => {
                write!(f, "{} does not exist: {advice}", path.display())
            }
            Self::NotWritable { path, owner, user } => write!(
                f,
                "{} cannot be written by user {user}, as it belongs to user {owner}: run the agent as user {owner}, or \
                 give it to this one (chown -R {user}; in Kubernetes fsGroup or runAsUser)",
                path.display()
            ),
            Self::Broken { path, detail } => {
                write!(f, "{} cannot be written: {detail}; check the disk below it", path.display())
            }
            Self::Full { path, free } => write!(
                f,
                "the disk of {} has {} MiB left: remove old workspaces, or give it more space",
                path.display(),
                free >> 20
            ),
            Self::NoInodes { path, free } => write!(
                f,
                "the disk of {} has {free} inodes left, so no files can be made whatever its free space: remove \
                 directories with many small files, or use a file system with more inodes",
                path.display()
            ),
            Self::ForeignFiles { path, count, owner, user } => {
                let others =
                    if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
                write!(
                    f,
                    "{}{others} cannot be changed by user {user}, as user {owner} made it: builds will fail to clean \
                     their workspaces; chown -R {user} the work directory, or run the agent and all containers of a \
                     pod as the same user",
                    path.display()
                )
            }
        }
    }
}

/// What is wrong with the work directory, the worst first.
#[must_use]
pub fn work_directory(work: &Path, internal: &Path) -> Vec<Problem> {
    let mut problems: Vec<Problem> =
        [work, internal].into_iter().filter_map(|path| writable(path, MOUNT_WORK)).collect();
    problems.truncate(1);
    if problems.is_empty() {
        problems.extend(foreign_files(work));
    }
    problems.extend(space(work));
    problems
}

/// What is wrong with the directory for temporary files; never fatal.
#[must_use]
pub fn temporary_directory(path: &Path) -> Option<Problem> {
    writable(path, MOUNT_TMP)
}

/// Why a directory cannot be used, from what the system said about it.
#[must_use]
pub fn explain(path: &Path, error: &io::Error) -> Option<Problem> {
    // A directory that does not exist yet is on the file system of the one above it.
    let there = path.ancestors().find(|ancestor| ancestor.exists()).unwrap_or(path);
    let path = there.to_owned();
    if error.kind() == io::ErrorKind::PermissionDenied {
        let owner = fs::metadata(there).map_or(0, |metadata| unix::owner(&metadata));
        return Some(Problem::NotWritable { path, owner, user: unix::effective_user() });
    }
    if unix::is_read_only(error) {
        return Some(Problem::ReadOnly { path, advice: MOUNT_WORK });
    }
    unix::is_full(error)
        .then(|| space(there).into_iter().next().unwrap_or(Problem::Full { path, free: 0 }))
}

/// Writes a file and removes it: rights alone do not say whether that works.
fn writable(directory: &Path, advice: &'static str) -> Option<Problem> {
    let probe = directory.join(format!(".pilotfish-{}", uuid::Uuid::new_v4()));
    let mut options = OpenOptions::new();
    let opened = unix::private(options.write(true).create_new(true)).open(&probe);
    let written = opened.and_then(|mut file| file.write_all(&PROBE));
    let _ = fs::remove_file(&probe);
    let error = written.err()?;
    if error.kind() == io::ErrorKind::NotFound {
        return Some(Problem::Missing { path: directory.to_owned(), advice });
    }
    match explain(directory, &error) {
        Some(Problem::ReadOnly { path, .. }) => Some(Problem::ReadOnly { path, advice }),
        // Told with the space.
        Some(Problem::Full { .. } | Problem::NoInodes { .. }) => None,
        Some(problem) => Some(problem),
        None => Some(Problem::Broken { path: directory.to_owned(), detail: error.to_string() }),
    }
}

fn space(path: &Path) -> Vec<Problem> {
    let Ok(room) = unix::room(path) else { return Vec::new() };
    let free = room.available;
    let mut problems = Vec::new();
    // A volume that is small on purpose is not full for that.
    if room.total > 0 && free < LITTLE_SPACE.min(room.total / 10) {
        problems.push(Problem::Full { path: path.to_owned(), free });
    }
    // Some file systems make inodes as they need them, and say 0.
    if room.files > 0 && room.available_files < FEW_INODES.min(room.files / 10) {
        problems.push(Problem::NoInodes { path: path.to_owned(), free: room.available_files });
    }
    problems
}

/// Files of others among the first of the work directory and of the workspaces.
fn foreign_files(work: &Path) -> Option<Problem> {
    let user = unix::effective_user();
    // The superuser may change everything.
    if user == 0 {
        return None;
    }
    let children =
        |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let foreign: Vec<(PathBuf, u32)> = children(work)
        .chain(children(&work.join("workspace")).flat_map(|path| {
            std::iter::once(path.clone()).chain(children(&path).collect::<Vec<_>>())
        }))
        .take(MAX_LOOKED_AT)
        .filter_map(|path| {
            let owner = unix::owner(&fs::symlink_metadata(&path).ok()?);
            let refused = owner != user && !unix::can_write(&path);
            refused.then_some((path, owner))
        })
        .collect();
    let (path, owner) = foreign.first()?.clone();
    Some(Problem::ForeignFiles { path, count: foreign.len(), owner, user })
}

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn a_sound_directory_has_no_problem_and_keeps_nothing() {
        let root = tempfile::tempdir().unwrap();
        let problems = work_directory(root.path(), root.path());
        assert!(problems.iter().all(|problem| !problem.is_fatal()), "{problems:?}");
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        assert_eq!(temporary_directory(root.path()), None);
    }

    #[test]
    fn errors_of_the_system_are_explained() {
        let root = tempfile::tempdir().unwrap();
        let missing = root.path().join("a/b");
        let explained = |errno: Errno| explain(&missing, &errno.into()).map(|one| one.to_string());
        assert!(
            explained(Errno::ROFS)
                .unwrap()
                .contains("is on a read-only file system: mount a writable volume")
        );
        let user = unix::effective_user();
        assert_eq!(
            explained(Errno::ACCESS).unwrap(),
            format!(
                "{} cannot be written by user {user}, as it belongs to user {user}: run the agent as user {user}, or give \
                 it to this one (chown -R {user}; in Kubernetes fsGroup or runAsUser)",
                root.path().display()
            )
        );
        assert!(explained(Errno::NOSPC).unwrap().contains("left: remove"));
        assert_eq!(explained(Errno::NOTDIR), None);
    }

    #[test]
    fn each_problem_is_one_line_that_says_what_to_do() {
        let path = PathBuf::from("/work");
        for (problem, fatal) in [
            (Problem::ReadOnly { path: path.clone(), advice: MOUNT_TMP }, true),
            (Problem::Missing { path: path.clone(), advice: MOUNT_TMP }, true),
            (Problem::NotWritable { path: path.clone(), owner: 1, user: 2 }, true),
            (Problem::Broken { path: path.clone(), detail: "x".to_owned() }, true),
            (Problem::Full { path: path.clone(), free: 3 << 20 }, false),
            (Problem::NoInodes { path: path.clone(), free: 3 }, false),
            (Problem::ForeignFiles { path, count: 2, owner: 1, user: 2 }, false),
        ] {
            let text = problem.to_string();
            assert!(!text.contains('\n') && text.contains("/work"), "{text}");
            assert!(text.contains(": ") || text.contains("; "), "{text}");
            assert_eq!(problem.is_fatal(), fatal, "{text}");
        }
    }
}
