//! What the tests of the command share: the command itself, the programs it runs, the host's
//! own clocks, and skips that can be seen.
//!
//! `ELSEWHEN_BIN` names another binary to test, such as an installed one.
//! With `CI=true` or `ELSEWHEN_NO_SKIP=1` a skip is a failure.
#![allow(dead_code, reason = "each test file uses the part that it needs")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

pub(crate) mod adopt;
pub(crate) mod agreement;
pub(crate) mod bpf;
pub(crate) mod bridges;
pub(crate) mod cgroup;
pub(crate) mod clock;
pub(crate) mod containers;
pub(crate) mod criu;
pub(crate) mod debian13;
pub(crate) mod engines;
pub(crate) mod guests;
pub(crate) mod handles;
pub(crate) mod host_watch;
pub(crate) mod oci_rules;
pub(crate) mod process;
pub(crate) mod program;
pub(crate) mod random_programs;
pub(crate) mod readings;
pub(crate) mod restored;
pub(crate) mod seccomp;
pub(crate) mod servers;
pub(crate) mod skips;
pub(crate) mod supervisor;
pub(crate) mod sys;
pub(crate) mod terminal;
pub(crate) mod ticks;
pub(crate) mod timeouts;
pub(crate) mod tools;
pub(crate) mod ways;
pub(crate) mod worlds;

pub(crate) use skips::skipped;

/// The shift that most tests ask for, in seconds.
pub(crate) const SHIFT: i128 = 1_000_000;

/// A thing that a test needs and this machine lacks, in words.
#[derive(Debug)]
pub(crate) struct Missing(pub(crate) String);

/// Skips the running test with a reason that is seen.
macro_rules! skip {
    ($($reason:tt)*) => {{
        $crate::harness::skipped(&format!($($reason)*));
        return;
    }};
}
pub(crate) use skip;

/// The value, or a skip of the running test if something is missing.
macro_rules! need {
    ($value:expr) => {
        match $value {
            Ok(value) => value,
            Err($crate::harness::Missing(reason)) => $crate::harness::skip!("{reason}"),
        }
    };
}
pub(crate) use need;

/// Whether the tests run as root.
pub(crate) fn is_root() -> bool {
    sys::effective_user() == 0
}

/// Root, or the reason for a skip.
pub(crate) fn root() -> Result<(), Missing> {
    if is_root() {
        Ok(())
    } else {
        Err(Missing("needs root".into()))
    }
}

/// `--backend=kernel` works here, or the reason for a skip.
pub(crate) fn kernel_backend() -> Result<(), Missing> {
    let check = process::elsewhen();
    let check =
        process::Run::on_host().run(&[check.as_os_str(), "check".as_ref(), "--json".as_ref()]);
    let report: serde_json::Value = serde_json::from_str(&check.stdout).unwrap();
    let backend = &report["kernel_backend"];
    match backend["works"] == true {
        true => Ok(()),
        false => Err(Missing(backend.to_string())),
    }
}

/// Ordinary users may use FUSE, as udev lets them.
pub(crate) fn fuse_for_all() -> Result<(), Missing> {
    use std::os::unix::fs::MetadataExt as _;
    match std::fs::metadata("/dev/fuse") {
        Ok(device) if device.mode() & 0o006 == 0o006 => Ok(()),
        _ => Err(Missing(
            "`/dev/fuse` is not there for ordinary users (`chmod a+rw`)".into(),
        )),
    }
}

/// Whether a line of elsewhen's own warns that a program sees the host's clocks.
pub(crate) fn is_warned(stderr: &str, program: &str) -> bool {
    stderr.lines().any(|line| {
        line.starts_with("elsewhen: warning: ")
            && line.contains(program)
            && line.contains("the host's clocks")
    })
}
