//! The library, as a Rust program uses it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use elsewhen::{Backend, ClockOffsets, CommandExt as _, Offset, RunningNamespace, TimeNamespace};
use harness::clock::{Host, Reading, SECOND};
use harness::process::alone;
use harness::{guests, need, root, sys, tools};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::{CommandExt as _, ExitStatusExt};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// A namespace this many seconds ahead.
fn ahead(seconds: i64) -> TimeNamespace {
    let shift = Offset::from_secs(seconds);
    TimeNamespace::new(ClockOffsets {
        realtime: shift,
        tai: shift,
        ..Default::default()
    })
    .unwrap()
}

fn shell(script: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", script]).stdin(Stdio::null());
    command
}

/// Runs a command to its end and gives what it wrote.
fn text(command: &mut Command) -> String {
    let output = alone(|| {
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
    });
    let output = output.unwrap().wait_with_output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    assert_eq!(output.status.code(), Some(0), "{command:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn expect_ahead(before: Host, seconds: i64, text: &str) {
    let expected = before
        .until(Host::now(), "REALTIME")
        .shifted(i128::from(seconds) * SECOND);
    let reading = Reading::parse(text.trim()).unwrap_or_else(|| panic!("no reading: {text}"));
    assert!(expected.contains(reading), "{reading:?}, not {expected:?}");
}

#[test]
fn output_is_the_commands_and_its_clock_is_the_namespaces() {
    let before = Host::now();
    let told = text(
        Command::new("date")
            .arg("+%s.%N")
            .time_namespace(&ahead(5000)),
    );
    expect_ahead(before, 5000, &told);
}

#[test]
fn a_status_tells_the_commands_code_or_its_signal() {
    let status = |script: &str| {
        let child = alone(|| shell(script).time_namespace(&ahead(1)).spawn());
        child.unwrap().wait().unwrap()
    };
    assert_eq!(status("exit 7").code(), Some(7));
    assert_eq!(
        status("kill -TERM $$").into_raw(),
        (128 + libc::SIGTERM) << 8
    );
}

#[test]
fn standard_input_can_be_piped_and_its_end_is_seen() {
    let mut child = alone(|| {
        shell("cat; echo end")
            .time_namespace(&ahead(1))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    })
    .unwrap();
    let mut input = child.stdin.take().unwrap();
    // More than a pipe holds, so both directions are at work.
    let mut output = child.stdout.take().unwrap();
    let writer = std::thread::spawn(move || input.write_all(&[b'x'; 1 << 20]).unwrap());
    let mut read = String::new();
    output.read_to_string(&mut read).unwrap();
    writer.join().unwrap();
    assert_eq!(read.len(), (1 << 20) + 4);
    assert!(read.ends_with("xend\n"));
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_output_of_a_command_ends_before_the_command_does() {
    let mut child = alone(|| {
        shell("echo all; exec >&-; read line; exit 6")
            .time_namespace(&ahead(1))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
    })
    .unwrap();
    let mut read = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut read)
        .unwrap();
    assert_eq!(read, "all\n");
    assert!(child.try_wait().unwrap().is_none());
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(6));
}

#[test]
fn directory_environment_and_name_are_the_commands() {
    let dir = guests::public_directory();
    let told = text(
        Command::new("/bin/sh")
            .arg0("another")
            .args(["-c", "pwd; echo $ONLY; echo ${HOME-none}; echo $0"])
            .env_clear()
            .env("ONLY", "this")
            .current_dir(dir.path())
            .time_namespace(&ahead(1)),
    );
    let dir = dir.path().display();
    assert_eq!(told, format!("{dir}\nthis\nnone\nanother\n"));
}

#[test]
fn a_process_group_of_its_own_is_the_commands_too() {
    let child = alone(|| {
        shell("ps -o pgid= -p $$")
            .time_namespace(&ahead(1))
            .process_group(0)
            .stdout(Stdio::piped())
            .spawn()
    })
    .unwrap();
    let pid = child.id().to_string();
    let output = child.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), pid);
}

