//! What to run, and where its streams go.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::{Child, Environment, ProcessError, StreamEnds, unix};

/// Where the standard input of a process comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InputSource {
    /// It is at its end from the start.
    #[default]
    Null,
    /// From [`Child::stdin`].
    Piped,
}

/// Where the standard output of a process goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OutputTarget {
    /// Nowhere.
    Null,
    /// To [`Child::stdout`].
    #[default]
    Piped,
    /// To the standard error of this process, which is its log.
    Log,
}

/// Where the standard error of a process goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ErrorTarget {
    /// Nowhere.
    Null,
    /// To [`Child::stderr`].
    Piped,
    /// To the standard error of this process, which is its log.
    Log,
    /// Where the standard output goes, in the order of writing: what Jenkins does unless told
    /// otherwise.
    #[default]
    Output,
}

/// The directories in which a program named without a slash is looked up.
///
/// Java looks in the `PATH` of the *starting* process, not in that of the new one, so a build that
/// changes `PATH` finds its own tools only through a shell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchPath(OsString);

/// What a Java process on Linux searches when it has no `PATH`: the working directory comes first.
const DEFAULT_SEARCH_PATH: &str = ":/bin:/usr/bin";

impl SearchPath {
    /// The directories of the value of a `PATH`, or the default for a process without one.
    #[must_use]
    pub fn new(path: Option<&OsStr>) -> Self {
        Self(path.unwrap_or(OsStr::new(DEFAULT_SEARCH_PATH)).to_owned())
    }

    /// The `PATH` of an environment: pass that of the agent, not that of the build.
    #[must_use]
    pub fn of(environment: &Environment) -> Self {
        Self::new(environment.get("PATH").map(OsStr::new))
    }

    /// Whether there is a program of this name that can be run. Blocks for some small reads.
    #[must_use]
    pub fn has(&self, program: &str) -> bool {
        use std::os::unix::fs::PermissionsExt as _;
        let runs = |file: PathBuf| {
            fs::metadata(file)
                .is_ok_and(|one| one.is_file() && one.permissions().mode() & 0o111 != 0)
        };
        self.candidates(program).into_iter().any(runs)
    }

    /// Where a program may be, most wanted first. A program with a slash is only there; an empty
    /// directory is the working directory.
    pub(crate) fn candidates(&self, program: &str) -> Vec<PathBuf> {
        if program.contains('/') {
            return vec![program.into()];
        }
        std::env::split_paths(&self.0)
            .map(
                |directory| {
                    if directory.as_os_str().is_empty() { Path::new(".").into() } else { directory }
                },
            )
            .map(|directory| directory.join(program))
            .collect()
    }
}

/// A process to start.
#[derive(Debug, Clone)]
pub struct Command {
    pub(crate) arguments: Vec<String>,
    pub(crate) search_path: SearchPath,
    pub(crate) environment: Environment,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) stdin: InputSource,
    pub(crate) stdout: OutputTarget,
    pub(crate) stderr: ErrorTarget,
}

impl Command {
    /// A command of a program and its arguments, with an empty environment, no input, and both
    /// output streams in one pipe.
    pub fn new<S: Into<String>>(
        arguments: impl IntoIterator<Item = S>,
        search_path: SearchPath,
    ) -> Self {
        Self {
            arguments: arguments.into_iter().map(Into::into).collect(),
            search_path,
            environment: Environment::new(),
            directory: None,
            stdin: InputSource::default(),
            stdout: OutputTarget::default(),
            stderr: ErrorTarget::default(),
        }
    }

    /// The program and its arguments.
    #[must_use]
    pub fn arguments(&self) -> &[String] {
        &self.arguments
    }

    /// The environment: exactly these variables, nothing is inherited.
    #[must_use]
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = environment;
        self
    }

    /// The working directory; without one, that of this process.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Where the standard input comes from.
    #[must_use]
    pub fn stdin(mut self, source: InputSource) -> Self {
        self.stdin = source;
        self
    }

    /// Where the standard output goes.
    #[must_use]
    pub fn stdout(mut self, target: OutputTarget) -> Self {
        self.stdout = target;
        self
    }

    /// Where the standard error goes.
    #[must_use]
    pub fn stderr(mut self, target: ErrorTarget) -> Self {
        self.stderr = target;
        self
    }

    /// Starts the process.
    ///
    /// It leads a process group of its own and gets no descriptor but its three streams: those this
    /// process inherited from its own parent are marked close-on-exec at the first start, for good.
    ///
    /// The program is tried in every directory of the search path as `execvp` does, and a file
    /// that is executable but no program is run by `/bin/sh`, both as Java does.
    ///
    /// Dropping the future does not undo a start under way: that process then runs without a
    /// handle, its streams closed.
    ///
    /// # Errors
    /// [`ProcessError`] with the text of a Java agent when the working directory is missing or the
    /// program cannot be run.
    pub async fn start(self) -> Result<Child, ProcessError> {
        self.check()?;
        // File systems may hang and exec waits for them: not on a thread that serves the channel.
        tokio::task::spawn_blocking(move || unix::start(&self, None))
            .await
            .map_err(|_| ProcessError::ShuttingDown)?
    }

    /// Starts the process with streams that somebody else has the other ends of.
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn start_with(self, ends: StreamEnds) -> Result<Child, ProcessError> {
        self.check()?;
        tokio::task::spawn_blocking(move || unix::start(&self, Some(ends)))
            .await
            .map_err(|_| ProcessError::ShuttingDown)?
    }

    /// What Java refuses before it asks the system.
    fn check(&self) -> Result<(), ProcessError> {
        if self.arguments.is_empty() {
            return Err(ProcessError::EmptyCommand);
        }
        if self.arguments.iter().any(|argument| argument.contains('\0')) {
            return Err(ProcessError::NulInCommand);
        }
        for (name, value) in self.environment.iter() {
            let reason = if name.contains('\0') || value.contains('\0') {
                "it contains a NUL"
            } else if name.contains('=') {
                "the name contains ="
            } else {
                continue;
            };
            let name = name.replace('\0', "\\0");
            return Err(ProcessError::InvalidVariable { name, reason });
        }
        Ok(())
    }
}
