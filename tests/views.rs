//! Files under `/proc` that show a clock agree with the clocks of the namespace.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::ffi::{OsStr, OsString};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use harness::guests::{self, Kind};
use harness::process::{Run, alone, elsewhen};
use harness::supervisor::{is_running, keeper, wait_for, worker};
use harness::{Missing, SHIFT, debian13, is_root, need, root, skip, sys, tools, worlds};

/// All clocks that the files show are ahead, each by another time.
fn shifted() -> Run {
    Run::inside(&[
        "--backend=guest",
        "--realtime=+400d250ms",
        "--boottime=+200d1ns",
    ])
}

/// What the guest `views` prints on the host it must print in each world.
fn expect_agreement(mode: &str, kind: Kind) -> Result<(), Missing> {
    let guest = guests::build("views", kind)?;
    let dir = guests::public_directory();
    let words = [guest.as_os_str(), mode.as_ref(), dir.path().as_os_str()];
    let host = worlds::expect_agreement(&words);
    assert!(!host.stdout.contains(" off"), "{host:#?}");
    Ok(())
}

#[test]
fn every_way_to_such_a_file_leads_to_one_that_agrees_with_the_clocks() {
    for kind in Kind::C {
        need!(expect_agreement("ways", kind));
    }
}

#[test]
fn a_path_that_leads_nowhere_or_elsewhere_is_as_on_the_host() {
    for kind in Kind::C {
        need!(expect_agreement("odd", kind));
    }
}

#[test]
fn a_file_that_stays_open_goes_on() {
    need!(live());
    need!(expect_agreement("live", Kind::Glibc));
}

/// Whether a file of ours can change while it is open.
fn live() -> Result<(), Missing> {
    root()?;
    match std::fs::File::open("/dev/fuse") {
        Ok(_) => Ok(()),
        Err(e) => Err(Missing(format!("`/dev/fuse`: {e}"))),
    }
}

/// The seconds since 1970 that a program prints, inside and outside.
fn seconds(run: &Run, script: &str) -> i128 {
    let run = run.run(&["sh", "-c", script]).succeeded();
    let text = run.stdout.trim();
    text.parse().unwrap_or_else(|_| panic!("{run:#?}"))
}

/// That a script's seconds are `shift` ahead of the host's.
fn expect_ahead(script: &str, shift: i128) {
    let host = seconds(&Run::on_host(), script);
    let distance = seconds(&shifted(), script) - host - shift;
    assert!((-5..60).contains(&distance), "{distance} s off: {script}");
}

const DAY: i128 = 86_400;

#[test]
fn uptime_agrees_with_date() {
    need!(tools::find("uptime"));
    // When the machine was booted moves with both clocks.
    expect_ahead("date -d \"$(uptime -s)\" +%s", 200 * DAY);
    expect_ahead("sed 's/[.].*//' /proc/uptime", 200 * DAY);
    expect_ahead("sed -n 's/^btime //p' /proc/stat", 200 * DAY);
    let run = shifted().run(&["uptime", "-p"]).succeeded();
    assert!(run.stdout.contains("week"), "{run:#?}");
}

