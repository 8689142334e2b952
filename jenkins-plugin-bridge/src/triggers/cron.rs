//! Schedules in the syntax of Jenkins: five fields, `H` for a time that is spread over the jobs, `@daily`
//! and its like, several lines.
//!
//! `H` falls on the same time as at a controller for a job of the same full name, so that a schedule may
//! move here and keeps its minutes (`hudson.scheduler.Hash`, `hudson.scheduler.BaseParser`).

mod hash;
mod next;
#[cfg(test)]
mod tests;

use jiff::tz::TimeZone;

use hash::Hash;

/// The most bytes of a schedule.
const SCHEDULE_BYTES: usize = 2_000;
/// The most lines of one.
const LINES: usize = 50;

/// What the fields are called, and the least and the most value of each.
const FIELDS: [(&str, u8, u8); 5] = [
    ("minute", 0, 59),
    ("hour", 0, 23),
    ("day of the month", 1, 31),
    ("month", 1, 12),
    ("day of the week", 0, 7),
];

/// One line: which values each field takes, a bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Line {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    /// Sunday is 0.
    weekdays: u64,
}

/// A schedule.
#[derive(Debug, Clone)]
pub struct Schedule {
    lines: Vec<Line>,
    zone: TimeZone,
}

/// The words that stand for five fields.
fn alias(word: &str) -> Option<&'static str> {
    Some(match word {
        "@yearly" | "@annually" => "H H H H *",
        "@monthly" => "H H H * *",
        "@weekly" => "H H * * H",
        "@daily" => "H H * * *",
        "@midnight" => "H H(0-2) * * *",
        "@hourly" => "H * * * *",
        _ => return None,
    })
}

/// A time zone by its name.
///
/// # Errors
/// What would be accepted.
pub fn zone(name: &str) -> Result<TimeZone, String> {
    TimeZone::get(name).map_err(|_| {
        format!("there is no time zone {name:?}: expected a name such as UTC or Europe/Berlin")
    })
}

impl Schedule {
    /// Reads a schedule. `seed` spreads `H`: the full name of the job.
    ///
    /// # Errors
    /// Everything that is wrong, each with its line where there are several.
    pub fn parse(text: &str, time_zone: &str, seed: &str) -> Result<Self, Vec<String>> {
        if text.len() > SCHEDULE_BYTES {
            return Err(vec![format!("more than {SCHEDULE_BYTES} bytes")]);
        }
        let mut wrong = Vec::new();
        let mut zone = zone(time_zone).map_err(|message| wrong.push(message)).ok();
        let mut hash = Hash::from_seed(seed);
        let mut lines = Vec::new();
        let several = text.trim().lines().count() > 1;
        for (index, line) in text.lines().enumerate().take(LINES + 1) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let at = if several { format!("line {}: ", index + 1) } else { String::new() };
            // As at a controller, where it holds for the lines below; here for all.
            if let Some(name) = line.strip_prefix("TZ=") {
                match self::zone(name.trim()) {
                    Ok(found) if lines.is_empty() => zone = Some(found),
                    Ok(_) => wrong.push(format!("{at}TZ= stands before all other lines")),
                    Err(message) => wrong.push(format!("{at}{message}")),
                }
                continue;
            }
            match parse_line(line, &mut hash) {
                Ok(line) => lines.push(line),
                Err(all) => wrong.extend(all.into_iter().map(|one| format!("{at}{one}"))),
            }
        }
        if text.lines().count() > LINES {
            wrong.push(format!("more than {LINES} lines"));
        }
        if lines.is_empty() && wrong.is_empty() {
            wrong
                .push("is empty: expected five fields such as `H 2 * * 1-5`, or @daily".to_owned());
        }
        let Some(zone) = zone.filter(|_| wrong.is_empty()) else { return Err(wrong) };
        let schedule = Self { lines, zone };
        for line in &schedule.lines {
            if !line.is_possible() {
                wrong.push("has a day that no month of it has: it would never come".to_owned());
            }
        }
        if wrong.is_empty() { Ok(schedule) } else { Err(wrong) }
    }
}

impl Line {
    /// Whether a day of it exists: not the 30th of February. A leap day of a given weekday comes every 28
    /// years and counts.
    fn is_possible(&self) -> bool {
        let longest = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        (1..=12_u8).zip(longest).any(|(month, last)| {
            self.months & (1 << month) != 0 && (1..=last).any(|day| self.days & (1 << day) != 0)
        })
    }
}

