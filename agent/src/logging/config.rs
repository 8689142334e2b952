//! What is logged where: from `PILOTFISH_LOG` and `-loggingConfig`.
//!
//! Of a `java.util.logging` properties file are read: `handlers` (console and file), `.level` and
//! `<logger>.level`, the `level` of both handlers, and of the file handler `pattern`, `limit`, `count` and
//! `append`. Everything else gets a warning.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use tracing::level_filters::LevelFilter;

use super::LoggingError;
use super::file::FileOptions;
use super::level::JavaLevel;
use super::levels::{Levels, Table};
use super::properties;
use crate::cli::LoggingOptions;

/// Largest `-loggingConfig` file, in bytes.
const LARGEST_CONFIG: u64 = 1 << 20;
/// Size of a log file in the work directory, in bytes (`WorkDirManager`).
const DEFAULT_LIMIT: u64 = 10 << 20;
/// Number of log files in the work directory.
const DEFAULT_COUNT: u32 = 5;
/// Most files that a properties file can ask for.
const MOST_FILES: u32 = 1000;

const CONSOLE_HANDLER: &str = "java.util.logging.ConsoleHandler";
const FILE_HANDLER: &str = "java.util.logging.FileHandler";
const SIMPLE_FORMATTER: &str = "java.util.logging.SimpleFormatter";

pub(super) struct Plan {
    pub(super) levels: Levels,
    /// Level of standard error (and `-agentLog`); none if it has no handler.
    pub(super) console: Option<LevelFilter>,
    pub(super) files: Vec<FilePlan>,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct FilePlan {
    pub(super) pattern: PathBuf,
    pub(super) limit: u64,
    pub(super) count: u32,
    pub(super) append: bool,
    pub(super) level: LevelFilter,
}

impl From<FilePlan> for FileOptions {
    fn from(plan: FilePlan) -> Self {
        let FilePlan { pattern, limit, count, append, .. } = plan;
        Self { pattern, limit, count, append }
    }
}

impl Plan {
    pub(super) fn new(
        options: &LoggingOptions,
        logs_directory: Option<&Path>,
        environment: &[(OsString, OsString)],
    ) -> Result<(Self, Vec<String>), LoggingError> {
        let filter = match &options.filter {
            Some(text) => Some(
                Table::parse(text).ok_or_else(|| LoggingError::Filter { text: text.clone() })?,
            ),
            None => None,
        };
        let (mut settings, warnings) = match &options.java_config {
            Some(path) => JavaConfig::read(path)?.settings(environment),
            None => (Settings::default_for(logs_directory), Vec::new()),
        };
        if let Some(table) = filter {
            // The variable decides alone: a handler's own level must not hide what it asks for.
            settings.table = table;
            settings.console = settings.console.map(|_| LevelFilter::TRACE);
            settings.files.iter_mut().for_each(|file| file.level = LevelFilter::TRACE);
        }
        let Settings { table, console, files } = settings;
        Ok((Self { levels: Levels::new(table), console, files }, warnings))
    }
}

struct Settings {
    table: Table,
    console: Option<LevelFilter>,
    files: Vec<FilePlan>,
}

impl Settings {
    fn default_for(logs_directory: Option<&Path>) -> Self {
        let mut table = Table::default();
        table.set("", LevelFilter::INFO);
        let file = logs_directory.map(|directory| FilePlan {
            pattern: directory.join("remoting.log"),
            limit: DEFAULT_LIMIT,
            count: DEFAULT_COUNT,
            append: false,
            level: LevelFilter::INFO,
        });
        Self { table, console: Some(LevelFilter::INFO), files: file.into_iter().collect() }
    }
}

struct JavaConfig {
    path: PathBuf,
    properties: BTreeMap<String, String>,
}

impl JavaConfig {
    fn read(path: &Path) -> Result<Self, LoggingError> {
        let open =
            |source| LoggingError::Open { option: "-loggingConfig", path: path.to_owned(), source };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(open)?;
        file.take(LARGEST_CONFIG + 1).read_to_end(&mut bytes).map_err(open)?;
        if bytes.len() as u64 > LARGEST_CONFIG {
            return Err(LoggingError::TooLarge { path: path.to_owned(), limit: LARGEST_CONFIG });
        }
        // Such files are ISO 8859-1: every byte is the character of that number.
        let text: String = bytes.into_iter().map(char::from).collect();
        Ok(Self {
            path: path.to_owned(),
            properties: properties::parse(&text).into_iter().collect(),
        })
    }

