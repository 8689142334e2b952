//! Load without faults: many masters, builds at the pace of a day, all of it some times as fast as in the
//! field. The bridge is a process of its own, so that what it needs can be told; the masters share one.

mod report;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};

pub use report::{Deciding, LoadReport, Times};

use super::judge::{self, Figures};
use super::process::{Bridge, Setup};
use super::{Options, orders, told};
use crate::error::FleetError;
use crate::ledger::Ledger;
use crate::master::{self, Running};

/// Requests of whoever asks for builds at once.
const AT_ONCE: usize = 64;
/// Milliseconds that a stage takes in the field: builds of three minutes to nine.
const STAGE_MS: (u64, u64) = (60_000, 180_000);
/// Executors of a master: with 100,000 builds a day over 50 masters two thirds of them are busy.
const EXECUTORS: u32 = 12;
/// A minute of the field.
const MINUTE: Duration = Duration::from_secs(60);

/// A load.
#[derive(Debug, Clone)]
pub struct Load {
    /// Builds a day in the field.
    pub per_day: u32,
    /// Builds that come at one moment, in the middle.
    pub storm: u32,
}

fn other(error: impl std::fmt::Display) -> FleetError {
    FleetError::Other(error.to_string())
}

async fn start_masters(setup: &Setup) -> Result<Vec<Running>, FleetError> {
    let options = &setup.options;
    let speed = u64::from(options.speed.max(1));
    let mut all = Vec::new();
    for (index, (port, control)) in setup.ports.iter().enumerate() {
        let name = format!("m{index}");
        let here = |port: u16| ([127, 0, 0, 1], port).into();
        all.push(
            master::start(master::Options {
                listen: here(*port),
                control: here(*control),
                bridge: Some(setup.url()),
                bridge_token: Some(options.directory.join(format!("{name}-token"))),
                ledger: Some(setup.ledger.clone()),
                executors: EXECUTORS,
                stage_ms: (STAGE_MS.0 / speed, STAGE_MS.1 / speed),
                queue_ms: 5_000 / speed,
                load_ms: 10_000 / speed,
                ..master::Options::local(&name, options.directory.join(&name))
            })
            .await?,
        );
    }
    Ok(all)
}

