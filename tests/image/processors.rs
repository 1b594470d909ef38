//! Readings on two processors.
#![expect(unsafe_code, reason = "sched_setaffinity(2)")]

use std::sync::atomic::{AtomicI64, Ordering};
use std::{mem, thread};

use elsewhen::image::ReadPath;

use crate::clocks::{call, offsets};
use crate::placed::{Placed, inside, test_name};
use crate::ways::all;

#[test]
fn monotonic_never_runs_backwards_between_two_processors() {
    if !inside(test_name!()) {
        return;
    }
    for image in all() {
        let Some(mut placed) = Placed::new(image) else {
            return;
        };
        placed.put(offsets()[0]).unwrap();
        let function = placed.clock_gettime()[1];
        let rounds = match placed.image.read_path() {
            ReadPath::Syscall { .. } => 500_000,
            _ => 3_000_000,
        };
        let newest = AtomicI64::new(i64::MIN);
        thread::scope(|scope| {
            for cpu in 0..2 {
                let newest = &newest;
                scope.spawn(move || {
                    pin(cpu);
                    for _ in 0..rounds {
                        let seen = newest.load(Ordering::Acquire);
                        let now = i64::try_from(call(function, 1).unwrap()).unwrap();
                        assert!(now >= seen, "{now} after {seen}");
                        newest.fetch_max(now, Ordering::AcqRel);
                    }
                });
            }
        });
    }
}

/// Keeps this thread on the `n`th processor that the process may use, if there are so many.
fn pin(n: usize) {
    // SAFETY: a set of processors is plain data, and both calls are given its size.
    unsafe {
        let mut allowed: libc::cpu_set_t = mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &raw mut allowed);
        let Some(cpu) = (0..1024)
            .filter(|&cpu| libc::CPU_ISSET(cpu, &allowed))
            .nth(n)
        else {
            return;
        };
        let mut one: libc::cpu_set_t = mem::zeroed();
        libc::CPU_SET(cpu, &mut one);
        libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const one);
    }
}
