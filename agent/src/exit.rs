//! The exit codes of the binary: a documented, stable set.
//!
//! They differ on purpose from the Java agent's in one place: `java -jar agent.jar` exits with 0 when
//! an option is wrong or missing, so a supervisor takes a misspelt option for a finished agent. Here a
//! configuration error is 2.

use std::process::ExitCode;

/// Why the process ends, as its exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Exit {
    /// 0: normal end. `-help`, `-version`, a closed channel with `-noReconnect`, an expired
    /// `-noReconnectAfter`, a stop by SIGINT, or by SIGTERM with no build left that runs.
    Success = 0,
    /// 1: the agent could not go on: the controller refuses this version for good, the work
    /// directory is not usable, or an internal failure.
    Failure = 1,
    /// 2: the options or the environment are wrong. Nothing was connected. (The Java agent: 0.)
    Configuration = 2,
    /// 3: stopped by SIGTERM; builds still ran when `--drain-timeout` was over.
    Interrupted = 3,
    /// 4: stopped at once by a second signal; builds still ran.
    Forced = 4,
    /// 126: the command given as the only argument exists and cannot be executed.
    CommandNotExecutable = 126,
    /// 127: the command given as the only argument was not found.
    CommandNotFound = 127,
}

impl Exit {
    /// The number that the process ends with.
    #[must_use]
    pub const fn code(self) -> u8 {
        self as u8
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn codes_are_the_documented_ones() {
        let codes = [
            Exit::Success,
            Exit::Failure,
            Exit::Configuration,
            Exit::Interrupted,
            Exit::Forced,
            Exit::CommandNotExecutable,
            Exit::CommandNotFound,
        ]
        .map(Exit::code);
        assert_eq!(codes, [0, 1, 2, 3, 4, 126, 127]);
    }
}
