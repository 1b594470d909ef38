//! Writing a tree's record and holding it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, fchmod, flock, fstat, unlinkat};
use rustix::process::{geteuid, getpid};

use super::directory::{Directory, SUFFIX};
use super::record::{self, Id, Member, Record, VERSION, Words};
use super::{kernel, living};
use crate::clock::{ClockOffsets, Offset};
use crate::image::ReadPathChoice;
use crate::{Error, Result, sys};

/// A tree about to start, of which the calling process is the keeper or the anchor.
#[derive(Clone, Debug)]
pub(crate) struct Tree<'a> {
    /// Where its record is to lie, if not in the usual place.
    pub(crate) directory: Option<&'a Path>,
    pub(crate) name: Option<&'a str>,
    /// The namespace that it joins; `None` for one of its own.
    pub(crate) joins: Option<&'a Member>,
    pub(crate) front: i32,
    /// Whether it is a part of another tree.
    pub(crate) inner: bool,
    /// From the host: the supervisor's part.
    pub(crate) offsets: ClockOffsets,
    /// Whether the kernel keeps MONOTONIC and BOOTTIME, by the time namespace that the calling process
    /// is in.
    pub(crate) leaves_to_kernel: bool,
    pub(crate) strict: bool,
    pub(crate) host_proc: bool,
    pub(crate) reads: ReadPathChoice,
    /// Which way that is here, in words.
    pub(crate) reads_by: Option<String>,
    /// How far CLOCK_REALTIME of the calling process is from the host's.
    pub(crate) own_realtime: Offset,
    /// The container that it is in, and the user who has made that.
    pub(crate) container: Option<(&'a str, u32)>,
    /// The process that it begins with, and when that was started, if it does not lie below the calling
    /// process.
    pub(crate) first: Option<(i32, u64)>,
}

/// A record that is held. It is let go when this and its copies in forked processes are closed.
#[derive(Debug)]
pub(crate) struct Registration {
    directory: Directory,
    name: String,
    lock: OwnedFd,
}

impl Registration {
    /// What must stay open.
    pub(crate) fn descriptors(&self) -> [RawFd; 2] {
        [self.directory.fd().as_raw_fd(), self.lock.as_raw_fd()]
    }

    /// Takes the record away.
    pub(crate) fn remove(&self) {
        let _ = unlinkat(self.directory.fd(), &self.name, AtFlags::empty());
    }
}

/// Writes the record of a tree; `None` if that cannot be and nobody has asked for a name.
///
/// # Errors
/// `EEXIST`: another namespace of this user's has the name. Or why no name can be kept here.
pub(crate) fn register(tree: &Tree<'_>) -> Result<Option<Registration>> {
    let Some(name) = tree.name else {
        return Ok(Directory::make_own(tree.directory)
            .ok()
            .and_then(|directory| write(directory, tree).ok()));
    };
    let cannot = |e: io::Error| cannot(name, e);
    let directory = Directory::make_own(tree.directory)?;
    lock(&directory).map_err(cannot)?;
    if is_taken(&directory, name, owner(tree), tree.joins) {
        return Err(taken(name).with_way_out(
            "a namespace of that name is running: choose another, or join it by `elsewhen exec`",
        ));
    }
    let registration = write(directory, tree).map_err(cannot)?;
    // By itself it would be let go only when all copies of the descriptor are closed.
    let _ = flock(registration.directory.fd(), FlockOperation::Unlock);
    Ok(Some(registration))
}

/// Whether this user can begin a namespace of this name now.
///
/// # Errors
/// `EEXIST`: another namespace of this user's has the name. The directory of this user's records is somebody
/// else's.
pub(crate) fn expect_free(name: &str) -> Result<()> {
    let user = geteuid().as_raw();
    match Directory::own()? {
        Some(directory) if is_taken(&directory, name, user, None) => Err(taken(name)),
        _ => Ok(()),
    }
}

