//! A bundle's configuration, changed so that its container gets clocks of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::arguments::Making;
use super::document::Document;
use super::time_offsets::{self, TimeOffsets};
use super::{Settings, features, file, profile};
use crate::line::shown;
use crate::oci::offsets::{ANNOTATION, Words};
use crate::{Error, reading, registry};

/// Where the profile is, which gets our rules.
const SECCOMP: [&str; 2] = ["linux", "seccomp"];
/// Where the offsets are that the runtime specification knows.
const TIME_OFFSETS: [&str; 2] = ["linux", "timeOffsets"];
const NAMESPACES: [&str; 2] = ["linux", "namespaces"];

/// Changes the configuration if anything asks for it: an option, an annotation, a variable or `linux.timeOffsets`.
///
/// # Errors
/// What is wrong, in words.
pub(super) fn prepare(making: &Making, settings: &Settings, runtime: &Path) -> Result<(), String> {
    let path = configuration(making);
    // The last part alone: an engine's path is long, and says nothing to its user.
    let name = path.file_name().unwrap_or(path.as_os_str());
    let in_file = |error| format!("`{}`: {error}", shown(name));
    let text = file::read(&path)?;
    let mut config = Document::new(text.clone()).map_err(in_file)?;
    changed(&mut config, settings, making.restores, || {
        features::has_time_namespaces(runtime)
    })
    .map_err(in_file)?;
    match config.text() == text {
        true => Ok(()),
        false => file::replace(&path, config.text()),
    }
}

/// Where the configuration is: crun takes another one, which is named from the working directory.
fn configuration(making: &Making) -> PathBuf {
    let bundle = making.bundle.as_deref().unwrap_or(Path::new("."));
    making
        .config
        .clone()
        .unwrap_or_else(|| bundle.join("config.json"))
}

/// Makes the changes in the text.
fn changed(
    config: &mut Document,
    settings: &Settings,
    restores: bool,
    runtime_has_time: impl FnOnce() -> bool,
) -> Result<(), String> {
    let annotations: BTreeMap<String, String> = config.get(&["annotations"])?.unwrap_or_default();
    let annotated = Words::from_annotations(&annotations).map_err(in_words)?;
    let environment: Vec<String> = config.get(&["process", "env"])?.unwrap_or_default();
    let variables =
        Words::from_environment(environment.iter().map(String::as_str)).map_err(in_words)?;
    let mut asked = annotated.clone().or(variables).or(settings.words.clone());
    let given: TimeOffsets = config.get(&TIME_OFFSETS)?.unwrap_or_default();
    // A namespace of the kernel's is the better one, where nothing else is shifted.
    if !asked.has_offsets() && (given.is_empty() || runtime_has_time()) {
        return Ok(());
    }
    if !given.is_empty() {
        asked = take_over(config, &given, annotated)?.or(asked);
    }
    if restores {
        // What is put into it later has the clocks that it goes on with, and MONOTONIC and BOOTTIME of those
        // are no host's.
        for clock in [&mut asked.monotonic, &mut asked.boottime] {
            clock.get_or_insert_with(|| "+0".to_owned());
        }
    } else {
        // The agent would end such a container at its first call; here its engine is told why.
        let now = reading::now().map_err(in_words)?;
        asked.offsets(&now).map_err(in_words)?;
    }
    asked.shows_proc().map_err(in_words)?;
    asked.name().map_err(in_words)?;
    let base: Option<Value> = config.get(&SECCOMP)?;
    let socket = match &settings.socket {
        Some(socket) => socket.clone(),
        None => registry::own_socket().map_err(in_words)?,
    };
    let seccomp = profile::merged(base, &asked, &socket)?;
    config.set(&SECCOMP, &seccomp.to_string())
}

/// Makes annotations of `linux.timeOffsets`, where the agent finds them, and takes them away from the runtime; gives
/// the words of all annotations.
///
/// Annotations that are there already count more; so all this comes to the same when it is done again.
fn take_over(
    config: &mut Document,
    offsets: &TimeOffsets,
    mut annotated: Words,
) -> Result<Words, String> {
    for (name, word) in time_offsets::words(offsets)? {
        let Some(place @ None) = annotated.place(name) else {
            continue;
        };
        let key = format!("{ANNOTATION}{name}");
        let value = Value::from(word.as_str()).to_string();
        config.set(&["annotations", &key], &value)?;
        *place = Some(word);
    }
    config.remove(&TIME_OFFSETS)?;
    // The namespace itself is of no use then, and runtimes that lack it refuse it. One with a path
    // is somebody's, to be joined.
    let namespaces: Vec<Value> = config.get(&NAMESPACES)?.unwrap_or_default();
    let is_new_time = |namespace: &Value| {
        let path = namespace
            .get("path")
            .and_then(Value::as_str)
            .unwrap_or_default();
        namespace.get("type") == Some(&json!("time")) && path.is_empty()
    };
    if namespaces.iter().any(is_new_time) {
        let kept: Vec<&Value> = namespaces.iter().filter(|one| !is_new_time(one)).collect();
        config.set(&NAMESPACES, &json!(kept).to_string())?;
    }
    Ok(annotated)
}

fn in_words(error: Error) -> String {
    error.to_string()
}

#[cfg(test)]
#[path = "prepare_tests.rs"]
mod tests;
