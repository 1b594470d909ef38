//! Absolute waits end at the right moment, and say of everything wrong with them what Linux says.
//!
//! One table, in `tests/guests/waits`, of every call that takes an absolute time, with every clock and
//! kind of deadline, is run in three worlds: on the host, in a time namespace of the kernel, and in
//! ours. What happens to a row must be the same in each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::containers::{Agent, Container};
use harness::guests::{self, Kind};
use harness::process::{Finished, Run};
use harness::{Missing, need, root, seccomp, skip, sys};
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::sync::Mutex;

/// What happened to each row.
type Outcomes = BTreeMap<String, String>;

/// What no row of a sound kernel shows.
const FAULTS: [&str; 8] = [
    "TOO EARLY",
    "TOO LATE",
    "CRASHED",
    "WOKEN BY NOBODY",
    "TIME CHANGED",
    "REGISTERS CHANGED",
    "A HANDLER READ ANOTHER TIME",
    "DIFFERS",
];

/// The seconds that the whole table may take: usually four, on a machine that does nothing else.
const LIMIT: u64 = 400;

/// 400 days, in nanoseconds.
const FAR: i128 = 34_560_000 * 1_000_000_000;

/// By how many nanoseconds each clock is shifted.
#[derive(Clone, Copy, Debug, Default)]
struct Shifts {
    realtime: i128,
    monotonic: i128,
    boottime: i128,
    tai: i128,
}

impl Shifts {
    /// Each by another time: a wait by another clock's offset is early, or does not end.
    const FORWARD: Self = Self {
        realtime: FAR + 999_999_999,
        monotonic: FAR / 4 + 1,
        boottime: FAR / 2 + 500_000_000,
        tai: FAR / 4 * 5 + 123,
    };

    /// As far back as each clock can go: MONOTONIC and BOOTTIME have begun with the host.
    fn back() -> Self {
        let half = sys::clock_gettime(libc::CLOCK_MONOTONIC) / 2;
        Self {
            realtime: -FAR - 999_999_999,
            monotonic: -half,
            boottime: -half / 2 - 1,
            tai: -FAR - 1,
        }
    }

