//! Starts the agent: reads the command line, erases the secret from the process's memory, runs.

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::{Command, ExitCode};

use pilotfish_agent::cli::{self, Invocation, Outcome, Subcommand};
use pilotfish_agent::exit::Exit;
use pilotfish_agent::{exec_server, run, secret, standby, unix};
use pilotfish_process::Environment;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    let variables: Vec<(OsString, OsString)> = std::env::vars_os().collect();
    let outcome = cli::parse(&arguments, &variables);
    if let Ok(Invocation::Execute(command)) = &outcome.result {
        return execute(command);
    }
    let outcome = match outcome {
        Outcome { result: Ok(Invocation::ExecServer(options)), .. } => {
            let shown = secret::presentable_environment(&variables, &[]);
            let ended = exec_server::run(options, Environment::from_system(shown));
            return ended.map_or_else(ExitCode::from, ExitCode::from);
        }
        other => other,
    };
    let protection = secret::protect(&outcome.secrets).err().map(|error| error.to_string());
    drop((arguments, variables));
    let exit = match outcome.result {
        Ok(Invocation::Run(mut configuration)) => {
            configuration.warnings.extend(protection);
            run::run(*configuration)
        }
        Ok(Invocation::Standby(mut options)) => {
            options.configuration.warnings.extend(protection);
            match standby::wait(*options) {
                Ok(configuration) => run::run(configuration),
                Err(exit) => exit,
            }
        }
        Ok(Invocation::Help) => print(&cli::usage()),
        Ok(Invocation::RemotingVersion) => print(&format!("{}\n", cli::REMOTING_VERSION)),
        Ok(Invocation::ProductVersion) => print(&format!("{}\n", cli::PRODUCT_VERSION)),
        Ok(Invocation::Subcommand(Subcommand::Callables)) => print(&run::callables()),
        Ok(Invocation::Execute(_) | Invocation::ExecServer(_)) => Exit::Failure,
        Err(mistakes) => {
            for warning in outcome.warnings.iter().chain(&protection) {
                complain(&format!("WARNING: {warning}"));
            }
            complain(&format!("pilotfish-agent: {mistakes}"));
            Exit::Configuration
        }
    };
    exit.into()
}

/// Becomes `command`, with the whole environment, as the container entry point does. As PID 1 it stays
/// its init instead, and ends as it does: 128 plus the number of the signal where one ended it.
fn execute(command: &OsString) -> ExitCode {
    let error = if std::process::id() == 1 {
        match pilotfish_process::run_as_init(command) {
            Ok(status) => return u8::try_from(status.code()).unwrap_or(u8::MAX).into(),
            Err(error) => error,
        }
    } else {
        unix::become_program(&mut Command::new(command))
    };
    complain(&format!(
        "pilotfish-agent: cannot run {}, the only argument: {error}. To start the agent, give options \
         (-help lists them)",
        command.to_string_lossy()
    ));
    match error.kind() {
        io::ErrorKind::NotFound => Exit::CommandNotFound.into(),
        _ => Exit::CommandNotExecutable.into(),
    }
}

/// Writes to standard output. A reader that has gone away is no failure of ours.
fn print(text: &str) -> Exit {
    let mut output = io::stdout().lock();
    let _ = output.write_all(text.as_bytes()).and_then(|()| output.flush());
    Exit::Success
}

fn complain(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}
