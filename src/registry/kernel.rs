//! The kernel's own time namespaces: they have no keeper and no record, only members.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt;

use super::living::{self, Living};
use super::members::Members;
use super::processes::{self, Process, Table};
use super::record::own_namespace;
use crate::clock::ClockOffsets;
use crate::kernel::stated;
use crate::sys::namespace::INITIAL_TIME_NS;

/// The kernel's time namespace that this process is in; 0: there are none.
///
/// In a tree `/proc` shows the tree's instead, of which nobody outside knows; its record has the kernel's.
pub(super) fn own(trees: &[Living], table: &Table) -> u64 {
    let this = table.get(rustix::process::getpid().as_raw_nonzero().get());
    let tree = this.and_then(|this| Members::new(trees, table).tree_of(this));
    let record = tree.map(|tree| trees[tree].record());
    record
        .filter(|record| !record.leaves_to_kernel && record.time_namespace != 0)
        .map_or_else(|| own_namespace("time"), |record| record.time_namespace)
}

/// The same; looks for a tree only where there may be one.
pub(super) fn own_now() -> u64 {
    let is_outside = processes::this().is_some_and(|this| this.filters == Some(0));
    if is_outside {
        return own_namespace("time");
    }
    living::all().map_or_else(
        |_| own_namespace("time"),
        |(trees, table)| own(&trees, &table),
    )
}

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

/// What the kernel gives a keeper, if it is in the namespace of this number; none if that cannot be told.
pub(super) fn offsets_of_keeper(keeper: i32, inode: u64) -> Option<ClockOffsets> {
    let offsets = read_offsets(&keeper.to_string())?;
    // Behind the other: then the keeper was there.
    let found = fs::metadata(path(keeper)).ok()?;
    (found.ino() == inode).then_some(offsets)
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
    read_offsets(&pid.to_string()).unwrap_or_default()
}

/// Those of this process by its number, or by `self`; none if they cannot be told.
fn read_offsets(process: &str) -> Option<ClockOffsets> {
    let file = fs::read_to_string(format!("/proc/{process}/timens_offsets")).ok()?;
    Some(ClockOffsets {
        monotonic: stated(&file, "monotonic")?,
        boottime: stated(&file, "boottime")?,
        ..ClockOffsets::default()
    })
}

fn path(pid: i32) -> String {
    format!("/proc/{pid}/ns/time")
}

/// The offsets that the kernel gives this process.
pub(crate) fn own_offsets() -> ClockOffsets {
    match own_namespace("time") {
        0 | INITIAL_TIME_NS => ClockOffsets::default(),
        _ => read_offsets("self").unwrap_or_default(),
    }
}
