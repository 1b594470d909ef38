//! Files whose contents change while they are open: `top` opens `/proc/uptime` once, and reads it
//! again and again.
//!
//! They are files of a FUSE file system on a detached mount: no mount namespace shows it, and who has
//! no descriptor of it cannot come there. It is served by a process of its own, since who opens a file
//! waits for the server, and a process that is killed while it waits for itself never ends. The
//! process outlives the worker that has started it, and ends with the keeper. If it is killed
//! itself, the kernel ends all calls that wait for it, and reads of open files fail with `ENOTCONN`.

mod mount;
mod node;
mod protocol;
mod server;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, fstatfs, openat};

use super::Source;
use super::file::View;
use crate::supervisor::namespaces;
use crate::sys::channel;
use crate::sys::process::{self, Forked};

/// `FUSE_SUPER_MAGIC` of `linux/magic.h`.
const FUSE_SUPER_MAGIC: i64 = 0x6573_5546;

/// Who serves, in the journal.
#[repr(C)]
pub(in super::super::super) struct Live {
    /// The process, or 0.
    pid: AtomicI32,
    /// Its start time, since pids are used again.
    started: AtomicU64,
    /// Its descriptor of the file system's root.
    root: AtomicI32,
}

/// Whether there can be no server here: as long as this process lives.
static REFUSED: Mutex<bool> = Mutex::new(false);

/// Opens a live file; `None` if there can be none.
pub(super) fn open(source: &Source, view: View) -> Option<OwnedFd> {
    for _ in 0..2 {
        let file = try_open(source, view);
        if file.is_some() {
            return file;
        }
        start(source)?;
    }
    try_open(source, view)
}

fn try_open(source: &Source, view: View) -> Option<OwnedFd> {
    let (live, proc) = (&source.journal.live, source.proc.as_fd());
    let pid = serving(live, proc)?;
    let path = format!(
        "{pid}/fd/{}/{}",
        live.root.load(Ordering::Relaxed),
        view.name()
    );
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat(proc, path, flags, Mode::empty()).ok()?;
    let is_fuse = fstatfs(&file).is_ok_and(|fs| fs.f_type == FUSE_SUPER_MAGIC);
    // The number may have come to mean another process meanwhile.
    (is_fuse && serving(live, proc) == Some(pid)).then_some(file)
}

/// The process that serves, if it lives.
fn serving(live: &Live, proc: BorrowedFd<'_>) -> Option<i32> {
    let pid = live.pid.load(Ordering::Acquire);
    let is_live =
        pid != 0 && namespaces::start_of(proc, pid) == Some(live.started.load(Ordering::Relaxed));
    is_live.then_some(pid)
}

/// Starts a server, unless there is one; `None` if there can be none.
fn start(source: &Source) -> Option<()> {
    let mut refused = REFUSED.lock().unwrap_or_else(PoisonError::into_inner);
    if *refused {
        return None;
    }
    if serving(&source.journal.live, source.proc.as_fd()).is_some() {
        return Some(());
    }
    let (ours, theirs) = channel::pair().ok()?;
    let child = match process::fork().ok()? {
        Forked::Parent(child) => child,
        Forked::Child => {
            // A child of the keeper, which reaps it: this worker may end before.
            if matches!(process::fork(), Ok(Forked::Child)) {
                server::run(source, &theirs);
            }
            process::exit_now(0)
        }
    };
    drop(theirs);
    let ready = channel::receive(&ours, &mut [0], true);
    let _ = process::wait_for_end(child);
    if !ready.is_ok_and(|ready| ready.len == 1) {
        *refused = true;
        return None;
    }
    Some(())
}
