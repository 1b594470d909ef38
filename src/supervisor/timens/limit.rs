//! `user.max_time_namespaces`, of each user namespace (`kernel/ucount.c: inc_ucount`).

use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{Mode, OFlags, openat};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::Owner;
use super::owner::at_or_above;
use super::record::Records;
use crate::sys::channel;
use crate::sys::process;

/// Whether user `uid` may have one more time namespace of the user namespace `owner`, in which thread
/// `tid` is.
pub(in super::super) fn has_room(
    proc: BorrowedFd<'_>,
    records: &Records,
    owner: &Owner,
    uid: u32,
    tid: i32,
) -> bool {
    let counts = records.counts(owner, uid);
    let levels = owner
        .0
        .iter()
        .zip(counts)
        .take_while(|(user_namespace, _)| **user_namespace != 0);
    // What cannot be asked is no limit.
    levels.into_iter().all(|(user_namespace, count)| {
        limit(proc, *user_namespace, tid).is_none_or(|limit| count < limit)
    })
}

/// The limit of a user namespace that thread `tid` is in or below: as who is there reads it.
fn limit(proc: BorrowedFd<'_>, user_namespace: u64, tid: i32) -> Option<usize> {
    let own = Owner::of(proc, "self")?;
    if own.0[0] == user_namespace {
        return read(proc);
    }
    // Those above our own cannot be entered.
    if own.0.contains(&user_namespace) {
        return None;
    }
    let there = at_or_above(proc, tid, user_namespace)?;
    let (ours, theirs) = channel::pair().ok()?;
    let keep = [proc.as_raw_fd(), there.as_raw_fd(), theirs.as_raw_fd()];
    let enter = || move_into_link_name_space(there.as_fd(), Some(LinkNameSpaceType::User));
    let work = |entered: Result<_, _>| {
        if let (Ok(()), Some(limit)) = (entered, read(proc)) {
            let _ = channel::send(theirs.as_fd(), &limit.to_ne_bytes(), None);
        }
        0
    };
    let child = process::start_helper(&keep, enter, work).ok()?;
    drop(theirs);
    let mut limit = [0; 8];
    let received = channel::receive(&ours, &mut limit, true);
    let _ = process::wait_for_end(child);
    (received.ok()?.len == limit.len()).then(|| usize::from_ne_bytes(limit))
}

/// The limit of the user namespace that this process is in; `None` if there is none, or if the kernel
/// does not know of it (before Linux 5.6).
fn read(proc: BorrowedFd<'_>) -> Option<usize> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(proc, "sys/user/max_time_namespaces", flags, Mode::empty()).ok()?;
    let mut text = [0; 32];
    let len = rustix::io::read(file, &mut text).ok()?;
    std::str::from_utf8(&text[..len]).ok()?.trim().parse().ok()
}
