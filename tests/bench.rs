//! `elsewhen bench`: that it measures everything and leaves nothing behind, not what comes out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(
    unused_macros,
    unused_imports,
    reason = "one skip, with its own reason"
)]
mod harness;

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The worlds of a clock read, of a call, and of a static program.
const READING: [&str; 6] = [
    "host",
    "crowded",
    "kernel",
    "inside",
    "libfaketime",
    "system_call",
];
const CALLING: [&str; 7] = [
    "host",
    "crowded",
    "kernel",
    "inside",
    "libfaketime",
    "filtered",
    "notified",
];
const STATIC: [&str; 6] = [
    "host", "crowded", "kernel", "inside", "filtered", "notified",
];

/// Where files are opened.
const OPENING: [&str; 3] = ["host", "kernel", "inside"];

/// The worlds of a wait: by the C library, by an instruction of the bench's own, of a clock that the
/// kernel shifts too, and of one that the supervisor takes part in.
const BY_LIBC: [&str; 5] = ["host", "inside", "libfaketime", "filtered", "notified"];
const PLAIN: [&str; 4] = ["host", "inside", "filtered", "notified"];
const OF_MONOTONIC: [&str; 5] = ["host", "kernel", "inside", "filtered", "notified"];
const SUPERVISED: [&str; 5] = ["host", "inside", "across", "filtered", "notified"];

const ROWS: [(&str, &[&str]); 38] = [
    ("clock_realtime", &READING),
    ("clock_monotonic", &READING),
    ("clock_boottime", &READING),
    ("clock_monotonic_raw", &READING),
    ("clock_tai", &READING),
    ("gettimeofday", &READING),
    ("clock_realtime_coarse", &READING),
    ("clock_monotonic_coarse", &READING),
    ("time", &READING),
    ("first_realtime", &READING),
    ("first_monotonic", &READING),
    ("first_boottime", &READING),
    ("first_monotonic_raw", &READING),
    ("first_tai", &READING),
    ("first_realtime_coarse", &READING),
    ("first_monotonic_coarse", &READING),
    ("unlisted_call", &CALLING),
    ("clock_system_call", &STATIC),
    ("open", &OPENING),
    ("open_uptime", &OPENING),
    ("exec", &STATIC),
    ("exec_three_calls", &STATIC),
    ("exec_dynamic", &CALLING),
    ("exec_program", &CALLING),
    ("private_memory", &["host", "inside"]),
    ("sleep", &BY_LIBC),
    ("sleep_heap", &BY_LIBC),
    ("sleep_monotonic", &OF_MONOTONIC),
    ("semaphore", &BY_LIBC),
    ("queue_refused", &PLAIN),
    ("futex_refused", &PLAIN),
    ("futex_refused_heap", &PLAIN),
    ("futex_refused_monotonic", &OF_MONOTONIC),
    ("relative_wait", &OF_MONOTONIC),
    ("relative_wait_patched", &OF_MONOTONIC),
    ("first_wait", &SUPERVISED),
    ("unpatched_wait", &SUPERVISED),
    ("bridge_wait", &SUPERVISED),
];

/// Runs a command to its end. Another test writes a program meanwhile.
fn output(command: &mut Command) -> Output {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = harness::process::alone(|| command.spawn().unwrap());
    child.wait_with_output().unwrap()
}

fn bench(args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_elsewhen"));
    command.args(["bench", "--rounds", "small"]).args(args);
    let output = output(&mut command);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert_eq!(stderr, "");
    output
}

fn report(args: &[&str]) -> Value {
    serde_json::from_slice(&bench(&[&["--json"], args].concat()).stdout).unwrap()
}

fn text(output: Output) -> String {
    String::from_utf8(output.stdout).unwrap()
}

fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    let list = list.as_array().unwrap().iter();
    list.map(|item| item[key].as_str().unwrap()).collect()
}

/// The worlds that this machine lacks, and why.
fn absent(report: &Value) -> Vec<(&str, &str)> {
    let sides = report["sides"].as_array().unwrap().iter();
    sides
        .filter_map(|side| Some((side["name"].as_str()?, side["absent"].as_str()?)))
        .collect()
}

#[test]
fn every_row_has_a_number_for_each_of_its_worlds() {
    let report = report(&["--program", "/bin/true"]);
    let absent = absent(&report);
    assert_eq!(names(&report["rows"], "name"), ROWS.map(|(name, _)| name));
    for (row, (name, sides)) in report["rows"].as_array().unwrap().iter().zip(ROWS) {
        let mut sides = sides.to_vec();
        sides.retain(|side| absent.iter().all(|(absent, _)| absent != side));
        assert_eq!(names(&row["cells"], "side"), sides, "{name}");
        for cell in row["cells"].as_array().unwrap() {
            let median = cell["median"].as_f64().unwrap();
            assert!(median > 0.0 || name == "private_memory", "{name}: {cell}");
        }
    }
    let mut rows = report["rows"].as_array().unwrap().iter();
    let memory = rows.find(|row| row["name"] == "private_memory").unwrap();
    let memory = &memory["cells"];
    assert!(memory[0]["median"].as_f64() < memory[1]["median"].as_f64());
    for (side, reason) in absent {
        harness::skipped(&format!("the column `{side}`: {reason}"));
    }
}

