//! One visit: seize, interrupt, release from the call, set the registers, let go.

use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use super::Pool;
use super::slots::{Place, RedirectSlot, Request};
use crate::arch::{self, Redirect};
use crate::supervisor::{lines, namespaces};
use crate::sys::errno::ERESTARTSYS;
use crate::sys::ptrace::{self, Change, Running, Stop, Stopped};
use crate::sys::seccomp::{self, Answer};

/// For so long a worker may meet threads that its dead predecessor has not let go of.
const INHERITANCE: Duration = Duration::from_secs(2);

/// What a visit leaves behind.
#[must_use]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Visited {
    Over,
    /// A tracee that has to be let go of as it is: by the end of this thread.
    AtTracee,
}

/// Does what the request in a slot asks for.
///
/// The caller is to have asked whether the thread still waits: most that do not are met so.
pub(super) fn pay(pool: &Pool, slot: &RedirectSlot<'_>) -> Visited {
    let listener = pool.listener.as_fd();
    let request = slot.request();
    let Some(running) = seize(pool, &request) else {
        refused(pool, &request);
        return Visited::Over;
    };
    if !seccomp::is_valid(listener, request.id) {
        // It may be another thread by now, or wait for the answer to another call, in which it
        // would not stop until somebody has seized it for that.
        running.forget();
        return Visited::AtTracee;
    }
    let is_interrupted = running.interrupt();
    // Should we die before the registers are set, the kernel makes the call anew, which asks anew: the
    // interruption, which came first, has the thread look for signals on its way out.
    // ENOENT: it has been taken out of its notification by itself.
    // One that is not interrupted would see the error itself.
    if is_interrupted {
        let _ = seccomp::answer(listener, request.id, Answer::Errno(ERESTARTSYS));
    }
    match running.wait(pool.waiting) {
        Change::Ended(_) => {}
        Change::Stopped(stopped) => {
            let stopped = match redirect(pool, stopped, slot, &request) {
                Change::Stopped(stopped) => stopped,
                Change::Ended(_) => return Visited::Over,
            };
            if let Err(running) = stopped.detach() {
                let_go(pool, running);
            }
        }
    }
    Visited::Over
}

