use jiff::Timestamp;
use jiff::tz::TimeZone;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_second()
}

fn shown(seconds: i64) -> String {
    Timestamp::from_second(seconds).unwrap().to_string()
}

fn schedule(text: &str, zone: &str) -> Schedule {
    Schedule::parse(text, zone, "team/web").unwrap()
}

fn next(text: &str, zone: &str, after: &str) -> String {
    shown(schedule(text, zone).next_after(at(after)).unwrap())
}

#[test]
fn the_spread_is_that_of_java() {
    // Drawn by java.util.Random from the folded MD5 of `team/web`: nextInt(60), (24), (28), (12), (16).
    let mut hash = Hash::from_seed("team/web");
    let drawn: Vec<u8> = [60, 24, 28, 12, 16].map(|below| hash.next(below)).to_vec();
    assert_eq!(drawn, [45, 11, 26, 0, 12]);
}

#[test]
fn times_come_in_their_zone() {
    for (text, zone, after, expected) in [
        ("30 2 * * *", "UTC", "2026-11-29T02:29:59Z", "2026-11-29T02:30:00Z"),
        ("30 2 * * *", "UTC", "2026-11-29T02:30:00Z", "2026-11-30T02:30:00Z"),
        ("0 9 * * 1-5", "Europe/Berlin", "2026-11-27T09:00:00Z", "2026-11-30T08:00:00Z"),
        ("TZ=Asia/Tokyo\n0 9 * * *", "UTC", "2026-11-29T00:00:00Z", "2026-11-30T00:00:00Z"),
        ("0 0 29 2 *", "UTC", "2026-11-29T00:00:00Z", "2028-02-29T00:00:00Z"),
        // Both have to hold, as at a controller.
        ("0 0 13 * 5", "UTC", "2026-11-29T00:00:00Z", "2027-08-13T00:00:00Z"),
        ("0 0 * * 7", "UTC", "2026-11-30T00:00:00Z", "2026-12-06T00:00:00Z"),
        ("# nightly\n0 3 * * *\n0 1 * * *", "UTC", "2026-11-29T00:00:00Z", "2026-11-29T01:00:00Z"),
    ] {
        assert_eq!(next(text, zone, after), expected, "{text}");
    }
}

#[test]
fn a_clock_that_is_put_on_or_back_neither_loses_nor_doubles_a_time() {
    // Berlin, 2026-03-29: 02:00 is 03:00. 2026-10-25: 03:00 is 02:00.
    let berlin = "Europe/Berlin";
    assert_eq!(next("30 2 * * *", berlin, "2026-03-29T00:00:00Z"), "2026-03-29T01:00:00Z");
    assert_eq!(next("30 2 * * *", berlin, "2026-03-29T01:00:00Z"), "2026-03-30T00:30:00Z");
    assert_eq!(next("30 2 * * *", berlin, "2026-10-24T23:00:00Z"), "2026-10-25T00:30:00Z");
    assert_eq!(next("30 2 * * *", berlin, "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
    // Every half hour that passes, whatever the clock shows.
    for day in ["2026-03-28T22:00:00Z", "2026-10-24T22:00:00Z"] {
        let all = schedule("*/30 * * * *", berlin);
        let mut now = at(day);
        for step in 1..=20 {
            now = all.next_after(now).unwrap();
            assert_eq!(now, at(day) + step * 1800, "{}", shown(now));
        }
    }
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let wrong = |text: &str| Schedule::parse(text, "UTC", "a").unwrap_err().join("\n");
    insta::assert_snapshot!(
        [
            "",
            "* * * *",
            "60 24 0 13 8",
            "@dayly",
            "H/1 H(5-3) */0 H/90 MON",
            "5/10 1-2-3 * * *",
            "0 0 30 2 *",
            "0 0 * * *\nTZ=UTC\nTZ=Nowhere/City",
        ]
        .map(|text| format!("{text:?}\n{}\n", wrong(text)))
        .join("\n")
    );
    assert!(Schedule::parse("* * * * *", "Mars", "a").unwrap_err()[0].contains("Mars"));
}

fn field(least: u8, most: u8) -> impl Strategy<Value = String> {
    let range = (least..=most, least..=most).prop_map(|(a, b)| (a.min(b), a.max(b)));
    let part = prop_oneof![
        Just("*".to_owned()),
        Just("H".to_owned()),
        (least..=most).prop_map(|one| one.to_string()),
        range.clone().prop_map(|(a, b)| format!("{a}-{b}")),
        (2..=(most - least)).prop_map(|step| format!("*/{step}")),
        (2..=(most - least - 1)).prop_map(|step| format!("H/{step}")),
        range.prop_map(|(a, b)| format!("H({a}-{b})")),
    ];
    proptest::collection::vec(part, 1..3).prop_map(|parts| parts.join(","))
}

/// Schedules that are possible; the 28 of `H` keep `H/step` of days in bounds.
fn schedules() -> impl Strategy<Value = String> {
    (field(0, 59), field(0, 23), field(1, 28), field(1, 12), field(0, 6))
        .prop_map(|(a, b, c, d, e)| format!("{a} {b} {c} {d} {e}"))
}

proptest! {
    #[test]
    fn the_next_time_is_the_first_minute_that_fits(text in schedules(), seed in "[a-z/]{1,12}",
        start in 1_600_000_000_i64..2_000_000_000) {
        let schedule = Schedule::parse(&text, "UTC", &seed).unwrap();
        let line = schedule.lines[0];
        let fits = |at: i64| {
            let time = TimeZone::UTC.to_datetime(Timestamp::from_second(at).unwrap());
            line.minutes & (1 << time.minute()) != 0
                && line.hours & (1 << time.hour()) != 0
                && line.days & (1 << time.day()) != 0
                && line.months & (1 << time.month()) != 0
                && line.weekdays & (1 << time.weekday().to_sunday_zero_offset()) != 0
        };
        let found = schedule.next_after(start).unwrap();
        prop_assert!(found > start && found % 60 == 0 && fits(found));
        // Nothing before it: looked at within three days, which is most of what is drawn.
        let mut minute = start - start % 60 + 60;
        while minute < found.min(start + 3 * 86_400) {
            prop_assert!(!fits(minute), "{} fits {}", text, shown(minute));
            minute += 60;
        }
    }

    #[test]
    fn times_rise_in_every_zone(text in schedules(), start in 1_600_000_000_i64..2_000_000_000,
        zone in prop_oneof![Just("Europe/Berlin"), Just("America/New_York"), Just("Australia/Lord_Howe"),
            Just("Asia/Kathmandu"), Just("Africa/Casablanca"), Just("Pacific/Apia")]) {
        let schedule = Schedule::parse(&text, zone, "a").unwrap();
        let mut now = start;
        for _ in 0..20 {
            let next = schedule.next_after(now).unwrap();
            prop_assert!(next > now);
            // Whoever asks in between is told the same.
            prop_assert_eq!(schedule.next_after(now + (next - now) / 2), Some(next));
            now = next;
        }
    }

    #[test]
    fn any_text_is_read_or_refused(text in ".{0,60}", fields in "[0-9H*/,() -]{0,30}") {
        let _ = Schedule::parse(&text, "UTC", &text);
        if let Ok(schedule) = Schedule::parse(&fields, "UTC", "a") {
            let _ = schedule.next_after(0);
        }
    }
}
