//! timerfd_settime(2) made in the program's place, for a thread that cannot be redirected: most often
//! because a debugger or strace(1) traces it.
//!
//! The descriptor is fetched from the program (pidfd_getfd(2)), so that it is the very timer, whoever
//! else has it.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};

use super::adjtimex::low;
use super::{Call, Failure, Reply};
use crate::clock::Offset;
use crate::inject::GuestPtr;
use crate::supervisor::clock_of;
use crate::supervisor::namespaces;
use crate::supervisor::status::has_capability;
use crate::sys::process;

/// `struct itimerspec`: `it_interval` and `it_value`.
type Spec = [i64; 4];

/// `TFD_SETTIME_FLAGS` of `fs/timerfd.c`.
const FLAGS: i32 = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;

/// A flag of pidfd_open(2) since 6.9: of a thread, and of its descriptors.
const PIDFD_THREAD: u32 = libc::O_EXCL.cast_unsigned();

/// `CAP_WAKE_ALARM` of `linux/capability.h`.
const WAKE_ALARM: u32 = 35;

/// Errors come in the kernel's order (`fs/timerfd.c: do_timerfd_settime`). `ENOSYS`: it cannot be
/// done.
pub(in crate::supervisor) fn settime(call: &Call<'_>) -> Reply {
    let spec = call.task.read::<Spec>(GuestPtr::new(call.args[2]))?;
    let old = set(call, spec)?;
    let to = GuestPtr::<Spec>::new(call.args[3]);
    if !to.is_null() {
        call.task.write(to, &old)?;
    }
    Ok(0)
}

fn set(call: &Call<'_>, spec: Spec) -> Result<Spec, Failure> {
    let (fd, flags) = (low(call.args[0]), low(call.args[1]));
    let [interval_sec, interval_nsec, sec, nsec] = spec;
    let is_valid = |sec, nsec| Offset::ZERO.to_host(sec, nsec).is_some();
    if flags & !FLAGS != 0 || !is_valid(interval_sec, interval_nsec) || !is_valid(sec, nsec) {
        return Err(Failure::Errno(libc::EINVAL));
    }
    let process = namespaces::process_of(call.proc, call.task.tid()).ok_or(Failure::Gone)?;
    let timer = borrow(call.task.tid(), process, fd)?;
    let ours = getpid().as_raw_nonzero().get();
    let clock = clock_of::of_timerfd(call.proc, ours, timer.as_raw_fd())
        .map_err(|_| Failure::Errno(libc::ENOSYS))?
        .ok_or(Failure::Errno(libc::EINVAL))?;
    // The kernel would ask for our capability.
    if matches!(
        clock,
        libc::CLOCK_REALTIME_ALARM | libc::CLOCK_BOOTTIME_ALARM
    ) && !has_capability(call.proc, call.task.tid(), WAKE_ALARM).ok_or(Failure::Gone)?
    {
        return Err(Failure::Errno(libc::EPERM));
    }
    let is_absolute = flags & libc::TFD_TIMER_ABSTIME != 0;
    let offset = call.offsets.of(clock).filter(|_| is_absolute);
    let host = offset.unwrap_or(Offset::ZERO).to_host(sec, nsec);
    let (sec, nsec) = host.ok_or(Failure::Errno(libc::EINVAL))?;
    if !call.task.is_waiting() {
        return Err(Failure::Gone);
    }
    let time = |tv_sec, tv_nsec| Timespec { tv_sec, tv_nsec };
    let host = Itimerspec {
        it_interval: time(interval_sec, interval_nsec),
        it_value: time(sec, nsec),
    };
    let flags = TimerfdTimerFlags::from_bits_retain(flags.cast_unsigned());
    let old = timerfd_settime(timer, flags, &host).map_err(|e| Failure::Errno(e.raw_os_error()))?;
    let (interval, value) = (old.it_interval, old.it_value);
    Ok([
        interval.tv_sec,
        interval.tv_nsec,
        value.tv_sec,
        value.tv_nsec,
    ])
}

/// The thread's descriptor `fd`, as one of ours. What it is must be asked after it: its number may
/// have come to mean another thread.
fn borrow(tid: i32, process: i32, fd: i32) -> Result<OwnedFd, Failure> {
    let no_way = Failure::Errno(libc::ENOSYS);
    let open = |id, flags| pidfd_open(Pid::from_raw(id).ok_or(rustix::io::Errno::SRCH)?, flags);
    let of_thread = open(tid, PidfdFlags::from_bits_retain(PIDFD_THREAD));
    let pidfd = of_thread.or_else(|_| {
        // Before 6.9 only the descriptors of a process's first thread can be had.
        if tid == process || process::share_files(tid, process) {
            open(process, PidfdFlags::empty())
        } else {
            Err(rustix::io::Errno::NOSYS)
        }
    });
    let fetched = pidfd_getfd(pidfd.map_err(|_| no_way)?, fd, PidfdGetfdFlags::empty());
    fetched.map_err(|e| match e {
        rustix::io::Errno::BADF => Failure::Errno(libc::EBADF),
        rustix::io::Errno::SRCH => Failure::Gone,
        _ => no_way,
    })
}
