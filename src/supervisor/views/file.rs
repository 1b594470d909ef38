//! Which of the kernel's files a path has led to, and its contents.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{FileType, fstat};

use super::caller;
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
    file: File,
}

/// Opens what a path has led to; `None` if it is not one of these files.
pub(super) fn open(found: &Found) -> Option<Opened> {
    // In a proc(5) nothing but its own files is opened: those have no side effects.
    if !is_proc(found.file.as_fd()) || !is_proc(found.directory.as_fd()) {
        return None;
    }
    let directory = fstat(&found.directory).ok()?;
    let before = fstat(&found.file).ok()?;
    let view = match (Name::of(&found.name)?, directory.st_ino) {
        (Name::Uptime, PROC_ROOT) => View::Uptime,
        (Name::Stat, PROC_ROOT) => View::Stat,
        (Name::Stat, _) => View::ProcessStat,
        _ => return None,
    };
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile
        || before.st_dev != directory.st_dev
    {
        return None;
    }
    let file: OwnedFd = caller::open(&found.directory, &found.name)?;
    let after = fstat(&file).ok()?;
    // Something else may lie over it by now.
    ((before.st_dev, before.st_ino) == (after.st_dev, after.st_ino)).then(|| Opened {
        view,
        file: File::from(file),
    })
}

impl Opened {
    /// The text with the clocks of a namespace.
    pub(super) fn text(self, offsets: &ClockOffsets) -> Option<Vec<u8>> {
        text(self.view, self.file, offsets)
    }
}

/// The text of `file`, with the clocks of a namespace.
pub(super) fn text(view: View, mut file: File, offsets: &ClockOffsets) -> Option<Vec<u8>> {
    let mut host = Vec::new();
    file.read_to_end(&mut host).ok()?;
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
