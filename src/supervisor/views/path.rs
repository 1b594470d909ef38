//! Paths as programs name them, and which of them may be those of a view.

use crate::inject::{Fault, GuestPtr, Task};

/// `PATH_MAX` of `linux/limits.h`, with the zero.
pub(super) const PATH_MAX: usize = 4096;

const PAGE: u64 = 4096;

/// Most paths are shorter.
const FIRST: u64 = 256;

/// A path, without its zero.
#[derive(Clone, Copy)]
pub(in super::super) struct Path {
    len: usize,
    bytes: [u8; PATH_MAX],
}

impl Path {
    /// Of a call that has none.
    pub(in super::super) const NONE: Self = Self {
        len: 0,
        bytes: [0; PATH_MAX],
    };

    /// The path at `from`; `None` if there is none that the kernel would take.
    ///
    /// It is read piece by piece, none of which crosses a page: behind its end there may be nothing.
    pub(in super::super) fn read(task: &Task<'_>, from: u64) -> Result<Option<Self>, Fault> {
        let mut path = Self {
            len: 0,
            bytes: [0; PATH_MAX],
        };
        while path.len < PATH_MAX {
            let at = from.wrapping_add(path.len as u64);
            let most = if path.len == 0 { FIRST } else { PAGE };
            let piece = usize::try_from((PAGE - at % PAGE).min(most)).unwrap_or(1);
            let end = (path.len + piece).min(PATH_MAX);
            let into = &mut path.bytes[path.len..end];
            match task.read_bytes(GuestPtr::new(at), into) {
                Ok(()) => {}
                Err(Fault::Gone) => return Err(Fault::Gone),
                Err(_) => return Ok(None),
            }
            if let Some(zero) = into.iter().position(|byte| *byte == 0) {
                path.len += zero;
                return Ok(Some(path));
            }
            path.len = end;
        }
        Ok(None)
    }

    pub(in super::super) fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// What the path says that it names, which a symbolic link may make untrue.
    pub(in super::super) fn name(&self) -> Option<Name> {
        Name::of(self.bytes().rsplit(|byte| *byte == b'/').next()?)
    }
}

/// The last component of a path that may be a view's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Name {
    Uptime,
    Stat,
    TimensOffsets,
    /// `/proc/PID/ns/time`.
    Time,
    TimeForChildren,
}

impl Name {
    /// Whether it is that of a file about time namespaces.
    pub(super) fn is_of_namespaces(self) -> bool {
        matches!(
            self,
            Self::TimensOffsets | Self::Time | Self::TimeForChildren
        )
    }

    pub(super) fn of(component: &[u8]) -> Option<Self> {
        Some(match component {
            b"uptime" => Self::Uptime,
            b"stat" => Self::Stat,
            b"timens_offsets" => Self::TimensOffsets,
            b"time" => Self::Time,
            b"time_for_children" => Self::TimeForChildren,
            _ => return None,
        })
    }
}
