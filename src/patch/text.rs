//! The text of a file as it is mapped, and the room behind it.
//!
//! A file's text seldom fills its last page. What a page has beyond the end that the file's own
//! headers state (`p_filesz`) belongs to nobody there: no loader looks at it, and other segments
//! have mappings of their own, even where they share that page of the file. It is used only as far
//! as it is zero, as linkers leave it.

use std::fs::File;
use std::ops::Range;

use super::{Reason, maps, read};

const PAGE: u64 = 4096;

/// How far before and behind a site its code is looked at.
const AROUND: u64 = 4096;

/// `sizeof(Elf64_Phdr)`, and how many of them are looked at.
const HEADER: usize = 56;
const HEADERS: usize = 64;

/// `p_type` and `p_flags`.
const PT_LOAD: u32 = 1;
const PF_X: u32 = 1;

/// The mapping that holds a site.
#[derive(Debug)]
pub(super) struct Text {
    mapped: Range<u64>,
    /// Between the end of the segment and that of its last page.
    pub(super) room: Range<u64>,
}

/// Code as it is in memory.
pub(super) struct Code {
    pub(super) bytes: Vec<u8>,
    /// Where in it the site begins.
    pub(super) site: usize,
}

impl Text {
    /// The text that holds `start..end`.
    pub(super) fn find(memory: &File, maps: &File, start: u64, end: u64) -> Result<Self, Reason> {
        let (text, first) = maps::find(maps, start).ok_or(Reason::Gone)?;
        if text.file.is_none() {
            return Err(Reason::NotFileBacked);
        }
        if text.rights != *b"r-xp" {
            return Err(Reason::Writable);
        }
        if end > text.end {
            return Err(Reason::Boundary);
        }
        let first = first.filter(|first| first.file == text.file);
        let first = first.ok_or(Reason::NoRoom)?;
        let mut header = vec![0; usize::try_from(PAGE).map_err(|_| Reason::NoRoom)?];
        read(memory, &mut header, first.start)?;
        let room = room(&header, &first, &text, start).ok_or(Reason::NoRoom)?;
        Ok(Self {
            mapped: text.start..text.end,
            room,
        })
    }

    /// The code around `start..end`.
    pub(super) fn around(&self, memory: &File, start: u64, end: u64) -> Result<Code, Reason> {
        let from = start.saturating_sub(AROUND).max(self.mapped.start);
        let to = end.saturating_add(AROUND).min(self.mapped.end);
        let index = |address: u64| {
            let distance = address.checked_sub(from)?;
            usize::try_from(distance).ok()
        };
        let site = index(start).ok_or(Reason::Gone)?;
        let mut bytes = vec![0; index(to).ok_or(Reason::Gone)?];
        read(memory, &mut bytes, from)?;
        Ok(Code { bytes, site })
    }

    /// What tells this text from others in the program.
    pub(super) fn start(&self) -> u64 {
        self.mapped.start
    }
}

/// A `PT_LOAD`.
struct Segment {
    flags: u32,
    offset: u64,
    address: u64,
    /// The greater of `p_filesz` and `p_memsz`.
    len: u64,
}

/// What lies behind the end of the segment that holds `site`, in the mapping `text` and outside of all
/// segments. `first` begins with the file's `header`.
fn room(
    header: &[u8],
    first: &maps::Mapping,
    text: &maps::Mapping,
    site: u64,
) -> Option<Range<u64>> {
    let segments = segments(header)?;
    let lowest = segments.iter().find(|segment| segment.offset < PAGE)?;
    let bias = first
        .start
        .wrapping_sub(lowest.address.wrapping_sub(lowest.offset));
    let placed = |segment: &Segment| {
        let start = bias.wrapping_add(segment.address);
        Some(start..start.checked_add(segment.len)?)
    };
    let (segment, own) = segments
        .iter()
        .filter(|segment| segment.flags & PF_X != 0)
        .filter_map(|segment| Some((segment, placed(segment)?)))
        .find(|(_, range)| range.contains(&site))?;
    // The file as the headers describe it, or another one?
    if segment.offset.wrapping_sub(text.offset) != own.start.wrapping_sub(text.start) {
        return None;
    }
    let end = own.end.checked_next_multiple_of(PAGE)?.min(text.end);
    let room = own.end..end;
    let is_used = segments.iter().any(|other| {
        placed(other).is_none_or(|range| range.start < room.end && room.start < range.end)
    });
    (room.start >= text.start && !room.is_empty() && !is_used).then_some(room)
}

