//! The worlds in which a program that waits must do the same: the host, and namespaces of ours whose
//! clocks are all ahead of it, or all behind.

use super::process::{Finished, Run};
use std::ffi::OsStr;

/// All clocks are ahead, each by another time: a wait for an unconverted time never ends.
const AHEAD: [&str; 5] = [
    "--backend=guest",
    "--realtime=+400d250ms",
    "--tai=+500d",
    "--monotonic=+300d750ms",
    "--boottime=+200d1ns",
];

/// All clocks are behind, by no more than a machine has been up: such a wait ends at once.
const BEHIND: [&str; 5] = [
    "--backend=guest",
    "--realtime=-400d250ms",
    "--tai=-500d",
    "--monotonic=-20s750ms",
    "--boottime=-20s1ns",
];

/// A namespace whose clocks are ahead of the host's.
pub(crate) fn ahead() -> Run {
    Run::inside(&AHEAD)
}

/// A namespace whose clocks are behind the host's.
pub(crate) fn behind() -> Run {
    Run::inside(&BEHIND)
}

/// Whether the long storms are asked for.
pub(crate) fn is_full() -> bool {
    std::env::var("ELSEWHEN_STORM").is_ok_and(|v| v == "full")
}

/// Runs a command in each world; what it prints on the host it must print in all.
pub(crate) fn expect_agreement<S: AsRef<OsStr>>(command: &[S]) -> Finished {
    let host = Run::on_host().run(command).succeeded();
    for world in [ahead(), behind()] {
        let run = world.run(command);
        assert_eq!(run.code, 0, "{run:#?}");
        for (inside, outside) in run.stdout.lines().zip(host.stdout.lines()) {
            assert_eq!(inside, outside, "{:?}\n{}", run.words, run.stderr);
        }
        assert_eq!(run.stdout, host.stdout, "{run:#?}");
    }
    host
}
