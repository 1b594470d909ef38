//! ioctl_ns(2) and kcmp(2).
//!
//! # Safety
//! These calls take values, not memory.
#![expect(unsafe_code, reason = "ioctls and kcmp(2)")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;

/// `linux/nsfs.h`.
const NS_GET_PARENT: libc::c_ulong = 0xb702;

/// `linux/pidfd.h`.
const PIDFD_GET_USER_NAMESPACE: libc::c_ulong = 0xff09;

/// `linux/kcmp.h`.
const KCMP_VM: libc::c_int = 1;

/// The inode number of the first time namespace (`PROC_TIME_INIT_INO` of `linux/proc_ns.h`).
pub(crate) const INITIAL_TIME_NS: u64 = 0xefff_fffa;

/// The namespace above the user or pid namespace `fd`.
///
/// # Errors
/// `EPERM`: it is above this process's own.
pub(crate) fn parent(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    // SAFETY: this ioctl touches no memory.
    let parent = unsafe { libc::ioctl(fd.as_raw_fd(), NS_GET_PARENT) };
    if parent < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor (close-on-exec).
    Ok(unsafe { OwnedFd::from_raw_fd(parent) })
}

/// The inode number of the kernel's time namespace that this process is in; 0: there are none.
pub(crate) fn own_time() -> u64 {
    static OWN: OnceLock<u64> = OnceLock::new();
    *OWN.get_or_init(|| rustix::fs::stat("/proc/self/ns/time").map_or(0, |stat| stat.st_ino))
}

/// Whether this kernel gives the namespaces of a pidfd's process (since Linux 6.11).
pub(crate) fn are_given_by_pidfds() -> bool {
    static GIVEN: OnceLock<bool> = OnceLock::new();
    *GIVEN.get_or_init(|| {
        let flags = rustix::process::PidfdFlags::empty();
        let Ok(own) = rustix::process::pidfd_open(rustix::process::getpid(), flags) else {
            return false;
        };
        // SAFETY: this ioctl touches no memory.
        let user = unsafe { libc::ioctl(own.as_raw_fd(), PIDFD_GET_USER_NAMESPACE, 0) };
        if user < 0 {
            return false;
        }
        // SAFETY: the kernel has just given us this descriptor (close-on-exec).
        drop(unsafe { OwnedFd::from_raw_fd(user) });
        true
    })
}

/// Whether two processes share their memory, as after vfork(2); false if that cannot be found out.
pub(crate) fn share_memory(a: i32, b: i32) -> bool {
    // SAFETY: kcmp(2) takes numbers only.
    unsafe { libc::syscall(libc::SYS_kcmp, a, b, KCMP_VM, 0, 0) == 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process::{self, Forked};

    #[test]
    fn a_process_shares_its_memory_with_itself_and_not_with_a_forked_child() {
        let me = i32::try_from(std::process::id()).unwrap();
        assert!(share_memory(me, me));
        match process::fork().unwrap() {
            Forked::Child => loop {
                std::thread::park();
            },
            Forked::Parent(child) => {
                assert!(!share_memory(me, child));
                process::kill(child, libc::SIGKILL);
                process::wait_for_end(child).unwrap();
            }
        }
    }
}
