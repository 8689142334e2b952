//! Resident memory of one agent: idle after a controller's first requests, and after 100 `sh` steps.

use std::time::Duration;

use crate::agents::{self, Kind};
use crate::controller::door::Door;
use crate::error::Failed;
use crate::report::{Bar, Report, Row};
use crate::setup::Setup;
use crate::statistics::median;
use crate::system::{self, Memory, mib};

use super::steps::{Greeting, Step};

/// Between the last request and the measurement: the agent has nothing left to do.
const SETTLE: Duration = Duration::from_secs(2);

pub async fn measure(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let steps = if setup.short { 20 } else { 100 };
    let rounds = setup.rounds.min(3);
    let (mut idle, mut after) = (Vec::new(), Vec::new());
    let mut official = None;
    for round in 0..rounds {
        let (first, last) = once(setup, steps).await?;
        idle.push(first);
        after.push(last);
        if round == 0 && setup.agent_jar.is_some() {
            official = Some(once_official(setup).await?);
        }
    }
    let theirs = official.map_or_else(
        || "–".to_owned(),
        |memory| format!("{} (official agent, no requests)", told(&[memory])),
    );
    add(report, "resident memory, idle after connecting".to_owned(), &idle, theirs, 12.0);
    add(report, format!("resident memory after {steps} sh steps"), &after, "–".to_owned(), 16.0);
    Ok(())
}

fn add(report: &mut Report, figure: String, measured: &[Memory], theirs: String, bar: f64) {
    let value = median_of(measured, |memory| memory.resident);
    report.add(Row {
        figure,
        ours: told(measured),
        theirs,
        value,
        unit: " MiB",
        bar: Bar::AtMost(bar),
    });
}

fn median_of(measured: &[Memory], of: impl Fn(&Memory) -> u64) -> f64 {
    median(&measured.iter().map(|memory| mib(of(memory))).collect::<Vec<_>>())
}

fn told(measured: &[Memory]) -> String {
    format!(
        "{:.1} MiB (anonymous {:.1}, PSS {:.1})",
        median_of(measured, |memory| memory.resident),
        median_of(measured, |memory| memory.anonymous),
        median_of(measured, |memory| memory.proportional)
    )
}

async fn once(setup: &Setup, steps: u32) -> Result<(Memory, Memory), Failed> {
    let mut door = Door::open().await?;
    let root = setup.fresh("memory")?;
    let (greeting, step) = (Greeting::new(setup, &root)?, Step::new(setup, &root)?);
    let (agent, mut session) = agents::one(setup, Kind::Ours, &mut door, &root).await?;
    greeting.play(&mut session).await?;
    tokio::time::sleep(SETTLE).await;
    let idle = system::memory(agent.pid()?)?;
    for number in 0..steps {
        step.run(&mut session, number).await?;
    }
    tokio::time::sleep(SETTLE).await;
    let after = system::memory(agent.pid()?)?;
    agent.kill().await?;
    Ok((idle, after))
}

async fn once_official(setup: &Setup) -> Result<Memory, Failed> {
    let mut door = Door::open().await?;
    let root = setup.fresh("memory-official")?;
    let (agent, _session) = agents::one(setup, Kind::Official, &mut door, &root).await?;
    tokio::time::sleep(SETTLE).await;
    let memory = system::memory(agent.pid()?)?;
    agent.kill().await?;
    Ok(memory)
}
