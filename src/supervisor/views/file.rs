//! Which of the kernel's files a path has led to, and its contents.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, Mode, OFlags, fstat, openat, statat};

use super::caller::{self, Caller};
use super::path::Name;
use super::text;
use super::walk::{Found, PROC_ROOT, is_proc};
use crate::clock::ClockOffsets;
use crate::sys::clock;

/// A file under `/proc` that shows a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum View {
    /// `/proc/uptime`, whose contents change.
    Uptime,
    /// `/proc/stat`, whose contents change.
    Stat,
    /// `/proc/PID/stat`, or that of a thread.
    ProcessStat,
}

impl View {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Uptime => "uptime",
            Self::Stat | Self::ProcessStat => "stat",
        }
    }
}

/// What was found, opened by the thread's rights.
pub(super) struct Opened {
    pub(super) view: View,
    file: OwnedFd,
}

/// What a thread has opened as its descriptor `number`, by the name of `name`, not opened yet; `None` if
/// it is not one of these files.
pub(super) fn held(caller: &Caller<'_>, number: i32, name: Name) -> Option<(View, OwnedFd)> {
    let path = format!("{}/fd/{number}", caller.tid);
    // It may be anything: it is looked at before it is opened.
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let file = openat(caller.proc, path, flags, Mode::empty()).ok()?;
    let before = fstat(&file).ok()?;
    if !is_proc(file.as_fd()) || FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return None;
    }
    let of_root = |name| number_of(caller.proc, name).is_some_and(|ino| ino == before.st_ino);
    // Files of a proc(5) that belong to no process have the same number in each.
    let view = match name {
        Name::Uptime if of_root("uptime") => View::Uptime,
        Name::Stat if of_root("stat") => View::Stat,
        Name::Stat => View::ProcessStat,
        _ => return None,
    };
    Some((view, file))
}

/// Opens what is held, with the rights that the calling thread has taken on.
pub(super) fn reopen(caller: &Caller<'_>, (view, file): (View, OwnedFd)) -> Option<Opened> {
    let file = for_reading(caller.proc, &file, OFlags::empty())?;
    Some(Opened { view, file })
}

/// The file that a descriptor names, whatever its name means by now.
fn for_reading(proc: BorrowedFd<'_>, file: &OwnedFd, flags: OFlags) -> Option<OwnedFd> {
    let path = format!("thread-self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | flags;
    openat(proc, path, flags, Mode::empty()).ok()
}

fn number_of(directory: BorrowedFd<'_>, name: &str) -> Option<u64> {
    let stat = statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(stat.st_ino)
}

/// Opens what a path has led to; `None` if it is not one of these files.
///
/// Of the call's `flags` `O_TRUNC` counts: it takes the right to write, and does nothing to such a file.
pub(super) fn open(proc: BorrowedFd<'_>, found: &Found, flags: i32) -> Option<Opened> {
    // In a proc(5) nothing but its own files is opened: those have no side effects.
    let found_file = found.file.as_ref()?;
    if !is_proc(found_file.as_fd()) || !is_proc(found.directory.as_fd()) {
        return None;
    }
    let directory = fstat(&found.directory).ok()?;
    let file = fstat(found_file).ok()?;
    let view = match (Name::of(&found.name)?, directory.st_ino) {
        (Name::Uptime, PROC_ROOT) => View::Uptime,
        (Name::Stat, PROC_ROOT) => View::Stat,
        (Name::Stat, _) => View::ProcessStat,
        _ => return None,
    };
    if FileType::from_raw_mode(file.st_mode) != FileType::RegularFile
        || file.st_dev != directory.st_dev
    {
        return None;
    }
    let flags = OFlags::from_bits_retain(flags.cast_unsigned()) & OFlags::TRUNC;
    let file = for_reading(proc, found_file, flags)?;
    Some(Opened { view, file })
}

impl Opened {
    /// The text with the clocks of a namespace.
    pub(super) fn text(self, offsets: &ClockOffsets) -> Option<Vec<u8>> {
        text(self.view, self.file, offsets)
    }
}

/// The text of `file`, with the clocks of a namespace.
pub(super) fn text(view: View, file: impl AsFd, offsets: &ClockOffsets) -> Option<Vec<u8>> {
    let host = caller::contents(file)?;
    match view {
        View::Uptime => {
            let now = clock::read(libc::CLOCK_BOOTTIME).ok()?;
            text::uptime(&host, offsets.boottime.add_to(now.tv_sec, now.tv_nsec))
        }
        View::Stat => text::stat(&host, booted().ok()?, offsets.realtime, offsets.boottime),
        View::ProcessStat => text::process_stat(&host, offsets.boottime),
    }
}

/// What the host's REALTIME was when its BOOTTIME was zero, in nanoseconds: from the reading that took
/// least of some.
fn booted() -> io::Result<i128> {
    let nanos = |clock| {
        let time = clock::read(clock)?;
        Ok::<_, io::Error>(i128::from(time.tv_sec) * 1_000_000_000 + i128::from(time.tv_nsec))
    };
    let mut best = (i128::MAX, 0);
    for _ in 0..5 {
        let before = nanos(libc::CLOCK_BOOTTIME)?;
        let realtime = nanos(libc::CLOCK_REALTIME)?;
        let after = nanos(libc::CLOCK_BOOTTIME)?;
        best = best.min((after - before, realtime - (before + after) / 2));
    }
    Ok(best.1)
}
