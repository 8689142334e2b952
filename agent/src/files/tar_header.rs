//! The 512-byte header of a tar entry, in the bytes of Ant's `TarEntry#writeEntryHeader`.

/// Size of a tar record.
pub const RECORD: usize = 512;
/// Size of the block that a tar stream is padded to (Ant `TarBuffer.DEFAULT_BLKSIZE`).
pub const BLOCK: usize = RECORD * 20;
/// Longest name that fits into a header; longer ones need an extra entry.
pub const NAME_LIMIT: usize = 100;

/// Ant `TarEntry.DEFAULT_FILE_MODE`.
pub const DEFAULT_FILE_MODE: u32 = 0o100_644;

/// Type flags.
pub mod kind {
    /// Regular file.
    pub const FILE: u8 = b'0';
    /// Hard link.
    pub const HARD_LINK: u8 = b'1';
    /// Symbolic link.
    pub const SYMLINK: u8 = b'2';
    /// Directory.
    pub const DIRECTORY: u8 = b'5';
    /// The next entry's long link text (GNU).
    pub const LONG_LINK: u8 = b'K';
    /// The next entry's long name (GNU).
    pub const LONG_NAME: u8 = b'L';
    /// Sparse file (GNU).
    pub const SPARSE: u8 = b'S';
    /// Attributes of the next entry (PAX).
    pub const PAX: u8 = b'x';
    /// The same, as early Solaris wrote it.
    pub const PAX_SOLARIS: u8 = b'X';
    /// Attributes of all entries that follow (PAX).
    pub const PAX_GLOBAL: u8 = b'g';
}

/// What a header says.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// Name; cut at 100 bytes.
    pub name: &'a [u8],
    /// Permission bits, without a file type unless Ant's defaults have one.
    pub mode: u32,
    /// Bytes of data that follow.
    pub size: u64,
    /// Seconds since the epoch.
    pub modified: i64,
    /// Type flag, see [`kind`].
    pub kind: u8,
    /// Link text; cut at 100 bytes.
    pub link: &'a [u8],
}

impl Header<'_> {
    /// The record to write. User and group stay empty and 0, as in Jenkins' archives.
    #[must_use]
    pub fn encode(&self) -> [u8; RECORD] {
        let mut record = [0_u8; RECORD];
        put_name(&mut record[..100], self.name);
        put_number(&mut record[100..108], i64::from(self.mode));
        put_number(&mut record[108..116], 0);
        put_number(&mut record[116..124], 0);
        put_number(&mut record[124..136], i64::try_from(self.size).unwrap_or(i64::MAX));
        put_number(&mut record[136..148], self.modified);
        record[148..156].fill(b' ');
        record[156] = self.kind;
        put_name(&mut record[157..257], self.link);
        // Ant marks only the long-name entry as GNU; the long-link entry keeps the POSIX magic.
        record[257..265].copy_from_slice(if self.kind == kind::LONG_NAME {
            b"ustar  \0"
        } else {
            b"ustar\x0000"
        });
        put_number(&mut record[329..337], 0);
        put_number(&mut record[337..345], 0);
        let sum: u32 = record.iter().map(|byte| u32::from(*byte)).sum();
        let text = format!("{sum:06o}\0 ");
        record[148..156].copy_from_slice(text.as_bytes());
        record
    }
}

fn put_name(field: &mut [u8], name: &[u8]) {
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
}

/// Octal digits and a blank, or base 256 if the number does not fit (Ant `BIGNUMBER_STAR`).
fn put_number(field: &mut [u8], value: i64) {
    let digits = field.len() - 1;
    let fits = value >= 0 && (value >> (3 * digits).min(62)) == 0;
    if fits {
        let text = format!("{value:0digits$o} ");
        field.copy_from_slice(text.as_bytes());
    } else {
        let bytes = value.to_be_bytes();
        let fill = if value < 0 { 0xff } else { 0 };
        field.fill(fill);
        let used = bytes.len().min(digits);
        let at = field.len() - used;
        field[at..].copy_from_slice(&bytes[bytes.len() - used..]);
        field[0] = if value < 0 { 0xff } else { 0x80 };
    }
}

/// Reads a numeric field of either form; `None` if it is neither.
#[must_use]
pub fn parse_number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let mut value: i128 = if first == 0xff { -1 } else { i128::from(first & 0x7f) };
        for byte in rest {
            value = value.checked_mul(256)?.checked_add(i128::from(*byte))?;
        }
        return i64::try_from(value).ok();
    }
    if first == 0 {
        return Some(0);
    }
    let start = field.iter().position(|byte| *byte != b' ').unwrap_or(field.len());
    let end =
        field.iter().rposition(|byte| !matches!(byte, 0 | b' ')).map_or(start, |last| last + 1);
    let mut value: i64 = 0;
    for byte in field.get(start..end).unwrap_or_default() {
        if !(b'0'..=b'7').contains(byte) {
            return None;
        }
        value = value.checked_mul(8)?.checked_add(i64::from(byte - b'0'))?;
    }
    Some(value)
}

/// A name field up to its first NUL.
#[must_use]
pub fn parse_name(field: &[u8]) -> &[u8] {
    let end = field.iter().position(|byte| *byte == 0).unwrap_or(field.len());
    &field[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first record of a stash made by the official agent, its time apart.
    #[test]
    fn has_the_bytes_of_a_recorded_header() {
        let header = Header {
            name: b"d/e/lnk",
            mode: 0o755,
            size: 0,
            modified: 0o15300630557,
            kind: kind::SYMLINK,
            link: b"x.txt",
        };
        let record = header.encode();
        assert_eq!(
            &record[100..164],
            b"0000755 0000000 0000000 00000000000 15300630557 011767\0 2x.txt\0\0"
        );
        assert_eq!(&record[257..265], b"ustar\x0000");
        assert_eq!(&record[329..345], b"0000000 0000000 ");
    }

    #[test]
    fn numbers_round_trip() {
        for value in
            [0, 1, 0o777_7777, 0o77_777_777_777, 0o77_777_777_777 + 1, 1 << 40, -1, -86_400]
        {
            let mut field = [0; 12];
            put_number(&mut field, value);
            assert_eq!(parse_number(&field), Some(value), "{field:?}");
        }
        assert_eq!(parse_number(b"  644 \0\0"), Some(0o644));
        assert_eq!(parse_number(b"12x4567\0"), None);
        assert_eq!(parse_number(&[0xff; 40]), Some(-1));
        assert_eq!(parse_number(&[0x80, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]), None);
    }
}