/// The segments that a file's header names.
fn segments(header: &[u8]) -> Option<Vec<Segment>> {
    if !header.starts_with(b"\x7fELF\x02\x01") {
        return None;
    }
    let start = usize::try_from(long(header, 32)?).ok()?;
    let (len, count) = (half(header, 54)?, half(header, 56)?);
    if len != HEADER || count > HEADERS {
        return None;
    }
    let table = header.get(start..start.checked_add(len * count)?)?;
    let loads = table.chunks_exact(HEADER).filter_map(|entry| {
        let is_load = word(entry, 0)? == PT_LOAD;
        is_load.then_some(Segment {
            flags: word(entry, 4)?,
            offset: long(entry, 8)?,
            address: long(entry, 16)?,
            len: long(entry, 32)?.max(long(entry, 40)?),
        })
    });
    Some(loads.collect())
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    let two = bytes.get(at..)?.first_chunk()?;
    Some(u16::from_le_bytes(*two).into())
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use maps::Mapping;

    /// A header with these segments: flags, offset, address, length.
    fn header(segments: &[(u32, u64, u64, u64)]) -> Vec<u8> {
        let mut bytes = vec![0; 64];
        bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
        bytes[32] = 64;
        bytes[54] = 56;
        bytes[56] = u8::try_from(segments.len()).unwrap();
        for (flags, offset, address, len) in segments {
            bytes.extend(1u32.to_le_bytes());
            bytes.extend(flags.to_le_bytes());
            for value in [*offset, *address, *address, *len, *len, 4096] {
                bytes.extend(value.to_le_bytes());
            }
        }
        bytes.resize(4096, 0);
        bytes
    }

    fn mapping(start: u64, end: u64, offset: u64) -> Mapping {
        Mapping {
            start,
            end,
            offset,
            rights: *b"r-xp",
            file: Some((1, 1)),
        }
    }

    /// The room in a file at 0x10000 whose text is mapped at 0x12000..0x14000 from 0x1000.
    fn room_in(segments: &[(u32, u64, u64, u64)]) -> Option<Range<u64>> {
        let first = mapping(0x10000, 0x11000, 0);
        let text = mapping(0x12000, 0x14000, 0x1000);
        room(&header(segments), &first, &text, 0x12800)
    }

    #[test]
    fn the_room_is_what_the_last_page_has_beyond_the_segment() {
        let first = (4, 0, 0, 0x800);
        let text = (5, 0x1000, 0x2000, 0x1234);
        assert_eq!(room_in(&[first, text]), Some(0x13234..0x14000));
        // A program at a fixed address.
        let fixed = [(4, 0, 0x10000, 0x800), (5, 0x1000, 0x12000, 0x1234)];
        assert_eq!(room_in(&fixed), Some(0x13234..0x14000));
        // A full last page; a segment that goes on; one that begins there; one that is elsewhere.
        assert_eq!(room_in(&[first, (5, 0x1000, 0x2000, 0x2000)]), None);
        assert_eq!(room_in(&[first, (5, 0x1000, 0x2000, 0x700)]), None);
        assert_eq!(room_in(&[first, text, (4, 0x3000, 0x3800, 8)]), None);
        assert_eq!(room_in(&[first, (5, 0x2000, 0x2000, 0x1234)]), None);
        // Not code, as the header says.
        assert_eq!(room_in(&[first, (4, 0x1000, 0x2000, 0x1234)]), None);
    }

    #[test]
    fn headers_that_lie_lead_nowhere() {
        let first = (4, 0, 0, 0x800);
        assert_eq!(room_in(&[]), None);
        assert_eq!(room_in(&[first, (5, 0x1000, 0x2000, u64::MAX)]), None);
        assert_eq!(room_in(&[first, (5, 0x1000, u64::MAX, u64::MAX)]), None);
        assert_eq!(
            room_in(&[(4, 0, u64::MAX, 1), (5, 0x1000, 0x2000, 0x1234)]),
            None
        );
        let honest = header(&[first, (5, 0x1000, 0x2000, 0x1234)]);
        for (at, value) in [
            (0, 0),
            (4, 1),
            (32, 0xff),
            (39, 0xff),
            (54, 0),
            (56, 0xff),
            (57, 1),
        ] {
            let mut lying = honest.clone();
            lying[at] = value;
            let (first, text) = (
                mapping(0x10000, 0x11000, 0),
                mapping(0x12000, 0x14000, 0x1000),
            );
            assert_eq!(room(&lying, &first, &text, 0x12800), None, "{at}");
        }
    }
}
