//! Offsets as words, from the places where a container's user can write them.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::document::Document;
use crate::clock::{By, Offset, When};
use crate::line::shown;

/// What can be said, as the options of `elsewhen run` are called.
pub(super) const NAMES: [&str; 5] = ["realtime", "tai", "monotonic", "boottime", "proc"];

/// How an annotation's name begins.
pub(super) const ANNOTATION: &str = "org.elsewhen.";

/// How a variable's name begins.
const VARIABLE: &str = "ELSEWHEN_";

/// Words by their names.
pub(super) type Words = BTreeMap<&'static str, String>;

/// One of the offsets of `linux.timeOffsets` (runtime-spec, config-linux.md).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeOffset {
    #[serde(default)]
    secs: i64,
    #[serde(default)]
    nanosecs: u32,
}

/// The known name that this one is.
pub(super) fn known(name: &str) -> Option<&'static str> {
    NAMES.into_iter().find(|known| *known == name)
}

/// Those in `org.elsewhen.*`.
pub(super) fn of_annotations(config: &Document) -> Result<Words, String> {
    let annotations: BTreeMap<String, String> = config.get(&["annotations"])?.unwrap_or_default();
    let mut words = Words::new();
    for (key, value) in annotations {
        let Some(name) = key.strip_prefix(ANNOTATION) else {
            continue;
        };
        let name = known(name).ok_or_else(|| {
            format!(
                "annotation `{}`: there is no such clock; use `{ANNOTATION}` with {}",
                shown(key.as_ref()),
                names()
            )
        })?;
        check(
            name,
            &value,
            &format!("annotation `{key}={}`", shown(value.as_ref())),
        )?;
        words.insert(name, value);
    }
    Ok(words)
}

/// Those in the environment of the container's first process.
pub(super) fn of_environment(config: &Document) -> Result<Words, String> {
    let environment: Vec<String> = config.get(&["process", "env"])?.unwrap_or_default();
    let mut words = Words::new();
    for variable in environment {
        let Some((key, value)) = variable.split_once('=') else {
            continue;
        };
        let name = key.strip_prefix(VARIABLE).map(str::to_ascii_lowercase);
        // Others begin so that are no offsets.
        let Some(name) = name.as_deref().and_then(known) else {
            continue;
        };
        if key[VARIABLE.len()..]
            .bytes()
            .any(|byte| byte.is_ascii_lowercase())
        {
            continue;
        }
        check(
            name,
            value,
            &format!("variable `{key}={}`", shown(value.as_ref())),
        )?;
        // Of one that is there twice the last counts, as it does for runtimes.
        words.insert(name, value.to_owned());
    }
    Ok(words)
}

/// Those of `linux.timeOffsets`, to be written as annotations.
pub(super) fn of_time_offsets(offsets: &BTreeMap<String, TimeOffset>) -> Result<Words, String> {
    let mut words = Words::new();
    for (clock, offset) in offsets {
        let name = known(clock)
            .filter(|name| matches!(*name, "monotonic" | "boottime"))
            .ok_or_else(|| {
                format!(
                    "`linux.timeOffsets` has `{}`; it can have `monotonic` and `boottime`, \
                     and annotations the rest",
                    shown(clock.as_ref())
                )
            })?;
        let offset = Offset::new(offset.secs, offset.nanosecs)
            .ok_or_else(|| format!("`linux.timeOffsets.{name}`: `nanosecs` is a second or more"))?;
        words.insert(name, shift(offset));
    }
    Ok(words)
}

/// Looks whether the words can be understood; `place` is how an error names them.
pub(super) fn check(name: &str, value: &str, place: &str) -> Result<(), String> {
    let understood = match name {
        "realtime" | "tai" => When::parse(value).map(drop),
        "monotonic" | "boottime" => By::parse(value).map(drop),
        _ if matches!(value, "on" | "off") => Ok(()),
        _ => return Err(format!("{place}: use `on` or `off`")),
    };
    understood.map_err(|error| format!("{place}: {error}"))
}

/// A shift in seconds, to the nanosecond.
fn shift(offset: Offset) -> String {
    let nanos = offset.as_nanos();
    let sign = if nanos < 0 { '-' } else { '+' };
    let nanos = nanos.unsigned_abs();
    let (secs, rest) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    match rest {
        0 => format!("{sign}{secs}"),
        rest => format!("{sign}{secs}.{rest:09}"),
    }
}

/// The names as a list in a message.
pub(super) fn names() -> String {
    let (last, rest) = NAMES.split_last().expect("there are five");
    format!("`{}` or `{last}`", rest.join("`, `"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document::new(text.to_owned()).unwrap()
    }

    #[test]
    fn words_are_found_in_annotations_and_variables() {
        let config = document(
            r#"{"annotations":{"org.elsewhen.realtime":"+1y","other":"x"},
                "process":{"env":["A","ELSEWHEN_TAI=+1","ELSEWHEN_TAI=+2","ELSEWHEN_X=y","ELSEWHEN_tai=+3"]}}"#,
        );
        assert_eq!(
            of_annotations(&config).unwrap(),
            [("realtime", "+1y".to_owned())].into()
        );
        assert_eq!(
            of_environment(&config).unwrap(),
            [("tai", "+2".to_owned())].into()
        );
    }

    #[test]
    fn what_cannot_be_understood_is_refused_and_named() {
        let refused = [
            (
                r#"{"annotations":{"org.elsewhen.realtime":"soon"}}"#,
                "`org.elsewhen.realtime=soon`",
            ),
            (
                r#"{"annotations":{"org.elsewhen.realtine":"+1y"}}"#,
                "no such clock",
            ),
            (
                r#"{"annotations":{"org.elsewhen.monotonic":"+1y"}}"#,
                "`org.elsewhen.monotonic=+1y`",
            ),
            (
                r#"{"annotations":{"org.elsewhen.proc":"yes"}}"#,
                "use `on` or `off`",
            ),
            (r#"{"annotations":[]}"#, "`annotations`"),
            (
                r#"{"process":{"env":["ELSEWHEN_REALTIME="]}}"#,
                "`ELSEWHEN_REALTIME=`",
            ),
        ];
        for (text, expected) in refused {
            let config = document(text);
            let error = of_annotations(&config)
                .and_then(|_| of_environment(&config))
                .unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn offsets_of_the_specification_become_words_of_the_same_value() {
        let text = r#"{"monotonic":{"secs":-1,"nanosecs":500000000},"boottime":{"secs":90}}"#;
        let words = of_time_offsets(&serde_json::from_str(text).unwrap()).unwrap();
        assert_eq!(words["monotonic"], "-0.500000000");
        assert_eq!(words["boottime"], "+90");
        for word in words.values() {
            By::parse(word).unwrap();
        }
        let other = serde_json::from_str(r#"{"realtime":{"secs":1}}"#).unwrap();
        assert!(of_time_offsets(&other).is_err());
        let long = serde_json::from_str(r#"{"boottime":{"nanosecs":1000000000}}"#).unwrap();
        assert!(of_time_offsets(&long).is_err());
    }
}
