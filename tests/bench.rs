//! `elsewhen bench`: that it measures everything, not what comes out.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

use serde_json::Value;

fn bench(args: &[&str]) -> Value {
    let output = Command::new(env!("CARGO_BIN_EXE_elsewhen"))
        .args(["bench", "--json", "--rounds", "small"])
        .args(args)
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    let list = list.as_array().unwrap().iter();
    list.map(|item| item[key].as_str().unwrap()).collect()
}

#[test]
fn every_row_has_a_number_for_each_of_its_worlds() {
    let everywhere = ["host", "filtered", "notified", "inside"];
    let in_and_out = ["host", "inside"];
    let rows: [(&str, &[&str]); 9] = [
        ("exec", &everywhere),
        ("exec_three_calls", &everywhere),
        ("exec_program", &everywhere),
        ("unlisted_call", &everywhere),
        ("clock_realtime", &in_and_out),
        ("clock_monotonic", &in_and_out),
        ("clock_monotonic_coarse", &in_and_out),
        ("clock_system_call", &everywhere),
        ("private_memory", &in_and_out),
    ];
    let report = bench(&["--program", "/bin/true"]);
    assert_eq!(names(&report["rows"], "name"), rows.map(|(name, _)| name));
    for (row, (name, sides)) in report["rows"].as_array().unwrap().iter().zip(rows) {
        assert_eq!(names(&row["cells"], "side"), sides, "{name}");
        for cell in row["cells"].as_array().unwrap() {
            let median = cell["median"].as_f64().unwrap();
            assert!(median > 0.0 || name == "private_memory", "{name}: {cell}");
        }
    }
    let memory = &report["rows"][8]["cells"];
    assert!(memory[0]["median"].as_f64() < memory[1]["median"].as_f64());
}

#[test]
fn the_report_names_the_machine_and_the_parts_of_an_exec() {
    let report = bench(&["--all-cpus"]);
    let machine = &report["machine"];
    for field in ["processor", "kernel", "clock_source"] {
        assert!(!machine[field].as_str().unwrap().is_empty(), "{field}");
    }
    assert!(machine["cpu"].is_null());
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
