//! Containers of containerd at another time: elsewhen as the file that its shim runs for runc.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::engines::{self, containerd::Containerd, stage::Stage};
use harness::need;

#[test]
fn containers_of_containerd_have_their_clocks() {
    let stage = need!(Stage::new());
    let containerd = need!(Containerd::start(&stage));
    engines::expect_date(&containerd);
    engines::expect_uptime(&containerd);
    engines::expect_waits(&containerd, &stage);
    engines::expect_exec_and_restart(&containerd);
    engines::expect_containers_beside_each_other(&containerd);
    engines::expect_refusal(&containerd);
}
