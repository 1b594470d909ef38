//! Where a clock of the calendar is to stand: an absolute time, or a shift.

use std::str::FromStr;

use jiff::tz::TimeZone;

use super::absolute::Calendar;
use super::offset::{NSEC_PER_SEC, Offset};
use super::scan::{ParseError, Scan, refuse_foreign_signs};
use super::shift::{Shift, lacks_only_a_sign};

/// An absolute time, or a shift, of `CLOCK_REALTIME` or `CLOCK_TAI`.
///
/// # Example
/// ```
/// use elsewhen::clock::When;
///
/// let now = 1_700_000_000_000_000_000;
/// let offset = When::parse("2030-01-01 UTC")?.resolve(now)?;
/// assert_eq!(offset.secs(), 1_893_456_000 - 1_700_000_000);
/// # Ok::<(), elsewhen::clock::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct When(Form);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Nanoseconds since 1970.
    Unix(i128),
    Calendar(Calendar),
    Shift(Shift),
}

impl When {
    /// Reads an absolute time or a shift.
    ///
    /// * RFC 3339, such as `2030-01-01T12:00:00.5+02:00`
    /// * `YYYY-MM-DD[ HH:MM[:SS[.fraction]]][ UTC|±HH:MM]`, in the local zone by default
    /// * `@UNIX[.fraction]`, seconds since 1970
    /// * a [`Shift`]: `+10d`, `-1h30m`, `+2.5s`, `+1y2mo`, or signed seconds
    ///
    /// # Errors
    /// A message that says what is wrong and what to write instead. Limits are not looked at; see
    /// [`check_limits`](super::check_limits).
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        refuse_foreign_signs(text)?;
        if let Some(unix) = text.strip_prefix('@') {
            return Ok(Self(Form::Unix(unix_time(unix)?)));
        }
        if text.starts_with(['+', '-']) {
            return Ok(Self(Form::Shift(Shift::parse(text)?)));
        }
        if text.get(..5).is_some_and(|start| start.ends_with('-')) {
            return Ok(Self(Form::Calendar(Calendar::parse(text)?)));
        }
        Err(neither(text))
    }

    /// The offset that brings a clock standing at `now` there, in the local zone (`TZ`).
    ///
    /// `now` is the clock's own reading in nanoseconds since 1970.
    ///
    /// # Errors
    /// If the local zone skips the time, or the offset is beyond all bounds.
    pub fn resolve(self, now: i128) -> Result<Offset, ParseError> {
        self.resolve_in(now, &TimeZone::system())
    }

    /// As [`resolve`](Self::resolve), with `tz` for the local zone.
    pub(crate) fn resolve_in(self, now: i128, tz: &TimeZone) -> Result<Offset, ParseError> {
        let target = match self.0 {
            Form::Shift(shift) => return shift.resolve_in(now, tz),
            Form::Unix(nanos) => nanos,
            Form::Calendar(calendar) => calendar.resolve_in(tz)?,
        };
        Offset::from_nanos(target - now)
            .ok_or_else(|| ParseError::new("too far away; write a time between 1970 and 2232"))
    }
}

impl FromStr for When {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        Self::parse(text)
    }
}

/// Nanoseconds since 1970 from what follows the `@`.
fn unix_time(text: &str) -> Result<i128, ParseError> {
    let form = || ParseError::new("seconds since 1970 follow the `@`, as in `@1893456000.5`");
    let mut scan = Scan(text);
    let negative = scan.eat(&['-']);
    let digits = scan.digits();
    if digits.is_empty() {
        return Err(form());
    }
    let sec: i64 = digits
        .parse()
        .map_err(|_| ParseError::new("too large a number; write a time between 1970 and 2232"))?;
    let nanos =
        i128::from(sec) * i128::from(NSEC_PER_SEC) + i128::from(scan.fraction()?.unwrap_or(0));
    if !scan.0.is_empty() {
        return Err(form());
    }
    Ok(if negative { -nanos } else { nanos })
}

/// The error for a text that is neither a time nor a shift.
fn neither(text: &str) -> ParseError {
    if text.is_empty() {
        return ParseError::new(
            "empty; write a time such as `2030-01-01` or a shift such as `+10d`",
        );
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        return ParseError::new(format!(
            "a bare number is ambiguous; write a date as `2030-01-31`, a shift as `+{text}` \
             or seconds since 1970 as `@{text}`"
        ));
    }
    if lacks_only_a_sign(text) {
        return ParseError::new(format!(
            "a shift needs a sign; write `+{text}` or `-{text}`"
        ));
    }
    ParseError::new(
        "neither a time nor a shift; write `2030-01-31 12:00`, `@1893456000`, `+10d` or `-1h30m`",
    )
}

#[cfg(test)]
#[path = "when_tests.rs"]
mod tests;
