//! What the real runtime can do by itself.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Deserialize;

/// The part of `RUNTIME features` that matters (runtime-spec, features.md).
#[derive(Deserialize)]
struct Features {
    #[serde(default)]
    linux: Linux,
}

#[derive(Default, Deserialize)]
struct Linux {
    #[serde(default)]
    namespaces: Option<Vec<String>>,
}

/// Whether the runtime knows the kernel's time namespaces, and so `linux.timeOffsets`.
///
/// One that has no command `features` is older than any that does.
pub(super) fn has_time_namespaces(runtime: &Path) -> bool {
    let said = Command::new(runtime)
        .arg("features")
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    let Ok(said) = said else { return false };
    names_time(&said.stdout)
}

fn names_time(said: &[u8]) -> bool {
    let features: Option<Features> = serde_json::from_slice(said).ok();
    features
        .and_then(|features| features.linux.namespaces)
        .is_some_and(|names| names.iter().any(|name| name == "time"))
}

#[cfg(test)]
mod tests {
    use super::names_time;

    #[test]
    fn what_a_runtime_says_is_believed_and_what_it_does_not_say_is_not() {
        assert!(names_time(br#"{"linux":{"namespaces":["pid","time"]}}"#));
        assert!(!names_time(br#"{"linux":{"namespaces":["pid"]}}"#));
        assert!(!names_time(br#"{"linux":{"namespaces":null}}"#));
        assert!(!names_time(b"{}"));
        assert!(!names_time(b"unknown command features"));
    }
}
