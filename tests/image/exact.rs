//! Readings between two of the host's.

use std::{env, ptr};

use elsewhen::image::Image;

use crate::clocks::{SHIFTED, call, offsets, raw};
use crate::placed::{Placed, inside, test_name};
use crate::ways;

/// Readings of each clock with each of the three sets of offsets: `ELSEWHEN_STORM=full` makes it ten
/// million with all of them, on each way.
fn readings() -> usize {
    match env::var_os("ELSEWHEN_STORM").is_some_and(|size| size == "full") {
        true => 10_000_000 / 3 + 1,
        false => 100_000,
    }
}

pub(crate) fn readings_are_exact(image: Image) {
    let Some(mut placed) = Placed::new(image) else {
        return;
    };
    for offsets in offsets() {
        placed.put(offsets).unwrap();
        for clock in SHIFTED {
            let offset = offsets.of(clock).unwrap().as_nanos();
            let functions = placed.clock_gettime();
            for n in 0..readings() {
                let function = functions[n % functions.len()];
                let (before, inside, after) = (raw(clock), call(function, clock), raw(clock));
                match (before, inside, after) {
                    (Ok(before), Ok(inside), Ok(after)) => assert!(
                        (before + offset..=after + offset).contains(&inside),
                        "clock {clock}: {inside} is not in {before} ..= {after} + {offset}"
                    ),
                    // An ALARM clock without a real-time clock device.
                    _ => {
                        assert!(matches!(clock, 8 | 9), "clock {clock}: {inside:?}");
                        assert_eq!((before, inside), (after, after));
                        break;
                    }
                }
            }
        }
    }
}

#[test]
fn every_clock_is_the_hosts_plus_its_offset_when_read_directly() {
    if inside(test_name!()) {
        readings_are_exact(ways::image("direct"));
    }
}

#[test]
fn every_clock_is_the_hosts_plus_its_offset_when_the_kernels_function_is_called() {
    if inside(test_name!()) {
        readings_are_exact(ways::image("kernel"));
    }
}

#[test]
fn every_clock_is_the_hosts_plus_its_offset_when_read_by_system_call() {
    if inside(test_name!()) {
        readings_are_exact(ways::image("syscall"));
    }
}

#[test]
fn other_clocks_and_errors_are_the_hosts() {
    if !inside(test_name!()) {
        return;
    }
    for image in ways::all() {
        let Some(mut placed) = Placed::new(image) else {
            return;
        };
        placed.put(offsets()[2]).unwrap();
        for function in placed.clock_gettime() {
            // 64 and 2²⁶ + 1 are 0 and 1 to a shift that is not range-checked.
            for clock in [
                10,
                12,
                15,
                16,
                31,
                32,
                33,
                64,
                65,
                (1 << 26) + 1,
                i32::MAX,
                i32::MIN,
                -1,
                -3,
            ] {
                let expected = raw(clock);
                match (expected, call(function, clock)) {
                    (Ok(before), Ok(inside)) => assert!(
                        (before..=raw(clock).unwrap()).contains(&inside),
                        "clock {clock} is shifted"
                    ),
                    (expected, inside) => assert_eq!(inside, expected, "clock {clock}"),
                }
            }
            // The process's and the thread's processor time, and the same by dynamic id.
            for clock in [2, 3, -6, -2] {
                let (before, inside, after) = (raw(clock), call(function, clock), raw(clock));
                assert!(
                    (before..=after).contains(&inside),
                    "clock {clock}: {inside:?}"
                );
            }
            assert_eq!(
                function(-6, ptr::dangling_mut::<libc::timespec>().wrapping_sub(1)),
                -libc::EFAULT
            );
        }
    }
}
