//! The offsets that the runtime specification knows, as words.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::clock::Offset;
use crate::line::shown;

/// `linux.timeOffsets` (runtime-spec, config-linux.md).
pub(super) type TimeOffsets = BTreeMap<String, TimeOffset>;

/// One clock's.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TimeOffset {
    #[serde(default)]
    secs: i64,
    #[serde(default)]
    nanosecs: u32,
}

/// The shifts, by the clocks' names.
///
/// # Errors
/// What is no offset of a clock's, in words.
pub(super) fn words(offsets: &TimeOffsets) -> Result<BTreeMap<&str, String>, String> {
    let mut words = BTreeMap::new();
    for (clock, offset) in offsets {
        if !matches!(clock.as_str(), "monotonic" | "boottime") {
            return Err(format!(
                "`linux.timeOffsets` has `{}`; it can have `monotonic` and `boottime`, and \
                 annotations the rest",
                shown(clock.as_ref())
            ));
        }
        let offset = Offset::new(offset.secs, offset.nanosecs).ok_or_else(|| {
            format!("`linux.timeOffsets.{clock}`: `nanosecs` is a second or more")
        })?;
        words.insert(clock.as_str(), shift(offset));
    }
    Ok(words)
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

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::clock::By;

    #[test]
    fn offsets_become_words_of_the_same_value() {
        let text = r#"{"monotonic":{"secs":-1,"nanosecs":500000000},"boottime":{"secs":90}}"#;
        let offsets: TimeOffsets = serde_json::from_str(text).unwrap();
        let words = words(&offsets).unwrap();
        assert_eq!(words["monotonic"], "-0.500000000");
        assert_eq!(words["boottime"], "+90");
        for (clock, word) in words {
            let offset = Offset::new(offsets[clock].secs, offsets[clock].nanosecs);
            assert_eq!(Some(By::parse(&word).unwrap().offset()), offset);
        }
    }

    #[test]
    fn what_the_kernel_would_refuse_is_refused() {
        let refused = [
            r#"{"realtime":{"secs":1}}"#,
            r#"{"boottime":{"nanosecs":1000000000}}"#,
        ];
        for text in refused {
            assert!(
                words(&serde_json::from_str(text).unwrap()).is_err(),
                "{text}"
            );
        }
    }
}
