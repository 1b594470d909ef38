//! Containers: what an engine or runtime of the Open Container Initiative is given.

pub(crate) mod profile;
pub(crate) mod runtime;
