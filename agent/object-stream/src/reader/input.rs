//! The bytes of a stream and the place in them, with every length checked before it is used.

use crate::error::ReadErrorKind as Kind;
use crate::limits::Limits;
use crate::text::JavaStr;

pub(super) type Read<T> = Result<T, Kind>;

/// How many elements a list may allocate before it has read any.
const FIRST_ALLOCATION: usize = 256;

pub(super) struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Input<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The offset of the next byte.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn is_at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    pub(super) fn peek(&self) -> Read<u8> {
        let next = self.bytes.get(self.at).copied();
        next.ok_or(Kind::Truncated { expected: 1, available: 0 })
    }

    /// Passes over a byte that was peeked at.
    pub(super) fn skip(&mut self) {
        self.at += 1;
    }

    pub(super) fn take(&mut self, count: u64) -> Read<&'a [u8]> {
        let rest = self.bytes.get(self.at..).unwrap_or(&[]);
        let taken = usize::try_from(count).ok().and_then(|count| rest.get(..count));
        let taken = taken.ok_or(Kind::Truncated { expected: count, available: rest.len() })?;
        self.at += taken.len();
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N as u64)?);
        Ok(out)
    }

    pub(super) fn u8(&mut self) -> Read<u8> {
        self.array().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Read<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Read<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Read<u64> {
        self.array().map(u64::from_be_bytes)
    }

    pub(super) fn text(&mut self, length: u64, limits: &Limits) -> Read<JavaStr<'a>> {
        within("string length", length, limits.string_bytes)?;
        JavaStr::from_modified_utf8(self.take(length)?).ok_or(Kind::BadString)
    }

    pub(super) fn short_text(&mut self, limits: &Limits) -> Read<JavaStr<'a>> {
        let length = self.u16()?;
        self.text(length.into(), limits)
    }

    /// How much to allocate for `count` things of at least `size` bytes each: never more than the
    /// rest of the stream can hold, and little at first, since lists that claim much may nest.
    pub(super) fn plausible(&self, count: u64, size: usize) -> usize {
        let rest = self.bytes.len().saturating_sub(self.at) / size;
        usize::try_from(count).map_or(rest, |count| count.min(rest)).min(FIRST_ALLOCATION)
    }
}

pub(super) fn within(what: &'static str, got: u64, limit: usize) -> Read<()> {
    if got > limit as u64 { Err(Kind::TooMuch { what, got, limit }) } else { Ok(()) }
}