#[test]
fn a_command_can_be_another_users() {
    need!(root());
    let told = text(
        shell("id -u; id -g; date +%s.%N")
            .uid(65534)
            .gid(65533)
            .current_dir("/")
            .time_namespace(&ahead(1000)),
    );
    let mut lines = told.lines();
    assert_eq!(lines.next(), Some("65534"));
    assert_eq!(lines.next(), Some("65533"));
    let reading = Reading::parse(lines.next().unwrap()).unwrap();
    let now = Host::now();
    let latest = now.until(now, "REALTIME").before + 1000 * SECOND;
    assert!((latest - reading.nanos) < 60 * SECOND && reading.nanos <= latest + SECOND);
}

#[test]
fn a_missing_program_is_an_error_of_spawn() {
    let error = alone(|| {
        Command::new("/does/not/exist")
            .time_namespace(&ahead(1))
            .spawn()
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
    let error = alone(|| Command::new("/etc").time_namespace(&ahead(1)).spawn());
    assert_eq!(error.unwrap_err().kind(), ErrorKind::PermissionDenied);
    let error = alone(|| {
        Command::new("true")
            .current_dir("/does/not/exist")
            .time_namespace(&ahead(1))
            .spawn()
    });
    assert_eq!(error.unwrap_err().kind(), ErrorKind::NotFound);
}

#[test]
fn a_killed_child_takes_the_command_along() {
    let mut child = alone(|| {
        shell("echo $$; exec sleep 1000")
            .time_namespace(&ahead(1))
            .stdout(Stdio::piped())
            .spawn()
    })
    .unwrap();
    let pid = first_line(&mut child);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().signal(), Some(libc::SIGKILL));
    sys::wait_until(
        || !std::path::Path::new("/proc").join(&pid).exists(),
        "the command ends",
    );
}

/// The first line of a child's output, which stays open.
fn first_line(child: &mut Child) -> String {
    let mut line = String::new();
    let output = child.stdout.as_mut().unwrap();
    let mut byte = [0];
    while output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        line.push(byte[0].into());
    }
    line
}

#[test]
fn a_command_value_can_be_started_again_and_each_child_is_in_a_tree_of_its_own() {
    let mut command = Command::new("date");
    command.arg("+%s.%N").time_namespace(&ahead(77_000));
    for _ in 0..3 {
        let before = Host::now();
        expect_ahead(before, 77_000, &text(&mut command));
    }
}

#[test]
fn many_threads_start_commands_in_many_namespaces_at_once() {
    need!(tools::find("date"));
    std::thread::scope(|scope| {
        for thread in 0..8_i64 {
            scope.spawn(move || {
                for turn in 0..5_i64 {
                    let seconds = 100_000 * (thread + 1) + 1000 * turn;
                    let before = Host::now();
                    // Not one at a time: the library must do with what other threads are at.
                    let output = Command::new("date")
                        .arg("+%s.%N")
                        .time_namespace(&ahead(seconds))
                        .output()
                        .unwrap();
                    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
                    expect_ahead(before, seconds, &String::from_utf8(output.stdout).unwrap());
                }
            });
        }
        // Threads that keep the allocator's lock busy while others fork.
        for _ in 0..2 {
            scope.spawn(|| {
                for size in 0..200_000_usize {
                    std::hint::black_box(vec![0_u8; size % 4096]);
                }
            });
        }
    });
}

#[test]
fn commands_start_while_other_threads_start_and_end() {
    need!(tools::find("true"));
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !is_done.load(Ordering::Relaxed) {
                    // So many that the standard library's table of them grows and shrinks.
                    std::thread::scope(|scope| {
                        for _ in 0..16 {
                            scope.spawn(std::thread::yield_now);
                        }
                    });
                }
            });
        }
        let _done = Done(&is_done);
        for _ in 0..100 {
            text(Command::new("true").time_namespace(&ahead(50_000)));
        }
    });
}

/// Says when it goes that something is done, however that comes.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_namespace_leaves_the_calling_process_where_it_is() {
    let before = Host::now();
    text(shell("true").time_namespace(&ahead(50_000)));
    let after = Host::now();
    let passed = before.until(after, "REALTIME");
    assert!(passed.after - passed.before < 40_000 * SECOND);
    let told = text(Command::new("date").arg("+%s.%N"));
    expect_ahead(before, 0, &told);
}

