//! What the parsers of times and shifts share: a cursor, fractions and the error.

use std::fmt;

use crate::Error;

/// Why a text is not a time or a shift, and what to write instead.
///
/// One line, in lower case; it does not repeat the text, which the caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseError(String);

impl ParseError {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ParseError {}

impl From<ParseError> for Error {
    fn from(error: ParseError) -> Self {
        Error::new(error.0)
    }
}

/// The text that is still to be read.
pub(crate) struct Scan<'a>(pub(crate) &'a str);

impl<'a> Scan<'a> {
    /// Takes the longest start whose bytes all satisfy `wanted`.
    fn take_while(&mut self, wanted: fn(char) -> bool) -> &'a str {
        let end = self.0.find(|c| !wanted(c)).unwrap_or(self.0.len());
        let (taken, rest) = self.0.split_at(end);
        self.0 = rest;
        taken
    }

    /// Takes all ASCII digits at the start, perhaps none.
    pub(crate) fn digits(&mut self) -> &'a str {
        self.take_while(|c| c.is_ascii_digit())
    }

    /// Takes all letters at the start, perhaps none.
    pub(crate) fn letters(&mut self) -> &'a str {
        self.take_while(char::is_alphabetic)
    }

    /// Takes exactly `count` digits as a number, or nothing.
    pub(crate) fn fixed(&mut self, count: usize) -> Option<i16> {
        let digits = self.0.get(..count)?;
        if !digits.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        self.0 = &self.0[count..];
        digits.parse().ok()
    }

    /// Takes one of `wanted`, and says whether it was there.
    pub(crate) fn eat(&mut self, wanted: &[char]) -> bool {
        match self.0.strip_prefix(wanted) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// Takes `.` and the digits after it, if there is a `.`: billionths.
    pub(crate) fn fraction(&mut self) -> Result<Option<u32>, ParseError> {
        if !self.eat(&['.']) {
            return Ok(None);
        }
        let digits = self.digits();
        match digits.len() {
            0 => Err(ParseError::new(
                "digits are missing after the `.`; write a fraction such as `2.5`",
            )),
            // At most 999,999,999 after padding, so it fits.
            1..=9 => Ok(format!("{digits:0<9}").parse().ok()),
            _ => Err(ParseError::new(
                "a fraction has at most 9 digits, as a `timespec` has; shorten it",
            )),
        }
    }
}

/// Refuses what looks like a minus or a plus sign but is none, as pasted from a web page.
pub(crate) fn refuse_foreign_signs(text: &str) -> Result<(), ParseError> {
    const MINUS: &str = "\u{2212}\u{2010}\u{2011}\u{2012}\u{2013}\u{2014}\u{fe63}\u{ff0d}";
    let sign = |c: char| match c {
        '\u{ff0b}' => Some(('+', "plus")),
        c if MINUS.contains(c) => Some(('-', "minus")),
        _ => None,
    };
    match text.chars().find_map(|c| Some((c, sign(c)?))) {
        Some((c, (ascii, name))) => Err(ParseError::new(format!(
            "`{c}` is not the {name} sign of ASCII; write `{ascii}`"
        ))),
        None => Ok(()),
    }
}
