//! The seccomp profile by which a container runtime hands a container's calls to the agent.
//!
//! It says what the filter of a tree says (`crate::filter`), as far as libseccomp can: that compares one
//! argument with a constant, and each argument once in a rule.
//!
//! DIFFERENCE: a cookie is known by its call alone, not by the time's address; a cookie that a handler
//! finds in its registers lets the same call pass, if that leaves its unused argument to chance. Of
//! futex_wait(2)'s the first three bits count.

mod base;
mod entry;
mod json;
mod merge;
mod names;
mod rules;
#[cfg(test)]
mod rules_tests;

pub(crate) use base::Base;
pub(crate) use entry::{Conditions, version};
pub(crate) use json::{Form, Order};
