//! The namespaces that run now, for people: names, lists, and what to join.
//!
//! Each tree has one record, a small file that its keeper (or an inner namespace's anchor) holds
//! locked by flock(2) as long as it lives. The lock goes with its holder, however that ends: so a
//! record that nobody holds is stale, whoever meets one removes it, and no pid has to be trusted
//! to be the same process still. A tree that joins another's namespace has a record of its own,
//! with the same offsets and the same namespace's id.
//!
//! Records of another user, which only root looks at, are an allegation: see [`directory`] and
//! [`living`].

mod container;
mod coverage;
mod directory;
mod find;
mod kernel;
mod list;
mod living;
mod members;
mod processes;
mod record;
mod register;

pub(crate) use container::{Container, container, restored};
pub(crate) use coverage::{Clocks, Coverage, coverage};
pub(crate) use directory::{overridden, own_socket, probe, shared_file, socket};
pub(crate) use find::{Found, find, made_inside};
pub(crate) use kernel::{offsets as kernels_offsets_of, own_offsets as kernels_offsets};
pub(crate) use list::all;
pub use list::{RunningNamespace, RunningProcess, RunningTree};
pub(crate) use processes::started;
pub(crate) use record::{Member, is_name};
pub(crate) use register::{Registration, Tree, expect_free, register};
