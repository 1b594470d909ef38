//! The system calls that the harness itself makes.
#![expect(
    unsafe_code,
    reason = "clock_gettime(2), clock_settime(2), adjtimex(2), kill(2), waitpid(2), ioctl_tty(2), poll(2)"
)]

use std::fs::File;
use std::os::fd::{AsRawFd, FromRawFd};

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

/// The kernel's tick in microseconds, and by how many seconds TAI is ahead of UTC.
pub(crate) fn adjtimex() -> (i64, i32) {
    // SAFETY: the structure is plain numbers, for which zeroes are values; they ask for no change.
    let mut now: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: `now` is a timex that outlives the call.
    let state = unsafe { libc::adjtimex(&raw mut now) };
    assert!(state >= 0, "adjtimex: {}", std::io::Error::last_os_error());
    (now.tick, now.tai)
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

/// Waits until something is so; fails with what it was if it never is. A busy machine takes long.
pub(crate) fn wait_until(mut is_so: impl FnMut() -> bool, what: &str) {
    let start = std::time::Instant::now();
    while !is_so() {
        assert!(start.elapsed().as_secs() < 120, "never: {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// What child `pid` does next, as waitpid(2) has it: also that it stops or goes on.
pub(crate) fn wait_for_change(pid: i32) -> i32 {
    let mut status = 0;
    // SAFETY: the kernel writes one int at a live int.
    let waited = unsafe { libc::waitpid(pid, &raw mut status, libc::WUNTRACED | libc::WCONTINUED) };
    assert_eq!(waited, pid);
    status
}

/// A new pseudoterminal: the side of the screen, and the side of the programs.
pub(crate) fn open_terminal() -> (File, File) {
    let screen = File::options()
        .read(true)
        .write(true)
        .open("/dev/ptmx")
        .unwrap();
    let unlocked: libc::c_int = 0;
    // SAFETY: one ioctl reads a live int, the other takes flags and gives a new descriptor, which
    // is ours alone.
    unsafe {
        assert_eq!(
            libc::ioctl(screen.as_raw_fd(), libc::TIOCSPTLCK, &raw const unlocked),
            0
        );
        let flags = libc::O_RDWR | libc::O_NOCTTY | libc::O_CLOEXEC;
        let fd = libc::ioctl(screen.as_raw_fd(), libc::TIOCGPTPEER, flags);
        assert!(fd >= 0, "{}", std::io::Error::last_os_error());
        (screen, File::from_raw_fd(fd))
    }
}

/// Changes a terminal's size.
pub(crate) fn resize(screen: &File, rows: u16, columns: u16) {
    let size = libc::winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    // SAFETY: the kernel reads a live winsize.
    let failed = unsafe { libc::ioctl(screen.as_raw_fd(), libc::TIOCSWINSZ, &raw const size) };
    assert_eq!(failed, 0);
}

/// Whether there is something to read within so many milliseconds.
pub(crate) fn is_readable(file: &File, milliseconds: i32) -> bool {
    let mut fd = libc::pollfd {
        fd: file.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: the kernel reads and writes one live pollfd.
    unsafe { libc::poll(&raw mut fd, 1, milliseconds) > 0 }
}