    fn named(self) -> [(&'static str, i128); 4] {
        let Self {
            realtime,
            monotonic,
            boottime,
            tai,
        } = self;
        [
            ("realtime", realtime),
            ("monotonic", monotonic),
            ("boottime", boottime),
            ("tai", tai),
        ]
    }

    /// As options of `elsewhen run`.
    fn options(self) -> Vec<String> {
        let is_shifted = |clock: &(&str, i128)| clock.1 != 0;
        let option = |(clock, nanos): (&str, i128)| {
            let sign = if nanos < 0 { '-' } else { '+' };
            let (sec, nsec) = (nanos.abs() / 1_000_000_000, nanos.abs() % 1_000_000_000);
            format!("--{clock}={sign}{sec}.{nsec:09}")
        };
        let clocks = self.named().into_iter();
        clocks.filter(is_shifted).map(option).collect()
    }
}

/// The guest's command.
fn words(kind: Kind, shifts: Shifts, rest: &[&str]) -> Result<Vec<OsString>, Missing> {
    let mut words = vec![guests::build("waits", kind)?.into_os_string()];
    words.extend(shifts.named().map(|(_, nanos)| nanos.to_string().into()));
    words.extend(rest.iter().map(OsString::from));
    Ok(words)
}

fn outcomes(run: &Finished) -> Outcomes {
    assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{run:#?}");
    let row = |line: &str| {
        let (name, outcome) = line.split_once(": ").unwrap();
        (name.to_owned(), outcome.to_owned())
    };
    run.stdout.lines().map(row).collect()
}

/// What happens on the host to a guest of this kind; found out once.
fn on_host(kind: Kind) -> Result<Outcomes, Missing> {
    static KNOWN: Mutex<Vec<(Kind, Outcomes)>> = Mutex::new(Vec::new());
    let words = words(kind, Shifts::default(), &[])?;
    let mut known = KNOWN.lock().unwrap();
    if let Some((_, outcomes)) = known.iter().find(|(of, _)| *of == kind) {
        return Ok(outcomes.clone());
    }
    let outcomes = outcomes(&Run::on_host().limit(LIMIT).run(&words));
    known.push((kind, outcomes.clone()));
    Ok(outcomes)
}

/// Fails with the rows to which something else has happened inside than on the host.
fn compare(host: &Outcomes, run: &Finished, shifts: Shifts, is_compared: fn(&str) -> bool) {
    let inside = outcomes(run);
    assert_eq!(inside.len(), host.len(), "rows are missing");
    let differences: Vec<String> = host
        .iter()
        .filter(|(row, outcome)| is_compared(row) && inside.get(*row) != Some(outcome))
        .map(|(row, outcome)| format!("{row}\n  host: {outcome}\n  here: {}", inside[row]))
        .collect();
    let shown = differences.len().min(40);
    assert!(
        differences.is_empty(),
        "{shifts:?}: {} of {} rows differ:\n{}",
        differences.len(),
        host.len(),
        differences[..shown].join("\n")
    );
}

/// A namespace of ours, with further options.
fn ours(shifts: Shifts, options: &[&str]) -> Run {
    let mut all = vec!["--backend=guest".to_owned()];
    all.extend(shifts.options());
    all.extend(options.iter().map(|option| (*option).to_owned()));
    Run::inside(&all).limit(LIMIT)
}

/// Compares a namespace of ours with the host.
fn in_ours(kind: Kind, shifts: Shifts, options: &[&str]) -> Result<(), Missing> {
    let host = on_host(kind)?;
    let run = ours(shifts, options).run(&words(kind, shifts, &[])?);
    compare(&host, &run, shifts, |_| true);
    Ok(())
}

/// Compares a program under a container's profile with the host.
fn in_a_container(kind: Kind, shifts: Shifts) -> Result<(), Missing> {
    let offsets = [
        shifts.realtime,
        shifts.tai,
        shifts.monotonic,
        shifts.boottime,
    ];
    let world = seccomp::under_profile(offsets)?.limit(LIMIT);
    let run = world.run(&words(kind, shifts, &[])?);
    compare(&on_host(kind)?, &run, shifts, |_| true);
    Ok(())
}

/// Compares a program in a container of a real runtime's with the host.
fn in_a_runtimes_container(kind: Kind, shifts: Shifts) -> Result<(), Missing> {
    let agent = Agent::start(&[]);
    let words = words(kind, shifts, &[])?;
    let container = Container::of_host(&agent, &shifts.options(), &["CAP_WAKE_ALARM"], &words)?;
    compare(&on_host(kind)?, &container.run(), shifts, |_| true);
    Ok(())
}

/// Two clocks are the kernel's, the others ours.
fn where_two_keep_the_clocks(kind: Kind, shifts: Shifts, is_compared: fn(&str) -> bool) {
    need!(root());
    let mut options = vec!["--backend=auto".to_owned()];
    options.extend(shifts.options());
    let inside = Run::inside(&options).limit(LIMIT);
    let shown = inside.run(&["cat", "/proc/self/timens_offsets"]).stdout;
    if !shown.lines().any(|line| !line.ends_with(" 0")) {
        skip!("this kernel has no time namespaces");
    }
    let host = need!(on_host(kind));
    let run = inside.run(&need!(words(kind, shifts, &[])));
    compare(&host, &run, shifts, is_compared);
}

/// What the kernel's sums overflow by, for BOOTTIME up to this day, for MONOTONIC until 6.12.117: a
/// wait until the end of all time ends at once.
fn does_not_overflow(row: &str) -> bool {
    !row.contains(" sec_max") && !row.contains(" ktime_max")
}

/// In a time namespace of the kernel, which shifts two clocks.
fn in_the_kernels(shifts: Shifts, is_compared: fn(&str) -> bool) {
    need!(root());
    let shifts = Shifts {
        realtime: 0,
        tai: 0,
        ..shifts
    };
    let mut options = vec!["--backend=kernel".to_owned()];
    options.extend(shifts.options());
    let inside = Run::inside(&options).limit(LIMIT);
    if !inside.run(&["true"]).stderr.is_empty() {
        skip!("this kernel has no time namespaces");
    }
    let host = need!(on_host(Kind::Glibc));
    let run = inside.run(&need!(words(Kind::Glibc, shifts, &[])));
    compare(&host, &run, shifts, is_compared);
}

#[test]
fn the_table_is_whole_and_the_host_keeps_its_own_word() {
    for kind in [Kind::Glibc, Kind::Musl] {
        let host = need!(on_host(kind));
        assert!(host.len() > 12_000, "{}", host.len());
        for (row, outcome) in &host {
            let fault = FAULTS.iter().find(|fault| outcome.contains(**fault));
            assert_eq!(fault, None, "{row}: {outcome}");
            assert!(
                !outcome.contains('|'),
                "not the same thrice: {row}: {outcome}"
            );
        }
        for how in ["shared", "plain", "libc"] {
            for (row, outcome) in [
                ("clock_nanosleep absolute REALTIME soon", "0, in time"),
                ("clock_nanosleep absolute TAI past", "0, in time"),
                ("clock_nanosleep absolute BOOTTIME later_signalled", "EINTR"),
                ("clock_nanosleep absolute MONOTONIC ktime_max", "EINTR"),
                (
                    "futex_wait_bitset private MONOTONIC soon",
                    "ETIMEDOUT, in time",
                ),
                (
                    "futex_waitv shared REALTIME soon_restarted",
                    "ETIMEDOUT, in time",
                ),
                ("futex_wait_bitset shared REALTIME later", "0"),
                ("futex_lock_pi shared REALTIME soon", "ETIMEDOUT, in time"),
                ("futex_lock_pi shared REALTIME null", "0"),
                ("mq_timedsend  REALTIME nsec_1e9", "EINVAL"),
                ("mq_timedreceive  REALTIME straddling", "EFAULT"),
                (
                    "timer absolute REALTIME later",
                    "0, armed, before about 500 s every 7.000000000, \
                     now about 1000 s, at last about 1000 s",
                ),
                (
                    "timerfd absolute MONOTONIC second_1",
                    "0, armed, before about 500 s every 7.000000000, expired, in time, \
                     then nothing",
                ),
                (
                    "timerfd absolute BOOTTIME zero",
                    "0, armed, before about 500 s every 7.000000000, now nothing, silent",
                ),
            ] {
                assert_eq!(host[&format!("{how} {row}")], outcome, "{how} {row}");
            }
        }
    }
}

#[test]
fn waits_in_a_time_namespace_of_the_kernel_that_is_ahead_are_the_hosts() {
    in_the_kernels(Shifts::FORWARD, |_| true);
}

#[test]
fn waits_in_a_time_namespace_of_the_kernel_that_is_behind_are_the_hosts() {
    in_the_kernels(Shifts::back(), does_not_overflow);
}

#[test]
fn waits_ahead_where_the_kernel_keeps_two_clocks_are_the_hosts() {
    where_two_keep_the_clocks(Kind::Glibc, Shifts::FORWARD, |_| true);
}

#[test]
fn waits_behind_where_the_kernel_keeps_two_clocks_are_the_hosts() {
    where_two_keep_the_clocks(Kind::Musl, Shifts::back(), does_not_overflow);
}

#[test]
fn waits_ahead_are_the_hosts() {
    need!(in_ours(Kind::Glibc, Shifts::FORWARD, &[]));
}

#[test]
fn waits_behind_are_the_hosts() {
    need!(in_ours(Kind::Glibc, Shifts::back(), &[]));
}

#[test]
fn waits_under_a_containers_profile_are_the_hosts() {
    need!(in_a_container(Kind::Glibc, Shifts::FORWARD));
    need!(in_a_container(Kind::MuslStatic, Shifts::back()));
}

#[test]
fn waits_in_a_container_are_the_hosts() {
    need!(in_a_runtimes_container(Kind::Glibc, Shifts::FORWARD));
    need!(in_a_runtimes_container(Kind::MuslStatic, Shifts::back()));
}

#[test]
fn waits_on_musl_are_the_hosts() {
    need!(in_ours(Kind::Musl, Shifts::FORWARD, &[]));
}

#[test]
fn waits_of_a_static_program_in_a_strict_tree_are_the_hosts() {
    need!(in_ours(Kind::GlibcStatic, Shifts::back(), &["--strict"]));
}

#[test]
fn waits_where_the_kernels_own_function_reads_are_the_hosts() {
    need!(in_ours(Kind::Glibc, Shifts::FORWARD, &["--reads=kernel"]));
}

#[test]
fn waits_in_a_vdso_of_one_page_are_the_hosts() {
    let options = ["--reads=one-page"];
    need!(in_ours(Kind::Glibc, Shifts::FORWARD, &options));
    need!(in_ours(Kind::MuslStatic, Shifts::back(), &options));
}

#[test]
fn waits_of_a_static_program_on_musl_where_system_calls_read_are_the_hosts() {
    need!(in_ours(
        Kind::MuslStatic,
        Shifts::back(),
        &["--reads=syscall"]
    ));
}

#[test]
fn waits_of_an_ordinary_user_are_the_hosts() {
    let dir = guests::public_directory();
    let (kind, shifts) = (Kind::Glibc, Shifts::FORWARD);
    let host = need!(on_host(kind));
    let mut words = need!(words(kind, shifts, &[]));
    words[0] = guests::copy(words[0].as_ref(), dir.path(), 0o755).into();
    let inside = ours(shifts, &[]).by_ordinary_user(dir.path());
    // They may not make ALARM timers.
    compare(&host, &inside.run(&words), shifts, |row| {
        !row.contains("_ALARM")
    });
}

#[test]
fn waits_that_are_stopped_and_continued_are_the_hosts() {
    let (host, none) = (Run::on_host().limit(LIMIT), Shifts::default());
    let inside = ours(Shifts::FORWARD, &[]);
    for (kind, run, shifts) in [
        (Kind::Glibc, &host, none),
        (Kind::Glibc, &inside, Shifts::FORWARD),
        (Kind::Musl, &inside, Shifts::FORWARD),
    ] {
        let words = need!(words(kind, shifts, &["", "stopped"]));
        compare(&need!(on_host(kind)), &run.run(&words), shifts, |_| true);
    }
}

#[test]
fn waits_where_one_clock_alone_is_shifted_are_the_hosts() {
    let Shifts {
        realtime,
        monotonic,
        boottime,
        tai,
    } = Shifts::FORWARD;
    let none = Shifts::default();
    let tests = [
        Shifts {
            realtime,
            // It would follow.
            tai: 1,
            ..none
        },
        Shifts { monotonic, ..none },
        Shifts { boottime, ..none },
        Shifts { tai, ..none },
    ];
    std::thread::scope(|scope| {
        for shifts in tests {
            scope.spawn(move || need!(in_ours(Kind::Glibc, shifts, &[])));
        }
    });
}
