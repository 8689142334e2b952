//! What this process uses itself.

use std::fs;
use std::time::Duration;

use crate::OwnUsage;

pub(crate) fn own_usage() -> OwnUsage {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let spent = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let nanoseconds = u32::try_from(spent.tv_nsec).unwrap_or(0);
    OwnUsage {
        resident: resident(&status),
        processor: u64::try_from(spent.tv_sec).ok().map(|whole| Duration::new(whole, nanoseconds)),
        // The one that reads the list is in it.
        descriptors: fs::read_dir("/proc/self/fd").ok().map(|all| all.count().saturating_sub(1)),
    }
}

fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_uses_something() {
        let usage = own_usage();
        assert!(usage.resident.unwrap() > 64 << 10, "{usage:?}");
        assert!(usage.processor.unwrap() > Duration::ZERO, "{usage:?}");
        let before = usage.descriptors.unwrap();
        let _files: Vec<_> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(own_usage().descriptors.unwrap() >= before.min(3) + 50 - 10);
    }

    #[test]
    fn odd_status_files_say_nothing() {
        assert_eq!(resident("Name:\ta\nVmRSS:\t   7 kB\n"), Some(7168));
        for odd in ["", "VmRSS:", "VmRSS: 7", "VmRSS: x kB", "VmRSS: 99999999999999999999 kB"] {
            assert_eq!(resident(odd), None, "{odd}");
        }
    }
}
