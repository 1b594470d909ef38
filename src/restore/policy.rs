//! How each clock goes on, and the offsets that make it so.

use std::str::FromStr;

use super::SavedClocks;
use crate::clock::{ClockOffsets, Offset, ParseError, Readings, check_limits};
use crate::line::shown;
use crate::{Error, Result};

/// How a saved clock goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Policy {
    /// From where it stood, as if no time had passed.
    Continue,
    /// As the host's: what it was does not matter.
    Host,
    /// From where it stood, and the time that has passed since is counted.
    ///
    /// That is what the hosts' `CLOCK_REALTIME` say, and never less than nothing: where the second host's
    /// clock stands before the first one's, this is [`Continue`](Self::Continue). A host's clock that is
    /// wrong by some seconds makes the gap wrong by as much.
    ContinueWithGap,
}

impl FromStr for Policy {
    type Err = ParseError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        match text {
            "continue" => Ok(Self::Continue),
            "host" => Ok(Self::Host),
            "continue+gap" => Ok(Self::ContinueWithGap),
            _ => Err(ParseError::new(format!(
                "there is no policy `{}`; use `continue`, `host` or `continue+gap`",
                shown(text.as_ref())
            ))),
        }
    }
}

/// A policy for each clock.
///
/// By default `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME` continue, and `CLOCK_REALTIME` is the host's, since
/// certificates and logs want the true time. `CLOCK_TAI` has the policy of `CLOCK_REALTIME` unless it is
/// given one of its own.
///
/// # Example
/// ```
/// use elsewhen::{Policies, Policy};
///
/// let policies: Policies = "realtime=continue,monotonic=continue+gap".parse()?;
/// assert_eq!(policies.of("tai"), Some(Policy::Continue));
/// assert_eq!(policies.of("monotonic"), Some(Policy::ContinueWithGap));
/// assert_eq!(policies.of("boottime"), Some(Policy::Continue));
/// # Ok::<(), elsewhen::clock::ParseError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policies {
    realtime: Option<Policy>,
    tai: Option<Policy>,
    monotonic: Option<Policy>,
    boottime: Option<Policy>,
}

impl Policies {
    /// With this policy for a clock: `realtime`, `tai`, `monotonic` or `boottime`.
    ///
    /// # Errors
    /// There is no such clock, or it has been given a policy before.
    pub fn with(mut self, clock: &str, policy: Policy) -> std::result::Result<Self, ParseError> {
        let place = self.place(clock).ok_or_else(|| {
            ParseError::new(format!(
                "there is no clock `{}`; use `realtime`, `tai`, `monotonic` or `boottime`",
                shown(clock.as_ref())
            ))
        })?;
        match place.replace(policy) {
            None => Ok(self),
            Some(_) => Err(ParseError::new(format!(
                "`{clock}` stands twice; write it once"
            ))),
        }
    }

    /// With those of a text, `CLOCK=POLICY` and more behind commas, as for `elsewhen run --policy`.
    ///
    /// # Errors
    /// A message that says what is wrong and what to write instead.
    pub fn with_text(self, text: &str) -> std::result::Result<Self, ParseError> {
        text.split(',').try_fold(self, |policies, part| {
            let (clock, policy) = part.split_once('=').ok_or_else(|| {
                ParseError::new("write `CLOCK=POLICY`, as in `realtime=continue`")
            })?;
            policies.with(clock, policy.parse()?)
        })
    }

    /// The policy of a clock; `None` if there is no such clock.
    #[must_use]
    pub fn of(&self, clock: &str) -> Option<Policy> {
        Some(match clock {
            "realtime" => self.realtime.unwrap_or(Policy::Host),
            "tai" => self.tai.or(self.realtime).unwrap_or(Policy::Host),
            "monotonic" => self.monotonic.unwrap_or(Policy::Continue),
            "boottime" => self.boottime.unwrap_or(Policy::Continue),
            _ => return None,
        })
    }

    /// Whether a clock has been given a policy, rather than having the default.
    #[must_use]
    pub fn names(mut self, clock: &str) -> bool {
        self.place(clock).is_some_and(|place| place.is_some())
    }

    fn place(&mut self, clock: &str) -> Option<&mut Option<Policy>> {
        match clock {
            "realtime" => Some(&mut self.realtime),
            "tai" => Some(&mut self.tai),
            "monotonic" => Some(&mut self.monotonic),
            "boottime" => Some(&mut self.boottime),
            _ => None,
        }
    }
}

impl FromStr for Policies {
    type Err = ParseError;

    fn from_str(text: &str) -> std::result::Result<Self, ParseError> {
        Self::default().with_text(text)
    }
}

impl SavedClocks {
    /// The time that has passed since, in nanoseconds, by the hosts' `CLOCK_REALTIME`: below zero where
    /// `host`, the reading of it now, stands before the saved one.
    #[must_use]
    pub fn gap(&self, host: &Readings) -> i128 {
        host.realtime - self.host.realtime
    }

    /// The offsets by which the clocks go on.
    ///
    /// `here` is what the clocks that they come on top of read now: the host's, or those of the
    /// namespace around the new one. `host` is what the host's own read now; outside of any
    /// namespace they are the same.
    ///
    /// # Errors
    /// A clock would leave its range ([`check_limits`]).
    pub fn offsets_by(
        &self,
        policies: &Policies,
        here: &Readings,
        host: &Readings,
    ) -> Result<ClockOffsets> {
        let gap = self.gap(host).max(0);
        let offset = |clock: &str, saved: i128, now: i128| {
            let nanos = match policies.of(clock) {
                Some(Policy::Continue) => saved - now,
                Some(Policy::ContinueWithGap) => saved + gap - now,
                Some(Policy::Host) | None => 0,
            };
            Offset::from_nanos(nanos)
                .ok_or_else(|| Error::new(format!("{} is too far away", named(clock))))
        };
        let saved = &self.clocks;
        let offsets = ClockOffsets {
            realtime: offset("realtime", saved.realtime, here.realtime)?,
            tai: offset("tai", saved.tai, here.tai)?,
            monotonic: offset("monotonic", saved.monotonic, here.monotonic)?,
            boottime: offset("boottime", saved.boottime, here.boottime)?,
        };
        check_limits(&offsets, here).map_err(|error| {
            let clock = named(error.clock());
            Error::from(error).behind(&format!("cannot let {clock} go on"))
        })?;
        Ok(offsets)
    }
}

fn named(clock: &str) -> String {
    format!("CLOCK_{}", clock.to_uppercase())
}

#[cfg(test)]
#[path = "policy_tests.rs"]
mod tests;
