//! What can go wrong around a child process.

use std::io;
use std::path::PathBuf;

/// A failure to describe, start, list or stop processes.
///
/// The texts of [`CannotRun`](Self::CannotRun), [`WorkingDirectoryMissing`](Self::WorkingDirectoryMissing)
/// and [`NulInCommand`](Self::NulInCommand) are those of a Java agent, because they end up in build
/// logs that people and log parsers already know.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// The argument vector has no program.
    #[error("no program to run: the command is empty; pass the program as its first element")]
    EmptyCommand,

    /// A program name or an argument contains a NUL, which no Unix program can be given.
    #[error("invalid null character in command")]
    NulInCommand,

    /// A variable cannot be handed to a process. The value is left out: it may be a secret.
    #[error("Invalid environment variable name or value: \"{name}\" ({reason})")]
    InvalidVariable {
        /// Name of the variable, NULs escaped.
        name: String,
        /// What is wrong with it.
        reason: &'static str,
    },

    /// An override is not of the form `NAME=value`. Its text is left out: it may be a secret.
    #[error("environment override number {index} has no \"=\": expected NAME=value")]
    InvalidOverride {
        /// Position in the list of overrides, from 0.
        index: usize,
    },

    /// Expanding macros would give a text no process could be started with.
    #[error(
        "expanding the variables of {what} gives more than {limit} bytes; \
         check it for variables that repeat each other"
    )]
    ExpansionTooLarge {
        /// What was being expanded.
        what: String,
        /// The limit passed, in bytes.
        limit: usize,
    },

    /// The working directory is not there. The path is absolute.
    #[error("Process working directory '{}' doesn't exist!", .0.display())]
    WorkingDirectoryMissing(PathBuf),

    /// The operating system refused to run the program.
    #[error(
        "Cannot run program \"{program}\"{}: error={errno}, {}",
        in_directory(.directory.as_ref()),
        errno_text(*.errno)
    )]
    CannotRun {
        /// The program as the caller named it.
        program: String,
        /// The working directory as the caller named it, if one was given.
        directory: Option<PathBuf>,
        /// The error number of the operating system.
        errno: i32,
    },

    /// A pipe to the process could not be made: usually too many open files.
    #[error("cannot make a pipe to the process: {0}; raise the limit on open files")]
    Pipe(#[source] io::Error),

    /// The list of processes could not be read.
    #[error("cannot list processes: {0}; on Linux /proc must be mounted and readable")]
    ProcessList(#[source] io::Error),

    /// The reaper of orphans could not be set up.
    #[error("cannot reap orphaned processes: {0}")]
    Reaper(#[source] io::Error),

    /// The runtime is shutting down, so the work was given up.
    #[error("the agent is shutting down: no process was started or stopped")]
    ShuttingDown,
}

fn in_directory(directory: Option<&PathBuf>) -> String {
    directory.map_or_else(String::new, |directory| {
        format!(" (in directory \"{}\")", directory.display())
    })
}

/// The text of an error number without the suffix Rust adds to it.
fn errno_text(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    match text.strip_suffix(&format!(" (os error {errno})")) {
        Some(bare) => bare.to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_those_of_a_java_agent() {
        let error = ProcessError::CannotRun {
            program: "no-such-prog".into(),
            directory: Some("/tmp".into()),
            errno: 2,
        };
        assert_eq!(
            error.to_string(),
            "Cannot run program \"no-such-prog\" (in directory \"/tmp\"): error=2, No such file or directory"
        );
        let error = ProcessError::CannotRun { program: "/etc".into(), directory: None, errno: 13 };
        assert_eq!(error.to_string(), "Cannot run program \"/etc\": error=13, Permission denied");
        assert_eq!(
            ProcessError::WorkingDirectoryMissing("/no/such".into()).to_string(),
            "Process working directory '/no/such' doesn't exist!"
        );
    }
}
