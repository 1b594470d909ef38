use jiff::Timestamp;

use super::*;

/// 2023-11-14 22:13:20 UTC.
const NOW: i128 = 1_700_000_000 * NSEC_PER_SEC as i128;

/// The instant that `text` names in `zone`, in RFC 3339.
fn instant(text: &str, zone: &str) -> Result<String, ParseError> {
    let tz = TimeZone::get(zone).unwrap();
    let offset = When::parse(text)?.resolve_in(NOW, &tz)?;
    Ok(Timestamp::from_nanosecond(NOW + offset.as_nanos())
        .unwrap()
        .to_string())
}

#[test]
fn absolute_times_name_the_instant_they_should() {
    let table: &[(&str, &str, &str)] = &[
        ("UTC", "2030-01-01", "2030-01-01T00:00:00Z"),
        ("UTC", "2030-01-01 12:34", "2030-01-01T12:34:00Z"),
        ("UTC", "2030-01-01 12:34:56", "2030-01-01T12:34:56Z"),
        ("UTC", "2030-01-01 12:34:56.789", "2030-01-01T12:34:56.789Z"),
        (
            "UTC",
            "2030-01-01 12:34:56.123456789",
            "2030-01-01T12:34:56.123456789Z",
        ),
        ("UTC", "2030-01-01T12:34:56", "2030-01-01T12:34:56Z"),
        ("UTC", "2024-02-29", "2024-02-29T00:00:00Z"),
        ("UTC", "1970-01-01", "1970-01-01T00:00:00Z"),
        ("UTC", "1969-12-31 23:59:59", "1969-12-31T23:59:59Z"),
        ("UTC", "9999-12-29 23:59:59 UTC", "9999-12-29T23:59:59Z"),
        ("Asia/Tokyo", "2030-01-01", "2029-12-31T15:00:00Z"),
        ("Asia/Tokyo", "2030-01-01 UTC", "2030-01-01T00:00:00Z"),
        ("Asia/Tokyo", "2030-01-01 12:00 UTC", "2030-01-01T12:00:00Z"),
        ("Asia/Tokyo", "2030-01-01 12:00UTC", "2030-01-01T12:00:00Z"),
        ("Asia/Tokyo", "2030-01-01 12:00 Z", "2030-01-01T12:00:00Z"),
        ("Asia/Tokyo", "2030-01-01T12:00:00Z", "2030-01-01T12:00:00Z"),
        ("Asia/Tokyo", "2030-01-01t12:00:00z", "2030-01-01T12:00:00Z"),
        ("UTC", "2030-01-01 12:00:00+02:00", "2030-01-01T10:00:00Z"),
        ("UTC", "2030-01-01 12:00 +05:45", "2030-01-01T06:15:00Z"),
        ("UTC", "2030-01-01 12:00 -03:30", "2030-01-01T15:30:00Z"),
        ("UTC", "2030-01-01 -03:30", "2030-01-01T03:30:00Z"),
        ("UTC", "2030-01-01T00:00:00-00:00", "2030-01-01T00:00:00Z"),
        (
            "UTC",
            "2030-01-01T00:00:00.5+23:59",
            "2029-12-31T00:01:00.5Z",
        ),
        ("Asia/Tokyo", "@0", "1970-01-01T00:00:00Z"),
        ("UTC", "@1893456000.5", "2030-01-01T00:00:00.5Z"),
        ("UTC", "@-1.5", "1969-12-31T23:59:58.5Z"),
        ("UTC", "+10d", "2023-11-24T22:13:20Z"),
        ("UTC", "-1h30m", "2023-11-14T20:43:20Z"),
        ("UTC", "+1y2mo", "2025-01-14T22:13:20Z"),
        ("UTC", "-90", "2023-11-14T22:11:50Z"),
        // The first of the two 01:30, as date(1) takes it.
        (
            "America/New_York",
            "2024-11-03 01:30",
            "2024-11-03T05:30:00Z",
        ),
        (
            "America/New_York",
            "2024-11-03 01:30 -05:00",
            "2024-11-03T06:30:00Z",
        ),
        // Midnight does not exist here; the day begins at 01:00.
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"),
    ];
    for (zone, text, expected) in table {
        assert_eq!(instant(text, zone).as_deref(), Ok(*expected), "{text}");
    }
}

