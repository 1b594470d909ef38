//! The same for an ordinary user: no privilege is needed, and none is gained.
//!
//! As root, the tests become the user 65534; as anybody else they stay who they are.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::{Finished, Run};
use harness::program::Program;
use harness::ways::{self, Way};
use harness::{Missing, need, tools};
use std::path::Path;

fn expect_shifted(program: &Program) -> Result<(), Missing> {
    let ways = [
        Way::Direct,
        Way::Grandchild,
        Way::EmptyEnvironment,
        Way::Script,
        Way::Pipe,
    ];
    let run = |dir: &Path| Run::shifted().by_ordinary_user(dir);
    ways::expect_in_each(program, &ways, run, Finished::check_shifted)
}

fn guest_runs_shifted(name: &'static str, kind: Kind) {
    let dir = guests::public_directory();
    let guest = guests::copy(&need!(guests::build("now", kind)), dir.path(), 0o755);
    need!(expect_shifted(&Program::new(name, &guest, &[] as &[&str])));
}

#[test]
fn c_on_glibc_runs_shifted_for_an_ordinary_user() {
    guest_runs_shifted("glibc", Kind::Glibc);
}

#[test]
fn c_on_static_musl_runs_shifted_for_an_ordinary_user() {
    guest_runs_shifted("musl", Kind::MuslStatic);
}

#[test]
fn go_runs_shifted_for_an_ordinary_user() {
    guest_runs_shifted("go", Kind::Go);
}

#[test]
fn date_runs_shifted_for_an_ordinary_user() {
    let date = need!(tools::find("date"));
    need!(expect_shifted(&Program::new("date", &date, &["+%s.%N"])));
}

#[test]
fn bash_runs_shifted_for_an_ordinary_user() {
    let bash = need!(tools::find("bash"));
    let program = Program::new("bash", &bash, &["-c", "echo $EPOCHREALTIME"]);
    need!(expect_shifted(&program));
}

#[test]
fn perl_runs_shifted_for_an_ordinary_user() {
    let perl = need!(tools::find("perl"));
    let program = Program::new("perl", &perl, &["-e", r#"print time, "\n""#]);
    need!(expect_shifted(&program));
}

#[test]
fn an_ordinary_user_stays_that_user() {
    let dir = guests::public_directory();
    let id = |run: Run| {
        run.by_ordinary_user(dir.path())
            .run(&["id"])
            .succeeded()
            .stdout
    };
    assert_eq!(id(Run::shifted()), id(Run::on_host()));
}
