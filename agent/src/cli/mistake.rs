//! What can be wrong with options and variables, each with what to do about it. No message holds a
//! secret: values of secret options are never quoted.

use std::fmt;
use std::path::PathBuf;

use super::arguments::Origin;
use super::options::{Opt, OptionSpec};

/// One mistake in the options or the environment.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Mistake {
    /// Something about `exec-server`.
    #[error("exec-server: {problem}")]
    ExecServer {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// Something about `standby`.
    #[error("standby: {problem}")]
    Standby {
        /// What is wrong, and what to do.
        problem: String,
    },
    /// An option that does not exist.
    #[error("\"{word}\"{origin} is not a valid option{}", suggestion(.word, *.probably))]
    UnknownOption {
        /// What was given.
        word: String,
        /// Where.
        origin: Origin,
        /// What was probably meant.
        probably: Option<&'static OptionSpec>,
    },
    /// An option that takes a value is the last word, or another option follows.
    #[error("{option}{origin} needs a value: {option} {value}")]
    MissingValue {
        /// The option.
        option: &'static str,
        /// What the value is.
        value: &'static str,
        /// Where.
        origin: Origin,
    },
    /// A value that cannot be used. The text says what was expected; it quotes no secret.
    #[error("{option}{origin}: {problem}")]
    BadValue {
        /// The option.
        option: &'static str,
        /// Where.
        origin: Origin,
        /// What was expected, what came, what to do.
        problem: String,
    },
    /// A variable whose value cannot be used.
    #[error("{name}: {problem}")]
    BadVariable {
        /// The variable.
        name: &'static str,
        /// What was expected, what to do. Quotes no secret.
        problem: String,
    },
    /// An option was given without one that it needs.
    #[error("{option}{origin} needs {needed}: {}", .needed_for)]
    Needs {
        /// The option.
        option: &'static str,
        /// Where.
        origin: Origin,
        /// The missing option.
        needed: &'static str,
        /// What to do.
        needed_for: String,
    },
    /// Two options that exclude each other.
    #[error("{option}{origin} cannot be used with {other}{other_origin}: remove one of the two")]
    Conflict {
        /// The one.
        option: &'static str,
        /// Where.
        origin: Origin,
        /// The other.
        other: &'static str,
        /// Where.
        other_origin: Origin,
    },
    /// Something without which no connection is possible.
    #[error("{what} is missing: {how}")]
    Missing {
        /// What.
        what: &'static str,
        /// How to give it.
        how: &'static str,
    },
    /// Neither an option nor a variable says where to connect.
    #[error(
        "nothing says where to connect: this program is an inbound agent and does not serve standard \
         input and output as an SSH launcher expects. Give -url URL -secret SECRET -name NAME \
         -webSocket, or set JENKINS_URL, JENKINS_SECRET, JENKINS_AGENT_NAME and \
         JENKINS_WEB_SOCKET=true"
    )]
    NotInbound,
    /// Arguments that are no option and not exactly `SECRET NAME`.
    #[error(
        "Two arguments required, but got {count}{origin}: besides options only the pair SECRET NAME is \
         accepted; put quotes around a value with spaces (arguments are not shown, one may be the secret)"
    )]
    Positional {
        /// How many.
        count: usize,
        /// Where the first stands.
        origin: Origin,
    },
    /// The pair `SECRET NAME` and an option of the same meaning.
    #[error("{option}{origin} and the arguments SECRET NAME are both given: remove one of the two")]
    PositionalConflict {
        /// The option.
        option: &'static str,
        /// Where.
        origin: Origin,
    },
    /// A file named by an option or `@FILE` cannot be used.
    #[error("cannot read {}{}: {problem}", .path.display(), for_option(*.option))]
    File {
        /// The file.
        path: PathBuf,
        /// The option that named it.
        option: Option<&'static str>,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The file of `-secret @FILE`, or of another option, has not exactly one line.
    #[error(
        "{option}: {} must hold exactly one line, and it holds {lines} (not shown)",
        .path.display()
    )]
    ValueFile {
        /// The option.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// How many lines that are not empty.
        lines: usize,
    },
    /// An argument or variable is not UTF-8.
    #[error("{what} is not valid UTF-8: give it in UTF-8")]
    NotUtf8 {
        /// Which one.
        what: String,
    },
    /// `REMOTING_OPTS` cannot be split into words.
    #[error("REMOTING_OPTS: {0}")]
    RemotingOptions(#[from] super::words::SplitError),
    /// An option of a later version.
    #[error("{option}{origin} is not in this version: {instead}")]
    NotInThisVersion {
        /// The option.
        option: &'static str,
        /// Where.
        origin: Origin,
        /// What to do instead.
        instead: String,
    },
}

fn suggestion(word: &str, probably: Option<&'static OptionSpec>) -> String {
    match probably {
        None => ": -help lists all options".to_owned(),
        Some(spec) if spec.value.is_some() && word.contains('=') => {
            format!(": write the value as the next argument, {} VALUE", spec.name)
        }
        Some(spec) => format!(": did you mean {}?", spec.name),
    }
}

fn for_option(option: Option<&'static str>) -> String {
    option.map(|option| format!(" (of {option})")).unwrap_or_default()
}

impl Mistake {
    pub(super) fn bad_value(option: Opt, origin: &Origin, problem: impl Into<String>) -> Self {
        Self::BadValue { option: option.name(), origin: origin.clone(), problem: problem.into() }
    }
}

/// Every mistake of a configuration; never empty.
#[derive(Debug)]
pub struct Mistakes(pub(super) Vec<Mistake>);

impl Mistakes {
    /// The mistakes in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Mistake> {
        self.0.iter()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => writeln!(f, "the configuration is wrong: {only}")?,
            several => {
                writeln!(f, "the configuration is wrong in {} places:", several.len())?;
                for mistake in several {
                    writeln!(f, "  - {mistake}")?;
                }
            }
        }
        f.write_str("Run with -help for all options.")
    }
}

impl std::error::Error for Mistakes {}