#[test]
fn a_running_namespace_is_found_and_joined_by_its_name() {
    let name = format!("api-{}", std::process::id());
    let named = ahead(7000).named(&name).unwrap();
    let mut running = alone(|| {
        shell("echo in; read line")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .time_namespace(&named)
            .spawn()
    })
    .unwrap();
    let mut line = [0; 3];
    let mut told = running.stdout.take().unwrap();
    told.read_exact(&mut line).unwrap();
    let before = Host::now();
    let opened = TimeNamespace::open(&name).unwrap();
    assert_eq!(opened.offsets(), named.offsets());
    let date = text(Command::new("date").arg("+%s.%N").time_namespace(&opened));
    expect_ahead(before, 7000, &date);
    let found = RunningNamespace::find(&running.id().to_string()).unwrap();
    assert_eq!(found.name.as_deref(), Some(&*name));
    assert_eq!(&found.offsets, named.offsets());
    assert!(
        TimeNamespace::list()
            .unwrap()
            .iter()
            .any(|one| one.name == found.name)
    );
    // The name is taken as long as it runs, and says so by its errno.
    let refused = alone(|| shell("true").time_namespace(&named).spawn());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::AlreadyExists);
    assert!(opened.clone().named("other").is_err());
    drop(running.stdin.take());
    running.wait().unwrap();
    assert!(TimeNamespace::open(&name).is_err());
    // What was opened begins anew.
    let date = text(Command::new("date").arg("+%s.%N").time_namespace(&opened));
    expect_ahead(before, 7000, &date);
}

/// BOOTTIME an hour ahead.
fn an_hour_up() -> ClockOffsets {
    ClockOffsets {
        boottime: Offset::from_secs(3600),
        ..Default::default()
    }
}

#[test]
fn a_namespace_of_the_kernels_has_no_supervisor() {
    need!(root());
    let namespace = TimeNamespace::new(an_hour_up()).unwrap();
    for backend in [Backend::Auto, Backend::Kernel] {
        let namespace = namespace.clone().backend(backend);
        let child = alone(|| {
            shell("echo $PPID; cat /proc/self/timens_offsets; kill -TERM $$")
                .time_namespace(&namespace)
                .stdout(Stdio::piped())
                .spawn()
        });
        let output = child.unwrap().wait_with_output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        let words: Vec<&str> = told.split_whitespace().collect();
        let parent = std::process::id().to_string();
        assert_eq!(
            words,
            [&parent, "monotonic", "0", "0", "boottime", "3600", "0"]
        );
        assert_eq!(output.status.signal(), Some(libc::SIGTERM));
    }
}

#[test]
fn whoever_keeps_the_clocks_they_tell_the_same_time() {
    let offsets = ClockOffsets {
        realtime: Offset::from_secs(5000),
        ..an_hour_up()
    };
    for backend in [Backend::Auto, Backend::Guest] {
        let namespace = TimeNamespace::new(offsets).unwrap().backend(backend);
        let before = Host::now();
        let told = text(shell("date +%s.%N").time_namespace(&namespace));
        expect_ahead(before, 5000, &told);
        let python = need!(tools::python());
        let script = "import time; print('%.9f' % time.clock_gettime(time.CLOCK_BOOTTIME))";
        let before = Host::now();
        let mut command = Command::new(python);
        let told = text(command.args(["-c", script]).time_namespace(&namespace));
        let expected = before.until(Host::now(), "BOOTTIME").shifted(3600 * SECOND);
        expected.check_lines(&told).unwrap();
    }
}

#[test]
fn what_the_kernel_does_not_have_is_refused() {
    let namespace = ahead(5000).backend(Backend::Kernel);
    let error = namespace.enter().unwrap_err();
    assert!(error.to_string().contains("CLOCK_REALTIME"), "{error}");
    assert_eq!(error.errno(), None);
    let named = TimeNamespace::new(an_hour_up()).unwrap();
    let named = named.named("x").unwrap().backend(Backend::Kernel);
    assert!(named.enter().is_err());
    alone(|| Command::new("true").time_namespace(&namespace).spawn()).unwrap_err();
}