#[test]
fn a_target_says_what_it_is_against_and_whether_it_is_met() {
    let report = report(&[]);
    let row = |name: &str| {
        let mut rows = report["rows"].as_array().unwrap().iter();
        rows.find(|row| row["name"] == name).unwrap()
    };
    let memory = &row("private_memory")["targets"];
    assert_eq!(memory[0]["against"], Value::Null);
    assert_eq!(memory[0]["met"], true);
    assert_eq!(memory[0]["at_most"], 8.0);
    assert_eq!(memory[0]["kind"], "itself");
    let inside = |row: &Value| {
        let mut cells = row["cells"].as_array().unwrap().iter();
        cells
            .find(|cell| cell["side"] == "inside")
            .cloned()
            .unwrap()
    };
    for name in ["clock_tai", "clock_realtime_coarse", "first_monotonic"] {
        let row = row(name);
        let inside = inside(row);
        let targets = row["targets"].as_array().unwrap();
        assert_eq!(targets[0]["against"], "host");
        for target in targets {
            let ratio = match target["against"].as_str().unwrap() {
                "kernel" => &inside["ratio_to_kernel"],
                _ => &inside["ratio"],
            };
            assert_eq!(&target["measured"], ratio, "{name}");
            let met = ratio.as_f64() <= target["at_most"].as_f64();
            assert_eq!(target["met"], met, "{name}");
        }
    }
    for (name, kind, against, measured) in [
        ("futex_refused", "more", Some("host"), "more"),
        ("first_wait", "itself", None, "median"),
    ] {
        let row = row(name);
        let target = &row["targets"][0];
        assert_eq!(
            (target["kind"].as_str(), target["against"].as_str()),
            (Some(kind), against)
        );
        assert_eq!(target["measured"], inside(row)[measured], "{name}");
        let met = target["measured"].as_f64() <= target["at_most"].as_f64();
        assert_eq!(target["met"], met, "{name}");
    }
    assert!(
        row("unlisted_call")["targets"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn the_report_names_the_machine_the_change_and_the_parts_of_an_exec() {
    let report = report(&["--all-cpus"]);
    let machine = &report["machine"];
    for field in ["processor", "kernel", "clock_source"] {
        assert!(!machine[field].as_str().unwrap().is_empty(), "{field}");
    }
    assert!(machine["cpu"].is_null());
    let change = &report["change"];
    let number = |of: &Value| of.as_f64().unwrap();
    assert!(number(&change["every_us"]) > 0.0);
    assert!(number(&change["interval"][0]) <= number(&change["ratio"]));
    assert!(number(&change["ratio"]) <= number(&change["interval"][1]));
    let parts = [
        "plain",
        "filter",
        "notification",
        "auxv",
        "open",
        "read",
        "write",
        "close",
        "rest",
        "inside",
    ];
    assert_eq!(names(&report["exec_parts"], "name"), parts);
}

#[test]
fn the_table_has_a_line_for_each_row() {
    let table = text(bench(&[]));
    for title in [
        "a clock read, hot ",
        "a coarse clock read, hot ",
        "the first read in a fresh exec ",
        "system calls and programs ",
        "MONOTONIC_RAW ",
        "a wait that ends at once ",
        "sem_timedwait ",
        "exec of a static program ",
        "MONOTONIC read inside while its offset is changed",
    ] {
        let found = table.lines().any(|line| line.starts_with(title.trim_end()));
        assert!(found, "{title}:\n{table}");
    }
    assert!(!table.contains("exec of the program given"), "{table}");
}

#[test]
fn the_markdown_is_a_table_and_the_picture_names_the_machine() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("bench.svg");
    let markdown = text(bench(&["--markdown", "--svg", file.to_str().unwrap()]));
    let table: Vec<&str> = markdown.lines().filter(|l| l.starts_with('|')).collect();
    for line in &table {
        assert_eq!(line.matches('|').count(), 8, "{line}");
    }
    assert!(table.iter().any(|line| line.starts_with("| MONOTONIC |")));
    let machine = markdown.lines().find(|l| l.contains(", Linux ")).unwrap();
    let machine = machine.trim_end_matches('.');
    let picture = std::fs::read_to_string(file).unwrap();
    assert!(picture.starts_with("<svg ") && picture.ends_with("</svg>\n"));
    for tag in ["text", "title", "style"] {
        let opened = picture.matches(&format!("<{tag}")).count();
        let closed = picture.matches(&format!("</{tag}>")).count();
        assert_eq!(opened, closed, "{tag}");
    }
    assert!(picture.contains(machine), "{machine}:\n{picture}");
}

#[test]
fn nothing_is_left_behind() {
    let mark = format!("ELSEWHEN_TEST_MARK={}", std::process::id());
    let (name, value) = mark.split_once('=').unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_elsewhen"));
    command
        .args(["bench", "--rounds", "small", "--markdown"])
        .env(name, value);
    assert!(output(&mut command).status.success());
    let start = Instant::now();
    while processes_with(&mark) > 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "processes");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn an_ordinary_user_can_measure_all_but_the_kernels_namespaces() {
    let directory = harness::guests::public_directory();
    let program = Path::new(env!("CARGO_BIN_EXE_elsewhen"));
    let mut command = Command::new(harness::guests::copy(program, directory.path(), 0o755));
    if harness::is_root() {
        command.uid(65534).gid(65534);
    }
    let arguments = ["bench", "--rounds", "small", "--json"];
    let output = output(command.args(arguments));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut absent = absent(&report);
    absent.retain(|(side, _)| *side != "libfaketime");
    assert_eq!(
        absent,
        [(
            "kernel",
            "cannot make a time namespace: operation not permitted"
        )]
    );
}

/// How many processes were started with this in their environment.
fn processes_with(mark: &str) -> usize {
    let mark = mark.as_bytes();
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    processes
        .filter_map(|entry| std::fs::read(entry.path().join("environ")).ok())
        .filter(|environ| environ.split(|byte| *byte == 0).any(|it| it == mark))
        .count()
}
