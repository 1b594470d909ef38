//! `--backend=auto`: the kernel keeps MONOTONIC and BOOTTIME where it may, elsewhen the others; and
//! whoever keeps a clock, it tells the same time.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Bracket, SECOND};
use harness::guests::{self, Kind};
use harness::process::{Finished, Run, elsewhen};
use harness::readings::{expect_agreement, expect_shifts};
use harness::supervisor::keeper;
use harness::{Missing, need, root, skip, sys, tools};
use std::ffi::OsString;

/// How far REALTIME, TAI, MONOTONIC and BOOTTIME are shifted.
type Shifts = [i128; 4];

const SHIFTS: Shifts = [1_000_000, 3_000_000, 500_000, 700_000];
const NAMES: [&str; 4] = ["realtime", "tai", "monotonic", "boottime"];

/// Root on a kernel that has time namespaces.
fn privilege() -> Result<(), Missing> {
    root()?;
    let tried = Run::inside(&["--backend=kernel", "--monotonic=+1"]).run(&["true"]);
    match tried.stderr.as_str() {
        "" => Ok(()),
        why => Err(Missing(format!("no time namespaces: {why}"))),
    }
}

/// The options that shift the clocks so.
fn options(backend: &str, shifts: Shifts) -> Vec<String> {
    let shifts = NAMES.into_iter().zip(shifts);
    let shifts = shifts.filter(|(_, shift)| *shift != 0);
    let mut options = vec![format!("--backend={backend}")];
    options.extend(shifts.map(|(name, shift)| format!("--{name}={shift:+}")));
    options
}

fn auto(shifts: Shifts) -> Run {
    Run::inside(&options("auto", shifts))
}

fn clocks() -> Result<OsString, Missing> {
    Ok(guests::build("clocks", Kind::Glibc)?.into())
}

/// Fails unless every way of reading a clock has told it so far from the host's.
fn expect(run: &Finished, shifts: Shifts) {
    expect_agreement(run);
    expect_shifts(run, |clock| {
        let [realtime, tai, monotonic, boottime] = shifts;
        match clock {
            "REALTIME" | "REALTIME_COARSE" => realtime,
            "TAI" => tai,
            "MONOTONIC" | "MONOTONIC_COARSE" | "MONOTONIC_RAW" => monotonic,
            "BOOTTIME" => boottime,
            other => panic!("{other}"),
        }
    });
}

fn sum(a: Shifts, b: Shifts) -> Shifts {
    std::array::from_fn(|i| a[i] + b[i])
}

/// The words of `elsewhen run` inside of something.
fn inner(backend: &str, shifts: Shifts) -> Vec<OsString> {
    let mut words = vec![elsewhen().into(), "run".into()];
    words.extend(options(backend, shifts).into_iter().map(OsString::from));
    words.push("--".into());
    words
}

/// Whether the supervisor is in another time namespace than this test, as seen from outside: inside,
/// elsewhen shows namespaces of its own.
fn is_in_a_namespace_of_the_kernels(run: &Run) -> bool {
    let running = run.start(&["sh", "-c", "echo ready; exec sleep 600"]);
    sys::wait_until(|| running.output().contains("ready"), "the command starts");
    let link = |process: &str| std::fs::read_link(format!("/proc/{process}/ns/time")).unwrap();
    let keeper = keeper(running.pid()).unwrap();
    link(&keeper.to_string()) != link("self")
}

const OFFSETS: &str = "/proc/self/timens_offsets";

#[test]
fn the_kernel_keeps_two_clocks_and_elsewhen_the_others() {
    need!(privilege());
    assert!(is_in_a_namespace_of_the_kernels(&auto(SHIFTS)));
    let run = auto(SHIFTS).run(&["cat", OFFSETS]).succeeded();
    let words: Vec<&str> = run.stdout.split_whitespace().collect();
    assert_eq!(
        words,
        ["monotonic", "500000", "0", "boottime", "700000", "0"]
    );
    for shifts in [SHIFTS, [1_000_000, 3_000_000, 500_000, 0], [5, 5, 0, -1]] {
        for strict in [None, Some("--strict".to_owned())] {
            let mut options = options("auto", shifts);
            options.extend(strict);
            expect(&Run::inside(&options).run(&[need!(clocks())]), shifts);
        }
    }
}