/// coreutils since Debian 13 ask the clocks where nobody has written a login record.
#[test]
fn who_says_when_the_machine_was_booted_without_a_login_record() {
    let root = need!(debian13::make());
    let chroot = need!(tools::find("chroot"));
    let script = "export TZ=UTC0; ! [ -e /var/run/utmp ] || exit
        booted=$(who -b | sed 's/ *system boot *//')
        [ -n \"$booted\" ] && date -d \"$booted\" +%s";
    let words = [chroot.as_os_str(), root.as_os_str()];
    let words = [&words[..], &["sh", "-c", script].map(OsStr::new)].concat();
    let booted = |run: Run| {
        let run = run.run(&words).succeeded();
        let seconds = run.stdout.trim().parse::<i128>();
        seconds.unwrap_or_else(|_| panic!("{run:#?}"))
    };
    // It prints whole minutes.
    let distance = booted(shifted()) - booted(Run::on_host()) - 200 * DAY;
    assert!((-60..=60).contains(&distance), "{distance} s off");
}

#[test]
fn ps_shows_a_process_started_now_as_started_now() {
    need!(tools::find("ps"));
    expect_ahead("date -d \"$(ps -o lstart= -p $$)\" +%s", 400 * DAY);
    let run = shifted()
        .run(&["sh", "-c", "ps -o etimes= -p $$"])
        .succeeded();
    let age: i64 = run.stdout.trim().parse().unwrap();
    assert!((0..60).contains(&age), "{run:#?}");
    let run = shifted().run(&["ps", "-o", "stat="]).succeeded();
    assert!(run.stdout.lines().all(|line| !line.is_empty()), "{run:#?}");
}

#[test]
fn top_shows_the_uptime() {
    need!(tools::find("top"));
    let run = shifted().run(&["top", "-b", "-n1"]).succeeded();
    let line = run.stdout.lines().next().unwrap_or_default();
    let days = line
        .split_once(" up ")
        .and_then(|(_, up)| up.split_once(" day"));
    let days: i128 = days.and_then(|(days, _)| days.parse().ok()).unwrap();
    assert!(days >= 200, "{line}");
}

/// The file's size is said to be 0, and busybox's `cat` lets sendfile(2) copy it.
#[test]
fn what_sendfile_copies_is_not_empty() {
    let busybox = need!(tools::find("busybox"));
    let script = format!(
        "{0} cat /proc/uptime && {0} cat /proc/self/timens_offsets",
        busybox.display()
    );
    let run = shifted().run(&["sh", "-c", &script]).succeeded();
    assert_eq!(run.stdout.lines().count(), 3, "{run:#?}");
}

#[test]
fn python_reads_what_is_open_again() {
    need!(live());
    let python = need!(tools::python());
    let script = "import os, time
f = os.open('/proc/uptime', os.O_RDONLY)
a = float(os.pread(f, 99, 0).split()[0])
time.sleep(0.3)
os.lseek(f, 0, 0)
b = float(os.read(f, 99).split()[0])
s = open('/proc/stat').read().split('btime ')[1].split()[0]
up = time.clock_gettime(time.CLOCK_BOOTTIME)
print(b > a + 0.2, abs(b - up) < 60, abs(time.time() - up - int(s)) < 60)";
    let words = [python.as_os_str(), "-c".as_ref(), script.as_ref()];
    let run = shifted().run(&words).succeeded();
    assert_eq!(run.stdout, "True True True\n", "{run:#?}");
}

#[test]
fn a_process_that_is_older_than_the_boot_was_started_with_it() {
    need!(tools::find("ps"));
    // As far back as the clock goes.
    let uptime = sys::clock_gettime(libc::CLOCK_BOOTTIME) / harness::clock::SECOND;
    let run = Run::inside(&[
        "--backend=guest".to_owned(),
        format!("--boottime=-{}", uptime - 1),
    ]);
    let run = run
        .run(&["cut", "-d", " ", "-f", "22", "/proc/1/stat"])
        .succeeded();
    assert_eq!(run.stdout, "0\n", "{run:#?}");
}

#[test]
fn without_views_the_files_are_the_hosts() {
    let options = ["--backend=guest", "--boottime=+1000000", "--proc=off"];
    let run = Run::inside(&options)
        .run(&["cat", "/proc/uptime"])
        .succeeded();
    let uptime: i128 = run.stdout.split('.').next().unwrap().parse().unwrap();
    let now = sys::clock_gettime(libc::CLOCK_BOOTTIME) / harness::clock::SECOND;
    assert!(now - uptime < 60, "{run:#?}");
}

#[test]
fn an_ordinary_user_sees_the_same() {
    let dir = guests::public_directory();
    for (kind, name) in [(Kind::Glibc, "glibc"), (Kind::MuslStatic, "musl")] {
        let guest = need!(guests::build("views", kind));
        let place = dir.path().join(name);
        std::fs::create_dir(&place).unwrap();
        let copy = guests::copy(&guest, &place, 0o755);
        for mode in ["ways", "odd"] {
            let own = guests::public_directory();
            let words = [copy.as_os_str(), mode.as_ref(), own.path().as_os_str()];
            let host = Run::on_host().by_ordinary_user(dir.path());
            let host = host.run(&words).succeeded();
            let inside = shifted().by_ordinary_user(dir.path()).run(&words);
            assert_eq!(inside.succeeded().stdout, host.stdout);
        }
    }
}

#[test]
fn a_user_and_pid_namespace_has_its_own_processes() {
    let guest = need!(guests::build("views", Kind::GlibcStatic));
    let dir = guests::public_directory();
    let place = ["unshare", "-Urpf", "--mount-proc"];
    if Run::on_host().through(&place).run(&["true"]).code != 0 {
        skip!("no user namespaces");
    }
    let words = [guest.as_os_str(), "ways".as_ref(), dir.path().as_os_str()];
    let place = place.map(OsStr::new);
    let words = [&place[..], &words].concat();
    let host = Run::on_host().run(&words).succeeded();
    let inside = shifted().run(&words).succeeded();
    assert_eq!(inside.stdout, host.stdout);
    assert!(!inside.stdout.contains(" off"), "{inside:#?}");
}

#[test]
fn a_changed_root_has_its_own_proc() {
    need!(root());
    let guest = need!(guests::build("views", Kind::MuslStatic));
    let dir = guests::public_directory();
    for sub in ["proc", "tmp"] {
        std::fs::create_dir(dir.path().join(sub)).unwrap();
    }
    guests::copy(&guest, dir.path(), 0o755);
    let name = guest.file_name().unwrap().to_string_lossy().into_owned();
    let script = format!("mount -t proc proc \"$0/proc\" && exec chroot \"$0\" /{name} ways /tmp");
    let place = dir.path().display().to_string();
    let words = ["unshare", "-m", "sh", "-c", &script, &place];
    let host = Run::on_host().run(&words);
    if host.code != 0 {
        skip!("no mount namespaces: {}", host.stderr.trim());
    }
    let inside = shifted().run(&words).succeeded();
    assert_eq!(inside.stdout, host.stdout);
}

#[test]
fn an_inner_namespace_has_views_of_its_own() {
    let elsewhen = elsewhen().display().to_string();
    let script = format!(
        "cut -d. -f1 /proc/uptime; {elsewhen} run --boottime +{SHIFT} -- cut -d. -f1 /proc/uptime; \
         cut -d. -f1 /proc/uptime"
    );
    let run = Run::inside(&["--backend=guest", "--boottime=+5000000"]);
    let run = run.run(&["sh", "-c", &script]).succeeded();
    let lines: Vec<i128> = run.stdout.lines().map(|l| l.parse().unwrap()).collect();
    let [before, inner, after] = lines[..] else {
        panic!("{run:#?}")
    };
    assert!((0..60).contains(&(after - before)), "{run:#?}");
    assert!((0..60).contains(&(inner - before - SHIFT)), "{run:#?}");
}

/// `elsewhen run` of the guest `views held`, and what is written to it and read from it.
struct Held {
    front: std::process::Child,
    output: BufReader<std::process::ChildStdout>,
}

impl Held {
    fn start(guest: &Path) -> Self {
        let mut command = Command::new(elsewhen());
        command
            .args(["run", "--backend=guest", "--boottime=+1000000", "--"])
            .arg(guest)
            .arg("held")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut front = alone(|| command.spawn().unwrap());
        let output = BufReader::new(front.stdout.take().unwrap());
        let mut held = Self { front, output };
        assert_eq!(held.line(), "open\n");
        held
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line
    }

    fn look(&mut self) -> String {
        let mut input = self.front.stdin.as_ref().unwrap();
        input.write_all(b"\n").unwrap();
        self.line()
    }

    fn keeper(&self) -> i32 {
        let front = i32::try_from(self.front.id()).unwrap();
        wait_for("keeper", || keeper(front))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.front.stdin.take());
        let _ = self.front.wait();
    }
}

