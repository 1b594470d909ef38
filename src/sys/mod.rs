//! System calls that no crate wraps, each behind a safe function.
//!
//! Everything rustix has is called from there.

pub(crate) mod channel;
pub(crate) mod clock;
pub(crate) mod errno;
pub(crate) mod futex;
pub(crate) mod maps;
pub(crate) mod memory;
pub(crate) mod namespace;
pub(crate) mod peer;
pub(crate) mod process;
pub(crate) mod ptrace;
pub(crate) mod random;
pub(crate) mod rights;
pub(crate) mod seccomp;
pub(crate) mod shared;
pub(crate) mod signal;
pub(crate) mod thread;
