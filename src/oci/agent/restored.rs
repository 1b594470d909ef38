//! Containers that CRIU has restored: what keeps their clocks was started by CRIU's action script, and no agent
//! has seen them start.

use super::message::Message;
use crate::oci::offsets::Words;
use crate::registry::{self, Container};
use crate::supervisor::Beside;
use crate::{Error, Result};

/// The clocks of a container that is joined, if the process that the runtime takes for its first is a restored
/// one, and whom that process is.
///
/// The number is an allegation: the keeper finds out whether the process is in the container at all
/// ([`Beside`]).
///
/// # Errors
/// Its clocks cannot be told, or the profile's metadata are not elsewhen's.
pub(super) fn find(message: &Message) -> Result<Option<(Container, Beside)>> {
    let first = message.state.pid;
    if first <= 0 {
        return Ok(None);
    }
    let Some(found) = registry::restored(first)? else {
        return Ok(None);
    };
    let profile = Words::from_metadata(&message.metadata)?;
    // One that speaks of no clock looks at all.
    let looks_at_all = !profile.has_offsets() || profile.resume.is_some();
    let beside = Beside {
        first,
        started: found.started,
        looks_at_monotonic: looks_at_all || profile.monotonic.is_some(),
        looks_at_boottime: looks_at_all || profile.boottime.is_some(),
    };
    Ok(Some((found.container, beside)))
}

/// # Errors
/// Always: nothing is known of the container.
pub(super) fn unknown() -> Error {
    Error::new(
        "nothing is known of the container: its keeper has been killed, or another user, or another user's agent, \
         has it, or it was restored without `elsewhen criu-action`; start the container anew",
    )
}
