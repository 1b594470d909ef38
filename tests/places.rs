//! Where elsewhen runs: in containers, user and pid namespaces, a bare root directory, and the
//! kernel's own time namespaces.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Bracket, SECOND};
use harness::guests::{self, Kind};
use harness::process::{Finished, Run, alone, elsewhen};
use harness::{Missing, need, root, skip, tools};
use std::path::{Path, PathBuf};

/// Words of unshare(1), if it can do on this machine what they say.
fn unshare<'a>(words: &[&'a str]) -> Result<Vec<&'a str>, Missing> {
    tools::find("unshare")?;
    let mut command = vec!["unshare"];
    command.extend(words);
    let probe = Run::on_host().through(&command).run(&["true"]);
    if probe.code == 0 {
        Ok(command)
    } else {
        Err(Missing(format!("{command:?}: {}", probe.stderr.trim())))
    }
}

fn date() -> [&'static str; 2] {
    ["date", "+%s.%N"]
}

#[test]
fn a_command_in_user_and_pid_namespaces_runs_shifted() {
    let place = need!(unshare(&["-Urpf", "--mount-proc"]));
    Run::shifted().through(&place).run(&date()).expect_shifted();
    for kind in Kind::C {
        let now = need!(guests::build("now", kind));
        Run::shifted().through(&place).run(&[&now]).expect_shifted();
    }
}

#[test]
fn user_and_pid_namespaces_inside_run_shifted() {
    let place = need!(unshare(&["-Urpf", "--mount-proc"]));
    let words = [&place[..], &date()].concat();
    Run::shifted().run(&words).expect_shifted();
    // And another namespace in there, by the supervisor outside.
    let elsewhen = elsewhen().display().to_string();
    let inner = [&elsewhen, "run", "--realtime", "-100000", "--"];
    let words = [&place[..], &inner, &date()].concat();
    let ended = Run::inside(&["--realtime", "+1100000"]).run(&words);
    ended.expect_shifted();
}

#[test]
fn the_first_process_of_a_pid_namespace_is_no_different() {
    let place = need!(unshare(&["-pf", "--mount-proc"]));
    let script = "date +%s.%N; test $PPID != 0 || exit 9; ( setsid sleep 0.1 & ); \
                  test \"$(ps -eo args | grep -c '[e]lsewhen run')\" -ge 2 || exit 8; sleep 0.2; date +%s.%N";
    let run = Run::shifted().through(&place);
    run.run(&["sh", "-c", script]).expect_shifted();
    for (script, status) in [
        ("exit 77", 77),
        ("kill -TERM $$", 143),
        ("kill -KILL $$", 137),
    ] {
        assert_eq!(run.run(&["sh", "-c", script]).code, status, "{script}");
    }
    // A daemon goes with its pid namespace, as on the host, and no control group is left.
    let name = format!("first.{}", std::process::id());
    let named = ["--realtime", "+1000000", "--name", &name];
    let ended = Run::inside(&named).through(&place).run(&[
        "sh",
        "-c",
        "setsid sleep 1000 >/dev/null 2>&1 & exit 3",
    ]);
    assert_eq!(ended.code, 3);
    let left = Run::on_host().run(&["find", "/sys/fs/cgroup", "-name", &format!("*{name}*")]);
    assert_eq!(left.stdout, "");
}

#[test]
fn signals_reach_the_command_of_a_pid_namespaces_first_process() {
    let place = need!(unshare(&["-p", "--fork", "--mount-proc", "--kill-child"]));
    let running = Run::shifted().through(&place).start(&[
        "sh",
        "-c",
        "trap 'echo got; exit 5' TERM; echo ready; while :; do sleep 0.05; done",
    ]);
    harness::sys::wait_until(|| running.output().contains("ready"), "ready");
    // unshare(1) itself ignores it while it waits; the front has no other way to it from here.
    let children = format!("/proc/{0}/task/{0}/children", running.pid());
    let front = std::fs::read_to_string(children).unwrap();
    harness::sys::kill(front.trim().parse().unwrap(), libc::SIGTERM);
    let ended = running.finish();
    assert_eq!((ended.code, ended.stdout.as_str()), (5, "ready\ngot\n"));
}

