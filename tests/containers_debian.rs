//! Containers with a Debian root at another time: Python, Go, Java, Redis and PostgreSQL in them.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::engines::{Engine, debian};
use harness::engines::{
    bare::Bare, containerd::Containerd, docker::Docker, podman::Podman, stage::Stage,
};
use harness::{Missing, need};

fn expect_programs<E: Engine>(
    start: impl FnOnce(&Stage) -> Result<E, Missing>,
) -> Result<(), Missing> {
    let stage = Stage::on_debian()?;
    debian::expect_programs(&start(&stage)?);
    Ok(())
}

#[test]
fn debians_programs_keep_the_time_of_a_container_of_runcs() {
    need!(expect_programs(|stage| Bare::new(stage, "runc")));
}

#[test]
fn debians_programs_keep_the_time_of_a_container_of_cruns() {
    need!(expect_programs(|stage| Bare::new(stage, "crun")));
}

#[test]
fn debians_programs_keep_the_time_of_a_container_of_podmans() {
    need!(expect_programs(|stage| Podman::new(stage, "runc")));
}

#[test]
fn debians_programs_keep_the_time_of_a_container_of_containerds() {
    need!(expect_programs(Containerd::start));
}

#[test]
fn debians_programs_keep_the_time_of_a_container_of_dockers() {
    need!(expect_programs(Docker::start));
}
