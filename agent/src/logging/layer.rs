//! The `tracing` layer: from events to records, and records to their sinks.

use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::SystemTime;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use super::format;
use super::level::JavaLevel;
use super::levels::Levels;
use super::ring::{Record, Ring};
use super::writer::Writer;
use crate::cli::LogFormat;

/// Longest text of one field or message in the log, in bytes.
const LONGEST_VALUE: usize = 64 << 10;

#[derive(Clone)]
pub(super) struct LogLayer {
    levels: Arc<Levels>,
    ring: Arc<Ring>,
    writer: Arc<Writer>,
    format: LogFormat,
}

impl LogLayer {
    pub(super) fn new(
        levels: Arc<Levels>,
        ring: Arc<Ring>,
        writer: Arc<Writer>,
        format: LogFormat,
    ) -> Self {
        Self { levels, ring, writer, format }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        let (target, level) = (metadata.target(), *metadata.level());
        self.levels.shown(target, level) || self.levels.kept(target, level)
    }
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Asked again whenever a level changes: see Logging::set_level.
        if self.wants(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.levels.highest())
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let (target, level) = (metadata.target(), *metadata.level());
        let shown = self.levels.shown(target, level);
        let kept = self.levels.kept(target, level);
        if !shown && !kept {
            return;
        }
        let mut record = Record {
            time: SystemTime::now(),
            level: JavaLevel::of_event(level),
            logger: target.replace("::", "."),
            method: None,
            message: String::new(),
            fields: Vec::new(),
        };
        event.record(&mut Visitor(&mut record));
        if shown {
            self.writer.write(level, format::formatted(&record, self.format).into_bytes());
        }
        if kept {
            self.ring.push(record);
        }
    }
}

/// Fields with a meaning: `message`; `method` (of a Java class, printed behind the logger); `origin`
/// (logger and method in one text, in the place of the target).
struct Visitor<'a>(&'a mut Record);

impl Visitor<'_> {
    fn take(&mut self, name: &'static str, mut value: String) {
        if value.len() > LONGEST_VALUE {
            value.truncate(value.floor_char_boundary(LONGEST_VALUE));
            value.push('…');
        }
        match name {
            "message" => self.0.message = value,
            "method" => self.0.method = Some(value),
            "origin" => match value.split_once(' ') {
                Some((logger, method)) => {
                    self.0.logger = logger.to_owned();
                    self.0.method = Some(method.to_owned());
                }
                None => self.0.logger = value,
            },
            _ => self.0.fields.push((name, value)),
        }
    }
}

impl Visit for Visitor<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.take(field.name(), value.to_owned());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let mut text = String::new();
        let _ = write!(text, "{value:?}");
        self.take(field.name(), text);
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // With its causes: the outermost message alone rarely tells what happened.
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(inner) = cause {
            let _ = write!(text, ": {inner}");
            cause = inner.source();
        }
        self.take(field.name(), text);
    }
}
