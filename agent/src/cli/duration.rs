//! Durations of `-noReconnectAfter`, in the two styles of
//! `org.jenkinsci.remoting.util.DurationStyle`: a number with a unit, or ISO 8601.

use std::time::Duration;

/// The formats, for messages.
pub(super) const FORMATS: &str = "a number with ns, us, ms, s, m, h or d (90s, 1d), a number of milliseconds, or ISO 8601 (PT15M)";

/// Parses `1500` (milliseconds), `90s`, `1d`, `PT1H30M`, `P2D`. `None` for anything else, negative and
/// overflowing durations included.
pub(super) fn parse(text: &str) -> Option<Duration> {
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    match unsigned.strip_prefix(['p', 'P']) {
        Some(rest) => iso8601(rest),
        None => simple(unsigned),
    }
}

fn simple(text: &str) -> Option<Duration> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    match unit.to_lowercase().as_str() {
        "ns" => Some(Duration::from_nanos(number)),
        // Java's table holds the micro sign, which its own pattern does not let through; both here.
        "us" | "\u{b5}s" | "\u{3bc}s" => Some(Duration::from_micros(number)),
        "" | "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        "m" => seconds(number, 60),
        "h" => seconds(number, 3600),
        "d" => seconds(number, 86_400),
        _ => None,
    }
}

/// `nDTnHnMn.nS` as `java.time.Duration.parse` takes it, without signs inside.
fn iso8601(text: &str) -> Option<Duration> {
    let text = text.to_ascii_uppercase();
    let (days, time) = match text.split_once('T') {
        Some((_, "")) => return None,
        Some((days, time)) => (days, time),
        None => (text.as_str(), ""),
    };
    if days.is_empty() && time.is_empty() {
        return None;
    }
    let mut total = Duration::ZERO;
    if !days.is_empty() {
        total = seconds(whole(days.strip_suffix('D')?)?, 86_400)?;
    }
    let mut rest = time;
    for (unit, scale) in [('H', 3600), ('M', 60)] {
        if let Some((number, behind)) = rest.split_once(unit) {
            total = total.checked_add(seconds(whole(number)?, scale)?)?;
            rest = behind;
        }
    }
    if !rest.is_empty() {
        total = total.checked_add(fractional_seconds(rest.strip_suffix('S')?)?)?;
    }
    Some(total)
}

fn fractional_seconds(text: &str) -> Option<Duration> {
    let (number, fraction) = text.split_once(['.', ',']).unwrap_or((text, ""));
    if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nanoseconds: u32 = format!("{fraction:0<9}").parse().ok()?;
    Some(Duration::new(whole(number)?, nanoseconds))
}

fn whole(text: &str) -> Option<u64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn seconds(number: u64, scale: u64) -> Option<Duration> {
    number.checked_mul(scale).map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn both_styles() {
        let millis = |text| parse(text).map(|duration| duration.as_millis());
        for (text, expected) in [
            ("1500", 1500),
            ("+1500", 1500),
            ("1500ms", 1500),
            ("2000000ns", 2),
            ("3000us", 3),
            ("90s", 90_000),
            ("15m", 900_000),
            ("2H", 7_200_000),
            ("1d", 86_400_000),
            ("0", 0),
            ("PT15M", 900_000),
            ("pt1h30m", 5_400_000),
            ("P2D", 172_800_000),
            ("P1DT2H3M4.5S", 93_784_500),
            ("PT0.001S", 1),
        ] {
            assert_eq!(millis(text), Some(expected), "{text}");
        }
    }

    #[test]
    fn refused() {
        for text in [
            "",
            "d",
            "1w",
            "1 d",
            "-5s",
            "1.5s",
            "1dd",
            "P",
            "PT",
            "P1",
            "P1DT",
            "PT1",
            "PT1M1H",
            "PTS",
            "PT-1S",
            "P1H",
            "PT1.S1",
            "99999999999999999999",
            "18446744073709551615d",
            "1day",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in "[+-]?[pP]?[0-9TDHMSdhmsnu.,µ]{0,24}") {
            let _ = parse(&text);
        }

        #[test]
        fn seconds_are_seconds(number in 0_u64..1 << 40) {
            prop_assert_eq!(parse(&format!("{number}s")), Some(Duration::from_secs(number)));
            prop_assert_eq!(parse(&format!("PT{number}S")), Some(Duration::from_secs(number)));
        }
    }
}
