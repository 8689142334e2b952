//! What the kernel says about the memory of the container: limit, usage, peak, processes it ended.
//!
//! A container's memory is that of a control group. Version 1 and version 2 of control groups have
//! the same facts in files of different names; [`MemoryGroup`] reads either. The files are read when
//! asked, never cached.

mod cpu;
mod find;
mod peak;
mod state;

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

pub use cpu::CpuGroup;
pub use peak::Peak;
pub use state::{MemoryState, Pressure, WorkingSet};

/// The most read of a file of the kernel, in bytes. `memory.stat` has some 3 KiB.
const MAX_FILE: u64 = 64 * 1024;

/// The most processes listed of a group and those below it.
const MAX_PROCESSES: usize = 100_000;

/// How deep groups below a group are looked into.
const MAX_DEPTH: usize = 16;

/// A version of control groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    /// `memory.limit_in_bytes` and its like.
    V1,
    /// `memory.max` and its like.
    V2,
}

/// A control group with the memory controller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryGroup {
    version: Version,
    /// The group first, then the groups above it that can be seen.
    directories: Vec<PathBuf>,
}

impl MemoryGroup {
    /// The group of this process; `None` where there is none, or `/sys/fs/cgroup` is not mounted.
    ///
    /// Found through `/proc/self/cgroup` and `/proc/self/mountinfo`, which agree inside containers
    /// with a control group namespace and in those without.
    #[must_use]
    pub fn own() -> Option<Self> {
        let membership = read(Path::new("/proc/self/cgroup"))?;
        let mounts = read(Path::new("/proc/self/mountinfo"))?;
        find::candidates(&membership, &mounts).into_iter().find(Self::is_usable)
    }

    /// The group at a directory, with those above it up to `root` where `root` is a parent of it.
    #[must_use]
    pub fn at(version: Version, directory: &Path, root: &Path) -> Self {
        let directories = directory
            .ancestors()
            .take_while(|ancestor| ancestor.starts_with(root) || *ancestor == directory)
            .map(Path::to_owned)
            .collect();
        Self { version, directories }
    }

    /// Which files it has.
    #[must_use]
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        self.directories.first().map_or(Path::new(""), PathBuf::as_path)
    }

    fn is_usable(&self) -> bool {
        let file = match self.version {
            Version::V1 => "memory.usage_in_bytes",
            Version::V2 => "memory.current",
        };
        self.directory().join(file).exists()
    }

    /// The facts of now.
    #[must_use]
    pub fn state(&self) -> MemoryState {
        state::read_state(self)
    }

    /// What of its memory is in use now; two small reads.
    #[must_use]
    pub fn working_set(&self) -> Option<WorkingSet> {
        state::read_working_set(self)
    }

    /// Begins to look for the most that it uses from now on. With `reset` the kernel's own count begins
    /// anew, where it may be written to: under version 1 that is so for all who read it.
    #[must_use]
    pub fn peak_from_now(&self, reset: bool) -> Peak {
        Peak::begin(self, reset)
    }

    /// Goes on to look for the most that it uses since an earlier moment, of which another process noted
    /// [`Peak::before`].
    #[must_use]
    pub fn peak_since(&self, before: Option<u64>) -> Peak {
        Peak::since(self, before)
    }

    /// How long processes had to wait for memory; `None` where the kernel does not count that.
    #[must_use]
    pub fn pressure(&self) -> Option<Pressure> {
        Pressure::parse(&read(&self.directory().join("memory.pressure"))?)
    }

    /// Whether the kernel, once the limit is reached, ends all processes of the group together, this
    /// one too: `memory.oom.group` of the group or of one above it that has a limit (version 2 only).
    #[must_use]
    pub fn ends_as_one(&self) -> bool {
        self.version == Version::V2
            && self.directories.iter().any(|directory| {
                let file = directory.join("memory.oom.group");
                read(&file).is_some_and(|text| text.trim() == "1")
            })
    }

    /// The numbers of the processes of the group and of those below it.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        let mut found = Vec::new();
        let mut pending = vec![(self.directory().to_owned(), 0)];
        while let Some((directory, depth)) = pending.pop() {
            let file = fs::read_to_string(directory.join("cgroup.procs")).unwrap_or_default();
            found.extend(file.lines().filter_map(|line| line.trim().parse::<u32>().ok()));
            if found.len() > MAX_PROCESSES || depth == MAX_DEPTH {
                continue;
            }
            let Ok(children) = fs::read_dir(&directory) else { continue };
            let is_dir = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_dir());
            pending
                .extend(children.flatten().filter(is_dir).map(|entry| (entry.path(), depth + 1)));
        }
        found.truncate(MAX_PROCESSES);
        found
    }
}

/// A file of the kernel; `None` if it is not there.
fn read(path: &Path) -> Option<String> {
    let mut text = String::new();
    fs::File::open(path).ok()?.take(MAX_FILE).read_to_string(&mut text).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests;
