//! Maintenance windows: when a master gets no new builds. All times are UTC.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, Weekday};

/// When a master gets no new builds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Window {
    /// Every week.
    Weekly(Weekly),
    /// Once.
    Once(Once),
}

/// A window of every week.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Weekly {
    /// The days on which it begins.
    pub days: Vec<Day>,
    /// Time of the day, UTC, as `02:00`.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub from: String,
    /// Time of the day, UTC; on the next day where it is not after `from`.
    #[schemars(regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub until: String,
}

/// A window of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Once {
    /// When it begins, as `2026-12-01T02:00:00Z`.
    pub start: String,
    /// When it ends.
    pub end: String,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Mon,
    /// Tuesday.
    Tue,
    /// Wednesday.
    Wed,
    /// Thursday.
    Thu,
    /// Friday.
    Fri,
    /// Saturday.
    Sat,
    /// Sunday.
    Sun,
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Mon => Weekday::Monday,
            Self::Tue => Weekday::Tuesday,
            Self::Wed => Weekday::Wednesday,
            Self::Thu => Weekday::Thursday,
            Self::Fri => Weekday::Friday,
            Self::Sat => Weekday::Saturday,
            Self::Sun => Weekday::Sunday,
        }
    }
}

fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    (hour < 24 && minute < 60).then_some(hour * 60 + minute)
}

fn instant(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|_| format!("{text:?} is no time: expected one such as 2026-12-01T02:00:00Z"))
}

impl Window {
    /// Whether it can be used.
    ///
    /// # Errors
    /// What is wrong, for people.
    pub fn check(&self) -> Result<(), String> {
        match self {
            Self::Weekly(weekly) if weekly.days.is_empty() => {
                Err("days is empty: name some of mon, tue, wed, thu, fri, sat, sun".to_owned())
            }
            Self::Weekly(weekly) => match (minutes(&weekly.from), minutes(&weekly.until)) {
                (Some(from), Some(until)) if from == until => {
                    Err("from and until are the same, where a window ends after it begins"
                        .to_owned())
                }
                (Some(_), Some(_)) => Ok(()),
                _ => Err("expected times of the day such as 02:00".to_owned()),
            },
            Self::Once(once) => {
                if instant(&once.start)? < instant(&once.end)? {
                    Ok(())
                } else {
                    Err("end is not after start".to_owned())
                }
            }
        }
    }

    /// Whether it is open at a time in seconds since 1970.
    #[must_use]
    pub fn is_open(&self, now: i64) -> bool {
        let Ok(now) = OffsetDateTime::from_unix_timestamp(now) else { return false };
        match self {
            Self::Once(once) => match (instant(&once.start), instant(&once.end)) {
                (Ok(start), Ok(end)) => start <= now && now < end,
                _ => false,
            },
            Self::Weekly(weekly) => {
                let (Some(from), Some(until)) = (minutes(&weekly.from), minutes(&weekly.until))
                else {
                    return false;
                };
                let minute = u16::from(now.hour()) * 60 + u16::from(now.minute());
                let begins = |day: Weekday| weekly.days.iter().any(|one| one.weekday() == day);
                if from < until {
                    begins(now.weekday()) && (from..until).contains(&minute)
                } else {
                    (begins(now.weekday()) && minute >= from)
                        || (begins(now.weekday().previous()) && minute < until)
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        instant(text).unwrap().unix_timestamp()
    }

    #[test]
    fn a_weekly_window_may_go_over_midnight() {
        let window = Window::Weekly(Weekly {
            days: vec![Day::Sat],
            from: "23:00".into(),
            until: "01:30".into(),
        });
        assert_eq!(window.check(), Ok(()));
        // 2026-11-28 is a Saturday.
        for (time, open) in [
            ("2026-11-28T22:59:59Z", false),
            ("2026-11-28T23:00:00Z", true),
            ("2026-11-29T01:29:59Z", true),
            ("2026-11-29T01:30:00Z", false),
            ("2026-11-29T23:30:00Z", false),
            ("2026-11-28T00:30:00Z", false),
        ] {
            assert_eq!(window.is_open(at(time)), open, "{time}");
        }
    }

    #[test]
    fn a_window_of_its_own_has_a_start_and_an_end() {
        let once = |start: &str, end: &str| {
            Window::Once(Once { start: start.to_owned(), end: end.to_owned() })
        };
        let window = once("2026-12-01T02:00:00Z", "2026-12-01T04:00:00+01:00");
        assert_eq!(window.check(), Ok(()));
        assert!(window.is_open(at("2026-12-01T02:30:00Z")));
        assert!(!window.is_open(at("2026-12-01T03:00:00Z")));
        assert!(once("2026-12-01T02:00:00Z", "2026-12-01T01:00:00Z").check().is_err());
        assert!(once("tomorrow", "2026-12-01T01:00:00Z").check().unwrap_err().contains("tomorrow"));
    }
}
