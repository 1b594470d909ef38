use super::*;

const S: i128 = 1_000_000_000;

#[test]
fn shifts_of_exact_length_are_read_to_the_nanosecond() {
    let table: &[(&str, i128)] = &[
        ("+0", 0),
        ("-0", 0),
        ("+90", 90 * S),
        ("-90", -90 * S),
        ("+2.5", 2_500_000_000),
        ("-0.000000001", -1),
        ("+1s", S),
        ("+2.5s", 2_500_000_000),
        ("+10d", 864_000 * S),
        ("-1h30m", -5_400 * S),
        ("-1h30min", -5_400 * S),
        ("+1.5h", 5_400 * S),
        ("+0.25d", 21_600 * S),
        ("+2w", 1_209_600 * S),
        ("+1w2d3h4m5s6ms7us8ns", 788_645_006_007_008),
        ("+5ms", 5_000_000),
        ("+0.5ms", 500_000),
        ("+1us", 1_000),
        ("+1ns", 1),
        ("-1m0.5s", -60_500_000_000),
        ("+007", 7 * S),
        ("+1.000000000ns", 1),
        ("+24h", 86_400 * S),
        ("+90m", 5_400 * S),
        ("+0.123456789s", 123_456_789),
    ];
    for &(text, nanos) in table {
        let by = By::parse(text).unwrap_or_else(|e| panic!("{text}: {e}"));
        assert_eq!(by.offset().as_nanos(), nanos, "{text}");
        assert_eq!(text.parse::<By>(), Ok(by), "{text}");
    }
}

#[test]
fn a_malformed_shift_is_refused_with_the_way_out() {
    let table: &[(&str, &str)] = &[
        ("", "empty"),
        ("+", "a number is missing"),
        ("-", "a number is missing"),
        ("10d", "write `+10d` or `-10d`"),
        ("90", "write `+90` or `-90`"),
        ("d", "not a shift"),
        ("+d", "a sign and a number"),
        ("+10x", "no unit `x`"),
        ("+10D", "no unit `D`"),
        ("+10days", "no unit `days`"),
        ("+1M", "no unit `M`"),
        ("+1h30", "`30` has no unit"),
        ("+1h 30m", "no blanks"),
        ("+1 h", "no blanks"),
        (" +1h", "not a shift"),
        ("+1h ", "no blanks"),
        ("+-1h", "one sign"),
        ("--1h", "one sign"),
        ("-1h-30m", "one sign"),
        ("+1h+30m", "one sign"),
        ("+30m1h", "larger units first"),
        ("+1s1h", "`h` comes before `s`"),
        ("+1h1h", "`h` stands twice"),
        ("+1m1min", "`min` stands twice"),
        ("+1.5h30m", "only the last unit"),
        ("+1.", "digits are missing"),
        ("+.5", "a sign and a number"),
        ("+1.s", "digits are missing"),
        ("+1.5.5s", "cannot stand"),
        ("+1.0000000001s", "at most 9 digits"),
        ("+0.5ns", "finer than a nanosecond"),
        ("+0.0001us", "finer than a nanosecond"),
        ("+1e3", "no unit `e`"),
        ("+0x10", "no unit `x`"),
        ("+1_000", "cannot stand"),
        ("+1,5s", "cannot stand"),
        ("+1:30", "cannot stand"),
        ("+inf", "a sign and a number"),
        ("\u{2212}1h", "minus sign of ASCII; write `-`"),
        ("+1h\u{2013}30m", "minus sign of ASCII"),
        ("\u{ff0b}1h", "plus sign of ASCII; write `+`"),
        ("+\u{661}h", "a sign and a number"),
        ("+1\u{b5}s", "no unit `\u{b5}s`"),
        ("+1\n", "no blanks"),
        ("+1\0", "cannot stand"),
        ("+99999999999999999999", "too large"),
        ("+18446744073709551615w", "too far"),
        ("+1y", "no calendar"),
        ("+2mo3d", "no calendar"),
        ("+1.5y", "no fixed length"),
        ("+0.5mo", "no fixed length"),
        ("+9223372036854775807y", "too large"),
    ];
    for (text, part) in table {
        let message = By::parse(text).expect_err(text).to_string();
        assert!(message.contains(part), "{text}: {message}");
        assert!(!message.contains('\n'), "{text}: {message}");
    }
}

#[test]
fn an_offset_is_read_back_as_it_prints() {
    let mut nanos: i128 = 1;
    for step in 0..2_000_i128 {
        // A walk over all magnitudes, with every kind of fraction.
        nanos = (nanos * 7 + step * 1_000_003) % (1 << 62);
        for nanos in [nanos, -nanos] {
            let offset = Offset::from_nanos(nanos).unwrap();
            let read = By::parse(&offset.to_string()).map(By::offset);
            assert_eq!(read, Ok(offset), "{offset}");
        }
    }
}

#[test]
fn years_and_months_follow_the_calendar_of_the_zone() {
    let table: &[(&str, &str, &str, &str)] = &[
        ("UTC", "2024-02-29T12:00:00Z", "+1y", "2025-02-28T12:00:00Z"),
        (
            "UTC",
            "2024-01-31T12:00:00Z",
            "+1mo",
            "2024-02-29T12:00:00Z",
        ),
        (
            "UTC",
            "2023-01-31T12:00:00Z",
            "+1mo",
            "2023-02-28T12:00:00Z",
        ),
        (
            "UTC",
            "2024-03-31T00:00:00Z",
            "-1mo",
            "2024-02-29T00:00:00Z",
        ),
        (
            "UTC",
            "2024-01-31T12:00:00Z",
            "+1y2mo",
            "2025-03-31T12:00:00Z",
        ),
        (
            "UTC",
            "2024-01-31T12:00:00Z",
            "+1mo1d",
            "2024-03-01T12:00:00Z",
        ),
        (
            "UTC",
            "2024-01-31T12:00:00Z",
            "+0y1.5s",
            "2024-01-31T12:00:01.5Z",
        ),
        (
            "UTC",
            "2024-06-15T12:00:00Z",
            "-14mo",
            "2023-04-15T12:00:00Z",
        ),
        // Summer time lies between: the time of day stays, and the distance is an hour less.
        (
            "America/New_York",
            "2024-02-10T17:00:00Z",
            "+1mo",
            "2024-03-10T16:00:00Z",
        ),
        // Days are 24 hours, whatever lies between.
        (
            "America/New_York",
            "2024-03-09T17:00:00Z",
            "+1d",
            "2024-03-10T17:00:00Z",
        ),
        // 02:30 does not exist on that day, so the clock has gone on to 03:30.
        (
            "America/New_York",
            "2024-02-10T07:30:00Z",
            "+1mo",
            "2024-03-10T07:30:00Z",
        ),
    ];
    for (zone, now, shift, then) in table {
        let tz = TimeZone::get(zone).unwrap();
        let now: Timestamp = now.parse().unwrap();
        let offset = Shift::parse(shift)
            .unwrap()
            .resolve_in(now.as_nanosecond(), &tz)
            .unwrap();
        let reached = Timestamp::from_nanosecond(now.as_nanosecond() + offset.as_nanos()).unwrap();
        assert_eq!(&reached.to_string(), then, "{now} {shift} in {zone}");
    }
}

#[test]
fn a_calendar_shift_beyond_the_year_9999_is_too_far() {
    for text in ["+9000y", "-20000y", "+768614336404564650y"] {
        let error = Shift::parse(text)
            .unwrap()
            .resolve_in(0, &TimeZone::UTC)
            .expect_err(text);
        assert!(error.to_string().contains("too far"), "{text}: {error}");
    }
}
