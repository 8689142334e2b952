//! The whole log with real events.

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use tracing::level_filters::LevelFilter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::levels::Table;
use super::*;
use crate::cli::LogFormat;

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Buffer {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn logging(filter: &str, sinks: &[(LevelFilter, &Buffer)]) -> Logging {
    let sinks = sinks.iter().map(|(level, buffer)| Sink::new(*level, Box::new((*buffer).clone())));
    Logging::with_sinks(
        Levels::new(Table::parse(filter).unwrap()),
        LogFormat::Human,
        sinks.collect(),
    )
    .unwrap()
}

/// Lines without the time in front.
fn untimed(text: &str) -> Vec<&str> {
    text.lines()
        .map(|line| {
            line.split_once("AM ").or_else(|| line.split_once("PM ")).map_or(line, |(_, rest)| rest)
        })
        .collect()
}

#[test]
fn events_become_lines_and_records() {
    let buffer = Buffer::default();
    let logging = logging("info", &[(LevelFilter::TRACE, &buffer)]);
    let subscriber = tracing_subscriber::registry().with(logging.layer.clone());
    tracing::subscriber::with_default(subscriber, || {
        tracing::info!(target: "hudson.remoting.Launcher", method = "createEngine", "Setting up agent: a");
        tracing::info!(origin = "hudson.remoting.Launcher$CuiListener status", "Connected");
        tracing::warn!(bytes = 7, path = %"/x", "slow");
        let error = io::Error::other("inner");
        tracing::error!(error = &error as &dyn std::error::Error, "failed");
        tracing::debug!("not shown");
    });
    logging.flush();
    assert_eq!(
        untimed(&buffer.text()),
        [
            "hudson.remoting.Launcher createEngine",
            "INFO: Setting up agent: a",
            "hudson.remoting.Launcher$CuiListener status",
            "INFO: Connected",
            "pilotfish_agent.logging.tests",
            "WARNING: slow bytes=7 path=/x",
            "pilotfish_agent.logging.tests",
            "SEVERE: failed error=inner",
        ]
    );
    let records = logging.ring().newest_first();
    let short: Vec<_> = records
        .iter()
        .map(|r| (r.level.to_string(), r.logger.as_str(), r.message.as_str()))
        .collect();
    assert_eq!(
        short,
        [
            ("SEVERE".to_owned(), "pilotfish_agent.logging.tests", "failed error=inner"),
            ("WARNING".to_owned(), "pilotfish_agent.logging.tests", "slow bytes=7 path=/x"),
            ("INFO".to_owned(), "hudson.remoting.Launcher$CuiListener", "Connected"),
            ("INFO".to_owned(), "hudson.remoting.Launcher", "Setting up agent: a"),
        ]
    );
    assert_eq!(records[3].method.as_deref(), Some("createEngine"));
}

#[test]
fn sinks_have_levels_of_their_own() {
    let (console, file) = (Buffer::default(), Buffer::default());
    let logging = logging("trace", &[(LevelFilter::WARN, &console), (LevelFilter::DEBUG, &file)]);
    let subscriber = tracing_subscriber::registry().with(logging.layer.clone());
    tracing::subscriber::with_default(subscriber, || {
        tracing::warn!("w");
        tracing::debug!("d");
        tracing::trace!("t");
    });
    logging.flush();
    assert_eq!(untimed(&console.text()).len(), 2);
    assert_eq!(untimed(&file.text()).len(), 4);
    assert_eq!(logging.ring().newest_first().len(), 3);
}

#[test]
fn a_recorder_changes_the_ring_while_running() {
    let buffer = Buffer::default();
    let logging = logging("info", &[(LevelFilter::TRACE, &buffer)]);
    let subscriber = tracing_subscriber::registry().with(logging.layer.clone());
    tracing::subscriber::with_default(subscriber, || {
        let log = || tracing::debug!(target: "hudson.plugins.x", "detail");
        log();
        logging.set_level("hudson.plugins", Some(JavaLevel::FINE));
        log();
        logging.set_level("hudson.plugins", None);
        log();
    });
    logging.flush();
    assert_eq!(logging.ring().newest_first().len(), 1);
    assert_eq!(buffer.text(), "");
}

#[test]
fn more_than_fits_is_counted_not_waited_for() {
    /// Blocks until the test lets it go.
    struct Gate(std::sync::mpsc::Receiver<()>, Buffer);
    impl Write for Gate {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            self.1.write(text)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let (open, gate) = std::sync::mpsc::channel();
    let buffer = Buffer::default();
    let writer =
        Writer::start(vec![Sink::new(LevelFilter::TRACE, Box::new(Gate(gate, buffer.clone())))])
            .unwrap();
    for _ in 0..10_000 {
        writer.write(tracing::Level::INFO, b"x\n".to_vec());
    }
    drop(open);
    writer.flush();
    writer.write(tracing::Level::INFO, b"last\n".to_vec());
    writer.flush();
    let text = buffer.text();
    assert!(text.contains("log records were lost: too many at once"), "{} bytes", text.len());
    assert!(text.ends_with("last\n"));
    assert!(text.lines().count() < 5000);
}
