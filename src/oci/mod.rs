//! Containers: what the tools of the Open Container Initiative say, and what elsewhen does for them.

pub(crate) mod agent;
pub(crate) mod offsets;
pub(crate) mod profile;
pub(crate) mod runtime;
