#![expect(unsafe_code, reason = "timer_create(2), timer_delete(2)")]

use std::fs::File;
use std::os::fd::{AsFd, AsRawFd};

use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

use super::*;

fn proc() -> File {
    File::open("/proc").unwrap()
}

fn me() -> i32 {
    i32::try_from(std::process::id()).unwrap()
}

fn tid() -> i32 {
    rustix::thread::gettid().as_raw_nonzero().get()
}

fn create(clock: i32) -> i32 {
    let mut timer = 0;
    // SAFETY: zeroes are a valid sigevent; the kernel reads it and writes one int.
    let created = unsafe {
        let mut event: libc::sigevent = std::mem::zeroed();
        event.sigev_notify = libc::SIGEV_NONE;
        libc::syscall(
            libc::SYS_timer_create,
            clock,
            &raw mut event,
            &raw mut timer,
        )
    };
    assert_eq!(created, 0, "{}", io::Error::last_os_error());
    timer
}

fn delete(timer: i32) {
    // SAFETY: a number.
    let deleted = unsafe { libc::syscall(libc::SYS_timer_delete, timer) };
    assert_eq!(deleted, 0);
}

#[test]
fn a_timerfd_tells_its_clock_to_each_thread() {
    let proc = proc();
    for (clock, id) in [
        (libc::CLOCK_REALTIME, TimerfdClockId::Realtime),
        (libc::CLOCK_MONOTONIC, TimerfdClockId::Monotonic),
        (libc::CLOCK_BOOTTIME, TimerfdClockId::Boottime),
    ] {
        let timer = timerfd_create(id, TimerfdFlags::CLOEXEC).unwrap();
        let copy = timer.try_clone().unwrap();
        for (tid, fd) in [(me(), &timer), (tid(), &copy)] {
            let told = of_timerfd(proc.as_fd(), tid, fd.as_raw_fd());
            assert_eq!(told, Ok(Some(clock)));
        }
    }
}

#[test]
fn what_is_no_timerfd_has_no_clock() {
    let proc = proc();
    let null = File::open("/dev/null").unwrap();
    for fd in [null.as_raw_fd(), 1 << 20, -1, i32::MIN, i32::MAX] {
        assert_eq!(of_timerfd(proc.as_fd(), me(), fd), Ok(None), "{fd}");
    }
    assert_eq!(of_timerfd(proc.as_fd(), 0, 0), Ok(None));
    assert_eq!(of_timerfd(proc.as_fd(), i32::MAX, 0), Ok(None));
}

#[test]
fn a_timer_tells_its_clock_to_each_thread_of_its_process() {
    let proc = proc();
    if !are_timers_listed(proc.as_fd()) {
        let told = of_timer(proc.as_fd(), me(), 0);
        assert_eq!(told, Err(Unknown::Unlisted));
        return;
    }
    // So many that the list takes several reads.
    let clocks = [libc::CLOCK_MONOTONIC, libc::CLOCK_REALTIME, libc::CLOCK_TAI];
    let timers: Vec<_> = (0..300).map(|i| clocks[i % 3]).collect();
    let timers: Vec<_> = timers.into_iter().map(|c| (create(c), c)).collect();
    for (timer, clock) in &timers {
        for tid in [me(), tid()] {
            let told = of_timer(proc.as_fd(), tid, *timer);
            assert_eq!(told, Ok(Some(*clock)), "{timer}");
        }
    }
    for (timer, _) in &timers {
        delete(*timer);
    }
    for (timer, _) in timers {
        assert_eq!(of_timer(proc.as_fd(), me(), timer), Ok(None), "{timer}");
    }
    for timer in [-1, i32::MAX] {
        assert_eq!(of_timer(proc.as_fd(), me(), timer), Ok(None));
    }
    assert_eq!(of_timer(proc.as_fd(), i32::MAX, 0), Ok(None));
}

#[test]
fn a_number_counts_only_if_it_is_one() {
    assert_eq!(number(b"ClockID: -6", "ClockID: "), Some(-6));
    assert_eq!(number(b"ID: 12", "ID: "), Some(12));
    assert_eq!(number(b"ID: 99999999999", "ID: "), None);
}

#[test]
fn a_timer_is_found_while_others_come_and_go() {
    let proc = proc();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let many: Vec<i32> = (0..400).map(|_| create(libc::CLOCK_REALTIME)).collect();
                many.into_iter().for_each(delete);
            }
        });
        for _ in 0..3000 {
            let timer = create(libc::CLOCK_BOOTTIME);
            let told = of_timer(proc.as_fd(), me(), timer);
            delete(timer);
            if told != Ok(Some(libc::CLOCK_BOOTTIME)) {
                done.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{told:?}");
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
