//! The list of a program's mappings, as far as a patcher reads it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::FileExt;

use crate::sys::maps;

/// A line of `/proc/TID/maps`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    pub(super) start: u64,
    pub(super) end: u64,
    /// The place in the file.
    pub(super) offset: u64,
    pub(super) rights: [u8; 4],
    /// Device and inode, of a file that lies on some disk.
    pub(super) file: Option<(u64, u64)>,
}

/// A program can have as many mappings as it likes; its list is read up to here, some milliseconds.
const LONGEST: u64 = 1 << 20;

/// The mapping that holds `address`, and the last one before or at it that begins with its
/// file's first byte.
pub(super) fn find(maps: &File, address: u64) -> Option<(Mapping, Option<Mapping>)> {
    let from_start = At { maps, position: 0 };
    let mut lines = BufReader::new(from_start.take(LONGEST));
    let (mut line, mut first) = (Vec::new(), None);
    loop {
        line.clear();
        if lines.read_until(b'\n', &mut line).ok()? == 0 {
            return None;
        }
        let mapping = parse(&String::from_utf8_lossy(&line))?;
        if mapping.start > address {
            return None;
        }
        if mapping.offset == 0 && mapping.file.is_some() {
            first = Some(mapping);
        }
        if address < mapping.end {
            return Some((mapping, first));
        }
    }
}

/// The file from its start, wherever its own position is.
struct At<'a> {
    maps: &'a File,
    position: u64,
}

impl Read for At<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.maps.read_at(into, self.position)?;
        self.position += read as u64;
        Ok(read)
    }
}

fn parse(line: &str) -> Option<Mapping> {
    let maps::Mapping {
        start,
        end,
        rights,
        offset,
        file,
        name,
    } = maps::parse(line)?;
    let is_real = name.is_some_and(is_real_file) && file.1 != 0;
    Some(Mapping {
        start,
        end,
        offset,
        rights,
        file: is_real.then_some(file),
    })
}

/// Memory files hold code that programs make, and may have it mapped elsewhere, writable.
fn is_real_file(path: &str) -> bool {
    const MEMORY: [&str; 5] = ["/memfd:", "/SYSV", "/dev/zero", "/dev/shm/", "/anon_"];
    path.starts_with('/') && !MEMORY.iter().any(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_files_of_a_disk_are_files() {
        let file = |rest: &str| parse(&format!("1000-2000 r-xp 00001000 {rest}\n")).unwrap();
        let libc = file("fe:01 77       /lib/libc.so.6");
        assert_eq!(
            (libc.start, libc.end, libc.offset),
            (0x1000, 0x2000, 0x1000)
        );
        assert_eq!(
            (libc.rights, libc.file),
            (*b"r-xp", Some((0xfe << 32 | 1, 77)))
        );
        assert!(file("00:2f 9  /srv/a b (deleted)").file.is_some());
        for rest in [
            "00:00 0",
            "00:00 0      [vdso]",
            "00:01 9  /memfd:code (deleted)",
            "00:01 9  /dev/zero (deleted)",
            "00:1a 9  /dev/shm/code",
        ] {
            assert_eq!(file(rest).file, None, "{rest}");
        }
    }

    #[test]
    fn a_line_that_makes_no_sense_is_refused() {
        for line in [
            "",
            "\n",
            "1000 r-xp 0 0:0 0",
            "1-2 r-x 0 0:0 0",
            "1-2 r-xp 0 0 0",
        ] {
            assert_eq!(parse(line), None, "{line:?}");
        }
    }

    #[test]
    fn our_own_code_lies_in_a_file_whose_first_byte_is_mapped_before_it() {
        let maps = File::open("/proc/self/maps").unwrap();
        let here = find as *const () as u64;
        let (text, first) = find(&maps, here).unwrap();
        assert!((text.start..text.end).contains(&here));
        assert_eq!(text.rights, *b"r-xp");
        assert_eq!(first.unwrap().file, text.file);
        // Again, though the file has been read.
        assert_eq!(find(&maps, here), Some((text, first)));
        assert_eq!(find(&maps, 8), None);
    }
}
