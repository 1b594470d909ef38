//! What the program here and an engine's profile (`oci::profile`) are both made from.

use crate::arch::nr;
use crate::sys::futex;
pub(crate) use crate::sys::futex::{CLOCK_REALTIME as FUTEX_CLOCK_REALTIME, FLAGS as FUTEX_FLAGS};

/// A command of futex(2) that waits for an absolute time.
pub(crate) struct FutexWait {
    pub(crate) command: u32,
    /// The argument that carries the cookie.
    pub(crate) spare: u32,
    /// Whether FUTEX_CLOCK_REALTIME chooses the clock, which is REALTIME otherwise.
    pub(crate) has_choice: bool,
}

/// The time is the fourth argument of each.
pub(crate) const FUTEX_TIME: u32 = 3;

pub(crate) const FUTEX_WAITS: [FutexWait; 4] = [
    FutexWait {
        command: futex::WAIT_BITSET,
        spare: 4,
        has_choice: true,
    },
    FutexWait {
        command: futex::WAIT_REQUEUE_PI,
        spare: 5,
        has_choice: true,
    },
    FutexWait {
        command: futex::LOCK_PI,
        spare: 4,
        has_choice: false,
    },
    FutexWait {
        command: futex::LOCK_PI2,
        spare: 4,
        has_choice: true,
    },
];

/// `TIMER_ABSTIME` and `TFD_TIMER_ABSTIME`, in the second argument.
pub(crate) const ABSTIME: u32 = 1;

/// Calls whose time is by REALTIME, and absolute if there is one: the number, and where the time is.
pub(crate) const BY_REALTIME: [(u32, u32); 2] = [(nr::MQ_TIMEDSEND, 4), (nr::MQ_TIMEDRECEIVE, 4)];

/// Calls whose clock does not show: the number, and where the time is.
pub(crate) const TIMERS: [(u32, u32); 2] = [(nr::TIMER_SETTIME, 2), (nr::TIMERFD_SETTIME, 2)];

/// Calls that read REALTIME and no other clock.
pub(crate) const READERS: [u32; 2] = [nr::GETTIMEOFDAY, nr::TIME];

/// Calls that set the clock of their first argument.
///
/// A negative id is a descriptor of a clock device (clock_getres(2)), not the host's time.
pub(crate) const SETTERS_OF_A_CLOCK: [u32; 2] = [nr::CLOCK_SETTIME, nr::CLOCK_ADJTIME];

/// The bit of a negative id.
pub(crate) const NEGATIVE: u32 = 1 << 31;

/// Calls that set REALTIME.
pub(crate) const SETTERS: [u32; 2] = [nr::SETTIMEOFDAY, nr::ADJTIMEX];

/// Calls that open a file: the number, and where the path is; the flags come behind it.
pub(crate) const OPENS: [(u32, u32); 2] = [(nr::OPEN, 0), (nr::OPENAT, 1)];

/// Flags that no open has of a file that shows a clock: whoever wants a directory, a path alone, or a
/// file that is not there yet.
pub(crate) const NO_VIEW: u32 = (libc::O_PATH | libc::O_DIRECTORY | libc::O_EXCL).cast_unsigned();

/// `linux/sched.h`.
pub(crate) const CLONE_NEWTIME: u32 = 0x80;
