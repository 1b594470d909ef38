//! `elsewhen check CONTAINER|PID`: whose clocks it has.

use super::{Failure, print, print_json};
use crate::line::shown;
use crate::registry::{self, Clocks, Coverage};

/// 0 if it has clocks of its own, 1 if it has the host's.
pub(super) fn coverage(handle: &str, json: bool) -> std::result::Result<i32, Failure> {
    let coverage = registry::coverage(handle)?;
    match json {
        true => print_json(&coverage)?,
        false => print(&format!("{}\n", sentence(&coverage)))?,
    }
    if !json && !coverage.entered.is_empty() {
        let pids: Vec<String> = coverage.entered.iter().map(i32::to_string).collect();
        print(&format!(
            "put into it from outside (nsenter), with the host's clocks: process {}\n",
            pids.join(", ")
        ))?;
    }
    Ok(i32::from(!coverage.is_covered()))
}

fn sentence(coverage: &Coverage) -> String {
    let what = match (&coverage.container, coverage.pid) {
        (Some(id), Some(pid)) => format!("container {} (process {pid})", shown(id.as_ref())),
        (Some(id), None) => format!("container {}", shown(id.as_ref())),
        (None, Some(pid)) => format!("process {pid}"),
        (None, None) => "it".to_owned(),
    };
    match &coverage.clocks {
        Clocks::Namespace {
            name,
            keeper,
            realtime,
            tai,
            monotonic,
            boottime,
        } => {
            let name = name.as_ref().map(|name| format!(" `{name}`"));
            let keeper = keeper.map(|keeper| format!(", kept by process {keeper}"));
            format!(
                "{what} is in a time namespace{}{}: seconds from the host are realtime {realtime}, \
                 tai {tai}, monotonic {monotonic}, boottime {boottime}",
                name.unwrap_or_default(),
                keeper.unwrap_or_default(),
            )
        }
        Clocks::Entered => format!(
            "{what} has the host's clocks: it was put into a container from outside (nsenter, or an \
             engine's exec without the container's profile)"
        ),
        Clocks::NoFilter => format!(
            "{what} has the host's clocks: no seccomp filter is above it; the engine has ignored the \
             profile, as with `--privileged` and `seccomp=unconfined`, or none was given"
        ),
        Clocks::OtherFilters => format!(
            "{what} has the host's clocks: its seccomp filter leads to no agent of this user's; the \
             profile is not elsewhen's, or the engine has left out `listenerPath` (Docker before 23 does)"
        ),
    }
}
