//! Times as programs print them.

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// `2026-11-22T18:20:00.591Z`, in milliseconds since 1970.
#[must_use]
pub fn instant(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let shape = bytes.len() == 24
        && bytes.iter().enumerate().all(|(at, byte)| match at {
            4 | 7 => *byte == b'-',
            10 => *byte == b'T',
            13 | 16 => *byte == b':',
            19 => *byte == b'.',
            23 => *byte == b'Z',
            _ => byte.is_ascii_digit(),
        });
    if !shape {
        return None;
    }
    let number = |from: usize, to: usize| text.get(from..to)?.parse::<i64>().ok();
    let days = days(number(0, 4)?, number(5, 7)?, number(8, 10)?);
    Some(
        (((days * 24 + number(11, 13)?) * 60 + number(14, 16)?) * 60 + number(17, 19)?) * 1000
            + number(20, 23)?,
    )
}

/// `Nov 22 18:16` in UTC, as `ls -l` prints the last six months, in milliseconds since 1970. The year is
/// the one that brings it nearest before `now`.
#[must_use]
pub fn listed(text: &str, now: i64) -> Option<i64> {
    let mut words = text.split(' ');
    let month = {
        let name = words.next()?;
        MONTHS.iter().position(|month| *month == name)?
    };
    let month = i64::try_from(month).ok()? + 1;
    let day: i64 = words.next()?.parse().ok()?;
    let (hour, minute) = words.next()?.split_once(':')?;
    let (hour, minute): (i64, i64) = (hour.parse().ok()?, minute.parse().ok()?);
    let this_year = 1970 + now / (365 * 24 * 3_600_000 + 6 * 3_600_000);
    [this_year + 1, this_year, this_year - 1]
        .into_iter()
        .map(|year| ((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000)
        .min_by_key(|time| time.abs_diff(now))
}

/// Days since 1970-01-01 of a date of the Gregorian calendar.
fn days(year: i64, month: i64, day: i64) -> i64 {
    // Counted from March, so that the leap day is the last of its year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_and_listed_times_are_the_same_clock() {
        assert_eq!(instant("1970-01-01T00:00:00.001Z"), Some(1));
        assert_eq!(instant("2026-11-22T18:20:00.591Z"), Some(1_795_371_600_591));
        assert_eq!(instant("2024-02-29T00:00:00.000Z"), Some(1_709_164_800_000));
        assert_eq!(instant("2026-11-22 18:20:00.591Z"), None);
        let now = 1_795_371_600_591;
        assert_eq!(listed("Nov 22 18:20", now), Some(1_795_371_600_000));
        assert_eq!(listed("Nov 22 2025", now), None);
        assert_eq!(listed("Dec 31 23:59", 1_798_761_700_000), Some(1_798_761_540_000));
    }
}
