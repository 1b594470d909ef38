//! From a command's start to its end: what it finds, what reaches it, and what is left of us.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Reading, SECOND};
use harness::guests::{self, Kind};
use harness::process::{Run, Running, elsewhen};
use harness::{Missing, need, sys, tools};
use std::path::Path;

/// The same command on the host, in a namespace, and in a namespace's namespace.
fn worlds() -> [Run; 3] {
    let elsewhen = elsewhen().display().to_string();
    let options = ["--realtime", "+1000000"];
    let nested = [&options[..], &["--", &elsewhen, "run"], &options[..]].concat();
    [Run::on_host(), Run::inside(&options), Run::inside(&nested)]
}

fn sh(script: &str) -> [&str; 3] {
    ["sh", "-c", script]
}

#[test]
fn an_exit_status_is_the_commands() {
    for run in worlds() {
        for status in [0, 1, 2, 77, 124, 125, 126, 127, 128, 200, 255] {
            let ended = run.run(&sh(&format!("exit {status}")));
            assert_eq!(ended.code, status);
            assert_eq!(ended.stderr, "");
        }
    }
}

#[test]
fn a_signal_that_ends_the_command_gives_128_and_its_number() {
    let inside = Run::shifted();
    for signal in (1..=64).filter(|s| !matches!(s, 17..=23 | 28 | 32 | 33)) {
        // On the host the shell itself tells the same number.
        let script = format!("ulimit -c 0; kill -{signal} $$");
        let ended = inside.run(&sh(&script));
        assert_eq!(ended.code, 128 + signal, "{ended:#?}");
    }
}

#[test]
fn a_status_tells_what_kept_the_command_from_running() {
    let dir = guests::public_directory();
    std::fs::write(dir.path().join("text"), "no program").unwrap();
    for run in &worlds()[1..] {
        let run = run.clone().in_dir(dir.path());
        for (command, status) in [
            ("./text", 126),
            (".", 126),
            ("./missing", 127),
            ("no-such-command-anywhere", 127),
        ] {
            let ended = run.run(&[command]);
            assert_eq!(ended.code, status, "{ended:#?}");
            assert_eq!(ended.stderr.lines().count(), 1, "{ended:#?}");
            assert!(ended.stderr.starts_with("elsewhen: cannot run "));
        }
    }
}

/// What a process can see of itself that no clock has a part in, one fact a line.
const SELF_PORTRAIT: &str = r#"
import os, re, resource, signal
ours = r"(Name|State|Tgid|Ngid|Pid|PPid|NStgid|NSpid|NSpgid|NSsid|Vm\w+|Rss\w+|FDSize|HugetlbPages|" \
       r"Threads|SigQ|Seccomp\w*|NoNewPrivs|Speculation\w*|\w*ctxt_switches|THP\w*|untag_mask)"
for line in open("/proc/self/status"):
    if not re.match(ours + ":", line):
        print(line.strip())
print(open("/proc/self/limits").read())
listing = os.open("/proc/self/fd", os.O_RDONLY)
for fd in sorted(int(fd) for fd in os.listdir(listing)):
    if fd != listing and fd > 2:
        try:
            print(fd, os.readlink("/proc/self/fd/%d" % fd))
        except FileNotFoundError:
            pass
for fd in range(3):
    print(fd, os.fstat(fd).st_mode, os.fstat(fd).st_rdev)
print(sorted(item for item in os.environ.items() if item[0] not in ("ELSEWHEN_TEST_ID", "LEADER")))
umask = os.umask(0)
print(os.getcwd(), oct(umask), os.nice(0), os.sched_getaffinity(0), os.sched_getscheduler(0))
for name in ["oom_score_adj", "timerslack_ns", "coredump_filter", "personality", "loginuid"]:
    try:
        print(name, open("/proc/self/" + name).read().strip())
    except OSError as error:
        print(name, error.errno)
for space in ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"]:
    print(os.readlink("/proc/self/ns/" + space))
print(os.getpgrp() == os.getpgid(int(os.environ["LEADER"])), os.getsid(0) == os.getsid(int(os.environ["LEADER"])))
"#;

