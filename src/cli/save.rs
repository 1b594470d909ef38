//! `elsewhen save`: a namespace's clocks for a file.

use super::args::SaveArgs;
use super::{Failure, print};
use crate::SavedClocks;

/// Carries out `elsewhen save`.
pub(super) fn save(args: &SaveArgs) -> std::result::Result<i32, Failure> {
    let saved = match (&args.container, &args.handle) {
        (Some(container), _) => SavedClocks::of_container(container)?,
        (None, handle) => SavedClocks::of(handle.as_deref().unwrap_or_default())?,
    };
    print(&saved.to_json())?;
    Ok(0)
}
