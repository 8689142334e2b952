//! Levels of `java.util.logging` and what they are in `tracing`.

use std::fmt;

use tracing::Level;
use tracing::level_filters::LevelFilter;

/// A level of `java.util.logging`, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JavaLevel(i32);

const NAMES: [(&str, JavaLevel); 9] = [
    ("OFF", JavaLevel::OFF),
    ("SEVERE", JavaLevel::SEVERE),
    ("WARNING", JavaLevel::WARNING),
    ("INFO", JavaLevel::INFO),
    ("CONFIG", JavaLevel::CONFIG),
    ("FINE", JavaLevel::FINE),
    ("FINER", JavaLevel::FINER),
    ("FINEST", JavaLevel::FINEST),
    ("ALL", JavaLevel::ALL),
];

impl JavaLevel {
    /// `Level.OFF`
    pub const OFF: Self = Self(i32::MAX);
    /// `Level.SEVERE`
    pub const SEVERE: Self = Self(1000);
    /// `Level.WARNING`
    pub const WARNING: Self = Self(900);
    /// `Level.INFO`
    pub const INFO: Self = Self(800);
    /// `Level.CONFIG`
    pub const CONFIG: Self = Self(700);
    /// `Level.FINE`
    pub const FINE: Self = Self(500);
    /// `Level.FINER`
    pub const FINER: Self = Self(400);
    /// `Level.FINEST`
    pub const FINEST: Self = Self(300);
    /// `Level.ALL`
    pub const ALL: Self = Self(i32::MIN);

    /// The level with this number (`java.util.logging.Level`, field `value`).
    #[must_use]
    pub const fn of_value(value: i32) -> Self {
        Self(value)
    }

    /// The level with this name or decimal number, as `Level.parse` reads it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let named = NAMES.iter().find(|(name, _)| *name == text).map(|&(_, level)| level);
        named.or_else(|| text.parse().ok().map(Self))
    }

    /// The number.
    #[must_use]
    pub const fn value(self) -> i32 {
        self.0
    }

    /// The name of a standard level.
    #[must_use]
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|&&(_, level)| level == self).map(|&(name, _)| name)
    }

    /// What an event of this level is in Java.
    #[must_use]
    pub fn of_event(level: Level) -> Self {
        match level {
            Level::ERROR => Self::SEVERE,
            Level::WARN => Self::WARNING,
            Level::INFO => Self::INFO,
            Level::DEBUG => Self::FINE,
            Level::TRACE => Self::FINER,
        }
    }

    /// Which events a logger or handler of this level lets through.
    #[must_use]
    pub fn filter(self) -> LevelFilter {
        let reached = [Level::TRACE, Level::DEBUG, Level::INFO, Level::WARN, Level::ERROR]
            .into_iter()
            .find(|&level| Self::of_event(level) >= self);
        // Only FINEST and ALL ask for less than FINER: TRACE then, which the search finds first.
        reached.map_or(LevelFilter::OFF, LevelFilter::from_level)
    }
}

impl fmt::Display for JavaLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters() {
        for (text, filter) in [
            ("OFF", LevelFilter::OFF),
            ("SEVERE", LevelFilter::ERROR),
            ("WARNING", LevelFilter::WARN),
            ("INFO", LevelFilter::INFO),
            ("CONFIG", LevelFilter::INFO),
            ("FINE", LevelFilter::DEBUG),
            ("FINER", LevelFilter::TRACE),
            ("FINEST", LevelFilter::TRACE),
            ("ALL", LevelFilter::TRACE),
            ("850", LevelFilter::WARN),
            ("1100", LevelFilter::OFF),
        ] {
            assert_eq!(JavaLevel::parse(text).unwrap().filter(), filter, "{text}");
        }
        assert_eq!(JavaLevel::parse("info"), None);
        assert_eq!(JavaLevel::of_value(500).to_string(), "FINE");
        assert_eq!(JavaLevel::of_value(501).to_string(), "501");
    }
}
