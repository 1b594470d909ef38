//! Files whose contents change while they are open: `top` opens `/proc/uptime` once, and reads it
//! again and again.
//!
//! They are files of a FUSE file system that is mounted where only its server is: who has no descriptor
//! of it cannot come there. It is served by a process of its own, since who opens a file
//! waits for the server, and a process that is killed while it waits for itself never ends. The
//! process outlives the worker that has started it, and ends with the keeper. If it is killed
//! itself, the kernel ends all calls that wait for it, and reads of open files fail with `ENOTCONN`.

mod clone;
mod mount;
mod node;
mod protocol;
mod server;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use rustix::fs::{AtFlags, Mode, OFlags, StatxFlags, fstat, fstatfs, openat, statx, unlinkat};

use super::Source;
use crate::supervisor::namespaces;
use crate::sys::channel;
use crate::sys::process::{self, Forked};
pub(super) use clone::{forget, tree};
pub(super) use node::{inode_of, namespace_name, offsets_name};

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
    /// And of the user and the mount namespace in which it is mounted.
    namespaces: [AtomicI32; 2],
    /// The file system's device number.
    device: AtomicU64,
}

impl Live {
    /// The time namespace whose file this is; looks at what the kernel knows of the file only, so
    /// that nobody who serves it is waited for.
    pub(in super::super::super) fn namespace_of(
        &self,
        proc: BorrowedFd<'_>,
        path: &str,
    ) -> Option<u64> {
        let flags = AtFlags::STATX_DONT_SYNC;
        let stat = statx(proc, path, flags, StatxFlags::INO).ok()?;
        let device = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
        (device != 0 && device == self.device.load(Ordering::Acquire))
            .then(|| node::namespace_of(stat.stx_ino))?
    }
}

/// Whether there can never be a server here.
static REFUSED: Mutex<bool> = Mutex::new(false);

/// What a server says: it serves, or there can never be one. Without a word there may be one later.
const READY: &[u8] = b"!";
const NEVER: &[u8] = b"?";

/// Opens the live file of this name; `access` is `O_RDONLY` or another.
///
/// # Errors
/// `EACCES`: there can be none here. Else as for open(2).
pub(super) fn open(source: &Source, name: &str, access: i32) -> Result<OwnedFd, i32> {
    for _ in 0..2 {
        if let Ok(file) = try_open(source, name, access) {
            return Ok(file);
        }
        start(source).ok_or(libc::EACCES)?;
    }
    try_open(source, name, access)
}

fn try_open(source: &Source, name: &str, access: i32) -> Result<OwnedFd, i32> {
    let (live, proc) = (&source.journal.live, source.proc.as_fd());
    let pid = serving(live, proc).ok_or(libc::EACCES)?;
    let path = path_of(live, pid, name);
    // Without O_DIRECT sendfile(2) would take the file for an empty one (since Linux 6.5:
    // `mm/filemap.c: filemap_splice_read`), as its size is said to be 0; busybox's `cat` does that.
    let access = OFlags::from_bits_retain(access.cast_unsigned());
    let flags = access | OFlags::DIRECT | OFlags::CLOEXEC;
    let file = openat(proc, &path, flags, Mode::empty()).map_err(|e| e.raw_os_error())?;
    if !node::is_always_there(name) {
        forget_name(proc, &path);
    }
    let is_fuse = fstatfs(&file).is_ok_and(|fs| fs.f_type == FUSE_SUPER_MAGIC);
    // The number may have come to mean another process meanwhile.
    if !is_fuse || serving(live, proc) != Some(pid) {
        return Err(libc::EACCES);
    }
    // The server cannot ask, since it would have to answer.
    if let Ok(stat) = fstat(&file) {
        live.device.store(stat.st_dev, Ordering::Release);
    }
    Ok(file)
}

/// Where the server `pid` has a live file.
fn path_of(live: &Live, pid: i32, name: &str) -> String {
    format!("{pid}/fd/{}/{name}", live.root.load(Ordering::Relaxed))
}

/// Has the kernel keep nothing of a live file but what is open or mounted.
///
/// It would keep its name, and with it the file and the namespace, until memory is short: only virtiofs
/// can ask for something else (`fs/fuse/dir.c: fuse_dentry_settime`).
///
/// DIFFERENCE: nothing can be mounted on top of such a file that is mounted.
fn forget_name(proc: BorrowedFd<'_>, path: &str) {
    let _ = unlinkat(proc, path, AtFlags::empty());
}

/// The process that serves, if it lives.
fn serving(live: &Live, proc: BorrowedFd<'_>) -> Option<i32> {
    let pid = live.pid.load(Ordering::Acquire);
    let is_live =
        pid != 0 && namespaces::start_of(proc, pid) == Some(live.started.load(Ordering::Relaxed));
    is_live.then_some(pid)
}

/// Starts a server, unless there is one; `None` if there can be none, now or ever.
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
    let mut word = [0];
    let received = channel::receive(&ours, &mut word, true);
    let _ = process::wait_for_end(child);
    let len = received.map_or(0, |received| received.len);
    *refused = &word[..len] == NEVER;
    (&word[..len] == READY).then_some(())
}
