//! Shifts: signed distances as people write them, such as `+10d` and `-1h30m`.

use std::str::FromStr;

use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

use super::offset::{NSEC_PER_SEC, Offset};
use super::scan::{ParseError, Scan, refuse_foreign_signs};

const UNITS: &str = "`y`, `mo`, `w`, `d`, `h`, `m`, `s`, `ms`, `us`, `ns`";

/// How long one of a unit is.
#[derive(Clone, Copy)]
enum Length {
    Months(i64),
    Nanos(i128),
}

/// A unit's rank (units come in falling order) and length, or `None` if there is no such unit.
fn unit(name: &str) -> Option<(u8, Length)> {
    const SEC: i128 = NSEC_PER_SEC as i128;
    Some(match name {
        "y" => (9, Length::Months(12)),
        "mo" => (8, Length::Months(1)),
        "w" => (7, Length::Nanos(7 * 86_400 * SEC)),
        "d" => (6, Length::Nanos(86_400 * SEC)),
        "h" => (5, Length::Nanos(3_600 * SEC)),
        "m" | "min" => (4, Length::Nanos(60 * SEC)),
        "s" => (3, Length::Nanos(SEC)),
        "ms" => (2, Length::Nanos(1_000_000)),
        "us" => (1, Length::Nanos(1_000)),
        "ns" => (0, Length::Nanos(1)),
        _ => return None,
    })
}

/// A signed distance in time: months of the calendar, and an exact part.
///
/// A day is always 24 hours and a week seven days, so `+10d` is 864,000 seconds in every zone and
/// on every clock. Only years and months follow the calendar; they come first and keep the local
/// time of day, and a day that the month lacks becomes the month's last (31 January `+1mo` is 28
/// or 29 February).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shift {
    months: i64,
    nanos: i128,
}

impl Shift {
    /// Reads a shift: a sign, then numbers with units in falling order, or seconds alone.
    ///
    /// The units are `y`, `mo`, `w`, `d`, `h`, `m` (or `min`), `s`, `ms`, `us` and `ns`. The last
    /// number may have a fraction of at most nine digits.
    ///
    /// # Errors
    /// A message that says what is wrong and what to write instead.
    ///
    /// # Example
    /// ```
    /// use elsewhen::clock::Shift;
    ///
    /// assert_eq!(Shift::parse("-1h30m"), Shift::parse("-5400"));
    /// assert!(Shift::parse("10d").is_err(), "a sign is needed");
    /// ```
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        refuse_foreign_signs(text)?;
        let mut scan = Scan(text);
        let negative = match text.bytes().next() {
            Some(b'+') => false,
            Some(b'-') => true,
            Some(_) => return Err(without_sign(text)),
            None => return Err(ParseError::new("empty; write a shift such as `+10d`")),
        };
        scan.eat(&['+', '-']);
        let (months, nanos) = magnitude(scan)?;
        Ok(if negative {
            Self {
                months: -months,
                nanos: -nanos,
            }
        } else {
            Self { months, nanos }
        })
    }

    /// Whether the shift counts years or months, whose length depends on the date.
    #[must_use]
    pub fn is_calendar(self) -> bool {
        self.months != 0
    }

    /// The offset that the shift makes at `now`, in nanoseconds since 1970, in the zone `tz`.
    pub(crate) fn resolve_in(self, now: i128, tz: &TimeZone) -> Result<Offset, ParseError> {
        let too_far = || ParseError::new("too far away; use a smaller shift");
        let mut nanos = self.nanos;
        if self.is_calendar() {
            let span = Span::new().try_months(self.months);
            let start = Timestamp::from_nanosecond(now).map_err(|_| too_far())?;
            let moved = span
                .and_then(|span| start.to_zoned(tz.clone()).checked_add(span))
                .map_err(|_| too_far())?;
            nanos += moved.timestamp().as_nanosecond() - now;
        }
        Offset::from_nanos(nanos).ok_or_else(too_far)
    }
}

