//! What the process that is to keep a container's namespace is told, as one message with the listener.
//!
//! It is a program of its own and no fork of who asks, since a keeper has to have one thread.

use std::os::fd::{BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};

use crate::clock::{ClockOffsets, Offset};
use crate::registry::Member;
use crate::supervisor::{AdoptedFilter, Beside, Counters};
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
    /// The container that the processes are in, and the namespace that it has.
    #[serde(default)]
    pub(crate) container: Option<(String, Member)>,
    /// If CRIU has restored it: its first process.
    #[serde(default)]
    pub(crate) beside: Option<Beside>,
    /// The user whose runtime has made it.
    #[serde(default)]
    pub(crate) user: u32,
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
    /// Sends it.
    ///
    /// # Errors
    /// It is too long, or as for sendmsg(2).
    pub(super) fn send(&self, to: BorrowedFd<'_>, listener: BorrowedFd<'_>) -> Result<()> {
        let bytes = serde_json::to_vec(self)
            .map_err(|e| Error::new(format!("cannot write the order: {e}")))?;
        if bytes.len() > MOST_BYTES {
            return Err(Error::new("the container's id or name is too long"));
        }
        channel::send(to, &bytes, Some(listener)).map_err(|e| Error::os("cannot send the order", e))
    }

    /// Carries it out.
    ///
    /// # Errors
    /// As for [`TimeNamespace::adopt`].
    pub(crate) fn carry_out(self, listener: OwnedFd, ready: OwnedFd) -> Result<()> {
        let filter = match self.own_filter {
            true => AdoptedFilter::Own,
            false => AdoptedFilter::Profile,
        };
        let mut namespace = TimeNamespace::new(self.clock_offsets()?)?.proc(self.proc);
        if let Some(name) = &self.name {
            namespace = namespace.named(name)?;
        }
        match self.container {
            None => match namespace.adopt(listener, filter, Some(ready))? {},
            Some((id, member)) => {
                let counters = Counters::open().ok();
                let container = (id, self.user);
                let beside = self.beside;
                match namespace
                    .adopt_container(listener, ready, container, member, beside, counters)? {}
            }
        }
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

/// Offsets as an order has them.
pub(super) fn numbers(offsets: &ClockOffsets) -> [(i64, u32); 4] {
    [
        offsets.realtime,
        offsets.tai,
        offsets.monotonic,
        offsets.boottime,
    ]
    .map(|offset| (offset.secs(), offset.subsec_nanos()))
}
