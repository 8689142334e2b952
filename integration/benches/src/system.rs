//! What the kernel counts for a process.

use std::fs;

use crate::error::Failed;

/// Memory of a process, in bytes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Memory {
    /// Resident: `RssAnon` + `RssFile` of `/proc/PID/status`; pages of the binary count in every process
    /// that has them mapped.
    pub resident: u64,
    /// `RssAnon`: what is the process's own.
    pub anonymous: u64,
    /// `Pss` of `smaps_rollup`: shared pages count by their share.
    pub proportional: u64,
}

/// Memory of a process now.
pub fn memory(pid: u32) -> Result<Memory, Failed> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).map_err(Failed::about(path))
    };
    let (status, rollup) = (read("status")?, read("smaps_rollup")?);
    let anonymous = field(&status, "RssAnon:")?;
    let resident = anonymous + field(&status, "RssFile:")?;
    Ok(Memory { resident, anonymous, proportional: field(&rollup, "Pss:")? })
}

/// A line such as `Pss:   12 kB`, in bytes.
fn field(text: &str, key: &str) -> Result<u64, Failed> {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok())
        .map(|kib| kib * 1024)
        .ok_or_else(|| Failed::Missing(format!("the kernel tells no {key}")))
}

/// Processor time of a process's live threads, in seconds. `utime` and `stime` count whole hundredths of
/// a second, too coarse for agents that need less.
pub fn cpu_seconds(pid: u32) -> Result<f64, Failed> {
    let tasks = format!("/proc/{pid}/task");
    let mut nanoseconds = 0_u64;
    for task in fs::read_dir(&tasks).map_err(Failed::about(&tasks))? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task?.path().join("schedstat")) else { continue };
        nanoseconds += text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0);
    }
    Ok(nanoseconds as f64 / 1e9)
}

/// Bytes as MiB.
pub fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_has_used_time() {
        let memory = memory(std::process::id()).unwrap();
        assert!(memory.resident >= memory.anonymous && memory.anonymous > 0);
        assert!(memory.proportional > 0 && memory.proportional <= memory.resident + (1 << 20));
        assert!(cpu_seconds(std::process::id()).unwrap() > 0.0);
    }
}
