//! Reading a clock from the kernel's page as `lib/vdso/gettimeofday.c` does, to see at the start
//! whether a layout gives the kernel's own times. The image's code is another (`src/vdso`).
#![expect(unsafe_code, reason = "reads the kernel's page")]

use std::ptr;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, fence};

use super::arch;
use super::btf::Layout;
use crate::page::COARSE;

/// `VDSO_CLOCKMODE_TIMENS`: the page of a process in a time namespace of the kernel.
pub(super) const MODE_TIMENS: u32 = i32::MAX.cast_unsigned();

/// The kernel's data of one clock.
#[derive(Clone, Copy)]
pub(super) struct Data<'a> {
    layout: &'a Layout,
    at: usize,
}

impl<'a> Data<'a> {
    /// The data of `clock` in the page at `page`.
    ///
    /// # Safety
    /// `layout` stays within the page, which is readable and stays so, and its fields are aligned.
    pub(super) unsafe fn new(layout: &'a Layout, page: usize, clock: u32) -> Self {
        let raw = if clock == 4 { layout.len } else { 0 };
        let at = page + (layout.clock_data + raw) as usize;
        Self { layout, at }
    }

    fn word(self, field: u32) -> u32 {
        let at = ptr::with_exposed_provenance_mut(self.at + field as usize);
        // SAFETY: by `new`; only loaded from, and all its users are atomic.
        unsafe { AtomicU32::from_ptr(at) }.load(Relaxed)
    }

    fn long(self, field: u32) -> u64 {
        let at = ptr::with_exposed_provenance_mut(self.at + field as usize);
        // SAFETY: by `new`; only loaded from, and all its users are atomic.
        unsafe { AtomicU64::from_ptr(at) }.load(Relaxed)
    }

    pub(super) fn mode(self) -> u32 {
        self.word(self.layout.mode)
    }

    pub(super) fn mult(self) -> u32 {
        self.word(self.layout.mult)
    }

    pub(super) fn shift(self) -> u32 {
        self.word(self.layout.shift)
    }

    /// The entry of `clock`: a base, or in a time namespace's page the kernel's offset.
    pub(super) fn entry(self, clock: u32) -> (i64, u64) {
        let at = self.layout.basetime + 16 * clock;
        (self.long(at).cast_signed(), self.long(at + 8))
    }

    /// Nanoseconds of `clock`, or `None` if the kernel was writing, or did after the counter was
    /// read.
    pub(super) fn read(self, clock: u32) -> Option<i128> {
        let counter = arch::counter();
        let seq = self.word(self.layout.seq);
        fence(Acquire);
        let (mut cycles, mut shift) = (0, 0);
        if COARSE >> clock & 1 == 0 {
            cycles = counter.checked_sub(self.long(self.layout.cycle_last))?;
            shift = self.shift();
        }
        let (mult, (sec, nsec)) = (self.mult(), self.entry(clock));
        fence(Acquire);
        if seq & 1 == 1 || seq != self.word(self.layout.seq) {
            return None;
        }
        let nsec = u128::from(cycles) * u128::from(mult) + u128::from(nsec);
        Some(i128::from(sec) * 1_000_000_000 + i128::try_from(nsec >> (shift & 63)).ok()?)
    }
}
