//! The release binary: its size, and that it is static and stripped.

use crate::error::Failed;
use crate::report::{Bar, Report, Row};
use crate::setup::Setup;
use crate::system::mib;

/// The program header that names a dynamic loader (`PT_INTERP`).
const INTERPRETER: u32 = 3;
/// The section of symbols that stripping removes (`SHT_SYMTAB`).
const SYMBOLS: u32 = 2;

pub fn measure(setup: &Setup, report: &mut Report) -> Result<(), Failed> {
    let bytes = std::fs::read(&setup.agent).map_err(Failed::about(setup.agent.display()))?;
    let broken = || Failed::Missing("the agent is no 64-bit little-endian ELF file".to_owned());
    let kinds = Kinds::of(&bytes).ok_or_else(broken)?;
    let linked = if kinds.segments.contains(&INTERPRETER) { "**dynamic**" } else { "static" };
    let stripped = if kinds.sections.contains(&SYMBOLS) { "**not stripped**" } else { "stripped" };
    report.add(Row {
        figure: "release binary".to_owned(),
        ours: format!("{} bytes, {linked}, {stripped}", bytes.len()),
        theirs: "–".to_owned(),
        value: mib(bytes.len() as u64),
        unit: " MiB",
        bar: Bar::AtMost(10.0),
    });
    Ok(())
}

/// The types of a file's program and section headers.
struct Kinds {
    segments: Vec<u32>,
    sections: Vec<u32>,
}

impl Kinds {
    fn of(file: &[u8]) -> Option<Self> {
        if !file.starts_with(b"\x7fELF\x02\x01") {
            return None;
        }
        let short = |at: usize| Some(u16::from_le_bytes(*file.get(at..)?.first_chunk()?));
        let word = |at: usize| Some(u32::from_le_bytes(*file.get(at..)?.first_chunk()?));
        let long =
            |at: usize| usize::try_from(u64::from_le_bytes(*file.get(at..)?.first_chunk()?)).ok();
        let table = |start: usize, size: u16, count: u16, kind: usize| -> Option<Vec<u32>> {
            (0..usize::from(count)).map(|n| word(start + n * usize::from(size) + kind)).collect()
        };
        Some(Self {
            segments: table(long(0x20)?, short(0x36)?, short(0x38)?, 0)?,
            sections: table(long(0x28)?, short(0x3A)?, short(0x3C)?, 4)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_program_is_an_elf_file_with_symbols() {
        let own = std::fs::read(std::env::current_exe().unwrap()).unwrap();
        let kinds = Kinds::of(&own).unwrap();
        // PT_LOAD: whatever runs has one. Tests are not stripped.
        assert!(kinds.segments.contains(&1) && kinds.sections.contains(&SYMBOLS));
        assert!(Kinds::of(b"#!/bin/sh").is_none() && Kinds::of(&own[..40]).is_none());
    }
}
