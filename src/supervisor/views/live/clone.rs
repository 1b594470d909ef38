//! A mount of one live file by itself, for somebody's mount namespace.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::atomic::Ordering;

use rustix::fs::{Mode, OFlags, openat};
use rustix::mount::{OpenTreeFlags, open_tree};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{forget_name, open, path_of, serving};
use crate::supervisor::views::Source;
use crate::sys::channel;
use crate::sys::process;

/// A mount of the live file of this name that is attached nowhere yet; when it is, [`forget`] is to be
/// called: what has no name is not mounted.
///
/// Only who is where the file system is mounted may make one (`fs/namespace.c: __do_loopback`), so a
/// child goes there.
///
/// # Errors
/// `EACCES`: there can be none here. Else as for open_tree(2).
pub(in super::super) fn tree(source: &Source, name: &str) -> Result<OwnedFd, i32> {
    // Keeps the namespace meanwhile.
    let _file = open(source, name, libc::O_RDONLY)?;
    let (live, proc) = (&source.journal.live, source.proc.as_fd());
    let pid = serving(live, proc).ok_or(libc::EACCES)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let [user, mounts] = [0, 1].map(|place| {
        let number = live.namespaces[place].load(Ordering::Relaxed);
        openat(proc, format!("{pid}/fd/{number}"), flags, Mode::empty())
    });
    let errno = |e: rustix::io::Errno| e.raw_os_error();
    let (user, mounts) = (user.map_err(errno)?, mounts.map_err(errno)?);
    // From inside of its user namespace nobody may look at the server's descriptors, which stayed outside.
    let file = openat(
        proc,
        path_of(live, pid, name),
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    );
    let file = file.map_err(errno)?;
    let (ours, theirs) = channel::pair().map_err(|e| e.raw_os_error().unwrap_or(libc::EMFILE))?;
    let keep = [&user, &mounts, &file, &theirs].map(AsRawFd::as_raw_fd);
    // EINVAL: it is its own.
    let enter = || move_into_link_name_space(user.as_fd(), Some(LinkNameSpaceType::User));
    let work = |_| {
        let flags = OpenTreeFlags::OPEN_TREE_CLONE
            | OpenTreeFlags::OPEN_TREE_CLOEXEC
            | OpenTreeFlags::AT_EMPTY_PATH;
        let tree = move_into_link_name_space(mounts.as_fd(), Some(LinkNameSpaceType::Mount))
            .and_then(|()| open_tree(&file, "", flags));
        match tree {
            Ok(tree) => match channel::send(theirs.as_fd(), b"!", Some(tree.as_fd())) {
                Ok(()) => 0,
                Err(_) => libc::ENOMEM,
            },
            Err(errno) => errno.raw_os_error(),
        }
    };
    let child = process::start_helper(&keep, enter, work)
        .map_err(|e| e.raw_os_error().unwrap_or(libc::EAGAIN))?;
    drop(theirs);
    let tree = channel::receive(&ours, &mut [0], true);
    let ended = process::wait_for_end(child);
    match (tree.map(|received| received.descriptor), ended) {
        (Ok(Some(tree)), _) => Ok(tree),
        (_, Ok(process::Change::Exited(errno))) if errno != 0 => Err(errno),
        _ => Err(libc::ENOMEM),
    }
}

/// Has the live file of this name be forgotten with the last who has it open or mounted.
pub(in super::super) fn forget(source: &Source, name: &str) {
    let (live, proc) = (&source.journal.live, source.proc.as_fd());
    if let Some(pid) = serving(live, proc) {
        forget_name(proc, &path_of(live, pid, name));
    }
}
