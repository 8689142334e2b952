//! Reading `/proc`.

use std::fs;
use std::io::{self, Read};

use crate::{Environment, ProcessIdentity, ProcessInfo, ProcessState};

/// The most read of one environment or argument list, in bytes. The kernel allows 6 MiB for both.
const MAX_BLOCK: u64 = 8 * 1024 * 1024;

/// The most read of a `stat` line, in bytes.
const MAX_STAT: u64 = 4096;

/// All processes. One that ends meanwhile is left out.
pub(crate) fn list_processes() -> io::Result<Vec<ProcessInfo>> {
    let mut processes = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let pid = name.to_str().and_then(|name| name.parse::<u32>().ok());
        if let Some(process) = pid.and_then(|pid| read_stat(pid).ok()) {
            processes.push(process);
        }
    }
    Ok(processes)
}

/// The identity of a process that exists.
pub(super) fn identity_of(pid: u32) -> ProcessIdentity {
    read_stat(pid).map_or(ProcessIdentity { pid, start_time: 0 }, |process| process.identity)
}

/// What a process is doing; `None` if it is gone.
pub(crate) fn state_of(identity: ProcessIdentity) -> Option<ProcessState> {
    let process = read_stat(identity.pid).ok()?;
    (process.identity == identity).then_some(process.state)
}

/// The environment a process was started with.
pub(crate) fn environment_of(identity: ProcessIdentity) -> io::Result<Environment> {
    let block = read_block(identity, "environ")?;
    // As Jenkins reads it: a line without a name is no variable, of two the later counts.
    let variable = |line: &str| {
        let (name, value) = line.split_once('=').filter(|(name, _)| !name.is_empty())?;
        Some((name.to_owned(), value.to_owned()))
    };
    Ok(strings(&block).filter_map(|line| variable(&line)).collect())
}

/// The arguments of a process.
pub(crate) fn arguments_of(identity: ProcessIdentity) -> io::Result<Vec<String>> {
    Ok(strings(&read_block(identity, "cmdline")?).collect())
}

/// The memory of a process that only its end gives back, in bytes: what is private, shared with
/// others by name, or swapped out, without files that the kernel can read again.
pub(crate) fn memory_of(identity: ProcessIdentity) -> io::Result<u64> {
    let status = String::from_utf8_lossy(&read_block(identity, "status")?).into_owned();
    Ok(sum_of_memory(&status))
}

fn sum_of_memory(status: &str) -> u64 {
    let kilobytes = status.lines().filter_map(|line| {
        let (name, value) = line.split_once(':')?;
        matches!(name, "RssAnon" | "RssShmem" | "VmSwap")
            .then(|| value.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok())?
    });
    kilobytes.sum::<u64>().saturating_mul(1024)
}

/// The strings of a block, each ended by a NUL; what follows the last NUL is cut off.
fn strings(block: &[u8]) -> impl Iterator<Item = String> {
    let complete = block.iter().rposition(|&byte| byte == 0).map_or(&[][..], |end| &block[..end]);
    complete
        .split(|&byte| byte == 0)
        .filter(move |_| !complete.is_empty())
        .map(|line| String::from_utf8_lossy(line).into_owned())
}

fn read_block(identity: ProcessIdentity, file: &str) -> io::Result<Vec<u8>> {
    let block = read_bounded(identity.pid, file, MAX_BLOCK)?;
    // Between the list and this the number may have passed to another process.
    match state_of(identity) {
        Some(_) => Ok(block),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

fn read_bounded(pid: u32, file: &str, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(format!("/proc/{pid}/{file}"))?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn read_stat(pid: u32) -> io::Result<ProcessInfo> {
    let line = read_bounded(pid, "stat", MAX_STAT)?;
    parse_stat(pid, &line).ok_or_else(|| {
        io::Error::new(io::ErrorKind::InvalidData, format!("/proc/{pid}/stat is not understood"))
    })
}

/// Reads `pid (name) state ppid pgrp … starttime …`. The name may contain anything, spaces and
/// parentheses too, so it ends at the last one.
fn parse_stat(pid: u32, line: &[u8]) -> Option<ProcessInfo> {
    let open = line.iter().position(|&byte| byte == b'(')?;
    let close = line.iter().rposition(|&byte| byte == b')').filter(|&close| close > open)?;
    let name = String::from_utf8_lossy(&line[open + 1..close]).into_owned();
    let rest = str::from_utf8(&line[close + 1..]).ok()?;
    let mut fields = rest.split_ascii_whitespace();
    let state = match fields.next()? {
        "Z" | "X" | "x" => ProcessState::Zombie,
        _ => ProcessState::Alive,
    };
    let parent = fields.next()?.parse().ok()?;
    // A process of another namespace above ours shows as 0, one without a group as -1.
    let group = fields.next()?.parse().unwrap_or(0);
    // The group is field 5, the start time field 22.
    let start_time = fields.nth(22 - 5 - 1)?.parse().ok()?;
    Some(ProcessInfo { identity: ProcessIdentity { pid, start_time }, parent, group, state, name })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TAIL: &str = "S 41 40 39 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200\n";

    #[test]
    fn reads_a_stat_line_with_a_hostile_name() {
        let line = format!("42 (a) S 1 (b \n) {TAIL}");
        let process = parse_stat(42, line.as_bytes()).unwrap();
        assert_eq!(process.identity, ProcessIdentity { pid: 42, start_time: 987_654 });
        assert_eq!((process.parent, process.group), (41, 40));
        assert_eq!(process.name, "a) S 1 (b \n");
        assert_eq!(process.state, ProcessState::Alive);
    }

    #[test]
    fn finds_this_process() {
        let pid = std::process::id();
        let own = list_processes().unwrap().into_iter().find(|p| p.identity.pid == pid).unwrap();
        assert_eq!(own.identity, identity_of(pid));
        assert_eq!(own.parent, std::os::unix::process::parent_id());
        assert_eq!(state_of(own.identity), Some(ProcessState::Alive));
        let other = ProcessIdentity { pid, start_time: own.identity.start_time + 1 };
        assert_eq!(state_of(other), None);
        assert!(environment_of(other).is_err());
        assert!(!arguments_of(own.identity).unwrap().is_empty());
    }

    #[test]
    fn only_memory_that_cannot_be_read_again_counts() {
        let status = "Name:\tcc1plus\nVmRSS:\t 999 kB\nRssAnon:\t 100 kB\nRssFile:\t 7 kB\n\
                      RssShmem:\t 20 kB\nVmSwap:\t 3 kB\nRssAnon: much\n";
        assert_eq!(sum_of_memory(status), 123 * 1024);
        assert!(memory_of(identity_of(std::process::id())).unwrap() > 0);
    }

    #[test]
    fn splits_blocks_at_nuls() {
        let split = |block: &[u8]| strings(block).collect::<Vec<_>>();
        assert_eq!(split(b"a\0\0b c\0"), ["a", "", "b c"]);
        assert_eq!(split(b"a\0cut"), ["a"]);
        assert!(split(b"").is_empty());
        assert!(split(b"cut").is_empty());
    }

    proptest! {
        #[test]
        fn any_stat_line_is_read_or_refused(line in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_stat(1, &line);
        }

        #[test]
        fn any_name_is_read(name in prop::collection::vec(1_u8.., 0..15)) {
            let mut line = b"7 (".to_vec();
            line.extend(&name);
            line.extend(b") ");
            line.extend(TAIL.as_bytes());
            prop_assert_eq!(parse_stat(7, &line).unwrap().parent, 41);
        }
    }
}
