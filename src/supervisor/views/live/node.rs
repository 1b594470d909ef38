//! The live files, by name and by number, and what they do.

use std::collections::HashMap;
use std::os::fd::BorrowedFd;

use super::super::caller;
use super::super::file::{self, View};
use crate::clock::{ClockOffsets, timens_offsets};
use crate::filter::NS_GET_USERNS;
use crate::supervisor::members::Members;
use crate::supervisor::namespaces;
use crate::supervisor::timens::{Credentials, Records};
use crate::sys::namespace;

/// A live file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    View(View),
    /// `/proc/PID/timens_offsets`, of the process that was started then, opened by somebody with these
    /// credentials.
    Offsets {
        pid: i32,
        started: u64,
        by: Credentials,
        /// Whether it was opened for writing.
        writable: bool,
    },
    /// A file that stands for a time namespace, which lives as long as the file is open or mounted.
    Namespace(u64),
}

/// The numbers of namespaces' files, which are their inode numbers, begin here.
const NAMESPACES: u64 = 0xfffe_0000;

/// That of the first time namespace, for a tree that shifts neither MONOTONIC nor BOOTTIME.
const FIRST: u64 = namespace::INITIAL_TIME_NS;

/// And those of `timens_offsets` here.
const OFFSETS: u64 = 1 << 32;

/// `linux/nsfs.h` and `linux/sched.h`.
const NS_GET_PARENT: u32 = 0xb702;
const NS_GET_NSTYPE: u32 = 0xb703;
const NS_GET_OWNER_UID: u32 = 0xb704;
const CLONE_NEWTIME: u32 = 0x80;

/// The namespace of which this is the inode number.
pub(super) fn namespace_of(inode: u64) -> Option<u64> {
    match inode {
        FIRST => Some(0),
        NAMESPACES..OFFSETS => Some(inode - NAMESPACES),
        _ => None,
    }
}

/// The inode number of a namespace of this tree.
pub(in super::super) fn inode_of(namespace: u64, of: Members<'_>) -> u64 {
    match namespace {
        0 if of.is_first() => FIRST,
        id => NAMESPACES + id,
    }
}

/// The name of a namespace's file.
pub(in super::super) fn namespace_name(id: u64) -> String {
    format!("time-{id}")
}

/// The name of a `timens_offsets`.
pub(in super::super) fn offsets_name(
    pid: i32,
    started: u64,
    by: &Credentials,
    writable: bool,
) -> String {
    let [user_namespace, effective] = by.to_words();
    let writable = u8::from(writable);
    format!("offsets-{pid}-{started}-{user_namespace}-{effective}-{writable}")
}

/// Whether a live file of this name is there as long as its server.
pub(super) fn is_always_there(name: &str) -> bool {
    matches!(Node::named(name), Some(Node::View(_)))
}

impl Node {
    /// The file of this name; only supervisors come to name one.
    fn named(name: &str) -> Option<Self> {
        let mut words = name.split('-');
        let node = match words.next()? {
            "uptime" => Self::View(View::Uptime),
            "stat" => Self::View(View::Stat),
            "time" => Self::Namespace(words.next()?.parse().ok()?),
            "offsets" => Self::Offsets {
                pid: words.next()?.parse().ok()?,
                started: words.next()?.parse().ok()?,
                by: Credentials::from_words([
                    words.next()?.parse().ok()?,
                    words.next()?.parse().ok()?,
                ]),
                writable: words.next()? == "1",
            },
            _ => return None,
        };
        words.next().is_none().then_some(node)
    }

    /// The bits of its mode.
    pub(super) fn mode(self) -> u32 {
        match self {
            Self::Offsets { .. } => 0o644,
            Self::View(_) | Self::Namespace(_) => 0o444,
        }
    }

    /// Whether a write leaves the position where it is (`fs/proc/base.c: timens_offsets_write`).
    pub(super) fn stays(self) -> bool {
        matches!(self, Self::Offsets { .. })
    }

