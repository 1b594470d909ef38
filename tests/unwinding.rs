//! Who waits for a time? Unwinders say the same as on the host.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::agreement::{self, AHEAD};
use harness::guests::{self, Kind};
use harness::process::{Finished, Run};
use harness::{Missing, need, sys, tools};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, Instant};

fn words<'a>(first: &'a Path, rest: &[&'a str]) -> Vec<&'a OsStr> {
    let mut words = vec![first.as_os_str()];
    words.extend(rest.iter().map(|word| OsStr::new(*word)));
    words
}

#[test]
fn a_handler_that_interrupts_a_wait_sees_its_callers() {
    let guest = need!(guests::build("unwind", Kind::Named));
    for mode in [&["backtrace"][..], &["backtrace", "stack"]] {
        let run = agreement::agree(&words(&guest, mode));
        let callers = "gamma_waits beta_calls alpha_calls main";
        assert!(run.stdout.contains(callers), "{run:#?}");
    }
}

/// DIFFERENCE: no unwind table describes the three instructions that lead from a patched call site to
/// the gate.
#[test]
fn a_handler_after_each_instruction_of_a_wait_sees_its_callers_and_can_wait_itself() {
    const SPARED: u32 = 3;
    let guest = need!(guests::build("unwind", Kind::Named));
    // Without the number of stacks that were cut off, and what was on the first of them.
    let rest = |text: &str| {
        let lines = text.lines().map(|line| {
            let (start, end) = line.split_once(" wrong, ").unwrap();
            let (count, _) = end.split_once(" incomplete").unwrap();
            (start.to_owned(), count.parse::<u32>().unwrap())
        });
        lines.unzip::<_, _, Vec<_>, Vec<_>>()
    };
    let words = words(&guest, &["step"]);
    let outside = agreement::host().run(&words).succeeded();
    let (expected, none) = rest(&outside.stdout);
    assert!(none.iter().all(|n| *n == 0), "{outside:#?}");
    assert!(
        expected.iter().all(|line| line.ends_with(" stepped, 0")),
        "{outside:#?}"
    );
    for world in [agreement::inside(&AHEAD), agreement::in_one_page()] {
        let within = world.run(&words).succeeded();
        let (found, few) = rest(&within.stdout);
        assert!(few.iter().all(|n| *n <= SPARED), "{within:#?}");
        assert_eq!(found, expected, "{within:#?}");
    }
}

#[test]
fn a_handler_may_leave_a_wait_by_an_exception() {
    for kind in [Kind::Cpp, Kind::CppStatic] {
        let guest = need!(guests::build("throws", kind));
        for mode in [&[][..], &["stack"]] {
            let run = agreement::agree(&words(&guest, mode));
            assert!(run.stdout.contains(": caught, destroyed 1"), "{run:#?}");
        }
    }
}

/// The first words of gdb, to which commands are added.
fn gdb() -> Result<Vec<OsString>, Missing> {
    let gdb = tools::find("gdb")?;
    let rest = ["-nx", "-batch", "-ex", "set debuginfod enabled off"];
    let mut words = vec![gdb.into_os_string()];
    words.extend(rest.map(OsString::from));
    Ok(words)
}

/// The functions that gdb's `bt` names, innermost first, from the first known one to `main`.
fn functions(run: &Finished) -> Vec<String> {
    let lines = run.stdout.lines().filter(|line| line.starts_with('#'));
    let name = |line: &str| {
        let (_, rest) = line.split_once(' ')?;
        let rest = rest.split_once(" in ").map_or(rest, |(_, name)| name);
        rest.trim_start().split(' ').next().map(str::to_owned)
    };
    lines.filter_map(name).collect()
}

/// All of the host's functions must be there, in their order, and at most one more: the gate.
fn expect_the_same_callers(within: &Finished, outside: &Finished) {
    let (found, expected) = (functions(within), functions(outside));
    let callers = ["gamma_waits", "beta_calls", "alpha_calls", "main"];
    assert!(
        expected.ends_with(&callers.map(str::to_owned)),
        "{outside:#?}"
    );
    let mut rest = found.iter();
    let are_there = expected.iter().all(|name| rest.any(|other| other == name));
    let report = format!("expected {expected:?}, found {found:?}\n{within:#?}");
    assert!(are_there && found.len() <= expected.len() + 1, "{report}");
}

/// The numbers of the system calls that those calls of the table make.
const NUMBERS: [i64; 3] = [
    libc::SYS_clock_nanosleep,
    libc::SYS_futex,
    libc::SYS_mq_timedreceive,
];

/// What gdb on the host says about a call of the table that waits in this world.
///
/// On a busy machine gdb may come when the wait has ended, which tells nothing: then another lasts longer.
fn attached(world: &Run, guest: &Path, call: &str) -> Result<Finished, Missing> {
    for milliseconds in [3000, 20_000, 100_000] {
        let start = Instant::now();
        let wait = milliseconds.to_string();
        let waiting = world.start(&words(guest, &["wait", call, &wait]));
        let mut pid = None;
        sys::wait_until(
            || {
                let output = waiting.output();
                let line = output.lines().find_map(|line| line.strip_prefix("pid "));
                pid = line.map(str::to_owned);
                pid.as_deref().is_some_and(is_waiting) || output.contains(" in time")
            },
            "a guest waits",
        );
        std::thread::sleep(Duration::from_millis(100));
        let mut command = gdb()?;
        command.extend(["-p", &pid.unwrap(), "-ex", "bt"].map(OsString::from));
        let said = Run::on_host().run(&command);
        let was_there = start.elapsed() < Duration::from_millis(milliseconds);
        // The wait goes on after gdb has let go, and ends at its time, if that was still to come.
        let waited = waiting.finish().succeeded();
        if was_there {
            assert!(waited.stdout.contains(" in time"), "{waited:#?}");
            return Ok(said.succeeded());
        }
    }
    panic!("gdb has taken longer than each wait");
}

/// Whether a process is in one of the system calls that wait.
fn is_waiting(pid: &str) -> bool {
    let call = std::fs::read_to_string(format!("/proc/{pid}/syscall")).unwrap_or_default();
    let number = call.split(' ').next().and_then(|word| word.parse().ok());
    number.is_some_and(|number| NUMBERS.contains(&number))
}

/// The calls that wait in different ways: sleep, futex, lock, condition, queue.
const CALLS: [&str; 5] = ["0", "5", "7", "10", "11"];

#[test]
fn gdb_names_the_callers_of_a_wait_that_it_attaches_to() {
    let guest = need!(guests::build("unwind", Kind::Named));
    for call in CALLS {
        // At once: most of their time they wait.
        let (outside, within) = std::thread::scope(|scope| {
            let outside = scope.spawn(|| attached(&agreement::host(), &guest, call));
            let within = attached(&agreement::inside(&AHEAD), &guest, call);
            (outside.join().unwrap(), within)
        });
        expect_the_same_callers(&need!(within), &need!(outside));
    }
}

/// DIFFERENCE: futexes wake up for nothing while gdb traces them, until their site is patched; from then on
/// the wait is in the gate, which gdb does not know when it has started the program.
#[test]
fn gdb_names_the_callers_of_a_first_wait_in_a_program_that_it_has_started() {
    let guest = need!(guests::build("unwind", Kind::Named));
    for call in ["0", "7", "11"] {
        let mut command = need!(gdb());
        for word in ["handle SIGUSR1 stop nopass", "run", "bt", "kill"] {
            command.extend(["-ex", word].map(OsString::from));
        }
        command.push("--args".into());
        command.push(guest.clone().into());
        command.extend(["raise", call].map(OsString::from));
        let outside = agreement::host().run(&command).succeeded();
        let within = agreement::inside(&AHEAD).run(&command).succeeded();
        expect_the_same_callers(&within, &outside);
    }
}
