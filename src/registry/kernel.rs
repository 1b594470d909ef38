//! The kernel's own time namespaces: they have no keeper and no record, only members.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use super::processes::{Process, Table};
use super::record::own_namespace;
use crate::clock::ClockOffsets;
use crate::kernel::{INITIAL_TIME_NS, stated};

/// The time namespace of a process, if it is neither the host's nor our own; `None` also if that
/// may not be known.
pub(super) fn of(pid: i32) -> Option<u64> {
    not_ours(pid, own_namespace("time"))
}

fn not_ours(pid: i32, own: u64) -> Option<u64> {
    let inode = fs::metadata(path(pid)).ok()?.ino();
    (inode != INITIAL_TIME_NS && inode != own).then_some(inode)
}

/// Opens it.
pub(super) fn open(pid: i32) -> Option<File> {
    of(pid)?;
    File::open(path(pid)).ok()
}

/// Opens the one that a keeper is in, if it is the one of this number.
pub(super) fn open_keepers(keeper: i32, inode: u64) -> Option<File> {
    let file = File::open(path(keeper)).ok()?;
    (file.metadata().ok()?.ino() == inode).then_some(file)
}

/// Whether a process is in the namespace of this number, as far as this user may know.
pub(super) fn is_in(pid: i32, inode: u64) -> bool {
    fs::metadata(path(pid)).map_or(true, |found| found.ino() == inode)
}

/// All such namespaces with their members, the first of which has started first as a rule.
pub(super) fn all<'a>(table: &'a Table) -> BTreeMap<u64, Vec<&'a Process>> {
    let own = own_namespace("time");
    let mut all: BTreeMap<u64, Vec<&'a Process>> = BTreeMap::new();
    for process in table.iter() {
        if let Some(inode) = not_ours(process.pid, own) {
            all.entry(inode).or_default().push(process);
        }
    }
    all
}

/// The offsets that the kernel gives a process.
pub(crate) fn offsets(pid: i32) -> ClockOffsets {
    let file = fs::read_to_string(format!("/proc/{pid}/timens_offsets")).unwrap_or_default();
    parsed(&file)
}

fn parsed(file: &str) -> ClockOffsets {
    ClockOffsets {
        monotonic: stated(file, "monotonic").unwrap_or_default(),
        boottime: stated(file, "boottime").unwrap_or_default(),
        ..ClockOffsets::default()
    }
}

fn path(pid: i32) -> String {
    format!("/proc/{pid}/ns/time")
}

/// The offsets that the kernel gives this process.
pub(crate) fn own_offsets() -> ClockOffsets {
    match own_namespace("time") {
        0 | INITIAL_TIME_NS => ClockOffsets::default(),
        _ => parsed(&fs::read_to_string("/proc/self/timens_offsets").unwrap_or_default()),
    }
}
