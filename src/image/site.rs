//! The places in the code that are filled in for the running kernel: where its clock data lies and
//! how, as immediate operands, so that a reading loads nothing but the data.

use super::btf::Layout;
use super::bytes::put;

/// A place in the blob; the assembly has recorded it (`src/vdso/arch`).
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    pub(super) at: usize,
    /// Which of [`Values`].
    pub(super) what: usize,
    /// Bytes.
    pub(super) width: usize,
    /// What is added to the value.
    pub(super) more: u8,
}

/// What goes into the sites, in the order of the assembly's constants.
#[derive(Clone, Copy, Debug)]
pub(super) struct Values([i64; 16]);

/// The first of [`Values`] are distances from the blob, and stand in the code relative to the next
/// instruction.
const DISTANCES: usize = 4;

/// `VDSO_CLOCKMODE_TIMENS`.
const MODE_TIMENS: i64 = i32::MAX as i64;

impl Values {
    /// No clock is read directly.
    pub(super) const NONE: Self = Self([0; 16]);

    /// The clocks are read by `layout`, with `vvar` and the `offsets` so far from the blob.
    pub(super) fn new(layout: &Layout, vvar: i64, offsets: i64) -> Self {
        // Without a known place of the other page no mode will ever be the one compared with.
        let (mode, page) = match layout.timens_page {
            Some(page) => (MODE_TIMENS, i64::from(page) * 4096),
            None => (-1, 0),
        };
        let clock_data = vvar + i64::from(layout.clock_data);
        let seq = clock_data + i64::from(layout.seq);
        // The time of the first coarse clock, whose id is 5.
        let coarse = clock_data + i64::from(layout.basetime) + 5 * 16;
        Self([
            clock_data,
            clock_data + i64::from(layout.len),
            coarse,
            coarse,
            layout.seq.into(),
            layout.mode.into(),
            layout.cycle_last.into(),
            layout.mult.into(),
            layout.shift.into(),
            layout.basetime.into(),
            mode,
            page,
            crate::page::HIGH_RES.into(),
            seq - coarse,
            offsets - coarse,
            5,
        ])
    }

    /// The same for a closed image, with the parameter page so far from the blob: no clock is read,
    /// and all go the slow way.
    ///
    /// time(2) takes the page for the kernel's data, and its version, which is odd, for an update
    /// under way.
    pub(super) fn closed(mut self, page: i64) -> Self {
        const TIME_DATA: usize = 3;
        const HIGH_RES: usize = 12;
        const COARSE_SEQ: usize = 13;
        const COARSE_ID: usize = 15;
        self.0[TIME_DATA] = page - self.0[COARSE_SEQ];
        self.0[HIGH_RES] = 0;
        // No clock's.
        self.0[COARSE_ID] = 0x7d;
        self
    }

    /// Fills in `sites` of the `blob`; `None` if a value does not fit.
    pub(super) fn fill(&self, blob: &mut [u8], sites: &[Site]) -> Option<()> {
        for site in sites {
            let mut value = self.0.get(site.what)? + i64::from(site.more);
            if site.what < DISTANCES {
                value -= i64::try_from(site.at + site.width).ok()?;
            }
            match site.width {
                1 => put(blob, site.at, &i8::try_from(value).ok()?.to_le_bytes())?,
                _ => put(blob, site.at, &i32::try_from(value).ok()?.to_le_bytes())?,
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distance_counts_from_the_next_instruction_and_a_field_fits_its_width() {
        let site = |what, width| Site {
            at: 4,
            what,
            width,
            more: 8,
        };
        let mut values = Values::NONE;
        (values.0[1], values.0[9]) = (-0x6000, 100);
        let mut blob = [0; 8];
        values.fill(&mut blob, &[site(1, 4)]).unwrap();
        assert_eq!(blob[4..], (-0x6000_i32 + 8 - 8).to_le_bytes());
        values.fill(&mut blob, &[site(9, 1)]).unwrap();
        assert_eq!(blob[4], 108);
        values.0[8] = 120;
        assert!(values.fill(&mut blob, &[site(8, 1)]).is_none());
    }
}