#[test]
fn what_is_open_outlives_the_worker() {
    need!(live());
    let mut held = Held::start(&need!(guests::build("views", Kind::Glibc)));
    assert_eq!(held.look(), "agrees 4\n");
    let keeper = held.keeper();
    for _ in 0..5 {
        let old = wait_for("worker", || worker(keeper));
        sys::kill(old, libc::SIGKILL);
        wait_for("end of the worker", || (!is_running(old)).then_some(()));
        assert_eq!(held.look(), "agrees 4\n");
    }
}

#[test]
fn a_server_that_is_killed_leaves_errors_and_the_next_open_has_another() {
    need!(live());
    let guest = need!(guests::build("views", Kind::Glibc));
    let mut held = Held::start(&guest);
    assert_eq!(held.look(), "agrees 4\n");
    let keeper = held.keeper();
    // The only child of the keeper's that is neither of its session nor the command.
    let list = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children")).unwrap();
    let command = |pid: &i32| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "elsewhen"
    };
    let pids: Vec<i32> = list
        .split_whitespace()
        .map(|w| w.parse().unwrap())
        .collect();
    let worker = wait_for("worker", || worker(keeper));
    let server = pids.into_iter().find(|pid| *pid != worker && command(pid));
    sys::kill(server.unwrap(), libc::SIGKILL);
    wait_for("end of the server", || {
        (!is_running(server.unwrap())).then_some(())
    });
    let seen = held.look();
    assert!(!seen.contains("agrees"), "{seen}");
}

