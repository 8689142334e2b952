//! Replays recordings against an agent: `pilotfish-replay [--recording NAME…] [--agent PATH]`.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use pilotfish_replay::session::Settings;
use pilotfish_replay::{namespace, replay, setup};

/// Plays recorded sessions of a Jenkins controller against an agent and compares its answers by meaning.
#[derive(Debug, Parser)]
struct Arguments {
    /// A recording to replay, by name or a part of it; all of them without this.
    #[arg(long = "recording", num_args = 1..)]
    recordings: Vec<String>,
    /// The agent's binary; PILOTFISH_AGENT, or the one that cargo built, without this.
    #[arg(long)]
    agent: Option<PathBuf>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut out = std::io::stdout().lock();
    let mut say = |text: &str| {
        // There is no other place to complain about a closed standard output.
        let _ = writeln!(out, "{text}");
    };
    if let Err(reason) = namespace::is_possible() {
        say(&format!("cannot replay: {reason}"));
        return ExitCode::from(2);
    }
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("cannot start: {error}"));
            return ExitCode::from(2);
        }
    };
    let (chains, options) = match setup::all(arguments.agent, Settings::default()) {
        Ok(found) => found,
        Err(error) => {
            say(&error.to_string());
            return ExitCode::from(2);
        }
    };
    let wanted = |name: &str| {
        arguments.recordings.is_empty()
            || arguments.recordings.iter().any(|part| name.contains(part.as_str()))
    };
    let chains: Vec<_> = chains.into_iter().filter(|chain| wanted(&chain.name)).collect();
    if chains.is_empty() {
        say("no recording of that name");
        return ExitCode::from(2);
    }
    let reports = runtime.block_on(async {
        let runs = chains.iter().map(|chain| replay::chain(chain, &options));
        futures_util::future::join_all(runs).await.concat()
    });
    for report in &reports {
        say(report.to_string().trim_end());
    }
    if reports.iter().all(pilotfish_replay::report::Report::is_ok) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
