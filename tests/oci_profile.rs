//! `elsewhen oci-profile`, compiled by libseccomp: what a container's calls meet.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::path::Path;

use harness::need;
use harness::oci_rules::{Condition, Rules};
use harness::process::{Run, elsewhen};
use harness::random_programs::Random;
use harness::seccomp::{self, ALLOW, Abi, Filter, I386, NATIVE, NOTIFY, X32};
use serde_json::Value;

/// The most instructions that the kernel takes (`BPF_MAXINSNS`).
const MOST_INSTRUCTIONS: usize = 4096;

/// Of the capabilities that profiles ask for, those that a container has by default.
const DEFAULT: [&str; 2] = ["CAP_SYS_CHROOT", "CAP_AUDIT_WRITE"];

/// Calls of ours, and whether a container can be without.
const SETTERS: [&str; 7] = [
    "settimeofday",
    "adjtimex",
    "clock_settime",
    "clock_adjtime",
    "stime",
    "clock_settime64",
    "clock_adjtime64",
];

fn profile(options: &[&str]) -> Value {
    let mut words = vec![elsewhen().into_os_string()];
    words.extend(["oci-profile", "--socket", "/run/agent.sock"].map(Into::into));
    words.extend(options.iter().map(Into::into));
    let said = Run::on_host().run(&words).succeeded();
    serde_json::from_str(&said.stdout).unwrap()
}

/// The same, merged with a base.
fn merged(base: &Path, options: &[&str]) -> Value {
    let base = base.to_str().unwrap();
    profile(&[&["--base", base], options].concat())
}

