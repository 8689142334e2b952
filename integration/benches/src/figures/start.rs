//! From the start of the process to "Connected", on loopback.

use super::super::agents::{Agent, Kind};
use crate::controller::door::Door;
use crate::error::Failed;
use crate::report::{Bar, Report, Row};
use crate::setup::Setup;
use crate::statistics::{Pairs, median};

pub async fn measure(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let mut door = Door::open().await?;
    let mut pairs = Pairs::default();
    // The first start reads the binary from the disk.
    once(setup, Kind::Ours, &mut door).await?;
    for _ in 0..setup.rounds * 2 {
        pairs.ours.push(once(setup, Kind::Ours, &mut door).await?);
        if setup.agent_jar.is_some() {
            pairs.theirs.push(once(setup, Kind::Official, &mut door).await?);
        }
    }
    let millis = |values: &[f64]| format!("{:.1} ms", median(values) * 1e3);
    let (theirs, value, unit, bar) = if pairs.theirs.is_empty() {
        ("AGENT_JAR is not set".to_owned(), median(&pairs.ours) * 1e3, " ms", Bar::None)
    } else {
        (
            format!("{} (official agent)", millis(&pairs.theirs)),
            pairs.ratio(),
            "",
            Bar::AtMost(0.05),
        )
    };
    let ours = millis(&pairs.ours);
    report.add(Row {
        figure: "process start to Connected".to_owned(),
        ours,
        theirs,
        value,
        unit,
        bar,
    });
    Ok(())
}

async fn once(setup: &Setup, kind: Kind, door: &mut Door) -> Result<f64, Failed> {
    let root = setup.fresh("start")?;
    let mut agent = Agent::start(setup, kind, &door.url(), "bench", &root)?;
    let took = agent.connected().await?;
    drop(door.next().await?);
    agent.kill().await?;
    Ok(took.as_secs_f64())
}
