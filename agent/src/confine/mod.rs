//! `--confine`: limits what the controller's file operations may touch.
//!
//! A Java agent does with its user's rights whatever the controller asks. With `--confine` the file
//! operations that are answered natively reach only the work directory and the directories named
//! with `--confine-allow`:
//!
//! - Every path of a request is checked with its links followed; what leads outside is refused with
//!   an `AccessDeniedException` that says so.
//! - Where the kernel has Landlock (version 2, Linux 5.19), the operations run on threads that
//!   restricted themselves with it: whatever a link or a race leads to, the kernel refuses to open,
//!   make, rename or remove anything outside. It knows nothing of modes, times and sizes: for those the
//!   check alone counts.
//! - Where it has not, links are checked where requests are, and where walks follow them, which a
//!   build that changes links at the right moment can get around.
//!
//! **Not limited**: the processes that builds launch, which run as usual, wherever the controller
//! says; so a controller that may run builds can still read what the agent's user can. Against that,
//! run builds in containers or as users of their own. JVMs are off under `--confine`, unless `--jvm`
//! asks for them: what runs in them is the controller's own code.
//!
//! Launches are not affected by Landlock because they are made on other threads: a restriction holds
//! for one thread and for what that thread starts.

mod landlock;
mod threads;

use std::cell::RefCell;
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use crate::files::{FileError, JavaClass};
use crate::unix;

pub use threads::{FileThreads, Gone};

/// The most links followed in one path, as the kernel has it.
const MAX_LINKS: u32 = 40;

/// The directory for temporary files below the agent's own, where `/tmp` is not allowed.
const TEMPORARY: &str = "tmp";

thread_local! {
    /// The limits of this thread.
    static HERE: RefCell<Option<Arc<Limits>>> = const { RefCell::new(None) };
}

/// What was asked for at start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ConfineOptions {
    /// `--confine-allow`: directories beside the work directory.
    pub allowed: Vec<PathBuf>,
}

/// Why the agent cannot be confined; it must not start then.
#[derive(Debug, thiserror::Error)]
pub enum ConfineError {
    /// A directory cannot be used.
    #[error("--confine: {} cannot be used: {source}. Create it, or do not name it", .path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The kernel has Landlock and refused it.
    #[error(
        "--confine: the kernel does not restrict this process: {0}. Start the agent without --confine"
    )]
    Landlock(String),
}

/// The limits, and the threads that have them.
#[derive(Debug, Clone)]
pub struct Confinement {
    limits: Arc<Limits>,
    threads: FileThreads,
    temporary: PathBuf,
}

/// The directories that may be touched.
#[derive(Debug)]
struct Limits {
    /// With all links resolved.
    roots: Vec<PathBuf>,
    /// Whether the kernel enforces them.
    by_kernel: bool,
}

impl Confinement {
    /// Prepares the limits: the work directory, which exists, and the others.
    ///
    /// # Errors
    /// When a directory does not exist, or the kernel refuses what it has.
    pub fn new(
        work: &Path,
        internal: &Path,
        options: &ConfineOptions,
    ) -> Result<Self, ConfineError> {
        Self::with_kernel(work, internal, options, landlock::is_available())
    }

    fn with_kernel(
        work: &Path,
        internal: &Path,
        options: &ConfineOptions,
        by_kernel: bool,
    ) -> Result<Self, ConfineError> {
        let failed = |path: &Path| {
            let path = path.to_owned();
            move |source| ConfineError::Directory { path, source }
        };
        let mut roots = Vec::new();
        for path in std::iter::once(work).chain(options.allowed.iter().map(PathBuf::as_path)) {
            roots.push(fs::canonicalize(path).map_err(failed(path))?);
        }
        let limits = Arc::new(Limits { roots, by_kernel });
        // Freestyle builds put their scripts there.
        let temporary = if limits.check(Path::new("/tmp"), true).is_ok() {
            PathBuf::from("/tmp")
        } else {
            let own = internal.join(TEMPORARY);
            fs::create_dir_all(&own).map_err(failed(&own))?;
            own
        };
        let restricted = Arc::clone(&limits);
        let threads = FileThreads::confined(Arc::new(move || {
            if restricted.by_kernel {
                landlock::restrict(&restricted.roots)?;
            }
            HERE.set(Some(Arc::clone(&restricted)));
            Ok(())
        }));
        threads.try_out().map_err(ConfineError::Landlock)?;
        Ok(Self { limits, threads, temporary })
    }

