//! `/proc/PID/maps`: whether a program itself could read or write a range.
//!
//! # Safety
//! The ioctl's structure is the kernel's `struct procmap_query`, 104 bytes, zeroed but for the
//! query.
#![expect(unsafe_code, reason = "PROCMAP_QUERY, an ioctl of /proc/PID/maps")]

use std::fs::File;
use std::io::Read;
use std::os::fd::AsRawFd;

use crate::sys::maps;

/// What the program would do to the range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

/// `struct procmap_query` of `linux/fs.h` (6.11).
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev: [u32; 2],
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::Ioctl = 0xc068_6611;
const VMA_READABLE: u64 = 1;
const VMA_WRITABLE: u64 = 2;

/// Whether every page of `start..end` may be accessed so.
pub(super) fn allows(maps: &File, start: u64, end: u64, access: Access) -> bool {
    let mut at = start;
    while at < end {
        match query(maps, at) {
            Reply::Mapped { end, flags } => {
                let wanted = match access {
                    Access::Read => VMA_READABLE,
                    Access::Write => VMA_WRITABLE,
                };
                if flags & wanted == 0 || end <= at {
                    return false;
                }
                at = end;
            }
            Reply::Unmapped => return false,
            Reply::Unsupported => return allows_by_text(maps, start, end, access),
        }
    }
    true
}

enum Reply {
    Mapped { end: u64, flags: u64 },
    Unmapped,
    Unsupported,
}

fn query(maps: &File, address: u64) -> Reply {
    let mut query = Query {
        size: size_of::<Query>() as u64,
        query_addr: address,
        ..Query::default()
    };
    // SAFETY: the kernel reads and writes `size` bytes at a live structure of that size; no
    // buffers are named in it.
    let r = unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut query) };
    if r == 0 {
        return Reply::Mapped {
            end: query.vma_end,
            flags: query.vma_flags,
        };
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::ENOENT) => Reply::Unmapped,
        _ => Reply::Unsupported,
    }
}

fn allows_by_text(mut file: &File, start: u64, end: u64, access: Access) -> bool {
    let mut text = String::new();
    if file.read_to_string(&mut text).is_err() {
        return false;
    }
    let mut at = start;
    for line in text.lines() {
        let Some(mapping) = maps::parse(line) else {
            return false;
        };
        if mapping.end <= at {
            continue;
        }
        let wanted = match access {
            Access::Read => mapping.rights[0] == b'r',
            Access::Write => mapping.rights[1] == b'w',
        };
        if mapping.start > at || !wanted {
            return false;
        }
        at = mapping.end;
        if at >= end {
            return true;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The same question both ways, of our own memory.
    fn ask(start: u64, len: u64, access: Access) -> bool {
        let maps = || File::open("/proc/self/maps").unwrap();
        let text = allows_by_text(&maps(), start, start + len, access);
        assert_eq!(allows(&maps(), start, start + len, access), text);
        text
    }

    #[test]
    fn the_stack_may_be_written_and_code_only_read() {
        let local = 0u64;
        let stack = std::ptr::from_ref(&local) as u64;
        assert!(ask(stack, 8, Access::Write));
        let code = the_stack_may_be_written_and_code_only_read as *const () as u64;
        assert!(ask(code, 8, Access::Read));
        assert!(!ask(code, 8, Access::Write));
        assert!(!ask(0, 8, Access::Read));
        assert!(!ask(8, 8, Access::Write));
    }
}
