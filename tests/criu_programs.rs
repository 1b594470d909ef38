//! Programs of other languages' that CRIU dumps and restores, with their clocks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::criu::{self, Criu, LATER};
use harness::guests::{self, Kind};
use harness::process::Run;
use harness::restored::{Program, SHIFTED};
use harness::{need, tools};
use std::fs;

/// Starts a program that writes `BACK` if a clock steps back, and other lines all the time, dumps and
/// restores it twice.
fn goes_on(words: &[&str], output: &str) {
    let criu = need!(Criu::find());
    let file = criu.file("output");
    let script = format!("exec \"$@\" > '{}' 2>&1", file.display());
    let command = [&["sh", "-c", &script, "sh"], words].concat();
    let program = Program::start_by(&Run::inside(&SHIFTED), &command, words);
    let wait = || criu::wait_for_more(&file, 21, output);
    wait();
    for _ in 0..2 {
        criu.dump(program.pid());
        criu.restore_by(&LATER);
        wait();
    }
    let lines = criu::lines(&file);
    let back = lines.iter().find(|line| line.contains("BACK"));
    assert_eq!(back, None, "{output}");
    // The first restore takes away the shift of the time of day.
    let steps = lines.iter().filter(|line| line.contains("STEP")).count();
    assert!(steps <= 1, "{output}: {steps} steps");
}

#[test]
fn threads_and_children_of_python_go_on() {
    let python = need!(tools::python());
    let script = guests::script("restored.py");
    goes_on(
        &[python.to_str().unwrap(), script.to_str().unwrap()],
        "lines of Python's",
    );
}

#[test]
fn tickers_of_go_go_on() {
    let program = need!(guests::build("restored", Kind::Go));
    goes_on(&[program.to_str().unwrap()], "ticks of Go's");
}

#[test]
fn a_scheduled_executor_of_java_goes_on() {
    let class = need!(guests::build("Restored", Kind::Java));
    let java = need!(tools::find("java"));
    let java = fs::canonicalize(java).unwrap();
    let directory = class.to_str().unwrap();
    goes_on(
        &[java.to_str().unwrap(), "-cp", directory, "Restored"],
        "ticks of Java's",
    );
}
