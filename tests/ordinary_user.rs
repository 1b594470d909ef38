//! The same for an ordinary user: no privilege is needed, and none is gained.
//!
//! As root, the tests become the user 65534; as anybody else they stay who they are.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::Run;
use harness::program::Program;
use harness::ways::Way;
use harness::{Missing, need, tools};

fn expect_shifted(name: &'static str, program: &Program) -> Result<(), Missing> {
    let mut wrong = Vec::new();
    for way in [
        Way::Direct,
        Way::Grandchild,
        Way::EmptyEnvironment,
        Way::Pipe,
    ] {
        let dir = guests::public_directory();
        let command = way.command(program, dir.path())?;
        let run = Run::shifted()
            .by_ordinary_user(dir.path())
            .in_dir(dir.path());
        if let Err(why) = run.run(&command).check_shifted() {
            wrong.push(format!("{name} {way:?}: {why}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(())
}

fn guest_runs_shifted(name: &'static str, kind: Kind) {
    let dir = guests::public_directory();
    let guest = guests::copy(&need!(guests::build("now", kind)), dir.path(), 0o755);
    need!(expect_shifted(
        name,
        &Program::new(name, &guest, &[] as &[&str])
    ));
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
    need!(expect_shifted(
        "date",
        &Program::new("date", &date, &["+%s.%N"])
    ));
}

#[test]
fn bash_runs_shifted_for_an_ordinary_user() {
    let bash = need!(tools::find("bash"));
    let program = Program::new("bash", &bash, &["-c", "echo $EPOCHREALTIME"]);
    need!(expect_shifted("bash", &program));
}

#[test]
fn perl_runs_shifted_for_an_ordinary_user() {
    let perl = need!(tools::find("perl"));
    let program = Program::new("perl", &perl, &["-e", r#"print time, "\n""#]);
    need!(expect_shifted("perl", &program));
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
