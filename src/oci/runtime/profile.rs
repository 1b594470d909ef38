//! The container's own seccomp profile with our rules in it.

use std::path::Path;

use serde_json::{Value, json};

use crate::filter::Shifted;
use crate::oci::offsets::Words;
use crate::oci::profile::{Base, Conditions, Form, Order};

/// The profile, from the one that the configuration has, if it has one.
///
/// # Errors
/// It cannot be merged with, in words.
pub(super) fn merged(base: Option<Value>, words: &Words, socket: &Path) -> Result<Value, String> {
    // An engine has settled already what depends on these.
    let settled = Conditions {
        capabilities: None,
        kernel: (0, 0),
    };
    let about = |why| format!("`linux.seccomp`: {why}");
    let base = match base {
        Some(profile) => Base::read(&without_ours(profile).to_string(), &settled).map_err(about)?,
        None => Base::allow_all(),
    };
    let order = Order {
        socket: socket.to_owned(),
        metadata: words.to_metadata(),
        shifted: Shifted {
            // It is the clock that can be set, and TAI goes with it.
            realtime: true,
            // Saved clocks may differ from the host's by the time they are read.
            monotonic: words.monotonic.is_some() || words.resume.is_some(),
            boottime: words.boottime.is_some() || words.resume.is_some(),
        },
        has_views: words.proc.as_deref() != Some("off"),
        form: Form::Oci,
    };
    order.profile(&base).map_err(about)
}

/// The profile as it was before our rules came into it, if they are there.
///
/// The names of our calls have lost the entries that they had; they have the same actions in one entry.
fn without_ours(mut profile: Value) -> Value {
    let metadata = profile["listenerMetadata"].as_str().unwrap_or_default();
    let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
    let Some(members) = profile
        .as_object_mut()
        .filter(|_| !metadata["elsewhen"].is_null())
    else {
        return profile;
    };
    members.remove("listenerPath");
    members.remove("listenerMetadata");
    if let Some(entries) = members.get_mut("syscalls").and_then(Value::as_array_mut) {
        entries.retain(|entry| entry["action"] != "SCMP_ACT_NOTIFY");
        for entry in entries {
            let is_always = entry["args"] == json!([{"index": 0, "value": 0, "op": "SCMP_CMP_GE"}]);
            if let Some(entry) = entry.as_object_mut().filter(|_| is_always) {
                entry.remove("args");
            }
        }
    }
    profile
}
