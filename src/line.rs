//! Text from outside, made fit for a message of one line.

use std::ffi::OsStr;

/// A user's text fit for a message: what cannot be printed is escaped, and a long one is cut.
pub(crate) fn shown(text: &OsStr) -> String {
    const LONGEST: usize = 80;
    let text = text.to_string_lossy();
    let mut line = one_line(&text.chars().take(LONGEST).collect::<String>());
    if text.chars().nth(LONGEST).is_some() {
        line.push_str("...");
    }
    line
}

/// `text` without line ends or other control characters, or those that turn the direction of text.
pub(crate) fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        let is_turn = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() || is_turn || matches!(c, '\u{2028}' | '\u{2029}') {
            line.extend(c.escape_default());
        } else {
            line.push(c);
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shown_text_is_one_short_line() {
        assert_eq!(shown("a\nb\t\x1b".as_ref()), r"a\nb\t\u{1b}");
        assert_eq!(shown("\u{9b}2J\u{202e}".as_ref()), r"\u{9b}2J\u{202e}");
        assert_eq!(shown("ü 日".as_ref()), "ü 日");
        assert_eq!(shown("x".repeat(100).as_ref()), "x".repeat(80) + "...");
    }
}
