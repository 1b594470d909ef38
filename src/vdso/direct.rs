//! Reading a clock from the kernel's `vvar` page, as `lib/vdso/gettimeofday.c` does.
//!
//! Compiled into the image, and into the library too, which checks by it that a layout is right.
#![expect(unsafe_code, reason = "reads the kernel's page")]

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Acquire, Ordering::Relaxed, fence};

use super::arch;
use crate::page::{COARSE, Page};

/// Readings tried before the system call is made instead.
///
/// A reading fails while the kernel writes, which takes less than a microsecond, or for ever, in a
/// process that has entered a time namespace of the kernel.
const ATTEMPTS: u32 = 8;

/// A reading, laid out as a `timespec`; the nanoseconds may exceed a second.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Time {
    pub(crate) sec: i64,
    pub(crate) nsec: u64,
}

/// Reads `clock`, or `None` if only the kernel can tell it now.
///
/// # Safety
/// `page` states a layout that stays within `vvar`, seen from `here` (the place in an image where
/// the parameters are), and `clock` is one of `HIGH_RES` or `COARSE`.
#[inline(always)]
pub(crate) unsafe fn read(page: *const Page, here: *const u8, clock: u32) -> Option<Time> {
    // SAFETY: the caller's promise.
    unsafe {
        if COARSE >> clock & 1 == 1 {
            coarse(page, here, clock)
        } else {
            high_res(page, here, clock)
        }
    }
}

/// `do_hres`: the last update's time and the cycles since.
///
/// # Safety
/// As for [`read`].
#[inline(always)]
unsafe fn high_res(page: *const Page, here: *const u8, clock: u32) -> Option<Time> {
    // SAFETY: the caller's promise, for `vvar` and for the fields that place data in it.
    unsafe {
        let is_raw = clock == 4;
        let distance = if is_raw {
            &raw const (*page).raw_data
        } else {
            &raw const (*page).clock_data
        };
        let data = here.offset(load32(distance.cast()).cast_signed() as isize);
        let base = field(data, &raw const (*page).basetime).add(16 * clock as usize);
        for _ in 0..ATTEMPTS {
            // First, so that its latency covers the loads. A counter older than the data shows as a
            // negative number of cycles.
            let counter = arch::counter();
            let seq = load32(field(data, &raw const (*page).seq));
            fence(Acquire);
            let mode = load32(field(data, &raw const (*page).mode));
            let cycles = counter.wrapping_sub(load64(field(data, &raw const (*page).cycle_last)));
            let mult = load32(field(data, &raw const (*page).mult));
            let shift = load32(field(data, &raw const (*page).shift));
            let (sec, nsec) = (load64(base), load64(base.add(8)));
            fence(Acquire);
            if seq & 1 == 1 || seq != load32(field(data, &raw const (*page).seq)) {
                continue;
            }
            if mode != arch::COUNTER_MODE {
                return None;
            }
            // The composer has made sure that 2³² cycles cannot overflow the product.
            if cycles >> 32 != 0 {
                continue;
            }
            let nsec = (cycles * u64::from(mult)).wrapping_add(nsec) >> (shift & 63);
            return Some(Time {
                sec: sec.cast_signed(),
                nsec,
            });
        }
        None
    }
}

/// `do_coarse`: the time of the last update, whatever the clock source.
///
/// # Safety
/// As for [`read`].
#[inline(always)]
unsafe fn coarse(page: *const Page, here: *const u8, clock: u32) -> Option<Time> {
    // SAFETY: the caller's promise, for `vvar` and for the fields that place data in it.
    unsafe {
        let distance = load32((&raw const (*page).clock_data).cast()).cast_signed();
        let data = here.offset(distance as isize);
        let base = field(data, &raw const (*page).basetime).add(16 * clock as usize);
        for _ in 0..ATTEMPTS {
            let seq = load32(field(data, &raw const (*page).seq));
            fence(Acquire);
            let (sec, nsec) = (load64(base), load64(base.add(8)));
            fence(Acquire);
            if seq & 1 == 0 && seq == load32(field(data, &raw const (*page).seq)) {
                return Some(Time {
                    sec: sec.cast_signed(),
                    nsec,
                });
            }
        }
        None
    }
}

/// The field of `data` that the page places.
///
/// # Safety
/// `place` is readable, and what it says lies in `data`.
#[inline(always)]
unsafe fn field(data: *const u8, place: *const u32) -> *const u8 {
    // SAFETY: the caller's promise.
    unsafe { data.add(load32(place.cast()) as usize) }
}

/// # Safety
/// `at` is readable and 4-aligned.
#[inline(always)]
pub(crate) unsafe fn load32(at: *const u8) -> u32 {
    // SAFETY: the caller's promise; the memory is only loaded from, and all its users are atomic.
    unsafe { AtomicU32::from_ptr(at.cast_mut().cast()) }.load(Relaxed)
}

/// # Safety
/// `at` is readable and 8-aligned.
#[inline(always)]
pub(crate) unsafe fn load64(at: *const u8) -> u64 {
    // SAFETY: the caller's promise; the memory is only loaded from, and all its users are atomic.
    unsafe { AtomicU64::from_ptr(at.cast_mut().cast()) }.load(Relaxed)
}
