//! ptrace(2) of threads that are let go of at their first stop.
//!
//! A tracee is [`Running`] until [`next_change`] tells of it; only a [`Stopped`] one can be
//! released, and one that has ended has been reaped: an unreaped one would keep its process's
//! exec(2) waiting for ever (`fs/exec.c: de_thread`). Requests must come from the thread that
//! seized, which is why these types are neither `Send` nor `Sync`.
//!
//! # Safety
//! The requests used here take numbers, but for PTRACE_GETREGS, PTRACE_SETREGS, PTRACE_GETSIGMASK,
//! PTRACE_SETSIGMASK and PTRACE_GETSIGINFO, which fill or read one live structure.
#![expect(unsafe_code, reason = "ptrace(2), waitpid(2)")]

use std::io;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use super::{memory, thread};
use crate::arch;

/// A thread that this thread traces and that runs, or has stopped or ended without our knowing.
#[must_use = "a tracee that is forgotten is traced for ever"]
#[derive(Debug)]
pub(crate) struct Running {
    tid: i32,
    of_this_thread: PhantomData<*const ()>,
}

/// A thread that this thread traces and that is stopped, or is being killed.
///
/// Its id cannot come to mean another thread: it is a zombie at worst, and ours to reap.
#[must_use = "a stopped tracee stays stopped until it is released"]
#[derive(Debug)]
pub(crate) struct Stopped {
    tid: i32,
    why: Stop,
    of_this_thread: PhantomData<*const ()>,
}

/// How a thread waits for its tracee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Waiting {
    /// In waitpid(2); the thread has no other tracee, nor a child.
    ///
    /// It waits for any: when another thread of the tracee's process executes a program, that thread
    /// takes the id of the process's first one, and who waits for this by its id is not woken
    /// (`fs/exec.c: de_thread`, `kernel/exit.c: child_wait_callback`).
    Blocked,
    /// Looking again and again: another thread of the process waits for all its children, and the
    /// tracee may be one.
    Polling,
}

/// Why a tracee has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is about to run its new program's first instruction.
    Exec,
    /// It was interrupted, or its process is stopped by a signal.
    Trap,
    /// It is about to be given this signal.
    Signal(i32),
    /// It is at the begin or the end of a system call (see [`Stopped::run_to_call`]).
    Call,
}

/// Of every tracee.
const OPTIONS: i32 = libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_TRACESYSGOOD;

/// How PTRACE_O_TRACESYSGOOD tells a stop at a system call from a signal.
const IN_CALL: i32 = libc::SIGTRAP | 0x80;

/// `PTRACE_O_SUSPEND_SECCOMP` of `linux/ptrace.h` (4.3).
const SUSPEND_SECCOMP: i32 = 1 << 21;

/// `sizeof(sigset_t)` as the kernel has it.
const MASK_LEN: usize = 8;

/// What a tracee has done.
#[derive(Debug)]
pub(crate) enum Change {
    Stopped(Stopped),
    /// It has ended and is reaped.
    Ended(i32),
}

impl Change {
    /// The thread's id; after exec(2) of a thread that did not lead its process, the process's.
    pub(crate) fn tid(&self) -> i32 {
        match self {
            Change::Stopped(stopped) => stopped.tid,
            Change::Ended(tid) => *tid,
        }
    }
}

/// Begins to trace a thread, which runs on; it will stop when it has executed a new program.
///
/// Waits while another thread of the same process executes a program.
///
/// # Errors
/// `EPERM`: somebody else traces the thread, it is ending, or permission lacks. `ESRCH`: no such
/// thread.
pub(crate) fn seize(tid: i32) -> io::Result<Running> {
    seize_with(tid, OPTIONS)
}

/// The same, but should this thread end before it has let go of the other, that one's process is killed: it
/// must not run half-mended.
///
/// # Errors
/// As for [`seize`].
pub(crate) fn seize_to_mend(tid: i32) -> io::Result<Running> {
    seize_with(tid, OPTIONS | libc::PTRACE_O_EXITKILL)
}

fn seize_with(tid: i32, options: i32) -> io::Result<Running> {
    request(libc::PTRACE_SEIZE, tid, options)?;
    Ok(Running {
        tid,
        of_this_thread: PhantomData,
    })
}

/// Traces a thread whose last tracer has been killed, but may not have let go of it yet.
pub(crate) fn seize_from_dying(tid: i32) -> io::Result<Running> {
    for _ in 0..20 {
        match seize(tid) {
            Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
            other => return other,
        }
    }
    seize(tid)
}

