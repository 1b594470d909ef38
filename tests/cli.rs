//! The command line, as a user meets it: one line for each mistake, and nothing started.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::process::{Command, Output, Stdio};

fn elsewhen() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elsewhen"));
    command.env("TZ", "UTC");
    command
}

fn output(args: &[&str]) -> Output {
    elsewhen().args(args).output().unwrap()
}

/// The one line on the standard error, without its prefix.
fn complaint(output: &Output, context: &str) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(stderr.matches('\n').count(), 1, "{context}: {stderr:?}");
    let line = stderr
        .strip_prefix("elsewhen: ")
        .and_then(|line| line.strip_suffix('\n'));
    line.unwrap_or_else(|| panic!("{context}: {stderr:?}"))
        .to_owned()
}

#[test]
fn bad_input_gives_one_line_that_names_the_argument_and_starts_nothing() {
    let table: &[(&[&str], &str)] = &[
        (
            &["--realtime", "10d"],
            "`--realtime 10d`: a shift needs a sign; write `+10d`",
        ),
        (&["--realtime=10d"], "`--realtime 10d`"),
        (&["--realtime", ""], "`--realtime `: empty"),
        (&["--realtime", "2024"], "`@2024`"),
        (&["--realtime", "soon"], "`--realtime soon`"),
        (
            &["--realtime", "-1h30"],
            "`--realtime -1h30`: `30` has no unit",
        ),
        (&["--realtime", "2023-02-29"], "`--realtime 2023-02-29`"),
        (&["--realtime", "2016-12-31 23:59:60"], "leap second"),
        (&["--realtime", "1969-12-31"], "before 1970"),
        (
            &["--realtime", "@0"],
            "`--realtime @0`: the boot would lie before 1970",
        ),
        (
            &["--realtime", "3000-01-01"],
            "write a time before 2232-04-18",
        ),
        (&["--realtime", "+1\n2"], "`--realtime +1\\n2`"),
        (&["--realtime", "--strict"], "`--realtime --strict`"),
        (&["--tai", "x"], "`--tai x`"),
        (&["--tai", "3000-01-01"], "`--tai 3000-01-01`"),
        (&["--monotonic", "10"], "`--monotonic 10`"),
        (&["--monotonic", "+1y"], "`--monotonic +1y`"),
        (&["--monotonic", "2030-01-01"], "`--monotonic 2030-01-01`"),
        (&["--monotonic", "-100y"], "no calendar"),
        (
            &["--monotonic", "-5000d"],
            "`--monotonic -5000d`: the clock would fall below zero",
        ),
        (
            &["--monotonic", "+60000d"],
            "`--monotonic +60000d`: the clock would pass",
        ),
        (
            &["--boottime", "+99999999999999999999"],
            "`--boottime +99999999999999999999`",
        ),
        (&["--boottime", "-5000d"], "`--boottime -5000d`"),
        (&["--boottime", "1"], "`--boottime 1`"),
        (
            &["--backend", "magic"],
            "`--backend magic`: use `auto`, `guest` or `kernel`",
        ),
        (&["--name", ""], "`--name `"),
        (&["--name", "-x"], "`--name -x`"),
        (&["--name", "a/b"], "`--name a/b`"),
        (&["--name", ".."], "`--name ..`"),
        (&["--name", "77"], "`--name 77`: use 1 to 64"),
        (&["--strict=yes"], "`--strict` takes no value"),
        (&["--bogus"], "unknown option `--bogus`"),
        (&["--realtim", "+1d"], "did you mean `--realtime`?"),
        (&["-x"], "unknown option `-x`"),
        (
            &["--realtime", "+1d", "--realtime", "+2d"],
            "`--realtime` is given twice",
        ),
        (
            &["--backend=kernel", "--realtime", "+1d"],
            "`--realtime`: the kernel's",
        ),
        (
            &["--backend=kernel", "--tai", "+1d"],
            "`--tai`: the kernel's",
        ),
        (
            &["--backend=kernel", "--name", "x"],
            "`--name`: the kernel's",
        ),
    ];
    for (options, part) in table {
        let directory = tempfile::tempdir().unwrap();
        let output = elsewhen()
            .arg("run")
            .args(*options)
            .args(["touch", "started"])
            .current_dir(&directory)
            .output()
            .unwrap();
        let context = format!("{options:?}");
        let line = complaint(&output, &context);
        assert!(line.contains(part), "{context}: {line}");
        assert_eq!(output.status.code(), Some(125), "{context}");
        assert!(output.stdout.is_empty(), "{context}");
        assert!(!directory.path().join("started").exists(), "{context}");
    }
}

