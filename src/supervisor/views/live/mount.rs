//! The file system: `/dev/fuse`, and a mount that no path leads to.
//!
//! # Safety
//! unshare(2) leaves the table of descriptors as it is.
#![expect(unsafe_code, reason = "unshare(2)")]

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount_change,
    move_mount,
};
use rustix::process::{getgid, getuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::sys::channel;
use crate::sys::process::{self, Forked};

/// What the server holds.
pub(super) struct Mounted {
    /// Where requests come from.
    pub(super) device: OwnedFd,
    /// The root directory.
    pub(super) root: OwnedFd,
    /// The user namespace and the mount namespace in which it is mounted.
    pub(super) namespaces: [OwnedFd; 2],
}

/// Makes the file system, if need be in a user namespace, by a child of the calling process: who serves
/// stays outside, and may ask of processes there what only its own user namespace may (kcmp(2)).
pub(super) fn mount() -> io::Result<Mounted> {
    match enter_mount_namespace().and_then(|()| make(true)) {
        Err(e) if e == Errno::PERM => {}
        other => return Ok(other?),
    }
    let (ours, theirs) = channel::pair()?;
    let child = match process::fork()? {
        Forked::Parent(child) => child,
        Forked::Child => {
            // Who may look at its files: only the user whom the namespace belongs to.
            let made = enter_user_namespace().and_then(|()| Ok(make(false)?));
            process::exit_now(i32::from(hand_over(made, &theirs).is_err()));
        }
    };
    drop(theirs);
    let taken = take(&ours);
    let _ = process::wait_for_end(child);
    taken
}

/// Sends what was made, or the errno.
fn hand_over(made: io::Result<Mounted>, to: &OwnedFd) -> io::Result<()> {
    let errno = |e: &io::Error| e.raw_os_error().unwrap_or(libc::EIO).to_ne_bytes();
    match &made {
        Ok(mounted) => {
            let [user, mount] = &mounted.namespaces;
            for fd in [&mounted.device, &mounted.root, user, mount] {
                channel::send(to.as_fd(), &[0; 4], Some(fd.as_fd()))?;
            }
            Ok(())
        }
        Err(e) => channel::send(to.as_fd(), &errno(e), None),
    }
}

fn take(from: &OwnedFd) -> io::Result<Mounted> {
    let next = || {
        let mut errno = [0; 4];
        let received = channel::receive(from, &mut errno, true)?;
        match (i32::from_ne_bytes(errno), received.descriptor) {
            (_, Some(fd)) => Ok(fd),
            // It has ended without a word, or has had no room for the descriptor.
            (0, None) => Err(io::Error::from_raw_os_error(libc::EAGAIN)),
            (errno, None) => Err(io::Error::from_raw_os_error(errno)),
        }
    };
    Ok(Mounted {
        device: next()?,
        root: next()?,
        namespaces: [next()?, next()?],
    })
}

/// Whether a failure to mount will be one at the next attempt too.
pub(super) fn lacks_for_good(e: &io::Error) -> bool {
    !matches!(
        e.raw_os_error(),
        Some(
            libc::EMFILE
                | libc::ENFILE
                | libc::ENOMEM
                | libc::ENOBUFS
                | libc::EAGAIN
                | libc::EINTR
                // Too many user namespaces.
                | libc::ENOSPC
                | libc::ETOOMANYREFS
        )
    )
}

fn make(for_all: bool) -> rustix::io::Result<Mounted> {
    let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let device = openat(CWD, "/dev/fuse", flags, Mode::empty())?;
    let fs = fsopen("fuse", FsOpenFlags::FSOPEN_CLOEXEC)?;
    let number = device.as_raw_fd().to_string();
    for (key, value) in [
        ("source", "elsewhen"),
        ("fd", &number),
        ("rootmode", "40555"),
        ("user_id", "0"),
        ("group_id", "0"),
    ] {
        fsconfig_set_string(&fs, key, value)?;
    }
    if for_all {
        fsconfig_set_flag(&fs, "allow_other")?;
    }
    fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let root = fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    let namespace = |name: &str| {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        openat(CWD, format!("/proc/self/ns/{name}"), flags, Mode::empty())
    };
    // Its files can be mounted elsewhere only from where it is mounted itself (`fs/namespace.c:
    // __do_loopback`): on top of the root, where no path leads. Without that they can be opened all
    // the same. What others unmount goes away here too, and they see nothing of this.
    let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    let flag = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    let _ = mount_change("/", flags).and_then(|()| move_mount(&root, "", CWD, "/", flag));
    Ok(Mounted {
        device,
        root,
        namespaces: [namespace("user")?, namespace("mnt")?],
    })
}

/// Where nobody sees what the calling process, which has one thread, mounts.
fn enter_mount_namespace() -> rustix::io::Result<()> {
    // SAFETY: no `UnshareFlags::FILES`.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }
}

/// Where the calling process, which has one thread, may mount.
fn enter_user_namespace() -> io::Result<()> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    // SAFETY: no `UnshareFlags::FILES`.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER | UnshareFlags::NEWNS) }?;
    std::fs::write("/proc/self/setgroups", "deny")?;
    std::fs::write("/proc/self/uid_map", format!("0 {uid} 1"))?;
    std::fs::write("/proc/self/gid_map", format!("0 {gid} 1"))
}
