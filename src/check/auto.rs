//! What `--backend=auto` chooses.

use super::{Backend, Choice, Feature};
use crate::Result;
use crate::supervisor::Outer;

/// Why a clock is not the kernel's in any namespace of its.
const NEVER: &str = "the kernel's time namespaces do not have it";

/// Who keeps each clock; nobody if no supervisor can be had for the others.
pub(super) fn choices(
    guest: &Backend,
    time_namespaces: &Feature,
    outer: &Result<Option<Outer>>,
) -> Vec<Choice> {
    if !guest.works {
        return Vec::new();
    }
    let why_not = why_not(time_namespaces, outer);
    let never = |clock| choice(clock, Some(NEVER.to_owned()));
    let perhaps = |clock| choice(clock, why_not.clone());
    vec![
        never("CLOCK_REALTIME"),
        never("CLOCK_TAI"),
        perhaps("CLOCK_MONOTONIC"),
        perhaps("CLOCK_BOOTTIME"),
    ]
}

/// Why the kernel keeps none.
fn why_not(time_namespaces: &Feature, outer: &Result<Option<Outer>>) -> Option<String> {
    match outer {
        Ok(Some(outer)) if !outer.leaves_to_kernel() => {
            Some("as in the namespace around this process".to_owned())
        }
        // An inner one is refused what it may not have of the kernel.
        Ok(Some(_)) => None,
        _ => time_namespaces
            .reason
            .as_ref()
            .map(|reason| format!("time namespaces: {reason}")),
    }
}

fn choice(clock: &'static str, reason: Option<String>) -> Choice {
    Choice {
        clock,
        backend: match reason {
            None => "kernel",
            Some(_) => "guest",
        },
        reason,
    }
}
