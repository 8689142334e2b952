//! The command line and environment of the agent: those of `agent.jar` and of the container entry point
//! `jenkins-agent`, read without starting anything.
//!
//! Words come from three places, weakest first: the variables of the entry point ([`environment`]), the
//! words of `REMOTING_OPTS`, the arguments. The later wins, and an option given in words makes the
//! variable of the same meaning unused. All mistakes are reported at once ([`Mistakes`]).
//!
//! Deliberate differences from the Java agent, besides the exit code (see [`crate::exit`]):
//! - `-cert @FILE` reads the file, as documented; the Java agent spreads its lines over the arguments.
//! - `-secret @FILE` wants exactly one line and never prints what the file holds.
//! - A known option is never taken as the value of the option before it.
//! - A variable is unused when the option is given, not when its value occurs somewhere in the text.
//! - `REMOTING_OPTS` is split with a shell's quoting, and nothing in it is executed.

mod addresses;
mod arguments;
mod configuration;
mod duration;
pub mod environment;
mod exec_server;
mod help;
mod java_options;
mod mistake;
mod options;
mod resolve;
mod standby;
mod words;

use std::ffi::OsString;

pub use addresses::{Authority, Tunnel};
pub use configuration::{
    Configuration, Header, JavaSettings, JvmMode, LogFormat, LoggingOptions, Reconnect, TcpEntry,
    TcpOptions, Transport, WorkDirectoryOptions,
};
pub use exec_server::ExecServerOptions;
pub use help::{PRODUCT_VERSION, REMOTING_VERSION, usage};
pub use mistake::{Mistake, Mistakes};
pub use options::{OPTIONS, Opt, OptionSpec};
pub use standby::StandbyOptions;

use crate::secret::{Secret, presentable_environment};

/// What the program was asked to do.
#[derive(Debug)]
pub enum Invocation {
    /// Connect and serve builds.
    Run(Box<Configuration>),
    /// `-help`: print [`usage`] on standard output.
    Help,
    /// `-version`: print [`REMOTING_VERSION`] alone on standard output, as scripts parse it.
    RemotingVersion,
    /// `--version`: print [`PRODUCT_VERSION`].
    ProductVersion,
    /// A subcommand of our own.
    Subcommand(Subcommand),
    /// `exec-server`: serve the steps of a tool container.
    ExecServer(ExecServerOptions),
    /// `standby`: wait for a node, then connect and serve builds.
    Standby(Box<StandbyOptions>),
    /// Exactly one argument that is no option: become that command, as the entry point script does.
    Execute(OsString),
}

/// Subcommands. Their names win over commands of the same name: to run such a command as the only
/// argument, give its path (`/usr/bin/callables`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subcommand {
    /// Print the table of callables that are answered natively.
    Callables,
}

impl Subcommand {
    fn of(word: &str) -> Option<Self> {
        (word == "callables").then_some(Self::Callables)
    }
}

/// What [`parse`] found.
#[derive(Debug)]
pub struct Outcome {
    /// What to do, or everything that is wrong.
    pub result: Result<Invocation, Mistakes>,
    /// Lines for the user. Empty for [`Invocation::Run`], whose configuration has them.
    pub warnings: Vec<String>,
    /// Every secret that stood in the arguments or variables, valid configuration or not: to be erased
    /// with [`crate::secret::protect`].
    pub secrets: Vec<Secret>,
}

/// Reads arguments (without the program's name) and variables.
#[must_use]
pub fn parse(arguments: &[OsString], variables: &[(OsString, OsString)]) -> Outcome {
    if let [only] = arguments
        && let Some(word) = only.to_str()
        && !word.is_empty()
        && !word.starts_with(['-', '@'])
        && word != exec_server::NAME
        && word != standby::NAME
    {
        let invocation = Subcommand::of(word)
            .map_or_else(|| Invocation::Execute(only.clone()), Invocation::Subcommand);
        return Outcome { result: Ok(invocation), warnings: Vec::new(), secrets: Vec::new() };
    }
    let read = environment::Variables::new(variables);
    if let Some((first, rest)) = arguments.split_first()
        && first == exec_server::NAME
    {
        let result = exec_server::parse(rest, &read).map(Invocation::ExecServer);
        return Outcome { result, warnings: Vec::new(), secrets: Vec::new() };
    }
    if let Some((first, rest)) = arguments.split_first()
        && first == standby::NAME
    {
        return standby::parse(rest, variables, &read);
    }
    agent(arguments, variables, &read, Vec::new())
}

/// Reads the options of an agent. `mistakes` are those that are known already.
fn agent(
    arguments: &[OsString],
    variables: &[(OsString, OsString)],
    read: &environment::Variables<'_>,
    mut mistakes: Vec<Mistake>,
) -> Outcome {
    let mut warnings = Vec::new();
    let words = environment::words(arguments, read, &mut mistakes);
    let mut given = arguments::read(words, &mut mistakes);
    environment::add_variables(&mut given, read, &mut mistakes, &mut warnings);
    let mut secrets = given.secrets();
    secrets.extend(environment::secrets(read, &given));

    let result = if given.has(Opt::Help) {
        Ok(Invocation::Help)
    } else if given.has(Opt::ProductVersion) {
        Ok(Invocation::ProductVersion)
    } else if given.has(Opt::Version) {
        Ok(Invocation::RemotingVersion)
    } else {
        resolve::configuration(&given, read, mistakes, &mut warnings).map(|mut configuration| {
            configuration.environment = presentable_environment(variables, &secrets);
            configuration.warnings = std::mem::take(&mut warnings);
            Invocation::Run(Box::new(configuration))
        })
    };
    Outcome { result, warnings, secrets }
}

#[cfg(test)]
mod tests;
