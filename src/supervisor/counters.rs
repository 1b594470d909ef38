//! What was done for containers, counted by all keepers and workers of a user in one page that they
//! share: it outlives each of them.
//!
//! # Safety
//! Only atomics.
#![expect(unsafe_code, reason = "a type that processes share")]

use std::os::fd::AsFd;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Result;
use crate::registry::shared_file;
use crate::sys::shared::{self, Shared};

/// One thing that is counted.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Count(AtomicU64);

impl Count {
    /// One more.
    pub(crate) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// How many.
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The counts; what is added later goes behind the last.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Counters {
    /// Namespaces that were made for containers.
    pub(crate) namespaces: Count,
    /// Processes that runtimes have put into a container that was there.
    pub(crate) joined: Count,
    /// Requests that were refused.
    pub(crate) refusals: Count,
    /// Calls that were notified.
    pub(crate) traps: Count,
    /// Programs that were given their clocks.
    pub(crate) injections: Count,
    /// Threads with an absolute time that were led to the gate by ptrace(2).
    pub(crate) visits: Count,
    /// Workers that were replaced.
    pub(crate) replaced: Count,
}

// SAFETY: atomics alone.
unsafe impl Shared for Counters {}

/// The name says the form.
const FILE: &str = "counters-1";

impl Counters {
    /// This user's.
    ///
    /// # Errors
    /// There is no place for them.
    pub(crate) fn open() -> Result<&'static Self> {
        let file = shared_file(FILE, 4096)?;
        shared::map_file(file.as_fd()).map_err(|e| crate::Error::os("cannot map the counters", e))
    }
}
