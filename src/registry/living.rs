//! The records that somebody holds, with what is not true of them left out.
//!
//! A user may write anything into records of one's own, and root reads them. So a record speaks for
//! its owner only: its keeper must be a process of the owner's, at most one record speaks for a
//! keeper, and a namespace of the same id but another owner is another one.

use std::collections::BTreeSet;

use rustix::fs::{AtFlags, FlockOperation, flock, unlinkat};
use rustix::process::geteuid;

use super::directory::{self, Directory, UserMounts};
use super::kernel;
use super::processes::Table;
use super::record::{self, Id, MOST_BYTES, Record};
use crate::Result;
use crate::clock::{ClockOffsets, Offset};

/// The record of a tree that runs.
#[derive(Clone, Debug)]
pub(super) struct Living {
    record: Record,
    id: Id,
    offsets: ClockOffsets,
    /// Whose the file is.
    writer: u32,
}

impl Living {
    /// Reads a record that is held; removes one that is not.
    fn read(directory: &Directory, name: &str) -> Option<Self> {
        let file = directory.open(name)?;
        let mut bytes = [0; MOST_BYTES];
        let len = rustix::io::read(&file, &mut bytes).ok()?;
        let record = Record::parse(&bytes[..len]);
        if len > 0 && record.is_none() {
            // Of another version, or no record at all.
            return None;
        }
        match flock(&file, FlockOperation::NonBlockingLockShared) {
            Err(rustix::io::Errno::WOULDBLOCK) => {}
            Ok(()) => {
                // Names are random, so this is not another one's by now.
                let _ = unlinkat(directory.fd(), name, AtFlags::empty());
                return None;
            }
            Err(_) => return None,
        }
        // One that is empty still is about to be written.
        let record = record?;
        Some(Self {
            id: Id::parse(&record.namespace)?,
            offsets: record.offsets()?,
            record,
            writer: directory.owner(),
        })
    }

    pub(super) fn id(&self) -> Id {
        self.id.clone()
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.record.name.as_deref()
    }

    /// Whose the namespace is.
    pub(super) fn owner(&self) -> u32 {
        match self.writer {
            0 => self.record.owner,
            writer => writer,
        }
    }

    /// The supervisor's part of the offsets.
    pub(super) fn offsets(&self) -> ClockOffsets {
        self.offsets
    }

    /// The offsets with what the kernel does for it.
    pub(super) fn all_offsets(&self) -> ClockOffsets {
        let own = self.offsets;
        let Some(keeper) = self.keeper().filter(|_| self.record.leaves_to_kernel) else {
            return own;
        };
        let kernels = kernel::offsets(keeper);
        let sum = |own: Offset, kernels| own.checked_add(kernels).unwrap_or(own);
        ClockOffsets {
            monotonic: sum(own.monotonic, kernels.monotonic),
            boottime: sum(own.boottime, kernels.boottime),
            ..own
        }
    }

    /// Whether it is that of a container that this user has made, and written by this user.
    pub(super) fn is_of_this_users(&self) -> bool {
        self.is_own() && self.record.user == Some(geteuid().as_raw())
    }

    /// Whether this user has written it.
    pub(super) fn is_own(&self) -> bool {
        self.writer == geteuid().as_raw()
    }

    /// Forgets what another user's record says of a container and its first process, unless that is the
    /// user's own: it could be anybody's.
    fn doubt(&mut self, table: &Table) {
        let first = self.record.first.and_then(|(pid, _)| table.get(pid));
        if !self.is_own() && first.is_none_or(|first| first.user != self.writer) {
            self.record.container = None;
            self.record.first = None;
        }
    }

    pub(super) fn record(&self) -> &Record {
        &self.record
    }

    /// The keeper, if its number means anything here.
    pub(super) fn keeper(&self) -> Option<i32> {
        (self.record.pid_namespace == record::own_namespace("pid")).then_some(self.record.keeper)
    }
}

/// The records in a directory that are held; the others are removed.
pub(super) fn held(directory: &Directory) -> Vec<Living> {
    let names = directory.names().unwrap_or_default();
    names
        .iter()
        .filter_map(|name| Living::read(directory, name))
        .collect()
}

/// The trees that this user may know of, and the processes as they were after their records were read.
///
/// # Errors
/// `/proc` cannot be read, or this user's own directory is somebody else's.
pub(super) fn all() -> Result<(Vec<Living>, Table)> {
    let mut found: Vec<Living> = Directory::own()?.iter().flat_map(held).collect();
    if geteuid().is_root() && directory::overridden().is_none() {
        let mounts = UserMounts::find();
        let users = Table::read()?.users();
        let others = users.into_iter().filter(|user| *user != 0);
        found.extend(
            others
                .filter_map(|user| Directory::of_user(user, &mounts))
                .flat_map(|directory| held(&directory)),
        );
    }
    let table = Table::read()?;
    let mut keepers = BTreeSet::new();
    found.retain(|tree| match tree.keeper() {
        Some(keeper) => {
            let is_writers = table.get(keeper).is_some_and(|p| p.user == tree.writer);
            is_writers && keepers.insert(keeper)
        }
        None => tree.writer == geteuid().as_raw(),
    });
    for tree in &mut found {
        tree.doubt(&table);
    }
    // The same order each time, the oldest first.
    found.sort_by_key(|tree| (tree.record.since, tree.record.inner, tree.record.keeper));
    Ok((found, table))
}
