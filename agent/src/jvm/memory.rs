//! How often the kernel ended a process of this container because its memory was used up.

use std::fs;
use std::path::Path;

use pilotfish_process::cgroup::MemoryGroup;

/// Counts of the kernel at one moment. They only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct OutOfMemoryKills {
    /// In the control group of this process; `None` if the kernel does not say.
    group: Option<u64>,
    /// On the whole machine.
    machine: Option<u64>,
}

impl OutOfMemoryKills {
    /// The counts of now.
    pub(crate) fn now() -> Self {
        let group = MemoryGroup::own().and_then(|group| group.state().oom_kills);
        Self { group, machine: count(Path::new("/proc/vmstat")) }
    }

    /// What happened since an earlier moment, in words; `None` if no process was ended.
    pub(crate) fn since(&self, earlier: &Self) -> Option<&'static str> {
        let grew = |now: Option<u64>, then: Option<u64>| now.zip(then).is_some_and(|(n, t)| n > t);
        if grew(self.group, earlier.group) {
            return Some("the memory limit of the agent's container was reached");
        }
        grew(self.machine, earlier.machine).then_some("the machine ran out of memory")
    }
}

fn count(file: &Path) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kill_in_the_container_is_told_from_one_on_the_machine() {
        let at = |group, machine| OutOfMemoryKills { group, machine };
        let (before, none) = (at(Some(1), Some(5)), OutOfMemoryKills::default());
        assert_eq!(at(Some(1), Some(5)).since(&before), None);
        assert!(at(Some(2), Some(6)).since(&before).unwrap().contains("container"));
        assert!(at(Some(1), Some(6)).since(&before).unwrap().contains("machine"));
        assert_eq!(none.since(&before), None);
        assert_eq!(before.since(&none), None);
    }

    #[test]
    fn counts_are_read_from_files_of_the_kernel() {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), "low 0\noom 3\noom_kill 2\noom_group_kill 1\n").unwrap();
        assert_eq!(count(file.path()), Some(2));
        assert_eq!(count(Path::new("/no/such/file")), None);
        // Whatever this machine has, a moment later no process was ended.
        let now = OutOfMemoryKills::now();
        assert_eq!(now.since(&now), None);
    }
}
