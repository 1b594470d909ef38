//! Podman's containers at another time: elsewhen as the runtime, before runc and crun.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::engines::{self, Engine, podman::Podman, stage::Stage};
use harness::{SHIFT, need};

#[test]
fn containers_of_podman_have_their_clocks_with_runc() {
    expect_all("runc");
}

#[test]
fn containers_of_podman_have_their_clocks_with_crun() {
    expect_all("crun");
}

fn expect_all(runtime: &str) {
    let stage = need!(Stage::new());
    let podman = need!(Podman::new(&stage, runtime));
    engines::expect_date(&podman);
    engines::expect_uptime(&podman);
    engines::expect_waits(&podman, &stage);
    engines::expect_exec_and_restart(&podman);
    engines::expect_containers_beside_each_other(&podman);
    engines::expect_refusal(&podman);
}

#[test]
fn what_podman_takes_away_from_a_container_does_not_take_its_clocks() {
    let stage = need!(Stage::new());
    let podman = need!(Podman::new(&stage, "runc"));
    let ahead = format!("+{SHIFT}");
    let options = [
        "--cap-drop=ALL",
        "--read-only",
        "--security-opt=no-new-privileges",
        "--security-opt=seccomp=unconfined",
        "--user=1000",
        "--pid=host",
    ];
    for option in options {
        let read = podman.run_with(option, &[("realtime", &ahead)], &["/bin/date", "+%s"]);
        if let Err(why) = read.check_shifted() {
            panic!("{option}: {why}");
        }
    }
}

#[test]
fn the_environment_does_what_annotations_do() {
    let stage = need!(Stage::new());
    let podman = need!(Podman::new(&stage, "runc"));
    let variable = format!("--env=ELSEWHEN_REALTIME=+{SHIFT}");
    podman
        .run_with(&variable, &[], &["/bin/date", "+%s"])
        .expect_shifted();
    let beaten = "--env=ELSEWHEN_REALTIME=+1";
    let ahead = format!("+{SHIFT}");
    podman
        .run_with(beaten, &[("realtime", &ahead)], &["/bin/date", "+%s"])
        .expect_shifted();
    podman
        .run(&[("proc", "off")], &["/bin/date", "+%s"])
        .succeeded();
}
