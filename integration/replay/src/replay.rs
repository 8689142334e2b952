//! Replays whole chains: one agent process, one connection after the other.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::ReplayError;
use crate::ledger::contains;
use crate::namespace::{House, Place};
use crate::needs_jvm::NeedsJvm;
use crate::plan;
use crate::recording::{Chain, Recording};
use crate::report::Report;
use crate::server::{Door, Link};
use crate::session::{Session, Settings};

/// For how long a connection of the agent is waited for.
const CONNECTS_WITHIN: Duration = Duration::from_secs(60);

/// What is replayed against.
#[derive(Debug, Clone)]
pub struct Options {
    /// The agent's binary.
    pub agent: PathBuf,
    /// What it may refuse.
    pub needs_jvm: NeedsJvm,
    /// Secrets of the recordings that it must not let out.
    pub secrets: Vec<String>,
    /// How to play.
    pub settings: Settings,
}

/// Replays a chain against the agent's binary.
pub async fn chain(chain: &Chain, options: &Options) -> Vec<Report> {
    match try_chain(chain, options).await {
        Ok(reports) => reports,
        Err(error) => {
            let mut report = Report { name: chain.name.clone(), ..Report::default() };
            report.fail(None, error.to_string());
            vec![report]
        }
    }
}

async fn try_chain(chain: &Chain, options: &Options) -> Result<Vec<Report>, ReplayError> {
    let Some(first) = chain.parts.first() else { return Ok(Vec::new()) };
    let binary = options
        .agent
        .canonicalize()
        .map_err(|source| ReplayError::File { path: options.agent.clone(), source })?;
    let house = House::build(Place::of(first)?)?;
    let door = Door::open().await?;
    let secret = own_secret(&chain.name);
    let mut agent = house.start(&binary, &door.url()?, &secret)?;
    let facts = house.facts();
    let mut secrets = options.secrets.clone();
    secrets.push(secret.clone());
    let mut reports = Vec::new();
    let mut before: Option<&Recording> = None;
    for part in &chain.parts {
        let plan = plan::make(part, &options.needs_jvm)?;
        let mut report =
            match tokio::time::timeout(CONNECTS_WITHIN, door.accept(&part.response)).await {
                Ok(Ok(link)) => {
                    let problems = check_identity(&link, before, &secret);
                    let mut report =
                        Session::new(link, part, &plan, &facts, options.settings, &secrets)
                            .play()
                            .await;
                    for problem in problems {
                        report.fail(None, problem);
                    }
                    report
                }
                Ok(Err(error)) => failed(part, &error.to_string()),
                Err(_) => failed(
                    part,
                    &format!("the agent did not connect within {} s", CONNECTS_WITHIN.as_secs()),
                ),
            };
        if let Some(status) = agent.ended() {
            report.fail(None, format!("the agent ended by itself: {status}"));
        }
        reports.push(report);
        before = Some(part);
    }
    agent.stop().await;
    let mut outputs = house.logs();
    outputs.push((PathBuf::from("its standard streams"), agent.output()));
    if let Some(report) = reports.last_mut() {
        for (path, bytes) in &outputs {
            check_secrets(report, path, bytes, &secrets);
        }
    }
    for report in reports.iter_mut().filter(|report| !report.is_ok()) {
        let output = agent.output();
        let text = String::from_utf8_lossy(&output);
        let lines: Vec<&str> = text.lines().collect();
        let last = lines.get(lines.len().saturating_sub(25)..).unwrap_or_default().join("\n    ");
        report.fail(None, format!("the last lines of the agent's output:\n    {last}"));
    }
    Ok(reports)
}

fn failed(part: &Recording, problem: &str) -> Report {
    let mut report = Report { name: part.name.clone(), ..Report::default() };
    report.fail(None, problem);
    report
}

fn check_identity(link: &Link, before: Option<&Recording>, secret: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if link.header("Secret-Key") != Some(secret) {
        problems
            .push("upgrade request: the header Secret-Key is not the agent's secret".to_owned());
    }
    let wanted = before.and_then(|before| before.response_header("Connection-Cookie"));
    let got = link.header("Connection-Cookie");
    if wanted != got {
        problems
            .push(format!("upgrade request, Connection-Cookie: expected {wanted:?}, got {got:?}"));
    }
    problems
}

/// Looks for secrets where none may be: in log files and on the standard streams.
fn check_secrets(report: &mut Report, path: &Path, bytes: &[u8], secrets: &[String]) {
    for secret in secrets {
        if contains(bytes, secret.as_bytes()) {
            report.fail(
                None,
                format!("a secret in {} ({} characters long)", path.display(), secret.len()),
            );
        }
    }
}

/// 64 hexadecimal digits that differ from chain to chain. They guard nothing.
fn own_secret(name: &str) -> String {
    use sha2::{Digest as _, Sha256};
    Sha256::digest(name.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}
