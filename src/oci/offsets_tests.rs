use super::*;

fn annotations(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs
        .iter()
        .map(|(key, value)| ((*key).into(), (*value).into()))
        .collect()
}

#[test]
fn metadata_come_back_as_they_were_written() {
    let words = Words {
        realtime: Some("+400d".into()),
        proc: Some("off".into()),
        ..Words::default()
    };
    let text = words.to_metadata();
    assert_eq!(text, r#"{"elsewhen":1,"realtime":"+400d","proc":"off"}"#);
    let read = Words::from_metadata(&text).unwrap();
    assert_eq!(read.realtime, words.realtime);
    assert!(!read.shows_proc().unwrap());
    assert_eq!(Words::from_metadata(" ").unwrap(), Words::default());
}

#[test]
fn metadata_that_are_not_understood_are_refused() {
    for text in [
        "x",
        "{}",
        r#"{"realtime":"+1d"}"#,
        r#"{"elsewhen":2,"realtime":"+1d"}"#,
        r#"{"elsewhen":1,"realtme":"+1d"}"#,
        r#"{"elsewhen":1,"realtime":5}"#,
    ] {
        assert!(Words::from_metadata(text).is_err(), "{text}");
    }
}

#[test]
fn an_annotation_comes_before_the_environment_and_that_before_the_profile() {
    let annotated = annotations(&[
        ("org.elsewhen.realtime", "+3d"),
        ("org.other.realtime", "+9d"),
    ]);
    let environment = ["PATH=/", "ELSEWHEN_REALTIME=+2d", "ELSEWHEN_MONOTONIC=+2d"];
    let metadata = r#"{"elsewhen":1,"realtime":"+1d","monotonic":"+1d","boottime":"+1d"}"#;
    let words = Words::from_annotations(&annotated)
        .unwrap()
        .or(Words::from_environment(environment).unwrap())
        .or(Words::from_metadata(metadata).unwrap());
    let now = crate::reading::now().unwrap();
    let offsets = words.offsets(&now).unwrap();
    let days = |days: i64| Offset::from_secs(days * 86_400);
    let wanted = ClockOffsets {
        realtime: days(3),
        tai: days(3),
        monotonic: days(2),
        boottime: days(1),
    };
    assert_eq!(offsets, wanted);
}

#[test]
fn a_variable_that_is_mistyped_is_refused_and_the_right_one_named() {
    for (name, meant) in [
        ("elsewhen_realtime", "ELSEWHEN_REALTIME"),
        ("Elsewhen_Tai", "ELSEWHEN_TAI"),
        ("ELSEWHEN_REALTME", "ELSEWHEN_REALTIME"),
        ("ELSEWHEN_RAELTIME", "ELSEWHEN_REALTIME"),
        ("ELSWEHEN_REALTIMEE", "ELSEWHEN_REALTIME"),
        ("ELSEWHEN-REALTIME", "ELSEWHEN_REALTIME"),
        ("ELSEWHEN_TA", "ELSEWHEN_TAI"),
        ("ELSEWHEN_MONOTOMIC", "ELSEWHEN_MONOTONIC"),
        ("ELSEWHEN_BOOT_TIME", "ELSEWHEN_BOOTTIME"),
        ("elsewhen_bootime", "ELSEWHEN_BOOTTIME"),
    ] {
        // Also beside the right one.
        let lines = ["ELSEWHEN_REALTIME=+1d", &format!("{name}=+400d")];
        let why = Words::from_environment(lines).unwrap_err().to_string();
        assert!(why.contains(&format!("`{name}`")), "{why}");
        assert!(why.ends_with(&format!("write `{meant}`")), "{why}");
    }
}

#[test]
fn variables_for_other_purposes_are_left_alone() {
    let long = format!("ELSEWHEN_{}=+1d", "X".repeat(1 << 20));
    let lines = [
        "ELSEWHEN_STORM=full",
        "ELSEWHEN_TZ=UTC",
        "ELSEWHEN_TIME=+1d",
        "ELSEWHEN_RUNTIME_DIR=/run",
        "ELSEWHEN_UPTIME=+1d",
        "REALTIME=+1d",
        "ELSEWHEN_REALTME",
        "=ELSEWHEN_REALTIME",
        "",
        &long,
    ];
    let words = Words::from_environment(lines).unwrap();
    assert_eq!(words, Words::default());
}

#[test]
fn saved_clocks_go_on_but_those_that_have_words() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("clocks.json");
    let second = 1_000_000_000;
    let now = crate::reading::now().unwrap();
    let shift = ClockOffsets {
        monotonic: Offset::from_secs(5000),
        boottime: Offset::from_secs(7000),
        ..ClockOffsets::default()
    };
    std::fs::write(&file, SavedClocks::new(now, shift).unwrap().to_json()).unwrap();
    let words = |more: &[(&str, &str)]| {
        let resume = ("org.elsewhen.resume", file.to_str().unwrap());
        Words::from_annotations(&annotations(&[&[resume], more].concat())).unwrap()
    };
    let later = Readings {
        monotonic: now.monotonic + 3 * second,
        boottime: now.boottime + 3 * second,
        ..now
    };
    let plain = words(&[]);
    assert!(plain.has_offsets());
    let offsets = plain.offsets(&later).unwrap();
    let seconds = offsets.in_order().map(Offset::secs);
    assert_eq!(seconds, [0, 0, 4997, 6997]);
    let mixed = [
        ("org.elsewhen.boottime", "+1d"),
        ("org.elsewhen.policy", "monotonic=host"),
    ];
    let offsets = words(&mixed).offsets(&later).unwrap();
    assert_eq!(offsets.in_order().map(Offset::secs), [0, 0, 0, 86_400]);
    let both = [
        ("org.elsewhen.monotonic", "+1d"),
        ("org.elsewhen.policy", "monotonic=host"),
    ];
    let why = words(&both).offsets(&later).unwrap_err().to_string();
    assert!(why.contains("leave one out"), "{why}");
    // What is no plain file is not waited for.
    for (path, why) in [
        ("clocks.json", "whole path"),
        ("/dev/zero", "no plain file"),
        ("/nonexistent/clocks.json", "no such file"),
    ] {
        let key = ("org.elsewhen.resume", path);
        let words = Words::from_annotations(&annotations(&[key])).unwrap();
        let told = words.offsets(&later).unwrap_err().to_string();
        assert!(told.contains(why), "{told}");
    }
    let alone = annotations(&[("org.elsewhen.policy", "tai=host")]);
    let alone = Words::from_annotations(&alone).unwrap();
    assert!(alone.offsets(&later).is_err());
}

#[test]
fn an_unknown_annotation_and_a_word_that_is_none_are_refused() {
    let typo = annotations(&[("org.elsewhen.realtme", "+1d")]);
    assert!(Words::from_annotations(&typo).is_err());
    let now = crate::reading::now().unwrap();
    for (name, value) in [
        ("realtime", "soon"),
        ("monotonic", "@5"),
        ("boottime", "-99y"),
    ] {
        let key = format!("{ANNOTATION}{name}");
        let words = Words::from_annotations(&annotations(&[(&key, value)])).unwrap();
        let error = words.offsets(&now).unwrap_err().to_string();
        assert!(error.contains(name), "{error}");
    }
    let odd = annotations(&[("org.elsewhen.name", "a/b")]);
    let why = Words::from_annotations(&odd).unwrap().name().unwrap_err();
    assert!(why.to_string().contains("`name: a/b`"), "{why}");
    let odd = annotations(&[("org.elsewhen.proc", "maybe")]);
    assert!(Words::from_annotations(&odd).unwrap().shows_proc().is_err());
}
