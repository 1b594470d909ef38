//! The functions that programs call, but for the hot one (`arch`).
#![expect(unsafe_code, reason = "C callers' pointers, and exported symbols")]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::arch::{self, __vdso_clock_gettime, elsewhen_kernel, nr};
use crate::page::{COOKIE, OFFSET_INDEX, Page, SHIFTED};

const NSEC_PER_SEC: u64 = 1_000_000_000;
const REALTIME: u32 = 0;
const REALTIME_COARSE: u32 = 5;

/// A reading, laid out as a `timespec`.
#[derive(Clone, Copy)]
#[repr(C)]
pub(crate) struct Time {
    pub(crate) sec: i64,
    pub(crate) nsec: u64,
}

/// The parameters, filled in by the composer and changed from outside.
#[repr(transparent)]
struct Parameters(UnsafeCell<MaybeUninit<Page>>);

// SAFETY: only ever loaded from, atomically.
unsafe impl Sync for Parameters {}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".page")]
static ELSEWHEN_PAGE: Parameters = Parameters(UnsafeCell::new(MaybeUninit::zeroed()));

/// `gettimeofday(2)`.
///
/// # Safety
/// `tv` is null or writable; `tz` is null or anything, for the kernel to judge.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn __vdso_gettimeofday(tv: *mut Time, tz: *mut u8) -> i32 {
    if !tv.is_null() {
        let mut time = MaybeUninit::<Time>::uninit();
        // SAFETY: `time` is writable, and filled on success; `tv` by the caller's promise.
        unsafe {
            let error = __vdso_clock_gettime(REALTIME, time.as_mut_ptr());
            if error != 0 {
                return error;
            }
            let time = time.assume_init();
            *tv = Time {
                sec: time.sec,
                nsec: time.nsec / 1000,
            };
        }
    }
    if tz.is_null() {
        return 0;
    }
    // SAFETY: the kernel judges the pointer.
    unsafe { arch::syscall(nr::GETTIMEOFDAY, 0, tz as u64, COOKIE) }
}

/// `time(2)`: the second of the last tick, as the kernel's.
///
/// # Safety
/// `t` is null or writable.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn __vdso_time(t: *mut i64) -> i64 {
    let mut time = MaybeUninit::<Time>::uninit();
    // SAFETY: `time` is writable, and filled on success; `t` by the caller's promise.
    unsafe {
        let error = __vdso_clock_gettime(REALTIME_COARSE, time.as_mut_ptr());
        if error != 0 {
            return error.into();
        }
        let sec = time.assume_init().sec;
        if !t.is_null() {
            *t = sec;
        }
        sec
    }
}

/// The kernel's own answer, shifted if the clock is.
///
/// # Safety
/// `tp` is writable; for a clock that is not shifted it may be anything, for the kernel to judge.
#[cold]
pub(crate) unsafe extern "C" fn slow(clock: u32, tp: *mut Time) -> i32 {
    if clock >= 32 || SHIFTED >> clock & 1 == 0 {
        // SAFETY: the kernel judges the pointer.
        let error = unsafe { elsewhen_kernel(clock, tp) };
        arch::forget_cookie();
        return error;
    }
    // Not zeroed: that takes SSE stores, which fault where a caller has not aligned the stack.
    let mut time = MaybeUninit::<Time>::uninit();
    // SAFETY: `time` is laid out as a `timespec`; `tp` is writable by the caller's promise.
    unsafe {
        let error = elsewhen_kernel(clock, time.as_mut_ptr());
        if error == 0 {
            *tp = with_offset(clock, time.assume_init());
        }
        arch::forget_cookie();
        error
    }
}

/// `time` plus the clock's offset, the nanoseconds below 10⁹.
#[inline(always)]
fn with_offset(clock: u32, time: Time) -> Time {
    let index = (OFFSET_INDEX >> (2 * clock) & 3) as usize;
    let page = ELSEWHEN_PAGE.0.get().cast::<Page>();
    // SAFETY: the index is below four, and the word is only ever loaded from or replaced whole.
    let offset = unsafe {
        let word = (&raw mut (*page).offsets).cast::<u64>().add(index);
        AtomicU64::from_ptr(word).load(Relaxed)
    };
    let mut sec = time.sec.wrapping_add(offset.cast_signed() >> 30);
    let mut nsec = time.nsec.wrapping_add(offset & ((1 << 30) - 1));
    // Once in practice; a division would cost more, and the empty assembly keeps the compiler from
    // making one (`__iter_div_u64_rem`).
    while nsec >= NSEC_PER_SEC {
        nsec -= NSEC_PER_SEC;
        sec = sec.wrapping_add(1);
        // SAFETY: no instruction.
        unsafe { asm!("/* {0} */", inout(reg) nsec, options(nomem, nostack, preserves_flags)) };
    }
    Time { sec, nsec }
}
