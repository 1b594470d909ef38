//! The rows of waits.

use super::rows::{Action, Group, Row};
use super::side::Side;
use super::waits::{Memory, Place, Wait};

/// The columns.
pub(super) const WAITING: [Side; 7] = [
    Side::Host,
    Side::Kernel,
    Side::Inside,
    Side::Across,
    Side::Libfaketime,
    Side::Filtered,
    Side::Notified,
];
/// Waits by the C library, for which libfaketime has functions of its own.
const BY_LIBC: [Side; 5] = [
    Side::Host,
    Side::Inside,
    Side::Libfaketime,
    Side::Filtered,
    Side::Notified,
];
/// The kernel's namespaces shift no other clocks.
const OF_MONOTONIC: [Side; 5] = [
    Side::Host,
    Side::Kernel,
    Side::Inside,
    Side::Filtered,
    Side::Notified,
];
const PLAIN: [Side; 4] = [Side::Host, Side::Inside, Side::Filtered, Side::Notified];
/// Waits that the supervisor takes part in.
const SUPERVISED: [Side; 5] = [
    Side::Host,
    Side::Inside,
    Side::Across,
    Side::Filtered,
    Side::Notified,
];
/// The rows, in their order.
pub(super) const WAITS: [Row; 13] = [
    wait(
        "sleep",
        "clock_nanosleep, time on the stack",
        Wait::Sleep(libc::CLOCK_REALTIME, Memory::Stack),
        &BY_LIBC,
    ),
    wait(
        "sleep_heap",
        "clock_nanosleep, time on the heap",
        Wait::Sleep(libc::CLOCK_REALTIME, Memory::Heap),
        &BY_LIBC,
    ),
    wait(
        "sleep_monotonic",
        "clock_nanosleep of MONOTONIC",
        Wait::Sleep(libc::CLOCK_MONOTONIC, Memory::Stack),
        &OF_MONOTONIC,
    ),
    wait("semaphore", "sem_timedwait", Wait::Semaphore, &BY_LIBC),
    refused(
        "queue_refused",
        "mq_timedreceive, refused",
        Wait::Queue,
        &PLAIN,
    ),
    refused(
        "futex_refused",
        "futex, refused, time on the stack",
        Wait::Futex(Place::Ordinary, libc::CLOCK_REALTIME, Memory::Stack),
        &PLAIN,
    ),
    refused(
        "futex_refused_heap",
        "futex, refused, time on the heap",
        Wait::Futex(Place::Ordinary, libc::CLOCK_REALTIME, Memory::Heap),
        &PLAIN,
    ),
    refused(
        "futex_refused_monotonic",
        "futex of MONOTONIC, refused",
        Wait::Futex(Place::Ordinary, libc::CLOCK_MONOTONIC, Memory::Stack),
        &OF_MONOTONIC,
    ),
    refused(
        "relative_wait",
        "relative futex, refused",
        Wait::Relative(Place::OnlyRelative),
        &OF_MONOTONIC,
    ),
    refused(
        "relative_wait_patched",
        "the same at a patched place",
        Wait::Relative(Place::Mixed),
        &OF_MONOTONIC,
    ),
    Row {
        action: Action::FirstWait,
        samples: 4,
        times: 1,
        ..wait(
            "first_wait",
            "the first futex in a fresh exec",
            Wait::Semaphore,
            &SUPERVISED,
        )
    },
    wait(
        "unpatched_wait",
        "futex where nothing can be patched",
        Wait::Futex(Place::JumpedTo, libc::CLOCK_REALTIME, Memory::Stack),
        &SUPERVISED,
    ),
    wait(
        "bridge_wait",
        "futex at a cancellation point",
        Wait::Futex(Place::Bridge, libc::CLOCK_REALTIME, Memory::Stack),
        &SUPERVISED,
    ),
];

const fn wait(name: &'static str, title: &'static str, wait: Wait, sides: &'static [Side]) -> Row {
    Row {
        name,
        title,
        group: Group::Waits,
        action: Action::Wait(wait),
        sides,
        times: 30,
        samples: 3,
    }
}

/// A wait that the kernel refuses before it starts a timer.
const fn refused(
    name: &'static str,
    title: &'static str,
    wait: Wait,
    sides: &'static [Side],
) -> Row {
    Row {
        times: 1000,
        ..self::wait(name, title, wait, sides)
    }
}
