//! The processes around a command: front, keeper and worker.
//!
//! ```text
//! front ─┬─ keeper ─┬─ worker     answers notified calls
//!        │          └─ COMMAND    and everything it starts
//!        └─ witness               tells the front what its process group was sent
//! ```
//!
//! The **front** is the process that the caller started: it waits, passes signals on, and ends as
//! the command ends. The **keeper** adopts the tree's orphans, holds the listener and ends with
//! the last member. The **worker** does all that can go wrong; a dead one is replaced.
//! Processes that were there before have a keeper and a worker only (`adopt`).
//! Inside another namespace's tree an **anchor** stands in the keeper's place: it only marks which
//! processes are in the new namespace, and the outer worker serves them.

mod adopt;
mod beside;
mod cgroup;
mod clock_of;
mod counters;
mod crew;
mod door;
mod enter;
mod execs;
mod front;
mod handlers;
mod held;
mod in_place;
mod journal;
mod keeper;
mod lines;
mod means;
mod members;
mod message;
mod namespaces;
mod receiver;
mod redirect;
mod settings;
mod split;
mod status;
mod timens;
mod tracer;
mod views;
mod warning;
mod watchdog;
mod witness;
mod worker;
mod yama;

pub use adopt::AdoptedFilter;
pub(crate) use adopt::{Adoption, adopt, check_adopter};
pub(crate) use beside::Beside;
pub(crate) use cgroup::probe as probe_cgroup;
pub(crate) use counters::Counters;
pub(crate) use door::Outer;
pub(crate) use enter::{Plan, enter};
pub(crate) use handlers::wait_of;
pub(crate) use keeper::is_hung_up;
pub(crate) use namespaces::has_ended;
pub(crate) use split::Joined;
pub(crate) use timens::{forget_namespaces, has_namespace_of_its_own};
pub(crate) use yama::{Opening, ptrace_scope};

/// The exit status of a failure of elsewhen's own, as env(1) and timeout(1) have it.
pub(crate) const EXIT_FAILED: i32 = 125;
