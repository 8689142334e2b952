//! `logs`: the log of a build, whatever master has it, also while it moves from one to the other.

use std::io::Write as _;
use std::time::{Duration, Instant};

use clap::Args;

use super::builds::{Build, find};
use super::client::{Bridge, Reply};
use super::{ServiceArguments, typed};
use crate::cli::remote::runtime;
use crate::cli::{FAILED, PASSED, complain};
use crate::error::BridgeError;

/// Between two looks at a log that is followed.
const EVERY: Duration = Duration::from_secs(1);
/// How long nothing may answer before following is given up. A killed replica is replaced before, and a
/// master that restarts is back.
const PATIENCE: Duration = Duration::from_secs(300);
/// The rest of the log of a build that has ended is waited for no longer.
const PATIENCE_AT_END: Duration = Duration::from_secs(15);

/// Arguments of `logs`.
#[derive(Debug, Args)]
pub struct LogsArguments {
    /// The build, by its id or as JOB#NUMBER.
    build: String,
    /// Go on until the build ends. Then the exit code tells whether it was a success.
    #[arg(long, short)]
    follow: bool,
    /// The log of this attempt in place of the last one's.
    #[arg(long, value_name = "N", conflicts_with = "follow")]
    attempt: Option<i64>,
    #[command(flatten)]
    service: ServiceArguments,
}

pub(in crate::cli) fn execute(arguments: &LogsArguments) -> Result<u8, BridgeError> {
    let bridge = Bridge::connect(&arguments.service)?;
    runtime()?.block_on(async {
        let build: Build = typed(&find(&bridge, &arguments.build).await?)?;
        if arguments.follow {
            return follow(&bridge, &build.id).await;
        }
        let mut place = Place { attempt: arguments.attempt, offset: 0 };
        // A log comes in pieces of whatever size the master likes.
        loop {
            let before = place.offset;
            if !place.piece(&bridge, &build.id).await?.more || place.offset == before {
                break;
            }
        }
        if place.offset == 0 {
            let why = if build.reason.is_empty() { "" } else { ": " };
            complain(&format!(
                "{} {} and has no log{why}{}",
                build.name(),
                build.word(),
                build.reason
            ));
        }
        Ok(PASSED)
    })
}

/// How far a log was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Place {
    /// Of the attempt.
    attempt: Option<i64>,
    /// The next byte of it.
    offset: u64,
}

/// What is known after a piece.
#[derive(Debug, Clone, Copy)]
struct After {
    /// The build goes on, or its log does.
    more: bool,
    /// The log of this attempt goes on.
    attempt_more: bool,
}

fn number(reply: &Reply, name: &str) -> Option<u64> {
    reply.headers.get(name)?.to_str().ok()?.parse().ok()
}

fn flag(reply: &Reply, name: &str) -> bool {
    reply.headers.get(name).is_some_and(|value| value == "true")
}

impl Place {
    /// Writes the next piece. It is written whole or, where the connection breaks, not at all, so that the
    /// place is always that of what was written.
    async fn piece(&mut self, bridge: &Bridge, id: &str) -> Result<After, BridgeError> {
        let attempt = self.attempt.map_or_else(String::new, |one| format!("&attempt={one}"));
        let path = format!("/v1/builds/{id}/log?offset={}{attempt}", self.offset);
        let reply = bridge.text(&path).await?;
        write(&reply.body)?;
        if let Some(next) = number(&reply, "pilotfish-log-next") {
            self.offset = next;
        }
        if self.attempt.is_none() {
            let attempt = number(&reply, "pilotfish-log-attempt").unwrap_or(0);
            self.attempt = i64::try_from(attempt).ok().filter(|one| *one > 0);
        }
        Ok(After {
            more: flag(&reply, "pilotfish-log-more"),
            attempt_more: flag(&reply, "pilotfish-log-attempt-more"),
        })
    }
}

fn write(bytes: &[u8]) -> Result<(), BridgeError> {
    let mut output = std::io::stdout().lock();
    let written = output.write_all(bytes).and_then(|()| output.flush());
    written.map_err(|error| BridgeError::io("write the log", error))
}

/// Writes the log of a build until it ends.
pub(super) async fn follow(bridge: &Bridge, id: &str) -> Result<u8, BridgeError> {
    let mut place = Place { attempt: None, offset: 0 };
    let mut told = String::new();
    let mut answered = Instant::now();
    loop {
        let build: Build = match bridge.get(&format!("/v1/builds/{id}")).await {
            Ok(answer) => typed(&answer)?,
            Err(error) if is_lasting(&error) || answered.elapsed() > PATIENCE => return Err(error),
            Err(_) => {
                tokio::time::sleep(EVERY).await;
                continue;
            }
        };
        let ended = build.result.is_some();
        if !ended && build.started_ms.is_none() && build.reason != told {
            // People wait with it, and want to know for what.
            complain(&format!("{} {}: {}", build.name(), build.word(), build.reason));
            told.clone_from(&build.reason);
        }
        let started = || build.attempts.iter().filter(|one| one.url.is_some());
        if place.attempt.is_none() {
            place.attempt = started().map(|one| one.attempt).min();
        }
        let next = started().find(|one| Some(one.attempt) > place.attempt);
        let mut is_whole = place.attempt.is_none();
        if place.attempt.is_some() {
            match place.piece(bridge, id).await {
                Ok(after) => {
                    answered = Instant::now();
                    is_whole = !after.attempt_more;
                    if after.attempt_more && ended && after.more {
                        // The next piece is there already.
                        continue;
                    }
                }
                Err(error) if next.is_some() => {
                    complain(&format!("the rest of that is where nobody answers: {error}"));
                    is_whole = true;
                }
                Err(error) if ended && answered.elapsed() > PATIENCE_AT_END => {
                    complain(&format!("the rest of the log cannot be had: {error}"));
                    is_whole = true;
                }
                Err(error) if answered.elapsed() > PATIENCE => return Err(error),
                Err(_) => {}
            }
        }
        if let (true, Some(next)) = (is_whole, next) {
            complain(&format!("{} goes on at {}", build.name(), next.master));
            place = Place { attempt: Some(next.attempt), offset: 0 };
            continue;
        }
        if let (true, Some(result)) = (ended && is_whole, &build.result) {
            let reason = if build.reason.is_empty() { "" } else { ": " };
            complain(&format!("{} {result}{reason}{}", build.name(), build.reason));
            return Ok(if result == "SUCCESS" { PASSED } else { FAILED });
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Whether asking again cannot help.
fn is_lasting(error: &BridgeError) -> bool {
    let BridgeError::Service { status: Some(status), .. } = error else {
        return !matches!(error, BridgeError::Service { .. });
    };
    (400..500).contains(status) && *status != 429
}
