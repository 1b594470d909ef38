//! The clocks as the caller sees them, read once.

use crate::clock::Readings;
use crate::{Error, Result, sys};

/// Reads the four clocks.
pub(crate) fn now() -> Result<Readings> {
    sys::clock::readings().map_err(|error| Error::os("cannot read the clocks", error))
}
