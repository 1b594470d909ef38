//! `elsewhen agent`: the options, checked.

use super::Failure;
use super::args::AgentArgs;
use crate::Error;
use crate::line::shown;
use crate::oci::agent::{self, Options};

pub(super) fn agent(args: AgentArgs) -> std::result::Result<i32, Failure> {
    let mode = u32::from_str_radix(&args.mode, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o777).ok_or_else(|| {
        Error::new(format!(
            "`--mode {}`: not permissions; write them as chmod(1) takes them, such as `0660`",
            shown(args.mode.as_ref())
        ))
    })?;
    agent::run(Options {
        socket: args.socket,
        mode,
        users: args.users,
        metrics: args.metrics,
    })?;
    Ok(0)
}
