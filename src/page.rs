//! The parameter page: the one structure that both the image and its composer are compiled with.
//!
//! It is the last part of the image. Everything but [`Page::offsets`] is constant once the image is
//! in place; an offset is replaced from outside by one aligned 8-byte store while code reads it.

/// What the image's code reads besides the kernel's `vvar`; the layout of that stands in the code.
#[repr(C)]
#[derive(Clone, Copy)]
#[cfg_attr(not(elsewhen_image), derive(Debug))]
pub(crate) struct Page {
    /// [`VERSION`]; another version means another structure.
    pub(crate) version: u64,
    /// Packed offsets (`sec << 30 | nsec`) of REALTIME, TAI, MONOTONIC and BOOTTIME.
    pub(crate) offsets: [u64; 4],
    /// The namespace's id.
    pub(crate) namespace: u64,
    /// [`MAGIC`] once all else is written: the commit record.
    pub(crate) magic: u64,
}

const _: () = assert!(size_of::<Page>() == 56 && align_of::<Page>() == 8);
const _: () = assert!(core::mem::offset_of!(Page, magic) == size_of::<Page>() - 8);

#[cfg(not(elsewhen_image))]
impl Page {
    /// The page as it lies in memory.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.version.to_le_bytes().to_vec();
        bytes.extend(self.offsets.into_iter().flat_map(u64::to_le_bytes));
        bytes.extend(self.namespace.to_le_bytes());
        bytes.extend(self.magic.to_le_bytes());
        bytes
    }
}

/// The version of [`Page`].
#[cfg_attr(elsewhen_image, expect(dead_code, reason = "the composer's side"))]
pub(crate) const VERSION: u64 = 2;

/// The last word of a complete image: `elsewhen` in memory order.
pub(crate) const MAGIC: u64 = u64::from_le_bytes(*b"elsewhen");

/// The sixth argument of the image's own system calls, which the filter lets through unshifted.
#[cfg_attr(not(elsewhen_image), allow(dead_code, reason = "the image's side"))]
pub(crate) const COOKIE: u64 = 0x656c_7365_7768_656e;

/// Clocks read from the counter: REALTIME, MONOTONIC, `MONOTONIC_RAW`, BOOTTIME and TAI.
pub(crate) const HIGH_RES: u32 = 1 << 0 | 1 << 1 | 1 << 4 | 1 << 7 | 1 << 11;

/// Clocks read from the last tick: `REALTIME_COARSE` and `MONOTONIC_COARSE`.
pub(crate) const COARSE: u32 = 1 << 5 | 1 << 6;

/// All clocks that take an offset: those above, `REALTIME_ALARM` and `BOOTTIME_ALARM`.
#[cfg_attr(not(elsewhen_image), allow(dead_code, reason = "the image's side"))]
pub(crate) const SHIFTED: u32 = HIGH_RES | COARSE | 1 << 8 | 1 << 9;

/// Where in [`Page::offsets`] a clock's offset lies: two bits for each clock id.
#[cfg_attr(not(elsewhen_image), allow(dead_code, reason = "the image's side"))]
pub(crate) const OFFSET_INDEX: u32 = 2 << 2 | 2 << 8 | 2 << 12 | 3 << 14 | 3 << 18 | 1 << 22;
