//! Whether the clocks can be read from the kernel's page on this host, and how.
#![expect(unsafe_code, reason = "reads clocks both ways, to compare")]

use std::{ptr, thread};

use super::btf::{self, Layout};
use super::host::{self, Host};
use super::{ReadPath, arch, direct};
use crate::page::{COARSE, HIGH_RES, Page};

/// The kernel's clock data lies in one page.
const PAGE_LEN: u32 = 4096;

/// `VDSO_CLOCKMODE_TIMENS`: the page of a process in a time namespace of the kernel.
const MODE_TIMENS: u32 = i32::MAX.cast_unsigned();

/// Fills in `page`, to lie `page_at` bytes into the image, with a layout that was seen to give
/// right readings; leaves it as it is, and says why, if there is none.
pub(super) fn detect(page: &mut Page, page_at: usize, host: &Host) -> ReadPath {
    match known(page, page_at, host) {
        Ok(known) => {
            *page = known;
            ReadPath::Direct
        }
        Err(reason) => ReadPath::Syscall { reason },
    }
}

fn known(page: &Page, page_at: usize, host: &Host) -> Result<Page, String> {
    if !arch::has_counter() {
        return Err("the processor has no `rdtscp`".into());
    }
    let vvar = host.vvar.ok_or("this kernel maps no `[vvar]`")?;
    let layouts = host::with_btf(btf::layouts)
        .map_err(|error| format!("cannot read `/sys/kernel/btf/vmlinux`: {error}"))?;
    let mut reason = "the kernel's types describe no clock data known here".to_owned();
    for layout in layouts {
        let here = host.base() + page_at;
        let Some(page) = with_layout(page, layout, vvar, here) else {
            reason = "the kernel's clock data is not within its page".into();
            continue;
        };
        match check(&page, here) {
            Ok(()) => return Ok(page),
            Err(why) => reason = why,
        }
    }
    Err(reason)
}

/// `page` with `layout` in it, or `None` if a field would lie outside the first page of `vvar`.
fn with_layout(page: &Page, layout: Layout, vvar: usize, here: usize) -> Option<Page> {
    let words = [layout.seq, layout.mode, layout.mult, layout.shift];
    let longs = [layout.cycle_last, layout.basetime];
    let raw = layout.clock_data.checked_add(layout.len)?;
    let within = |field: u32, len: u32| {
        let end = raw.checked_add(field).and_then(|at| at.checked_add(len));
        layout.clock_data.is_multiple_of(8)
            && layout.len.is_multiple_of(8)
            && end.is_some_and(|end| end <= PAGE_LEN)
    };
    let fits = words
        .iter()
        .all(|&field| field.is_multiple_of(4) && within(field, 4))
        && longs
            .iter()
            .all(|&field| field.is_multiple_of(8) && within(field, 12 * 16));
    let distance = |data: u32| {
        let data = vvar.checked_add(usize::try_from(data).ok()?)?;
        i32::try_from(data.cast_signed().wrapping_sub(here.cast_signed())).ok()
    };
    fits.then_some(Page {
        direct: HIGH_RES | COARSE,
        clock_data: distance(layout.clock_data)?,
        raw_data: distance(raw)?,
        seq: layout.seq,
        mode: layout.mode,
        cycle_last: layout.cycle_last,
        mult: layout.mult,
        shift: layout.shift,
        basetime: layout.basetime,
        ..*page
    })
}

/// Reads every clock three times between two readings of the kernel's.
fn check(page: &Page, here: usize) -> Result<(), String> {
    let here = ptr::with_exposed_provenance::<u8>(here);
    for distance in [page.clock_data, page.raw_data] {
        let word = |field: u32| {
            let at = distance as isize + field.cast_signed() as isize;
            // SAFETY: `with_layout` has made sure that the field lies within `vvar`, aligned.
            unsafe { direct::load32(here.wrapping_offset(at)) }
        };
        match word(page.mode) {
            mode if mode == arch::COUNTER_MODE => (),
            MODE_TIMENS => return Err("this process is in a time namespace of the kernel".into()),
            _ => return Err("the clock source is not the processor's counter".into()),
        }
        // 2³² cycles times mult, and a second shifted, must fit in 64 bits.
        if word(page.mult) >> 30 != 0 || word(page.shift) > 32 {
            return Err("the clock source is too slow".into());
        }
    }
    for clock in (0..32).filter(|clock| page.direct >> clock & 1 == 1) {
        for _ in 0..3 {
            let before = kernel_time(clock);
            // A host that halts the processor amid an update can make a reading fail for long.
            let read = (0..10_000).find_map(|_| {
                // SAFETY: as above, for each field; the clock is one of `direct`.
                let read = unsafe { direct::read(page, here, clock) };
                if read.is_none() {
                    thread::yield_now();
                }
                read
            });
            let after = kernel_time(clock);
            let read = read.map(|time| nanos(time.sec, time.nsec));
            if !matches!((before, read, after), (Some(a), Some(b), Some(c)) if a <= b && b <= c) {
                return Err(format!(
                    "clock {clock} read from the kernel's page is not the kernel's"
                ));
            }
        }
    }
    Ok(())
}

/// The clock by a system call, whatever libc and the vDSO may do.
fn kernel_time(clock: u32) -> Option<i128> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a timespec.
    let result = unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    (result == 0).then(|| nanos(time.tv_sec, time.tv_nsec.cast_unsigned()))
}

fn nanos(sec: i64, nsec: u64) -> i128 {
    i128::from(sec) * 1_000_000_000 + i128::from(nsec)
}
