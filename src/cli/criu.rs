//! `elsewhen criu-action`: what CRIU starts at the stages of a dump and a restore.

use super::Failure;
use super::args::{CriuActionArgs, CriuKeeperArgs};
use crate::clock::{By, ClockOffsets};
use crate::restore::criu::{Action, Order};
use crate::{Error, Policies, Result};

/// Carries out `elsewhen criu-action`.
pub(super) fn action(args: CriuActionArgs) -> std::result::Result<i32, Failure> {
    let mut policies = Policies::default();
    for text in &args.policy {
        policies = policies
            .with_text(text)
            .map_err(|error| Error::new(format!("`--policy`: {error}")))?;
    }
    Action::asked_for(args.clocks)?.carry_out(&policies)?;
    Ok(0)
}

/// Becomes a keeper.
pub(super) fn keeper(args: CriuKeeperArgs) -> std::result::Result<i32, Failure> {
    let offset = |text: &str| -> Result<_> {
        let by = By::parse(text).map_err(|error| Error::new(format!("`{text}`: {error}")))?;
        Ok(by.offset())
    };
    let order = Order {
        offsets: ClockOffsets {
            realtime: offset(&args.realtime)?,
            tai: offset(&args.tai)?,
            monotonic: offset(&args.monotonic)?,
            boottime: offset(&args.boottime)?,
        },
        like: args.like,
        first: args.first,
        name: args.name,
    };
    order.carry_out()?;
    Ok(0)
}
