//! Counters and durations in the text format of Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::openapi::OPERATIONS;
use crate::cluster::start::{Phases, StartFailure};

/// Upper ends of the buckets of durations, in microseconds.
const BUCKETS: [u64; 13] = [
    100, 200, 500, 1_000, 2_000, 5_000, 10_000, 20_000, 50_000, 100_000, 500_000, 1_000_000,
    10_000_000,
];
/// The same for the starts of pods: from half a second, which a warm node takes, to ten minutes, which
/// a new one may.
const START_BUCKETS: [u64; 11] = [
    500_000,
    1_000_000,
    2_000_000,
    5_000_000,
    10_000_000,
    20_000_000,
    30_000_000,
    60_000_000,
    120_000_000,
    300_000_000,
    600_000_000,
];
/// Phases of the start of a pod.
const PHASES: [&str; 4] = ["scheduled", "pulled", "started", "connected"];
/// The most reasons for which pods do not start that are counted by name: they come from clusters.
const REASONS: usize = 32;
/// Classes of status.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// How long something took, how often.
#[derive(Debug)]
struct Histogram {
    ends: &'static [u64],
    buckets: Box<[AtomicU64]>,
    sum: AtomicU64,
    count: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::with(&BUCKETS)
    }
}

impl Histogram {
    fn with(ends: &'static [u64]) -> Self {
        let buckets = ends.iter().map(|_| AtomicU64::new(0)).collect();
        Self { ends, buckets, sum: AtomicU64::new(0), count: AtomicU64::new(0) }
    }

    fn add(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        for (bucket, _) in self.buckets.iter().zip(self.ends).filter(|(_, end)| micros <= **end) {
            bucket.fetch_add(1, Relaxed);
        }
        self.sum.fetch_add(micros, Relaxed);
        self.count.fetch_add(1, Relaxed);
    }

    fn write(&self, text: &mut String, name: &str, label: &str) {
        for (bucket, end) in self.buckets.iter().zip(self.ends) {
            let (end, count) = (seconds(*end), bucket.load(Relaxed));
            let comma = if label.is_empty() { "" } else { "," };
            let _ = writeln!(text, "{name}_bucket{{{label}{comma}le=\"{end}\"}} {count}");
        }
        let count = self.count.load(Relaxed);
        let comma = if label.is_empty() { "" } else { "," };
        let _ = writeln!(text, "{name}_bucket{{{label}{comma}le=\"+Inf\"}} {count}");
        let braces = if label.is_empty() { String::new() } else { format!("{{{label}}}") };
        let _ = writeln!(text, "{name}_sum{braces} {}", seconds(self.sum.load(Relaxed)));
        let _ = writeln!(text, "{name}_count{braces} {count}");
    }
}

/// What stands before the values of a metric.
pub(super) fn head(text: &mut String, name: &str, kind: &str, help: &str) {
    let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn seconds(micros: u64) -> String {
    let text = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[derive(Debug, Default)]
struct OperationCounts {
    by_class: [AtomicU64; CLASSES.len()],
    took: Histogram,
}

/// All counters.
#[derive(Debug)]
pub struct Metrics {
    operations: Vec<OperationCounts>,
    planning: Histogram,
    starts: [Histogram; PHASES.len()],
    failed_starts: Mutex<BTreeMap<String, u64>>,
    removed_pods: AtomicU64,
    deciding: Histogram,
    decisions: AtomicU64,
    /// Plans that were made before and asked for again.
    pub found: AtomicU64,
    /// Builds that were given a plan.
    pub builds: AtomicU64,
    /// Plans refused.
    pub refused: AtomicU64,
    /// Events taken.
    pub events: AtomicU64,
    /// Requests refused because their token made too many.
    pub limited: AtomicU64,
    /// Webhooks of forges taken.
    pub hooks: AtomicU64,
    /// Webhooks refused: not signed, or not to be read.
    pub hooks_refused: AtomicU64,
    /// Connections open now.
    pub connections: AtomicU64,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            operations: OPERATIONS.iter().map(|_| OperationCounts::default()).collect(),
            planning: Histogram::default(),
            starts: std::array::from_fn(|_| Histogram::with(&START_BUCKETS)),
            failed_starts: Mutex::default(),
            removed_pods: AtomicU64::new(0),
            deciding: Histogram::default(),
            decisions: AtomicU64::new(0),
            found: AtomicU64::new(0),
            builds: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            events: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            hooks: AtomicU64::new(0),
            hooks_refused: AtomicU64::new(0),
            connections: AtomicU64::new(0),
        }
    }
}

impl Metrics {
    /// Counts a request.
    pub fn request(&self, operation: usize, status: u16, took: Duration) {
        let Some(counts) = self.operations.get(operation) else { return };
        let class = usize::from(status / 100).clamp(1, CLASSES.len()) - 1;
        counts.by_class[class].fetch_add(1, Relaxed);
        counts.took.add(took);
    }

    /// Counts a plan that was made.
    pub fn planned(&self, took: Duration) {
        self.planning.add(took);
    }

    /// Counts a pod that started, or did not.
    pub fn pod_started(&self, phases: &Phases, failure: Option<&StartFailure>) {
        for (histogram, (_, at)) in self.starts.iter().zip(phases.named()) {
            if let Some(at) = at {
                histogram.add(Duration::from_millis(at));
            }
        }
        if let Some(failure) = failure {
            let mut all = self.failed_starts.lock().unwrap_or_else(PoisonError::into_inner);
            let known = all.contains_key(&failure.reason) || all.len() < REASONS;
            let plain = failure.reason.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let reason = if known && plain { failure.reason.as_str() } else { "Other" };
            *all.entry(reason.to_owned()).or_default() += 1;
        }
    }