#[test]
fn a_command_finds_itself_as_it_would_on_the_host() {
    let python = need!(tools::python());
    let dir = guests::public_directory();
    // The leader is a shell that stays; all else is set to what nobody has by default.
    let script = r#"
        ulimit -n 333; ulimit -c 0; umask 027; export LEADER=$$ ODD="a
b"; unset ELSEWHEN_NOTHING; trap '' USR1 CHLD PIPE TTOU
        exec 7</dev/null 9>/dev/null
        nice -n 5 "$@"
        exit $?"#;
    let portrait = |run: &Run| {
        // The shell is outside, so what it sets is inherited through `elsewhen` itself.
        let outer = run.clone().in_dir(dir.path());
        let python = python.display().to_string();
        outer
            .through(&["sh", "-c", script, "sh"])
            .run(&[&python, "-c", SELF_PORTRAIT])
            .succeeded()
            .stdout
    };
    let [host, inside, nested] = worlds().map(|run| portrait(&run));
    assert!(
        host.contains("SigIgn") && host.contains("7 /dev/null"),
        "{host}"
    );
    assert_eq!(inside, host);
    assert_eq!(nested, host);
}

#[test]
fn closed_standard_streams_stay_closed() {
    for closed in ["0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"] {
        let portrait = |run: &Run| {
            let dir = guests::public_directory();
            let script = format!("\"$@\" {closed}; exit $?");
            let ended = run
                .clone()
                .in_dir(dir.path())
                .through(&["sh", "-c", &script, "sh"])
                .run(&sh(
                    "for fd in 0 1 2; do test -e /proc/$$/fd/$fd && echo $fd >>open; done; exit 5",
                ));
            assert_eq!(ended.code, 5, "{closed} {ended:#?}");
            std::fs::read_to_string(dir.path().join("open")).unwrap_or_default()
        };
        let [host, inside, nested] = worlds().map(|run| portrait(&run));
        assert_eq!(inside, host, "{closed}");
        assert_eq!(nested, host, "{closed}");
    }
}

#[test]
fn standard_input_reaches_the_command_whole() {
    for run in worlds() {
        let told = run
            .through(&["sh", "-c", "seq 100000 | \"$@\"", "sh"])
            .run(&["md5sum"])
            .succeeded();
        assert_eq!(
            told.stdout,
            Run::on_host()
                .run(&sh("seq 100000 | md5sum"))
                .succeeded()
                .stdout
        );
    }
}

/// The words that start a program which says what it is sent; it ends on SIGALRM.
fn counter(mode: &str, signals: &[i32]) -> Result<Vec<String>, Missing> {
    let guest = guests::build("counter", Kind::Glibc)?;
    let mut words = vec![guest.display().to_string(), mode.to_owned()];
    words.extend(signals.iter().map(i32::to_string));
    Ok(words)
}

fn wait_for_output(running: &Running, text: &str) {
    sys::wait_until(|| running.output().contains(text), text);
}

const CATCHABLE: [i32; 10] = [
    libc::SIGHUP,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGTERM,
    libc::SIGCONT,
    libc::SIGWINCH,
    libc::SIGTSTP,
    40,
];

/// Sends each signal by `send` and expects each once, in their order.
fn expect_each_once(send: impl Fn(&Running, i32)) {
    for run in worlds() {
        let running = run.start(&need!(counter("lines", &CATCHABLE)));
        wait_for_output(&running, "ready");
        let mut expected = "ready\n".to_owned();
        for signal in CATCHABLE {
            send(&running, signal);
            expected.push_str(&format!("{signal}\n"));
            wait_for_output(&running, &expected);
        }
        // What came twice would come before this.
        send(&running, libc::SIGALRM);
        let ended = running.finish();
        assert_eq!(ended.stdout, expected + "end\n");
        assert_eq!(ended.code, 3);
    }
}

#[test]
fn a_signal_sent_to_the_front_alone_reaches_the_command_once() {
    expect_each_once(|running, signal| sys::kill(running.pid(), signal));
}

#[test]
fn a_signal_sent_to_the_process_group_reaches_the_command_once() {
    expect_each_once(|running, signal| sys::kill(-running.pid(), signal));
}