#[test]
fn elsewhen_alone_keeps_no_clock_by_the_kernel() {
    let run = Run::inside(&options("guest", SHIFTS));
    assert!(!is_in_a_namespace_of_the_kernels(&run));
    expect(&run.run(&[need!(clocks())]), SHIFTS);
}

#[test]
fn where_nothing_of_the_kernels_is_shifted_the_command_stays_in_its_time_namespace() {
    let link = ["readlink", "/proc/self/ns/time"];
    let host = Run::on_host().run(&link);
    assert_eq!(Run::shifted().run(&link).stdout, host.stdout);
}

#[test]
fn the_front_stays_in_the_time_namespace_of_its_caller() {
    need!(privilege());
    let link = ["readlink", "/proc/self/ns/time"];
    let host = Run::on_host().run(&link).stdout;
    assert_ne!(auto(SHIFTS).run(&link).stdout, host);
    // The front is the keeper's parent, and the keeper the command's.
    let script = "front=$(ps -o ppid= -p $PPID); readlink /proc/$((front))/ns/time";
    let front = auto(SHIFTS).run(&["sh", "-c", script]).succeeded();
    assert_eq!(front.stdout, host);
}

#[test]
fn uptime_is_the_kernels_own_view() {
    need!(privilege());
    let guest = need!(guests::build("uptime", Kind::Glibc));
    let host = Run::on_host().run(&[&guest]).succeeded();
    let run = auto(SHIFTS).run(&[&guest]).succeeded();
    let parts = |run: &Finished| {
        let (uptime, rest) = run.stdout.split_once('\n').unwrap();
        (uptime.parse::<i128>().unwrap(), rest.to_owned())
    };
    let ((before, oracle), (uptime, rest)) = (parts(&host), parts(&run));
    assert_eq!(rest, oracle);
    let distance = uptime - before - SHIFTS[3];
    assert!((0..30).contains(&distance), "{distance} s off");

    let run = auto(SHIFTS).run(&["cut", "-d ", "-f1", "/proc/uptime"]);
    let expected = run.host("BOOTTIME").shifted(SHIFTS[3] * SECOND);
    // Of the time of boot the kernel takes its offset, and elsewhen adds its own.
    let btime = |run: Run| -> i128 {
        let run = run.run(&["awk", "$1 == \"btime\" { print $2 }", "/proc/stat"]);
        run.stdout.trim().parse().unwrap()
    };
    let distance = btime(auto(SHIFTS)) - btime(Run::on_host()) - (SHIFTS[0] - SHIFTS[3]);
    assert!((-1..=1).contains(&distance), "{distance} s off");
    // Hundredths, cut off.
    let early = Bracket {
        before: expected.before - SECOND / 100,
        ..expected
    };
    early.check_lines(&run.stdout).unwrap();
}

/// What strace(1) sees of the reads that the guest makes; `REALTIME` by the supervisor's image.
fn calls(options: &[String]) -> Result<usize, Missing> {
    let dir = guests::public_directory();
    let trace = dir.path().join("trace");
    let mut words: Vec<OsString> = vec![tools::find("strace")?.into()];
    let what = "trace=clock_gettime,gettimeofday,time";
    words.extend(["-f", "-q", "-e", what, "-o"].map(OsString::from));
    words.extend([
        trace.clone().into(),
        guests::build("reads", Kind::Glibc)?.into(),
    ]);
    Run::inside(options).limit(300).run(&words).succeeded();
    let text = std::fs::read_to_string(trace).unwrap();
    let is_call = |line: &&str| line.contains("clock_gettime(") || line.contains("time(");
    Ok(text.lines().filter(is_call).count())
}

#[test]
fn reads_make_no_system_call_where_the_kernel_keeps_two_clocks() {
    need!(privilege());
    let by_call = [options("auto", SHIFTS), vec!["--reads=syscall".into()]].concat();
    assert!(need!(calls(&by_call)) > 10_000);
    assert_eq!(need!(calls(&options("auto", SHIFTS))), 0);
    let strict = [options("auto", SHIFTS), vec!["--strict".into()]].concat();
    assert_eq!(need!(calls(&strict)), 0);
}

