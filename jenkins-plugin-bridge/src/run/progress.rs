//! Telling the user what happens, line by line.

use std::sync::Mutex;
use std::time::Duration;

use crate::plan::Outcome;
use crate::text::duration_words;

/// Something that happened in a run.
#[derive(Debug, Clone, PartialEq)]
pub enum Event<'a> {
    /// A stage or a group started.
    Started {
        /// Its id.
        id: &'a str,
        /// Its title.
        title: &'a str,
        /// It is a group.
        group: bool,
    },
    /// A stage is tried again.
    Again {
        /// Its id.
        id: &'a str,
        /// Which try comes.
        attempt: u8,
        /// Why.
        reason: &'a str,
    },
    /// A step started.
    Step {
        /// Id of the stage.
        id: &'a str,
        /// Name of the step.
        name: &'a str,
    },
    /// A line of output, without its end.
    Output {
        /// Id of the stage.
        id: &'a str,
        /// The line.
        line: &'a str,
    },
    /// A line of the runner's own in the log of a stage.
    Said {
        /// Id of the stage.
        id: &'a str,
        /// The line.
        line: &'a str,
    },
    /// A stage or a group ended, or was skipped.
    Ended {
        /// Its id.
        id: &'a str,
        /// Its title.
        title: &'a str,
        /// It is a group.
        group: bool,
        /// How it ended.
        outcome: Outcome,
        /// Why, for people.
        reason: &'a str,
        /// How long it took.
        duration: Duration,
        /// It was rehearsed.
        rehearsed: bool,
    },
    /// Something the user should know.
    Note(&'a str),
}

/// Takes events.
pub trait Progress: Send + Sync {
    /// Takes one event. Called often and from several places, so it must be quick.
    fn event(&self, event: &Event<'_>);

    /// The run has ended: leave the terminal as it should stay.
    fn finish(&self) {}
}

/// Tells nothing.
#[derive(Debug, Default)]
pub struct Silent;

impl Progress for Silent {
    fn event(&self, _: &Event<'_>) {}
}

/// Plain lines, for logs and pipes.
#[derive(Debug)]
pub struct PlainProgress<W> {
    output: Mutex<W>,
    with_output: bool,
}

impl<W: std::io::Write + Send> PlainProgress<W> {
    /// Writes lines; those of the steps too if asked for.
    pub fn new(output: W, with_output: bool) -> Self {
        Self { output: Mutex::new(output), with_output }
    }
}

/// Text without what would steer a terminal.
pub(super) fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control() || *c == '\t').collect()
}

impl<W: std::io::Write + Send> Progress for PlainProgress<W> {
    fn event(&self, event: &Event<'_>) {
        let line = match event {
            Event::Started { id, title, group: false } => format!("[{id}] start: {title}"),
            Event::Started { .. } => return,
            Event::Again { id, attempt, reason } => format!("[{id}] try {attempt}: {reason}"),
            Event::Step { id, name } => format!("[{id}] {name}"),
            Event::Output { id, line } if self.with_output => {
                format!("[{id}] | {}", printable(line))
            }
            Event::Output { .. } | Event::Said { .. } => return,
            Event::Ended { group: true, outcome, .. } if *outcome != Outcome::Skipped => return,
            Event::Ended { id, outcome, reason, duration, rehearsed, .. } => {
                let rehearsed = if *rehearsed { ", rehearsed" } else { "" };
                let time = match outcome {
                    Outcome::Skipped => String::new(),
                    _ => format!(" in {}", duration_words(*duration)),
                };
                let reason = match *reason {
                    "" => String::new(),
                    reason => format!(": {reason}"),
                };
                format!("[{id}] {}{time}{rehearsed}{reason}", outcome.word())
            }
            Event::Note(text) => format!("note: {text}"),
        };
        if let Ok(mut output) = self.output.lock() {
            // A closed pipe is no reason to stop a build.
            let _ = writeln!(output, "{line}");
        }
    }
}
