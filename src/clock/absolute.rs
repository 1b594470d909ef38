//! Absolute times: a date of the calendar, with or without a zone.

use jiff::civil::{Date, DateTime, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};

use super::offset::NSEC_PER_SEC;
use super::scan::{ParseError, Scan};

/// A date, perhaps a time of day, perhaps a distance from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calendar {
    date: Date,
    time: Option<Time>,
    /// Seconds east of UTC, or `None` for the local zone.
    zone: Option<i32>,
}

impl Calendar {
    /// Reads RFC 3339 and `YYYY-MM-DD[ HH:MM[:SS[.fraction]]][ UTC|±HH:MM]`.
    pub(crate) fn parse(text: &str) -> Result<Self, ParseError> {
        let mut scan = Scan(text);
        let date = date(&mut scan)?;
        let mut time = None;
        let mut blank = scan.eat(&[' ', 'T', 't']);
        if blank && scan.0.starts_with(|c: char| c.is_ascii_digit()) {
            time = Some(time_of_day(&mut scan)?);
            blank = scan.eat(&[' ']);
        }
        if !blank && scan.0.is_empty() {
            let zone = None;
            return Ok(Self { date, time, zone });
        }
        if !blank && time.is_none() {
            return Err(ParseError::new(
                "a blank or `T` follows the date, as in `2030-01-01 12:00`",
            ));
        }
        let zone = Some(zone(scan.0)?);
        Ok(Self { date, time, zone })
    }

    /// Nanoseconds since 1970, taking `tz` for the local zone.
    ///
    /// As with date(1), a local time that the zone skips is refused, and one that it has twice is
    /// the first. A date alone is the start of its day, even where the day starts at 01:00.
    pub(crate) fn resolve_in(self, tz: &TimeZone) -> Result<i128, ParseError> {
        let civil = DateTime::from_parts(self.date, self.time.unwrap_or(Time::midnight()));
        if let Some(east) = self.zone {
            return Ok(as_if_utc(civil) - i128::from(east) * i128::from(NSEC_PER_SEC));
        }
        let ambiguous = tz.to_ambiguous_timestamp(civil);
        if let (AmbiguousOffset::Gap { before, after }, Some(_)) = (ambiguous.offset(), self.time) {
            return Err(ParseError::new(format!(
                "the local zone skips this time, going from UTC{before} to UTC{after}; \
                 write another, or add `UTC` or `+HH:MM`"
            )));
        }
        match ambiguous.compatible() {
            Ok(timestamp) => Ok(timestamp.as_nanosecond()),
            // Only at the ends of jiff's range, thousands of years beyond any limit.
            Err(_) => Ok(as_if_utc(civil)),
        }
    }
}

/// Nanoseconds since 1970 if `civil` is UTC.
fn as_if_utc(civil: DateTime) -> i128 {
    let epoch = DateTime::constant(1970, 1, 1, 0, 0, 0, 0);
    civil.duration_since(epoch).as_nanos()
}

fn date(scan: &mut Scan<'_>) -> Result<Date, ParseError> {
    let mut fields = || {
        let year = scan.fixed(4)?;
        let month = scan.eat(&['-']).then(|| scan.fixed(2))??;
        let day = scan.eat(&['-']).then(|| scan.fixed(2))??;
        Some((year, month, day))
    };
    let (year, month, day) =
        fields().ok_or_else(|| ParseError::new("a date is `YYYY-MM-DD`, as in `2030-01-31`"))?;
    i8::try_from(month)
        .ok()
        .zip(i8::try_from(day).ok())
        .and_then(|(month, day)| Date::new(year, month, day).ok())
        .ok_or_else(|| {
            ParseError::new(format!(
                "the calendar has no day {year:04}-{month:02}-{day:02}; write one that exists"
            ))
        })
}

fn time_of_day(scan: &mut Scan<'_>) -> Result<Time, ParseError> {
    let form = || ParseError::new("a time of day is `HH:MM`, `HH:MM:SS` or `HH:MM:SS.fraction`");
    let hour = scan.fixed(2).ok_or_else(form)?;
    if !scan.eat(&[':']) {
        return Err(form());
    }
    let minute = scan.fixed(2).ok_or_else(form)?;
    let (mut second, mut nanos) = (0, 0);
    if scan.eat(&[':']) {
        second = scan.fixed(2).ok_or_else(form)?;
        nanos = scan.fraction()?.unwrap_or(0);
    }
    if second == 60 {
        return Err(ParseError::new(
            "a leap second has no number of its own in Unix time; write `:59` or the next minute",
        ));
    }
    let small = |n: i16| i8::try_from(n).ok();
    small(hour)
        .zip(small(minute))
        .zip(small(second).zip(i32::try_from(nanos).ok()))
        .and_then(|((h, m), (s, n))| Time::new(h, m, s, n).ok())
        .ok_or_else(|| {
            ParseError::new("a day goes from `00:00:00` to `23:59:59`; write one of its times")
        })
}

/// Seconds east of UTC.
fn zone(text: &str) -> Result<i32, ParseError> {
    if matches!(text, "UTC" | "Z" | "z") {
        return Ok(0);
    }
    let bad = || {
        ParseError::new(
            "the zone is `UTC`, `Z` or `±HH:MM`; for another, leave it out and set `TZ`, \
             as in `TZ=Europe/Berlin`",
        )
    };
    let mut scan = Scan(text);
    let west = text.starts_with('-');
    if !scan.eat(&['+', '-']) {
        return Err(bad());
    }
    let hours = scan.fixed(2).ok_or_else(bad)?;
    let minutes = scan.eat(&[':']).then(|| scan.fixed(2)).flatten();
    match minutes {
        Some(minutes @ 0..60) if hours < 24 && scan.0.is_empty() => {
            let east = i32::from(hours) * 3_600 + i32::from(minutes) * 60;
            Ok(if west { -east } else { east })
        }
        _ => Err(bad()),
    }
}
