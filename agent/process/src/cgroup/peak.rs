//! The most memory that a group used since a moment, by the kernel's own count.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::path::PathBuf;

use super::state::number;
use super::{MemoryGroup, Version};

/// The kernel's count, which by itself is over the whole life of a group.
#[derive(Debug)]
pub struct Peak {
    count: Count,
    path: PathBuf,
}

#[derive(Debug)]
enum Count {
    /// Begun anew for whoever reads this file (version 2, from Linux 6.12).
    Own(File),
    /// Begun anew for all (version 1).
    Anew,
    /// What it was at the beginning; `None` without a count.
    Since(Option<u64>),
}

impl Peak {
    pub(super) fn begin(group: &MemoryGroup, reset: bool) -> Self {
        let path = path_of(group);
        let opened = || {
            let mut file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
            file.write_all(b"0").ok().map(|()| file)
        };
        let count = match reset.then(opened).flatten() {
            Some(file) if group.version() == Version::V2 => Count::Own(file),
            Some(_) => Count::Anew,
            None => Count::Since(number(&path)),
        };
        Self { count, path }
    }

    pub(super) fn since(group: &MemoryGroup, before: Option<u64>) -> Self {
        Self { count: Count::Since(before), path: path_of(group) }
    }

    /// The highest count until the beginning, for a process that goes on with this; `None` where the count
    /// was begun anew for all.
    #[must_use]
    pub fn before(&self) -> Option<u64> {
        match self.count {
            // Others still see the count of its whole life.
            Count::Own(_) => number(&self.path),
            Count::Anew => None,
            Count::Since(before) => before,
        }
    }

    /// The most since the beginning, with the cache of files, in bytes; `None` where the kernel does not
    /// say, as the group used more before.
    #[must_use]
    pub fn most(&mut self) -> Option<u64> {
        match &mut self.count {
            Count::Own(file) => {
                let mut text = String::new();
                file.seek(SeekFrom::Start(0)).ok()?;
                file.take(64).read_to_string(&mut text).ok()?;
                text.trim().parse().ok()
            }
            Count::Anew => number(&self.path),
            Count::Since(before) => number(&self.path).filter(|now| Some(*now) > *before),
        }
    }
}

/// The file with the kernel's count.
fn path_of(group: &MemoryGroup) -> PathBuf {
    group.directory().join(match group.version() {
        Version::V1 => "memory.max_usage_in_bytes",
        Version::V2 => "memory.peak",
    })
}