/// Does `work` in a thread that traces thread `tid` meanwhile. The tracee is not stopped for it: it
/// goes on as if nothing had been when its tracer ends.
///
/// # Errors
/// As for [`seize`], or no thread can be started.
pub(crate) fn while_tracing<R: Send>(tid: i32, work: impl FnOnce() -> R + Send) -> io::Result<R> {
    thread::elsewhere(64 << 10, || {
        seize(tid)?.forget();
        Ok(work())
    })?
}

impl Running {
    pub(crate) fn tid(&self) -> i32 {
        self.tid
    }

    /// Makes the thread stop before its next instruction, or earlier for another reason.
    ///
    /// Whether it will; one that cannot any more is about to tell of its end.
    pub(crate) fn interrupt(&self) -> bool {
        request(libc::PTRACE_INTERRUPT, self.tid, 0).is_ok()
    }

    /// Waits for its next stop, or its end.
    pub(crate) fn wait(self, waiting: Waiting) -> Change {
        match waiting {
            Waiting::Blocked => loop {
                if let Some(change) = wait_for(-1, 0) {
                    return change;
                }
                if io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) {
                    return Change::Ended(self.tid);
                }
            },
            Waiting::Polling => self.poll(),
        }
    }

    /// The process's first thread may be told of the stop in our place (waitpid(2) of a child that
    /// the same process traces), so that looking is the only way.
    fn poll(self) -> Change {
        for round in 0_u32.. {
            match wait_for(self.tid, libc::WNOHANG) {
                Some(Change::Ended(tid)) => return Change::Ended(tid),
                Some(Change::Stopped(stopped)) => return Change::Stopped(stopped),
                None => {}
            }
            let stopped = Stopped {
                tid: self.tid,
                why: Stop::Trap,
                of_this_thread: PhantomData,
            };
            if stopped.registers().is_some() {
                let why = stopped.why_now();
                return Change::Stopped(Stopped { why, ..stopped });
            }
            match round {
                0..500 => std::thread::yield_now(),
                _ => {
                    let micros = u64::from(round / 5).min(10_000);
                    std::thread::sleep(std::time::Duration::from_micros(micros));
                }
            }
        }
        Change::Ended(self.tid)
    }

    /// Gives the tracee up for what waitpid(2) has told of it.
    pub(crate) fn forget(self) {}
}

impl Stopped {
    pub(crate) fn tid(&self) -> i32 {
        self.tid
    }

    pub(crate) fn why(&self) -> Stop {
        self.why
    }

    /// What the system call that it was interrupted in is about to return.
    pub(crate) fn result(&self) -> Option<i64> {
        self.registers().as_ref().map(arch::result)
    }

    /// Where it goes on.
    pub(crate) fn instruction(&self) -> Option<u64> {
        self.registers().as_ref().map(arch::instruction)
    }

    /// Why it has stopped, where waitpid(2) has not told.
    fn why_now(&self) -> Stop {
        let mut info = MaybeUninit::<libc::siginfo_t>::zeroed();
        // SAFETY: all zeroes is a valid siginfo; the kernel fills it.
        let info = unsafe {
            let none = std::ptr::null_mut::<libc::c_void>();
            if libc::ptrace(libc::PTRACE_GETSIGINFO, self.tid, none, info.as_mut_ptr()) != 0 {
                return Stop::Trap;
            }
            info.assume_init()
        };
        match info.si_code {
            IN_CALL => Stop::Call,
            code if code >> 8 == libc::PTRACE_EVENT_STOP => Stop::Trap,
            _ => Stop::Signal(info.si_signo),
        }
    }

    /// Sets its registers.
    ///
    /// # Errors
    /// `ESRCH`: it is being killed.
    pub(crate) fn set_registers(&self, registers: &libc::user_regs_struct) -> io::Result<()> {
        // SAFETY: the kernel reads one live structure.
        let r = unsafe {
            let none = std::ptr::null_mut::<libc::c_void>();
            libc::ptrace(
                libc::PTRACE_SETREGS,
                self.tid,
                none,
                std::ptr::from_ref(registers),
            )
        };
        if r == 0 {
            Ok(())
        } else {
            Err(io::Error::last_os_error())
        }
    }

    /// Writes words into its memory.
    ///
    /// # Errors
    /// `EIO`, `EFAULT`: there is no such memory. `ESRCH`: it is being killed.
    pub(crate) fn write<const N: usize>(&self, address: u64, words: &[u64; N]) -> io::Result<()> {
        if memory::write_by_pid(self.tid, address, memory::bytes_of(words)).is_some() {
            return Ok(());
        }
        // A stack grows for this one only (`mm/memory.c: __access_remote_vm`).
        (0_u64..)
            .zip(words)
            .try_for_each(|(i, word)| self.poke(address + 8 * i, *word))
    }

