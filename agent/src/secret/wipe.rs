//! Overwrites secrets in the memory where the kernel put the arguments and the environment.
//!
//! This is the only module with `unsafe` code. `/proc/self/stat` tells where the two blocks are
//! (fields 48 to 51 of proc(5)); `/proc/self/maps` is asked first whether they are mapped and writable,
//! so that a kernel that reports other numbers leads to an error and not to a fault.
#![expect(
    unsafe_code,
    reason = "the initial argument and environment block can be reached by address only"
)]

use std::fs;
use std::io;
use std::ops::Range;

use super::{Secret, find, mask_block};

/// Position of `arg_start` (field 48) among the fields after the command name's closing bracket;
/// `arg_end`, `env_start` and `env_end` follow it.
const ARGUMENT_START: usize = 48 - 3;

/// Why secrets could not be erased from the process's own memory.
#[derive(Debug, thiserror::Error)]
pub enum WipeError {
    /// A file of `/proc/self` could not be read.
    #[error(
        "cannot read {path}: {source}; the secret stays readable for other processes of this user: \
         mount /proc, or give the secret as a file (-secret @FILE)"
    )]
    Proc {
        /// The file.
        path: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// The addresses that the kernel reports are not usable.
    #[error(
        "/proc/self/stat does not tell where the arguments are; the secret stays readable for other \
         processes of this user: give it as a file (-secret @FILE)"
    )]
    Addresses,
    /// The secret is still visible after it was overwritten.
    #[error("{path} still shows the secret; give it as a file instead (-secret @FILE)")]
    StillVisible {
        /// The file that shows it.
        path: &'static str,
    },
    /// The process could not be made undumpable.
    #[error("cannot make the process undumpable: {0}; processes of this user can read its memory")]
    Undumpable(io::Error),
}

/// Overwrites every occurrence of `secrets` in the initial argument and environment memory.
pub(super) fn wipe(secrets: &[Secret]) -> Result<(), WipeError> {
    if secrets.is_empty() {
        return Ok(());
    }
    let stat = read("/proc/self/stat")?;
    let maps = read("/proc/self/maps")?;
    for block in blocks(&stat).ok_or(WipeError::Addresses)? {
        if block.is_empty() {
            continue;
        }
        if !is_writable(&maps, &block) {
            return Err(WipeError::Addresses);
        }
        let start = std::ptr::with_exposed_provenance_mut::<u8>(block.start);
        // SAFETY: the kernel reports this range as the process's own argument or environment block,
        // and the range lies in one mapping that is readable and writable. It is called before any
        // thread starts, and nothing holds a reference into the block: the standard library hands
        // out copies of arguments and variables only. Bytes are replaced one for one and no NUL is
        // written or removed, so the C strings in it keep their bounds.
        let bytes = unsafe { std::slice::from_raw_parts_mut(start, block.len()) };
        mask_block(bytes, secrets);
        std::hint::black_box(bytes);
    }
    for path in ["/proc/self/cmdline", "/proc/self/environ"] {
        let shown = fs::read(path).map_err(|source| WipeError::Proc { path, source })?;
        let visible = secrets.iter().any(|secret| {
            let needle = secret.expose().as_bytes();
            needle.len() >= super::SHORTEST_SEARCHED && find(&shown, needle).is_some()
        });
        if visible {
            return Err(WipeError::StillVisible { path });
        }
    }
    Ok(())
}

fn read(path: &'static str) -> Result<String, WipeError> {
    fs::read(path)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .map_err(|source| WipeError::Proc { path, source })
}

/// The argument and the environment block of a `/proc/self/stat` line.
fn blocks(stat: &str) -> Option<[Range<usize>; 2]> {
    // The command name may hold spaces and brackets: the last one closes it.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut addresses = fields
        .split_ascii_whitespace()
        .skip(ARGUMENT_START)
        .map(|field| field.parse::<usize>().ok());
    let mut next = || addresses.next().flatten();
    let (arguments, environment) = (next()?..next()?, next()?..next()?);
    let plausible = |block: &Range<usize>| block.start != 0 && block.start <= block.end;
    (plausible(&arguments) && plausible(&environment)).then_some([arguments, environment])
}

/// Whether `block` lies in one readable and writable mapping of `/proc/self/maps`.
fn is_writable(maps: &str, block: &Range<usize>) -> bool {
    maps.lines().any(|line| {
        let mut columns = line.split_ascii_whitespace();
        let range =
            columns.next().and_then(|range| range.split_once('-')).and_then(|(from, to)| {
                Some((usize::from_str_radix(from, 16).ok()?, usize::from_str_radix(to, 16).ok()?))
            });
        let writable = columns.next().is_some_and(|mode| mode.starts_with("rw"));
        writable && range.is_some_and(|(from, to)| from <= block.start && block.end <= to)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stat_line(addresses: &str) -> String {
        let before = "0 ".repeat(ARGUMENT_START - 1);
        format!("7 (a ) b) S {before}{addresses} 0\n")
    }

    #[test]
    fn finds_the_blocks_behind_an_odd_command_name() {
        assert_eq!(blocks(&stat_line("100 120 120 200")), Some([100..120, 120..200]));
        assert_eq!(blocks(&stat_line("0 0 0 0")), None);
        assert_eq!(blocks(&stat_line("100 90 120 200")), None);
        assert_eq!(blocks("7 (x) S 1 2"), None);
        assert_eq!(blocks(""), None);
    }

    #[test]
    fn own_blocks_are_found_and_writable() {
        let stat = read("/proc/self/stat").unwrap();
        let maps = read("/proc/self/maps").unwrap();
        for block in blocks(&stat).unwrap() {
            assert!(is_writable(&maps, &block), "{block:x?} in\n{maps}");
        }
    }

    #[test]
    fn only_writable_mappings_count() {
        let maps = "1000-2000 r-xp 0 00:00 0 /x\n2000-3000 rw-p 0 00:00 0 [stack]\n";
        assert!(is_writable(maps, &(0x2000..0x2fff)));
        assert!(!is_writable(maps, &(0x1000..0x1fff)));
        assert!(!is_writable(maps, &(0x2800..0x3001)));
    }
}
