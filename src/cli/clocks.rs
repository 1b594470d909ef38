//! The clocks as the caller sees them, read once.
#![expect(unsafe_code, reason = "clock_gettime(2)")]

use crate::clock::{ClockOffsets, Readings};
use crate::registry;
use crate::supervisor::Outer;
use crate::{Error, Result};

/// Reads the four clocks.
pub(crate) fn now() -> Result<Readings> {
    Ok(Readings {
        realtime: read(libc::CLOCK_REALTIME, "CLOCK_REALTIME")?,
        tai: read(libc::CLOCK_TAI, "CLOCK_TAI")?,
        monotonic: read(libc::CLOCK_MONOTONIC, "CLOCK_MONOTONIC")?,
        boottime: read(libc::CLOCK_BOOTTIME, "CLOCK_BOOTTIME")?,
    })
}

/// One clock in nanoseconds.
fn read(clock: libc::clockid_t, name: &str) -> Result<i128> {
    let mut now = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `now` is a timespec that lives through the call.
    if unsafe { libc::clock_gettime(clock, &raw mut now) } != 0 {
        let error = std::io::Error::last_os_error();
        return Err(Error::os(format!("cannot read {name}"), error));
    }
    Ok(i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec))
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
