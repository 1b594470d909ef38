//! `elsewhen run --resume`: offsets from a file, for the clocks that no option speaks of.

use std::io::Write;
use std::path::Path;

use super::args::RunArgs;
use crate::clock::{ClockOffsets, Readings};
use crate::line::shown;
use crate::{Error, Policies, Policy, Result, SavedClocks, reading};

/// The offsets that let the file's clocks go on, none for a clock that has an option, and the policies
/// that say so.
pub(super) fn offsets(
    file: &Path,
    args: &RunArgs,
    now: &Readings,
) -> Result<(ClockOffsets, Policies)> {
    let named = policies(args)?;
    let mut policies = named;
    for (clock, value) in args.clocks.by_name() {
        let Some(value) = value else { continue };
        policies = policies.with(clock, Policy::Host).map_err(|_| {
            Error::new(format!(
                "`--{clock} {}` and `--policy {clock}=...` each say where the clock stands; \
                 leave one out",
                shown(value)
            ))
        })?;
    }
    let saved = SavedClocks::read(file)?;
    let host = reading::host()?;
    warn_of_a_clock_behind(&saved, &policies, &host);
    Ok((saved.offsets_by(&policies, now, &host)?, named))
}

/// The policies of all options `--policy`.
fn policies(args: &RunArgs) -> Result<Policies> {
    args.policy
        .iter()
        .try_fold(Policies::default(), |policies, text| {
            policies.with_text(text).map_err(|error| {
                Error::new(format!("`--policy {}`: {error}", shown(text.as_ref())))
            })
        })
}

/// A gap below zero shows that one of the hosts' clocks is wrong, which may be news.
fn warn_of_a_clock_behind(saved: &SavedClocks, policies: &Policies, host: &Readings) {
    let counts = |clock| policies.of(clock) == Some(Policy::ContinueWithGap);
    let behind = -saved.gap(host);
    if behind > 0
        && ["realtime", "tai", "monotonic", "boottime"]
            .into_iter()
            .any(counts)
    {
        let line = format!(
            "elsewhen: warning: this host's CLOCK_REALTIME is {} s before the time at which the \
             clocks were saved; `continue+gap` counts no time between\n",
            behind.div_euclid(1_000_000_000) + 1
        );
        let _ = std::io::stderr().write_all(line.as_bytes());
    }
}
