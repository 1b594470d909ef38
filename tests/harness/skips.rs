//! Skips that can be seen; other tests than the harness's have this file too.

use std::io::Write;

/// Says that the running test is skipped, past libtest's capture; fails where skips are forbidden.
pub(crate) fn skipped(reason: &str) {
    let thread = std::thread::current();
    let name = thread.name().unwrap_or("test");
    let forbidden = std::env::var("CI").is_ok_and(|v| v == "true")
        || std::env::var("ELSEWHEN_NO_SKIP").is_ok_and(|v| v == "1");
    let line = format!("SKIP {name}: {reason}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    assert!(!forbidden, "skips are forbidden here: {reason}");
}
