//! `elsewhen exec`: a command in a namespace that is running.

use super::args::ExecArgs;
use super::run::become_command;
use super::{Error, Failure};
use crate::TimeNamespace;

/// Carries out `elsewhen exec`; gives the command's exit status if elsewhen outlives it.
pub(super) fn exec(args: ExecArgs) -> std::result::Result<i32, Failure> {
    let mut command = args.command.into_iter();
    let first = command
        .next()
        .ok_or_else(|| Error::new("no command; write one after the namespace"))?;
    TimeNamespace::open(&args.handle)?.enter()?;
    Err(become_command(&first, &command.collect::<Vec<_>>()))
}
