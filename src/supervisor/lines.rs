//! Lines of files below `/proc`, which may be long and come in many reads.

use std::io;
use std::os::fd::BorrowedFd;

use rustix::fs::{Mode, OFlags, openat};

/// How much is read of one file: more than ten thousand timers are listed in.
const MOST: usize = 1 << 20;

/// How a look through a file has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// At a line that was the last wanted.
    Found,
    /// At the file's end.
    Whole,
    /// Because there was too much.
    Cut,
}

/// Hands over a file's lines until one is the last that is wanted; of a very long line, pieces.
pub(super) fn read(
    proc: BorrowedFd<'_>,
    path: &str,
    mut is_last: impl FnMut(&[u8]) -> bool,
) -> io::Result<End> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(proc, path, flags, Mode::empty())?;
    let mut bytes = [0; 4096];
    let (mut kept, mut total) = (0, 0);
    while total < MOST {
        let read = rustix::io::read(&file, &mut bytes[kept..])?;
        if read == 0 {
            return Ok(End::Whole);
        }
        total += read;
        let filled = kept + read;
        let newline = bytes[..filled].iter().rposition(|byte| *byte == b'\n');
        let whole = match newline {
            Some(at) => at + 1,
            None if filled == bytes.len() => filled,
            None => 0,
        };
        let mut lines = bytes[..whole].split(|byte| *byte == b'\n');
        if lines.any(&mut is_last) {
            return Ok(End::Found);
        }
        bytes.copy_within(whole..filled, 0);
        kept = filled - whole;
    }
    Ok(End::Cut)
}

/// What follows `key` at a line's beginning.
pub(super) fn value<'a>(line: &'a [u8], key: &str) -> Option<&'a str> {
    let rest = line.strip_prefix(key.as_bytes())?;
    Some(std::str::from_utf8(rest).ok()?.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsFd;

    #[test]
    fn a_long_file_is_handed_over_line_by_line() {
        let dir = tempfile::tempdir().unwrap();
        let at = File::open(dir.path()).unwrap();
        let long = "x".repeat(10_000);
        let text = format!("first\n{long}\n{}last\nafter\n", "middle\n".repeat(3000));
        std::fs::write(dir.path().join("file"), text).unwrap();
        let mut seen = Vec::new();
        let end = read(at.as_fd(), "file", |line| {
            seen.push(line.to_vec());
            line == b"last"
        });
        assert_eq!(end.unwrap(), End::Found);
        assert_eq!(seen[0], b"first");
        let count = |wanted: &[u8]| seen.iter().filter(|line| *line == wanted).count();
        assert_eq!((count(b"middle"), count(b"last")), (3000, 1));
        let pieces: usize = seen
            .iter()
            .filter(|l| l.starts_with(b"x"))
            .map(Vec::len)
            .sum();
        assert_eq!(pieces, long.len());
        assert_eq!(read(at.as_fd(), "file", |_| false).unwrap(), End::Whole);
        std::fs::write(dir.path().join("file"), "y\n".repeat(MOST)).unwrap();
        assert_eq!(read(at.as_fd(), "file", |_| false).unwrap(), End::Cut);
    }

    #[test]
    fn a_value_follows_its_key_at_the_lines_beginning() {
        assert_eq!(value(b"ClockID: -6", "ClockID: "), Some("-6"));
        assert_eq!(value(b"ClockID: 1", "ID: "), None);
        assert_eq!(value(b"ID: \xff", "ID: "), None);
    }
}
