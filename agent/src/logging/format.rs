//! Log records as text: the two lines of `java.util.logging.SimpleFormatter`, or one JSON object.

use std::fmt::Write as _;
use std::time::SystemTime;

use time::OffsetDateTime;

use super::ring::Record;
use crate::cli::LogFormat;

/// The record with its line ends.
pub(super) fn formatted(record: &Record, format: LogFormat) -> String {
    match format {
        LogFormat::Human => human(record),
        LogFormat::Json => json(record),
    }
}

fn human(record: &Record) -> String {
    let mut text = human_time(record.time);
    text.push(' ');
    text.push_str(&record.logger);
    if let Some(method) = &record.method {
        text.push(' ');
        text.push_str(method);
    }
    let _ = write!(text, "\n{}: ", record.level);
    // What the controller sends may stand in a message: it must not pass for a record of its own, nor
    // control a terminal.
    let record_text = record.text();
    let mut rest = record_text.trim_end().chars();
    while let Some(character) = rest.next() {
        match character {
            // As the messages of the Java agent are.
            '\n' if rest.as_str().starts_with("  ") => text.push('\n'),
            '\n' => text.push_str("\n\t"),
            '\t' => text.push('\t'),
            '\r' => {}
            control if control.is_control() => text.extend(control.escape_default()),
            other => text.push(other),
        }
    }
    text.push('\n');
    text
}

/// `Nov 02, 2026 5:19:50 PM`, the format `%1$tb %1$td, %1$tY %1$tl:%1$tM:%1$tS %1$Tp` in UTC.
fn human_time(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let month = &time.month().to_string()[..3];
    let (hour, half) = match time.hour() {
        0 => (12, "AM"),
        hour @ 1..=11 => (hour, "AM"),
        12 => (12, "PM"),
        hour => (hour - 12, "PM"),
    };
    let (day, year, minute, second) = (time.day(), time.year(), time.minute(), time.second());
    format!("{month} {day:02}, {year} {hour}:{minute:02}:{second:02} {half}")
}

fn json(record: &Record) -> String {
    let time = OffsetDateTime::from(record.time);
    let mut text = format!(
        "{{\"time\":\"{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z\",\"level\":\"{}\"",
        time.year(),
        u8::from(time.month()),
        time.day(),
        time.hour(),
        time.minute(),
        time.second(),
        time.millisecond(),
        record.level
    );
    member(&mut text, "logger", &record.logger);
    if let Some(method) = &record.method {
        member(&mut text, "method", method);
    }
    member(&mut text, "message", &record.message);
    if !record.fields.is_empty() {
        text.push_str(",\"fields\":{");
        for (at, (name, value)) in record.fields.iter().enumerate() {
            text.push_str(if at == 0 { "" } else { "," });
            string(&mut text, name);
            text.push(':');
            string(&mut text, value);
        }
        text.push('}');
    }
    text.push_str("}\n");
    text
}

fn member(text: &mut String, name: &str, value: &str) {
    text.push(',');
    string(text, name);
    text.push(':');
    string(text, value);
}

fn string(text: &mut String, value: &str) {
    text.push('"');
    for character in value.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            // DEL and the C1 controls need no escape in JSON; a terminal is glad of one.
            control if control.is_control() => {
                let _ = write!(text, "\\u{:04x}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::super::level::JavaLevel;
    use super::*;
    use std::time::Duration;

    fn record(seconds: u64, message: &str) -> Record {
        Record {
            time: SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + 7),
            level: JavaLevel::INFO,
            logger: "hudson.remoting.Launcher".to_owned(),
            method: Some("createEngine".to_owned()),
            message: message.to_owned(),
            fields: vec![("bytes", "7".to_owned())],
        }
    }

    #[test]
    fn human_lines() {
        assert_eq!(
            human(&record(1_795_367_990, "Setting up agent: a")),
            "Nov 22, 2026 5:19:50 PM hudson.remoting.Launcher createEngine\n\
             INFO: Setting up agent: a bytes=7\n"
        );
        assert_eq!(
            human(&record(1_793_664_000, "a\nSEVERE: b\r\n\u{1b}[2Jc")),
            "Nov 03, 2026 12:00:00 AM hudson.remoting.Launcher createEngine\n\
             INFO: a\n\tSEVERE: b\n\t\\u{1b}[2Jc bytes=7\n"
        );
        assert_eq!(
            human(&record(1_793_664_000, "Agent discovery successful\n  Agent address: a\n B")),
            "Nov 03, 2026 12:00:00 AM hudson.remoting.Launcher createEngine\n\
             INFO: Agent discovery successful\n  Agent address: a\n\t B bytes=7\n"
        );
        assert!(
            human_time(SystemTime::UNIX_EPOCH + Duration::from_secs(43_200))
                .ends_with("12:00:00 PM")
        );
    }

    #[test]
    fn json_lines() {
        assert_eq!(
            json(&record(1_795_367_990, "a \"b\"\\\n\u{1}é")),
            "{\"time\":\"2026-11-22T17:19:50.007Z\",\"level\":\"INFO\",\
             \"logger\":\"hudson.remoting.Launcher\",\"method\":\"createEngine\",\
             \"message\":\"a \\\"b\\\"\\\\\\n\\u0001é\",\"fields\":{\"bytes\":\"7\"}}\n"
        );
    }
}