    /// The threads on which file operations run.
    #[must_use]
    pub fn threads(&self) -> &FileThreads {
        &self.threads
    }

    /// Where temporary files go.
    #[must_use]
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// Whether a path may be touched; links are followed, the last one too. May block.
    #[must_use]
    pub fn allows(&self, path: &Path) -> bool {
        self.limits.check(path, true).is_ok()
    }
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let how = if self.limits.by_kernel {
            "Landlock"
        } else {
            "path checks alone, as this kernel has no Landlock"
        };
        write!(
            f,
            "File operations of the controller are confined to {} by {how}. Processes that builds launch are not \
             limited",
            self.limits.listed()
        )
    }
}

/// Whether this thread may touch a path; any thread that is not confined may. `follow`: whether the
/// operation follows a link at the path itself.
///
/// # Errors
/// `AccessDeniedException` with the reason.
pub(crate) fn check_here(path: &Path, follow: bool) -> Result<(), FileError> {
    HERE.with_borrow(|limits| match limits {
        Some(limits) => limits.check(path, follow),
        None => Ok(()),
    })
}

/// The same for what only walks and links lead to: nothing to do where the kernel checks.
///
/// # Errors
/// As [`check_here`].
pub(crate) fn check_found(path: &Path) -> Result<(), FileError> {
    HERE.with_borrow(|limits| match limits {
        Some(limits) if !limits.by_kernel => limits.check(path, true),
        _ => Ok(()),
    })
}

impl Limits {
    fn check(&self, path: &Path, follow: bool) -> Result<(), FileError> {
        let resolved = resolve(path, follow);
        if resolved
            .as_ref()
            .is_ok_and(|resolved| self.roots.iter().any(|root| resolved.starts_with(root)))
        {
            return Ok(());
        }
        let reason = format!(
            "the agent was started with --confine, which limits the controller's file operations to {}; add \
             --confine-allow DIR to allow another directory",
            self.listed()
        );
        Err(FileError::file_system(JavaClass::AccessDenied, path, None, Some(reason)))
    }

    fn listed(&self) -> String {
        let roots: Vec<String> = self.roots.iter().map(|root| root.display().to_string()).collect();
        roots.join(", ")
    }
}

/// A path with its links followed. What does not exist stands for itself, so that files can be made.
///
/// `..` goes up from where a link leads, as the kernel has it.
fn resolve(path: &Path, follow: bool) -> io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    let mut pending: Vec<OsString> = parts(&absolute);
    let mut resolved = PathBuf::from("/");
    let mut links = 0;
    while let Some(part) = pending.pop() {
        if part == ".." {
            resolved.pop();
            continue;
        }
        let next = resolved.join(&part);
        if pending.is_empty() && !follow {
            return Ok(next);
        }
        match fs::read_link(&next) {
            Ok(target) => {
                links += 1;
                if links > MAX_LINKS {
                    return Err(unix::too_many_links());
                }
                if target.is_absolute() {
                    resolved = PathBuf::from("/");
                }
                pending.extend(parts(&target));
            }
            // Not a link, or nothing there; what cannot be looked at cannot be touched either.
            Err(_) => resolved = next,
        }
    }
    Ok(resolved)
}

/// The parts of a path, the last first.
fn parts(path: &Path) -> Vec<OsString> {
    let mut parts: Vec<OsString> = path
        .components()
        .filter(|part| matches!(part, Component::Normal(_) | Component::ParentDir))
        .map(|part| part.as_os_str().to_owned())
        .collect();
    parts.reverse();
    parts
}

#[cfg(test)]
mod tests;
