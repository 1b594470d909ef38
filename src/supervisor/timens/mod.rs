//! Time namespaces that programs make themselves, as time_namespaces(7) has them.
//!
//! A namespace is a record in the journal: its offsets, whether they may still be set, and the user
//! namespace that owns it. Which one a process is in, and which its children are to be in, is written
//! on the process itself (see [`mark`]): fork(2) copies it and exec(2) keeps it, so nothing has to be
//! remembered of a process that could be wrong by the time it is used.
//!
//! A process between unshare(2) and exec(2) has an image that asks for each read (`image::Doors`). So
//! has a child that it forks, and the child's first question moves it into its namespace.

mod adopt;
mod file;
mod limit;
mod mark;
mod owner;
mod record;
mod sweep;

pub(super) use adopt::{Standing, Who};
pub(super) use limit::has_room;
pub(super) use mark::Mark;
pub(crate) use mark::{forget_namespaces, has_namespace_of_its_own};
pub(super) use owner::{Credentials, Owner};
pub(super) use record::{New, Records};
pub(super) use sweep::in_use;
