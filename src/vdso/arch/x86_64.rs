//! The x86-64 side of the image: all of its functions, in assembly.
//!
//! Their speed lies in the order of a few instructions and in the cache lines that those share, and
//! they have to fit where the kernel's functions were.
//!
//! | file | what |
//! | --- | --- |
//! | `time.s` | time(2) |
//! | `coarse.s` | clock_gettime(2) of the coarse clocks |
//! | `high_res.s` | and of those that the counter continues |
//! | `slow.s` | the way to the kernel |
//! | `gettimeofday.s` | gettimeofday(2) |
//!
//! DIFFERENCE: for an ALARM clock and a bad pointer Linux gives EFAULT where `clock_gettime` faults.
#![expect(unsafe_code, reason = "assembly")]

use core::arch::global_asm;
use core::mem::offset_of;

use crate::page::{OFFSET_INDEX, Page, SHIFTED};

#[path = "x86_64/gate.rs"]
mod gate;

/// System call numbers.
pub(crate) mod nr {
    pub(crate) const RT_SIGPROCMASK: u32 = 14;
    pub(crate) const GETTIMEOFDAY: u64 = 96;
    pub(crate) const FUTEX: u32 = 202;
    pub(crate) const CLOCK_GETTIME: u64 = 228;
    pub(crate) const CLOCK_NANOSLEEP: u32 = 230;
    pub(crate) const MQ_TIMEDSEND: u32 = 242;
    pub(crate) const OPENAT: u32 = 257;
    pub(crate) const STATX: u32 = 332;
    pub(crate) const FUTEX_WAITV: u32 = 449;
    pub(crate) const FUTEX_WAIT: u32 = 455;
}

// One block, so that jumps from one function to another are short.
global_asm!(
    include_str!("x86_64/sites.s"),
    include_str!("x86_64/time.s"),
    include_str!("x86_64/coarse.s"),
    include_str!("x86_64/high_res.s"),
    include_str!("x86_64/slow.s"),
    include_str!("x86_64/gettimeofday.s"),
    index = const OFFSET_INDEX,
    offsets = const offset_of!(Page, offsets),
    shifted = const SHIFTED,
    clock_gettime = const nr::CLOCK_GETTIME,
    gettimeofday = const nr::GETTIMEOFDAY,
    cookie = const offset_of!(Page, cookie),
);
