//! The processor time of a container.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::state::{field, number};
use super::{Version, find, read};

/// A control group that counts processor time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuGroup {
    version: Version,
    directory: PathBuf,
}

impl CpuGroup {
    /// The group of this process; `None` where there is none, or where it is that of the whole machine.
    #[must_use]
    pub fn own() -> Option<Self> {
        let membership = read(Path::new("/proc/self/cgroup"))?;
        let mounts = read(Path::new("/proc/self/mountinfo"))?;
        find::places(&membership, &mounts, "cpuacct")
            .into_iter()
            .map(|place| Self::at(place.version, &place.directory))
            .find(|group| !group.is_of_the_machine() && group.used().is_some())
    }

    /// The group at a directory.
    #[must_use]
    pub fn at(version: Version, directory: &Path) -> Self {
        Self { version, directory: directory.to_owned() }
    }

    /// Only the root of a hierarchy has the first file, and only the others have the second.
    fn is_of_the_machine(&self) -> bool {
        match self.version {
            Version::V1 => self.directory.join("release_agent").exists(),
            Version::V2 => !self.directory.join("cgroup.type").exists(),
        }
    }

    /// What all of its processes have used since it exists, those that ended too.
    #[must_use]
    pub fn used(&self) -> Option<Duration> {
        match self.version {
            Version::V1 => number(&self.directory.join("cpuacct.usage")).map(Duration::from_nanos),
            Version::V2 => field(&read(&self.directory.join("cpu.stat"))?, "usage_usec")
                .map(Duration::from_micros),
        }
    }
}
