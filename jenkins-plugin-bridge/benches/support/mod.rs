//! What the benchmarks of whole processes share: the program, the machine, memory.

use std::fs;
use std::path::PathBuf;

/// The program as it is shipped.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_pilotfish-bridge");

/// Why something could not be measured.
pub type Failed = Box<dyn std::error::Error>;

/// Cores, memory, kernel and load; no name of the machine.
pub fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let text = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let kernel = text("/proc/sys/kernel/osrelease");
    let kernel = kernel.split('-').next().unwrap_or_default().trim();
    let load = text("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or_default();
    format!("{cores} cores, Linux {kernel}, load average {load} before")
}

/// A number of `/proc/PID/status`, in MiB.
pub fn memory_mib(pid: u32, key: &str) -> Option<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    let kib: f64 = line.split_whitespace().next()?.parse().ok()?;
    Some(kib / 1024.0)
}

/// A file of this crate or of the repository around it.
pub fn source(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path)
}
