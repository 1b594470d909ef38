//! Views: files under `/proc` that show a clock, as the namespace has it.
//!
//! Seccomp sees no paths, so calls that open a file are notified (see `filter`). Most are let through
//! after a look at the path's last component. The rest are looked into by threads of their own, as a
//! path can lead into a file system that a guest serves, and as handing over a descriptor waits until
//! the guest has run. What is not one of our files, and all that fails, the kernel opens itself.
//!
//! At a patched call site ([`crate::patch`]) the gate opens the file by itself, and asks for a view to
//! take the descriptor's place only if the path may be that of one.
//!
//! A file whose contents change as long as it is open ([`live`]) is one of a file system of ours; a
//! process's `stat`, which programs read once, is a [`snapshot`].
//!
//! DIFFERENCE: a symbolic link to such a file is one only if it has the same name.

mod bind;
mod caller;
mod descriptor;
mod file;
mod how;
mod kernels;
mod live;
mod look;
mod path;
mod pool;
mod snapshot;
mod stat;
mod text;
mod timens;
mod walk;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

use rustix::fs::ResolveFlags;

use super::journal::Journal;
use super::members::Members;
use super::redirect::{Post, Slot, Slots};
use super::status;
use super::timens::{Owner, Who};
use crate::arch::{AUDIT_NATIVE, nr};
use crate::clock::ClockOffsets;
use crate::filter::{NS_GET_USERNS, PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE};
use crate::inject::{Fault, GuestPtr, Opener, Task};
use crate::page::EXCHANGE_COOKIE;
use crate::sys::rights::Own;
use crate::sys::seccomp::{self, Answer, Notification};

use caller::Caller;
use file::View;
pub(super) use live::Live;
pub(super) use look::may_look_at;
use path::{Name, Path};
pub(super) use pool::Pool;

/// Threads that can wait at a time for a file to be opened in their place.
const OPENS: usize = 256;

/// Those of one user.
const ROOM: usize = OPENS / 2;

/// Those that wait, in the journal.
pub(super) type Opens = Slots<Open, OPENS>;

/// One of them that a thread has taken.
type OpenSlot<'a> = Slot<'a, Open, OPENS>;

/// A call that opens what may be a view.
#[derive(Clone, Copy)]
#[repr(C)]
pub(super) struct Open {
    id: u64,
    tid: i32,
    /// Of its real user.
    uid: u32,
    /// Where a relative path begins.
    directory: i32,
    /// `O_*`.
    flags: i32,
    /// `RESOLVE_*`.
    resolve: u64,
    /// The descriptor that the thread has of what it named, if the view is to take its place; of what it
    /// only asks about, the answer that it has.
    instead: Option<i32>,
    asks: Asks,
    path: Path,
}

/// What is asked about a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    /// A descriptor of it.
    File,
    /// Where the link leads: for how many bytes there is room, and where.
    Link { size: u64, to: u64 },
    /// Its `struct stat`, and where.
    Status { to: u64 },
    /// Its `struct statx`, and where.
    Statx { mask: u32, to: u64 },
    /// That it is mounted here too: the address of a path.
    Mount { to: u64 },
    /// A mount of it that is attached nowhere.
    Tree,
    /// The user namespace that owns the namespace whose file is open as `directory`.
    Owner,
    /// The time namespace of the process whose pidfd `directory` is, or of its children.
    OfProcess { children: bool },
}

impl Post for Open {
    fn id(&self) -> u64 {
        self.id
    }
}

/// What is to become of a notified call.
pub(super) enum Next {
    /// This is its answer.
    Answer(Answer),
    /// Another thread gives it.
    Elsewhere,
    /// Nobody waits for one.
    Gone,
}

/// Whether this call opens a file, or asks about one that it names.
pub(super) fn is_open(notification: &Notification) -> bool {
    let data = &notification.data;
    let number = data.nr.cast_unsigned();
    data.arch == AUDIT_NATIVE
        && (matches!(number, nr::OPEN | nr::OPENAT | nr::OPENAT2)
            || asks(number, &data.args) != Asks::File)
}

fn asks(number: u32, args: &[u64; 6]) -> Asks {
    match number {
        nr::STAT => Asks::Status { to: args[1] },
        nr::NEWFSTATAT => Asks::Status { to: args[2] },
        nr::STATX => Asks::Statx {
            mask: low(args[3]).cast_unsigned(),
            to: args[4],
        },
        nr::READLINK => Asks::Link {
            size: args[2],
            to: args[1],
        },
        nr::READLINKAT => Asks::Link {
            size: args[3],
            to: args[2],
        },
        nr::MOUNT => Asks::Mount { to: args[1] },
        nr::OPEN_TREE => Asks::Tree,
        nr::IOCTL => match low(args[1]).cast_unsigned() {
            NS_GET_USERNS => Asks::Owner,
            request => Asks::OfProcess {
                children: request == PIDFD_GET_TIME_FOR_CHILDREN_NAMESPACE,
            },
        },
        _ => Asks::File,
    }
}