#[test]
fn a_signal_sent_from_inside_to_the_group_reaches_the_command_once() {
    need!(tools::find("perl"));
    for run in worlds() {
        // By the command itself, and by a child that is gone when the signal is looked at.
        let script = "$| = 1; $SIG{USR1} = sub { print \"got\\n\" }; \
             for (1 .. 5) { \
                 kill 'USR1', 0; select undef, undef, undef, 0.1; \
                 system 'sh', '-c', 'trap \"\" USR1; exec env kill -USR1 0'; \
                 select undef, undef, undef, 0.1; \
             } \
             print \"end\\n\"";
        let ended = run.run(&["perl", "-e", script]).succeeded();
        assert_eq!(ended.stdout, "got\n".repeat(10) + "end\n", "{run:?}");
    }
}

#[test]
fn a_command_in_a_group_of_its_own_has_what_the_fronts_group_is_sent() {
    for run in &worlds()[1..] {
        let words = need!(counter("lines", &[libc::SIGUSR1, libc::SIGINT]));
        let running = run.clone().through(&["env", "OWN_GROUP=1"]).start(&words);
        wait_for_output(&running, "ready");
        let mut expected = "ready\n".to_owned();
        for signal in [libc::SIGUSR1, libc::SIGINT] {
            sys::kill(-running.pid(), signal);
            expected.push_str(&format!("{signal}\n"));
            wait_for_output(&running, &expected);
        }
        sys::kill(running.pid(), libc::SIGALRM);
        assert_eq!(running.finish().stdout, expected + "end\n");
    }
}