#[test]
fn workers_killed_amid_opens_lose_none() {
    let python = need!(tools::python());
    let script = "import time
up = lambda: time.clock_gettime(time.CLOCK_BOOTTIME)
end = time.monotonic() + 2.5
n = 0
while time.monotonic() < end:
    f = float(open('/proc/uptime').read().split()[0])
    assert abs(f - up()) < 60, f
    open('/proc/self/stat').read()
    n += 1
print('ended', n > 0)";
    let run = Run::inside(&["--backend=guest", "--boottime=+1000000"]);
    let running = run.start(&[python.as_os_str(), "-c".as_ref(), script.as_ref()]);
    let keeper = wait_for("keeper", || keeper(running.pid()));
    for i in 0..20 {
        if let Some(worker) = worker(keeper) {
            sys::kill(worker, libc::SIGKILL);
        }
        std::thread::sleep(std::time::Duration::from_millis(20 + 7 * i));
    }
    let ended = running.finish().succeeded();
    assert_eq!(ended.stdout, "ended True\n");
}

/// The words of a command beside so many opens of a user's that never end.
fn beside_stuck_opens(
    count: &str,
    user: &str,
    at: &Path,
    script: &str,
) -> Result<Vec<OsString>, Missing> {
    let stuck = guests::build("stuck", Kind::Glibc)?;
    let mut words = vec![stuck.into_os_string(), at.into()];
    words.extend([count, user, "sh", "-c", script].map(OsString::from));
    Ok(words)
}

#[test]
fn one_users_opens_that_never_end_leave_others_theirs() {
    need!(root());
    let dir = tempfile::tempdir().unwrap();
    let words = beside_stuck_opens("150", "65534", dir.path(), "cat /proc/uptime");
    let run = Run::inside(&["--backend=guest", "--boottime=+1000000"]);
    let finished = run.run(&need!(words)).succeeded();
    let uptime: f64 = finished.stdout.split(' ').next().unwrap().parse().unwrap();
    assert!(uptime > 1_000_000.0, "{finished:#?}");
}

#[test]
fn a_worker_killed_while_an_open_never_ends_is_replaced() {
    need!(root());
    let dir = tempfile::tempdir().unwrap();
    let (at, go) = (dir.path().join("at"), dir.path().join("go"));
    std::fs::create_dir(&at).unwrap();
    let ready = dir.path().join("ready");
    let script = format!(
        "echo >{}; while [ ! -e {} ]; do sleep 0.1; done; cat /proc/uptime",
        ready.display(),
        go.display()
    );
    let words = need!(beside_stuck_opens("1", "0", &at, &script));
    let run = Run::inside(&["--backend=guest", "--boottime=+1000000"]);
    let running = run.start(&words);
    wait_for("stuck open", || ready.exists().then_some(()));
    let killed = wait_for("worker", || worker(keeper(running.pid())?));
    sys::kill(killed, libc::SIGKILL);
    std::fs::write(&go, "").unwrap();
    let finished = running.finish().succeeded();
    let uptime: f64 = finished.stdout.split(' ').next().unwrap().parse().unwrap();
    assert!(uptime > 1_000_000.0, "{finished:#?}");
}

/// Whether a process is gone, or is as soon as the kernel lets it: a FUSE server may never answer it.
fn is_killed(pid: i32) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/{pid}/status")) else {
        return true;
    };
    let pending = |key: &str| {
        let mask = status.lines().find_map(|line| line.strip_prefix(key));
        mask.is_some_and(|mask| u64::from_str_radix(mask.trim(), 16).unwrap() >> 8 & 1 == 1)
    };
    status.contains("State:\tZ") || pending("SigPnd:") || pending("ShdPnd:")
}

