use super::*;

const S: i128 = NSEC_PER_SEC as i128;

/// 2023-11-14, 1,000.25 seconds after the boot, suspended for 500 of them.
const NOW: Readings = Readings {
    realtime: 1_700_000_000 * S,
    tai: 1_700_000_037 * S,
    monotonic: 1_000 * S + S / 4,
    boottime: 1_500 * S + S / 4,
};

fn offsets(clock: &str, nanos: i128) -> ClockOffsets {
    let offset = Offset::from_nanos(nanos).unwrap();
    let mut all = ClockOffsets::default();
    match clock {
        "realtime" => (all.realtime, all.tai) = (offset, offset),
        "tai" => all.tai = offset,
        "monotonic" => all.monotonic = offset,
        "boottime" => all.boottime = offset,
        other => panic!("no clock {other}"),
    }
    all
}

#[test]
fn each_limit_holds_to_the_last_unit_that_linux_compares() {
    let settod = i128::from(TIME_SETTOD_SEC_MAX) * S;
    let half = 4_611_686_018 * S;
    let table: &[(&str, i128, Option<i32>)] = &[
        ("realtime", 0, None),
        ("realtime", 10 * 86_400 * S, None),
        // Not before the boot's MONOTONIC.
        ("realtime", NOW.monotonic - NOW.realtime, None),
        (
            "realtime",
            NOW.monotonic - NOW.realtime - 1,
            Some(libc::EINVAL),
        ),
        ("realtime", -NOW.realtime, Some(libc::EINVAL)),
        ("realtime", -NOW.realtime - 1, Some(libc::EINVAL)),
        ("realtime", -(1 << 33) * S, Some(libc::EINVAL)),
        ("realtime", settod - NOW.realtime - 1, None),
        ("realtime", settod - NOW.realtime, Some(libc::EINVAL)),
        ("realtime", i128::from(i64::MAX) * S, Some(libc::EINVAL)),
        ("realtime", i128::from(i64::MIN) * S, Some(libc::EINVAL)),
        ("tai", -NOW.tai, None),
        ("tai", -NOW.tai - 1, Some(libc::EINVAL)),
        ("tai", settod - NOW.tai - 1, None),
        ("tai", settod - NOW.tai, Some(libc::EINVAL)),
        ("monotonic", 0, None),
        ("monotonic", -NOW.monotonic, None),
        ("monotonic", -NOW.monotonic - 1, Some(libc::ERANGE)),
        ("monotonic", half - 1_000 * S, None),
        // The kernel compares whole seconds: 4611686018.9… still passes.
        ("monotonic", half - NOW.monotonic + S - 1, None),
        ("monotonic", half - NOW.monotonic + S, Some(libc::ERANGE)),
        ("monotonic", 9_223_372_037 * S, Some(libc::ERANGE)),
        ("monotonic", i128::from(i64::MIN) * S, Some(libc::ERANGE)),
        ("boottime", -NOW.boottime, None),
        ("boottime", -NOW.boottime - 1, Some(libc::ERANGE)),
        ("boottime", half - NOW.boottime + S - 1, None),
        ("boottime", half - NOW.boottime + S, Some(libc::ERANGE)),
        ("boottime", i128::from(i64::MAX) * S, Some(libc::ERANGE)),
    ];
    for &(clock, nanos, errno) in table {
        let outcome = check_limits(&offsets(clock, nanos), &NOW);
        let context = format!("{clock} {nanos}: {outcome:?}");
        assert_eq!(
            outcome.as_ref().err().map(LimitError::errno),
            errno,
            "{context}"
        );
        if let Err(error) = outcome {
            assert_eq!(error.clock(), clock, "{context}");
            assert!(error.to_string().contains(';'), "no way out: {context}");
        }
    }
}

#[test]
fn tai_that_follows_realtime_is_never_the_one_to_blame() {
    let settod = i128::from(TIME_SETTOD_SEC_MAX) * S;
    let offsets = offsets("realtime", settod - NOW.realtime - 1);
    assert_eq!(check_limits(&offsets, &NOW), Ok(()));
}

#[test]
fn the_ways_out_that_a_message_names_are_really_ways_out() {
    let below = check_limits(&offsets("monotonic", -2_000 * S), &NOW).unwrap_err();
    assert!(below.to_string().contains("`-1000`"), "{below}");
    assert!(check_limits(&offsets("monotonic", -1_000 * S), &NOW).is_ok());

    let beyond = check_limits(&offsets("boottime", 5_000_000_000 * S), &NOW).unwrap_err();
    assert!(beyond.to_string().contains("`+4611684517`"), "{beyond}");
    assert!(check_limits(&offsets("boottime", 4_611_684_517 * S), &NOW).is_ok());

    let early = check_limits(&offsets("realtime", -NOW.realtime), &NOW).unwrap_err();
    assert!(early.to_string().contains("`@1060`"), "{early}");
    assert!(check_limits(&offsets("realtime", 1_060 * S - NOW.realtime), &NOW).is_ok());
}

#[test]
fn a_host_clock_beyond_the_limits_is_no_error_until_it_is_shifted() {
    let odd = Readings {
        realtime: 0,
        tai: 0,
        ..NOW
    };
    assert_eq!(check_limits(&ClockOffsets::default(), &odd), Ok(()));
}
