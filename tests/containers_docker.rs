//! Docker's containers at another time, also those of 20.10, which drops a profile's `listenerPath`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::ffi::OsStr;
use std::fs;

use harness::engines::{self, Engine, docker::Docker, stage::Stage};
use harness::process::{Finished, Run, elsewhen};
use harness::{SHIFT, need};

#[test]
fn containers_of_docker_have_their_clocks() {
    let stage = need!(Stage::new());
    let docker = need!(Docker::start(&stage));
    engines::expect_date(&docker);
    engines::expect_uptime(&docker);
    engines::expect_waits(&docker, &stage);
    engines::expect_exec_and_restart(&docker);
    engines::expect_containers_beside_each_other(&docker);
    engines::expect_refusal(&docker);
}

/// Where a container of Docker's has its clocks in spite of `--privileged`, and that it is told where not.
#[test]
fn a_privileged_container_of_dockers_has_its_clocks_by_the_runtime_and_is_found_out_by_a_profile() {
    let stage = need!(Stage::new());
    let docker = need!(Docker::start(&stage));
    let ahead = format!("+{SHIFT}");
    let covered = docker.start_with(
        &["--runtime=elsewhen-as-far-as-may-be", "--privileged"],
        "covered",
        &ahead,
    );
    docker
        .of(&["exec", "--privileged", "covered", "/bin/date", "+%s"])
        .expect_shifted();
    let said = check(&covered).succeeded();
    assert!(said.stdout.contains("realtime +1000000,"), "{said:#?}");
    let said = check(&covered[..12]).succeeded();
    assert!(said.stdout.contains("realtime +1000000,"), "{said:#?}");

    let profile = stage.at("shifted.json");
    let socket = stage.at("agent.sock");
    let words = [
        "oci-profile",
        "--format=docker",
        "--realtime",
        &ahead,
        "--socket",
    ];
    let mut words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    words.push(socket.as_os_str());
    let made = Run::on_host()
        .through(&[elsewhen()])
        .run(&words)
        .succeeded();
    fs::write(&profile, made.stdout).unwrap();
    let profile = format!("--security-opt=seccomp={}", profile.display());
    let ignored = docker.start_with(
        &["--runtime=runc-as-far-as-may-be", "--privileged", &profile],
        "ignored",
        "+0",
    );
    let read = docker.exec("ignored", &["/bin/date", "+%s"]).succeeded();
    read.host("REALTIME").check_lines(&read.stdout).unwrap();
    let said = check(&ignored);
    assert_eq!(said.code, 1, "{said:#?}");
    assert!(said.stdout.contains("`--privileged`"), "{said:#?}");
    for name in ["covered", "ignored"] {
        docker.remove(name);
    }
}

fn check(id: &str) -> Finished {
    Run::on_host().through(&[elsewhen()]).run(&["check", id])
}