    fn poke(&self, address: u64, word: u64) -> io::Result<()> {
        // SAFETY: both are numbers to the caller's side; the kernel writes into the tracee only.
        let r = unsafe { libc::ptrace(libc::PTRACE_POKEDATA, self.tid, address, word) };
        if r == -1 {
            Err(io::Error::last_os_error())
        } else {
            Ok(())
        }
    }

    pub(crate) fn registers(&self) -> Option<libc::user_regs_struct> {
        let mut registers = MaybeUninit::<libc::user_regs_struct>::uninit();
        // SAFETY: the kernel fills the structure if it returns 0, and only then is it read.
        unsafe {
            let none = std::ptr::null_mut::<libc::c_void>();
            let into = registers.as_mut_ptr();
            match libc::ptrace(libc::PTRACE_GETREGS, self.tid, none, into) {
                0 => Some(registers.assume_init()),
                _ => None,
            }
        }
    }

    /// Has no seccomp filter look at its calls as long as it is traced; it was [`seize_to_mend`]ed.
    ///
    /// # Errors
    /// `EPERM` without `CAP_SYS_ADMIN`, or where a filter looks at this process's. `EINVAL` without
    /// `CONFIG_CHECKPOINT_RESTORE`.
    pub(crate) fn suspend_seccomp(&self) -> io::Result<()> {
        let options = OPTIONS | libc::PTRACE_O_EXITKILL | SUSPEND_SECCOMP;
        request(libc::PTRACE_SETOPTIONS, self.tid, options)
    }

    /// The signals that it blocks.
    ///
    /// # Errors
    /// `ESRCH`: it is being killed.
    pub(crate) fn signal_mask(&self) -> io::Result<u64> {
        let mut mask = 0_u64;
        // SAFETY: the kernel writes eight bytes at a live u64.
        let r = unsafe { libc::ptrace(libc::PTRACE_GETSIGMASK, self.tid, MASK_LEN, &raw mut mask) };
        match r {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(mask),
        }
    }

    /// Has it block these signals.
    ///
    /// # Errors
    /// `ESRCH`: it is being killed.
    pub(crate) fn set_signal_mask(&self, mask: u64) -> io::Result<()> {
        // SAFETY: the kernel reads eight bytes at a live u64.
        let r =
            unsafe { libc::ptrace(libc::PTRACE_SETSIGMASK, self.tid, MASK_LEN, &raw const mask) };
        match r {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        }
    }

    /// Lets it run to the next begin or end of a system call, or to a stop for another reason.
    pub(crate) fn run_to_call(self, waiting: Waiting) -> Change {
        let running = Running {
            tid: self.tid,
            of_this_thread: PhantomData,
        };
        // One that is being killed is about to tell of its end.
        let _ = request(libc::PTRACE_SYSCALL, self.tid, 0);
        running.wait(waiting)
    }

    /// Stops tracing: the thread goes on, takes the signal it was stopped before, or stays
    /// stopped with its process.
    ///
    /// A thread that is being killed is given back: it remains to be reaped.
    pub(crate) fn detach(self) -> Result<(), Running> {
        let signal = match self.why {
            Stop::Signal(signal) => signal,
            Stop::Exec | Stop::Trap | Stop::Call => 0,
        };
        request(libc::PTRACE_DETACH, self.tid, signal).map_err(|_| Running {
            tid: self.tid,
            of_this_thread: PhantomData,
        })
    }
}

/// The next change of any tracee of this thread, without waiting; `None` if there is none.
pub(crate) fn next_change() -> Option<Change> {
    wait_for(-1, libc::WNOHANG)
}

/// A change of the tracee `tid`, or any; one that is nobody's any more has ended.
fn wait_for(tid: i32, options: i32) -> Option<Change> {
    let mut status = 0;
    let options = libc::__WALL | libc::__WNOTHREAD | options;
    // SAFETY: the kernel writes one int at a live int.
    let changed = unsafe { libc::waitpid(tid, &raw mut status, options) };
    if changed == -1 && tid > 0 && io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) {
        return Some(Change::Ended(tid));
    }
    if changed <= 0 {
        return None;
    }
    let tid = changed;
    if !libc::WIFSTOPPED(status) {
        return Some(Change::Ended(tid));
    }
    let why = match status >> 16 {
        0 if libc::WSTOPSIG(status) == IN_CALL => Stop::Call,
        0 => Stop::Signal(libc::WSTOPSIG(status)),
        libc::PTRACE_EVENT_EXEC => Stop::Exec,
        _ => Stop::Trap,
    };
    Some(Change::Stopped(Stopped {
        tid,
        why,
        of_this_thread: PhantomData,
    }))
}

fn request(request: libc::c_uint, tid: i32, data: i32) -> io::Result<()> {
    let none = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: the requests that come here take `data` by value and no address.
    let r = unsafe { libc::ptrace(request, tid, none, libc::c_long::from(data)) };
    if r == -1 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
