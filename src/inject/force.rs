//! Forced writes: to pages that the program itself may not write to.
//!
//! Since 6.12 a kernel can keep `/proc/PID/mem` from them, or grant them to the thread's tracer only
//! (`fs/proc/base.c: proc_mem_foll_force`), as Debian's 7.3 does. To be a tracer it is enough to
//! seize the thread: it need not stop.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::io::Errno;

use rustix::process::DumpableBehavior;

use crate::sys::process::{self, Forked};
use crate::sys::ptrace;
use crate::{Error, Result};

/// To whom the kernel grants forced writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Force {
    /// To whoever may open the memory.
    ByAnybody,
    /// To the thread's tracer (`proc_mem.force_override=ptrace`).
    ByTracer,
}

impl Force {
    /// Finds out by one byte of a vDSO, whose bytes are `host`, which keeps its value.
    ///
    /// # Errors
    /// To nobody, or it cannot be tried.
    pub(crate) fn find(host: &[u8]) -> Result<Self> {
        // After a change of user, up to the next exec, a process may not open its own memory file.
        // What it starts will be another matter, so go on.
        if rustix::process::dumpable_behavior().ok() != Some(DumpableBehavior::Dumpable) {
            return Ok(Self::ByAnybody);
        }
        let base = process::own_vdso();
        let rewrite = |mem: &File| mem.write_all_at(&host[..1], base);
        let Err(error) = open("self").and_then(|mem| rewrite(&mem)) else {
            return Ok(Self::ByAnybody);
        };
        let traced = || -> io::Result<bool> {
            // In processes of their own: a tracer lets go by its end, and must be its tracee's
            // ancestor for Yama.
            match process::fork()? {
                Forked::Parent(tracer) => {
                    Ok(process::wait_for_end(tracer)? == process::Change::Exited(0))
                }
                Forked::Child => process::exit_now(match process::fork() {
                    Ok(Forked::Child) => loop {
                        std::thread::park();
                    },
                    Ok(Forked::Parent(tracee)) => {
                        let written = open(&tracee.to_string())
                            .and_then(|mem| ptrace::seize(tracee).map(|running| (mem, running)))
                            .and_then(|(mem, running)| {
                                running.forget();
                                rewrite(&mem)
                            });
                        process::kill(tracee, libc::SIGKILL);
                        i32::from(written.is_err())
                    }
                    Err(_) => 1,
                }),
            }
        };
        if traced().unwrap_or(false) {
            return Ok(Self::ByTracer);
        }
        Err(Error::os(
            "this kernel refuses forced writes through `/proc/PID/mem` (proc_mem.force_override); boot it with `proc_mem.force_override=always`",
            error,
        ))
    }
}

fn open(pid: &str) -> io::Result<File> {
    File::options()
        .read(true)
        .write(true)
        .open(format!("/proc/{pid}/mem"))
}

/// Writes `bytes` to the memory `mem` of thread `tid`; whether all of them.
pub(super) fn write(tid: i32, mem: &File, bytes: &[u8], at: u64) -> bool {
    let write = || rustix::io::pwrite(mem, bytes, at);
    let written = match write() {
        // What is not granted writes nothing.
        Err(Errno::IO) => ptrace::while_tracing(tid, write).unwrap_or(Err(Errno::PERM)),
        other => other,
    };
    written == Ok(bytes.len())
}