fn parse_line(line: &str, hash: &mut Hash) -> Result<Line, Vec<String>> {
    let text = match line.strip_prefix('@') {
        Some(_) => alias(line).ok_or_else(|| {
            let known = ["@yearly", "@monthly", "@weekly", "@daily", "@midnight", "@hourly"];
            vec![format!("{line:?} is not known{}", crate::text::nearest_hint(line, known))]
        })?,
        None => line,
    };
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    if fields.len() != FIELDS.len() {
        return Err(vec![format!(
            "expected 5 fields (minute, hour, day of the month, month, day of the week), got {}",
            fields.len()
        )]);
    }
    let mut wrong = Vec::new();
    let mut bits = [0_u64; 5];
    for (index, field) in fields.into_iter().enumerate() {
        match parse_field(field, index, hash) {
            Ok(found) => bits[index] = found,
            Err(message) => wrong.push(format!("{}: {message}", FIELDS[index].0)),
        }
    }
    let [minutes, hours, days, months, mut weekdays] = bits;
    // Both are Sunday.
    if weekdays & (1 << 7) != 0 {
        weekdays |= 1;
    }
    if wrong.is_empty() { Ok(Line { minutes, hours, days, months, weekdays }) } else { Err(wrong) }
}

fn parse_field(field: &str, index: usize, hash: &mut Hash) -> Result<u64, String> {
    let mut bits = 0;
    for part in field.split(',') {
        bits |= parse_part(part, index, hash)?;
    }
    Ok(bits)
}

fn parse_part(part: &str, index: usize, hash: &mut Hash) -> Result<u64, String> {
    let (_, least, most) = FIELDS[index];
    let (range, step) = match part.split_once('/') {
        Some((range, step)) => (range, Some(number(step)?)),
        None => (part, None),
    };
    if step == Some(0) {
        return Err("a step is at least 1".to_owned());
    }
    if let Some(rest) = range.strip_prefix('H') {
        // Days that each month has, and Sunday once.
        let most = match index {
            2 => 28,
            4 => 6,
            _ => most,
        };
        let (from, to) = match rest {
            "" => (least, most),
            _ => {
                let inside = rest.strip_prefix('(').and_then(|rest| rest.strip_suffix(')'));
                let inside = inside.ok_or_else(|| unreadable(part))?;
                bounds(inside, index)?.ok_or_else(|| unreadable(part))?
            }
        };
        let values = to - from + 1;
        return match step {
            None => Ok(1 << (from + hash.next(values))),
            // A controller takes it for H alone, which nobody means who writes it.
            Some(1) => Err(format!("{part:?} means one value at a controller: write H or *")),
            Some(step) if step > values => {
                Err(format!("a step of {step} in {values} values: it is 1 to {values}"))
            }
            Some(step) => Ok(steps(from + hash.next(step), to, step)),
        };
    }
    let (from, to) = match range {
        "*" => (least, most),
        _ => match bounds(range, index)? {
            Some(bounds) => bounds,
            None => {
                let one = value(range, index)?;
                if step.is_some() {
                    return Err(format!("{part:?}: a step needs a range, such as */5 or 10-30/5"));
                }
                (one, one)
            }
        },
    };
    match step {
        Some(step) if step > to - from + 1 => {
            Err(format!("a step of {step} in {} values: it is 1 to that", to - from + 1))
        }
        step => Ok(steps(from, to, step.unwrap_or(1))),
    }
}

fn steps(from: u8, to: u8, step: u8) -> u64 {
    (from..=to).step_by(usize::from(step)).fold(0, |bits, one| bits | 1 << one)
}

fn unreadable(part: &str) -> String {
    format!("{part:?} is none of: *, 5, 1-5, */15, 1-30/5, H, H/15, H(0-29), H(0-29)/10")
}

fn number(text: &str) -> Result<u8, String> {
    let digits = (1..=2).contains(&text.len()) && text.bytes().all(|one| one.is_ascii_digit());
    if digits { text.parse().map_err(|_| unreadable(text)) } else { Err(unreadable(text)) }
}

fn value(text: &str, index: usize) -> Result<u8, String> {
    let (_, least, most) = FIELDS[index];
    let value = number(text)?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(format!("expected {least} to {most}, got {value}"))
    }
}

fn bounds(text: &str, index: usize) -> Result<Option<(u8, u8)>, String> {
    let Some((from, to)) = text.split_once('-') else { return Ok(None) };
    let (from, to) = (value(from, index)?, value(to, index)?);
    if from <= to { Ok(Some((from, to))) } else { Err(format!("{text:?} ends before it begins")) }
}
