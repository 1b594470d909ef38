//! Containers by the ids that their runtimes give them.

use super::directory::Directory;
use super::living;
use super::record::Member;
use crate::Result;
use crate::clock::ClockOffsets;

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
    Ok(newest.map(|tree| Container {
        member: Member {
            id: tree.id(),
            owner: tree.owner(),
            since: tree.record().since,
        },
        name: tree.name().map(str::to_owned),
        offsets: tree.offsets(),
        host_proc: tree.record().host_proc,
    }))
}
