//! The table by which an unwinder finds the frame description of an address (`.eh_frame_hdr`).

use std::ops::Range;

use super::bytes::{put, u32};

/// Version 1; a pc-relative pointer to `.eh_frame`, a 4-byte count, entries relative to the table.
const FORM: [u8; 4] = [0x01, 0x1b, 0x03, 0x3b];

/// The bytes before the entries.
const HEADER_LEN: usize = 12;

/// A sorted table of functions and their frame descriptions, both as offsets from the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Table {
    /// Where `.eh_frame` begins.
    frames: u32,
    entries: Vec<(u32, u32)>,
}

impl Table {
    /// Reads the table at `at`, or `None` if it is not of the form that linkers make.
    pub(super) fn read(vdso: &[u8], at: usize) -> Option<Self> {
        if vdso.get(at..)?.get(..4)? != FORM {
            return None;
        }
        let base = u32::try_from(at).ok()?;
        let frames = u32(vdso, at + 4)?.wrapping_add(base + 4);
        let count = usize::try_from(u32(vdso, at + 8)?).ok()?;
        let entry = |n: usize| {
            let entry = at + HEADER_LEN + 8 * n;
            let word = |at| Some(u32(vdso, at)?.wrapping_add(base));
            Some((word(entry)?, word(entry + 4)?))
        };
        let entries = (0..count).map(entry).collect::<Option<_>>()?;
        Some(Self { frames, entries })
    }

    /// Has the frame descriptions of `range` lie at `to`, and returns them as they must stand there.
    ///
    /// `None` if one of them is not of the form that the kernel's linker makes.
    pub(super) fn move_frames(
        &mut self,
        vdso: &[u8],
        range: &Range<usize>,
        to: usize,
    ) -> Option<Vec<u8>> {
        let from = u32::try_from(range.start).ok()?;
        let distance = u32::try_from(to).ok()?.wrapping_sub(from);
        let mut frames = vdso.get(range.clone())?.to_vec();
        if self.frames != from || has_terminator(&frames)? {
            return None;
        }
        for (function, frame) in &mut self.entries {
            // After length and CIE distance stands the function, relative to the word itself.
            let at = usize::try_from(frame.checked_sub(from)?).ok()? + 8;
            let start = u32(&frames, at)?;
            if start.wrapping_add(*frame + 8) != *function {
                return None;
            }
            put(&mut frames, at, &start.wrapping_sub(distance).to_le_bytes())?;
            *frame = frame.wrapping_add(distance);
        }
        self.frames = self.frames.wrapping_add(distance);
        Some(frames)
    }

    /// Removes functions, by their places, and returns them with the places of their frame
    /// descriptions.
    pub(super) fn take(&mut self, is_gone: impl Fn(usize) -> bool) -> Vec<(usize, usize)> {
        let gone = |entry: &(u32, u32)| is_gone(entry.0 as usize);
        let frames = self.entries.iter().filter(|entry| gone(entry));
        let frames = frames
            .map(|entry| (entry.0 as usize, entry.1 as usize))
            .collect();
        self.entries.retain(|entry| !gone(entry));
        frames
    }

    /// Adds functions, in any order.
    pub(super) fn extend(&mut self, entries: impl IntoIterator<Item = (u32, u32)>) {
        self.entries.extend(entries);
        self.entries.sort_unstable();
    }

    /// The length of [`to_bytes`](Self::to_bytes).
    pub(super) fn len(&self) -> usize {
        HEADER_LEN + 8 * self.entries.len()
    }

    /// The table as it must stand at `at`.
    pub(super) fn to_bytes(&self, at: usize) -> Option<Vec<u8>> {
        let base = u32::try_from(at).ok()?;
        let count = u32::try_from(self.entries.len()).ok()?;
        let mut bytes = FORM.to_vec();
        bytes.extend(self.frames.wrapping_sub(base + 4).to_le_bytes());
        bytes.extend(count.to_le_bytes());
        for (function, frame) in &self.entries {
            bytes.extend(function.wrapping_sub(base).to_le_bytes());
            bytes.extend(frame.wrapping_sub(base).to_le_bytes());
        }
        Some(bytes)
    }
}

/// Whether a record of length zero ends the frame descriptions: none could follow it.
fn has_terminator(frames: &[u8]) -> Option<bool> {
    let mut at = 0;
    while at < frames.len() {
        match u32(frames, at)? {
            0 => return Some(true),
            len => at = at.checked_add(4)?.checked_add(len.try_into().ok()?)?,
        }
    }
    Some(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_reads_back_from_where_it_was_written_sorted() {
        let mut table = Table {
            frames: 0x660,
            entries: vec![(0x780, 0x678), (0x810, 0x68c)],
        };
        table.extend([(0x1b00, 0x1e00), (0x100, 0x1d00)]);
        let mut image = vec![0; 0x1a20];
        image.extend(table.to_bytes(0x1a20).unwrap());
        assert_eq!(image.len(), 0x1a20 + table.len());
        assert_eq!(Table::read(&image, 0x1a20).as_ref(), Some(&table));
        assert!(table.entries.is_sorted());
    }

    #[test]
    fn a_table_of_another_form_or_cut_short_is_refused() {
        let table = Table {
            frames: 0,
            entries: vec![(1, 2)],
        };
        let bytes = table.to_bytes(0).unwrap();
        assert!(Table::read(&bytes[..bytes.len() - 1], 0).is_none());
        let mut other = bytes;
        other[3] = 0xff;
        assert!(Table::read(&other, 0).is_none());
    }

    #[test]
    fn moved_frames_describe_the_same_functions() {
        // One FDE at 8, of the function at 0x40.
        let mut image = vec![0; 8];
        for word in [12_u32, 8, 0x40 - 16, 4] {
            image.extend(word.to_le_bytes());
        }
        let table = Table {
            frames: 8,
            entries: vec![(0x40, 8)],
        };
        let mut moved = table.clone();
        let frames = moved.move_frames(&image, &(8..24), 0x80).unwrap();
        assert_eq!(
            (moved.frames, &moved.entries[..]),
            (0x80, &[(0x40, 0x80)][..])
        );
        assert_eq!(u32(&frames, 8).unwrap().wrapping_add(0x88), 0x40);
        let mut wrong = Table {
            entries: vec![(0x41, 8)],
            ..table
        };
        assert!(wrong.move_frames(&image, &(8..24), 0x80).is_none());
    }
}