    fn settings(mut self, environment: &[(OsString, OsString)]) -> (Settings, Vec<String>) {
        let mut warnings = Vec::new();
        let path = self.path.display().to_string();
        let mut warn = |problem: String| warnings.push(format!("{path}: {problem}"));
        let handlers = self.properties.remove("handlers").unwrap_or_default();
        let (mut console, mut files) = (None, Vec::new());
        let names = handlers.split([',', ' ', '\t']).filter(|name| !name.is_empty());
        for name in names {
            match name {
                CONSOLE_HANDLER => {
                    console =
                        Some(self.level(CONSOLE_HANDLER, JavaLevel::INFO, &mut warn).filter());
                }
                FILE_HANDLER => files.push(self.file(environment, &mut warn)),
                other => warn(format!("the handler {other} is not available; it is left out")),
            }
        }
        let mut table = Table::default();
        table.set("", LevelFilter::INFO);
        for handler in [CONSOLE_HANDLER, FILE_HANDLER] {
            let formatter = self.properties.remove(&format!("{handler}.formatter"));
            if formatter.is_some_and(|formatter| formatter != SIMPLE_FORMATTER) {
                warn(format!("{handler}.formatter has no effect: see --log-format"));
            }
        }
        for (key, value) in &self.properties {
            let Some(logger) = key.strip_suffix(".level") else {
                let handled = [CONSOLE_HANDLER, FILE_HANDLER];
                if !handled.iter().any(|handler| is_setting_of(handler, key)) {
                    warn(format!("{key} has no effect"));
                }
                continue;
            };
            if [CONSOLE_HANDLER, FILE_HANDLER].contains(&logger) {
                continue;
            }
            match JavaLevel::parse(value.trim()) {
                Some(level) => table.set(logger, level.filter()),
                None => warn(format!(
                    "{key}={value} is no level of java.util.logging; it has no effect"
                )),
            }
        }
        (Settings { table, console, files }, warnings)
    }

    fn level(&self, handler: &str, default: JavaLevel, warn: &mut impl FnMut(String)) -> JavaLevel {
        let Some(value) = self.properties.get(&format!("{handler}.level")) else { return default };
        JavaLevel::parse(value.trim()).unwrap_or_else(|| {
            warn(format!(
                "{handler}.level={value} is no level of java.util.logging; {default} is used"
            ));
            default
        })
    }

    /// The file handler, with the defaults that the JDK documents for it.
    fn file(
        &self,
        environment: &[(OsString, OsString)],
        warn: &mut impl FnMut(String),
    ) -> FilePlan {
        let setting = |name: &str| {
            self.properties
                .get(&format!("{FILE_HANDLER}.{name}"))
                .map(|value| value.trim().to_owned())
        };
        let pattern = setting("pattern").unwrap_or_else(|| "%h/java%u.log".to_owned());
        let mut number = |name: &str, default: u64| match setting(name) {
            None => default,
            Some(text) => text.parse().unwrap_or_else(|_| {
                warn(format!("{FILE_HANDLER}.{name}={text} is no number; {default} is used"));
                default
            }),
        };
        let limit = number("limit", 0);
        let count = number("count", 1).clamp(1, u64::from(MOST_FILES));
        FilePlan {
            pattern: expanded(&pattern, environment),
            limit,
            count: u32::try_from(count).unwrap_or(MOST_FILES),
            append: setting("append").as_deref() == Some("true"),
            level: self.level(FILE_HANDLER, JavaLevel::ALL, warn).filter(),
        }
    }
}

fn is_setting_of(handler: &str, key: &str) -> bool {
    key.strip_prefix(handler)
        .is_some_and(|name| matches!(name, ".pattern" | ".limit" | ".count" | ".append" | ".level"))
}

/// Fills in `%h`, `%t`, `%u` and `%%`. `%g` stays for the rotation, which also tells agents in one
/// directory apart, so `%u` is always 0.
fn expanded(pattern: &str, environment: &[(OsString, OsString)]) -> PathBuf {
    let variable = |name: &str, default: &str| {
        let value = environment.iter().find(|(key, _)| key == name);
        value.map_or_else(|| default.to_owned(), |(_, value)| value.to_string_lossy().into_owned())
    };
    let mut path = String::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        match (character, characters.clone().next()) {
            ('%', Some('h')) => path.push_str(&variable("HOME", ".")),
            ('%', Some('t')) => path.push_str(&variable("TMPDIR", "/tmp")),
            ('%', Some('u')) => path.push('0'),
            ('%', Some('%')) => path.push('%'),
            (other, _) => {
                path.push(other);
                continue;
            }
        }
        characters.next();
    }
    path.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::Level;

