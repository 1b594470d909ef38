//! Programs that own signals, are debugged, sandbox themselves, or lack what others have.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Reading, SECOND};
use harness::guests::{self, Kind};
use harness::process::{AS_NOBODY, Finished, Run};
use harness::{need, root, skip, tools, ways};
use std::ffi::{OsStr, OsString};
use std::path::Path;

fn words<'a>(first: &'a Path, rest: &[&'a str]) -> Vec<&'a OsStr> {
    let mut words = vec![first.as_os_str()];
    words.extend(rest.iter().map(|word| OsStr::new(*word)));
    words
}

/// Takes the lines that begin with a word out of the standard output.
fn take_lines(run: &mut Finished, word: &str) -> Vec<String> {
    let (taken, rest): (Vec<_>, Vec<_>) = run
        .stdout
        .lines()
        .map(str::to_owned)
        .partition(|line| line.starts_with(word));
    run.stdout = rest.join("\n");
    taken
}

#[test]
fn a_program_that_blocks_all_signals_runs_shifted() {
    for kind in Kind::C {
        let mut starter = need!(ways::starter("blocked"));
        starter.push(need!(guests::build("now", kind)).into());
        Run::shifted().run(&starter).expect_shifted();

        let signals = need!(guests::build("signals", kind));
        let mut run = Run::shifted().run(&words(&signals, &["blocked"]));
        assert_eq!(take_lines(&mut run, "handled"), ["handled 0"]);
        run.expect_shifted();
    }
}

#[test]
fn a_program_with_its_own_sigsys_handler_keeps_it_to_itself() {
    for kind in Kind::C {
        let signals = need!(guests::build("signals", kind));
        let mut run = Run::shifted().run(&words(&signals, &["handler"]));
        assert_eq!(take_lines(&mut run, "handled"), ["handled 1"], "{run:#?}");
        run.expect_shifted();
    }
}

#[test]
fn a_program_that_ignores_sigsys_runs_shifted() {
    let signals = need!(guests::build("signals", Kind::Glibc));
    let mut run = Run::shifted().run(&words(&signals, &["ignored"]));
    assert_eq!(take_lines(&mut run, "handled"), ["handled 0"]);
    run.expect_shifted();
}

#[test]
fn a_program_with_a_seccomp_filter_of_its_own_runs_shifted() {
    for kind in [Kind::Glibc, Kind::GlibcStatic] {
        let guest = need!(guests::build("sandboxed", kind));
        for mode in [
            &["allow"][..],
            &["allow", "prctl"],
            &["trap"],
            &["trap", "prctl"],
        ] {
            Run::shifted().run(&words(&guest, mode)).expect_shifted();
        }
    }
}

#[test]
fn a_program_that_forbids_mmap_before_its_first_clock_read_runs_shifted() {
    for kind in [Kind::Glibc, Kind::GlibcStatic] {
        let guest = need!(guests::build("sandboxed", kind));
        for mode in [&["nommap"][..], &["nommap", "prctl"]] {
            Run::on_host().run(&words(&guest, mode)).succeeded();
            Run::shifted().run(&words(&guest, mode)).expect_shifted();
        }
    }
}

#[test]
fn a_program_under_strace_runs_shifted() {
    need!(tools::find("strace"));
    let guest = need!(guests::build("now", Kind::Glibc));
    let script = format!("date +%s.%N; {0}; {0} | cat", guest.display());
    let dir = guests::public_directory();
    let trace = ["strace", "-f", "-o", "trace", "sh", "-c", &script];
    let run = Run::shifted().in_dir(dir.path()).run(&trace);
    run.expect_shifted();
    assert_eq!(run.stdout.lines().count(), 5);
    let trace = std::fs::read_to_string(dir.path().join("trace")).unwrap();
    assert_eq!(trace.matches("exited with 0").count(), 5, "{trace}");
}

#[test]
fn a_program_under_gdb_runs_shifted_and_can_be_asked_the_time() {
    need!(tools::find("gdb"));
    let guest = need!(guests::build("now", Kind::Glibc));
    let mut gdb: Vec<&OsStr> = ["gdb", "-nx", "-batch"].map(OsStr::new).to_vec();
    for command in [
        "set debuginfod enabled off",
        "break main",
        "run",
        "print (long)time(0)",
        "continue",
    ] {
        gdb.extend(["-ex", command].map(OsStr::new));
    }
    gdb.extend([OsStr::new("--args"), guest.as_os_str()]);
    let run = Run::shifted().run(&gdb);
    assert_eq!(run.code, 0, "{run:#?}");

    let expected = run.host("REALTIME").shifted(harness::SHIFT * SECOND);
    let readings: Vec<Reading> = run
        .stdout
        .lines()
        .filter_map(|line| Reading::parse(line.trim_start_matches("$1 = ")))
        .collect();
    assert_eq!(readings.len(), 3, "{run:#?}");
    for reading in readings {
        assert!(expected.contains(reading), "{reading:?}\n{run:#?}");
    }
}

#[test]
fn a_program_with_address_sanitizer_runs_shifted_and_clean() {
    let guest = need!(guests::build("leaks", Kind::Asan));
    let run = Run::shifted().run(&[&guest]);
    run.expect_shifted();
    assert_eq!(run.stderr, "");
}

#[test]
fn the_leak_check_still_finds_a_leak() {
    let guest = need!(guests::build("leaks", Kind::Asan));
    let host = Run::on_host().run(&words(&guest, &["leak"]));
    assert!(host.stderr.contains("detected memory leaks"), "{host:#?}");
    let run = Run::shifted().run(&words(&guest, &["leak"]));
    assert_eq!(run.code, host.code, "{run:#?}");
    assert!(run.stderr.contains("detected memory leaks"), "{run:#?}");
    assert!(run.stderr.contains("123 byte"), "{run:#?}");
}

#[test]
fn a_program_that_can_open_no_file_runs_shifted() {
    for mode in ["nofile", "fdfull"] {
        for kind in [Kind::GlibcStatic, Kind::MuslStatic, Kind::RustStatic] {
            let mut starter = need!(ways::starter(mode));
            starter.push(need!(guests::build("now", kind)).into());
            Run::on_host().run(&starter).succeeded();
            Run::shifted().run(&starter).expect_shifted();
        }
    }
}

#[test]
fn an_exec_that_fails_has_the_kernels_error_and_the_next_one_works() {
    let dir = guests::public_directory();
    for kind in Kind::C {
        let mut starter: Vec<OsString> = need!(ways::starter("failures"));
        starter.push(need!(guests::build("now", kind)).into());
        let host = Run::on_host().in_dir(dir.path()).run(&starter).succeeded();
        assert_eq!(host.stderr.lines().count(), 5, "{host:#?}");
        let run = Run::shifted().in_dir(dir.path()).run(&starter);
        run.expect_shifted();
        assert_eq!(run.stderr, host.stderr);
    }
}

#[test]
fn a_binary_that_its_user_cannot_read_runs_shifted() {
    need!(root());
    let dir = guests::public_directory();
    for kind in [Kind::MuslStatic, Kind::Glibc] {
        let now = guests::copy(&need!(guests::build("now", kind)), dir.path(), 0o711);
        let command = [&AS_NOBODY.map(OsStr::new)[..], &[now.as_os_str()]].concat();
        Run::shifted().run(&command).expect_shifted();
    }
}

#[test]
fn a_binary_that_nobody_here_can_read_is_warned_about_by_name_or_runs_shifted() {
    need!(root());
    let dir = guests::public_directory();
    for kind in [Kind::MuslStatic, Kind::Glibc] {
        let now = guests::copy(&need!(guests::build("now", kind)), dir.path(), 0o711);
        let run = Run::shifted().by_ordinary_user(dir.path()).run(&[&now]);
        // Without a privilege there is no way in: a warning names the program.
        if harness::is_warned(&run.stderr, "now-") {
            assert_eq!(run.code, 0, "{run:#?}");
        } else {
            run.expect_shifted();
        }
    }
}

#[test]
fn a_setuid_binary_changes_its_user_and_runs_shifted() {
    need!(root());
    let dir = guests::public_directory();
    let now = guests::copy(
        &need!(guests::build("now", Kind::MuslStatic)),
        dir.path(),
        0o755,
    );
    std::os::unix::fs::chown(&now, Some(65533), None).unwrap();
    std::fs::set_permissions(&now, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
    let command = [&AS_NOBODY.map(OsStr::new)[..], &words(&now, &["uid"])].concat();

    let host = Run::on_host().run(&command).succeeded();
    if !host.stdout.starts_with("65533\n") {
        skip!("the temporary directory's file system ignores set-user-ID");
    }
    let mut run = Run::shifted().run(&command);
    assert_eq!(take_lines(&mut run, "65533"), ["65533"], "{run:#?}");
    run.expect_shifted();

    // An ordinary user's namespace has `no_new_privs`, so there it stays who it was.
    let mut run = Run::shifted()
        .by_ordinary_user(dir.path())
        .run(&words(&now, &["uid"]));
    assert_eq!(take_lines(&mut run, "65534"), ["65534"], "{run:#?}");
    run.expect_shifted();
}

#[test]
fn a_program_preloaded_with_jemalloc_runs_shifted() {
    let guest = need!(guests::build("now", Kind::Glibc));
    let preload = OsStr::new("LD_PRELOAD=libjemalloc.so.2");
    let command = [OsStr::new("env"), preload, guest.as_os_str()];
    if Run::on_host()
        .run(&command)
        .stderr
        .contains("cannot be preloaded")
    {
        skip!("`libjemalloc.so.2` is not installed");
    }
    let run = Run::shifted().run(&command);
    run.expect_shifted();
    assert_eq!(run.stderr, "");
}

#[test]
fn a_32_bit_program_is_warned_about_by_name() {
    let guest = need!(guests::build("clocks", Kind::I386));
    let name = guest.file_name().unwrap().to_string_lossy().into_owned();
    if Run::on_host().run(&[&guest]).code != 0 {
        skip!("this kernel runs no 32-bit programs");
    }
    for command in [
        vec![guest.clone().into_os_string()],
        vec![
            "sh".into(),
            "-c".into(),
            format!("{}; true", guest.display()).into(),
        ],
    ] {
        let run = Run::shifted().run(&command);
        let line = run.stderr.lines().find(|line| line.contains(&name));
        let Some(line) = line else {
            panic!("no warning names {name}\n{run:#?}");
        };
        assert!(line.starts_with("elsewhen: "), "{line}");
        assert!(line.contains("32-bit"), "{line}");
    }
}

#[test]
fn the_commands_own_streams_stay_free_of_warnings() {
    for kind in Kind::C {
        let guest = need!(guests::build("now", kind));
        let run = Run::shifted().run(&[&guest]);
        run.expect_shifted();
        assert_eq!(run.stderr, "");
    }
}
