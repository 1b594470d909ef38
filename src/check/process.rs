//! What may be done to a child: descriptors, memory, and its vDSO.
#![expect(unsafe_code, reason = "pidfd_open(2), process_vm_readv(2), pause(2)")]

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;

use super::child::Child;
use super::{Feature, Process};
use crate::sys::ptrace;

/// What is read from the child, which has it where we have it.
static SAMPLE: u64 = 0x656c_7365_7768_656e;

/// Tries all of it on a child that does nothing; `vdso` is where the vDSO begins.
pub(super) fn probe(vdso: Option<u64>) -> io::Result<Process> {
    let null = File::open("/dev/null")?;
    // SAFETY: the child makes system calls only.
    let child = unsafe {
        Child::start(|| {
            loop {
                // Not in the C library's table on every architecture, so ppoll(2), for ever.
                libc::syscall(libc::SYS_ppoll, 0_usize, 0_usize, 0_usize, 0_usize, 0_usize);
            }
        })
    }?;
    let pidfd = pidfd_open(child.pid());
    let pidfd_getfd = match &pidfd {
        Ok(pidfd) => pidfd_getfd(pidfd, &null).map(drop),
        Err(_) => Err(io::Error::from_raw_os_error(libc::ENOSYS)),
    };
    Ok(Process {
        pidfd_open: Feature::tried("5.3", &pidfd),
        pidfd_getfd: Feature::tried("5.6", &pidfd_getfd),
        process_vm: Feature::tried("3.2", &read_sample(child.pid())),
        timers: Feature::tried("3.10", &File::open("/proc/self/timers")),
        vdso_writes: match vdso {
            Some(vdso) => Feature::tried("2.6.39", &rewrite_a_byte(child.pid(), vdso)),
            None => Feature::found("2.6.39", false, "there is no vDSO"),
        },
    })
}

fn opened(returned: libc::c_long) -> io::Result<OwnedFd> {
    match i32::try_from(returned) {
        // SAFETY: the kernel opened it for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(io::Error::last_os_error()),
    }
}

fn pidfd_open(pid: libc::pid_t) -> io::Result<OwnedFd> {
    // SAFETY: the call takes numbers.
    opened(unsafe { libc::syscall(libc::SYS_pidfd_open, pid, 0) })
}

fn pidfd_getfd(pidfd: &OwnedFd, wanted: &File) -> io::Result<OwnedFd> {
    let (pidfd, wanted) = (pidfd.as_raw_fd(), wanted.as_raw_fd());
    // SAFETY: the call takes numbers.
    opened(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd, wanted, 0) })
}

fn read_sample(pid: libc::pid_t) -> io::Result<()> {
    let mut copy = 0_u64;
    let vec = |base: *mut libc::c_void| libc::iovec {
        iov_base: base,
        iov_len: size_of::<u64>(),
    };
    let (local, remote) = (
        vec((&raw mut copy).cast()),
        vec((&raw const SAMPLE).cast_mut().cast()),
    );
    // SAFETY: the kernel writes to `copy`, which is as large as stated; the other address is the
    // child's, and is only read.
    let count =
        unsafe { libc::process_vm_readv(pid, &raw const local, 1, &raw const remote, 1, 0) };
    match count {
        -1 => Err(io::Error::last_os_error()),
        _ if copy == SAMPLE => Ok(()),
        _ => Err(io::Error::other("it read something else")),
    }
}

/// Writes the vDSO's first byte over itself: a forced write, since the pages are read-only.
///
/// Refused by `proc_mem.force_override=never` and by kernels built so (6.12); or granted to a tracer
/// only, and we are the child's parent: it is killed and reaped as our tracee.
fn rewrite_a_byte(pid: libc::pid_t, vdso: u64) -> io::Result<()> {
    let memory = OpenOptions::new()
        .read(true)
        .write(true)
        .open(format!("/proc/{pid}/mem"))?;
    let mut byte = [0];
    memory.read_exact_at(&mut byte, vdso)?;
    memory.write_all_at(&byte, vdso).or_else(|_| {
        ptrace::seize(pid)?.forget();
        memory.write_all_at(&byte, vdso)
    })
}
