//! seccomp(2): a child installs a filter that notifies one harmless call, and makes that call.
#![expect(unsafe_code, reason = "seccomp(2), ioctl(2), poll(2)")]

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use super::child::Child;
use super::{Feature, Seccomp};

/// A child that says nothing for so long will say nothing.
const PATIENCE_MS: libc::c_int = 2_000;

/// `include/uapi/linux/seccomp.h`, since 6.6.
const SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP: u64 = 1;

/// What a child's two attempts at a listener gave: a descriptor, or minus an errno.
#[derive(Clone, Copy)]
struct Attempts {
    killable: i32,
    plain: i32,
}

/// Tries all of it.
pub(super) fn probe() -> Seccomp {
    match try_in_child() {
        Ok(seccomp) => seccomp,
        Err(error) => {
            let feature = |since| Feature::tried::<()>(since, &Err(copy(&error)));
            Seccomp {
                notify: feature("5.0"),
                resume: feature("5.5"),
                wait_killable: feature("5.19"),
                sync_wake_up: feature("6.6"),
                listener_above: error.raw_os_error() == Some(libc::EBUSY),
            }
        }
    }
}

fn copy(error: &io::Error) -> io::Error {
    match error.raw_os_error() {
        Some(errno) => io::Error::from_raw_os_error(errno),
        None => io::Error::new(error.kind(), error.to_string()),
    }
}

fn try_in_child() -> io::Result<Seccomp> {
    let (reader, writer) = pipe()?;
    let (writer_fd, own) = (writer.as_raw_fd(), std::process::id());
    // SAFETY: the child makes system calls only, and closes nothing.
    let child = unsafe { Child::start_sharing_files(|| listen_to_self(writer_fd, own)) }?;
    let attempts = read_attempts(&reader)?;
    let listener = [attempts.killable, attempts.plain]
        .into_iter()
        .find(|fd| *fd >= 0)
        // SAFETY: the child shares our descriptors, opened this one for us and never closes it.
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) });
    let Some(listener) = listener else {
        return Err(io::Error::from_raw_os_error(-attempts.plain));
    };
    let sync_wake_up = set_sync_wake_up(&listener);
    let resumed = let_continue(&listener).and_then(|()| match child.wait()? {
        Some(0) => Ok(()),
        _ => Err(io::Error::other("the call was not carried out")),
    });
    let killable = match attempts.killable {
        0.. => Ok(()),
        errno => Err(io::Error::from_raw_os_error(-errno)),
    };
    Ok(Seccomp {
        notify: Feature::found("5.0", true, ""),
        resume: Feature::tried("5.5", &resumed),
        wait_killable: Feature::tried("5.19", &killable),
        sync_wake_up: Feature::tried("6.6", &sync_wake_up),
        listener_above: false,
    })
}

fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut fds = [-1; 2];
    // SAFETY: `fds` has room for the two descriptors.
    if unsafe { libc::pipe2(fds.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: pipe2(2) opened both for us.
    Ok(unsafe { (OwnedFd::from_raw_fd(fds[0]), OwnedFd::from_raw_fd(fds[1])) })
}

/// The child: installs the filter, tells of it, and makes the call that is notified.
fn listen_to_self(writer: RawFd, parent: u32) -> i32 {
    // SAFETY: each call takes numbers, or a pointer to a local that lives through it.
    unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        let killable = install(libc::SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV);
        let plain = if killable < 0 { install(0) } else { -1 };
        let attempts = Attempts { killable, plain };
        let written = libc::write(writer, (&raw const attempts).cast(), size_of::<Attempts>());
        if written < 0 || (killable < 0 && plain < 0) {
            return 1;
        }
        let answer = libc::syscall(libc::SYS_getppid);
        i32::from(u32::try_from(answer) != Ok(parent))
    }
}

/// A listener for getppid(2), or minus an errno.
///
/// # Safety
/// None; the calling process must be ready to have that call notified.
unsafe fn install(flags: libc::c_ulong) -> i32 {
    const LOAD: u16 = 0x20; // BPF_LD | BPF_W | BPF_ABS
    const JUMP_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    let line = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let number = u32::try_from(libc::SYS_getppid).expect("system call numbers are small");
    let mut filter = [
        line(LOAD, 0, 0, 0),
        line(JUMP_EQUAL, 0, 1, number),
        line(RETURN, 0, 0, libc::SECCOMP_RET_USER_NOTIF),
        line(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
    ];
    let program = libc::sock_fprog {
        len: 4,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the program and its lines live through the call.
    let listener = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            flags | libc::SECCOMP_FILTER_FLAG_NEW_LISTENER,
            &raw const program,
        )
    };
    match i32::try_from(listener) {
        Ok(listener) if listener >= 0 => listener,
        _ => -io::Error::last_os_error()
            .raw_os_error()
            .unwrap_or(libc::EIO),
    }
}

fn read_attempts(reader: &OwnedFd) -> io::Result<Attempts> {
    wait_readable(reader)?;
    let mut attempts = Attempts {
        killable: -libc::EIO,
        plain: -libc::EIO,
    };
    // SAFETY: `attempts` is as large as stated, and any bytes make one.
    let count = unsafe {
        libc::read(
            reader.as_raw_fd(),
            (&raw mut attempts).cast(),
            size_of::<Attempts>(),
        )
    };
    match count {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(attempts),
    }
}

fn wait_readable(fd: &OwnedFd) -> io::Result<()> {
    let mut poll = libc::pollfd {
        fd: fd.as_raw_fd(),
        events: libc::POLLIN,
        revents: 0,
    };
    // SAFETY: `poll` is one pollfd and lives through the call.
    match unsafe { libc::poll(&raw mut poll, 1, PATIENCE_MS) } {
        1 if poll.revents & libc::POLLIN != 0 => Ok(()),
        -1 => Err(io::Error::last_os_error()),
        _ => Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
    }
}

fn set_sync_wake_up(listener: &OwnedFd) -> io::Result<()> {
    let flag = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP;
    // SAFETY: the request takes a number.
    match unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SET_FLAGS,
            flag,
        )
    } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

/// Receives the child's notification and lets the call go on.
fn let_continue(listener: &OwnedFd) -> io::Result<()> {
    wait_readable(listener)?;
    // SAFETY: all-zero bytes are a valid notification, and what the request demands.
    let mut notification: libc::seccomp_notif = unsafe { std::mem::zeroed() };
    // SAFETY: the request writes one notification there.
    if unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_RECV,
            &raw mut notification,
        )
    } == -1
    {
        return Err(io::Error::last_os_error());
    }
    let mut answer = libc::seccomp_notif_resp {
        id: notification.id,
        val: 0,
        error: 0,
        flags: u32::try_from(libc::SECCOMP_USER_NOTIF_FLAG_CONTINUE).expect("the flag is 1"),
    };
    // SAFETY: the request reads one answer from there. If it is refused, the child is killed.
    match unsafe {
        libc::ioctl(
            listener.as_raw_fd(),
            libc::SECCOMP_IOCTL_NOTIF_SEND,
            &raw mut answer,
        )
    } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}
