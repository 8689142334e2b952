//! Which loggers log at which level; changes while the agent runs.

use std::collections::BTreeMap;
use std::sync::{PoisonError, RwLock};

use tracing::Level;
use tracing::level_filters::LevelFilter;

use super::level::JavaLevel;

/// Most loggers for which the controller can set a level. Beyond it further ones are not stored: a
/// controller has a handful of recorders.
const MOST_RECORDERS: usize = 4096;

/// Java packages and the parts of this program that take their place.
const TWINS: [(&str, &str); 5] = [
    ("hudson.remoting", "jenkins_remoting"),
    ("org.jenkinsci.remoting", "jenkins_remoting"),
    ("hudson.util.ProcessTree", "pilotfish_process"),
    ("hudson.Launcher", "pilotfish_process"),
    ("hudson.FilePath", "pilotfish_agent.files"),
];

/// The two tables of levels; see the module [`crate::logging`].
#[derive(Debug)]
pub struct Levels {
    operator: Table,
    recorder: RwLock<Table>,
}

/// Levels by logger name (dotted); the longest name that is the logger or a parent of it counts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Table(BTreeMap<String, LevelFilter>);

impl Table {
    pub(super) fn set(&mut self, logger: &str, filter: LevelFilter) {
        self.0.insert(dotted(logger), filter);
    }

    /// Reads `info,jenkins_remoting=debug`. `None` if a part is no level.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut table = Self::default();
        table.set("", LevelFilter::INFO);
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            match part.split_once('=') {
                Some((logger, level)) => table.set(logger.trim(), level.trim().parse().ok()?),
                // Digits would be read as a level too, and surely do not mean one.
                None if part.bytes().all(|byte| byte.is_ascii_alphabetic()) => {
                    table.set("", part.parse().ok()?);
                }
                None => return None,
            }
        }
        Some(table)
    }

    fn get(&self, target: &str) -> Option<LevelFilter> {
        if self.0.is_empty() {
            return None;
        }
        let logger = dotted(target);
        let mut name = logger.as_str();
        loop {
            if let Some(filter) = self.0.get(name) {
                return Some(*filter);
            }
            if name.is_empty() {
                return None;
            }
            name = name.rsplit_once('.').map_or("", |(parent, _)| parent);
        }
    }

    fn highest(&self) -> LevelFilter {
        self.0.values().copied().max().unwrap_or(LevelFilter::OFF)
    }
}

/// A Rust module path as a Java logger name.
fn dotted(target: &str) -> String {
    target.replace("::", ".")
}

impl Levels {
    pub(super) fn new(operator: Table) -> Self {
        Self { operator, recorder: RwLock::default() }
    }

    /// Whether standard error and files get it.
    #[must_use]
    pub fn shown(&self, target: &str, level: Level) -> bool {
        self.operator.get(target).is_some_and(|filter| level <= filter)
    }

    /// Whether the ring buffer gets it.
    #[must_use]
    pub fn kept(&self, target: &str, level: Level) -> bool {
        let recorder = self.recorder.read().unwrap_or_else(PoisonError::into_inner);
        recorder
            .get(target)
            .or_else(|| self.operator.get(target))
            .is_some_and(|filter| level <= filter)
    }

    /// The most verbose level of both tables.
    pub(super) fn highest(&self) -> LevelFilter {
        let recorder = self.recorder.read().unwrap_or_else(PoisonError::into_inner);
        self.operator.highest().max(recorder.highest())
    }

    pub(super) fn set_recorder(&self, logger: &str, level: Option<JavaLevel>) {
        let mut recorder = self.recorder.write().unwrap_or_else(PoisonError::into_inner);
        let twins = TWINS.iter().filter_map(|(java, native)| {
            let below = logger.strip_prefix(java)?;
            (below.is_empty() || below.starts_with('.')).then(|| (*native).to_owned())
        });
        for name in std::iter::once(dotted(logger)).chain(twins) {
            match level {
                None => {
                    recorder.0.remove(&name);
                }
                Some(level) if recorder.0.len() < MOST_RECORDERS => {
                    recorder.0.insert(name, level.filter());
                }
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_parent_counts() {
        let levels = Levels::new(Table::parse("warn,a.b=debug,a::b::c=off").unwrap());
        assert!(levels.shown("x", Level::WARN));
        assert!(!levels.shown("x", Level::INFO));
        assert!(levels.shown("a.b", Level::DEBUG));
        assert!(levels.shown("a::b::x", Level::DEBUG));
        assert!(!levels.shown("a::bc", Level::INFO));
        assert!(!levels.shown("a::b::c::d", Level::ERROR));
        assert_eq!(levels.highest(), LevelFilter::DEBUG);
    }

    #[test]
    fn filters_with_mistakes() {
        for text in ["verbose", "a=loud", "5", "a b"] {
            assert_eq!(Table::parse(text), None, "{text}");
        }
        assert_eq!(Table::parse("").unwrap().get("x"), Some(LevelFilter::INFO));
        assert_eq!(Table::parse("a=trace").unwrap().get("x"), Some(LevelFilter::INFO));
    }

    #[test]
    fn recorders_reach_the_ring_only() {
        let levels = Levels::new(Table::parse("info").unwrap());
        let target = "jenkins_remoting::channel";
        levels.set_recorder("hudson.remoting", Some(JavaLevel::FINE));
        assert!(levels.kept(target, Level::DEBUG));
        assert!(levels.kept("hudson.remoting.Engine", Level::DEBUG));
        assert!(!levels.kept("hudson.remotingx", Level::DEBUG));
        assert!(!levels.shown(target, Level::DEBUG));
        assert_eq!(levels.highest(), LevelFilter::DEBUG);
        levels.set_recorder("hudson.remoting", Some(JavaLevel::SEVERE));
        assert!(!levels.kept(target, Level::INFO));
        assert!(levels.shown(target, Level::INFO));
        levels.set_recorder("hudson.remoting", None);
        assert!(levels.kept(target, Level::INFO));
        levels.set_recorder("", Some(JavaLevel::ALL));
        assert!(levels.kept("anything", Level::TRACE));
    }
}
