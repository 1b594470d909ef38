//! From what a user writes, a name or a pid, to the namespace that is meant.

use std::fs::File;

use rustix::process::geteuid;

use super::kernel;
use super::living::{self, Living};
use super::members::Members;
use super::processes::Table;
use super::record::Member;
use crate::clock::ClockOffsets;
use crate::image::ReadPathChoice;
use crate::line::shown;
use crate::sys::namespace::INITIAL_TIME_NS;
use crate::{Error, Result};

/// A namespace to be joined.
#[derive(Debug)]
pub(crate) enum Found {
    /// One of elsewhen's own.
    Guest {
        member: Member,
        name: Option<String>,
        /// How the clocks stand.
        offsets: ClockOffsets,
        /// The supervisor's part of that.
        own_offsets: ClockOffsets,
        /// Whether the rest is the kernel's.
        leaves_to_kernel: bool,
        /// The kernel's namespace to enter first, if it is not the caller's; or why it cannot be had.
        kernels: Result<Option<File>>,
        strict: bool,
        host_proc: bool,
        reads: ReadPathChoice,
        /// Whether what the kernel adds to it can be told from this pid namespace.
        is_known: bool,
        /// The process that was named, if one was.
        process: Option<i32>,
    },
    /// One of the kernel's.
    Kernel { file: File, offsets: ClockOffsets },
}

/// Finds the namespace that a name or a pid means, to be joined.
///
/// # Errors
/// There is none, this user may not join it, or it cannot be joined from here.
pub(crate) fn find(handle: &str) -> Result<Found> {
    let (trees, table) = living::all()?;
    let tree = match meant(handle, &trees, &table)? {
        Meant::Tree(i) => &trees[i],
        Meant::Kernels(pid) => {
            let file = kernel::open(pid).ok_or_else(|| refused(handle, "it has just ended"))?;
            return Ok(Found::Kernel {
                file,
                offsets: kernel::offsets(pid),
            });
        }
    };
    let record = tree.record();
    let process = handle.parse().ok();
    let member = process.and_then(|pid| table.get(pid));
    if record.leaves_to_kernel
        && member.is_some_and(|process| {
            Members::new(&trees, &table).tree_of(process).is_some()
                && !kernel::is_in(process.pid, record.time_namespace)
        })
    {
        return Err(made_inside(handle));
    }
    Ok(Found::Guest {
        member: Member {
            id: tree.id(),
            owner: tree.owner(),
            since: record.since,
        },
        name: tree.name().map(str::to_owned),
        offsets: tree.all_offsets(),
        own_offsets: tree.offsets(),
        leaves_to_kernel: record.leaves_to_kernel,
        kernels: kernels_to_enter(handle, tree, kernel::own(&trees, &table)),
        is_known: tree.keeper().is_some() || matches!(record.time_namespace, 0 | INITIAL_TIME_NS),
        strict: record.strict,
        host_proc: record.host_proc,
        reads: record.reads.into(),
        process,
    })
}

/// The kernel's namespace that a tree is in, unless this process is in it, as its `own` is that.
fn kernels_to_enter(handle: &str, tree: &Living, own: u64) -> Result<Option<File>> {
    let record = tree.record();
    if record.time_namespace == own {
        return Ok(None);
    }
    if !record.leaves_to_kernel {
        return Err(refused(
            handle,
            "it lies in another time namespace of the kernel's; \
             start elsewhen there, by `nsenter --time`",
        ));
    }
    let Some(keeper) = tree.keeper() else {
        return Err(refused(
            handle,
            "its time namespace of the kernel's cannot be entered from this pid namespace",
        ));
    };
    match kernel::open_keepers(keeper, record.time_namespace) {
        Some(file) => Ok(Some(file)),
        None => Err(refused(
            handle,
            "its time namespace of the kernel's cannot be opened; run this as root, if it runs still",
        )),
    }
}

/// The error for a process that has left its tree's namespace by itself.
pub(crate) fn made_inside(handle: &str) -> Error {
    refused(
        handle,
        "the process is in a time namespace that was made inside, by unshare(2), and cannot be \
         joined from outside; use `nsenter --time` there",
    )
}

/// What a handle stands for.
pub(super) enum Meant {
    /// A tree, by its place in the list.
    Tree(usize),
    /// The kernel's own namespace that this process is in.
    Kernels(i32),
}

pub(super) fn meant(handle: &str, trees: &[Living], table: &Table) -> Result<Meant> {
    if !handle.is_empty() && handle.bytes().all(|b| b.is_ascii_digit()) {
        return by_pid(handle, trees, table);
    }
    by_name(handle, trees).map(Meant::Tree)
}

/// A user's own names come first; root may mean another user's.
fn by_name(handle: &str, trees: &[Living]) -> Result<usize> {
    let me = geteuid().as_raw();
    let named = |i: &usize| trees[*i].name() == Some(handle);
    let all: Vec<usize> = (0..trees.len()).filter(named).collect();
    let own = all.iter().find(|i| trees[**i].owner() == me);
    if let Some(found) = own.or(all.first()) {
        let key = |i: &usize| (trees[*i].owner(), trees[*i].id());
        return match own.is_none() && all.iter().any(|i| key(i) != key(found)) {
            true => Err(refused(
                handle,
                "several namespaces have that name; give a pid, as `elsewhen ls` shows them",
            )),
            false => Ok(*found),
        };
    }
    Err(refused(
        handle,
        "no namespace of that name is running; `elsewhen ls` lists those that are",
    ))
}

fn by_pid(handle: &str, trees: &[Living], table: &Table) -> Result<Meant> {
    let process = handle.parse().ok().and_then(|pid| table.get(pid));
    let Some(process) = process else {
        return Err(refused(handle, "there is no process of that number"));
    };
    if let Some(i) = Members::new(trees, table).meant_by(process.pid) {
        return Ok(Meant::Tree(i));
    }
    let me = geteuid();
    if !me.is_root() && process.user != me.as_raw() {
        return Err(refused(
            handle,
            "the process is another user's; only the owner of a namespace, or root, may ask for it",
        ));
    }
    match kernel::of(process.pid) {
        Some(_) => Ok(Meant::Kernels(process.pid)),
        None => Err(refused(
            handle,
            "the process is in no time namespace that you may join; `elsewhen ls` lists those",
        )),
    }
}

fn refused(handle: &str, why: &str) -> Error {
    Error::new(format!("`{}`: {why}", shown(handle.as_ref())))
}
