//! This machine's clock beside the controller's, by the `Date` of an answer.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::{HeaderMap, header};

/// A difference up to this is not told: files and certificates are not judged wrongly by it.
const TOLERATED: Duration = Duration::from_secs(60);

/// It is told once; a clock that is off at the first connection is off at the next.
static TOLD: AtomicBool = AtomicBool::new(false);

/// Warns if the clocks differ much. The answer must have come just now, from the controller.
pub(super) fn compare(headers: &HeaderMap) {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let Some(warning) = date.and_then(|date| judge(date, SystemTime::now())) else { return };
    if !TOLD.swap(true, Ordering::Relaxed) {
        tracing::warn!("{warning}");
    }
}

/// The warning for a difference that is too large.
fn judge(date: &str, now: SystemTime) -> Option<String> {
    let theirs = UNIX_EPOCH.checked_add(Duration::from_secs(seconds(date)?))?;
    let (difference, which) = match theirs.duration_since(now) {
        Ok(difference) => (difference, "behind"),
        Err(error) => (error.duration(), "ahead of"),
    };
    (difference > TOLERATED).then(|| {
        format!(
            "this machine's clock is {} {which} the controller's: set it, or the controller's (chrony or another NTP \
             client does); certificates and times of files are judged wrongly until then",
            words(difference)
        )
    })
}

fn words(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Reads `Sun, 06 Nov 1994 08:49:37 GMT` (RFC 9110, 5.6.7), the only form that is sent today, as
/// seconds since 1970.
fn seconds(date: &str) -> Option<u64> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = date.split_once(", ")?;
    let mut parts = rest.split(' ');
    let day: u64 = parts.next()?.parse().ok().filter(|day| (1..=31).contains(day))?;
    let name = parts.next()?;
    let month = MONTHS.iter().position(|month| *month == name)? as u64 + 1;
    let year: u64 = parts.next()?.parse().ok().filter(|year| (1970..=9999).contains(year))?;
    let mut clock = parts.next()?.split(':');
    let mut next = |limit| clock.next()?.parse::<u64>().ok().filter(|part| *part < limit);
    let (hour, minute, second) = (next(24)?, next(60)?, next(61)?);
    if parts.next() != Some("GMT") {
        return None;
    }
    // Years that begin in March have their leap day at the end.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day - 1;
    // From 1 March of the year 0 to 1970.
    let days = days.checked_sub(719_468)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn dates_are_read() {
        for (date, expected) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 12:00:00 GMT", 1_709_208_000),
            ("Mon, 23 Nov 2026 02:40:00 GMT", 1_795_401_600),
        ] {
            assert_eq!(seconds(date), Some(expected), "{date}");
        }
        for date in [
            "",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 06 Nov 1994 24:00:00 GMT",
        ] {
            assert_eq!(seconds(date), None, "{date}");
        }
    }

    #[test]
    fn only_large_differences_are_told_with_their_direction() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        let date = "Sun, 06 Nov 1994 08:49:37 GMT";
        assert_eq!(judge(date, at(784_111_777 + 60)), None);
        assert_eq!(judge(date, at(784_111_777 - 60)), None);
        let ahead = judge(date, at(784_111_777 + 3 * 3600)).unwrap();
        assert!(
            ahead.starts_with("this machine's clock is 3 h ahead of the controller's: set it"),
            "{ahead}"
        );
        assert!(judge(date, at(784_111_777 - 61)).unwrap().contains("61 s behind"));
        assert_eq!(judge("no date", at(0)), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_passed_over(text in "\\PC{0,40}", day in 0_u64..99, year in 0_u64..20000) {
            let _ = seconds(&text);
            let _ = seconds(&format!("Sun, {day} Nov {year} 08:49:37 GMT"));
        }
    }
}
