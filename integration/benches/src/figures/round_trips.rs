//! Round trips of `FilePath.exists`, one and 64 at a time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pilotfish_replay::server::frames;

use crate::agents::{self, Kind};
use crate::comparators;
use crate::controller::door::Door;
use crate::controller::link::Link;
use crate::controller::script::{self, Wording};
use crate::controller::wire::int_at;
use crate::error::Failed;
use crate::report::{Bar, Report, Row};
use crate::setup::Setup;
use crate::statistics::{Pairs, median};
use crate::system::cpu_seconds;

/// The id of the first request: its bytes stand nowhere else in an answer.
const FIRST: i32 = 0x5AA5_0100;

pub async fn measure(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let root = setup.fresh("round-trips")?;
    let mut door = Door::open().await?;
    let (agent, mut session) = agents::one(setup, Kind::Ours, &mut door, &root).await?;
    let request = script::request(&setup.recording("03-sh")?, "hudson.FilePath$Exists")?;
    // A file that is there, as with `fileExists` in most builds.
    std::fs::write(root.join("pom.xml"), "<project/>")?;
    let wording = Wording::rooted(&root).with(".gradle/init.d/init-build-scan.gradle", "pom.xml");
    // Where an answer has the id of its request, and how long it is.
    session.link.feed(&request.command(FIRST, &wording)?).await?;
    session.link.flush().await?;
    let answer = session.link.command().await?;
    let place = answer.windows(4).position(|window| window == FIRST.to_be_bytes());
    let place = place.ok_or_else(|| Failed::Agent("an answer without an id".to_owned()))?;
    let answer_message = (answer.len() + 2).to_string();
    let time = Duration::from_secs(if setup.short { 1 } else { 3 });
    for in_flight in [1, 64] {
        let messages: Vec<Bytes> = (FIRST..FIRST + in_flight)
            .map(|id| message(&request.command(id, &wording)?))
            .collect::<Result<_, Failed>>()?;
        let (mut pairs, mut cpu) = (Pairs::default(), Pairs::default());
        for _ in 0..setup.rounds {
            let before = cpu_seconds(agent.pid()?)?;
            let (count, rate) = calls(&mut session.link, &messages, place, time).await?;
            pairs.ours.push(rate);
            cpu.ours.push((cpu_seconds(agent.pid()?)? - before) / f64::from(count));
            let mut bare =
                comparators::start(&mut door, "compare-echo", &[&answer_message]).await?;
            let before = cpu_seconds(bare.pid()?)?;
            let (count, rate) = echoes(&mut bare.link, &messages, time).await?;
            pairs.theirs.push(rate);
            cpu.theirs.push((cpu_seconds(bare.pid()?)? - before) / f64::from(count));
            let _ = bare.link.end().await;
        }
        let told = |rates: &[f64], cpu: &[f64]| {
            format!("{:.0}/s, {:.1} µs of CPU each", median(rates), median(cpu) * 1e6)
        };
        let request = messages.first().map_or(0, Bytes::len);
        report.add(Row {
            figure: format!(
                "FilePath.exists, {in_flight} in flight ({request} bytes to the agent, {answer_message} back)"
            ),
            ours: told(&pairs.ours, &cpu.ours),
            theirs: format!("{} (bare ping-pong, same sizes)", told(&pairs.theirs, &cpu.theirs)),
            value: pairs.ratio(),
            unit: "",
            bar: Bar::AtLeast(0.5),
        });
    }
    agent.kill().await
}

/// A command that fits into one message.
fn message(command: &[u8]) -> Result<Bytes, Failed> {
    match <[Vec<u8>; 1]>::try_from(frames(command)) {
        Ok([message]) => Ok(message.into()),
        Err(_) => Err(Failed::Missing("a request of several messages".to_owned())),
    }
}

/// Keeps all requests in flight for a while and returns the round trips, in all and in a second.
async fn calls(
    link: &mut Link,
    messages: &[Bytes],
    place: usize,
    time: Duration,
) -> Result<(u32, f64), Failed> {
    send_all(link, messages).await?;
    let (start, mut count, mut in_flight) = (Instant::now(), 0_u32, messages.len());
    while in_flight > 0 {
        let again = start.elapsed() < time;
        let mut command = Some(link.command().await?);
        while let Some(answer) = command {
            let id = int_at(&answer, place).and_then(|id| usize::try_from(id - FIRST).ok());
            let Some(message) = id.and_then(|id| messages.get(id)) else {
                return Err(Failed::Agent("an answer to nothing that was asked".to_owned()));
            };
            count += 1;
            if again {
                link.feed_message(message.clone()).await?
            } else {
                in_flight -= 1
            }
            command = link.ready_command()?;
        }
        link.flush().await?;
    }
    Ok((count, f64::from(count) / start.elapsed().as_secs_f64()))
}

/// The same with a comparator.
async fn echoes(link: &mut Link, messages: &[Bytes], time: Duration) -> Result<(u32, f64), Failed> {
    send_all(link, messages).await?;
    let (start, mut count, mut in_flight) = (Instant::now(), 0_u32, messages.len());
    let Some(message) = messages.first() else { return Ok((0, 0.0)) };
    while in_flight > 0 {
        let again = start.elapsed() < time;
        let mut answer = link.message().await?;
        while answer.is_some() {
            count += 1;
            if again {
                link.feed_message(message.clone()).await?
            } else {
                in_flight -= 1
            }
            answer = link.ready_message()?;
        }
        link.flush().await?;
    }
    Ok((count, f64::from(count) / start.elapsed().as_secs_f64()))
}

async fn send_all(link: &mut Link, messages: &[Bytes]) -> Result<(), Failed> {
    for message in messages {
        link.feed_message(message.clone()).await?;
    }
    link.flush().await
}
