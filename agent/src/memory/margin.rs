//! How far below the limit the agent acts.

use std::fmt;

/// What can be given, for messages.
pub const MARGIN_FORMATS: &str = "auto, off, a share such as 5%, or a size such as 64m or 1g";

const MIB: u64 = 1 << 20;

/// How far below the limit of the container the agent ends a process itself, where the kernel would
/// end all of them.
///
/// Whatever is given, it is at least 1 MiB and at most half of the limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Margin {
    /// 3 % of the limit, at least 16 MiB and at most 256 MiB: what a build can take in the time
    /// between two looks.
    #[default]
    Auto,
    /// Never: the kernel ends the whole container.
    Off,
    /// A share of the limit in percent, 1 to 50.
    Percent(u8),
    /// A size in bytes.
    Bytes(u64),
}

impl Margin {
    /// Reads one of [`MARGIN_FORMATS`].
    ///
    /// # Errors
    /// What was expected, as a sentence for the user.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no margin: use {MARGIN_FORMATS}");
        match text {
            "auto" => return Ok(Self::Auto),
            "off" => return Ok(Self::Off),
            _ => {}
        }
        if let Some(share) = text.strip_suffix('%') {
            let share = share.parse::<u8>().ok().filter(|share| (1..=50).contains(share));
            return share
                .map(Self::Percent)
                .ok_or_else(|| format!("{text:?} is no margin: a share is 1% to 50%"));
        }
        let digits = text.trim_end_matches(|end: char| end.is_ascii_alphabetic());
        let unit: u64 = match text[digits.len()..].to_ascii_lowercase().as_str() {
            "" => 1,
            "k" | "ki" | "kib" => 1 << 10,
            "m" | "mi" | "mib" => MIB,
            "g" | "gi" | "gib" => 1 << 30,
            _ => return Err(wrong()),
        };
        let number: u64 = digits.parse().map_err(|_| wrong())?;
        number.checked_mul(unit).filter(|bytes| *bytes > 0).map(Self::Bytes).ok_or_else(wrong)
    }

    /// The margin for a limit, both in bytes.
    #[must_use]
    pub fn bytes(self, limit: u64) -> u64 {
        let wanted = match self {
            Self::Auto => (limit / 100 * 3).clamp(16 * MIB, 256 * MIB),
            Self::Off => 0,
            Self::Percent(share) => limit / 100 * u64::from(share),
            Self::Bytes(bytes) => bytes,
        };
        wanted.max(MIB).min(limit / 2)
    }
}

impl fmt::Display for Margin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Off => f.write_str("off"),
            Self::Percent(share) => write!(f, "{share}%"),
            Self::Bytes(bytes) => write!(f, "{bytes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn margins_are_read() {
        for (text, margin) in [
            ("auto", Margin::Auto),
            ("off", Margin::Off),
            ("5%", Margin::Percent(5)),
            ("64m", Margin::Bytes(64 * MIB)),
            ("1Gi", Margin::Bytes(1 << 30)),
            ("4096", Margin::Bytes(4096)),
        ] {
            assert_eq!(Margin::parse(text), Ok(margin));
        }
        for text in ["", "0", "0%", "51%", "-1", "5 %", "64q", "99999999999g", "é"] {
            assert!(Margin::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn no_margin_leaves_its_bounds() {
        assert_eq!(Margin::Auto.bytes(1 << 30), (1 << 30) / 100 * 3);
        assert_eq!(Margin::Auto.bytes(256 * MIB), 16 * MIB);
        assert_eq!(Margin::Auto.bytes(64 << 30), 256 * MIB);
        assert_eq!(Margin::Auto.bytes(20 * MIB), 10 * MIB);
        assert_eq!(Margin::Bytes(u64::MAX).bytes(1000 * MIB), 500 * MIB);
        assert_eq!(Margin::Bytes(1).bytes(1000 * MIB), MIB);
    }
}