/// Seizes the thread; `None` if it cannot be traced.
///
/// One whose tracer died has made its call anew, or another after a handler, and may be here for
/// that, while the tracer has not let go of it. So may one that another thread of ours is about to
/// let go of.
fn seize(pool: &Pool, request: &Request) -> Option<Running> {
    for round in 0.. {
        match ptrace::seize(request.tid) {
            Ok(running) => return Some(running),
            Err(e) if e.raw_os_error() != Some(libc::EPERM) => return None,
            Err(_) if !seccomp::is_valid(pool.listener.as_fd(), request.id) => return None,
            Err(_) => {}
        }
        let tries = match tracer_of(pool.proc.as_fd(), request.tid) {
            Tracer::Leaving => 100_000,
            // Let go of just now, or nobody's, and not ours to trace; or its tracer is about to die.
            Tracer::Nobody => 20,
            Tracer::Other if pool.started.elapsed() < INHERITANCE => 20,
            Tracer::Other => 0,
        };
        if round >= tries {
            return None;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
    None
}

/// Who traces a thread.
enum Tracer {
    Nobody,
    /// A thread of this process, or one that is dying.
    Leaving,
    Other,
}

fn tracer_of(proc: BorrowedFd<'_>, tid: i32) -> Tracer {
    const SIGKILL: u64 = 1 << 8;
    let tracer = namespaces::status(proc, tid).map_or(0, |status| status.tracer);
    let (mut is_own, mut is_killed, mut has_memory) = (false, false, false);
    let read = lines::read(proc, &format!("{tracer}/status"), |line| {
        let value = |key: &str| lines::value(line, key);
        is_own |= value("Tgid:").is_some_and(|id| id.parse() == Ok(std::process::id()));
        is_killed |= ["SigPnd:", "ShdPnd:"].iter().any(|key| {
            let signals = value(key).and_then(|mask| u64::from_str_radix(mask, 16).ok());
            signals.is_some_and(|signals| signals & SIGKILL != 0)
        });
        // What ends gives its memory up first.
        has_memory |= line.starts_with(b"VmSize:");
        false
    });
    match read {
        Err(_) => Tracer::Nobody,
        Ok(_) if is_own || is_killed || !has_memory => Tracer::Leaving,
        Ok(_) => Tracer::Other,
    }
}

/// Lets a thread go at its first stop, or reaps it.
fn let_go(pool: &Pool, mut running: Running) {
    while let Change::Stopped(stopped) = running.wait(pool.waiting) {
        match stopped.detach() {
            Ok(()) => return,
            Err(dying) => running = dying,
        }
    }
}

fn redirect(pool: &Pool, stopped: Stopped, slot: &RedirectSlot<'_>, request: &Request) -> Change {
    let Some(mut registers) = stopped.registers() else {
        return Change::Stopped(stopped);
    };
    // A stop outside of the call, or in another one after it, has nothing to do with us.
    if !arch::is_at_call(&registers, request.after, request.number, &request.args) {
        return Change::Stopped(stopped);
    }
    let number = request.number;
    let to = match request.place {
        Place::Gate { at, call } => Redirect::Gate { at, call },
        Place::Again { at } => Redirect::Again { at },
        Place::Split {
            argument, first, ..
        } => {
            // A signal is about to be delivered, which would be lost: the call is made anew, and asks anew.
            if stopped.why() != Stop::Trap {
                return Change::Stopped(stopped);
            }
            // Should we die before the call begins, the thread makes it as the program has.
            arch::repeat(&mut registers, number);
            let _ = stopped.set_registers(&registers);
            return split(pool, stopped, slot, number, argument, first);
        }
        Place::Here {
            call,
            cookie,
            times,
        } => {
            // The two times lie at the lower end of the red zone.
            let mut at = None;
            if let Some(times) = times {
                let to = arch::stack(&registers).wrapping_sub(arch::RED_ZONE);
                let [[sec, nsec], [own_sec, own_nsec]] = times;
                let words = [sec, nsec, own_sec, own_nsec].map(i64::cast_unsigned);
                if stopped.write(to, &words).is_err() {
                    return Change::Stopped(stopped);
                }
                at = Some(to);
            }
            Redirect::Here { call, cookie, at }
        }
    };
    arch::redirect(&mut registers, number, to, request.interrupted);
    let _ = stopped.set_registers(&registers);
    Change::Stopped(stopped)
}

/// Has the thread make its call with the first value, and if that succeeds once more as the program has
/// made it, for which we shall be asked.
///
/// DIFFERENCE: should we die amid the first call, it may fail though it has done what it was for.
fn split(
    pool: &Pool,
    stopped: Stopped,
    slot: &RedirectSlot<'_>,
    number: u32,
    argument: u8,
    first: u64,
) -> Change {
    let stopped = match stopped.run_to_call(pool.waiting) {
        Change::Stopped(stopped) if stopped.why() == Stop::Call => stopped,
        // A signal or a stop comes first, and then the whole call.
        other => return other,
    };
    let Some(own) = stopped.registers() else {
        return Change::Stopped(stopped);
    };
    let mut begun = own;
    arch::begin_with(&mut begun, argument, first);
    if stopped.set_registers(&begun).is_err() {
        return Change::Stopped(stopped);
    }
    let stopped = match stopped.run_to_call(pool.waiting) {
        Change::Stopped(stopped) => stopped,
        ended => return ended,
    };
    let mut registers = own;
    match stopped.result() {
        Some(0) => {
            slot.leave_half_done();
            arch::repeat(&mut registers, number);
        }
        result => arch::end_with(&mut registers, result.unwrap_or((-libc::EINTR).into())),
    }
    let _ = stopped.set_registers(&registers);
    Change::Stopped(stopped)
}

/// The thread cannot be traced: it is gone, or somebody else traces it.
fn refused(pool: &Pool, request: &Request) {
    let listener = pool.listener.as_fd();
    if !seccomp::is_valid(listener, request.id) {
        return;
    }
    if let Some(answer) = pool.in_place.make(request) {
        let _ = seccomp::answer(listener, request.id, answer);
    }
}