/// Runs a load.
///
/// # Errors
/// [`FleetError`] where it cannot be run; what is wrong with the builds is in the report.
pub async fn run(load: &Load, options: &Options) -> Result<LoadReport, FleetError> {
    let setup = Setup::make(options)?;
    let masters = start_masters(&setup).await?;
    let bridge = Bridge::start(&setup, 0)?;
    let http = crate::http_client()?;
    orders::make_jobs(&http, &setup).await?;
    let process = bridge.id().ok_or_else(|| other("the bridge has no process"))?;
    let before = processor(process)?;
    let (stop, sampler) = sample(&http, &setup);
    let started = Instant::now();
    let asked = ask(load, &http, &setup, started).await?;
    let mut left = Instant::now();
    while orders::any_live(&http, &setup).await? && left.elapsed() < options.patience {
        told("builds left");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    let took = started.elapsed();
    let _ = stop.send(());
    let calls = sampler.await.map_err(other)??;
    let used = processor(process)?.saturating_sub(before);
    let deciding = Deciding::read(&orders::metrics(&http, &setup).await?);
    let memory_kib = memory_kib(process)?;
    left = Instant::now();
    let ids: Vec<String> = asked.iter().map(|one| one.id.clone()).collect();
    let states = futures_util::stream::iter(ids.clone())
        .map(|id| {
            let (http, setup) = (&http, &setup);
            async move { orders::state(http, setup, &id).await }
        })
        .buffered(AT_ONCE);
    let states: Vec<Value> = states.filter_map(async |one| one.ok()).collect().await;
    told(&format!("{} builds looked at in {} s", states.len(), left.elapsed().as_secs()));
    drop(bridge);
    drop(masters);
    let figures = Figures { took, ..Figures::default() };
    let verdict = judge::judge(&ids, &states, &Ledger::read(&setup.ledger)?, figures);
    let waits: BTreeMap<&str, u64> =
        states.iter().filter_map(|one| Some((one["id"].as_str()?, placed(one)?))).collect();
    let placed = |storm: bool| {
        let some = asked.iter().filter(|one| one.storm == storm);
        Times::of(some.filter_map(|one| waits.get(one.id.as_str()).copied()).collect())
    };
    let build = if cfg!(debug_assertions) { "debug" } else { "optimised" };
    Ok(LoadReport {
        title: format!(
            "seed {}: {} builds over {} masters as on a day of {}, {} times as fast, {build} build",
            options.seed, options.builds, options.masters, load.per_day, options.speed
        ),
        builds: options.builds,
        results: verdict.results,
        problems: verdict.problems,
        took,
        kept: Times::of(asked.iter().map(|one| one.took_us).collect()),
        placed: placed(false),
        storm: placed(true),
        deciding,
        processor: used,
        memory_kib,
        database_bytes: setup.database_bytes(),
        calls,
    })
}

/// Microseconds until a build was given to a master for the first time.
fn placed(state: &Value) -> Option<u64> {
    let given = state["attempts"].as_array()?.first()?["created_ms"].as_u64()?;
    Some(given.saturating_sub(state["created_ms"].as_u64()?) * 1000)
}

/// A build that was asked for.
struct Asked {
    id: String,
    took_us: u64,
    storm: bool,
}

/// Asks for all builds, each when it is due.
async fn ask(
    load: &Load,
    http: &reqwest::Client,
    setup: &Setup,
    started: Instant,
) -> Result<Vec<Asked>, FleetError> {
    let options = &setup.options;
    let between = Duration::from_secs(24 * 3600) / load.per_day.max(1) / options.speed.max(1);
    let (builds, storm) = (options.builds, load.storm.min(options.builds));
    let storm = (builds - storm) / 2..(builds - storm) / 2 + storm;
    let places = Arc::new(Semaphore::new(AT_ONCE));
    let mut tasks: JoinSet<Result<Asked, FleetError>> = JoinSet::new();
    let mut all = Vec::new();
    for number in 0..builds {
        let of_storm = number.saturating_sub(storm.start).min(storm.end - storm.start);
        tokio::time::sleep_until((started + between * (number - of_storm)).into()).await;
        let place = Arc::clone(&places).acquire_owned().await.map_err(other)?;
        let (http, setup, is_storm) = (http.clone(), setup.clone(), storm.contains(&number));
        tasks.spawn(async move {
            let asked = Instant::now();
            let ids = orders::ask(&http, &setup, setup.options.seed, number, 1).await?;
            drop(place);
            let id = ids.into_iter().next().unwrap_or_default();
            let took_us = u64::try_from(asked.elapsed().as_micros()).unwrap_or(u64::MAX);
            Ok(Asked { id, took_us, storm: is_storm })
        });
        while let Some(done) = tasks.try_join_next() {
            all.push(done.map_err(other)??);
        }
        if number % 100 == 0 {
            told(&format!("{number} of {builds} builds asked for"));
        }
    }
    while let Some(done) = tasks.join_next().await {
        all.push(done.map_err(other)??);
    }
    Ok(all)
}

/// Counts the requests to each master, minute by minute of the field, until it is told to stop.
fn sample(
    http: &reqwest::Client,
    setup: &Setup,
) -> (oneshot::Sender<()>, JoinHandle<Result<Times, FleetError>>) {
    let (stop, mut stopped) = oneshot::channel();
    let (http, setup) = (http.clone(), setup.clone());
    let sampler = tokio::spawn(async move {
        let mut minute = tokio::time::interval(MINUTE / setup.options.speed.max(1));
        let (mut before, mut all) = (BTreeMap::new(), Vec::new());
        loop {
            tokio::select! {
                _ = minute.tick() => {}
                _ = &mut stopped => return Ok(Times::of(all)),
            }
            let calls = orders::calls(&http, &setup).await?;
            let more = |(name, now): (&String, &u64)| Some(now.saturating_sub(*before.get(name)?));
            all.extend(calls.iter().filter_map(more));
            before = calls;
        }
    });
    (stop, sampler)
}

fn of_process(process: u32, file: &str) -> Result<String, FleetError> {
    let path = format!("/proc/{process}/{file}");
    std::fs::read_to_string(&path).map_err(FleetError::io(format!("read {path}")))
}

/// The most memory that a process had, in KiB.
fn memory_kib(process: u32) -> Result<u64, FleetError> {
    let status = of_process(process, "status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().strip_suffix(" kB")?.parse().ok())
        .ok_or_else(|| other("the system does not tell the memory of a process"))
}

/// The time of processors that a process has used (`proc(5)`: user and system time are the 14th and 15th
/// fields, in hundredths of a second).
fn processor(process: u32) -> Result<Duration, FleetError> {
    let stat = of_process(process, "stat")?;
    // The name, in brackets, may have blanks.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>);
    let ticks = ticks.sum::<Result<u64, _>>().map_err(other)?;
    Ok(Duration::from_millis(ticks * 10))
}