    /// Counts a pod that was removed once its work was over.
    pub fn pod_removed(&self) {
        self.removed_pods.fetch_add(1, Relaxed);
    }

    fn write_starts(&self, text: &mut String) {
        let name = "pilotfish_bridge_pod_start_seconds";
        head(text, name, "histogram", "When pods reached the phases of their start.");
        for (phase, histogram) in PHASES.iter().zip(&self.starts) {
            if histogram.count.load(Relaxed) > 0 {
                histogram.write(text, name, &format!("phase=\"{phase}\""));
            }
        }
        let name = "pilotfish_bridge_pod_starts_failed_total";
        head(text, name, "counter", "Pods that did not start, by reason.");
        for (reason, count) in &*self.failed_starts.lock().unwrap_or_else(PoisonError::into_inner) {
            let _ = writeln!(text, "{name}{{reason=\"{reason}\"}} {count}");
        }
        let name = "pilotfish_bridge_pods_removed_total";
        head(text, name, "counter", "Pods that were removed once their work was over.");
        let _ = writeln!(text, "{name} {}", self.removed_pods.load(Relaxed));
    }

    /// Counts a round of decisions about builds of the bridge.
    pub fn decided(&self, took: Duration, decisions: usize) {
        self.deciding.add(took);
        self.decisions.fetch_add(u64::try_from(decisions).unwrap_or(u64::MAX), Relaxed);
    }

    /// Everything as text.
    #[must_use]
    pub fn text(&self, catalog_is_current: bool) -> String {
        let mut text = String::new();
        let name = "pilotfish_bridge_requests_total";
        head(&mut text, name, "counter", "Requests by operation and class of status.");
        for (operation, counts) in OPERATIONS.iter().zip(&self.operations) {
            for (class, count) in CLASSES.iter().zip(&counts.by_class) {
                let (id, count) = (operation.id, count.load(Relaxed));
                if count > 0 {
                    let _ =
                        writeln!(text, "{name}{{operation=\"{id}\",status=\"{class}\"}} {count}");
                }
            }
        }
        let name = "pilotfish_bridge_request_seconds";
        head(&mut text, name, "histogram", "How long requests took.");
        for (operation, counts) in OPERATIONS.iter().zip(&self.operations) {
            if counts.took.count.load(Relaxed) > 0 {
                counts.took.write(&mut text, name, &format!("operation=\"{}\"", operation.id));
            }
        }
        let name = "pilotfish_bridge_planning_seconds";
        head(&mut text, name, "histogram", "How long the making of plans took, without storing.");
        self.planning.write(&mut text, name, "");
        self.write_starts(&mut text);
        let name = "pilotfish_bridge_deciding_seconds";
        head(&mut text, name, "histogram", "How long rounds of routing decisions took.");
        self.deciding.write(&mut text, name, "");
        for (name, kind, help, value) in [
            (
                "routing_decisions_total",
                "counter",
                "Decisions about builds of the bridge.",
                self.decisions.load(Relaxed),
            ),
            (
                "builds_total",
                "counter",
                "Builds that were given a plan.",
                self.builds.load(Relaxed),
            ),
            (
                "plans_found_total",
                "counter",
                "Plans that were made before and asked for again.",
                self.found.load(Relaxed),
            ),
            (
                "plans_refused_total",
                "counter",
                "Plans that were refused.",
                self.refused.load(Relaxed),
            ),
            ("events_total", "counter", "Events taken from builds.", self.events.load(Relaxed)),
            (
                "requests_limited_total",
                "counter",
                "Requests refused because their token made too many.",
                self.limited.load(Relaxed),
            ),
            ("hooks_total", "counter", "Webhooks of forges taken.", self.hooks.load(Relaxed)),
            (
                "hooks_refused_total",
                "counter",
                "Webhooks refused: not signed, or not to be read.",
                self.hooks_refused.load(Relaxed),
            ),
            ("connections", "gauge", "Connections open.", self.connections.load(Relaxed)),
            (
                "catalog_current",
                "gauge",
                "1 while the catalog in use is the one in the directory.",
                u64::from(catalog_is_current),
            ),
        ] {
            let name = format!("pilotfish_bridge_{name}");
            head(&mut text, &name, kind, help);
            let _ = writeln!(text, "{name} {value}");
        }
        text
    }
}

#[cfg(test)]
mod unit {
    use super::*;

    #[test]
    fn durations_fall_into_all_buckets_above_them() {
        let metrics = Metrics::default();
        metrics.planned(Duration::from_micros(150));
        metrics.planned(Duration::from_secs(3600));
        metrics.request(0, 404, Duration::from_millis(3));
        let text = metrics.text(true);
        for line in [
            "pilotfish_bridge_planning_seconds_bucket{le=\"0.0001\"} 0",
            "pilotfish_bridge_planning_seconds_bucket{le=\"0.0002\"} 1",
            "pilotfish_bridge_planning_seconds_bucket{le=\"10\"} 1",
            "pilotfish_bridge_planning_seconds_bucket{le=\"+Inf\"} 2",
            "pilotfish_bridge_planning_seconds_sum 3600.00015",
            "pilotfish_bridge_catalog_current 1",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
        let id = OPERATIONS[0].id;
        assert!(text.contains(&format!("{{operation=\"{id}\",status=\"4xx\"}} 1")));
    }
}
