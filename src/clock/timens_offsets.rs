//! The text of `/proc/PID/timens_offsets`, as time_namespaces(7) describes it
//! (`fs/proc/base.c: timens_offsets_write`, `kernel/time/namespace.c: proc_timens_show_offsets`).

use super::offset::{ClockOffsets, Offset};

/// So many bytes are too many: a page of the kernel's.
const PAGE_SIZE: usize = 4096;

/// What a write asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Request {
    monotonic: Option<Offset>,
    boottime: Option<Offset>,
    /// How many bytes were looked at: those of two lines at most.
    pub(crate) len: usize,
}

/// What the file shows.
pub(crate) fn show(offsets: &ClockOffsets) -> String {
    let line = |clock: &str, offset: Offset| {
        let (sec, nsec) = (offset.secs(), offset.subsec_nanos());
        format!("{clock:<10} {sec:>10} {nsec:>9}\n")
    };
    line("monotonic", offsets.monotonic) + &line("boottime", offsets.boottime)
}

/// What a write of `bytes` asks for.
///
/// DIFFERENCE: Linux takes `monotonic123 5 0` for 123 seconds, and some numbers of nanoseconds
/// beyond 64 bits, which then stop the clock.
///
/// # Errors
/// `EINVAL`: a line is not a clock, seconds and nanoseconds.
pub(crate) fn parse(bytes: &[u8]) -> Result<Request, i32> {
    if bytes.len() >= PAGE_SIZE {
        return Err(libc::EINVAL);
    }
    let mut request = Request {
        monotonic: None,
        boottime: None,
        len: bytes.len(),
    };
    // A string of C's ends at its first zero.
    let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
    let mut rest = text;
    for _ in 0..2 {
        let (line, next) = match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => (&rest[..at], &rest[at + 1..]),
            None => (rest, &rest[rest.len()..]),
        };
        let (clock, offset) = line_of(line)?;
        match clock {
            b"monotonic" | b"1" => request.monotonic = Some(offset),
            b"boottime" | b"7" => request.boottime = Some(offset),
            _ => return Err(libc::EINVAL),
        }
        rest = next;
        if rest.is_empty() {
            return Ok(request);
        }
    }
    request.len = text.len() - rest.len();
    Ok(request)
}

/// A clock's name and its offset: `"%9s %lld %lu"` of sscanf(3), and whatever follows.
fn line_of(line: &[u8]) -> Result<(&[u8], Offset), i32> {
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    let mut words = line.split(is_space).filter(|word| !word.is_empty());
    let mut word = || words.next().ok_or(libc::EINVAL);
    let (clock, seconds, nanoseconds) = (word()?, word()?, word()?);
    let (sign, digits) = match seconds.strip_prefix(b"-") {
        Some(digits) => (-1_i64, digits),
        None => (1, seconds),
    };
    // What is glued to the seconds would be looked at as the nanoseconds.
    let (seconds, _, behind) = number(digits)?;
    if !behind.is_empty() {
        return Err(libc::EINVAL);
    }
    let (nanoseconds, is_whole, _) = number(nanoseconds)?;
    let nanoseconds = u32::try_from(nanoseconds)
        .ok()
        .filter(|_| is_whole)
        .ok_or(libc::EINVAL)?;
    // Linux drops what is beyond 64 bits.
    let seconds = sign.wrapping_mul(seconds.cast_signed());
    let offset = Offset::new(seconds, nanoseconds).ok_or(libc::EINVAL)?;
    Ok((clock, offset))
}

/// The number that a word begins with, its low 64 bits, and whether that is all; and what follows it.
fn number(word: &[u8]) -> Result<(u64, bool, &[u8]), i32> {
    let len = word.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if len == 0 {
        return Err(libc::EINVAL);
    }
    let add = |(sum, is_whole): (u64, bool), digit: &u8| {
        let digit = u64::from(digit - b'0');
        let whole = sum.checked_mul(10).and_then(|sum| sum.checked_add(digit));
        let low = sum.wrapping_mul(10).wrapping_add(digit);
        (low, is_whole && whole.is_some())
    };
    let (number, is_whole) = word[..len].iter().fold((0, true), add);
    Ok((number, is_whole, &word[len..]))
}

impl Request {
    /// The offsets that hold when the request is granted.
    pub(crate) fn apply(&self, to: ClockOffsets) -> ClockOffsets {
        ClockOffsets {
            monotonic: self.monotonic.unwrap_or(to.monotonic),
            boottime: self.boottime.unwrap_or(to.boottime),
            ..to
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> Result<(Option<i64>, Option<i64>, usize), i32> {
        let request = parse(text.as_bytes())?;
        let seconds = |offset: Option<Offset>| offset.map(Offset::secs);
        Ok((
            seconds(request.monotonic),
            seconds(request.boottime),
            request.len,
        ))
    }

    #[test]
    fn the_file_shows_two_lines_in_columns() {
        let offsets = ClockOffsets {
            monotonic: Offset::from_secs(-86_400),
            boottime: Offset::new(7, 5).unwrap(),
            ..ClockOffsets::default()
        };
        let expected = "monotonic      -86400         0\nboottime            7         5\n";
        assert_eq!(show(&offsets), expected);
    }

    #[test]
    fn clocks_have_names_and_numbers_in_any_order() {
        assert_eq!(set("monotonic 10 0"), Ok((Some(10), None, 14)));
        assert_eq!(set("7 -3 999999999\n"), Ok((None, Some(-3), 15)));
        let both = "boottime 5 0\nmonotonic 6 0\n";
        assert_eq!(set(both), Ok((Some(6), Some(5), both.len())));
        assert_eq!(set("1 2 0\n1 3 0\n"), Ok((Some(3), None, 12)));
        assert_eq!(
            set(" \t monotonic\t010  7 and more"),
            Ok((Some(10), None, 28))
        );
        assert_eq!(set("monotonic 1 0\0junk\n"), Ok((Some(1), None, 19)));
    }

    #[test]
    fn only_two_lines_are_looked_at() {
        let lines = "monotonic 1 0\nboottime 2 0\nmonotonic 3 0\n";
        assert_eq!(set(lines), Ok((Some(1), Some(2), 27)));
        assert_eq!(set("1 1 0\n7 2 0\nnonsense"), Ok((Some(1), Some(2), 12)));
    }

    #[test]
    fn what_is_no_clock_and_two_numbers_is_refused() {
        for text in [
            "",
            "\n",
            "monotonic",
            "monotonic 1",
            "realtime 1 0",
            "0 1 0",
            "MONOTONIC 1 0",
            "monotonic +10 0",
            "monotonic 0x10 0",
            "monotonic 1.5 0",
            "monotonic 1 1000000000",
            "monotonic 1 -1",
            "monotonic 1 18446744073709551617",
            "monotonic123 5 0",
            "monotonic 1 0\n\nboottime 1 0\n",
            "\nmonotonic 1 0\n",
            "monotonic - 0",
        ] {
            assert_eq!(set(text), Err(libc::EINVAL), "{text:?}");
        }
        assert_eq!(set("1 18446744073709551617 0"), Ok((Some(1), None, 24)));
        assert_eq!(parse(&[b' '; PAGE_SIZE]), Err(libc::EINVAL));
    }
}
