//! Rules of ours among those of a base.
//!
//! libseccomp lets an unconditional rule for a call swallow the conditional ones, in any order and without an
//! error. So all of a call's entries are taken out of the base, and what the base said of it is said anew
//! under a condition that always holds. Where a base refuses a call it stays refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::base::{Base, ERRNO, Verdict};
use super::entry::Entry;
use super::names::{COMPAT, name};
use super::rules::{Condition, Rule};
use crate::arch::nr;
use crate::filter::table::{SETTERS, SETTERS_OF_A_CLOCK};

/// What is notified of one call: any of these sets of conditions.
type Alternatives = Vec<Vec<Condition>>;

/// What has become of a base.
pub(super) struct Merged {
    /// What is left of the base's entries.
    pub(super) kept: Vec<Entry>,
    /// The calls that are notified, by their names.
    pub(super) notified: BTreeMap<&'static str, Alternatives>,
    /// For those of them that the base lets through: the action.
    pub(super) otherwise: BTreeMap<String, BTreeSet<&'static str>>,
}

/// The rules by names, those of i386 alone too.
fn by_name(rules: &[Rule]) -> BTreeMap<&'static str, Alternatives> {
    let mut named: BTreeMap<_, Alternatives> = BTreeMap::new();
    for rule in rules {
        let conditions = rule.conditions.clone();
        named.entry(name(rule.number)).or_default().push(conditions);
    }
    for (compat, native) in COMPAT {
        let alternatives = match native {
            Some(number) => named[name(number)].clone(),
            None => vec![Vec::new()],
        };
        named.insert(compat, alternatives);
    }
    named
}

/// Calls that the supervisor answers in any case, so that they may be notified even where a base lets
/// them through in some containers only.
fn is_setter(call: &str) -> bool {
    let numbers = SETTERS.iter().chain(&SETTERS_OF_A_CLOCK);
    matches!(call, "stime" | "clock_settime64" | "clock_adjtime64")
        || numbers.into_iter().any(|number| name(*number) == call)
}

/// Without these no program is given its clocks.
fn is_needed(call: &str) -> bool {
    [nr::BRK, nr::ARCH_PRCTL].map(name).contains(&call)
}

/// Merges `rules` into `base`.
///
/// # Errors
/// A call that the base lets through in a way that cannot be combined with ours, or refuses though
/// nothing works without it.
pub(super) fn merge(base: &Base, rules: &[Rule]) -> Result<Merged, String> {
    let mut notified = BTreeMap::new();
    let mut otherwise: BTreeMap<String, BTreeSet<_>> = BTreeMap::new();
    for (call, alternatives) in by_name(rules) {
        match base.verdict(call) {
            Verdict::Passes(action) => {
                if action != base.default_action && alternatives.iter().all(|all| !all.is_empty()) {
                    otherwise.entry(action).or_default().insert(call);
                }
                notified.insert(call, alternatives);
            }
            Verdict::Refused(actions) if is_setter(call) && actions.iter().all(|a| a == ERRNO) => {
                notified.insert(call, vec![Vec::new()]);
            }
            Verdict::Depends if is_setter(call) => {
                notified.insert(call, vec![Vec::new()]);
            }
            Verdict::Refused(_) if is_needed(call) => {
                return Err(format!(
                    "it refuses `{call}`, by which elsewhen sees that a program starts; allow that"
                ));
            }
            Verdict::Refused(_) => {}
            // A namespace is made with a capability, by which engines allow it: then the kernel makes it.
            Verdict::Depends if ["unshare", "setns"].contains(&call) => {}
            Verdict::Depends => {
                return Err(format!(
                    "it allows `{call}` under conditions, which cannot be combined with elsewhen's; \
                     allow it without, or refuse it"
                ));
            }
        }
    }
    Ok(Merged {
        kept: without(base, |name| notified.contains_key(name)),
        notified,
        otherwise,
    })
}

/// Whether programs of a container can make time namespaces that are not the kernel's.
pub(super) fn lets_make_namespaces(base: &Base) -> bool {
    let passes = |call| matches!(base.verdict(call), Verdict::Passes(_));
    passes(name(nr::UNSHARE)) && passes(name(nr::SETNS))
}

/// The base's entries without the names that are ours.
fn without(base: &Base, is_ours: impl Fn(&str) -> bool) -> Vec<Entry> {
    let kept = base.entries.iter().filter_map(|entry| {
        let names = entry.names.iter().filter(|name| !is_ours(name));
        let names: Vec<_> = names.cloned().collect();
        match names.len() {
            0 => None,
            len if len == entry.names.len() => Some(entry.clone()),
            _ => Some(entry.with_names(names)),
        }
    });
    kept.collect()
}

/// A condition that always holds.
pub(super) fn always() -> Value {
    json!({ "index": 0, "value": 0, "op": "SCMP_CMP_GE" })
}
