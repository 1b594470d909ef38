//! A container of runc's that goes on with its clocks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, SECOND};
use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::criu::{self, Criu};
use harness::need;
use harness::sys::wait_until;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Lets runc do something that lives on, as none of the commands of which nothing may be left.
fn runc(container: &Container, words: &[&str]) {
    let words = container.words(words);
    let status = Command::new(&words[0])
        .args(&words[1..])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap();
    assert!(status.success(), "{words:?}");
}

#[test]
fn a_container_of_runcs_goes_on() {
    goes_on(serde_json::Value::Null, 0);
}

/// The agent on the other side need not know of it: what keeps its clocks comes from CRIU's action script.
#[test]
fn a_container_whose_clocks_an_agent_has_decided_goes_on_with_them() {
    const AHEAD: i128 = 400 * 86_400;
    need!(harness::root());
    let agent = Agent::start(&[]);
    let ahead = format!("+{AHEAD}");
    goes_on(agent.profile(&["--realtime", &ahead]), AHEAD);
    agent.wait_for("ended", 1);
}

/// A container under this profile, which is so many seconds ahead of the host.
fn goes_on(profile: serde_json::Value, ahead: i128) {
    let criu = need!(Criu::find());
    criu.act_with(&["--policy realtime=continue"]);
    let (program, options) = criu.for_runc();
    let script = "while :; do date +%s; sleep 0.2; done >/out 2>/tmp/err </dev/null";
    let script = format!("exec sh -c '{script}' >/tmp/out 2>&1 </dev/null");
    let mut bundle = need!(Bundle::new(&["sh", "-c", &script], profile));
    bundle.config["annotations"] =
        serde_json::json!({ "org.criu.config": options.to_str().unwrap() });
    bundle.write();
    let out = bundle.path().join("rootfs/out");
    let container = need!(Container::new(Runtime::Runc, bundle));
    let at = container.bundle.path().to_str().unwrap();
    let seconds = || -> Vec<i128> {
        let lines = criu::lines(&out);
        lines.iter().map(|line| line.parse().unwrap()).collect()
    };
    let wait = || {
        let had = seconds().len();
        wait_until(|| seconds().len() > had + 5, "its times");
    };

    runc(
        &container,
        &["run", "--detach", "--bundle", at, &container.id],
    );
    let begun = Host::now();
    wait();
    let now = *seconds().last().unwrap() - ahead;
    let host = begun.until(Host::now(), "REALTIME");
    assert!(
        (host.before / SECOND..=host.after / SECOND).contains(&now),
        "{now} {host:?}"
    );
    let images = criu.images();
    let (images, work) = (images.to_str().unwrap(), criu.file("work"));
    let place = [
        "--image-path",
        images,
        "--work-path",
        work.to_str().unwrap(),
    ];
    let with = ["--criu", program.to_str().unwrap()];
    // What the dump takes counts in part.
    let pause = Host::now();
    runc(
        &container,
        &[&with, &["checkpoint"][..], &place, &[&container.id]].concat(),
    );
    let before = seconds();
    std::thread::sleep(Duration::from_secs(8));
    let restore = [&with, &["restore", "--detach", "--bundle", at][..], &place];
    let stopped = Host::now();
    runc(
        &container,
        &[&restore.concat()[..], &[&container.id]].concat(),
    );
    let restored = Host::now();
    wait();

    let after = seconds()[before.len()];
    let last = *before.last().unwrap();
    assert!(after >= last, "{last} {after}");
    // What the restore took is counted, and a tick or two; the pause is not.
    let paused = pause.until(stopped, "REALTIME");
    let took = stopped.until(restored, "REALTIME");
    let counted = (after - last) * SECOND;
    let most = (took.after - took.before) + (paused.after - paused.before) - 4 * SECOND;
    assert!(counted <= most, "{counted} of {most}");
    // A program that it starts has the same clock.
    let before = Host::now();
    wait();
    let now = *seconds().last().unwrap();
    let host = before.until(Host::now(), "REALTIME");
    assert!(
        (now - ahead) * SECOND <= host.after - 4 * SECOND,
        "{now} {host:?}"
    );
}
