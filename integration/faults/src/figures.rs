//! What a campaign measured.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::agent::Holdings;
use crate::controller::Build;

/// The figures of a campaign.
#[derive(Debug, Default)]
pub struct Figures {
    /// How long it took until the agent answered again, after the last harm, by kind of fault.
    back: BTreeMap<&'static str, Vec<Duration>>,
    /// Connections through the proxy.
    pub connections: u64,
    builds: u64,
    pushed: u64,
    aborted: u64,
    lines: u64,
    bytes: u64,
    repeated: u64,
    lost_starts: u64,
    most_connections: u64,
    /// What a fresh agent holds when it is idle, and what this one held at the end.
    pub held: Option<(Holdings, Holdings)>,
}

impl Figures {
    /// Counts a fault.
    pub fn fault(&mut self, kind: &'static str, back: Duration) {
        self.back.entry(kind).or_default().push(back);
    }

    /// How many faults there were.
    pub fn faults(&self) -> usize {
        self.back.values().map(Vec::len).sum()
    }

    /// Counts a build.
    pub fn build(&mut self, build: &Build) {
        self.builds += 1;
        self.pushed += u64::from(build.watched);
        self.aborted += u64::from(build.aborted);
        self.lines += build.lines;
        self.bytes += build.bytes;
        self.repeated += build.repeated;
        self.lost_starts += build.lost_starts;
        self.most_connections = self.most_connections.max(build.connections);
    }
}

/// The value below which that share of the sorted times is.
fn percentile(sorted: &[Duration], percent: usize) -> f64 {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).map_or(0.0, Duration::as_secs_f64)
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| fault | how often | back after (median) | 95 % | longest |")?;
        writeln!(f, "|---|---|---|---|---|")?;
        let mut all: Vec<Duration> = self.back.values().flatten().copied().collect();
        let rows = self.back.iter().map(|(kind, times)| (*kind, times.clone()));
        for (kind, mut times) in rows.chain([("all", std::mem::take(&mut all))]) {
            times.sort();
            let (half, most) = (percentile(&times, 50), percentile(&times, 95));
            let longest = percentile(&times, 100);
            writeln!(
                f,
                "| {kind} | {} | {half:.2} s | {most:.2} s | {longest:.2} s |",
                times.len()
            )?;
        }
        writeln!(
            f,
            "\n{} builds ({} pushed, {} stopped by the controller) with {} lines, {:.1} MB; a build's log came over \
             {} connections at most; {} starts of scripts were lost and made again; {} bytes of pushed logs came \
             twice.",
            self.builds,
            self.pushed,
            self.aborted,
            self.lines,
            count(self.bytes) / 1e6,
            self.most_connections,
            self.lost_starts,
            self.repeated,
        )?;
        write!(f, "{} connections through the proxy.", self.connections)?;
        if let Some((fresh, last)) = &self.held {
            write!(
                f,
                " The agent held {} descriptors, {} threads and {:.1} MiB at the end; a fresh one {}, {} and {:.1} MiB.",
                last.count(),
                last.threads,
                count(last.memory_kib) / 1024.0,
                fresh.count(),
                fresh.threads,
                count(fresh.memory_kib) / 1024.0,
            )?;
        }
        Ok(())
    }
}

#[expect(clippy::cast_precision_loss, reason = "for figures of three digits")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_row_for_each_kind_and_one_for_all() {
        let mut figures = Figures::default();
        for millis in [100, 300, 200] {
            figures.fault("cut", Duration::from_millis(millis));
        }
        figures.fault("stall", Duration::from_secs(4));
        let text = figures.to_string();
        assert!(text.contains("| cut | 3 | 0.20 s | 0.30 s | 0.30 s |"), "{text}");
        assert!(text.contains("| all | 4 | 0.30 s | 4.00 s | 4.00 s |"), "{text}");
        assert_eq!(figures.faults(), 4);
    }
}
