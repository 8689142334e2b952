//! What a load was like.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What a load was like.
#[derive(Debug, Default)]
pub struct LoadReport {
    /// What was asked for, in words.
    pub title: String,
    /// Builds.
    pub builds: u32,
    /// Builds by how they ended.
    pub results: BTreeMap<String, u64>,
    /// What is wrong.
    pub problems: Vec<String>,
    /// How long it took.
    pub took: Duration,
    /// How long the bridge took to answer who asks for a build.
    pub kept: Times,
    /// How long a build waited until it was given to a master.
    pub placed: Times,
    /// The same for those that came at one moment.
    pub storm: Times,
    /// Decisions.
    pub deciding: Deciding,
    /// Time of processors that the bridge used.
    pub processor: Duration,
    /// The most memory that the bridge had, in KiB.
    pub memory_kib: u64,
    /// Bytes of its database.
    pub database_bytes: u64,
    /// Requests to one master in one minute of the field.
    pub calls: Times,
}

/// Numbers, the least first. Those of durations are microseconds.
#[derive(Debug, Default)]
pub struct Times(Vec<u64>);

impl Times {
    /// These, in whatever order.
    #[must_use]
    pub fn of(mut all: Vec<u64>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// What so many in a thousand are not above.
    fn part(&self, share: usize) -> u64 {
        let last = self.0.len().saturating_sub(1);
        self.0.get((self.0.len() * share / 1000).min(last)).copied().unwrap_or_default()
    }

    fn text(&self, unit: impl Fn(u64) -> String) -> String {
        let [half, most, all] = [500, 990, 1000].map(|share| unit(self.part(share)));
        format!("p50 {half}, p99 {most}, most {all}")
    }
}

/// Decisions, as the bridge counts them. Its buckets tell of durations that they were not longer than some.
#[derive(Debug, Default, Clone, Copy)]
pub struct Deciding {
    /// Decisions.
    pub decisions: u64,
    /// Rounds.
    pub rounds: u64,
    /// How long all rounds took.
    pub took: Duration,
    /// Half of the rounds took no longer.
    pub half: Duration,
    /// All but one in a hundred took no longer.
    pub most: Duration,
}

impl Deciding {
    /// Reads the metrics of a bridge.
    #[must_use]
    pub fn read(metrics: &str) -> Self {
        const NAME: &str = "pilotfish_bridge_deciding_seconds";
        let number = |name: &str| metrics.lines().find_map(|line| line.strip_prefix(name));
        let count = |name: &str| number(name).and_then(|text| text.trim().parse().ok());
        let rounds: u64 = count(&format!("{NAME}_count ")).unwrap_or_default();
        let seconds = |text: &str| {
            text.trim().parse().ok().and_then(|one| Duration::try_from_secs_f64(one).ok())
        };
        let bucket = format!("{NAME}_bucket{{le=\"");
        let within = |share: u64| {
            metrics
                .lines()
                .filter_map(|line| line.strip_prefix(&bucket)?.split_once("\"} "))
                .find(|(_, count)| {
                    count.parse().is_ok_and(|count: u64| count * 1000 >= rounds * share)
                })
                .and_then(|(end, _)| seconds(end))
                .unwrap_or(Duration::MAX)
        };
        Self {
            decisions: count("pilotfish_bridge_routing_decisions_total ").unwrap_or_default(),
            rounds,
            took: number(&format!("{NAME}_sum ")).and_then(seconds).unwrap_or_default(),
            half: within(500),
            most: within(990),
        }
    }

    fn a_second(&self) -> u128 {
        u128::from(self.decisions) * 1_000_000 / self.took.as_micros().max(1)
    }
}

fn milliseconds(micros: u64) -> String {
    format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
}

impl fmt::Display for LoadReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let results: Vec<String> =
            self.results.iter().map(|(name, count)| format!("{count} {name}")).collect();
        let seconds = self.took.as_secs_f64();
        writeln!(f, "{}: {}; {seconds:.0} s", self.title, results.join(", "))?;
        writeln!(f, "asked for until kept: {}", self.kept.text(milliseconds))?;
        writeln!(f, "kept until given to a master: {}", self.placed.text(milliseconds))?;
        if !self.storm.0.is_empty() {
            let (count, text) = (self.storm.0.len(), self.storm.text(milliseconds));
            writeln!(f, "the same for the {count} that came at one moment: {text}")?;
        }
        let deciding = &self.deciding;
        writeln!(
            f,
            "routing: {} decisions in {} rounds, {} a second of deciding; a round p50 <= {:?}, p99 <= {:?}",
            deciding.decisions,
            deciding.rounds,
            deciding.a_second(),
            deciding.half,
            deciding.most
        )?;
        let builds = self.builds.max(1);
        writeln!(
            f,
            "bridge: {:.1} ms of processor a build, {:.0} % of one core; {} MiB of memory at most; \
             database {} KiB, {} bytes a build",
            (self.processor / builds).as_secs_f64() * 1000.0,
            self.processor.as_secs_f64() / seconds * 100.0,
            self.memory_kib / 1024,
            self.database_bytes / 1024,
            self.database_bytes / u64::from(builds)
        )?;
        let calls = self.calls.text(|one| one.to_string());
        writeln!(f, "requests to one master in a minute of the field: {calls}")?;
        write!(f, "{} wrong", self.problems.len())?;
        self.problems.iter().take(20).try_for_each(|problem| write!(f, "\n  {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decisions_are_read_from_metrics() {
        let text = "pilotfish_bridge_deciding_seconds_bucket{le=\"0.0001\"} 40\n\
             pilotfish_bridge_deciding_seconds_bucket{le=\"0.0002\"} 60\n\
             pilotfish_bridge_deciding_seconds_bucket{le=\"0.001\"} 99\n\
             pilotfish_bridge_deciding_seconds_bucket{le=\"+Inf\"} 100\n\
             pilotfish_bridge_deciding_seconds_sum 0.02\npilotfish_bridge_deciding_seconds_count 100\n\
             pilotfish_bridge_routing_decisions_total 500\n";
        let read = Deciding::read(text);
        assert_eq!((read.decisions, read.rounds, read.a_second()), (500, 100, 25_000));
        assert_eq!((read.half.as_micros(), read.most.as_micros()), (200, 1000));
    }

    #[test]
    fn parts_of_numbers() {
        let all = Times::of((1..=200).rev().collect());
        assert_eq!((all.part(500), all.part(990), all.part(1000)), (101, 199, 200));
        assert_eq!(Times::default().part(990), 0);
    }
}