#[test]
fn a_missing_or_unknown_part_gives_one_line() {
    let table: &[(&[&str], &str)] = &[
        (&[], "no subcommand"),
        (&["walk"], "unknown subcommand `walk`"),
        (&["--json"], "unknown option `--json`"),
        (&["run"], "no command"),
        (&["run", "--"], "no command"),
        (&["run", "--realtime", "+1d"], "no command"),
        (&["run", "--realtime"], "`--realtime` has no value"),
        (&["run", "--backend"], "`--backend` has no value"),
        (&["exec"], "no namespace"),
        (&["exec", "web"], "no command"),
        (&["exec", "web", "--"], "no command"),
        (
            &["exec", "--json", "web", "true"],
            "unknown option `--json`",
        ),
        (&["show"], "no namespace"),
        (&["show", "a", "b"], "unexpected argument `b`"),
        (&["ls", "web"], "unexpected argument `web`"),
        (&["check", "--xml"], "unknown option `--xml`"),
        (&["check", "a", "b"], "unexpected argument `b`"),
    ];
    for (args, part) in table {
        let output = output(args);
        let line = complaint(&output, &format!("{args:?}"));
        assert!(line.contains(part), "{args:?}: {line}");
        assert_eq!(output.status.code(), Some(125), "{args:?}");
    }
}

#[test]
fn an_option_that_is_not_utf8_is_refused_in_one_line() {
    for bytes in [b"--realtime=\xff".to_vec(), b"--\xff".to_vec()] {
        let output = elsewhen()
            .arg("run")
            .arg(OsString::from_vec(bytes))
            .arg("true")
            .output()
            .unwrap();
        complaint(&output, "not UTF-8");
        assert_eq!(output.status.code(), Some(125));
    }
    let name = OsString::from_vec(b"\xff".to_vec());
    let output = elsewhen().arg("show").arg(name).output().unwrap();
    complaint(&output, "a name that is not UTF-8");
}

#[test]
fn a_local_time_is_read_in_the_callers_zone() {
    let output = elsewhen()
        .args(["run", "--realtime", "2024-03-10 02:30", "true"])
        .env("TZ", "America/New_York")
        .output()
        .unwrap();
    let line = complaint(&output, "a skipped time");
    assert!(line.contains("skips this time"), "{line}");
}

#[test]
fn help_and_version_go_to_the_standard_output() {
    for (args, part) in [
        (&["--help"][..], "run"),
        (
            &["run", "--help"],
            "elsewhen run [OPTIONS] [--] COMMAND [ARG...]",
        ),
        (&["run", "-h"], "Exit status:"),
        (&["check", "--help"], "--json"),
        (
            &["exec", "--help"],
            "elsewhen exec NAME|PID [--] COMMAND [ARG...]",
        ),
        (&["ls", "--help"], "--json"),
        (&["show", "--help"], "NAME|PID"),
        (&["--version"], env!("CARGO_PKG_VERSION")),
    ] {
        let output = output(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(text.contains(part), "{args:?}: {text}");
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn a_report_that_cannot_be_written_is_a_failure() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = elsewhen().arg("check").stdout(full).output().unwrap();
    let line = complaint(&output, "/dev/full");
    assert!(line.contains("no space left"), "{line}");
    assert_eq!(output.status.code(), Some(125));
}

#[test]
fn check_states_the_same_in_json_and_by_its_status() {
    let output = output(&["check", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let works = report["guest"]["works"].as_bool().unwrap();
    assert_eq!(output.status.code(), Some(i32::from(!works)));
    assert_eq!(
        works,
        report["guest"]["missing"].as_array().unwrap().is_empty()
    );
    for field in ["notify", "continue", "wait_killable", "sync_wake_up"] {
        let feature = &report["seccomp"][field];
        let available = feature["available"].as_bool().unwrap();
        assert!(feature["since"].is_string(), "{field}");
        assert_eq!(available, feature["reason"].is_null(), "{field}");
    }
    for field in [
        "pidfd_open",
        "pidfd_getfd",
        "process_vm",
        "timers",
        "vdso_writes",
    ] {
        assert!(
            report["process"][field]["available"].is_boolean(),
            "{field}"
        );
    }
    assert!(report["time_namespaces"]["available"].is_boolean());
    assert!(report["clocks"].is_array());
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    assert_eq!(report["kernel"], release.trim());
}

#[test]
fn check_leaves_nothing_behind() {
    let mut check = elsewhen();
    check
        .arg("check")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let check = check.spawn().unwrap();
    let group = format!("elsewhen-check-{}", check.id());
    let output = check.wait_with_output().unwrap();
    assert!(output.stderr.is_empty());
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.lines().any(|line| line.starts_with("guest backend")),
        "{text}"
    );
    assert!(text.lines().all(|line| line.len() <= 110), "{text}");
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    for line in mounts.lines().filter(|line| line.contains(" - cgroup2 ")) {
        let point = line.split(' ').nth(4).unwrap();
        for entry in std::fs::read_dir(point).into_iter().flatten().flatten() {
            assert_ne!(entry.file_name().to_string_lossy(), group);
        }
    }
}