#[test]
fn no_clock_steps_back_where_two_keep_them() {
    need!(privilege());
    for reads in ["direct", "kernel", "syscall"] {
        let options = [options("auto", SHIFTS), vec![format!("--reads={reads}")]].concat();
        let words = [need!(clocks()), "monotone".into(), "20000".into()];
        let run = Run::inside(&options).run(&words);
        assert_eq!(run.code, 0, "{reads}: {run:#?}");
    }
}

#[test]
fn a_strict_tree_has_a_filter_even_where_the_kernel_suffices() {
    need!(privilege());
    let filters = |options: &[&str]| {
        let run = Run::inside(options).run(&["grep", "Seccomp:", "/proc/self/status"]);
        run.stdout
    };
    let none = Run::on_host().run(&["grep", "Seccomp:", "/proc/self/status"]);
    assert_eq!(filters(&["--monotonic=+1d"]), none.stdout);
    assert_eq!(filters(&["--monotonic=+1d", "--strict"]), "Seccomp:\t2\n");
}

#[test]
fn namespaces_add_up_whoever_keeps_their_clocks() {
    need!(privilege());
    let clocks = need!(clocks());
    let inside: Shifts = [-400_000, -1_000_000, 20_000, 30_000];
    for outer in ["auto", "guest"] {
        for within in ["auto", "guest"] {
            let words = [inner(within, inside), vec![clocks.clone()]].concat();
            let run = Run::inside(&options(outer, SHIFTS)).run(&words);
            assert_eq!(run.code, 0, "{outer}, {within}: {run:#?}");
            expect(&run, sum(SHIFTS, inside));
        }
    }
    // The kernel's two clocks alone, by the kernel alone, and three deep.
    let two: Shifts = [0, 0, 20_000, 30_000];
    for within in ["auto", "kernel"] {
        let words = [inner(within, two), vec![clocks.clone()]].concat();
        expect(&auto(SHIFTS).run(&words), sum(SHIFTS, two));
        let words = [
            inner("auto", inside),
            inner(within, two),
            vec![clocks.clone()],
        ]
        .concat();
        expect(&auto(SHIFTS).run(&words), sum(sum(SHIFTS, inside), two));
    }
    // A clock that the outer one does not shift.
    let words = [inner("auto", inside), vec![clocks.clone()]].concat();
    let realtime = [SHIFTS[0], SHIFTS[1], 0, 0];
    expect(&auto(realtime).run(&words), sum(realtime, inside));
}

#[test]
fn a_time_namespace_of_the_kernels_around_adds_up() {
    need!(privilege());
    let around = [
        "unshare",
        "-T",
        "--fork",
        "--monotonic",
        "100000",
        "--boottime",
        "200000",
    ];
    for backend in ["auto", "guest"] {
        let run = Run::inside(&options(backend, SHIFTS));
        let run = run.through(&around).run(&[need!(clocks())]);
        expect(&run, sum(SHIFTS, [0, 0, 100_000, 200_000]));
    }
}

#[test]
fn the_kernels_own_interface_works_inside() {
    need!(privilege());
    // It sets what it is told, and does not add.
    let unshare = [
        "unshare",
        "-T",
        "--fork",
        "--monotonic",
        "100000",
        "--boottime",
        "200000",
    ];
    let words = [&unshare.map(OsString::from)[..], &[need!(clocks())]].concat();
    for shifts in [SHIFTS, [SHIFTS[0], SHIFTS[1], 0, 0]] {
        let [realtime, tai, ..] = shifts;
        expect(&auto(shifts).run(&words), [realtime, tai, 100_000, 200_000]);
    }
}

