//! The profile that a container would have without elsewhen.

use serde_json::{Map, Value};

use super::entry::{Conditions, Entry, Holds, action};

pub(super) const ALLOW: &str = "SCMP_ACT_ALLOW";
pub(super) const LOG: &str = "SCMP_ACT_LOG";
pub(super) const ERRNO: &str = "SCMP_ACT_ERRNO";
pub(super) const NOTIFY: &str = "SCMP_ACT_NOTIFY";

/// A base profile that can be merged with.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    /// All of the file but `syscalls`.
    pub(super) top: Map<String, Value>,
    pub(super) default_action: String,
    pub(super) entries: Vec<Entry>,
}

/// What a base makes of a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is let through, by this action.
    Passes(String),
    /// It never is; the actions.
    Refused(Vec<String>),
    /// It is in some containers, or with some arguments.
    Depends,
}

impl Base {
    /// A profile that allows all, for the ABIs that a kernel may have.
    pub(crate) fn allow_all() -> Self {
        let mut top = Map::new();
        top.insert("defaultAction".to_owned(), ALLOW.into());
        Self {
            top,
            default_action: ALLOW.to_owned(),
            entries: Vec::new(),
        }
    }

    /// Reads a profile, of an engine's form or the runtimes'.
    ///
    /// # Errors
    /// What is wrong with it, or why it cannot be merged with, and the way out.
    pub(crate) fn read(text: &str, conditions: &Conditions) -> Result<Self, String> {
        let value: Value = serde_json::from_str(text)
            .map_err(|error| format!("not JSON ({error}); give a seccomp profile"))?;
        let Value::Object(mut top) = value else {
            return Err("no seccomp profile, which is an object; give one".to_owned());
        };
        let default_action = action(&top, "defaultAction")?
            .ok_or("no seccomp profile, which has a `defaultAction`; give one")?;
        let entries = match top.remove("syscalls") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(entries)) => entries,
            Some(_) => return Err("its `syscalls` is no list".to_owned()),
        };
        let entries = entries.into_iter();
        let entries: Result<Vec<_>, _> = entries.map(|e| Entry::read(e, conditions)).collect();
        let base = Self {
            top,
            default_action,
            entries: entries?,
        };
        base.refuse_listener()?;
        base.refuse_other_architectures()?;
        Ok(base)
    }

    /// A container has one listener.
    fn refuse_listener(&self) -> Result<(), String> {
        const WAY_OUT: &str = "a container can have one agent; give a profile without";
        if self
            .top
            .get("listenerPath")
            .is_some_and(|path| path.as_str() != Some(""))
        {
            return Err(format!("it has a `listenerPath` already: {WAY_OUT}"));
        }
        let mut actions = self.entries.iter().map(|entry| &entry.action);
        if self.default_action == NOTIFY || actions.any(|action| action == NOTIFY) {
            return Err(format!("it notifies (`{NOTIFY}`) already: {WAY_OUT}"));
        }
        Ok(())
    }

    fn refuse_other_architectures(&self) -> Result<(), String> {
        let names: Option<Vec<_>> = match (self.top.get("archMap"), self.top.get("architectures")) {
            (Some(Value::Array(map)), _) => Some(
                map.iter()
                    .filter_map(|one| one.get("architecture"))
                    .collect(),
            ),
            (_, Some(Value::Array(list))) => Some(list.iter().collect()),
            _ => None,
        };
        let is_ours = |name: &&Value| name.as_str() == Some("SCMP_ARCH_X86_64");
        match names {
            Some(names) if !names.is_empty() && !names.iter().any(is_ours) => Err(
                "it is not for `SCMP_ARCH_X86_64`, the only architecture that elsewhen serves"
                    .to_owned(),
            ),
            _ => Ok(()),
        }
    }

    /// What becomes of the call that has this name.
    pub(super) fn verdict(&self, name: &str) -> Verdict {
        let entries = self.entries.iter();
        let of_it =
            entries.filter(|e| e.holds != Holds::Never && e.names.iter().any(|n| n == name));
        let of_it: Vec<_> = of_it.collect();
        let passes = |action: &str| action == ALLOW || action == LOG;
        let mut actions: Vec<_> = of_it.iter().map(|entry| entry.action.clone()).collect();
        let is_settled = |entry: &&&Entry| entry.holds == Holds::Always && !entry.has_arguments;
        if !of_it.iter().any(|entry| is_settled(&entry)) {
            actions.push(self.default_action.clone());
        }
        match actions.split_first() {
            Some((first, others)) if passes(first) && others.iter().all(|o| o == first) => {
                Verdict::Passes(first.clone())
            }
            _ if actions.iter().any(|action| passes(action)) => Verdict::Depends,
            _ => Verdict::Refused(actions),
        }
    }
}
