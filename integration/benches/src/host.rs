//! The machine that the figures were measured on.

use std::fs;

/// Cores, memory, kernel and processor in one line; no name of the machine.
pub fn shape() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let memory = meminfo("MemTotal").map_or_else(String::new, |bytes| {
        format!(", {:.0} GiB of memory", bytes as f64 / f64::from(1 << 30))
    });
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = kernel.split('-').next().unwrap_or_default().trim().to_owned();
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu
        .lines()
        .find_map(|line| line.strip_prefix("model name"))
        .map_or_else(String::new, |line| {
            format!(" ({})", line.trim_start_matches([' ', '\t', ':']))
        });
    format!("{cores} cores{cpu}{memory}, Linux {kernel} {}", std::env::consts::ARCH)
}

/// The load average of the last minute: what else ran is part of the result.
pub fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0.0)
}

/// Memory that can be had without swapping, in bytes.
pub fn available_memory() -> u64 {
    meminfo("MemAvailable").unwrap_or(0)
}

fn meminfo(key: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|line| line.starts_with(key))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kib| kib * 1024)
}
