//! Which process is in which tree.
//!
//! Keepers and anchors are subreapers, so what a tree has started stays below them. Below a keeper
//! there is also its worker, which is not under the tree's filter. A container's tree lies below its first
//! process instead, as long as that lives.

use std::collections::BTreeMap;

use super::living::Living;
use super::processes::{self, Process, Table};

/// The trees by their keepers.
#[derive(Debug)]
pub(super) struct Members<'a> {
    table: &'a Table,
    keepers: BTreeMap<i32, (usize, &'a Living)>,
    /// Trees that lie below a process of their own, by that.
    firsts: BTreeMap<i32, usize>,
}

impl<'a> Members<'a> {
    pub(super) fn new(trees: &'a [Living], table: &'a Table) -> Self {
        let keepers = trees
            .iter()
            .enumerate()
            .filter_map(|(i, tree)| Some((tree.keeper()?, (i, tree))));
        let firsts = trees.iter().enumerate().filter_map(|(i, tree)| {
            let (pid, started) = tree.keeper().and(tree.record().first)?;
            (processes::started(pid) == Some(started)).then_some((pid, i))
        });
        Self {
            table,
            keepers: keepers.collect(),
            firsts: firsts.collect(),
        }
    }

    /// The tree that a process is a member of: its place in the list.
    pub(super) fn tree_of(&self, process: &Process) -> Option<usize> {
        if self.keepers.contains_key(&process.pid) {
            return None;
        }
        if let Some(i) = self.firsts.get(&process.pid) {
            return Some(*i);
        }
        let has_filter_of = |first: &Process| match (process.filters, first.filters) {
            (Some(own), Some(first)) => own >= first,
            _ => true,
        };
        self.table.chain(process.parent).find_map(|above| {
            // Without it, it was put there from outside, and its parent has ended.
            if let Some(i) = self.firsts.get(&above.pid) {
                return has_filter_of(above).then_some(*i);
            }
            let (i, tree) = self.keepers.get(&above.pid)?;
            is_under(process, above, tree).then_some(*i)
        })
    }

    /// Whether it is what a keeper has beside the tree, in the kernel's time namespace of the tree.
    pub(super) fn is_worker(&self, process: &Process) -> bool {
        let keeper = self.keepers.get(&process.parent);
        keeper.is_some_and(|(_, tree)| tree.record().leaves_to_kernel)
            && self.tree_of(process).is_none()
    }

    /// The tree that a pid stands for: of a member, of a keeper, or of the process that a user
    /// has started.
    pub(super) fn meant_by(&self, pid: i32) -> Option<usize> {
        let of_front = self.keepers.values().find(|(_, tree)| {
            let parent = tree.keeper().and_then(|keeper| self.table.get(keeper));
            tree.record().front == pid && parent.is_some_and(|keeper| keeper.parent == pid)
        });
        of_front
            .or_else(|| self.keepers.get(&pid))
            .map(|(i, _)| *i)
            .or_else(|| self.tree_of(self.table.get(pid)?))
    }
}

/// Whether a process has the filter that came with the tree. What merely stands below a process of
/// its owner's, as root's shell does after `su`, has none.
fn is_under(process: &Process, keeper: &Process, tree: &Living) -> bool {
    match (process.filters, keeper.filters) {
        (Some(own), Some(above)) if tree.record().inner => own > 0 && own >= above,
        (Some(own), Some(above)) => own > above,
        _ => true,
    }
}
