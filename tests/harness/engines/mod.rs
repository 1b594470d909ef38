//! Container engines with state of their own, the agent, and what every engine's containers have to do.

pub(crate) mod bare;
pub(crate) mod containerd;
pub(crate) mod debian;
pub(crate) mod docker;
pub(crate) mod hosts;
pub(crate) mod podman;
pub(crate) mod stage;

use super::clock::{Host, SECOND};
use super::process::{Finished, Run};
use super::{SHIFT, timeouts};
use stage::Stage;

/// An engine that starts containers from the stage's root.
pub(crate) trait Engine {
    /// Runs a container to its end; `offsets` are words by the names of clocks, as the engine's user gives them.
    fn run(&self, offsets: &[(&str, &str)], command: &[&str]) -> Finished;
    /// Starts a container that goes on.
    fn start(&self, name: &str, offsets: &[(&str, &str)], command: &[&str]);
    /// Runs a further command in it.
    fn exec(&self, name: &str, command: &[&str]) -> Finished;
    /// Ends it and starts it again.
    fn restart(&self, name: &str);
    /// Ends it, and forgets it.
    fn remove(&self, name: &str);
}

const READ: &[&str] = &["/bin/date", "+%s"];
const STAY: &[&str] = &["/bin/sleep", "1000"];

fn ahead() -> String {
    format!("+{SHIFT}")
}

/// `date` is the container's, its wait included; all that it does not shift is the host's.
pub(crate) fn expect_date(engine: &impl Engine) {
    let program = "date +%s; (sleep 0.2; date +%s); busybox date +%s";
    let command = ["/bin/sh", "-c", program];
    engine
        .run(&[("realtime", &ahead())], &command)
        .expect_shifted();
    let plain = engine.run(&[], READ).succeeded();
    plain.host("REALTIME").check_lines(&plain.stdout).unwrap();
}

/// Clocks that agree with each other: uptime is what the container's boot clock says.
pub(crate) fn expect_uptime(engine: &impl Engine) {
    let read = ["/bin/cut", "-d ", "-f1", "/proc/uptime"];
    let inside = engine.run(&[("boottime", &ahead())], &read).succeeded();
    let expected = inside.host("BOOTTIME").shifted(SHIFT * SECOND);
    expected.check_lines(&inside.stdout).unwrap();
}

/// All absolute waits of a program end as on the host, after as long as they have to take.
pub(crate) fn expect_waits(engine: &impl Engine, stage: &Stage) {
    let host = Run::on_host().run(&[stage.waits().as_os_str(), "100".as_ref()]);
    let expected = timeouts::results(&host).unwrap_or_else(|why| panic!("{why}\n{host:#?}"));
    assert!(!expected.is_empty(), "{host:#?}");
    let offsets = [
        ("realtime", "+400d"),
        ("monotonic", "+300d"),
        ("boottime", "+200d"),
    ];
    let inside = engine.run(&offsets, &["/bin/timeouts", "100"]);
    match timeouts::results(&inside) {
        Ok(results) => assert_eq!(results, expected, "{inside:#?}"),
        Err(why) => panic!("{why}\n{inside:#?}"),
    }
}

/// `exec` has the container's clocks, also after it has been ended and started again.
pub(crate) fn expect_exec_and_restart(engine: &impl Engine) {
    engine.start("lasting", &[("realtime", &ahead())], STAY);
    engine.exec("lasting", READ).expect_shifted();
    engine.exec("lasting", READ).expect_shifted();
    engine.restart("lasting");
    engine.exec("lasting", READ).expect_shifted();
    engine.remove("lasting");
}

/// Two containers at two dates and one at the host's, while the host's clocks go on.
pub(crate) fn expect_containers_beside_each_other(engine: &impl Engine) {
    let before = Host::now();
    let back = format!("-{SHIFT}");
    engine.start("ahead", &[("realtime", &ahead())], STAY);
    engine.start("back", &[("realtime", &back)], STAY);
    engine.start("plain", &[], STAY);
    for (name, shift) in [
        ("ahead", SHIFT),
        ("back", -SHIFT),
        ("plain", 0),
        ("ahead", SHIFT),
    ] {
        let read = engine.exec(name, READ).succeeded();
        let expected = read.host("REALTIME").shifted(shift * SECOND);
        expected
            .check_lines(&read.stdout)
            .unwrap_or_else(|why| panic!("{name}: {why}"));
    }
    for name in ["ahead", "back", "plain"] {
        engine.remove(name);
    }
    // What adjusts the host's clock moves it by less than this.
    assert!(
        before.moved().abs() < SECOND,
        "the host's clock has been set"
    );
}

/// What cannot be understood starts no container, and the engine's user is told why.
pub(crate) fn expect_refusal(engine: &impl Engine) {
    let refused = engine.run(&[("realtime", "soon")], READ);
    assert_ne!(refused.code, 0, "{refused:#?}");
    assert_eq!(refused.stdout, "");
    let said = refused.stderr.to_lowercase();
    assert!(said.contains("realtime: soon"), "{refused:#?}");
}