    /// What an ioctl(2) on it returns (`fs/nsfs.c: ns_ioctl`).
    pub(super) fn tell(self, asked: u32) -> Result<u32, i32> {
        match (self, asked) {
            (Self::Namespace(_), NS_GET_NSTYPE) => Ok(CLONE_NEWTIME),
            // It has neither a parent nor, being no user namespace, an owner.
            (Self::Namespace(_), NS_GET_PARENT | NS_GET_OWNER_UID) => Err(libc::EINVAL),
            // DIFFERENCE: for who is not in this tree, as for one to whom the owner is not to be seen.
            (Self::Namespace(_), NS_GET_USERNS) => Err(libc::EPERM),
            _ => Err(libc::ENOTTY),
        }
    }

    /// All of its text, as it is now for a reader with these offsets; or an errno.
    pub(super) fn read(self, of: Members<'_>, offsets: &ClockOffsets) -> Result<Vec<u8>, i32> {
        match self {
            Self::View(view) => {
                let file = caller::open(of.proc, view.name().as_bytes()).ok_or(libc::EIO)?;
                file::text(view, file, offsets).ok_or(libc::EIO)
            }
            Self::Offsets { pid, started, .. } => {
                is_there(of.proc, pid, started)?;
                let text = of.timens_offsets(pid).ok_or(libc::ESRCH)?;
                Ok(text.into_bytes())
            }
            Self::Namespace(_) => Err(libc::EINVAL),
        }
    }

    /// Writes at the beginning; how much was written, or an errno.
    pub(super) fn write(self, of: Members<'_>, bytes: &[u8]) -> Result<usize, i32> {
        match self {
            // As `fs/proc/inode.c: proc_reg_write` does.
            Self::View(_) => Err(libc::EIO),
            // Opened once more, by /proc/self/fd, by whoever was given a descriptor for reading.
            Self::Offsets {
                writable: false, ..
            } => Err(libc::EACCES),
            Self::Offsets {
                pid, started, by, ..
            } => {
                // Nonsense is nonsense, whoever is there.
                timens_offsets::parse(bytes)?;
                is_there(of.proc, pid, started)?;
                of.set_timens_offsets(pid, &by, bytes)
            }
            Self::Namespace(_) => Err(libc::EINVAL),
        }
    }
}

fn is_there(proc: BorrowedFd<'_>, pid: i32, started: u64) -> Result<(), i32> {
    match namespaces::start_of(proc, pid) {
        Some(now) if now == started => Ok(()),
        _ => Err(libc::ESRCH),
    }
}

/// The files that the kernel knows, by number, and how often it has looked each up.
#[derive(Default)]
pub(super) struct Nodes {
    known: HashMap<u64, (Node, u64)>,
    /// `timens_offsets` that were ever looked up.
    offsets: u64,
}

impl Nodes {
    /// The number of the file of this name, which the kernel knows from now on.
    pub(super) fn look_up(&mut self, name: &[u8], of: Members<'_>) -> Option<(u64, Node)> {
        let node = Node::named(std::str::from_utf8(name).ok()?)?;
        let number = match node {
            Node::View(View::Uptime) => 2,
            Node::View(View::Stat | View::ProcessStat) => 3,
            Node::Namespace(id) => {
                // One that has been freed meanwhile has no file.
                if !namespaces::is_fixed(id) && !of.journal.timens.open(id) {
                    return None;
                }
                inode_of(id, of)
            }
            Node::Offsets { .. } => {
                self.offsets += 1;
                OFFSETS + self.offsets
            }
        };
        self.known.entry(number).or_insert((node, 0)).1 += 1;
        Some((number, node))
    }

    pub(super) fn get(&self, number: u64) -> Option<Node> {
        Some(self.known.get(&number)?.0)
    }

    /// The kernel has forgotten so many of its looks.
    pub(super) fn forget(&mut self, number: u64, looks: u64, records: &Records) {
        let Some((node, known)) = self.known.get_mut(&number) else {
            return;
        };
        if let Node::Namespace(id) = *node {
            records.close(id, looks);
        }
        *known = known.saturating_sub(looks);
        if *known == 0 {
            self.known.remove(&number);
        }
    }
}