/// The children of all threads of a process.
fn children(pid: i32) -> Vec<i32> {
    let threads = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let files = threads
        .flatten()
        .map(|thread| thread.path().join("children"));
    let lists: Vec<String> = files.flat_map(std::fs::read_to_string).collect();
    let pids = lists.iter().flat_map(|list| list.split_ascii_whitespace());
    pids.map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn a_child_that_mounts_for_a_guest_holds_nothing_else_and_ends_with_its_worker() {
    need!(root());
    let dir = tempfile::tempdir().unwrap();
    let (at, go) = (dir.path().join("at"), dir.path().join("go"));
    std::fs::create_dir(&at).unwrap();
    let script = format!(
        "unshare --time={}/never true & while [ ! -e {} ]; do sleep 0.1; done",
        at.display(),
        go.display()
    );
    let words = need!(beside_stuck_opens("1", "0", &at, &script));
    let run = Run::inside(&["--backend=guest", "--boottime=+1000000"]);
    let running = run.start(&words);
    let worker = wait_for("worker", || worker(keeper(running.pid())?));
    let descriptors = |pid: &i32| std::fs::read_dir(format!("/proc/{pid}/fd")).map(Iterator::count);
    let mounts = |pid: &i32| descriptors(pid).is_ok_and(|count| count == 1);
    let child = wait_for("child that mounts", || {
        children(worker).into_iter().find(mounts)
    });
    sys::kill(worker, libc::SIGKILL);
    sys::wait_until(|| is_killed(child), "its end");
    std::fs::write(&go, "").unwrap();
    running.finish().succeeded();
}

#[test]
fn the_supervisors_own_links_lead_no_guest_anywhere() {
    need!(root());
    let dir = tempfile::tempdir().unwrap();
    let pid = dir.path().join("pid");
    let script = format!(
        "while [ ! -s {pid} ]; do sleep 0.1; done; w=/proc/$(cat {pid})
         for link in root cwd task/${{w#/proc/}}/root; do
             setpriv --reuid=65534 --clear-groups cat $w/$link/proc/uptime && echo reached $link
         done
         setpriv --reuid=65534 --clear-groups readlink $w/ns/time && echo reached ns
         cat $w/stat >/dev/null && cat $w/root/proc/uptime >/dev/null && echo as outside",
        pid = pid.display()
    );
    let run = Run::inside(&["--backend=guest", "--boottime=+1000000"]);
    let running = run.start(&["sh", "-c", &script]);
    let worker = wait_for("worker", || worker(keeper(running.pid())?));
    std::fs::write(&pid, worker.to_string()).unwrap();
    let finished = running.finish().succeeded();
    assert_eq!(finished.stdout, "as outside\n", "{finished:#?}");
}

#[test]
fn a_file_that_a_user_may_not_see_stays_unseen() {
    need!(root());
    let dir = guests::public_directory();
    let closed = dir.path().join("closed");
    std::fs::create_dir(&closed).unwrap();
    let chmod = |mode: &str| {
        let path = closed.display().to_string();
        Run::on_host().run(&["chmod", mode, &path]).succeeded();
    };
    std::os::unix::fs::symlink("/proc/uptime", closed.join("uptime")).unwrap();
    let file = closed.join("uptime").display().to_string();
    let user = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    let words = [&user[..], &["cat", &file]].concat();
    for (mode, code) in [("700", 1), ("755", 0)] {
        chmod(mode);
        let run = shifted().run(&words);
        assert_eq!(run.code, code, "{mode}: {run:#?}");
        assert_eq!(run.stdout.is_empty(), code != 0, "{mode}: {run:#?}");
    }
}

#[test]
fn the_files_of_others_are_left_alone() {
    let run = |run: Run| {
        let script = "readlink /proc/self/exe; echo x | cat /dev/stdin; cat /proc/self/comm; \
                      exec 3</etc/passwd; cmp /proc/self/fd/3 /etc/passwd && echo same";
        run.run(&["sh", "-c", script]).succeeded().stdout
    };
    assert_eq!(run(shifted()), run(Run::on_host()));
    assert!(is_root() || !run(shifted()).is_empty());
}
