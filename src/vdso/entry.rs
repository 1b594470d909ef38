//! The three functions that programs call.
#![expect(unsafe_code, reason = "C callers' pointers, and exported symbols")]

use core::arch::asm;
use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use crate::arch::{self, nr};
use crate::direct::{self, Time};
use crate::page::{COOKIE, OFFSET_INDEX, Page, SHIFTED};

const NSEC_PER_SEC: u64 = 1_000_000_000;
const REALTIME: u32 = 0;
const REALTIME_COARSE: u32 = 5;

/// The parameters, filled in by the composer and changed from outside.
#[repr(transparent)]
struct Parameters(UnsafeCell<MaybeUninit<Page>>);

// SAFETY: only ever loaded from, atomically.
unsafe impl Sync for Parameters {}

#[unsafe(no_mangle)]
#[unsafe(link_section = ".page")]
static ELSEWHEN_PAGE: Parameters = Parameters(UnsafeCell::new(MaybeUninit::zeroed()));

#[inline(always)]
fn page() -> *const Page {
    ELSEWHEN_PAGE.0.get().cast()
}

/// `clock_gettime(2)`.
///
/// # Safety
/// `tp` is writable. DIFFERENCE: for an ALARM clock Linux gives EFAULT where this faults.
#[inline(never)]
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn __vdso_clock_gettime(clock: u32, tp: *mut Time) -> i32 {
    // SAFETY: the parameters are the image's own, and aligned.
    let direct = unsafe { direct::load32((&raw const (*page()).direct).cast()) };
    if clock < 32 && direct >> clock & 1 == 1 {
        // SAFETY: the composer's promise, made by the bit just tested; and the caller's.
        unsafe {
            if let Some(time) = direct::read(page(), page().cast(), clock) {
                *tp = with_offset(clock, time);
                return 0;
            }
        }
    }
    // SAFETY: the caller's promise.
    unsafe { system_call(clock, tp) }
}

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
/// The cookie keeps the filter from having this reading shifted a first time.
///
/// # Safety
/// As for [`__vdso_clock_gettime`].
#[cold]
#[inline(never)]
unsafe fn system_call(clock: u32, tp: *mut Time) -> i32 {
    if clock >= 32 || SHIFTED >> clock & 1 == 0 {
        // SAFETY: the kernel judges the pointer.
        return unsafe { arch::syscall(nr::CLOCK_GETTIME, clock.into(), tp as u64, COOKIE) };
    }
    // Not zeroed: that takes SSE stores, which fault where a caller has not aligned the stack.
    let mut time = MaybeUninit::<Time>::uninit();
    let at = time.as_mut_ptr() as u64;
    // SAFETY: `time` is laid out as a `timespec`; `tp` is writable by the caller's promise.
    unsafe {
        let error = arch::syscall(nr::CLOCK_GETTIME, clock.into(), at, COOKIE);
        if error == 0 {
            *tp = with_offset(clock, time.assume_init());
        }
        error
    }
}

/// `time` plus the clock's offset, the nanoseconds below 10⁹.
#[inline(always)]
fn with_offset(clock: u32, time: Time) -> Time {
    let index = (OFFSET_INDEX >> (2 * clock) & 3) as usize;
    // SAFETY: the index is below four.
    let offset = unsafe {
        direct::load64(
            (&raw const (*page()).offsets)
                .cast::<u64>()
                .add(index)
                .cast(),
        )
    };
    let mut sec = time.sec.wrapping_add(offset.cast_signed() >> 30);
    let mut nsec = time.nsec.wrapping_add(offset & ((1 << 30) - 1));
    // Two rounds at the most in practice; a division would cost more, and the empty assembly
    // keeps the compiler from making one (`__iter_div_u64_rem`).
    while nsec >= NSEC_PER_SEC {
        nsec -= NSEC_PER_SEC;
        sec = sec.wrapping_add(1);
        // SAFETY: no instruction.
        unsafe { asm!("/* {0} */", inout(reg) nsec, options(nomem, nostack, preserves_flags)) };
    }
    Time { sec, nsec }
}
