//! mount(2) of a time namespace's file, which keeps the namespace: `unshare --time=FILE`.
//!
//! It is made by a child that goes where the caller is, with what the caller may do there: so the
//! kernel looks the target up, and says who may mount. A descriptor of a mount cannot be handed over
//! (`kernel/seccomp.c: seccomp_notify_addfd` takes no `O_PATH`).
//!
//! DIFFERENCE: `/proc/self` in the target's path is nobody's.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{CWD, Mode, OFlags, fstat, openat};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, move_mount};
use rustix::process::{chroot, fchdir};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::caller::Caller;
use super::live;
use super::path::Path;
use super::{Open, Outcome, Source};
use crate::inject::Fault;
use crate::sys::process;
use crate::sys::rights::Rights;
use crate::sys::seccomp;

/// Where a thread is.
struct Place {
    user_namespace: OwnedFd,
    mount_namespace: OwnedFd,
    root: OwnedFd,
    directory: OwnedFd,
    /// Whether its user namespace is ours.
    is_our_user_namespace: bool,
}

impl Place {
    fn of(caller: &Caller<'_>) -> Option<Self> {
        let open = |of: &str| {
            let path = format!("{of}/ns");
            let flags = OFlags::RDONLY | OFlags::CLOEXEC;
            move |name: &str| {
                openat(caller.proc, format!("{path}/{name}"), flags, Mode::empty()).ok()
            }
        };
        let of_caller = open(&caller.tid.to_string());
        let (user_namespace, own) = (of_caller("user")?, open("self")("user")?);
        Some(Self {
            is_our_user_namespace: fstat(&user_namespace).ok()?.st_ino == fstat(own).ok()?.st_ino,
            user_namespace,
            mount_namespace: of_caller("mnt")?,
            root: caller.root()?,
            directory: caller.base(libc::AT_FDCWD)?,
        })
    }

    fn descriptors(&self) -> [RawFd; 4] {
        [
            self.user_namespace.as_raw_fd(),
            self.mount_namespace.as_raw_fd(),
            self.root.as_raw_fd(),
            self.directory.as_raw_fd(),
        ]
    }

    /// Has the calling process, which has one thread, be there, with these rights.
    fn enter(&self, rights: &Rights) -> Result<(), Errno> {
        let failed = |e: std::io::Error| Errno::from_io_error(&e).unwrap_or(Errno::PERM);
        rights.take_on_ids().map_err(failed)?;
        if !self.is_our_user_namespace {
            let user = self.user_namespace.as_fd();
            move_into_link_name_space(user, Some(LinkNameSpaceType::User))?;
        }
        let mounts = self.mount_namespace.as_fd();
        move_into_link_name_space(mounts, Some(LinkNameSpaceType::Mount))?;
        fchdir(&self.root)?;
        chroot(".")?;
        fchdir(&self.directory)?;
        rights.take_on_capabilities().map_err(failed)
    }
}

impl Source {
    /// Mounts a namespace's file at the path that is at the address `to` of the caller's.
    pub(super) fn bind(
        &self,
        caller: &Caller<'_>,
        call: &Open,
        id: u64,
        to: u64,
    ) -> Option<Outcome> {
        let target = match self.with_task(call, |task| Path::read(task, to)) {
            Ok(Some(target)) => target,
            Ok(None) => return Some(Outcome::Errno(libc::EFAULT)),
            Err(Fault::Gone | Fault::Denied | Fault::Address) => return None,
        };
        let (Some(place), Some(rights)) = (Place::of(caller), Rights::there(&caller.status)) else {
            return Some(Outcome::Errno(libc::EPERM));
        };
        let name = live::namespace_name(id);
        let tree = match live::tree(self, &name) {
            Ok(tree) => tree,
            Err(errno) => return Some(Outcome::Errno(errno)),
        };
        // What was learnt by the thread's id was its own as long as it waits.
        if !seccomp::is_valid(self.listener(), call.id) {
            return None;
        }
        let attached = attach(&place, &rights, tree.as_fd(), target.bytes());
        live::forget(self, &name);
        Some(match attached {
            Ok(()) => Outcome::Value(0),
            Err(errno) => Outcome::Errno(errno.raw_os_error()),
        })
    }
}

/// What mount(2) says where move_mount(2) fails like this.
fn as_of_mount(errno: Errno, target: &[u8]) -> Errno {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat(CWD, target, flags, Mode::empty()) {
        // `fs/namespace.c: graft_tree`, `do_move_mount`.
        Ok(_) if errno == Errno::INVAL => Errno::NOTDIR,
        _ => errno,
    }
}

/// Attaches a mount to what a path means in another place.
fn attach(
    place: &Place,
    rights: &Rights,
    tree: BorrowedFd<'_>,
    target: &[u8],
) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH
        | MoveMountFlags::MOVE_MOUNT_T_SYMLINKS
        | MoveMountFlags::MOVE_MOUNT_T_AUTOMOUNTS;
    let mut keep = place.descriptors().to_vec();
    keep.push(tree.as_raw_fd());
    let enter = || {
        place.enter(rights)?;
        // What it meets on the way may keep it for ever, and is the caller's.
        process::close_all_but(0, &[tree.as_raw_fd()]);
        Ok(())
    };
    let work = |entered: Result<(), Errno>| {
        let attached = entered.and_then(|()| move_mount(tree, "", CWD, target, flags));
        let attached = attached.map_err(|errno| as_of_mount(errno, target));
        attached.map_or_else(Errno::raw_os_error, |()| 0)
    };
    let child = process::start_helper(&keep, enter, work).map_err(|_| Errno::AGAIN)?;
    match process::wait_for_end(child) {
        Ok(process::Change::Exited(0)) => Ok(()),
        Ok(process::Change::Exited(errno)) => Err(Errno::from_raw_os_error(errno)),
        _ => Err(Errno::NOMEM),
    }
}
