//! When a schedule comes next.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::AmbiguousOffset;
use jiff::{Timestamp, ToSpan as _};

use super::{Line, Schedule};

/// Days that are looked at: a leap day of a given weekday comes within 40 years, the year 2100 included.
const DAYS: u32 = 40 * 366;
/// No clock is put forward or back by more hours than these.
const SHIFT_HOURS: i8 = 3;
const EVERY_HOUR: u64 = (1 << 24) - 1;

impl Schedule {
    /// The first time after one, both in seconds since 1970; nothing where it does not come in forty years.
    ///
    /// A time of the day that the clock skips comes at the first moment after; one that it has twice comes
    /// the first time. Schedules of every hour come in each hour that passes, as often as the clock shows it.
    #[must_use]
    pub fn next_after(&self, after: i64) -> Option<i64> {
        let after = Timestamp::from_second(after).ok()?;
        self.lines.iter().filter_map(|line| self.next_of(line, after)).min()
    }

    fn next_of(&self, line: &Line, after: Timestamp) -> Option<i64> {
        let local = self.zone.to_datetime(after);
        let mut day = local.date();
        let mut from = local.time().hour() - SHIFT_HOURS;
        for _ in 0..DAYS {
            if line.has_day(day)
                && let Some(found) = self.first_of_day(line, day, from, after)
            {
                return Some(found);
            }
            day = day.tomorrow().ok()?;
            from = 0;
        }
        None
    }

    fn first_of_day(&self, line: &Line, day: Date, from: i8, after: Timestamp) -> Option<i64> {
        let mut best: Option<(i8, i64)> = None;
        let mut take = |hour: i8, instant: Option<Timestamp>| {
            if let Some(at) = instant.filter(|at| *at > after).map(Timestamp::as_second)
                && best.is_none_or(|(_, earlier)| at < earlier)
            {
                best = Some((hour, at));
            }
            best
        };
        for hour in from.max(0)..24 {
            if line.hours & (1 << hour) == 0 {
                continue;
            }
            for minute in 0..60_i8 {
                if line.minutes & (1 << minute) == 0 {
                    continue;
                }
                let civil = Time::new(hour, minute, 0, 0).ok().map(|time| day.to_datetime(time))?;
                for instant in self.instants(line, civil) {
                    take(hour, instant);
                }
            }
            // A later hour is a later time, but where the clock was put back in between.
            if let Some((found, _)) = take(hour, None)
                && hour >= found + SHIFT_HOURS
            {
                break;
            }
        }
        best.map(|(_, at)| at)
    }

    /// The moments that a time of the day stands for.
    fn instants(&self, line: &Line, civil: DateTime) -> [Option<Timestamp>; 2] {
        let every_hour = line.hours & EVERY_HOUR == EVERY_HOUR;
        let ambiguous = self.zone.to_ambiguous_timestamp(civil);
        match ambiguous.offset() {
            AmbiguousOffset::Unambiguous { offset } => [offset.to_timestamp(civil).ok(), None],
            // The hours around it come anyway.
            AmbiguousOffset::Gap { .. } if every_hour => [None, None],
            AmbiguousOffset::Gap { before, .. } => {
                let skipped = before.to_timestamp(civil).ok();
                [skipped.and_then(|at| self.end_of_gap(at)), None]
            }
            AmbiguousOffset::Fold { before, after } => {
                let second = after.to_timestamp(civil).ok().filter(|_| every_hour);
                [before.to_timestamp(civil).ok(), second]
            }
        }
    }

    /// The moment at which the clock was put forward, at or before one that it skipped.
    fn end_of_gap(&self, at: Timestamp) -> Option<Timestamp> {
        let later = at.checked_add(1.second()).ok()?;
        self.zone.preceding(later).next().map(|transition| transition.timestamp())
    }
}

impl Line {
    fn has_day(&self, day: Date) -> bool {
        let weekday = day.weekday().to_sunday_zero_offset();
        self.months & (1 << day.month()) != 0
            && self.days & (1 << day.day()) != 0
            && self.weekdays & (1 << weekday) != 0
    }
}
