//! Clocks that go on: what a namespace's clocks were is saved in a file, and the offsets of a new
//! namespace are made from it, on this host or on another.
//!
//! [`saved`] is the file, which `docs/clocks-file.md` describes; [`policy`] says for each clock how
//! it goes on. Both are pure. [`save`] asks the registry and reads the clocks.

pub(crate) mod criu;
mod policy;
mod save;
mod saved;

pub use policy::{Policies, Policy};
pub use saved::SavedClocks;
