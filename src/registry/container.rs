//! Containers by the ids that their runtimes give them.

use super::directory::Directory;
use super::living::{self, Living};
use super::record::Member;
use super::{kernel, processes};
use crate::clock::ClockOffsets;
use crate::sys::namespace::INITIAL_TIME_NS;
use crate::{Error, Result};

/// What is known of a container that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Container {
    pub(crate) member: Member,
    pub(crate) name: Option<String>,
    pub(crate) offsets: ClockOffsets,
    pub(crate) host_proc: bool,
}

/// The newest namespace of a container's, of those that this user keeps; the container is that of `user`,
/// since another's may have the same id.
///
/// # Errors
/// The directory of this user's records is somebody else's.
pub(crate) fn container(id: &str, user: u32) -> Result<Option<Container>> {
    let held: Vec<_> = Directory::own()?.iter().flat_map(living::held).collect();
    let of_it = held.iter().filter(|tree| {
        let record = tree.record();
        record.container.as_deref() == Some(id) && record.user == Some(user)
    });
    let newest = of_it.max_by_key(|tree| tree.record().since);
    Ok(newest.map(|tree| Container::new(tree, tree.offsets())))
}

impl Container {
    fn new(tree: &Living, offsets: ClockOffsets) -> Self {
        Self {
            member: Member {
                id: tree.id(),
                owner: tree.owner(),
                since: tree.record().since,
            },
            name: tree.name().map(str::to_owned),
            offsets,
            host_proc: tree.record().host_proc,
        }
    }
}

/// What is known of a process that CRIU has restored into a namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restored {
    /// Its offsets are from the clocks that the calling process reads, with what the kernel adds to them.
    pub(crate) container: Container,
    /// When it was started, in the kernel's ticks.
    pub(crate) started: u64,
}

/// The namespace of a restored process that this user keeps the clocks of; none if there is no such process,
/// or if its keeper has ended.
///
/// # Errors
/// What the kernel adds cannot be told. The directory of this user's records is somebody else's.
pub(crate) fn restored(pid: i32) -> Result<Option<Restored>> {
    let Some(started) = processes::started(pid) else {
        return Ok(None);
    };
    let held: Vec<_> = Directory::own()?.iter().flat_map(living::held).collect();
    let of_it = held.iter().find(|tree| {
        let record = tree.record();
        record.container.is_none() && record.first == Some((pid, started))
    });
    let Some((tree, keeper)) = of_it.and_then(|tree| Some((tree, tree.keeper()?))) else {
        return Ok(None);
    };
    let unknown =
        || Error::new("how far the restored container's clocks are from the host's cannot be told");
    let around = match tree.record().time_namespace {
        0 | INITIAL_TIME_NS => ClockOffsets::default(),
        inode => kernel::offsets_of_keeper(keeper, inode).ok_or_else(unknown)?,
    };
    let here = kernel::own_offsets();
    let offsets = tree.offsets().checked_add(&around);
    let offsets = offsets.and_then(|offsets| offsets.checked_sub(&here));
    Ok(Some(Restored {
        container: Container::new(tree, offsets.ok_or_else(unknown)?),
        started,
    }))
}
