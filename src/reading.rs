//! The clocks as the caller sees them, read once, and where they are asked to stand.

use std::ffi::OsStr;

use crate::clock::{By, ClockOffsets, Offset, ParseError, Readings, When, check_limits};
use crate::line::shown;
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

/// The options that say where clocks are to stand, as they were written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked<'a> {
    pub(crate) realtime: Option<&'a OsStr>,
    pub(crate) tai: Option<&'a OsStr>,
    pub(crate) monotonic: Option<&'a OsStr>,
    pub(crate) boottime: Option<&'a OsStr>,
}

/// The offset of each clock of which something was said.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Given {
    pub(crate) realtime: Option<Offset>,
    pub(crate) tai: Option<Offset>,
    pub(crate) monotonic: Option<Offset>,
    pub(crate) boottime: Option<Offset>,
}

impl Asked<'_> {
    /// Each clock's offset, if it stands at `now`; an error names the option and its value.
    pub(crate) fn offsets(&self, now: &Readings) -> Result<ClockOffsets> {
        let given = self.given(now)?;
        let realtime = given.realtime.unwrap_or_default();
        let offsets = ClockOffsets {
            realtime,
            tai: given.tai.unwrap_or(realtime),
            monotonic: given.monotonic.unwrap_or_default(),
            boottime: given.boottime.unwrap_or_default(),
        };
        self.check(&offsets, now)?;
        Ok(offsets)
    }

    /// What was said of each clock.
    pub(crate) fn given(&self, now: &Readings) -> Result<Given> {
        let when = |option: &str, value: Option<&OsStr>, now| {
            parsed(option, value, |text| When::parse(text)?.resolve(now))
        };
        let by = |option: &str, value: Option<&OsStr>| {
            parsed(option, value, |text| By::parse(text).map(By::offset))
        };
        Ok(Given {
            realtime: when("--realtime", self.realtime, now.realtime)?,
            tai: when("--tai", self.tai, now.tai)?,
            monotonic: by("--monotonic", self.monotonic)?,
            boottime: by("--boottime", self.boottime)?,
        })
    }

    /// Whether each clock stays within Linux's limits; an error names the option and its value.
    pub(crate) fn check(&self, offsets: &ClockOffsets, now: &Readings) -> Result<()> {
        check_limits(offsets, now).map_err(|error| {
            let value = match error.clock() {
                "realtime" => self.realtime,
                "tai" => self.tai,
                "monotonic" => self.monotonic,
                _ => self.boottime,
            };
            let value = shown(value.unwrap_or_default());
            Error::new(format!("`--{} {value}`: {error}", error.clock()))
        })
    }
}

/// The offset that an option's value means, or the error that names both.
fn parsed(
    option: &str,
    value: Option<&OsStr>,
    parse: impl FnOnce(&str) -> std::result::Result<Offset, ParseError>,
) -> Result<Option<Offset>> {
    let Some(value) = value else {
        return Ok(None);
    };
    // What is not UTF-8 becomes U+FFFD, which stands in no time.
    parse(&value.to_string_lossy())
        .map(Some)
        .map_err(|error| Error::new(format!("`{option} {}`: {error}", shown(value))))
}