#[test]
fn the_proc_of_another_pid_namespace_is_refused_in_one_line() {
    let place = need!(unshare(&["-pf"]));
    let ended = Run::shifted().through(&place).run(&date());
    expect_refusal(&ended, "`/proc` belongs to another pid namespace");
}

fn expect_refusal(ended: &Finished, part: &str) {
    assert_eq!(ended.code, 125, "{ended:#?}");
    assert_eq!(ended.stdout, "");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
    assert!(ended.stderr.starts_with("elsewhen: "), "{ended:#?}");
    assert!(ended.stderr.contains(part), "{ended:#?}");
}

/// A root directory with nothing in it but elsewhen, its libraries and static programs.
fn bare_root(dir: &Path) -> Result<(), Missing> {
    let busybox = tools::static_busybox()?;
    tools::find("chroot")?;
    let now = guests::build("now", Kind::MuslStatic)?;
    for sub in ["bin", "proc", "dev", "tmp"] {
        std::fs::create_dir_all(dir.join(sub)).unwrap();
    }
    let mut files = vec![
        (elsewhen(), PathBuf::from("bin/elsewhen")),
        (busybox, "bin/busybox".into()),
        (now, "bin/now".into()),
    ];
    let libraries = Run::on_host().run(&["ldd".as_ref(), elsewhen().as_os_str()]);
    for word in libraries.stdout.split_whitespace() {
        if let Some(below) = word.strip_prefix('/') {
            files.push((word.into(), below.into()));
        }
    }
    for (from, to) in files {
        let to = dir.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        alone(|| std::fs::copy(&from, &to).unwrap());
    }
    std::os::unix::fs::symlink("busybox", dir.join("bin/sh")).unwrap();
    Ok(())
}

