//! A stopped thread that makes system calls for us.

use std::io;

use crate::arch::{self, nr};
use crate::sys::memory;
use crate::sys::ptrace::{Change, Stop, Stopped, Waiting};
use crate::{Error, Result};

/// Several threads are traced at once.
const WAITING: Waiting = Waiting::Polling;

/// A thread that is stopped before its first instruction, with the registers that it is to go on with.
pub(super) struct Caller {
    /// `None` once it has been killed.
    stopped: Option<Stopped>,
    /// What it is to go on with.
    pub(super) registers: libc::user_regs_struct,
    mask: u64,
}

impl Caller {
    /// Has the thread take no signal, and no filter look at its calls, until it is let go of.
    pub(super) fn new(stopped: Stopped) -> Result<Self> {
        let tid = stopped.tid();
        let failed = |error| Error::os(format!("cannot hold thread {tid}"), error);
        let gone = || io::Error::from_raw_os_error(libc::ESRCH);
        // Without `CONFIG_CHECKPOINT_RESTORE` there would be no CRIU; what a filter refuses is seen.
        let _ = stopped.suspend_seccomp();
        let mask = stopped.signal_mask().map_err(failed)?;
        stopped.set_signal_mask(u64::MAX).map_err(failed)?;
        let registers = stopped.registers().ok_or_else(gone).map_err(failed)?;
        Ok(Self {
            stopped: Some(stopped),
            registers,
            mask,
        })
    }

    /// The thread, which is stopped.
    ///
    /// # Errors
    /// `ESRCH`: it has been killed.
    pub(super) fn stopped(&self) -> io::Result<&Stopped> {
        self.stopped
            .as_ref()
            .ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
    }

    /// Makes a system call by the `syscall` instruction at `at`.
    ///
    /// # Errors
    /// The call's, or `ESRCH`: the thread has been killed.
    pub(super) fn call(&mut self, at: u64, number: u32, args: [u64; 6]) -> io::Result<u64> {
        let mut registers = self.registers;
        arch::call(&mut registers, at, number, &args);
        self.stopped()?.set_registers(&registers)?;
        self.run_to_call()?;
        self.run_to_call()?;
        let result = self.stopped()?.result();
        match result.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))? {
            errno @ -4095..0 => Err(io::Error::from_raw_os_error(
                i32::try_from(-errno).unwrap_or(libc::EIO),
            )),
            value => Ok(value.cast_unsigned()),
        }
    }

    /// Memory in the process for so many bytes, by a call made at `at`.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub(super) fn memory(&mut self, at: u64, len: usize) -> io::Result<u64> {
        // `PROT_READ | PROT_WRITE`, `MAP_PRIVATE | MAP_ANONYMOUS`.
        self.call(at, nr::MMAP, [0, len as u64, 3, 0x22, u64::MAX, 0])
    }

    /// Gives it back.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub(super) fn let_go_of_memory(&mut self, at: u64, place: u64, len: usize) -> io::Result<()> {
        self.call(at, nr::MUNMAP, [place, len as u64, 0, 0, 0, 0])
            .map(drop)
    }

    /// Writes where the process could.
    ///
    /// # Errors
    /// `EFAULT`: it could not. `ESRCH`: it has been killed.
    pub(super) fn write(&self, place: u64, bytes: &[u8]) -> io::Result<()> {
        memory::write_by_pid(self.stopped()?.tid(), place, bytes)
            .ok_or_else(io::Error::last_os_error)
    }

    /// To the begin, or the end, of the call.
    fn run_to_call(&mut self) -> io::Result<()> {
        loop {
            let gone = || io::Error::from_raw_os_error(libc::ESRCH);
            let stopped = self.stopped.take().ok_or_else(gone)?;
            match stopped.run_to_call(WAITING) {
                Change::Ended(_) => return Err(gone()),
                Change::Stopped(stopped) => {
                    let why = stopped.why();
                    self.stopped = Some(stopped);
                    match why {
                        Stop::Call => return Ok(()),
                        // Told of the stop of its process once more; or that stop came before the
                        // SIGSTOP for it, which is lost now.
                        Stop::Trap | Stop::Signal(libc::SIGSTOP) => {}
                        Stop::Signal(signal) => {
                            return Err(io::Error::other(format!("it has got signal {signal}")));
                        }
                        Stop::Exec => return Err(io::Error::from_raw_os_error(libc::EBUSY)),
                    }
                }
            }
        }
    }

    /// Lets go of it: it goes on, or stays stopped, as its process does.
    pub(super) fn let_go(self) {
        let Some(stopped) = self.stopped else {
            return;
        };
        // What fails here is being killed.
        let _ = stopped.set_registers(&self.registers);
        let _ = stopped.set_signal_mask(self.mask);
        if let Err(running) = stopped.detach() {
            running.forget();
        }
    }
}