    fn plan(config: Option<&str>, filter: Option<&str>) -> (Plan, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logging.properties");
        let options = LoggingOptions {
            java_config: config.map(|text| {
                std::fs::write(&path, text).unwrap();
                path.clone()
            }),
            filter: filter.map(str::to_owned),
            ..LoggingOptions::default()
        };
        let environment = [(OsString::from("HOME"), OsString::from("/home/x"))];
        let (plan, warnings) =
            Plan::new(&options, Some(Path::new("/w/logs")), &environment).unwrap();
        let prefix = format!("{}: ", path.display());
        (plan, warnings.iter().map(|line| line.replace(&prefix, "")).collect())
    }

    #[test]
    fn by_default_info_to_both() {
        let (plan, warnings) = plan(None, None);
        assert!(plan.levels.shown("x", Level::INFO) && !plan.levels.shown("x", Level::DEBUG));
        assert_eq!(plan.console, Some(LevelFilter::INFO));
        assert_eq!(
            plan.files,
            [FilePlan {
                pattern: "/w/logs/remoting.log".into(),
                limit: 10_485_760,
                count: 5,
                append: false,
                level: LevelFilter::INFO,
            }]
        );
        assert!(warnings.is_empty());
    }

    #[test]
    fn the_variable_reaches_files_too() {
        let (plan, _) = plan(None, Some("debug"));
        assert!(plan.levels.shown("x", Level::DEBUG));
        assert_eq!(plan.console, Some(LevelFilter::TRACE));
        assert_eq!(plan.files[0].level, LevelFilter::TRACE);
    }

    #[test]
    fn properties_say_everything() {
        let (plan, warnings) = plan(
            Some(
                "handlers= java.util.logging.FileHandler, java.util.logging.ConsoleHandler com.x.H\n\
                 .level=WARNING\nhudson.remoting.level=ALL\nbad.level=loud\n\
                 java.util.logging.FileHandler.pattern=%h/agent-%u.log%%\n\
                 java.util.logging.FileHandler.limit=500\njava.util.logging.FileHandler.count=x\n\
                 java.util.logging.FileHandler.append=true\njava.util.logging.FileHandler.level=FINE\n\
                 java.util.logging.FileHandler.formatter=java.util.logging.XMLFormatter\n\
                 java.util.logging.ConsoleHandler.formatter=java.util.logging.SimpleFormatter\nother=1\n",
            ),
            None,
        );
        assert!(plan.levels.shown("hudson.remoting.Engine", Level::TRACE));
        assert!(!plan.levels.shown("hudson", Level::INFO));
        assert_eq!(plan.console, Some(LevelFilter::INFO));
        assert_eq!(
            plan.files,
            [FilePlan {
                pattern: "/home/x/agent-0.log%".into(),
                limit: 500,
                count: 1,
                append: true,
                level: LevelFilter::DEBUG,
            }]
        );
        assert_eq!(
            warnings,
            [
                "java.util.logging.FileHandler.count=x is no number; 1 is used",
                "the handler com.x.H is not available; it is left out",
                "java.util.logging.FileHandler.formatter has no effect: see --log-format",
                "bad.level=loud is no level of java.util.logging; it has no effect",
                "other has no effect",
            ]
        );
    }

    #[test]
    fn a_bad_filter_is_an_error() {
        let options =
            LoggingOptions { filter: Some("loud".to_owned()), ..LoggingOptions::default() };
        let error = Plan::new(&options, None, &[]).map(|_| ()).unwrap_err().to_string();
        assert!(error.starts_with("PILOTFISH_LOG=loud is no log filter: use a level"), "{error}");
    }
}