#[test]
fn a_bare_root_directory_with_proc_is_enough() {
    need!(root());
    let dir = guests::public_directory();
    need!(bare_root(dir.path()));
    let place = need!(unshare(&["-mpf"]));
    let script = "mount -t proc proc \"$0/proc\" && exec chroot \"$0\" \"$@\"";
    let root = dir.path().display().to_string();
    let run = Run::on_host().through(&[&place[..], &["sh", "-c", script, &root]].concat());
    let words = ["/bin/elsewhen", "run", "--realtime", "+1000000"];
    run.run(&[&words[..], &["/bin/now"]].concat())
        .expect_shifted();
    let ended = run.run(&[&words[..], &["/bin/sh", "-c", "/bin/now; exit 6"]].concat());
    assert_eq!(ended.code, 6, "{ended:#?}");
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_root_directory_without_proc_is_refused_in_one_line() {
    need!(root());
    let dir = guests::public_directory();
    need!(bare_root(dir.path()));
    let root = dir.path().display().to_string();
    let words = [
        "chroot",
        &root,
        "/bin/elsewhen",
        "run",
        "--realtime",
        "+1000000",
        "/bin/now",
    ];
    expect_refusal(&Run::on_host().run(&words), "mount proc(5)");
}

#[test]
fn a_program_that_changes_its_root_inside_runs_shifted() {
    need!(root());
    let dir = guests::public_directory();
    need!(bare_root(dir.path()));
    let root = dir.path().display().to_string();
    Run::shifted()
        .run(&["chroot", &root, "/bin/now"])
        .expect_shifted();
}

/// The monotonic clock of the host, so many seconds ahead.
fn monotonic(ended: &Finished, seconds: i128) -> Bracket {
    ended.host("MONOTONIC").shifted(seconds * SECOND)
}

/// A program that prints CLOCK_MONOTONIC.
fn uptime_reader() -> Result<Vec<String>, Missing> {
    let python = tools::python()?.display().to_string();
    Ok(vec![
        python,
        "-c".into(),
        "import time; print('%.9f' % time.monotonic())".into(),
    ])
}

#[test]
fn a_kernels_time_namespace_around_and_ours_inside_add_up() {
    let place = need!(unshare(&["-T", "--fork", "--monotonic", "100000"]));
    let reader = need!(uptime_reader());
    for backend in ["guest", "auto"] {
        let options = ["--backend", backend, "--monotonic", "+5000"];
        let ended = Run::inside(&options)
            .through(&place)
            .run(&reader)
            .succeeded();
        let told = monotonic(&ended, 105_000).check_lines(&ended.stdout);
        told.unwrap_or_else(|why| panic!("{backend}: {why}"));
    }
    // The time of day too.
    Run::shifted().through(&place).run(&date()).expect_shifted();
}

/// As in one of the kernel's: `timens_offsets` count from the host's clocks.
#[test]
fn a_time_namespace_made_inside_of_ours_counts_from_the_hosts_clocks_and_keeps_the_date() {
    need!(unshare(&["-T", "--fork", "--monotonic", "100000"]));
    let reader = need!(uptime_reader());
    let place = ["unshare", "-T", "--fork", "--monotonic", "100000"].map(String::from);
    let words = [&place[..], &reader].concat();
    let options = [
        "--backend=guest",
        "--monotonic",
        "+5000",
        "--realtime",
        "+1000000",
    ];
    let ended = Run::inside(&options).run(&words).succeeded();
    monotonic(&ended, 100_000)
        .check_lines(&ended.stdout)
        .unwrap();
    let words = [&place[..], &date().map(String::from)].concat();
    Run::inside(&options).run(&words).expect_shifted();
}

#[test]
fn an_ordinary_user_cannot_gain_privileges_inside_and_root_keeps_the_choice() {
    let dir = guests::public_directory();
    let script = "grep NoNewPrivs /proc/self/status";
    let status = |run: Run| run.run(&["sh", "-c", script]).succeeded().stdout;
    assert_eq!(
        status(Run::shifted().by_ordinary_user(dir.path())),
        "NoNewPrivs:\t1\n"
    );
    need!(root());
    assert_eq!(status(Run::shifted()), "NoNewPrivs:\t0\n");
}

/// A bundle for an OCI runtime whose process is `words` in the bare root.
fn bundle(dir: &Path, runtime: &str, words: &[&str]) -> Result<(), Missing> {
    tools::find(runtime)?;
    bare_root(&dir.join("rootfs"))?;
    let run = Run::on_host().in_dir(dir);
    run.run(&[runtime, "spec"]).succeeded();
    let file = dir.join("config.json");
    let text = std::fs::read_to_string(&file).unwrap();
    let mut spec: serde_json::Value = serde_json::from_str(&text).unwrap();
    spec["process"]["terminal"] = false.into();
    spec["process"]["args"] = words.into();
    spec["process"]["rlimits"] = serde_json::Value::Array(Vec::new());
    std::fs::write(&file, spec.to_string()).unwrap();
    Ok(())
}

#[test]
fn a_command_in_a_container_of_runc_runs_shifted() {
    need!(root());
    let dir = guests::public_directory();
    let words = [
        "/bin/elsewhen",
        "run",
        "--realtime",
        "+1000000",
        "/bin/sh",
        "-c",
        "/bin/now; /bin/now",
    ];
    need!(bundle(dir.path(), "runc", &words));
    let state = dir.path().join("state");
    let state = state.display().to_string();
    let id = format!("elsewhen-test-{}", std::process::id());
    let ended = Run::on_host()
        .in_dir(dir.path())
        .run(&["runc", "--root", &state, "run", &id]);
    if ended.stderr.contains("container_linux.go") || ended.stderr.starts_with("runc") {
        skip!("runc cannot run here: {}", ended.stderr);
    }
    ended.expect_shifted();
}
