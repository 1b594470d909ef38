//! The thread that opens a file: its directories, and its own name in a proc(5).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, openat, readlinkat};

use crate::supervisor::namespaces;

/// A thread in a notified call; whether it still is, is to be asked after each use.
pub(super) struct Caller<'a> {
    pub(super) proc: BorrowedFd<'a>,
    pub(super) tid: i32,
    /// Its `/proc/TID/status`.
    pub(super) status: String,
}

impl<'a> Caller<'a> {
    /// The thread `tid`; `None` if there is none.
    pub(super) fn new(proc: BorrowedFd<'a>, tid: i32) -> Option<Self> {
        let status = status(proc, &tid.to_string())?;
        Some(Self { proc, tid, status })
    }

    /// Its root directory.
    pub(super) fn root(&self) -> Option<OwnedFd> {
        self.directory("root")
    }

    /// What the descriptor `number` of its own means as the first argument of openat(2).
    pub(super) fn base(&self, number: i32) -> Option<OwnedFd> {
        match number {
            libc::AT_FDCWD => self.directory("cwd"),
            0.. => self.directory(&format!("fd/{number}")),
            _ => None,
        }
    }

    fn directory(&self, name: &str) -> Option<OwnedFd> {
        let path = format!("{}/{name}", self.tid);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        openat(self.proc, path, flags, Mode::empty()).ok()
    }

    /// What `self`, or `thread-self`, is for it in the proc(5) whose root this is: that of a pid
    /// namespace which need not be ours.
    pub(super) fn itself(&self, root: BorrowedFd<'_>, thread: bool) -> Option<Vec<u8>> {
        let ours = Ids::of(&self.status)?;
        let is_own = fstat(root).ok()?.st_dev == fstat(self.proc).ok()?.st_dev;
        // The ids begin with ours, and each further one is that in an inner namespace.
        let is_that_of = |level: &usize| {
            let shown = &ours.process[*level..];
            is_own
                || status(root, &shown[0])
                    .and_then(|status| Ids::of(&status))
                    .is_some_and(|ids| ids.process == shown)
        };
        let level = (0..ours.process.len()).find(is_that_of)?;
        let (process, task) = (ours.process.get(level)?, ours.task.get(level)?);
        Some(match thread {
            false => process.clone().into_bytes(),
            true => format!("{process}/task/{task}").into_bytes(),
        })
    }
}

/// The process whose directory in a proc(5) this is, or whose thread's, as `proc`, which is ours, numbers
/// it. The other can be that of a pid namespace below ours, or a further one of ours.
pub(super) fn process_of(proc: BorrowedFd<'_>, directory: BorrowedFd<'_>) -> Option<i32> {
    let there = Ids::of(&status(directory, ".")?)?;
    let shown = there.process.first()?.parse().ok()?;
    if fstat(directory).ok()?.st_dev == fstat(proc).ok()?.st_dev {
        return Some(shown);
    }
    let namespace = |directory: BorrowedFd<'_>, pid: &str| {
        readlinkat(directory, format!("{pid}/ns/pid"), Vec::new()).ok()
    };
    let is_it = |pid: &i32| {
        let name = pid.to_string();
        let here = status(proc, &name).and_then(|status| Ids::of(&status));
        here.is_some_and(|here| here.process.ends_with(&there.process))
            // What cannot be read is no proof.
            && namespace(proc, &name).is_some_and(|its| Some(its) == namespace(directory, "."))
    };
    if is_it(&shown) {
        return Some(shown);
    }
    namespaces::processes(proc)?.into_iter().find(is_it)
}

/// Whether a directory of a proc(5) is this process's, or lies in it: the kernel asks nobody for a right to
/// one's own links (`kernel/ptrace.c: __ptrace_may_access`). True too if that cannot be found out.
pub(super) fn is_ours(proc: BorrowedFd<'_>, directory: BorrowedFd<'_>) -> bool {
    let ids = |directory: BorrowedFd<'_>, id: &str| Ids::of(&status(directory, id)?);
    let parent = || openat(directory, "..", UP, Mode::empty()).ok();
    // `PID` and `task/TID` have a status, `fd` and `ns` below them have none.
    let there = ids(directory, ".").or_else(|| ids(parent()?.as_fd(), "."));
    match (there, ids(proc, "self")) {
        // In a proc(5) of a pid namespace above ours more ids come first.
        (Some(there), Some(ours)) => there.process.ends_with(&ours.process),
        _ => true,
    }
}

const UP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// A thread's ids, and its process's, from the outermost pid namespace that a proc(5) shows.
struct Ids {
    process: Vec<String>,
    task: Vec<String>,
}

impl Ids {
    /// As a proc_pid_status(5) has them.
    fn of(text: &str) -> Option<Self> {
        let ids = |key: &str| -> Option<Vec<String>> {
            let line = text.lines().find_map(|line| line.strip_prefix(key))?;
            Some(line.split_whitespace().map(str::to_owned).collect())
        };
        Some(Self {
            process: ids("NStgid:")?,
            task: ids("NSpid:")?,
        })
    }
}

/// The status of thread `id`, of whose name the bytes may be any.
fn status(proc: BorrowedFd<'_>, id: &str) -> Option<String> {
    let file = open(proc, format!("{id}/status").as_bytes())?;
    Some(String::from_utf8_lossy(&contents(&file)?).into_owned())
}

/// No view, and no status, is longer.
const MOST: usize = 4 << 20;

/// All of a file of a proc(5), which gives less than it is asked for only at its end; `None` too if it is
/// so long that it is something else.
pub(super) fn contents(file: impl AsFd) -> Option<Vec<u8>> {
    let mut bytes = vec![0; 8 << 10];
    let mut len = 0;
    loop {
        len += rustix::io::read(&file, &mut bytes[len..]).ok()?;
        if len < bytes.len() {
            bytes.truncate(len);
            return Some(bytes);
        }
        if len >= MOST {
            return None;
        }
        bytes.resize(2 * len, 0);
    }
}

/// Opens for reading what is not to wait for anybody.
pub(super) fn open(directory: impl AsFd, name: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty()).ok()
}
