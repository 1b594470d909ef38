//! The merged profile as engines and runtimes read it.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::base::{Base, NOTIFY};
use super::entry::{Entry, Holds};
use super::merge::{Merged, always, lets_make_namespaces, merge};
use super::rules::{Condition, Test, rules};
use crate::filter::{Rules, Shifted};

/// Who is to read a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Docker and Podman, which settle by a container's capabilities what is in force.
    Docker,
    /// Runtimes, containerd and Kubernetes: all is settled.
    Oci,
}

/// What a profile is to say.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    /// Where the agent listens; absolute.
    pub(crate) socket: PathBuf,
    /// What the agent is told with each container.
    pub(crate) metadata: String,
    /// The clocks whose calls are notified.
    pub(crate) shifted: Shifted,
    /// Whether opens of files are notified.
    pub(crate) has_views: bool,
    pub(crate) form: Form,
}

impl Order {
    /// The profile, merged with `base`.
    ///
    /// # Errors
    /// Why `base` cannot be merged with, and the way out.
    pub(crate) fn profile(&self, base: &Base) -> Result<Value, String> {
        let rules = rules(Rules {
            strict: false,
            x32: true,
            shifted: self.shifted,
            timens: self.shifted == Shifted::ANY && lets_make_namespaces(base),
            views: self.has_views,
        });
        let merged = merge(base, &rules)?;
        let mut top = match self.form {
            Form::Docker => base.top.clone(),
            Form::Oci => settled(&base.top),
        };
        set_architectures(&mut top, self.form);
        if let Some(Value::Array(map)) = top.get_mut("archMap") {
            map.retain(is_x86_64);
        }
        top.insert(
            "listenerPath".to_owned(),
            self.socket.to_string_lossy().into(),
        );
        top.insert("listenerMetadata".to_owned(), self.metadata.clone().into());
        top.insert("syscalls".to_owned(), self.entries(&merged).into());
        Ok(Value::Object(top))
    }

    fn entries(&self, merged: &Merged) -> Vec<Value> {
        let notified = merged.notified.iter().flat_map(|(call, alternatives)| {
            let entry = move |conditions: &Vec<Condition>| {
                let arguments: Vec<_> = conditions.iter().map(argument).collect();
                json!({ "names": [call], "action": NOTIFY, "args": arguments })
            };
            alternatives.iter().map(entry)
        });
        let otherwise = merged
            .otherwise
            .iter()
            .map(|(action, calls)| json!({ "names": calls, "action": action, "args": [always()] }));
        // An engine settles the rest on the machine where it runs.
        let is_kept = |entry: &&Entry| self.form == Form::Docker || entry.holds != Holds::Never;
        let kept = merged.kept.iter().filter(is_kept);
        let kept = kept.map(|entry| self.kept(entry));
        kept.chain(notified).chain(otherwise).collect()
    }

    fn kept(&self, entry: &Entry) -> Value {
        let mut whole = entry.whole.clone();
        if self.form == Form::Oci {
            let known = ["names", "action", "errnoRet", "args"];
            whole = entry.with_names(entry.names.clone()).whole;
            whole.retain(|key, value| known.contains(&key.as_str()) && !value.is_null());
        }
        Value::Object(whole)
    }
}

/// What the runtimes' specification knows of a profile's head.
fn settled(top: &Map<String, Value>) -> Map<String, Value> {
    let known = ["defaultAction", "defaultErrnoRet", "architectures", "flags"];
    let mut settled = top.clone();
    settled.retain(|key, value| known.contains(&key.as_str()) && !value.is_null());
    if let Some(Value::Array(map)) = top.get("archMap")
        && let Some(ours) = map.iter().find(|one| is_x86_64(one))
    {
        let below = ours.get("subArchitectures").and_then(Value::as_array);
        let mut names = vec![ours["architecture"].clone()];
        names.extend(below.into_iter().flatten().cloned());
        settled.insert("architectures".to_owned(), names.into());
    }
    settled
}

/// Whether an element of `archMap` is that of the architecture that the rules are for.
fn is_x86_64(one: &Value) -> bool {
    one.get("architecture").and_then(Value::as_str) == Some("SCMP_ARCH_X86_64")
}

/// The ABIs of x86-64, if the base leaves them open: without the other two, a call by one of them would
/// end its program.
fn set_architectures(top: &mut Map<String, Value>, form: Form) {
    let others = ["SCMP_ARCH_X86", "SCMP_ARCH_X32"];
    if top.contains_key("archMap") || top.contains_key("architectures") {
        return;
    }
    match form {
        Form::Docker => top.insert(
            "archMap".to_owned(),
            json!([{ "architecture": "SCMP_ARCH_X86_64", "subArchitectures": others }]),
        ),
        Form::Oci => top.insert(
            "architectures".to_owned(),
            json!(["SCMP_ARCH_X86_64", others[0], others[1]]),
        ),
    };
}

/// A condition as the specification has it: of a masked comparison the mask comes first.
fn argument((index, test): &Condition) -> Value {
    let plain = |op: &str, value: u64| json!({ "index": index, "value": value, "op": op });
    match *test {
        Test::Is(value) => plain("SCMP_CMP_EQ", value),
        Test::IsNot(value) => plain("SCMP_CMP_NE", value),
        Test::Below(value) => plain("SCMP_CMP_LT", value),
        Test::Above(value) => plain("SCMP_CMP_GT", value),
        Test::Bits { mask, value } => json!({
            "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ",
        }),
    }
}
