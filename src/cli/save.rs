//! `elsewhen save`: a namespace's clocks for a file.

use super::args::SaveArgs;
use super::{Failure, print};
use crate::SavedClocks;

/// Carries out `elsewhen save`.
pub(super) fn save(args: &SaveArgs) -> std::result::Result<i32, Failure> {
    print(&SavedClocks::of(&args.handle)?.to_json())?;
    Ok(0)
}