/// Whether a call names its path's directory before the path.
fn is_at(number: u32) -> bool {
    !matches!(number, nr::OPEN | nr::STAT | nr::READLINK | nr::MOUNT)
}

/// The answer to a call that opens a file, where all files are the kernel's.
pub(super) fn leave_alone(notification: &Notification) -> Next {
    Next::Answer(not_ours(instead(notification)))
}

/// Looks at a call that opens a file.
pub(super) fn answer(pool: &Pool, task: &Task<'_>, notification: &Notification) -> Next {
    let opens = &pool.journal().opens;
    match read(task, pool.proc(), notification) {
        Ok(None) => Next::Answer(not_ours(instead(notification))),
        Err(Fault::Gone) => Next::Gone,
        Err(_) => Next::Answer(not_ours(instead(notification))),
        // A worker has died after it had posted this.
        Ok(Some(open)) if opens.has(open.id) => Next::Elsewhere,
        Ok(Some(open)) => {
            let of_user = || opens.count(|other| other.uid == open.uid);
            // Where nobody would take it it is not to wait.
            let is_taken = of_user() < ROOM && pool.wake().is_ok() && opens.post(open).is_some();
            match is_taken {
                true => Next::Elsewhere,
                false if open.instead.is_some() => Next::Answer(not_ours(open.instead)),
                // "Too many open files in system": the host's clocks would be worse.
                false => Next::Answer(Answer::Errno(libc::ENFILE)),
            }
        }
    }
}

/// The answer to a call that opens no view: the kernel opens what it names, or has done so.
fn not_ours(instead: Option<i32>) -> Answer {
    instead.map_or(Answer::Continue, |number| Answer::Value(number.into()))
}

/// The descriptor for which the gate asks for a view instead.
fn instead(notification: &Notification) -> Option<i32> {
    let data = &notification.data;
    let number = data.nr.cast_unsigned();
    let path = data.args[usize::from(is_at(number))];
    let cookie = u64::from(EXCHANGE_COOKIE + number) << 32 | path & 0xffff_ffff;
    // Its fifth argument is in use: the kernel answers again what the gate has asked.
    if number == nr::STATX {
        return None;
    }
    // Below zero: where the kernel has no such file, as it need not have those of time namespaces.
    (data.args[5] == cookie)
        .then(|| low(data.args[4]))
        .filter(|number| *number >= 0)
}

/// The call, if it may open a view for reading.
fn read(
    task: &Task<'_>,
    proc: BorrowedFd<'_>,
    notification: &Notification,
) -> Result<Option<Open>, Fault> {
    let data = &notification.data;
    let args = data.args;
    let number = data.nr.cast_unsigned();
    let is_openat = is_at(number);
    let asks = asks(number, &args);
    if matches!(asks, Asks::Owner | Asks::OfProcess { .. }) {
        // `fs/pidfs.c: pidfd_ioctl`: EINVAL.
        if asks != Asks::Owner && args[2] != 0 {
            return Ok(None);
        }
        return Ok(Some(Open {
            id: notification.id,
            tid: notification.pid.cast_signed(),
            uid: status::user(proc, task.tid()).ok_or(Fault::Gone)?,
            directory: low(args[0]),
            flags: libc::O_CLOEXEC,
            resolve: 0,
            instead: None,
            asks,
            path: Path::NONE,
        }));
    }
    let Some(path) = Path::read(task, args[usize::from(is_openat)])? else {
        return Ok(None);
    };
    let Some(name) = path.name() else {
        return Ok(None);
    };
    if asks != Asks::File && !matches!(name, Name::Time | Name::TimeForChildren) {
        return Ok(None);
    }
    if let Asks::Statx { mask, .. } = asks
        && !stat::is_sound(low(args[2]), mask)
    {
        return Ok(None);
    }
    if number == nr::NEWFSTATAT && !stat::has_sound_flags(low(args[3])) {
        return Ok(None);
    }
    let (flags, resolve) = match number {
        _ if asks != Asks::File => (0, 0),
        nr::OPEN => (args[1], 0),
        nr::OPENAT => (args[2], 0),
        _ => match how::read(task, GuestPtr::new(args[2]), args[3])? {
            Some(how) => how,
            None => return Ok(None),
        },
    };
    const OTHERS: i32 = libc::O_PATH | libc::O_DIRECTORY | libc::O_EXCL;
    let flags = low(flags);
    // Nothing can be written to most of them, as the kernel will say.
    let is_read = flags & libc::O_ACCMODE == libc::O_RDONLY;
    if flags & OTHERS != 0 || !is_read && name != Name::TimensOffsets {
        return Ok(None);
    }
    let uid = status::user(proc, task.tid()).ok_or(Fault::Gone)?;
    Ok(Some(Open {
        id: notification.id,
        tid: notification.pid.cast_signed(),
        uid,
        directory: match is_openat {
            true => low(args[0]),
            false => libc::AT_FDCWD,
        },
        flags,
        resolve,
        instead: instead(notification),
        asks,
        path,
    }))
}

