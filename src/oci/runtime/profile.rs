//! The container's own seccomp profile with our rules in it.

use std::path::Path;

use serde_json::{Value, json};

use super::words::Words;

/// The profile, from the one that the configuration has, if it has one.
///
/// # Errors
/// It cannot be merged with, in words.
pub(super) fn merged(base: Option<Value>, words: &Words, socket: &Path) -> Result<Value, String> {
    // A stand-in: the first calls of programs only, until the whole rules are here.
    let mut base = base
        .map(without_ours)
        .unwrap_or_else(|| json!({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"]}));
    if base
        .get("listenerPath")
        .and_then(Value::as_str)
        .is_some_and(|path| !path.is_empty())
    {
        return Err(
            "`linux.seccomp` has a `listenerPath` already; a container can have one agent"
                .to_owned(),
        );
    }
    let entry = json!({"names": ["brk"], "action": "SCMP_ACT_NOTIFY", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_EQ"}]});
    match base["syscalls"].as_array_mut() {
        Some(entries) => {
            for one in entries.iter_mut() {
                if let Some(names) = one["names"].as_array_mut() {
                    names.retain(|name| name != "brk");
                }
            }
            entries.retain(|one| {
                one["names"]
                    .as_array()
                    .is_some_and(|names| !names.is_empty())
            });
            entries.push(entry);
            entries.push(json!({"names": ["brk"], "action": "SCMP_ACT_ALLOW", "args": [{"index": 0, "value": 0, "op": "SCMP_CMP_GE"}]}));
        }
        None => base["syscalls"] = json!([entry]),
    }
    base["listenerPath"] = json!(socket.to_string_lossy());
    base["listenerMetadata"] = metadata(words).into();
    Ok(base)
}

/// What the agent is told: the offsets as words.
fn metadata(words: &Words) -> String {
    let mut metadata = json!({"elsewhen": 1});
    for (name, word) in words {
        metadata[*name] = word.as_str().into();
    }
    metadata.to_string()
}

/// The profile as it was before our rules came into it, if they are there.
///
/// The names of our calls have lost what they had; they are allowed.
fn without_ours(mut profile: Value) -> Value {
    let metadata = profile["listenerMetadata"].as_str().unwrap_or_default();
    let metadata: Value = serde_json::from_str(metadata).unwrap_or_default();
    if metadata["elsewhen"].is_null() {
        return profile;
    }
    let Some(members) = profile.as_object_mut() else {
        return profile;
    };
    members.remove("listenerPath");
    members.remove("listenerMetadata");
    if let Some(entries) = members.get_mut("syscalls").and_then(Value::as_array_mut) {
        entries.retain(|entry| entry["action"] != "SCMP_ACT_NOTIFY");
        for entry in entries {
            let is_always = entry["args"] == json!([{"index": 0, "value": 0, "op": "SCMP_CMP_GE"}]);
            if let (true, Some(entry)) = (is_always, entry.as_object_mut()) {
                entry.remove("args");
            }
        }
    }
    profile
}
