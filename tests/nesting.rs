//! Namespaces within namespaces: the outer supervisor serves them all.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, Reading, SECOND};
use harness::guests::{self, Kind};
use harness::process::{Finished, Run, elsewhen};
use harness::{need, skip, tools};
use std::path::Path;

/// The outermost namespace of these tests is this many seconds ahead.
const OUTER: i128 = 1_000_000;

fn outer() -> Run {
    Run::inside(&["--realtime", &format!("+{OUTER}")])
}

/// A command in an inner namespace, this many seconds ahead of the one around it, for a shell.
fn inner(seconds: i128, command: &str) -> String {
    format!(
        "{} run --realtime {seconds:+} -- {command}",
        elsewhen().display()
    )
}

/// Checks that each line is `NAME READING`, and that each was read as far ahead as its name's
/// table entry says. Every name must be there.
fn expect(before: Host, told: &str, table: &[(&str, i128)]) {
    let passed = before.until(Host::now(), "REALTIME");
    for (name, seconds) in table {
        let mut found = 0;
        for line in told.lines() {
            let Some((_, reading)) = line.split_once(' ').filter(|(word, _)| word == name) else {
                continue;
            };
            let reading = Reading::parse(reading).unwrap_or_else(|| panic!("{line}"));
            let expected = passed.shifted(seconds * SECOND);
            assert!(expected.contains(reading), "{line}: {expected:?}\n{told}");
            found += 1;
        }
        assert!(found > 0, "`{name}` has told nothing\n{told}");
    }
}

fn run(script: &str, table: &[(&str, i128)]) -> Finished {
    let before = Host::now();
    let ended = outer().run(&["bash", "-c", script]).succeeded();
    assert_eq!(ended.stderr, "");
    expect(before, &ended.stdout, table);
    ended
}

#[test]
fn an_inner_namespace_adds_to_the_one_around_it() {
    let one = inner(5000, "date '+one %s.%N'");
    let back = inner(-OUTER, "date '+back %s.%N'");
    run(
        &format!("date '+outer %s.%N'; {one}; date '+outer %s.%N'; {back}; date '+outer %s.%N'"),
        &[("outer", OUTER), ("one", OUTER + 5000), ("back", 0)],
    );
}

#[test]
fn namespaces_nest_many_deep() {
    let mut command = "date '+deepest %s.%N'".to_owned();
    for _ in 0..10 {
        command = inner(100_000, &command);
    }
    run(&command, &[("deepest", OUTER + 1_000_000)]);
}

#[test]
fn two_inner_namespaces_live_side_by_side() {
    let each = |name: &str, seconds| {
        inner(
            seconds,
            &format!("sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do date \"+{name} %s.%N\"; done'"),
        )
    };
    run(
        &format!(
            "{} & {} & for i in 1 2 3 4 5; do date '+outer %s.%N'; done; wait",
            each("left", 50_000),
            each("right", -50_000)
        ),
        &[
            ("outer", OUTER),
            ("left", OUTER + 50_000),
            ("right", OUTER - 50_000),
        ],
    );
}

#[test]
fn every_kind_of_program_has_the_inner_clock() {
    for kind in Kind::C {
        let guest = need!(guests::build("now", kind));
        let command = format!("echo now $({})", inner(7000, &guest.display().to_string()));
        let before = Host::now();
        let ended = outer().run(&["bash", "-c", &command]).succeeded();
        // The guest prints more than one reading.
        let lines = ended
            .stdout
            .trim_start_matches("now")
            .trim()
            .replace(' ', "\nnow ");
        expect(before, &format!("now {lines}"), &[("now", OUTER + 7000)]);
    }
}

#[test]
fn an_exec_chain_stays_in_the_inner_namespace() {
    let chain = "sh -c 'exec env sh -c \"exec nice sh -c \\\"exec date +chain\\\\ %s.%N\\\"\"'";
    run(&inner(9000, chain), &[("chain", OUTER + 9000)]);
}

#[test]
fn a_daemon_keeps_its_inner_namespace_when_the_inner_command_has_ended() {
    let dir = guests::public_directory();
    let dir = dir.path().display();
    // Twice forked, in a session of its own, and it starts its programs long after.
    let daemon = "( setsid sh -c 'while ! test -e go; do sleep 0.05; done; sh -c \"date +daemon\\ %s.%N\" >told.new; mv told.new told' </dev/null >/dev/null 2>&1 & )";
    std::fs::write(Path::new(&dir.to_string()).join("start"), daemon).unwrap();
    let start = inner(30_000, "sh start");
    // Another namespace comes and goes in the meantime, so that a slot is used again.
    let other = inner(60_000, "date '+other %s.%N'");
    let ended = run(
        &format!(
            "cd {dir}; {start}; {other}; {other}; date '+outer %s.%N'; touch go; \
             while ! test -e told; do sleep 0.05; done; cat told"
        ),
        &[
            ("outer", OUTER),
            ("other", OUTER + 60_000),
            ("daemon", OUTER + 30_000),
        ],
    );
    assert_eq!(ended.stdout.lines().count(), 4);
}