#[test]
fn a_malformed_time_is_refused_with_the_way_out() {
    let table: &[(&str, &str)] = &[
        ("", "empty"),
        (" ", "neither a time nor a shift"),
        ("now", "neither a time nor a shift"),
        ("tomorrow", "neither a time nor a shift"),
        ("12:00", "neither a time nor a shift"),
        ("10d", "write `+10d` or `-10d`"),
        ("1h30m", "write `+1h30m` or `-1h30m`"),
        (
            "2024",
            "`2030-01-31`, a shift as `+2024` or seconds since 1970 as `@2024`",
        ),
        ("1893456000", "`@1893456000`"),
        ("2030-1-1", "a date is `YYYY-MM-DD`"),
        ("2030-01", "a date is `YYYY-MM-DD`"),
        ("2030-01-", "a date is `YYYY-MM-DD`"),
        ("2030/01/01", "neither a time nor a shift"),
        ("20300101", "ambiguous"),
        ("99999-01-01", "neither a time nor a shift"),
        ("2023-02-29", "no day 2023-02-29"),
        ("2030-13-01", "no day 2030-13-01"),
        ("2030-00-10", "no day 2030-00-10"),
        ("2030-04-31 12:00", "no day 2030-04-31"),
        ("2030-01-01x", "a blank or `T`"),
        ("2030-01-01Z", "a blank or `T`"),
        ("2030-01-01 ", "the zone is"),
        ("2030-01-01T", "the zone is"),
        ("2030-01-01  12:00", "the zone is"),
        ("2030-01-01 12", "a time of day is"),
        ("2030-01-01 1:00", "a time of day is"),
        ("2030-01-01 12:0", "a time of day is"),
        ("2030-01-01 12:00:", "a time of day is"),
        ("2030-01-01 24:00", "`23:59:59`"),
        ("2030-01-01 12:60", "`23:59:59`"),
        ("2030-01-01 12:00:61", "`23:59:59`"),
        ("2016-12-31 23:59:60 UTC", "leap second"),
        ("2030-01-01 12:00:00.", "digits are missing"),
        ("2030-01-01 12:00:00.1234567890", "at most 9 digits"),
        ("2030-01-01 12:00:00,5", "the zone is"),
        ("2030-01-01 12:00 PM", "the zone is"),
        ("2030-01-01 12:00 CET", "`TZ=Europe/Berlin`"),
        ("2030-01-01 12:00 utc", "the zone is"),
        ("2030-01-01 12:00 +2", "the zone is"),
        ("2030-01-01 12:00 +0200", "the zone is"),
        ("2030-01-01 12:00 +24:00", "the zone is"),
        ("2030-01-01 12:00 +02:60", "the zone is"),
        ("2030-01-01 12:00 +02:00 ", "the zone is"),
        ("2030-01-01 12:00 UTC+1", "the zone is"),
        ("2030-01-01T12:00:00Z[UTC]", "the zone is"),
        ("2030\u{2212}01\u{2212}01", "minus sign of ASCII"),
        ("\u{662}030-01-01", "neither a time nor a shift"),
        ("@", "seconds since 1970 follow"),
        ("@x", "seconds since 1970 follow"),
        ("@1s", "seconds since 1970 follow"),
        ("@+1", "seconds since 1970 follow"),
        ("@.5", "seconds since 1970 follow"),
        ("@1.", "digits are missing"),
        ("@1.0123456789", "at most 9 digits"),
        ("@9223372036854775808", "too large"),
        ("+2030-01-01", "one sign"),
    ];
    for (text, part) in table {
        let message = When::parse(text).expect_err(text).to_string();
        assert!(message.contains(part), "{text}: {message}");
        assert!(!message.contains('\n'), "{text}: {message}");
    }
}

#[test]
fn a_local_time_that_the_zone_skips_is_refused() {
    let error = instant("2024-03-10 02:30", "America/New_York").unwrap_err();
    assert!(error.to_string().contains("skips this time"), "{error}");
    assert!(instant("2024-03-10 02:30 UTC", "America/New_York").is_ok());
    assert!(instant("2024-03-10 03:00", "America/New_York").is_ok());
}

#[test]
fn an_absolute_time_is_reached_to_the_nanosecond_from_any_instant() {
    for now in [0, 1, 999_999_999, NOW, NOW + 123_456_789] {
        for target in [0, 1_893_456_000, 4_102_444_800_i64] {
            for nanos in [0_u32, 1, 500_000_000, 999_999_999] {
                let offset = When::parse(&format!("@{target}.{nanos:09}"))
                    .unwrap()
                    .resolve_in(now, &TimeZone::UTC)
                    .unwrap();
                let reached = now + offset.as_nanos();
                let expected = i128::from(target) * i128::from(NSEC_PER_SEC) + i128::from(nanos);
                assert_eq!(reached, expected);
            }
        }
    }
}

#[test]
fn a_printed_instant_is_read_back() {
    for step in 0..1_000_i128 {
        let nanos = step * 8_276_000_123_456_789;
        let text = Timestamp::from_nanosecond(nanos).unwrap().to_string();
        for zone in ["UTC", "Asia/Kathmandu"] {
            assert_eq!(instant(&text, zone).as_ref(), Ok(&text));
        }
    }
}
