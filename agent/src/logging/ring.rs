//! The latest log records, for the controller's page "agent log" (`hudson.slaves.SlaveComputer$SlaveLogFetcher`).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::level::JavaLevel;

/// Longest text that is kept of a message, in bytes, so that the buffer stays below 1 MiB.
const LONGEST_MESSAGE: usize = 4096;

/// One log record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub time: SystemTime,
    /// Its level.
    pub level: JavaLevel,
    /// The logger's name, dotted: a Java class or a module of this program.
    pub logger: String,
    /// The method, where the line stands for one of the Java agent.
    pub method: Option<String>,
    /// The text, without fields.
    pub message: String,
    /// Further fields in order.
    pub fields: Vec<(&'static str, String)>,
}

impl Record {
    /// The text with the fields behind it, as it is shown in one line.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            text.push_str(if text.is_empty() { "" } else { " " });
            text.push_str(name);
            text.push('=');
            text.push_str(value);
        }
        text
    }
}

/// A buffer of the latest records; the oldest gives way.
#[derive(Debug)]
pub struct Ring {
    records: Mutex<VecDeque<Record>>,
    capacity: usize,
}

impl Ring {
    /// A buffer of `capacity` records, at least one.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self { records: Mutex::default(), capacity: capacity.max(1) }
    }

    /// Adds a record. Its fields become part of the message, which is cut to 4 KiB.
    pub fn push(&self, mut record: Record) {
        let mut text = record.text();
        if text.len() > LONGEST_MESSAGE {
            text.truncate(text.floor_char_boundary(LONGEST_MESSAGE));
            text.push('…');
        }
        record.message = text;
        record.fields = Vec::new();
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        if records.len() >= self.capacity {
            records.pop_front();
        }
        records.push_back(record);
    }

    /// All records, the newest first: the order of `hudson.util.RingBufferLogHandler`.
    #[must_use]
    pub fn newest_first(&self) -> Vec<Record> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        records.iter().rev().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(message: &str) -> Record {
        Record {
            time: SystemTime::UNIX_EPOCH,
            level: JavaLevel::INFO,
            logger: "l".to_owned(),
            method: None,
            message: message.to_owned(),
            fields: vec![("n", "1".to_owned())],
        }
    }

    #[test]
    fn keeps_the_latest_newest_first() {
        let ring = Ring::new(2);
        for text in ["a", "b", "c"] {
            ring.push(record(text));
        }
        let texts: Vec<String> =
            ring.newest_first().into_iter().map(|record| record.message).collect();
        assert_eq!(texts, ["c n=1", "b n=1"]);
    }

    #[test]
    fn long_messages_are_cut_at_a_character() {
        let ring = Ring::new(1);
        ring.push(record(&"é".repeat(LONGEST_MESSAGE)));
        let kept = ring.newest_first().remove(0).message;
        assert_eq!(kept.len(), LONGEST_MESSAGE + '…'.len_utf8());
    }
}
