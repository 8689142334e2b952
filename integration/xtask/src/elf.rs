//! Just enough of the ELF format (64 bits, little-endian) to tell a static-pie executable.

const PT_DYNAMIC: u64 = 2;
const PT_INTERP: u64 = 3;
const DT_NULL: u64 = 0;
const DT_NEEDED: u64 = 1;
const ET_DYN: [u8; 2] = [3, 0];
/// 64-bit ARM (`EM_AARCH64`).
pub const AARCH64: u16 = 183;

/// Whether an executable is for this processor.
pub fn check_machine(bytes: &[u8], expected: u16) -> Result<(), String> {
    let found = bytes.get(18..20).map(|bytes| u16::from_le_bytes([bytes[0], bytes[1]]));
    match found {
        Some(found) if found == expected => Ok(()),
        Some(found) => Err(format!("it is for machine {found} of ELF, not {expected}")),
        None => Err("the file ends too early".to_owned()),
    }
}

/// Whether an executable is position-independent and needs neither a loader nor a library.
pub fn check_static_pie(bytes: &[u8]) -> Result<(), String> {
    let relocates = check_static(bytes)?;
    if bytes.get(16..18) != Some(&ET_DYN) {
        return Err("not position-independent".to_owned());
    }
    if relocates { Ok(()) } else { Err("it has no relocations of its own".to_owned()) }
}

/// Whether an executable needs neither a loader nor a library; true if it has a dynamic section all the
/// same, with its own relocations.
pub fn check_static(bytes: &[u8]) -> Result<bool, String> {
    const TRUNCATED: &str = "the file ends too early";
    if bytes.get(..6) != Some(b"\x7fELF\x02\x01") {
        return Err("not an ELF file of 64 bits".to_owned());
    }
    let number = |at: u64, length: usize| -> Result<u64, String> {
        let at = usize::try_from(at).map_err(|_| TRUNCATED)?;
        let end = at.checked_add(length).ok_or(TRUNCATED)?;
        let digits = bytes.get(at..end).ok_or(TRUNCATED)?;
        Ok(digits.iter().rev().fold(0, |number, digit| number << 8 | u64::from(*digit)))
    };
    let (headers, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let mut dynamic = false;
    for index in 0..count {
        let header = headers.saturating_add(index * size);
        match number(header, 4)? {
            PT_INTERP => return Err("it needs a dynamic loader".to_owned()),
            PT_DYNAMIC => {
                dynamic = true;
                let mut entry = number(header.saturating_add(8), 8)?;
                let end = entry.saturating_add(number(header.saturating_add(32), 8)?);
                while entry < end {
                    match number(entry, 8)? {
                        DT_NULL => break,
                        DT_NEEDED => return Err("it needs a shared library".to_owned()),
                        _ => entry = entry.saturating_add(16),
                    }
                }
            }
            _ => {}
        }
    }
    Ok(dynamic)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An executable with one program header and a dynamic section of one entry.
    fn executable(kind: u8, header: u8, tag: u8) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56 + 32];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[16] = kind;
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = 1;
        bytes[64] = header;
        bytes[64 + 8] = 64 + 56;
        bytes[64 + 32] = 32;
        bytes[64 + 56] = tag;
        bytes
    }

    #[test]
    fn the_machine_is_told() {
        let mut bytes = executable(3, 2, 30);
        bytes[18] = 183;
        assert_eq!(check_machine(&bytes, AARCH64), Ok(()));
        assert!(check_machine(&bytes, 62).unwrap_err().contains("machine 183"));
        assert!(check_machine(b"\x7fELF", 62).is_err());
    }

    #[test]
    fn only_static_pie_passes() {
        assert_eq!(check_static_pie(&executable(3, 2, 30)), Ok(()));
        assert_eq!(check_static(&executable(2, 1, 0)), Ok(false));
        assert!(check_static(&executable(2, 3, 30)).is_err());
        let why = |bytes: &[u8]| check_static_pie(bytes).unwrap_err();
        assert_eq!(why(&executable(2, 2, 30)), "not position-independent");
        assert_eq!(why(&executable(3, 3, 30)), "it needs a dynamic loader");
        assert_eq!(why(&executable(3, 2, 1)), "it needs a shared library");
        assert_eq!(why(&executable(3, 1, 0)), "it has no relocations of its own");
        assert_eq!(why(b"#!/bin/sh"), "not an ELF file of 64 bits");
        assert_eq!(why(&executable(3, 2, 30)[..100]), "the file ends too early");
    }
}
