//! The options that say where the four clocks stand, which several commands have.

use std::ffi::{OsStr, OsString};

use crate::reading::Asked;

/// Where the clocks stand.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct ClockArgs {
    /// Where CLOCK_REALTIME stands
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) realtime: Option<OsString>,

    /// Where CLOCK_TAI stands; by default it is shifted as CLOCK_REALTIME is
    #[arg(long, value_name = "WHEN", allow_hyphen_values = true)]
    pub(crate) tai: Option<OsString>,

    /// How far CLOCK_MONOTONIC is shifted
    #[arg(long, value_name = "BY", allow_hyphen_values = true)]
    pub(crate) monotonic: Option<OsString>,

    /// How far CLOCK_BOOTTIME is shifted
    #[arg(long, value_name = "BY", allow_hyphen_values = true)]
    pub(crate) boottime: Option<OsString>,
}

impl ClockArgs {
    /// As they are asked for.
    pub(crate) fn asked(&self) -> Asked<'_> {
        Asked {
            realtime: self.realtime.as_deref(),
            tai: self.tai.as_deref(),
            monotonic: self.monotonic.as_deref(),
            boottime: self.boottime.as_deref(),
        }
    }

    /// Each with its name.
    pub(crate) fn by_name(&self) -> [(&'static str, Option<&OsStr>); 4] {
        let asked = self.asked();
        [
            ("realtime", asked.realtime),
            ("tai", asked.tai),
            ("monotonic", asked.monotonic),
            ("boottime", asked.boottime),
        ]
    }
}
