//! What a container uses while the stages of builds run in it.
//!
//! The kernel counts for the container, not for a stage. So a stage is measured from its first process to
//! the end of its last one of those that run at the same time, and where anything else runs meanwhile the
//! figures are marked as shared.
//!
//! Memory is what a kubelet looks at, the working set. It is looked at twice a second; a peak in between is
//! found by the kernel's own count, of which the most cache that was seen is taken off, since that count has
//! the cache of files in it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use pilotfish_process::cgroup::{CpuGroup, MemoryGroup, Peak, WorkingSet};

use crate::protocol::{Stage, Usage};

/// How often memory is looked at: two small files of the kernel.
const INTERVAL: Duration = Duration::from_millis(500);

/// Measures what the container of this process uses.
#[derive(Debug, Clone)]
pub struct Meter(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    memory: MemoryGroup,
    cpu: CpuGroup,
    running: Mutex<Running>,
}

#[derive(Debug, Default)]
struct Running {
    stages: HashMap<Stage, Active>,
    /// Processes that belong to no stage.
    others: usize,
    samples: bool,
}

/// A stage that runs.
#[derive(Debug)]
struct Active {
    processes: usize,
    began: Instant,
    cpu: Duration,
    most: u64,
    most_cache: u64,
    peak: Peak,
    shared: bool,
}

/// Since when a stage is measured, for a process that goes on with it when this one has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The stage.
    pub stage: Stage,
    /// When it began, in milliseconds since 1970.
    pub at_ms: u64,
    /// What the container had used of the processor by then, in milliseconds.
    pub cpu_ms: u64,
    /// The kernel's highest count of memory by then, in bytes; `None` where it was begun anew.
    pub peak_before: Option<u64>,
    /// Whether something else ran in the container since.
    pub shared: bool,
}

/// A process that is taken into account until this is dropped.
#[derive(Debug)]
pub struct Measuring {
    meter: Meter,
    stage: Option<Stage>,
    ended: bool,
}

impl Meter {
    /// For the container of this process; `None` where it has no control groups of its own.
    #[must_use]
    pub fn own() -> Option<Self> {
        Some(Self::of(MemoryGroup::own()?, CpuGroup::own()?))
    }

    /// For these groups.
    #[must_use]
    pub fn of(memory: MemoryGroup, cpu: CpuGroup) -> Self {
        Self(Arc::new(Inner { memory, cpu, running: Mutex::default() }))
    }

    fn running(&self) -> MutexGuard<'_, Running> {
        self.0.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A process begins, of a stage or of something else. Must be called within a tokio runtime.
    #[must_use]
    pub fn begin(&self, stage: Option<Stage>) -> Measuring {
        self.join(stage, None)
    }

    /// Goes on with a stage of which a process still runs that an earlier life of this program started in
    /// the same container. What was seen of memory then is known from the kernel's count only. Must be
    /// called within a tokio runtime.
    #[must_use]
    pub fn resume(&self, record: Record) -> Measuring {
        self.join(Some(record.stage.clone()), Some(record))
    }

    fn join(&self, stage: Option<Stage>, earlier: Option<Record>) -> Measuring {
        let mut running = self.running();
        match &stage {
            None => {
                running.others += 1;
                running.stages.values_mut().for_each(|active| active.shared = true);
            }
            Some(stage) => match running.stages.get_mut(stage) {
                Some(active) => active.processes += 1,
                None => {
                    let alone = running.stages.is_empty();
                    running.stages.values_mut().for_each(|active| active.shared = true);
                    let mut active = match &earlier {
                        None => Active::new(&self.0, alone),
                        Some(record) => Active::after(record, &self.0),
                    };
                    active.shared |= !alone || running.others > 0;
                    active.see(self.0.memory.working_set());
                    running.stages.insert(stage.clone(), active);
                }
            },
        }
        if !running.stages.is_empty() && !running.samples {
            running.samples = true;
            tokio::spawn(self.clone().sample());
        }
        drop(running);
        Measuring { meter: self.clone(), stage, ended: false }
    }

    async fn sample(self) {
        loop {
            tokio::time::sleep(INTERVAL).await;
            let mut running = self.running();
            if running.stages.is_empty() {
                running.samples = false;
                return;
            }
            let set = self.0.memory.working_set();
            running.stages.values_mut().for_each(|active| active.see(set));
        }
    }

    fn record(&self, stage: &Stage) -> Option<Record> {
        let running = self.running();
        let active = running.stages.get(stage)?;
        Some(Record {
            stage: stage.clone(),
            at_ms: now_ms().saturating_sub(milliseconds(active.began.elapsed())),
            cpu_ms: milliseconds(active.cpu),
            peak_before: active.peak.before(),
            shared: active.shared,
        })
    }

    /// A process has ended: what its stage used, if it was the last.
    fn end(&self, stage: Option<&Stage>) -> Option<Usage> {
        let mut running = self.running();
        let Some(stage) = stage else {
            running.others = running.others.saturating_sub(1);
            return None;
        };
        let active = running.stages.get_mut(stage)?;
        active.processes = active.processes.saturating_sub(1);
        if active.processes > 0 {
            return None;
        }
        let mut active = running.stages.remove(stage)?;
        drop(running);
        active.see(self.0.memory.working_set());
        let cpu = self.0.cpu.used()?.saturating_sub(active.cpu);
        // Of the moment of the peak the cache is not known: no more than this, most likely.
        let peak = active.peak.most().unwrap_or(0).saturating_sub(active.most_cache);
        Some(Usage {
            milliseconds: milliseconds(active.began.elapsed()),
            cpu_milliseconds: milliseconds(cpu),
            peak_memory_bytes: active.most.max(peak),
            shared: active.shared,
        })
        .filter(|usage| usage.peak_memory_bytes > 0)
    }
}

