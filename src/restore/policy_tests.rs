use super::*;

const S: i128 = 1_000_000_000;

fn at(realtime: i128, monotonic: i128) -> Readings {
    Readings {
        realtime: realtime * S,
        tai: (realtime + 37) * S,
        monotonic: monotonic * S,
        boottime: (monotonic + 100) * S,
    }
}

/// Ten days ahead, saved after 50,000 s of uptime and shown as 60,000.
fn saved() -> SavedClocks {
    let days = Offset::from_secs(864_000);
    let offsets = ClockOffsets {
        realtime: days,
        tai: days,
        monotonic: Offset::from_secs(10_000),
        boottime: Offset::ZERO,
    };
    SavedClocks::new(at(1_700_000_000, 50_000), offsets).unwrap()
}

fn by(policies: &str, here: &Readings) -> [i64; 4] {
    let policies = policies.parse().unwrap();
    let offsets = saved().offsets_by(&policies, here, here).unwrap();
    offsets.in_order().map(Offset::secs)
}

#[test]
fn each_policy_puts_each_clock_where_it_says() {
    // An hour later, on a host that was booted a minute ago.
    let here = at(1_700_003_600, 60);
    let table = [
        ("boottime=continue", [0, 0, 59_940, 49_940]),
        ("monotonic=host,boottime=host", [0, 0, 0, 0]),
        (
            "monotonic=continue+gap,boottime=continue+gap",
            [0, 0, 63_540, 53_540],
        ),
        ("realtime=continue", [860_400, 860_400, 59_940, 49_940]),
        ("realtime=continue+gap", [864_000, 864_000, 59_940, 49_940]),
        ("realtime=continue,tai=host", [860_400, 0, 59_940, 49_940]),
        ("tai=continue", [0, 860_400, 59_940, 49_940]),
    ];
    for (policies, expected) in table {
        assert_eq!(by(policies, &here), expected, "{policies}");
    }
}

#[test]
fn a_host_whose_clock_is_behind_makes_no_gap() {
    let here = at(1_699_999_000, 60);
    assert_eq!(saved().gap(&here), -1_000 * S);
    for policy in ["continue", "continue+gap"] {
        let text = format!("monotonic={policy},boottime={policy},realtime={policy}");
        assert_eq!(by(&text, &here), [865_000, 865_000, 59_940, 49_940]);
    }
}

#[test]
fn the_gap_is_the_hosts_wherever_the_new_namespace_lies() {
    let host = at(1_700_003_600, 60);
    // In a namespace five days behind, whose clocks since boot are far ahead.
    let here = at(1_700_003_600 - 432_000, 1_000_000);
    let policies = "realtime=host,monotonic=continue+gap".parse().unwrap();
    let offsets = saved().offsets_by(&policies, &here, &host).unwrap();
    let expected = [0, 0, 60_000 + 3_600 - 1_000_000, 50_100 - 1_000_100];
    assert_eq!(offsets.in_order().map(Offset::secs), expected);
}

#[test]
fn a_clock_that_would_leave_its_range_is_named() {
    // A host whose clock had been set to 1970: its boot would lie before that here.
    let early = SavedClocks::new(at(1_000, 500), ClockOffsets::default()).unwrap();
    let policies = "realtime=continue".parse().unwrap();
    let here = at(1_700_000_000, 86_400);
    let why = early.offsets_by(&policies, &here, &here).unwrap_err();
    assert!(why.to_string().contains("CLOCK_REALTIME"), "{why}");

    let old = SavedClocks::new(at(9_000_000_000, 4_611_685_000), ClockOffsets::default()).unwrap();
    let policies = "monotonic=continue+gap".parse().unwrap();
    let here = at(9_000_002_000, 60);
    let why = old.offsets_by(&policies, &here, &here).unwrap_err();
    assert!(why.to_string().contains("CLOCK_MONOTONIC"), "{why}");
}

#[test]
fn what_is_no_policy_is_refused_with_what_to_write() {
    for (text, why) in [
        ("", "CLOCK=POLICY"),
        ("realtime", "CLOCK=POLICY"),
        ("realtime=", "continue+gap"),
        ("realtime=Continue", "continue+gap"),
        ("raw=host", "`monotonic`"),
        ("tai=host,tai=host", "twice"),
        ("tai=host,", "CLOCK=POLICY"),
    ] {
        let error = text.parse::<Policies>().unwrap_err().to_string();
        assert!(error.contains(why), "{text}: {error}");
    }
}