/// Whoever made it: uptime(1) counts back to the time of boot, which `uptime -s` reads.
#[test]
fn the_time_of_boot_is_the_readers_in_inner_namespaces_of_the_kernels() {
    need!(privilege());
    need!(tools::find("unshare").map(drop));
    // The host's seconds since its boot, less those that the namespace shows.
    let script = "echo $(( $(date +%s) - $(awk '$1 == \"btime\" { print $2 }' /proc/stat) ))
        cut -d. -f1 /proc/uptime
        exec 3</proc/stat
        unshare --time --boottime 7000000 sh -c '
            echo $(( $(date +%s) - $(awk \"\\$1 == \\\"btime\\\" { print \\$2 }\" <&3) ))
            cut -d. -f1 /proc/uptime'";
    let ahead = |words: &[OsString], seconds: i64| {
        let mut words = words.to_vec();
        words.extend(["sh", "-c", script].map(OsString::from));
        let host = std::fs::read_to_string("/proc/uptime").unwrap();
        let host: i64 = host.split('.').next().unwrap().parse().unwrap();
        let run = auto([1_000_000, 0, 0, 0]).run(&words).succeeded();
        let told: Vec<i64> = run.stdout.lines().map(|n| n.parse().unwrap()).collect();
        let [since, uptime, since_inner, uptime_inner] = told[..] else {
            panic!("{run:#?}");
        };
        for (told, wanted) in [
            (since, seconds),
            (uptime, seconds),
            (since_inner, 7_000_000),
            (uptime_inner, 7_000_000),
        ] {
            let distance = told - host - wanted;
            assert!((-2..60).contains(&distance), "{distance} off: {run:#?}");
        }
    };
    ahead(&[], 0);
    ahead(&inner("auto", [0, 0, 0, 3_000_000]), 3_000_000);
    let unshare = ["unshare", "--time", "--boottime", "2000000"];
    ahead(&unshare.map(OsString::from), 2_000_000);
}

#[test]
fn absolute_sleeps_end_in_time_in_inner_namespaces_of_the_kernels() {
    need!(privilege());
    let python = need!(tools::python());
    // Half a second later, by each clock; the timer's clock has to be looked up.
    let script = "import ctypes, os, struct, time\n\
        libc = ctypes.CDLL(None, use_errno=True)\n\
        for clock in (0, 1, 7, 11):\n\
        \x20   fd = libc.timerfd_create(clock, 0) if clock != 11 else -1\n\
        \x20   end = time.clock_gettime_ns(clock) + 500_000_000\n\
        \x20   spec = struct.pack('4q', 0, 0, *divmod(end, 10**9))\n\
        \x20   before = time.perf_counter()\n\
        \x20   if clock == 11:\n\
        \x20       libc.clock_nanosleep(clock, 1, spec[16:], None)\n\
        \x20   else:\n\
        \x20       libc.timerfd_settime(fd, 1, spec, None)\n\
        \x20       os.read(fd, 8)\n\
        \x20   libc.clock_nanosleep(clock, 1, spec[16:], None)\n\
        \x20   took = time.perf_counter() - before\n\
        \x20   print(clock, 'in time' if 0.45 < took < 20 else took)\n";
    let program = [python.into_os_string(), "-c".into(), script.into()];
    let oracle = Run::on_host().run(&program).succeeded().stdout;
    assert_eq!(oracle.matches("in time").count(), 4, "{oracle}");
    let inside: Shifts = [-400_000, -1_000_000, 20_000, 30_000];
    let unshare = ["unshare", "-T", "--fork", "--monotonic", "100000"].map(OsString::from);
    for before in [Vec::new(), inner("auto", inside), unshare.to_vec()] {
        let run = auto(SHIFTS).run(&[&before[..], &program].concat());
        assert_eq!(run.stdout, oracle, "{run:#?}");
    }
}

#[test]
fn an_inner_namespace_that_may_have_none_of_the_kernels_is_refused_in_one_line() {
    need!(privilege());
    let dir = guests::public_directory();
    let copy = guests::copy(&elsewhen(), dir.path(), 0o755);
    let mut words: Vec<OsString> = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ]
    .map(OsString::from)
    .into();
    words.extend([copy.into(), "run".into()]);
    let run =
        |option: &str| auto(SHIFTS).run(&[&words[..], &[option.into(), "date".into()]].concat());
    let refused = run("--monotonic=+1d");
    assert_eq!((refused.code, refused.stdout.as_str()), (125, ""));
    assert_eq!(
        refused.stderr,
        "elsewhen: the kernel keeps CLOCK_MONOTONIC and CLOCK_BOOTTIME in the time namespace around \
         this process: cannot make a time namespace: operation not permitted; start that one with \
         `--backend=guest`\n"
    );
    run("--realtime=+1d").succeeded();
}

#[test]
fn where_the_offsets_cannot_be_written_elsewhen_keeps_all_clocks() {
    need!(privilege());
    let clocks = need!(clocks());
    let no_time = [
        "setpriv",
        "--bounding-set=-sys_time",
        "--inh-caps=-sys_time",
    ];
    // A user namespace that may have no time namespaces.
    let none_left = "echo 0 >/proc/sys/user/max_time_namespaces && exec \"$@\"";
    let none_left = ["unshare", "-Ur", "sh", "-c", none_left, "sh"];
    for place in [&no_time[..], &none_left] {
        if Run::on_host().through(place).run(&["true"]).code != 0 {
            skip!("{place:?} does not work here");
        }
        let run = auto(SHIFTS).through(place).run(&[&clocks]);
        assert_eq!(run.stderr, "", "{place:?}");
        expect(&run, SHIFTS);
        let kernels: Shifts = [0, 0, 500_000, 700_000];
        let run = auto(kernels).through(place).run(&[&clocks]);
        expect(&run, kernels);
        let kernel = Run::inside(&options("kernel", kernels));
        let refused = kernel.through(place).run(&[&clocks]);
        assert_eq!(refused.code, 125, "{place:?}: {refused:#?}");
        assert_eq!(refused.stderr.lines().count(), 1, "{refused:#?}");
        assert!(
            refused.stderr.ends_with("`--backend=guest`\n"),
            "{refused:#?}"
        );
    }
}

#[test]
fn an_ordinary_user_has_all_clocks_by_elsewhen() {
    let dir = guests::public_directory();
    let guest = guests::copy(need!(clocks()).as_ref(), dir.path(), 0o755);
    for shifts in [SHIFTS, [0, 0, 500_000, 700_000]] {
        let run = auto(shifts).by_ordinary_user(dir.path());
        expect(&run.run(&[&guest]), shifts);
        assert!(!is_in_a_namespace_of_the_kernels(&run));
    }
}

/// What `elsewhen check` says that auto chooses, clock by clock, for people and for programs.
fn check(place: &Run) -> Vec<(String, String)> {
    let json = place.run(&["check", "--json"]).stdout;
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    let text = place.run(&["check"]).stdout;
    let choices = report["auto"].as_array().unwrap().iter().map(|choice| {
        let field = |name: &str| choice[name].as_str().map(str::to_owned);
        let (clock, backend) = (field("clock").unwrap(), field("backend").unwrap());
        assert_eq!(field("reason").is_none(), backend == "kernel", "{choice}");
        let line = match field("reason") {
            Some(reason) => format!("{clock}: {backend} ({reason})"),
            None => format!("{clock}: {backend}"),
        };
        assert!(text.contains(&line), "{line}\n{text}");
        (clock, backend)
    });
    choices.collect()
}

fn choices(kernels: &str) -> Vec<(String, String)> {
    let clocks = [
        ("CLOCK_REALTIME", "guest"),
        ("CLOCK_TAI", "guest"),
        ("CLOCK_MONOTONIC", kernels),
        ("CLOCK_BOOTTIME", kernels),
    ];
    clocks
        .map(|(clock, backend)| (clock.to_owned(), backend.to_owned()))
        .into()
}

#[test]
fn check_says_what_auto_chooses() {
    need!(privilege());
    let dir = guests::public_directory();
    let copy = guests::copy(&elsewhen(), dir.path(), 0o755);
    let program = Run::on_host().through(&[&copy]);
    assert_eq!(check(&program), choices("kernel"));
    let user = [
        "setpriv",
        "--reuid=65534",
        "--regid=65534",
        "--clear-groups",
    ];
    assert_eq!(check(&program.clone().through(&user)), choices("guest"));
    let no_time = [
        "setpriv",
        "--bounding-set=-sys_time",
        "--inh-caps=-sys_time",
    ];
    assert_eq!(check(&program.clone().through(&no_time)), choices("guest"));
    for (backend, expected) in [("auto", "kernel"), ("guest", "guest")] {
        let inside = inner(backend, SHIFTS);
        assert_eq!(check(&program.clone().through(&inside)), choices(expected));
    }
}
