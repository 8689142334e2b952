//! Many agents on one machine: started at once, and idle.

use std::time::{Duration, Instant};

use futures_util::future::try_join_all;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::agents::{Agent, Kind};
use crate::controller::door::Door;
use crate::controller::session::Session;
use crate::error::Failed;
use crate::host;
use crate::report::{Bar, Report, Row};
use crate::setup::Setup;
use crate::statistics::median;
use crate::system::{self, mib};

use super::steps::Greeting;

/// Agents that are started at the same time on the way to many.
const BATCH: usize = 50;

/// Between the last request and the measurement.
const SETTLE: Duration = Duration::from_secs(5);

/// How long idle agents are watched: a controller pings twice a minute, so once in this time.
const WATCH: Duration = Duration::from_secs(30);

/// What one agent may need at most while this is measured, in bytes; more agents are not started.
const ROOM: u64 = 12 << 20;

pub async fn at_once(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let count = if setup.short { 20 } else { 100 };
    let (mut connected, mut answered, mut cpu) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..setup.rounds {
        let root = setup.fresh("fleet")?;
        let mut door = Door::open().await?;
        let greeting = Greeting::new(setup, &root)?;
        let start = Instant::now();
        let mut agents = Vec::new();
        for number in 0..count {
            let (name, root) = (format!("agent-{number}"), root.join(number.to_string()));
            agents.push(Agent::start(setup, Kind::Ours, &door.url(), &name, &root)?);
        }
        try_join_all(agents.iter_mut().map(Agent::connected)).await?;
        connected.push(start.elapsed().as_secs_f64());
        let mut seconds = 0.0;
        for agent in &agents {
            seconds += system::cpu_seconds(agent.pid()?)?;
        }
        cpu.push(seconds);
        agents.iter_mut().for_each(Agent::drain);
        let sessions = links(&mut door, count).await?;
        greet(sessions, &greeting).await?;
        answered.push(start.elapsed().as_secs_f64());
        try_join_all(agents.into_iter().map(Agent::kill)).await?;
    }
    let (value, cpu, answered) = (median(&connected), median(&cpu), median(&answered));
    let each = cpu * 1e3 / f64::from(u32::try_from(count).unwrap_or(1));
    report.add(Row {
        figure: format!("{count} agents started at once: all connected"),
        ours: format!(
            "{value:.2} s, {cpu:.2} CPU s ({each:.1} ms each); {answered:.2} s until a controller's first requests are answered"
        ),
        theirs: "–".to_owned(),
        value,
        unit: " s",
        bar: Bar::AtMost(3.0),
    });
    Ok(())
}

async fn links(door: &mut Door, count: usize) -> Result<Vec<Session>, Failed> {
    let mut sessions = Vec::with_capacity(count);
    while sessions.len() < count {
        sessions.push(Session::new(door.next().await?)?);
    }
    Ok(sessions)
}

async fn greet(sessions: Vec<Session>, greeting: &Greeting) -> Result<Vec<Session>, Failed> {
    try_join_all(sessions.into_iter().map(async |mut session| {
        greeting.play(&mut session).await?;
        Ok(session)
    }))
    .await
}

pub async fn idle(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let wanted: usize = if setup.short { 50 } else { 1000 };
    allow_files(wanted as u64 * 3 + 200)?;
    // A quarter of what is there stays for everyone else.
    let fitting = usize::try_from(host::available_memory() / 4 * 3 / ROOM).unwrap_or(0);
    let count = wanted.min(fitting);
    if count < wanted {
        println!("  memory is short: {count} agents instead of {wanted}");
    }
    if count == 0 {
        return Err(Failed::Missing("not enough free memory for idle agents".to_owned()));
    }
    let root = setup.fresh("idle")?;
    let mut door = Door::open().await?;
    let greeting = Greeting::new(setup, &root)?;
    let (mut agents, mut sessions) = (Vec::new(), Vec::new());
    while agents.len() < count {
        let mut batch = Vec::new();
        for number in agents.len()..count.min(agents.len() + BATCH) {
            let (name, root) = (format!("agent-{number}"), root.join(number.to_string()));
            batch.push(Agent::start(setup, Kind::Ours, &door.url(), &name, &root)?);
        }
        try_join_all(batch.iter_mut().map(Agent::connected)).await?;
        batch.iter_mut().for_each(Agent::drain);
        sessions.extend(greet(links(&mut door, batch.len()).await?, &greeting).await?);
        agents.append(&mut batch);
    }
    tokio::time::sleep(SETTLE).await;
    let before = cpu(&agents)?;
    let start = Instant::now();
    tokio::time::sleep(WATCH / 2).await;
    for session in &mut sessions {
        session.link.ping().await?;
    }
    tokio::time::sleep(WATCH / 2).await;
    let percent = (cpu(&agents)? - before) / start.elapsed().as_secs_f64() * 100.0;
    let (mut resident, mut proportional, mut largest) = (0, 0, 0);
    for agent in &agents {
        let memory = system::memory(agent.pid()?)?;
        resident += memory.resident;
        proportional += memory.proportional;
        largest = largest.max(memory.resident);
    }
    drop(sessions);
    try_join_all(agents.into_iter().map(Agent::kill)).await?;
    let gib = |bytes: u64| mib(bytes) / 1024.0;
    let row = |figure: &str, ours: String, value: f64, unit: &'static str, bar: f64| Row {
        figure: format!("{count} idle agents: {figure}"),
        ours,
        theirs: "–".to_owned(),
        value,
        unit,
        bar: Bar::AtMost(bar),
    };
    let all = format!("PSS {:.2} GiB, RSS {:.2} GiB", gib(proportional), gib(resident));
    report.add(row("memory in all", all, gib(resident), " GiB", 8.0));
    let largest = mib(largest);
    report.add(row("the largest", format!("{largest:.1} MiB"), largest, " MiB", 12.0));
    let watched = WATCH.as_secs();
    let time = format!("{percent:.2} % of one core over {watched} s with a ping");
    report.add(row("processor time", time, percent, " %", 2.0));
    Ok(())
}

fn cpu(agents: &[Agent]) -> Result<f64, Failed> {
    agents.iter().map(|agent| system::cpu_seconds(agent.pid()?)).sum()
}

/// Raises the number of files that this process may have open, as far as it is allowed to.
fn allow_files(wanted: u64) -> Result<(), Failed> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= wanted) {
        return Ok(());
    }
    let current = limit.maximum.map_or(wanted, |maximum| maximum.min(wanted));
    setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum })
        .map_err(|error| Failed::about("the limit of open files")(error.into()))?;
    if current < wanted {
        return Err(Failed::Missing(format!(
            "{wanted} open files are needed and {current} allowed"
        )));
    }
    Ok(())
}
