//! Programs that people write wait for a time on their own clocks, and wake when it has come.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::need;
use harness::timeouts::expect_same_waits;
use harness::tools;

fn guest_wakes_in_time(kind: Kind) {
    let guest = need!(guests::build("timeouts", kind));
    expect_same_waits(&[guest]);
}

#[test]
fn c_on_dynamic_glibc_wakes_in_time() {
    guest_wakes_in_time(Kind::Glibc);
}

#[test]
fn c_on_static_glibc_wakes_in_time() {
    guest_wakes_in_time(Kind::GlibcStatic);
}

#[test]
fn c_on_dynamic_musl_wakes_in_time() {
    guest_wakes_in_time(Kind::Musl);
}

#[test]
fn c_on_static_musl_wakes_in_time() {
    guest_wakes_in_time(Kind::MuslStatic);
}

#[test]
fn cpp_wakes_in_time() {
    guest_wakes_in_time(Kind::Cpp);
}

#[test]
fn rust_wakes_in_time() {
    guest_wakes_in_time(Kind::Rust);
}

#[test]
fn rust_as_a_static_pie_wakes_in_time() {
    guest_wakes_in_time(Kind::RustStatic);
}

#[test]
fn go_without_cgo_wakes_in_time() {
    guest_wakes_in_time(Kind::Go);
}

#[test]
fn go_with_cgo_wakes_in_time() {
    guest_wakes_in_time(Kind::Cgo);
}

#[test]
fn java_wakes_in_time() {
    let java = need!(tools::find("java"));
    let classes = need!(guests::build("Timeouts", Kind::Java));
    expect_same_waits(&[
        java.as_os_str(),
        "-cp".as_ref(),
        classes.as_os_str(),
        "Timeouts".as_ref(),
    ]);
}

#[test]
fn python_wakes_in_time() {
    let python = need!(tools::python());
    expect_same_waits(&[python, guests::script("timeouts.py")]);
}

#[test]
fn node_wakes_in_time() {
    let node = need!(tools::find("node"));
    expect_same_waits(&[node, guests::script("timeouts.js")]);
}

#[test]
fn a_shell_and_its_commands_wake_in_time() {
    let bash = need!(tools::find("bash"));
    need!(tools::find("flock"));
    expect_same_waits(&[bash, guests::script("timeouts.bash")]);
}
