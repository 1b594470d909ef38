//! What is told about the namespaces that run.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::find::{Meant, meant};
use super::kernel;
use super::living::{self, Living};
use super::members::Members;
use super::processes::{Process, Table};
use super::record::Id;
use crate::clock::ClockOffsets;
use crate::sys::namespace::INITIAL_TIME_NS;
use crate::{Error, Result};

/// A time namespace that runs now, as [`TimeNamespace::list`](crate::TimeNamespace::list) gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningNamespace {
    /// Its name, if it was given one; no two of one owner's have the same.
    pub name: Option<String>,
    /// The user that it belongs to.
    pub owner: u32,
    /// Its clocks' offsets. Those that elsewhen keeps come on top of what the kernel's time namespace
    /// around them does.
    pub offsets: ClockOffsets,
    /// The offsets of the kernel's time namespace around it.
    pub around: ClockOffsets,
    /// Whether the kernel keeps its MONOTONIC and BOOTTIME, and elsewhen the others
    /// ([`Backend::Auto`](crate::Backend::Auto)).
    pub leaves_to_kernel: bool,
    /// Whether it is a time namespace of the kernel's alone, which has no keeper, no name and no start.
    pub is_kernels: bool,
    /// Whether [`strict`](crate::TimeNamespace::strict) was asked for.
    pub strict: bool,
    /// Which way the clock reads of its first tree take, in words; `None` for an inner one, whose reads are
    /// those of the tree around it, and for the kernel's.
    pub reads: Option<String>,
    /// When it was started, by the host's clock.
    pub since: Option<SystemTime>,
    /// The trees that it has: one that was started with it, and one for each command that joined.
    pub trees: Vec<RunningTree>,
}

impl RunningNamespace {
    /// The namespace that a name or a process's number means, as for
    /// [`TimeNamespace::open`](crate::TimeNamespace::open).
    ///
    /// # Errors
    /// There is none, or this user may not know of it. `/proc` cannot be read, or the directory of this
    /// user's records is somebody else's.
    pub fn find(handle: &str) -> Result<Self> {
        one(handle)
    }
}

/// One command in a [`RunningNamespace`], with all that it has started.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningTree {
    /// The process that ends with the tree's last member; `None` if it is in another pid namespace,
    /// whose processes have other numbers.
    pub keeper: Option<i32>,
    /// Whether the tree was started inside of another.
    pub inner: bool,
    /// The processes, by their numbers. Those of a namespace within this one are not among them.
    pub processes: Vec<RunningProcess>,
}

/// A process in a [`RunningTree`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RunningProcess {
    /// Its number.
    pub pid: i32,
    /// Its effective user.
    pub user: u32,
    /// Its program's name in 15 bytes, which may be any and is not fit for a terminal.
    pub name: String,
}

impl From<&Process> for RunningProcess {
    fn from(process: &Process) -> Self {
        Self {
            pid: process.pid,
            user: process.user,
            name: process.name.clone(),
        }
    }
}

/// All namespaces that this user may know of, the oldest first, the kernel's last.
///
/// # Errors
/// `/proc` cannot be read, or the directory of this user's records is somebody else's.
pub(crate) fn all() -> Result<Vec<RunningNamespace>> {
    let (trees, table) = living::all()?;
    let guests = guests(&trees, &table).into_iter().map(|(_, guest)| guest);
    Ok(guests.chain(kernels(&trees, &table)).collect())
}

fn one(handle: &str) -> Result<RunningNamespace> {
    let (trees, table) = living::all()?;
    let found = match meant(handle, &trees, &table)? {
        Meant::Tree(i) => guests(&trees, &table)
            .into_iter()
            .find_map(|(found, guest)| (found == key(&trees[i])).then_some(guest)),
        Meant::Kernels(pid) => kernels(&trees, &table).into_iter().find(|namespace| {
            let mut processes = namespace.trees.iter().flat_map(|tree| &tree.processes);
            processes.any(|process| process.pid == pid)
        }),
    };
    found.ok_or_else(|| Error::new(format!("`{handle}`: it has just ended")))
}

/// What the trees of one namespace have in common.
type Key = (u32, Id);

fn key(tree: &Living) -> Key {
    (tree.owner(), tree.id())
}

fn guests(trees: &[Living], table: &Table) -> Vec<(Key, RunningNamespace)> {
    let members = Members::new(trees, table);
    let mut processes: Vec<Vec<RunningProcess>> = vec![Vec::new(); trees.len()];
    for process in table.iter() {
        if let Some(i) = members.tree_of(process) {
            processes[i].push(process.into());
        }
    }
    let mut found: Vec<(Key, RunningNamespace)> = Vec::new();
    for (tree, processes) in trees.iter().zip(processes) {
        let tree_of_it = RunningTree {
            keeper: tree.keeper(),
            inner: tree.record().inner,
            processes,
        };
        match found.iter_mut().find(|(known, _)| *known == key(tree)) {
            Some((_, namespace)) => namespace.trees.push(tree_of_it),
            None => found.push((key(tree), guest(tree, tree_of_it))),
        }
    }
    found
}

/// The kernel's own, but for what is in a tree of elsewhen's there.
fn kernels(trees: &[Living], table: &Table) -> Vec<RunningNamespace> {
    let members = Members::new(trees, table);
    let lists = kernel::all(table).into_values().filter_map(|mut list| {
        list.retain(|process| {
            members.meant_by(process.pid).is_none() && !members.is_worker(process)
        });
        kernels_own(&list)
    });
    lists.collect()
}

fn guest(tree: &Living, first: RunningTree) -> RunningNamespace {
    let record = tree.record();
    let since = u64::try_from(record.since.0).ok();
    RunningNamespace {
        name: tree.name().map(str::to_owned),
        owner: tree.owner(),
        offsets: tree.all_offsets(),
        around: match (record.time_namespace, tree.keeper()) {
            // They are in the sum.
            _ if record.leaves_to_kernel => ClockOffsets::default(),
            (0 | INITIAL_TIME_NS, _) | (_, None) => ClockOffsets::default(),
            (_, Some(keeper)) => kernel::offsets(keeper),
        },
        leaves_to_kernel: record.leaves_to_kernel,
        is_kernels: false,
        strict: record.strict,
        reads: record.reads_by.clone(),
        since: since.and_then(|sec| {
            UNIX_EPOCH.checked_add(Duration::new(sec, record.since.1.min(999_999_999)))
        }),
        trees: vec![first],
    }
}

fn kernels_own(members: &[&Process]) -> Option<RunningNamespace> {
    let first = members.first()?;
    Some(RunningNamespace {
        name: None,
        owner: first.user,
        offsets: kernel::offsets(first.pid),
        around: ClockOffsets::default(),
        leaves_to_kernel: false,
        is_kernels: true,
        strict: false,
        reads: None,
        since: None,
        trees: vec![RunningTree {
            keeper: None,
            inner: false,
            processes: members.iter().map(|process| (*process).into()).collect(),
        }],
    })
}
