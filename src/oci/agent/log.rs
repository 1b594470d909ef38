//! The log: one line an event on the standard error, `key=value` pairs that journald, Loki and people
//! read alike.

use std::fmt::{Display, Write as _};
use std::io::Write as _;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::line::one_line;

/// A line in the making.
pub(super) struct Line(String);

impl Line {
    /// Something that went as it should.
    pub(super) fn info(event: &str) -> Self {
        Self::new("info", event)
    }

    /// Something that somebody should look at.
    pub(super) fn warning(event: &str) -> Self {
        Self::new("warn", event)
    }

    fn new(level: &str, event: &str) -> Self {
        let now = Timestamp::now();
        Self(format!("time={now:.3} level={level} event={event}"))
    }

    /// Adds a pair; the value may come from anywhere.
    #[must_use]
    pub(super) fn with(mut self, key: &str, value: impl Display) -> Self {
        let value = value.to_string();
        let is_plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '=' | '\\');
        if !value.is_empty() && value.chars().all(is_plain) {
            let _ = write!(self.0, " {key}={value}");
        } else {
            let value = one_line(&value).replace('\\', "\\\\").replace('"', "\\\"");
            let _ = write!(self.0, " {key}=\"{value}\"");
        }
        self
    }

    /// Writes it.
    pub(super) fn write(mut self) {
        self.0.push('\n');
        // Nothing is left to tell it to if the standard error is closed.
        let _ = std::io::stderr().write_all(self.0.as_bytes());
    }
}

/// Keeps those who cause warnings from filling the disk.
#[derive(Default)]
pub(super) struct Limit {
    second: Option<Instant>,
    lines: u32,
    left_out: u64,
}

/// Warnings in a second.
const MOST_LINES: u32 = 20;

impl Limit {
    /// Writes a line, or counts it: the next that is written says how many were not.
    pub(super) fn write(&mut self, line: Line) {
        let now = Instant::now();
        let is_new = self
            .second
            .is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1));
        if is_new {
            self.second = Some(now);
            self.lines = 0;
        }
        if self.lines >= MOST_LINES {
            self.left_out += 1;
            return;
        }
        self.lines += 1;
        match std::mem::take(&mut self.left_out) {
            0 => line.write(),
            left_out => line.with("left_out", left_out).write(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_cannot_pass_for_another_pair_or_line() {
        let line = Line::info("x")
            .with("a", "plain")
            .with("b", "two words\nlevel=error")
            .with("c", "\"\\")
            .with("d", "");
        let pairs = line.0.split_once(" event=").unwrap().1;
        assert_eq!(
            pairs,
            r#"x a=plain b="two words\\nlevel=error" c="\"\\" d="""#
        );
    }
}