#[test]
fn signals_in_a_storm_neither_double_nor_get_lost() {
    // Real-time signals are counted one by one, to the front and to the group in turn.
    for run in worlds() {
        let run = run.through(&["env", "ALL=200"]);
        let running = run.start(&need!(counter("sums", &[40, 41])));
        wait_for_output(&running, "ready");
        for _ in 0..100 {
            sys::kill(running.pid(), 40);
            sys::kill(-running.pid(), 41);
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        wait_for_output(&running, "all\n");
        // Time for one that comes twice.
        std::thread::sleep(std::time::Duration::from_millis(500));
        sys::kill(running.pid(), libc::SIGALRM);
        let ended = running.finish();
        let expected = "ready\nall\n100 100 end\n";
        assert_eq!(ended.stdout, expected, "{:?}", ended.words);
    }
}

/// The state of a process as `ps` has it.
fn state(pid: i32) -> String {
    let pid = pid.to_string();
    let told = Run::on_host().run(&["ps", "-o", "stat=", "-p", &pid]);
    told.stdout.trim().chars().take(1).collect()
}

#[test]
fn a_command_is_stopped_and_continued_with_its_front() {
    for run in worlds() {
        // A shell would not do: it cannot stop while it waits for its vfork(2).
        let running = run.start(&["sh", "-c", "echo pid $$; exec sleep 1000"]);
        wait_for_output(&running, "pid ");
        let text = running.output();
        let pid = text.split("pid ").nth(1).unwrap();
        let pid: i32 = pid.lines().next().unwrap().parse().unwrap();
        for to in [-running.pid(), pid] {
            sys::kill(to, libc::SIGSTOP);
            sys::wait_until(|| state(pid) == "T", &format!("{run:?} stops"));
            sys::wait_until(|| state(running.pid()) == "T", "the front stops");
            sys::kill(to, libc::SIGCONT);
            sys::wait_until(|| state(pid) != "T", "the command goes on");
            sys::wait_until(|| state(running.pid()) != "T", "the front goes on");
        }
        running.signal(libc::SIGTERM);
        assert_eq!(running.finish().code, 143);
    }
}

#[test]
fn a_stopped_command_that_is_killed_ends_its_front() {
    for run in worlds() {
        let running = run.start(&sh("echo pid $$; kill -STOP $$"));
        wait_for_output(&running, "pid ");
        let text = running.output();
        let pid = text.split("pid ").nth(1).unwrap();
        let pid: i32 = pid.lines().next().unwrap().parse().unwrap();
        sys::wait_until(|| state(running.pid()) == "T", "the front stops");
        sys::kill(pid, libc::SIGKILL);
        assert_eq!(running.finish().code, 137);
    }
}

#[test]
fn a_status_is_told_though_signals_come_until_the_end() {
    for run in &worlds()[1..] {
        for _ in 0..10 {
            let script = "trap '' USR1 USR2; echo ready; i=0; while test $i -lt 3000; do i=$((i+1)); done; exit 7";
            let mut running = run.start(&sh(script));
            wait_for_output(&running, "ready");
            while running.is_alive() {
                sys::kill(running.pid(), libc::SIGUSR1);
                sys::kill(running.pid(), libc::SIGUSR2);
                sys::kill(-running.pid(), libc::SIGUSR1);
            }
            assert_eq!(running.finish().code, 7);
        }
    }
}

#[test]
fn a_killed_front_takes_the_command_along() {
    for run in worlds() {
        let running = run.start(&sh("echo ready; exec sleep 1000"));
        wait_for_output(&running, "ready");
        running.signal(libc::SIGKILL);
        // Nothing may be left, says the harness.
        assert_eq!(running.finish().code, 137);
    }
}

#[test]
fn a_pipeline_ends_by_its_reader() {
    for run in worlds() {
        let ended = run
            .through(&[
                "bash",
                "-c",
                "\"$@\" | head -1; echo ${PIPESTATUS[0]}",
                "bash",
            ])
            .run(&["yes"])
            .succeeded();
        assert_eq!(ended.stdout, "y\n141\n");
        assert_eq!(ended.stderr, "");
    }
}

#[test]
fn ignored_signals_stay_ignored_and_ends_are_still_told_of() {
    let script = "trap '' CHLD HUP TERM TTOU; exec \"$@\"";
    for run in worlds() {
        let running = run.through(&["sh", "-c", script, "sh"]).start(&sh(
            "echo ready; kill -TERM $$; kill -HUP $$; sleep 0.3; exit 3",
        ));
        wait_for_output(&running, "ready");
        running.signal(libc::SIGTERM);
        running.signal(libc::SIGHUP);
        assert_eq!(running.finish().code, 3);
    }
}

#[test]
fn nohup_keeps_a_hangup_away() {
    for run in worlds() {
        let running = run
            .through(&["nohup"])
            .start(&sh("echo ready; sleep 0.5; exit 4"));
        wait_for_output(&running, "ready");
        running.signal(libc::SIGHUP);
        assert_eq!(running.finish().code, 4);
    }
}

#[test]
fn a_timeout_ends_a_command() {
    for options in [&["timeout", "1"][..], &["timeout", "-s", "KILL", "1"]] {
        let [host, inside, nested] =
            worlds().map(|run| run.through(options).run(&["sleep", "1000"]).code);
        assert_eq!(inside, host, "{options:?}");
        assert_eq!(nested, host, "{options:?}");
    }
}

#[test]
fn an_alarm_set_before_rings_in_the_command() {
    need!(tools::find("perl"));
    let script = "alarm 1; exec @ARGV";
    for run in worlds() {
        let run = run.through(&["perl", "-e", script, "--"]);
        assert_eq!(run.run(&["sleep", "1000"]).code, 142);
    }
    // And can be turned off there.
    let script = "alarm 1000; exec @ARGV";
    for run in worlds() {
        let ended = run.through(&["perl", "-e", script, "--"]).run(&[
            "perl",
            "-e",
            "print alarm(0) > 0 ? 'set' : 'not set'",
        ]);
        assert_eq!((ended.code, ended.stdout.as_str()), (0, "set"));
    }
}

#[test]
fn the_commands_time_is_counted_as_its_callers_children() {
    need!(tools::find("perl"));
    let outer = "system @ARGV; my @t = times; print $t[2] + $t[3] >= 0.4 ? 'counted' : \"@t\"";
    for run in worlds() {
        let ended = run
            .through(&["perl", "-e", outer, "--"])
            .run(&["perl", "-e", "1 until (times)[0] >= 0.4"])
            .succeeded();
        assert_eq!(ended.stdout, "counted");
    }
}

/// The control groups of a name.
fn control_groups(name: &str) -> Vec<String> {
    fn below(dir: &Path, prefix: &str, found: &mut Vec<String>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|t| t.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(prefix) {
                found.push(name);
            }
            below(&entry.path(), prefix, found);
        }
    }
    let mut found = Vec::new();
    below(
        Path::new("/sys/fs/cgroup"),
        &format!("elsewhen-{name}-"),
        &mut found,
    );
    found
}

