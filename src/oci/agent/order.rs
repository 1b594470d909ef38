//! What the process that is to keep a container's namespace is told, as one message with the listener.
//!
//! It is a program of its own and no fork of who asks, since a keeper has to have one thread.

use std::os::fd::{BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::clock::{ClockOffsets, Offset};
use crate::supervisor::AdoptedFilter;
use crate::sys::channel;
use crate::{Error, Result, TimeNamespace};

/// No order is longer.
const MOST_BYTES: usize = 4096;

/// An order.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Order {
    /// Seconds and nanoseconds from the host's REALTIME, TAI, MONOTONIC and BOOTTIME.
    pub(crate) offsets: [(i64, u32); 4],
    #[serde(default)]
    pub(crate) name: Option<String>,
    /// Whether files under `/proc` show the namespace's clocks.
    pub(crate) proc: bool,
    /// Whether the filter is elsewhen's own, and not a profile's.
    #[serde(default)]
    pub(crate) own_filter: bool,
}

/// Takes an order, and its listener, from the socket that a process is started with.
///
/// # Errors
/// What comes is none.
pub(crate) fn take(from: BorrowedFd<'_>) -> Result<(Order, OwnedFd)> {
    let mut bytes = [0; MOST_BYTES];
    let received = channel::receive(from, &mut bytes, true)
        .map_err(|e| Error::os("cannot read the order", e))?;
    let order = serde_json::from_slice(&bytes[..received.len])
        .map_err(|e| Error::new(format!("the order is none: {e}")))?;
    let listener = received
        .descriptor
        .ok_or_else(|| Error::new("the order comes without a listener"))?;
    Ok((order, listener))
}

impl Order {
    /// Carries it out.
    ///
    /// # Errors
    /// As for [`TimeNamespace::adopt`].
    pub(crate) fn carry_out(&self, listener: OwnedFd, ready: OwnedFd) -> Result<()> {
        let mut namespace = TimeNamespace::new(self.clock_offsets()?)?.proc(self.proc);
        if let Some(name) = &self.name {
            namespace = namespace.named(name)?;
        }
        let filter = match self.own_filter {
            true => AdoptedFilter::Own,
            false => AdoptedFilter::Profile,
        };
        match namespace.adopt(listener, filter, Some(ready))? {}
    }

    fn clock_offsets(&self) -> Result<ClockOffsets> {
        let offset = |(sec, nsec)| {
            Offset::new(sec, nsec).ok_or_else(|| Error::new("an offset has too many nanoseconds"))
        };
        let [realtime, tai, monotonic, boottime] = self.offsets;
        Ok(ClockOffsets {
            realtime: offset(realtime)?,
            tai: offset(tai)?,
            monotonic: offset(monotonic)?,
            boottime: offset(boottime)?,
        })
    }
}