fn read(file: &Path) -> Value {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

/// All names that a profile mentions.
fn names(profile: &Value) -> Vec<&str> {
    let entries = profile["syscalls"].as_array().unwrap().iter();
    let names = entries.flat_map(|entry| entry["names"].as_array().unwrap());
    let mut names: Vec<_> = names.map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The calls that a profile notifies.
fn ours(profile: &Value) -> Vec<&str> {
    let all = profile["syscalls"].as_array().unwrap().iter();
    let notified = all.filter(|entry| entry["action"] == "SCMP_ACT_NOTIFY");
    let names = notified.flat_map(|entry| entry["names"].as_array().unwrap());
    let mut names: Vec<_> = names.map(|name| name.as_str().unwrap()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Arguments about which a rule may be, or just not.
fn arguments(random: &mut Random, rules: &Rules, name: &str) -> [u64; 6] {
    let mut args = std::array::from_fn(|_| match random.next() % 4 {
        0 => 0,
        1 => random.next() % 14,
        _ => random.next(),
    });
    let of_it: Vec<_> = rules
        .all()
        .iter()
        .filter(|rule| rule.name == name)
        .collect();
    if of_it.is_empty() {
        return args;
    }
    let at = random.next() % u64::try_from(of_it.len()).unwrap();
    for condition in &of_it[usize::try_from(at).unwrap()].conditions {
        args[condition.index] = near(random, condition);
    }
    args
}

/// A value that a condition holds for, or one beside it, or one that differs in a half or a bit.
fn near(random: &mut Random, condition: &Condition) -> u64 {
    let free = random.next();
    let value = match condition.op.as_str() {
        "SCMP_CMP_MASKED_EQ" => condition.value_two | free & !condition.value,
        _ => condition.value,
    };
    match random.next() % 10 {
        0 => value.wrapping_add(1),
        1 => value.wrapping_sub(1),
        2 => value ^ 1 << (free % 64),
        3 => value & 0xffff_ffff,
        4 => value & !0xffff_ffff | free & 0xffff_ffff,
        5 => value & 0xffff_ffff | free & !0xffff_ffff,
        _ => value,
    }
}

/// What a filter answers where the rules say this action; the kernel's numbers.
fn is_answer(verdict: u32, action: &str) -> bool {
    match action {
        "SCMP_ACT_ALLOW" => verdict == ALLOW,
        "SCMP_ACT_NOTIFY" => verdict == NOTIFY,
        "SCMP_ACT_ERRNO" => verdict & 0xffff_0000 == libc::SECCOMP_RET_ERRNO,
        other => panic!("{other}"),
    }
}

/// Holds a filter against the rules that it was made from, and gives how many calls were notified.
fn agree(profile: &Value, filter: &Filter, calls: &[(&str, u32)]) -> u32 {
    let rules = Rules::of(profile);
    let mut random = Random::new(1);
    let mut notified = 0;
    for (name, number) in calls {
        for _ in 0..2000 {
            let args = arguments(&mut random, &rules, name);
            let verdict = filter.verdict(NATIVE, *number, args);
            let action = rules.action(name, &args);
            assert!(
                is_answer(verdict, action),
                "{name} {args:x?}: {verdict:x}, {action}"
            );
            notified += u32::from(verdict == NOTIFY);
        }
    }
    notified
}

/// The calls of these names that an ABI has.
fn numbered<'a>(abi: Abi, names: &[&'a str]) -> Result<Vec<(&'a str, u32)>, harness::Missing> {
    let numbers = seccomp::numbers(abi, names)?;
    let both = names.iter().zip(numbers);
    Ok(both
        .filter_map(|(name, number)| Some((*name, number?)))
        .collect())
}

#[test]
fn a_filter_does_what_its_profile_says_whatever_the_arguments() {
    for options in [
        &[][..],
        &["--proc=off"],
        &["--realtime=+1d"],
        &["--monotonic=+1d", "--proc=off"],
        &["--realtime=+1d", "--monotonic=+1d", "--boottime=+1d"],
    ] {
        let profile = profile(options);
        let filter = need!(seccomp::compile(&profile));
        let calls = need!(numbered(NATIVE, &ours(&profile)));
        assert!(calls.len() > 15, "{calls:?}");
        assert!(agree(&profile, &filter, &calls) > 5000);
        assert!(filter.0.len() < MOST_INSTRUCTIONS / 2, "{}", filter.0.len());
    }
}

#[test]
fn so_does_one_that_is_merged_with_an_engines_own() {
    for base in need!(seccomp::bases()) {
        for options in [&[][..], &["--realtime=+1d", "--cap=CAP_SYS_ADMIN"]] {
            let profile = merged(&base, options);
            let filter = need!(seccomp::compile(&profile));
            assert!(filter.0.len() < MOST_INSTRUCTIONS, "{}", filter.0.len());
            let calls = need!(numbered(NATIVE, &ours(&profile)));
            assert!(calls.len() > 15, "{calls:?}");
            assert!(agree(&profile, &filter, &calls) > 5000);
        }
    }
}

#[test]
fn what_is_not_ours_is_as_the_base_has_it_in_every_abi() {
    for base in need!(seccomp::bases()) {
        let settled = seccomp::settle(&read(&base), &DEFAULT);
        let plain = need!(seccomp::compile(&settled));
        let rules = Rules::of(&settled);
        let profile = merged(&base, &[]);
        let filter = need!(seccomp::compile(&profile));
        let of_base = names(&settled);
        let mut random = Random::new(2);
        for abi in [NATIVE, X32, I386] {
            let ours = need!(numbered(abi, &ours(&profile)));
            let named = need!(numbered(abi, &of_base));
            let first = if abi == X32 { 0x4000_0000 } else { 0 };
            for number in first..first + 600 {
                if ours.iter().any(|(_, of_ours)| *of_ours == number) {
                    continue;
                }
                let name = named.iter().find(|(_, of_it)| *of_it == number);
                for _ in 0..50 {
                    let args = arguments(&mut random, &rules, name.map_or("", |(name, _)| name));
                    assert_eq!(
                        filter.verdict(abi, number, args),
                        plain.verdict(abi, number, args),
                        "{abi:?} {number} {args:x?}"
                    );
                }
            }
        }
    }
}

#[test]
fn nothing_passes_that_the_base_refuses_but_to_be_answered() {
    for base in need!(seccomp::bases()) {
        for capabilities in [&DEFAULT[..], &["CAP_SYS_ADMIN", "CAP_SYS_TIME"], &[]] {
            let plain = need!(seccomp::compile(&seccomp::settle(
                &read(&base),
                capabilities
            )));
            let profile = seccomp::settle(&merged(&base, &["--format=docker"]), capabilities);
            let filter = need!(seccomp::compile(&profile));
            let rules = Rules::of(&profile);
            let mut random = Random::new(3);
            for abi in [NATIVE, X32, I386] {
                for (name, number) in need!(numbered(abi, &ours(&profile))) {
                    for _ in 0..500 {
                        let args = arguments(&mut random, &rules, name);
                        let merged = filter.verdict(abi, number, args);
                        let alone = plain.verdict(abi, number, args);
                        let is_same = merged == alone;
                        let is_notified = merged == NOTIFY;
                        let is_asked = alone == ALLOW || SETTERS.contains(&name);
                        assert!(
                            is_same || is_notified && is_asked,
                            "{abi:?} {name} {args:x?}: {merged:x} for {alone:x}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn no_capability_lets_a_container_set_the_hosts_clock() {
    for base in need!(seccomp::bases()) {
        for form in [&["--format=docker"][..], &["--cap=CAP_SYS_TIME"]] {
            let profile = seccomp::settle(&merged(&base, form), &["CAP_SYS_TIME"]);
            let filter = need!(seccomp::compile(&profile));
            for abi in [NATIVE, X32, I386] {
                let setters = need!(numbered(abi, &SETTERS));
                assert!(setters.len() >= 4, "{setters:?}");
                for (name, number) in setters {
                    let verdict = filter.verdict(abi, number, [0; 6]);
                    assert_eq!(verdict, NOTIFY, "{abi:?} {name}");
                }
            }
        }
    }
}

#[test]
fn an_engine_settles_the_docker_form_as_we_settle_the_other() {
    for base in need!(seccomp::bases()) {
        let docker = merged(&base, &["--format=docker"]);
        let architectures: Vec<_> = docker["archMap"].as_array().unwrap().iter().collect();
        assert_eq!(architectures.len(), 1);
        let docker = seccomp::settle(&docker, &DEFAULT);
        let oci = merged(&base, &[]);
        for key in [
            "architectures",
            "defaultAction",
            "defaultErrnoRet",
            "listenerPath",
        ] {
            assert_eq!(docker[key], oci[key], "{key}");
        }
        let (docker, oci) = (
            need!(seccomp::compile(&docker)),
            need!(seccomp::compile(&oci)),
        );
        assert_eq!(docker.0.len(), oci.0.len());
        assert!(
            docker
                .0
                .iter()
                .zip(&oci.0)
                .all(|(a, b)| { (a.code, a.jt, a.jf, a.k) == (b.code, b.jt, b.jf, b.k) })
        );
    }
}

#[test]
fn calls_of_other_abis_are_notified_as_far_as_they_are_served() {
    let profile = profile(&[]);
    let filter = need!(seccomp::compile(&profile));
    for (name, args, expected) in [
        ("brk", [0; 6], NOTIFY),
        ("brk", [4096, 0, 0, 0, 0, 0], ALLOW),
        ("set_thread_area", [8; 6], NOTIFY),
        ("time", [0; 6], NOTIFY),
        ("gettimeofday", [8; 6], NOTIFY),
        ("clock_gettime", [1, 8, 0, 0, 0, 0], NOTIFY),
        ("clock_gettime", [2, 8, 0, 0, 0, 0], ALLOW),
        ("clock_gettime64", [0, 8, 0, 0, 0, 0], NOTIFY),
        ("clock_settime64", [0; 6], NOTIFY),
        ("stime", [0; 6], NOTIFY),
        ("sysinfo", [8; 6], NOTIFY),
        // Their waits are the kernel's (LIMITATIONS.md).
        ("clock_nanosleep", [0, 1, 8, 0, 0, 0], ALLOW),
        ("futex", [8, 9, 0, 8, 0, 0], ALLOW),
        ("timerfd_settime", [3, 1, 8, 0, 0, 0], ALLOW),
        ("read", [0; 6], ALLOW),
    ] {
        let number = need!(numbered(I386, &[name]))[0].1;
        assert_eq!(filter.verdict(I386, number, args), expected, "{name}");
    }
}

#[test]
fn a_clock_that_is_not_shifted_is_left_to_the_kernel() {
    let filter = need!(seccomp::compile(&profile(&["--realtime=+1d"])));
    for clock in 0..12 {
        let expected = match clock {
            0 | 5 | 8 | 11 => NOTIFY,
            _ => ALLOW,
        };
        let read = [clock, 8, 0, 0, 0, 0];
        assert_eq!(filter.verdict(NATIVE, 228, read), expected, "{clock}");
        if clock != 5 {
            let wait = [clock, 1, 8, 0, 0, 0];
            assert_eq!(filter.verdict(NATIVE, 230, wait), expected, "{clock}");
        }
    }
    // FUTEX_WAIT_BITSET by MONOTONIC, and by REALTIME.
    assert_eq!(filter.verdict(NATIVE, 202, [8, 9, 0, 8, 0, 0]), ALLOW);
    assert_eq!(
        filter.verdict(NATIVE, 202, [8, 9 | 256, 0, 8, 0, 0]),
        NOTIFY
    );
}

/// CRIU's images show no more of a filter than its program, and only those of elsewhen's may be changed at a dump.
#[test]
fn a_compiled_profile_compares_with_both_halves_of_the_cookie_that_it_is_known_by() {
    const COOKIE: [u32; 2] = [0x7768_656e, 0x656c_7365];
    let mut profiles: Vec<Value> = [
        &[][..],
        &["--realtime=+1d"],
        &["--monotonic=+1d", "--proc=off"],
    ]
    .iter()
    .map(|options| profile(options))
    .collect();
    let bases = need!(seccomp::bases());
    profiles.extend(bases.iter().map(|base| merged(base, &["--realtime=+1d"])));
    for profile in &profiles {
        let Filter(program) = need!(seccomp::compile(&seccomp::settle(profile, &DEFAULT)));
        for half in COOKIE {
            // `BPF_JMP` with `BPF_K`.
            let compares = |one: &libc::sock_filter| one.code & 0xf == 5 && one.k == half;
            assert!(program.iter().any(compares), "{half:#x} in {profile:#}");
        }
    }
}
