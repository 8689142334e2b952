//! The numbers in the files of a group.

use std::path::Path;

use super::{MemoryGroup, Version, read};

/// What version 1 has for "no limit" is close to the highest signed number.
const NO_LIMIT: u64 = 1 << 62;

/// The memory of a group at one moment, in bytes. `None` is what the kernel does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct MemoryState {
    /// The lowest limit of the group and those above it; `None` if there is none.
    pub limit: Option<u64>,
    /// What is used, with the cache of files.
    pub usage: Option<u64>,
    /// Of that, what the kernel cannot give back by dropping the cache of files.
    pub held: Option<u64>,
    /// The most that was used at any time.
    pub peak: Option<u64>,
    /// How many processes the kernel has ended because the limit was reached. It only grows.
    pub oom_kills: Option<u64>,
}

/// What of the memory of a group is in use at one moment, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WorkingSet {
    /// What a kubelet counts: all but the cache of files that were not used lately.
    pub bytes: u64,
    /// That cache.
    pub cache: u64,
}

/// How long processes waited for memory (pressure stall information).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pressure {
    /// At least one waited, in microseconds since the group exists.
    pub some: u64,
    /// All of them waited, in microseconds since the group exists.
    pub full: u64,
}

impl Pressure {
    /// Reads `some avg10=… total=N` and `full avg10=… total=N`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let total = |kind: &str| {
            let line = text.lines().find(|line| line.split(' ').next() == Some(kind))?;
            line.split(' ').find_map(|field| field.strip_prefix("total=")?.parse().ok())
        };
        // The full line is missing on old kernels.
        Some(Self { some: total("some")?, full: total("full").unwrap_or(0) })
    }
}

pub(super) fn read_state(group: &MemoryGroup) -> MemoryState {
    let own = group.directory();
    let stat = read(&own.join("memory.stat")).unwrap_or_default();
    match group.version {
        Version::V1 => {
            let usage = number(&own.join("memory.usage_in_bytes"));
            let cache = ["total_active_file", "total_inactive_file"];
            // The sum over the hierarchy, while the file of the limit has the group's own alone.
            let limit = field(&stat, "hierarchical_memory_limit")
                .or_else(|| number(&own.join("memory.limit_in_bytes")));
            MemoryState {
                limit: limit.filter(|limit| *limit < NO_LIMIT),
                usage,
                held: usage.map(|usage| without(usage, &stat, &cache)),
                peak: number(&own.join("memory.max_usage_in_bytes")),
                oom_kills: read(&own.join("memory.oom_control"))
                    .and_then(|text| field(&text, "oom_kill")),
            }
        }
        Version::V2 => {
            let usage = number(&own.join("memory.current"));
            let cache = ["active_file", "inactive_file", "slab_reclaimable"];
            let limits = group.directories.iter().filter_map(|one| number(&one.join("memory.max")));
            MemoryState {
                limit: limits.min(),
                usage,
                held: usage.map(|usage| without(usage, &stat, &cache)),
                peak: number(&own.join("memory.peak")),
                // With the groups below: those of the file `.local` are of this group alone.
                oom_kills: read(&own.join("memory.events"))
                    .and_then(|text| field(&text, "oom_kill")),
            }
        }
    }
}

pub(super) fn read_working_set(group: &MemoryGroup) -> Option<WorkingSet> {
    let (usage, cache) = match group.version {
        Version::V1 => ("memory.usage_in_bytes", "total_inactive_file"),
        Version::V2 => ("memory.current", "inactive_file"),
    };
    let usage = number(&group.directory().join(usage))?;
    let cache = field(&read(&group.directory().join("memory.stat"))?, cache).unwrap_or(0);
    Some(WorkingSet { bytes: usage.saturating_sub(cache), cache })
}

fn without(usage: u64, stat: &str, names: &[&str]) -> u64 {
    usage.saturating_sub(names.iter().filter_map(|name| field(stat, name)).sum())
}

/// A file with one number; `None` for `max`.
pub(super) fn number(path: &Path) -> Option<u64> {
    read(path)?.trim().parse().ok()
}

/// The number of a line `NAME NUMBER`.
pub(super) fn field(text: &str, name: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.trim().parse().ok())
}
