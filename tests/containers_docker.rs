//! Docker's containers at another time, also those of 20.10, which drops a profile's `listenerPath`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::engines::{self, docker::Docker, stage::Stage};
use harness::need;

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