fn is_taken(directory: &Directory, name: &str, owner: u32, joins: Option<&Member>) -> bool {
    living::held(directory).iter().any(|other| {
        let is_same = joins.is_some_and(|joins| joins.id == other.id());
        other.name() == Some(name) && other.owner() == owner && !is_same
    })
}

fn taken(name: &str) -> Error {
    cannot(name, io::Error::from_raw_os_error(libc::EEXIST))
}

fn cannot(name: &str, error: io::Error) -> Error {
    Error::os(format!("cannot take the name `{name}`"), error)
}

fn owner(tree: &Tree<'_>) -> u32 {
    tree.joins
        .map_or_else(|| geteuid().as_raw(), |joins| joins.owner)
}

/// One name after the other; but whoever stops with the lock held is not waited for for ever.
fn lock(directory: &Directory) -> io::Result<()> {
    for _ in 0..2000 {
        match flock(directory.fd(), FlockOperation::NonBlockingLockExclusive) {
            Err(rustix::io::Errno::WOULDBLOCK) => std::thread::sleep(Duration::from_millis(5)),
            other => return Ok(other?),
        }
    }
    Err(io::Error::from_raw_os_error(libc::EBUSY))
}

/// Locked first and written then: a record that says something and is not locked is stale, and so is
/// an empty one. Who takes a new one for that removes it before it is locked, or keeps it from being so.
fn write(directory: Directory, tree: &Tree<'_>) -> io::Result<Registration> {
    let unlucky = || io::Error::from_raw_os_error(libc::EAGAIN);
    let record = record(tree).ok_or_else(unlucky)?;
    for _ in 0..100 {
        let name = record::random().ok_or_else(unlucky)? + SUFFIX;
        let Some(lock) = create(&directory, &name)? else {
            continue;
        };
        let registration = Registration {
            directory,
            name,
            lock,
        };
        let written = fill(&registration.lock, &record);
        if written.is_err() {
            registration.remove();
        }
        return written.map(|()| registration);
    }
    Err(unlucky())
}

/// A new file, locked; `None` if it has been taken for a stale one.
fn create(directory: &Directory, name: &str) -> io::Result<Option<OwnedFd>> {
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mode = Mode::RUSR | Mode::WUSR;
    let file = rustix::fs::openat(directory.fd(), name, flags, mode)?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        other => other?,
    }
    // A umask may have taken away what we need ourselves.
    fchmod(&file, mode)?;
    Ok((fstat(&file)?.st_nlink == 1).then_some(file))
}

fn fill(file: &OwnedFd, record: &Record) -> io::Result<()> {
    let bytes = serde_json::to_vec(record)?;
    match rustix::io::write(file, &bytes)? == bytes.len() {
        true => Ok(()),
        false => Err(io::Error::from_raw_os_error(libc::ENOSPC)),
    }
}

fn record(tree: &Tree<'_>) -> Option<Record> {
    let id = match tree.joins {
        Some(joins) => joins.id.clone(),
        None => Id::new()?,
    };
    Some(Record {
        version: VERSION,
        namespace: id.to_string(),
        name: tree.name.map(str::to_owned),
        owner: owner(tree),
        front: tree.front,
        keeper: getpid().as_raw_nonzero().get(),
        pid_namespace: record::own_namespace("pid"),
        time_namespace: kernel::own_now(),
        inner: tree.inner,
        offsets: Words::from(&tree.offsets),
        leaves_to_kernel: tree.leaves_to_kernel,
        strict: tree.strict,
        host_proc: tree.host_proc,
        reads: tree.reads.into(),
        reads_by: tree.reads_by.clone(),
        since: match tree.joins {
            Some(joins) => joins.since,
            None => now(tree.own_realtime)?,
        },
        container: tree.container.map(|(id, _)| id.to_owned()),
        user: tree.container.map(|(_, user)| user),
        first: tree.first,
    })
}

/// The host's time of day.
fn now(own: Offset) -> Option<(i64, u32)> {
    let now = sys::clock::read(libc::CLOCK_REALTIME).ok()?;
    let own = Offset::from_nanos(-own.as_nanos())?;
    Some(own.add_to(now.tv_sec, now.tv_nsec))
}
