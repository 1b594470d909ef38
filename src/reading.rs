//! The clocks as the caller sees them, read once.

use crate::clock::{ClockOffsets, Readings};
use crate::supervisor::Outer;
use crate::{Error, Result, registry, sys};

/// Reads the four clocks.
pub(crate) fn now() -> Result<Readings> {
    sys::clock::readings().map_err(|error| Error::os("cannot read the clocks", error))
}

/// The host's clocks: what the namespaces around this process add is taken off.
pub(crate) fn host() -> Result<Readings> {
    let guest = match Outer::find()? {
        Some(outer) => outer.offsets()?,
        None => ClockOffsets::default(),
    };
    let kernels = registry::kernels_offsets();
    let now = now()?;
    Ok(Readings {
        realtime: now.realtime - guest.realtime.as_nanos(),
        tai: now.tai - guest.tai.as_nanos(),
        monotonic: now.monotonic - guest.monotonic.as_nanos() - kernels.monotonic.as_nanos(),
        boottime: now.boottime - guest.boottime.as_nanos() - kernels.boottime.as_nanos(),
    })
}
