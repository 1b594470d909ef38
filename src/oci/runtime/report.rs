//! Errors as runtimes tell them: engines look for them in the log that they have named.

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::line::one_line;

/// Appends a message of elsewhen's to the log of the runtime.
///
/// In runc's words, which crun's differ from in the order of members only.
pub(super) fn append(log: &Path, is_json: bool, message: &str) {
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o644)
        .open(log);
    // It has been told on the standard error; who names a log that cannot be written has that only.
    let Ok(mut file) = file else { return };
    let _ = file.write_all(line(is_json, &now(), message).as_bytes());
}

/// The line that stands in the log.
fn line(is_json: bool, now: &str, message: &str) -> String {
    let message = format!("elsewhen: {}", one_line(message));
    match is_json {
        true => {
            let message = serde_json::Value::from(message);
            format!("{{\"level\":\"error\",\"msg\":{message},\"time\":\"{now}\"}}\n")
        }
        false => {
            let message = message.replace('\\', "\\\\").replace('"', "\\\"");
            format!("time=\"{now}\" level=error msg=\"{message}\"\n")
        }
    }
}

/// The time to the second (RFC 3339).
fn now() -> String {
    let now = jiff::Timestamp::now();
    jiff::Timestamp::from_second(now.as_second())
        .unwrap_or(now)
        .to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_what_engines_read() {
        let json: serde_json::Value =
            serde_json::from_str(&line(true, "2030-01-01T00:00:00Z", "no `x`: \"y\"\n")).unwrap();
        assert_eq!(json["level"], "error");
        assert_eq!(json["msg"], "elsewhen: no `x`: \"y\"\\n");
        assert_eq!(
            line(false, "2030-01-01T00:00:00Z", "no \"y\""),
            "time=\"2030-01-01T00:00:00Z\" level=error msg=\"elsewhen: no \\\"y\\\"\"\n"
        );
    }

    #[test]
    fn a_time_has_whole_seconds() {
        assert_eq!(now().len(), "2030-01-01T00:00:00Z".len(), "{}", now());
    }
}
