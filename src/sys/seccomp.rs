//! seccomp(2) and seccomp_unotify(2).
//!
//! # Safety
//! Every call hands the kernel a pointer to a live value of the type its ioctl or operation names.
#![expect(unsafe_code, reason = "seccomp(2) and its ioctls")]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::time::Timespec;

/// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP` of `linux/seccomp.h` (6.6).
const FD_SYNC_WAKE_UP: u64 = 1;

/// A notification as the kernel gives it.
pub(crate) type Notification = libc::seccomp_notif;

/// Installs `program` for the calling thread and returns its listener.
///
/// # Errors
/// `EBUSY`: an ancestor of this process has a listener already. `EACCES`: neither no_new_privs nor
/// `CAP_SYS_ADMIN`. `EINVAL`: the kernel has no user notification (before 5.0).
pub(crate) fn install(program: &[libc::sock_filter]) -> io::Result<OwnedFd> {
    let killable = libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
    match install_with(program, killable) {
        // Before 5.19 there is no such flag: signals then restart a notified call.
        Err(e) if e.raw_os_error() == Some(libc::EINVAL) => install_with(program, 0),
        other => other,
    }
}

/// Kernels before 5.16 slow every process under a filter down against speculation (SSBD) unless the
/// filter says that it is not there to contain anybody; ours is not.
const FLAGS: libc::c_ulong =
    libc::SECCOMP_FILTER_FLAG_NEW_LISTENER | libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;

fn install_with(program: &[libc::sock_filter], flags: libc::c_ulong) -> io::Result<OwnedFd> {
    let fprog = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("a filter has at most 4096 instructions"),
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: `fprog` and the instructions it points to outlive the call, which only reads them.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            FLAGS | flags,
            &raw const fprog,
        )
    };
    let fd = i32::try_from(fd).expect("a descriptor or -1");
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just given us this descriptor (close-on-exec) and nobody else has it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Where the link of a listener's descriptor leads (`kernel/seccomp.c: init_listener`).
const LISTENER: &[u8] = b"anon_inode:seccomp notify";

/// Whether a descriptor is a listener: of any other kind it is asked nothing.
pub(crate) fn is_listener(fd: BorrowedFd<'_>) -> bool {
    let link = rustix::fs::readlink(format!("/proc/self/fd/{}", fd.as_raw_fd()), Vec::new());
    link.is_ok_and(|link| link.as_bytes() == LISTENER)
}

/// Asks the kernel to wake the other side on the same CPU; without effect before 6.6.
pub(crate) fn wake_synchronously(listener: BorrowedFd<'_>) {
    // SAFETY: this ioctl takes its flags by value and touches no memory.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
            FD_SYNC_WAKE_UP,
        )
    };
}

/// Waits for the next notification and receives it into `into`.
///
/// # Errors
/// `EINTR`: a signal came first. `ENOENT`: the caller was gone again, or every process under the
/// filter is (then the listener polls as hung up).
pub(crate) fn receive(listener: BorrowedFd<'_>, into: *mut Notification) -> io::Result<()> {
    // SAFETY: `into` points into the journal's page, which is mapped for the life of the process;
    // the kernel wants the structure zeroed and writes at most its size.
    let r = unsafe {
        into.write_bytes(0, 1);
        libc::ioctl(listener.as_raw_fd(), libc::SECCOMP_IOCTL_NOTIF_RECV, into)
    };
    if r == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether another notification can be received at once.
pub(crate) fn is_waited_for(listener: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(&listener, PollFlags::IN)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    poll(&mut fds, Some(&now)).is_ok_and(|ready| ready > 0)
}

/// Whether the thread of notification `id` still waits in that very call.
pub(crate) fn is_valid(listener: BorrowedFd<'_>, id: u64) -> bool {
    // SAFETY: the kernel reads eight bytes at a live u64.
    unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_ID_VALID,
            &raw const id,
        ) == 0
    }
}

/// How a notified call ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The kernel makes the call as it stands.
    Continue,
    /// The call returns this value.
    Value(i64),
    /// The call fails with this errno.
    Errno(i32),
}