impl Active {
    fn new(inner: &Inner, alone: bool) -> Self {
        Self {
            processes: 1,
            began: Instant::now(),
            cpu: inner.cpu.used().unwrap_or_default(),
            most: 0,
            most_cache: 0,
            peak: inner.memory.peak_from_now(alone),
            shared: false,
        }
    }

    /// Clocks may have been set meanwhile: what cannot be is nothing.
    fn after(record: &Record, inner: &Inner) -> Self {
        let ago = Duration::from_millis(now_ms().saturating_sub(record.at_ms));
        Self {
            began: Instant::now().checked_sub(ago).unwrap_or_else(Instant::now),
            cpu: Duration::from_millis(record.cpu_ms),
            peak: inner.memory.peak_since(record.peak_before),
            shared: record.shared,
            ..Self::new(inner, false)
        }
    }

    fn see(&mut self, set: Option<WorkingSet>) {
        let WorkingSet { bytes, cache } = set.unwrap_or_default();
        self.most = self.most.max(bytes);
        self.most_cache = self.most_cache.max(cache);
    }
}

impl Measuring {
    /// Since when the stage is measured; `None` for what belongs to no stage.
    #[must_use]
    pub fn record(&self) -> Option<Record> {
        self.meter.record(self.stage.as_ref()?)
    }

    /// The process has ended: what its stage used, if that runs nothing else here.
    #[must_use]
    pub fn end(mut self) -> Option<Usage> {
        self.ended = true;
        self.meter.end(self.stage.as_ref())
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        if !self.ended {
            let _ = self.meter.end(self.stage.as_ref());
        }
    }
}

fn now_ms() -> u64 {
    milliseconds(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default())
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use pilotfish_process::cgroup::Version;

    use super::*;

    fn set(root: &Path, memory: u64, cache: u64, peak: u64, cpu: u64) {
        fs::write(root.join("memory.current"), memory.to_string()).unwrap();
        fs::write(root.join("memory.stat"), format!("inactive_file {cache}\n")).unwrap();
        fs::write(root.join("memory.peak"), format!("{peak}\n")).unwrap();
        fs::write(root.join("cpu.stat"), format!("usage_usec {}\n", cpu * 1000)).unwrap();
    }

    fn meter(root: &Path) -> Meter {
        Meter::of(MemoryGroup::at(Version::V2, root, root), CpuGroup::at(Version::V2, root))
    }

    fn stage(name: &str) -> Option<Stage> {
        Some(Stage { build: "b".to_owned(), stage: name.to_owned() })
    }

    #[tokio::test]
    async fn a_stage_is_measured_from_its_first_process_to_its_last() {
        let root = tempfile::tempdir().unwrap();
        set(root.path(), 500, 100, 900, 1000);
        let meter = meter(root.path());
        let first = meter.begin(stage("a"));
        let second = meter.begin(stage("a"));
        assert_eq!(first.end(), None, "another one of it runs");
        set(root.path(), 700, 50, 950, 3500);
        let usage = second.end().unwrap();
        // 700 without 50 were seen; the kernel saw 950, and 100 of that may have been cache.
        assert_eq!((usage.cpu_milliseconds, usage.peak_memory_bytes), (2500, 850));
        assert!(!usage.shared);
    }

    #[tokio::test]
    async fn a_stage_is_gone_on_with_by_another_process() {
        let root = tempfile::tempdir().unwrap();
        set(root.path(), 500, 0, 900, 1000);
        let record = meter(root.path()).begin(stage("a")).record().unwrap();
        // What the earlier process saw went with it; the kernel counted on.
        set(root.path(), 300, 0, 950, 2500);
        let resumed = meter(root.path()).resume(record.clone());
        assert_eq!(resumed.record().unwrap().cpu_ms, record.cpu_ms);
        set(root.path(), 300, 0, 950, 4000);
        let usage = resumed.end().unwrap();
        assert_eq!((usage.cpu_milliseconds, usage.peak_memory_bytes), (3000, 950));
        assert!(!usage.shared);
        let shared = Record { shared: true, at_ms: u64::MAX, cpu_ms: u64::MAX, ..record };
        let usage = meter(root.path()).resume(shared).end().unwrap();
        assert!(usage.shared);
        assert_eq!((usage.milliseconds, usage.cpu_milliseconds), (0, 0), "clocks that cannot be");
    }

    #[tokio::test]
    async fn what_runs_at_the_same_time_is_marked_and_not_guessed() {
        let root = tempfile::tempdir().unwrap();
        set(root.path(), 500, 0, 500, 0);
        let meter = meter(root.path());
        let a = meter.begin(stage("a"));
        let b = meter.begin(stage("b"));
        assert!(a.end().unwrap().shared);
        assert!(b.end().unwrap().shared, "also for the one that is left");
        let a = meter.begin(stage("a"));
        drop(meter.begin(None));
        assert!(a.end().unwrap().shared, "something without a stage");
        drop(meter.begin(stage("b")));
        assert!(!meter.begin(stage("a")).end().unwrap().shared, "one after the other");
    }

    #[tokio::test]
    async fn memory_is_looked_at_meanwhile() {
        let root = tempfile::tempdir().unwrap();
        set(root.path(), 500, 0, 0, 0);
        let meter = meter(root.path());
        let a = meter.begin(stage("a"));
        set(root.path(), 800, 0, 0, 0);
        // Until it was seen.
        while meter.running().stages.values().all(|active| active.most < 800) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        set(root.path(), 100, 0, 0, 0);
        assert_eq!(a.end().unwrap().peak_memory_bytes, 800);
    }
}
