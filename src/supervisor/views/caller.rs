//! The thread that opens a file: its directories, and its own name in a proc(5).

use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{Mode, OFlags, fstat, openat};

/// A thread in a notified call; whether it still is, is to be asked after each use.
pub(super) struct Caller<'a> {
    pub(super) proc: BorrowedFd<'a>,
    pub(super) tid: i32,
}

impl Caller<'_> {
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
        let ours = Ids::read(self.proc, &self.tid.to_string())?;
        let is_own = fstat(root).ok()?.st_dev == fstat(self.proc).ok()?.st_dev;
        // The ids begin with ours, and each further one is that in an inner namespace.
        let levels = if is_own { 0..1 } else { 1..ours.process.len() };
        let level = levels.into_iter().find(|level| {
            is_own
                || Ids::read(root, &ours.process[*level])
                    .is_some_and(|there| there.process[..] == ours.process[*level..])
        })?;
        let (process, task) = (ours.process.get(level)?, ours.task.get(level)?);
        Some(match thread {
            false => process.clone().into_bytes(),
            true => format!("{process}/task/{task}").into_bytes(),
        })
    }
}

/// A thread's ids, and its process's, from the outermost pid namespace that a proc(5) shows.
struct Ids {
    process: Vec<String>,
    task: Vec<String>,
}

impl Ids {
    fn read(proc: BorrowedFd<'_>, id: &str) -> Option<Self> {
        let path = format!("{id}/status");
        let fd = openat(proc, path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
        let mut text = Vec::new();
        std::fs::File::from(fd).read_to_end(&mut text).ok()?;
        let text = String::from_utf8_lossy(&text);
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

/// Opens for reading what is not to wait for anybody.
pub(super) fn open(directory: impl AsFd, name: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty()).ok()
}
