//! Where the group of this process is mounted.

use std::path::{Path, PathBuf};

use super::{MemoryGroup, Version};

/// Where a group is.
pub(super) struct Place {
    pub(super) version: Version,
    pub(super) directory: PathBuf,
    /// Where its hierarchy is mounted: the group, or one above it.
    pub(super) mount: PathBuf,
}

/// A mount of a hierarchy of control groups.
struct Mount {
    version: Version,
    /// Which group of the hierarchy is at the mount point: `/`, or a container's own group where it
    /// has the hierarchy of the host.
    root: String,
    point: PathBuf,
}

/// The groups with the memory controller, most likely first.
pub(super) fn candidates(membership: &str, mounts: &str) -> Vec<MemoryGroup> {
    let places = places(membership, mounts, "memory").into_iter();
    places.map(|one| MemoryGroup::at(one.version, &one.directory, &one.mount)).collect()
}

/// Where the group with this controller may be, most likely first.
///
/// `membership` is `/proc/self/cgroup`: `4:memory:/path` for version 1, `0::/path` for version 2.
/// `mounts` is `/proc/self/mountinfo`. Without a namespace of its own a container sees the path of
/// the host in the first, and a mount whose root is that path, or a parent of it, in the second.
pub(super) fn places(membership: &str, mounts: &str, controller: &str) -> Vec<Place> {
    let mounts: Vec<Mount> =
        mounts.lines().filter_map(|line| parse_mount(line, controller)).collect();
    let mut found = Vec::new();
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else { continue };
        let version = if controllers.is_empty() {
            Version::V2
        } else if controllers.split(',').any(|name| name == controller) {
            Version::V1
        } else {
            continue;
        };
        for mount in mounts.iter().filter(|mount| mount.version == version) {
            let directory = below(path, &mount.root).map_or_else(
                // The path leads out of what is mounted: the mount is all there is to see of it.
                || mount.point.clone(),
                |relative| mount.point.join(relative),
            );
            found.push(Place { version, directory, mount: mount.point.clone() });
        }
    }
    found
}

/// The part of a group's path below the mounted root.
fn below(path: &str, root: &str) -> Option<PathBuf> {
    let relative = Path::new(path).strip_prefix(root).ok()?;
    let inside = !relative.components().any(|part| part.as_os_str() == "..");
    inside.then(|| relative.to_owned())
}

/// A line `ID PARENT MAJOR:MINOR ROOT POINT OPTIONS … - TYPE SOURCE SUPEROPTIONS`, if it is a mount
/// with the controller or of version 2.
fn parse_mount(line: &str, controller: &str) -> Option<Mount> {
    let (head, tail) = line.split_once(" - ")?;
    let mut tail = tail.split(' ');
    let version = match tail.next()? {
        "cgroup2" => Version::V2,
        "cgroup" if tail.nth(1)?.split(',').any(|option| option == controller) => Version::V1,
        _ => return None,
    };
    let mut head = head.split(' ').skip(3);
    Some(Mount { version, root: unescape(head.next()?), point: unescape(head.next()?).into() })
}

/// `\040` and its like, which stand for white space and backslashes.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        let code = tail
            .get(..3)
            .filter(|_| byte == b'\\')
            .and_then(|digits| u8::from_str_radix(str::from_utf8(digits).ok()?, 8).ok());
        match code {
            Some(code) => {
                bytes.push(code);
                rest = &tail[3..];
            }
            None => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
