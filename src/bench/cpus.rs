//! The CPUs that a bench uses.

use std::io;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

use super::side::Side;
use crate::{Error, Result};

/// Where things run.
pub(super) struct Cpus {
    /// The one that this process and all that it starts is kept on.
    pub(super) chosen: Option<usize>,
    /// The others, if there are any.
    pub(super) others: Option<CpuSet>,
}

impl Cpus {
    /// Takes the last CPU that this process may use, or all.
    pub(super) fn choose(all: bool) -> Result<Self> {
        let failed = |e: rustix::io::Errno| Error::os("cannot choose a CPU", e.into());
        let mut allowed = sched_getaffinity(None).map_err(failed)?;
        let last = (0..CpuSet::MAX_CPU)
            .rev()
            .find(|cpu| allowed.is_set(*cpu))
            .unwrap_or(0);
        if !all {
            let mut one = CpuSet::new();
            one.set(last);
            sched_setaffinity(None, &one).map_err(failed)?;
            allowed.unset(last);
        }
        Ok(Self {
            chosen: (!all).then_some(last),
            others: (allowed.count() > 0).then_some(allowed),
        })
    }

    /// Why `side` cannot be had with these, if it cannot.
    pub(super) fn absence(&self, side: Side) -> Option<String> {
        let why = match (side, self.chosen, &self.others) {
            (Side::Across, None, _) => "it is for one CPU, and all are used",
            (Side::Across, _, None) => "there is no other CPU",
            _ => return None,
        };
        Some(why.to_owned())
    }

    /// Does `action` on the others: what it starts stays there.
    pub(super) fn on_the_others<T>(&self, action: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let own = sched_getaffinity(None)?;
        if let Some(others) = &self.others {
            sched_setaffinity(None, others)?;
        }
        let done = action();
        sched_setaffinity(None, &own)?;
        done
    }
}