#[test]
fn run_returns_with_the_command_and_a_daemon_keeps_its_keeper() {
    let dir = guests::public_directory();
    let name = format!("daemon.{}", std::process::id());
    let run = Run::inside(&["--realtime", "+1000000", "--name", &name]).in_dir(dir.path());
    let daemon =
        "while ! test -e go; do sleep 0.05; done; date +%s.%N >told.new; mv told.new told; exit 9";
    let script =
        format!("setsid sh -c '{daemon}' </dev/null >/dev/null 2>&1 & echo started; exit 6");
    // The shell goes on as soon as `run` returns, and only then lets the daemon go on.
    let outer = "\"$@\"; echo status $?; test -e told && echo too early; touch go; \
                 while ! test -e told; do sleep 0.05; done; ps -eo args | grep -c \"[e]lsewhen run .*$NAME\"";
    let ended = run
        .through(&["env", &format!("NAME={name}"), "sh", "-c", outer, "sh"])
        .run(&sh(&script))
        .succeeded();
    assert!(
        ended.stdout.starts_with("started\nstatus 6\n"),
        "{ended:#?}"
    );
    assert!(!ended.stdout.contains("early"), "{ended:#?}");
    let told = std::fs::read_to_string(dir.path().join("told")).unwrap();
    let reading = Reading::parse(told.trim()).unwrap();
    let expected = ended.host("REALTIME").shifted(harness::SHIFT * SECOND);
    assert!(expected.contains(reading));
    // The harness has waited for the processes; the group goes right before the keeper.
    assert_eq!(control_groups(&name), [] as [&str; 0]);
}

#[test]
fn nothing_is_left_when_run_returns() {
    let name = format!("nothing.{}", std::process::id());
    let run = Run::inside(&["--realtime", "+1000000", "--name", &name]);
    let outer = "for i in 1 2 3 4 5 6 7 8 9 10; do \"$@\"; \
                 ps -eo pid,ppid,args | grep \"[e]lsewhen run .*$NAME\" | grep -v 'grep\\|for i in'; \
                 ls -d /sys/fs/cgroup/*elsewhen-$NAME-* /sys/fs/cgroup/*/elsewhen-$NAME-* 2>/dev/null; done; true";
    let ended = run
        .through(&["env", &format!("NAME={name}"), "sh", "-c", outer, "sh"])
        .run(&["true"])
        .succeeded();
    assert_eq!(ended.stdout, "", "left when `run` returned");
    assert_eq!(control_groups(&name), [] as [&str; 0]);
}

#[test]
fn a_trees_streams_are_its_own_alone() {
    // A daemon that has closed its streams holds up nobody who reads them.
    let dir = guests::public_directory();
    let daemon =
        "setsid sh -c 'while ! test -e go; do sleep 0.05; done' </dev/null >/dev/null 2>&1 &";
    for run in worlds() {
        let _ = std::fs::remove_file(dir.path().join("go"));
        let outer = "{ \"$@\"; } 2>&1 | cat; touch go";
        let ended = run
            .in_dir(dir.path())
            .through(&["sh", "-c", outer, "sh"])
            .run(&sh(&format!("{daemon} echo written")))
            .succeeded();
        assert_eq!(ended.stdout, "written\n");
    }
}

#[test]
fn an_ordinary_users_signals_reach_the_command_once_too() {
    let dir = guests::public_directory();
    let mut words = need!(counter("lines", &[libc::SIGUSR1]));
    words[0] = guests::copy(words[0].as_ref(), dir.path(), 0o755)
        .display()
        .to_string();
    let running = Run::shifted().by_ordinary_user(dir.path()).start(&words);
    wait_for_output(&running, "ready");
    sys::kill(running.pid(), libc::SIGUSR1);
    wait_for_output(&running, "ready\n10\n");
    sys::kill(-running.pid(), libc::SIGUSR1);
    wait_for_output(&running, "ready\n10\n10\n");
    sys::kill(running.pid(), libc::SIGALRM);
    assert_eq!(running.finish().stdout, "ready\n10\n10\nend\n");
}
