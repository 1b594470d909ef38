//! Whether a container, or a process, has a namespace of its own, and if not why that may be.

use std::fs;
use std::time::Duration;

use serde::Serialize;

use super::living::{self, Living};
use super::members::Members;
use super::processes::{Process, Table};
use super::record::own_namespace;
use crate::clock::ClockOffsets;
use crate::line::shown;
use crate::{Error, Result};

/// What is known of a container's, or a process's, clocks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Coverage {
    /// The process that was looked at; of a container one of its own.
    pub(crate) pid: Option<i32>,
    /// The container's id, if that is known.
    pub(crate) container: Option<String>,
    pub(crate) clocks: Clocks,
    /// Processes that have been put into it from outside, and have the host's clocks.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) entered: Vec<i32>,
}

/// Whose clocks it has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Clocks {
    /// Those of a namespace, as seconds from the host's.
    Namespace {
        name: Option<String>,
        keeper: Option<i32>,
        realtime: String,
        tai: String,
        monotonic: String,
        boottime: String,
    },
    /// The host's: it stands in a covered container, and was put there from outside.
    Entered,
    /// The host's: no seccomp filter is above it.
    NoFilter,
    /// The host's: the filters above it lead to no agent of this user's.
    OtherFilters,
}

impl Coverage {
    /// Whether it has clocks of its own.
    pub(crate) fn is_covered(&self) -> bool {
        matches!(self.clocks, Clocks::Namespace { .. })
    }
}

/// Looks at what a handle means: a process's number, a container's id, or the first twelve digits or
/// more of one.
///
/// # Errors
/// There is no such process or container. `/proc` cannot be read, or the directory of this user's
/// records is somebody else's.
pub(crate) fn coverage(handle: &str) -> Result<Coverage> {
    let (trees, table) = living::all()?;
    let members = Members::new(&trees, &table);
    // What this user's agent has said, of this user's containers, comes before what others may say.
    let meant = trees.iter().filter(|tree| is_meant(tree, handle));
    if let Some(tree) = meant.min_by_key(|tree| !tree.is_of_this_users()) {
        let first = tree.record().first.map(|(pid, _)| pid);
        let mut coverage = covered(tree, first);
        if let Some(first) = first {
            coverage.entered = entered(first, &members, &table)?;
        }
        return Ok(coverage);
    }
    let process = match handle.parse() {
        Ok(pid) => table.get(pid),
        Err(_) => in_cgroup(&table, handle),
    };
    let Some(process) = process else {
        return Err(Error::new(format!(
            "`{}`: no process has that number, and no container that id, as far as can be seen from here",
            shown(handle.as_ref())
        ))
        .with_way_out("engines tell a container's id by its name: `podman inspect --format '{{.Id}}' NAME`"));
    };
    if let Some(i) = members.tree_of(process) {
        let mut coverage = covered(&trees[i], Some(process.pid));
        // The record of what CRIU has restored does not name it.
        coverage.container = coverage.container.or_else(|| id_of(handle));
        return Ok(coverage);
    }
    let around = trees.iter().find(|tree| {
        let first = tree.record().first.map(|(pid, _)| pid);
        first.is_some_and(|first| is_beside(first, process.pid))
    });
    let clocks = match (around, process.filters) {
        (Some(_), _) => Clocks::Entered,
        (None, None | Some(0)) => Clocks::NoFilter,
        (None, Some(_)) => Clocks::OtherFilters,
    };
    let container = around.and_then(|tree| tree.record().container.clone());
    Ok(Coverage {
        pid: Some(process.pid),
        container: container.or_else(|| id_of(handle)),
        clocks,
        entered: Vec::new(),
    })
}

/// A handle that is no process's number.
fn id_of(handle: &str) -> Option<String> {
    handle.parse::<i32>().is_err().then(|| handle.to_owned())
}

/// How long a runtime may take to give the filter to what it starts by `exec`.
const STARTING: Duration = Duration::from_millis(300);

/// Who stands in the container of this process, outside of its namespace, and does so for longer than a start takes.
fn entered(first: i32, members: &Members, table: &Table) -> Result<Vec<i32>> {
    let strangers = |members: &Members, table: &Table| -> Vec<i32> {
        let beside = table.iter().filter(|process| is_beside(first, process.pid));
        let outside = beside.filter(|process| members.tree_of(process).is_none());
        outside.map(|process| process.pid).collect()
    };
    let mut found = strangers(members, table);
    if !found.is_empty() {
        std::thread::sleep(STARTING);
        let (trees, table) = living::all()?;
        let still = strangers(&Members::new(&trees, &table), &table);
        found.retain(|pid| still.contains(pid));
    }
    Ok(found)
}

/// Engines show a container's id by its first twelve digits.
fn is_meant(tree: &Living, handle: &str) -> bool {
    let Some(id) = tree.record().container.as_deref() else {
        return false;
    };
    id == handle || handle.len() >= 12 && id.len() == 64 && id.starts_with(handle)
}

fn covered(tree: &Living, pid: Option<i32>) -> Coverage {
    let ClockOffsets {
        realtime,
        tai,
        monotonic,
        boottime,
    } = tree.all_offsets();
    Coverage {
        pid,
        container: tree.record().container.clone(),
        clocks: Clocks::Namespace {
            name: tree.name().map(str::to_owned),
            keeper: tree.keeper(),
            realtime: realtime.to_string(),
            tai: tai.to_string(),
            monotonic: monotonic.to_string(),
            boottime: boottime.to_string(),
        },
        entered: Vec::new(),
    }
}

/// Whether two processes are in one pid namespace, which is not this process's own.
fn is_beside(one: i32, other: i32) -> bool {
    use std::os::unix::fs::MetadataExt;
    let inode = |pid| Some(fs::metadata(format!("/proc/{pid}/ns/pid")).ok()?.ino());
    let of_one = inode(one);
    of_one.is_some() && of_one == inode(other) && of_one != Some(own_namespace("pid"))
}

/// The first process in a control group that is named after a container, as engines name them.
fn in_cgroup<'a>(table: &'a Table, id: &str) -> Option<&'a Process> {
    if id.len() < 4 {
        return None;
    }
    table.iter().find(|process| {
        let groups = fs::read_to_string(format!("/proc/{}/cgroup", process.pid));
        groups.is_ok_and(|groups| groups.lines().any(|line| names(line, id)))
    })
}

/// Whether the last directory of a control group is an engine's name for the container: `ID`,
/// `libpod-ID`, `docker-ID.scope`.
fn names(line: &str, id: &str) -> bool {
    let Some(last) = line.rsplit('/').next() else {
        return false;
    };
    let last = last.strip_suffix(".scope").unwrap_or(last);
    last.split('-')
        .any(|part| part == id || id.len() >= 12 && part.starts_with(id))
        || last == id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_is_known_by_the_names_that_engines_give() {
        let id = "0123456789abcdef".repeat(4);
        for line in [
            format!("0::/docker/{id}"),
            format!("0::/system.slice/docker-{id}.scope"),
            format!("4:cpu:/machine.slice/libpod-{id}.scope"),
        ] {
            assert!(names(&line, &id), "{line}");
            assert!(names(&line, &id[..12]), "{line}");
            assert!(!names(&line, &id[..8]), "{line}");
        }
        assert!(names("0::/my-container", "my-container"));
        assert!(!names("0::/user.slice", "web"));
    }
}