/// Answers notification `id`.
///
/// # Errors
/// `ENOENT`: the thread is gone, or a signal has taken it out of the call.
pub(crate) fn answer(listener: BorrowedFd<'_>, id: u64, answer: Answer) -> io::Result<()> {
    let mut response = libc::seccomp_notif_resp {
        id,
        val: 0,
        error: 0,
        flags: 0,
    };
    match answer {
        Answer::Continue => {
            response.flags = u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE)
                .expect("a flag of the low 32 bits");
        }
        Answer::Value(val) => response.val = val,
        Answer::Errno(errno) => response.error = -errno,
    }
    // SAFETY: the kernel reads a live structure of the ioctl's type.
    let r = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &raw mut response,
        )
    };
    if r == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Gives the thread of notification `id` a copy of `descriptor`, in place of one that it has if that is
/// given, and has its call return the number.
///
/// Waits until the thread has run. Not by one request (`SECCOMP_ADDFD_FLAG_SEND`): if its sender is
/// killed while it waits, the call returns 0, as if that were the descriptor
/// (`kernel/seccomp.c: seccomp_notify_addfd`). As it is, a sender that is killed between the two
/// requests leaves the thread waiting, with a descriptor that it knows nothing of.
///
/// # Errors
/// `ENOENT`: the thread is gone. `EMFILE`: it may not have one more.
pub(crate) fn answer_with(
    listener: BorrowedFd<'_>,
    id: u64,
    descriptor: BorrowedFd<'_>,
    instead: Option<i32>,
    close_on_exec: bool,
) -> io::Result<()> {
    let flags = instead.map_or(0, |_| libc::SECCOMP_ADDFD_FLAG_SETFD);
    let mut request = libc::seccomp_notif_addfd {
        id,
        flags: u32::try_from(flags).expect("a flag of the low 32 bits"),
        srcfd: descriptor.as_raw_fd().cast_unsigned(),
        newfd: instead.unwrap_or(0).cast_unsigned(),
        newfd_flags: match close_on_exec {
            true => libc::O_CLOEXEC.cast_unsigned(),
            false => 0,
        },
    };
    // SAFETY: the kernel reads a live structure of the ioctl's type.
    let number = unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_ADDFD,
            &raw mut request,
        )
    };
    if number < 0 {
        return Err(io::Error::last_os_error());
    }
    answer(listener, id, Answer::Value(number.into()))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::os::fd::AsFd;
    use std::sync::mpsc;
    use std::thread::JoinHandle;

    /// A thread that waits in a notified call.
    pub(crate) struct Caller {
        listener: OwnedFd,
        /// Of its notification.
        pub(crate) id: u64,
        thread: JoinHandle<i32>,
    }

    impl Caller {
        pub(crate) fn start() -> Self {
            let (sender, receiver) = mpsc::channel();
            let thread = std::thread::spawn(move || {
                rustix::thread::set_no_new_privs(true).unwrap();
                let getppid = u32::try_from(libc::SYS_getppid).unwrap();
                let one = |code, jf, k| libc::sock_filter { code, jt: 0, jf, k };
                let program = [
                    one(0x20, 0, 0),
                    one(0x15, 1, getppid),
                    one(6, 0, libc::SECCOMP_RET_USER_NOTIF),
                    one(6, 0, libc::SECCOMP_RET_ALLOW),
                ];
                sender.send(install(&program).unwrap()).unwrap();
                // SAFETY: values only.
                let result = unsafe { libc::syscall(libc::SYS_getppid) };
                assert_eq!(result, -1);
                io::Error::last_os_error().raw_os_error().unwrap()
            });
            let listener = receiver.recv().unwrap();
            // SAFETY: all zeroes are a notification.
            let mut notification: Notification = unsafe { std::mem::zeroed() };
            receive(listener.as_fd(), &raw mut notification).unwrap();
            Self {
                listener,
                id: notification.id,
                thread,
            }
        }

        pub(crate) fn listener(&self) -> BorrowedFd<'_> {
            self.listener.as_fd()
        }

        /// What its call has failed with.
        pub(crate) fn errno(self) -> i32 {
            self.thread.join().unwrap()
        }
    }
}
