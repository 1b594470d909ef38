//! Whether the clocks can be read from the kernel's page on this host, and how.
#![expect(unsafe_code, reason = "reads clocks both ways, to compare")]

use std::ops::Range;
use std::thread;

use super::arch;
use super::btf::{self, Layout};
use super::host::{self, Host};
use super::known;
use super::reading::{Data, MODE_TIMENS};
use crate::page::{COARSE, HIGH_RES};

/// The kernel's clock data lies in one page.
const PAGE_LEN: u32 = 4096;

/// A layout that was seen to give right readings of the `vvar` at this address, or why there is
/// none.
pub(super) fn detect(host: &Host) -> Result<(Layout, usize), String> {
    if !arch::has_counter() {
        return Err("the processor has no `rdtscp`".into());
    }
    let vvar = host.vvar.clone().ok_or("this kernel maps no `[vvar]`")?;
    match host::with_btf(btf::layouts) {
        Ok(layouts) => {
            let none = "the kernel's types describe no clock data known here";
            choose(layouts, &vvar, none.to_owned())
        }
        // What the kernel says of itself goes before what is known of its version.
        Err(error) => choose(known_layouts(), &vvar, String::new()).map_err(|_| {
            format!(
                "cannot read `/sys/kernel/btf/vmlinux`: {error}; and no layout that is known here \
                 gives the kernel's own times"
            )
        }),
    }
}

/// Those that the running kernel may have.
fn known_layouts() -> Vec<Layout> {
    known::layouts(&rustix::system::uname().release().to_string_lossy())
}

/// The first of these that gives right readings; if there are none, `reason` says why.
fn choose(
    layouts: Vec<Layout>,
    vvar: &Range<usize>,
    mut reason: String,
) -> Result<(Layout, usize), String> {
    for layout in layouts {
        let layout = with_timens_page(layout, vvar.len());
        if !is_within_a_page(&layout) {
            reason = "the kernel's clock data is not within its page".into();
            continue;
        }
        match check(&layout, vvar.start) {
            Ok(()) => return Ok((layout, vvar.start)),
            Err(why) => reason = why,
        }
    }
    Err(reason)
}

/// The page that has the clock data in a time namespace of the kernel, if it is one of `vvar`'s.
fn with_timens_page(layout: Layout, vvar_len: usize) -> Layout {
    // Up to 6.12 the types do not say it; there were four pages, and it was the last
    // (`arch/x86/entry/vdso/vma.c: enum vvar_pages`).
    let last = (!layout.has_time_data && vvar_len == 4 * PAGE_LEN as usize).then_some(3);
    Layout {
        timens_page: layout
            .timens_page
            .or(last)
            .filter(|&page| (page as usize) < vvar_len / PAGE_LEN as usize),
        ..layout
    }
}

/// Whether each field, of RAW's data too, lies aligned in the first page of `vvar`.
pub(super) fn is_within_a_page(layout: &Layout) -> bool {
    let words = [layout.seq, layout.mode, layout.mult, layout.shift];
    let longs = [layout.cycle_last, layout.basetime];
    let within = |field: u32, len: u32| {
        let end = layout.clock_data.checked_add(layout.len);
        let end = end.and_then(|at| at.checked_add(field)?.checked_add(len));
        end.is_some_and(|end| end <= PAGE_LEN)
    };
    layout.clock_data.is_multiple_of(8)
        && layout.len.is_multiple_of(8)
        && words
            .iter()
            .all(|&field| field.is_multiple_of(4) && within(field, 4))
        && longs
            .iter()
            .all(|&field| field.is_multiple_of(8) && within(field, 12 * 16))
}

/// Reads every clock three times between two readings of the kernel's.
fn check(layout: &Layout, vvar: usize) -> Result<(), String> {
    // SAFETY: `layout` stays within the first page of `vvar`, which is the process's for ever.
    let first = |clock| unsafe { Data::new(layout, vvar, clock) };
    let mut page = vvar;
    if first(0).mode() == MODE_TIMENS {
        let Some(number) = layout.timens_page else {
            return Err("this process is in a time namespace of the kernel".into());
        };
        page += (number * PAGE_LEN) as usize;
    }
    // SAFETY: as above; and in a time namespace the other page is one of `vvar`'s, and mapped.
    let data = |clock| unsafe { Data::new(layout, page, clock) };
    for data in [data(0), data(4)] {
        if data.mode() != arch::COUNTER_MODE {
            return Err("the clock source is not the processor's counter".into());
        }
        // 2³² cycles times mult, and three seconds shifted, must fit in 64 bits.
        if data.mult() >> 30 != 0 || data.shift() > 32 {
            return Err("the clock source is too slow".into());
        }
    }
    for clock in (0..32).filter(|clock| (HIGH_RES | COARSE) >> clock & 1 == 1) {
        let offset = match page == vvar {
            true => 0,
            false => nanos(first(clock).entry(clock)),
        };
        for _ in 0..3 {
            let before = kernel_time(clock);
            // A host that halts the processor amid an update can make a reading fail for long.
            let read = (0..10_000).find_map(|_| {
                let read = data(clock).read(clock);
                if read.is_none() {
                    thread::yield_now();
                }
                read
            });
            let after = kernel_time(clock);
            let read = read.map(|time| time + offset);
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
    (result == 0).then(|| nanos((time.tv_sec, time.tv_nsec.cast_unsigned())))
}

fn nanos((sec, nsec): (i64, u64)) -> i128 {
    i128::from(sec) * 1_000_000_000 + i128::from(nsec)
}

#[cfg(test)]
mod tests {
    use super::super::at_hand;
    use super::*;

    #[test]
    fn without_types_the_same_layout_is_chosen() {
        let Some(vvar) = Host::find().unwrap().vvar else {
            return at_hand::skipped("no `[vvar]`");
        };
        let Ok(stated) = host::with_btf(btf::layouts) else {
            return at_hand::skipped("this kernel has no type information");
        };
        let known = known_layouts();
        if known.is_empty() {
            return at_hand::skipped("the layouts of this kernel are not known");
        }
        let chosen = |layouts| {
            // Of later kernels only the types tell the page of time namespaces.
            choose(layouts, &vvar, String::new()).map(|(layout, _)| Layout {
                timens_page: None,
                ..layout
            })
        };
        assert_eq!(chosen(stated).ok(), chosen(known).ok());
    }
}
