//! The system calls that the harness itself makes.
#![expect(unsafe_code, reason = "clock_gettime(2), clock_settime(2), kill(2)")]

/// The host's reading of a clock, in nanoseconds.
pub(crate) fn clock_gettime(id: libc::clockid_t) -> i128 {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a timespec that outlives the call.
    let failed = unsafe { libc::clock_gettime(id, &raw mut now) };
    assert_eq!(failed, 0, "clock_gettime({id})");
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

/// Puts back the host's time of day, for a test that found it moved.
pub(crate) fn clock_settime_realtime(nanos: i128) {
    let time = libc::timespec {
        tv_sec: i64::try_from(nanos.div_euclid(1_000_000_000)).unwrap(),
        tv_nsec: i64::try_from(nanos.rem_euclid(1_000_000_000)).unwrap(),
    };
    // SAFETY: `time` is a timespec that outlives the call.
    unsafe { libc::clock_settime(libc::CLOCK_REALTIME, &raw const time) };
}

/// Sends a signal to one process, or to a group if `pid` is negative; it may be gone.
pub(crate) fn kill(pid: i32, signal: i32) {
    assert!(pid.abs() > 1, "that would kill more than we started");
    // SAFETY: kill(2) takes no memory.
    unsafe { libc::kill(pid, signal) };
}

/// The effective user's number.
pub(crate) fn effective_user() -> u32 {
    // SAFETY: geteuid(2) takes no memory and cannot fail.
    unsafe { libc::geteuid() }
}

/// Waits until something is so; fails with what it was if it never is.
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool, what: &str) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed().as_secs() < 30, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}