impl FromStr for Shift {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// The months and nanoseconds of what follows the sign.
fn magnitude(mut scan: Scan<'_>) -> Result<(i64, i128), ParseError> {
    let too_large = || ParseError::new("too large a number; use a smaller shift");
    let (mut months, mut nanos) = (0_i64, 0_i128);
    let mut last: Option<(u8, &str)> = None;
    let mut after_fraction = false;
    loop {
        let digits = scan.digits();
        if digits.is_empty() {
            return Err(no_number(scan.0, last.is_some()));
        }
        if after_fraction {
            return Err(ParseError::new(
                "only the last unit may have a fraction; write `+1h30m`, not `+1.5h0m`",
            ));
        }
        let count: u64 = digits.parse().map_err(|_| too_large())?;
        let fraction = scan.fraction()?;
        after_fraction = fraction.is_some();
        let name = match scan.letters() {
            "" if last.is_none() && scan.0.is_empty() => "s",
            "" if scan.0.is_empty() => {
                return Err(ParseError::new(format!(
                    "`{digits}` has no unit; the units are {UNITS}"
                )));
            }
            "" => return Err(no_number(scan.0, true)),
            name => name,
        };
        let (rank, length) = unit(name).ok_or_else(|| {
            ParseError::new(format!("there is no unit `{name}`; the units are {UNITS}"))
        })?;
        match last {
            Some((r, _)) if r == rank => {
                return Err(ParseError::new(format!(
                    "`{name}` stands twice; write it once"
                )));
            }
            Some((r, before)) if r < rank => {
                return Err(ParseError::new(format!(
                    "`{name}` comes before `{before}`; write larger units first, as in `+1h30m`"
                )));
            }
            _ => last = Some((rank, name)),
        }
        match length {
            Length::Months(_) if fraction.is_some() => {
                return Err(ParseError::new(
                    "years and months have no fixed length to take a fraction of; use `mo` or `d`",
                ));
            }
            Length::Months(each) => {
                months = i64::try_from(count)
                    .ok()
                    .and_then(|count| count.checked_mul(each))
                    .and_then(|more| months.checked_add(more))
                    .ok_or_else(too_large)?;
            }
            // At most 2⁶⁴ weeks, 2¹¹⁴ ns: i128 holds the sum of all units.
            Length::Nanos(each) => {
                let part = i128::from(fraction.unwrap_or(0)) * each;
                if part % i128::from(NSEC_PER_SEC) != 0 {
                    return Err(ParseError::new(
                        "finer than a nanosecond; shorten the fraction",
                    ));
                }
                nanos += i128::from(count) * each + part / i128::from(NSEC_PER_SEC);
            }
        }
        if scan.0.is_empty() {
            return Ok((months, nanos));
        }
    }
}

/// What is wrong where a number should stand and `rest` does.
fn no_number(rest: &str, inside: bool) -> ParseError {
    match rest.chars().next() {
        None => ParseError::new("a number is missing after the sign; write `+10d`"),
        Some('+' | '-') => {
            ParseError::new("a shift has one sign, at its start; write `-1h30m`, not `-1h-30m`")
        }
        Some(c) if c.is_whitespace() => {
            ParseError::new("a shift has no blanks; write `+1h30m`, not `+1h 30m`")
        }
        Some(c) if inside => ParseError::new(format!(
            "`{}` cannot stand in a shift; write one such as `+1h30m`",
            c.escape_default()
        )),
        Some(_) => ParseError::new("a shift is a sign and a number; write one such as `+10d`"),
    }
}

/// The error for a shift without a sign, and the same text with one if that would do.
fn without_sign(text: &str) -> ParseError {
    if magnitude(Scan(text)).is_ok() {
        ParseError::new(format!(
            "a shift needs a sign; write `+{text}` or `-{text}`"
        ))
    } else {
        ParseError::new("not a shift; write one such as `+10d`, `-1h30m` or `+2.5`")
    }
}

/// Whether `text` would be a shift with units if it had a sign.
pub(crate) fn lacks_only_a_sign(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.ends_with(|c: char| c.is_ascii_alphabetic())
        && magnitude(Scan(text)).is_ok()
}

/// A shift of a clock that counts from the boot: one of exact length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By(Offset);

impl By {
    /// Reads a shift without years or months, as [`Shift::parse`] does.
    ///
    /// # Errors
    /// As for [`Shift::parse`], and for years and months: a clock that counts from the boot has
    /// no calendar.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let shift = Shift::parse(text)?;
        if shift.is_calendar() {
            return Err(ParseError::new(
                "this clock has no calendar, so no years or months; use `w`, `d`, `h`, `m` or `s`",
            ));
        }
        Offset::from_nanos(shift.nanos)
            .map(Self)
            .ok_or_else(|| ParseError::new("too far away; use a smaller shift"))
    }

    /// The shift as an offset.
    #[must_use]
    pub const fn offset(self) -> Offset {
        self.0
    }
}

impl FromStr for By {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

#[cfg(test)]
#[path = "shift_tests.rs"]
mod tests;