#[test]
fn an_inner_run_returns_with_its_command_and_passes_its_status_on() {
    let script = format!(
        "{}; echo $?; {}; echo $?; {}; echo $?",
        inner(1, "sh -c 'exit 9'"),
        inner(1, "sh -c 'kill -TERM $$'"),
        inner(1, "no-such-command 2>/dev/null")
    );
    let ended = outer().run(&["bash", "-c", &script]).succeeded();
    assert_eq!(ended.stdout, "9\n143\n127\n");
}

#[test]
fn the_slot_of_an_ended_namespace_is_used_again() {
    let command = inner(5000, "date '+now %s.%N'");
    let ended = run(
        &format!("for i in $(seq 150); do {command} || exit; done"),
        &[("now", OUTER + 5000)],
    );
    assert_eq!(ended.stdout.lines().count(), 150);
}

#[test]
fn one_namespace_too_many_is_refused_in_one_line() {
    let dir = guests::public_directory();
    let many = inner(
        10,
        "sh -c 'echo in >>in; while ! test -e go; do sleep 0.2; done' &",
    );
    let one = inner(10, "true");
    let script = format!(
        "for i in $(seq 64); do {many} done; while ! test \"$(wc -l <in)\" = 64; do sleep 0.1; done; \
         {one}; echo $?; touch go; wait; {one}; echo $?"
    );
    std::fs::write(dir.path().join("in"), "").unwrap();
    let ended = outer()
        .in_dir(dir.path())
        .limit(300)
        .run(&["bash", "-c", &script])
        .succeeded();
    assert_eq!(ended.stdout, "125\n0\n");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.starts_with("elsewhen: "), "{}", ended.stderr);
    assert!(ended.stderr.contains("64"), "{}", ended.stderr);
}

#[test]
fn offsets_that_add_up_to_too_much_are_refused_in_one_line() {
    let elsewhen = elsewhen().display().to_string();
    let ended = Run::inside(&["--realtime", "+200y"]).run(&[
        &elsewhen,
        "run",
        "--realtime",
        "+73000d",
        "date",
    ]);
    assert_eq!(ended.code, 125, "{ended:#?}");
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
}

#[test]
fn a_foreign_supervisor_above_is_named_in_one_line() {
    let listener = need!(guests::build("listener", Kind::Glibc));
    let listener = listener.display().to_string();
    let host = Run::on_host().run(&[&listener, "echo", "runs"]);
    if host.code == 2 {
        skip!("no seccomp listener here: {}", host.stderr);
    }
    let elsewhen = elsewhen().display().to_string();
    let ended = Run::on_host().run(&[&listener, &elsewhen, "run", "--realtime", "+5", "date"]);
    assert_eq!(ended.code, 125, "{ended:#?}");
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.lines().count(), 1, "{}", ended.stderr);
    assert!(
        ended.stderr.contains("another seccomp supervisor"),
        "{}",
        ended.stderr
    );
}

#[test]
fn a_supervisor_inside_is_as_the_kernel_has_it() {
    // Only one listener can be above a process; the kernel says EBUSY, also to a container engine.
    let listener = need!(guests::build("listener", Kind::Glibc));
    let ended = outer().run(&[listener.as_os_str(), "date".as_ref()]);
    assert_eq!(ended.code, 2, "{ended:#?}");
    assert!(ended.stderr.contains("busy"), "{ended:#?}");
}

#[test]
fn an_inner_command_can_be_stopped_and_ended_by_its_front() {
    let dir = guests::public_directory();
    let command = inner(5, "sh -c 'echo ready; echo $$ >pid; exec sleep 1000'");
    let script = format!(
        "{command} & front=$!; while ! test -s pid; do sleep 0.05; done; kill -TERM $front; wait $front; echo $?; \
         kill -0 $(cat pid) 2>/dev/null && echo alive"
    );
    let ended = outer().in_dir(dir.path()).run(&["bash", "-c", &script]);
    assert_eq!(ended.stdout, "ready\n143\n", "{ended:#?}");
}

#[test]
fn a_storm_of_inner_namespaces_gives_each_its_own_clock() {
    need!(tools::find("bash"));
    let before = Host::now();
    let mut script = String::new();
    for worker in 1..=8_i128 {
        let command = inner(
            worker * 10_000,
            &format!("sh -c 'date \"+w{worker} %s.%N\"; env date \"+w{worker} %s.%N\"'"),
        );
        script += &format!("(for i in 1 2 3 4 5 6; do {command}; done) & ");
    }
    script += "wait";
    let ended = outer().limit(300).run(&["bash", "-c", &script]).succeeded();
    assert_eq!(ended.stderr, "");
    assert_eq!(ended.stdout.lines().count(), 8 * 6 * 2);
    for worker in 1..=8_i128 {
        let name = format!("w{worker}");
        expect(before, &ended.stdout, &[(&name, OUTER + worker * 10_000)]);
    }
}

#[test]
fn a_deep_chain_of_processes_stays_in_the_inner_namespace() {
    let dir = guests::public_directory();
    std::fs::write(
        dir.path().join("deep"),
        "if test $1 = 0; then date '+deep %s.%N'; else sh deep $(($1 - 1)); fi; true\n",
    )
    .unwrap();
    let before = Host::now();
    let ended = outer()
        .in_dir(dir.path())
        .limit(300)
        .run(&["bash", "-c", &inner(5000, "sh deep 600")])
        .succeeded();
    expect(before, &ended.stdout, &[("deep", OUTER + 5000)]);
}
