//! The live files, by name and by number, and what they do.

use std::fs::File;
use std::os::fd::BorrowedFd;

use super::super::caller;
use super::super::file::{self, View};
use crate::clock::ClockOffsets;

/// Who reads or writes.
pub(super) struct Reader<'a> {
    /// The server's `/proc`.
    pub(super) proc: BorrowedFd<'a>,
    /// The thread; 0 if the server cannot see it.
    #[expect(dead_code, reason = "for files that depend on who writes")]
    pub(super) tid: i32,
    /// Of its namespace, or of the tree's own if it is in none.
    pub(super) offsets: ClockOffsets,
}

/// A live file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Node {
    View(View),
}

impl Node {
    /// The file of this name.
    pub(super) fn named(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"uptime" => Self::View(View::Uptime),
            b"stat" => Self::View(View::Stat),
            _ => return None,
        })
    }

    /// The file of this number.
    pub(super) fn numbered(number: u64) -> Option<Self> {
        Some(match number {
            2 => Self::View(View::Uptime),
            3 => Self::View(View::Stat),
            _ => return None,
        })
    }

    /// Not that of the root directory, which is 1.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::View(View::Uptime) => 2,
            Self::View(View::Stat | View::ProcessStat) => 3,
        }
    }

    /// All of its text, as it is now for this reader; or an errno.
    pub(super) fn read(self, reader: &Reader<'_>) -> Result<Vec<u8>, i32> {
        match self {
            Self::View(view) => {
                let file = caller::open(reader.proc, view.name().as_bytes()).ok_or(libc::EIO)?;
                file::text(view, File::from(file), &reader.offsets).ok_or(libc::EIO)
            }
        }
    }

    /// Writes at `position`, where the last write to this descriptor ended; how much was written, or an
    /// errno.
    pub(super) fn write(
        self,
        _writer: &Reader<'_>,
        _bytes: &[u8],
        _position: u64,
    ) -> Result<usize, i32> {
        match self {
            // As `fs/proc/inode.c: proc_reg_write` does.
            Self::View(_) => Err(libc::EIO),
        }
    }
}