/// What the kernel takes of an argument that is an `int`.
fn low(argument: u64) -> i32 {
    u32::try_from(argument & 0xffff_ffff)
        .expect("masked to 32 bits")
        .cast_signed()
}

/// What gives a descriptor in a thread's place.
pub(super) struct Source {
    pub(super) journal: &'static Journal,
    pub(super) listener: OwnedFd,
    pub(super) proc: OwnedFd,
    /// The keeper, to be watched.
    pub(super) keeper: OwnedFd,
    /// Of the tree's own namespace.
    pub(super) offsets: ClockOffsets,
    pub(super) owner: Owner,
    /// Whether time namespaces are the kernel's.
    pub(super) leaves_to_kernel: bool,
    /// Who opens programs' memory, if not this process.
    pub(super) opener: Option<Mutex<Opener>>,
}

/// What a call that opens a file is to have.
enum Outcome {
    File(OwnedFd),
    /// What was asked for has been written; the call gives this.
    Value(i64),
    Errno(i32),
}

impl Source {
    /// What the call is to have; `None` if the kernel is to open the file.
    fn open(&self, own: &Own, call: &Open) -> Option<Outcome> {
        let proc = self.proc.as_fd();
        match call.asks {
            Asks::Owner => return self.owner(call),
            Asks::OfProcess { children } => return self.of_process(own, call, children),
            _ => {}
        }
        let offsets = self.offsets_of(call.tid, Who::Caller(&|| self.waits(call)))?;
        let is_of_namespaces = call.path.name().is_some_and(Name::is_of_namespaces);
        let is_shown = match is_of_namespaces {
            true => !self.leaves_to_kernel,
            false => !offsets.realtime.is_zero() || !offsets.boottime.is_zero(),
        };
        if !is_shown {
            return None;
        }
        let caller = Caller::new(proc, call.tid)?;
        let rights = own.of(proc, call.tid, &caller.status)?;
        if is_of_namespaces {
            let start = self.start(&caller, call)?;
            let taken = rights.take_on(own).ok()?;
            let found = walk::walk(&caller, start, call.path.bytes())?;
            let permission = timens::permission(&found, call.flags);
            drop(taken);
            return self.open_timens(&caller, &found, call, permission);
        }
        let (opened, taken);
        if let Some(number) = call.instead {
            let view = call.path.name()?;
            // It may be a descriptor for which nobody was asked (`O_PATH`): the thread's rights decide.
            let held = file::held(&caller, number, view)?;
            taken = rights.take_on(own).ok()?;
            opened = file::reopen(&caller, held)?;
        } else {
            let start = self.start(&caller, call)?;
            taken = rights.take_on(own).ok()?;
            let found = walk::walk(&caller, start, call.path.bytes())?;
            opened = file::open(proc, &found, call.flags)?;
        }
        let view = opened.view;
        let text = match view {
            View::Uptime | View::ProcessStat if offsets.boottime.is_zero() => return None,
            View::Stat => opened.text(&self.offsets_for_stat(call.tid, offsets))?,
            _ => opened.text(&offsets)?,
        };
        drop(taken);
        let text = match view {
            View::ProcessStat if text::owner(&text) == Some(call.tid) => text::running(text),
            _ => text,
        };
        let live = match view {
            View::Uptime | View::Stat => live::open(self, view.name(), libc::O_RDONLY).ok(),
            View::ProcessStat => None,
        };
        live.or_else(|| snapshot::file(proc, view.name(), &text))
            .map(Outcome::File)
    }

    /// Where the path of a call begins.
    fn start(&self, caller: &Caller<'_>, call: &Open) -> Option<walk::Start> {
        let root = caller.root()?;
        let directory = match call.path.bytes().starts_with(b"/") {
            true => root.try_clone().ok()?,
            false => caller.base(call.directory)?,
        };
        Some(walk::Start {
            root,
            directory,
            no_follow: call.flags & libc::O_NOFOLLOW != 0,
            resolve: ResolveFlags::from_bits(call.resolve)?,
        })
    }

    /// Whether the caller waits still: what was learnt by its thread's id was its own.
    fn waits(&self, call: &Open) -> bool {
        seccomp::is_valid(self.listener(), call.id)
    }

    fn offsets_of(&self, pid: i32, who: Who<'_>) -> Option<ClockOffsets> {
        self.members()
            .namespace(pid, who)
            .map(|(_, offsets)| offsets)
    }

    /// The same for `/proc/stat`, of whose text the kernel makes what this process is to see.
    fn offsets_for_stat(&self, pid: i32, mut offsets: ClockOffsets) -> ClockOffsets {
        if self.leaves_to_kernel {
            offsets.boottime = kernels::boottime(self.proc.as_fd(), pid).unwrap_or_default();
        }
        offsets
    }

    fn members(&self) -> Members<'_> {
        Members {
            journal: self.journal,
            proc: self.proc.as_fd(),
            offsets: self.offsets,
            owner: &self.owner,
            leaves_to_kernel: self.leaves_to_kernel,
        }
    }

    fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }
}
