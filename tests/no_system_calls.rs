//! Programs inside read their clocks without a system call, as they do outside.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::ffi::OsString;

use harness::guests::{self, Kind};
use harness::process::Run;
use harness::{Missing, need, tools};

/// What strace(1) is to show.
const CALLS: &str = "trace=clock_gettime,gettimeofday,time";

/// The least number of readings that each program makes.
const READS: usize = 10_000;

/// How many system calls of these a program makes that reads its clocks so.
fn calls(reads: &str, program: &[OsString]) -> Result<usize, Missing> {
    let dir = guests::public_directory();
    let trace = dir.path().join("trace");
    let mut words: Vec<OsString> = vec![tools::find("strace")?.into()];
    words.extend(["-f", "-q", "-e", CALLS, "-o"].map(OsString::from));
    words.push(trace.clone().into());
    words.extend(program.iter().cloned());
    let options = ["--realtime", "+1000000", "--reads", reads];
    Run::inside(&options).limit(300).run(&words).succeeded();
    let text = std::fs::read_to_string(trace).unwrap();
    let is_call = |line: &&str| line.contains("clock_gettime(") || line.contains("time(");
    Ok(text.lines().filter(is_call).count())
}

/// A few at the start, by a runtime that asks the kernel for this or that, are its own affair.
fn expect_none(program: &[OsString], few: usize) -> Result<(), Missing> {
    let found = calls("direct", program)?;
    assert!(found <= few, "{found} system calls of {program:?}");
    Ok(())
}

/// Not even a read that falls into an update of the kernel's data makes one.
fn c(kind: Kind) -> Result<(), Missing> {
    expect_none(&[guests::build("reads", kind)?.into()], 0)
}

#[test]
fn strace_sees_the_calls_where_reads_go_by_system_call() {
    let program = need!(guests::build("reads", Kind::Glibc));
    let found = need!(calls("syscall", &[program.into()]));
    assert!(found >= READS, "{found}");
}

#[test]
fn the_kernels_own_function_makes_none_either() {
    let program = need!(guests::build("reads", Kind::Glibc));
    assert_eq!(need!(calls("kernel", &[program.into()])), 0);
}

#[test]
fn dynamic_glibc_makes_none() {
    need!(c(Kind::Glibc));
}

#[test]
fn static_glibc_makes_none() {
    need!(c(Kind::GlibcStatic));
}

#[test]
fn dynamic_musl_makes_none() {
    need!(c(Kind::Musl));
}

#[test]
fn static_musl_makes_none() {
    need!(c(Kind::MuslStatic));
}

#[test]
fn go_makes_none() {
    let program = need!(guests::build("reads", Kind::Go));
    need!(expect_none(&[program.into()], 0));
}

#[test]
fn java_makes_none() {
    let java = need!(tools::find("java"));
    let class = need!(guests::build("Reads", Kind::Java));
    let program = [java.into(), "-cp".into(), class.into(), "Reads".into()];
    need!(expect_none(&program, 100));
}

#[test]
fn node_makes_none() {
    let node = need!(tools::find("node"));
    let script = "for (let i = 0; i < 10000; i++) { Date.now(); process.hrtime.bigint(); }";
    need!(expect_none(&[node.into(), "-e".into(), script.into()], 100));
}

#[test]
fn python_makes_none() {
    let python = need!(tools::python());
    let script = "import time\nfor i in range(10000): time.time(); time.monotonic()";
    need!(expect_none(
        &[python.into(), "-c".into(), script.into()],
        100
    ));
}
