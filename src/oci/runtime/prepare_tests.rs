//! What becomes of a configuration.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use serde_json::{Value, json};

use super::*;

const PODMAN: &str = r#"{
  "ociVersion": "1.0.2",
  "process": {"env": ["PATH=/bin"], "args": ["date"]},
  "linux": {
    "namespaces": [{"type": "pid"}, {"type": "mount"}],
    "seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
      "syscalls": [{"names": ["brk", "arch_prctl", "read"], "action": "SCMP_ACT_ALLOW"}]}
  }
}"#;

fn settings(options: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::new();
    settings.set("socket", "/run/agent.sock".into()).unwrap();
    for (name, value) in options {
        settings.set(name, (*value).into()).unwrap();
    }
    settings
}

fn after(text: &str, options: &[(&str, &str)], runtime_has_time: bool) -> Result<String, String> {
    let mut config = Document::new(text.to_owned()).unwrap();
    changed(&mut config, &settings(options), false, || runtime_has_time)?;
    Ok(config.text().to_owned())
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// The offsets that the agent is told.
fn told(text: &str) -> Value {
    let config = json(text);
    let metadata = config["linux"]["seccomp"]["listenerMetadata"]
        .as_str()
        .unwrap();
    assert_eq!(
        config["linux"]["seccomp"]["listenerPath"],
        "/run/agent.sock"
    );
    json(metadata)
}

#[test]
fn a_container_without_offsets_stays_as_it_is() {
    for text in ["{}", PODMAN, r#"{"annotations":{"org.elsewhen.name":"n"}}"#] {
        assert_eq!(after(text, &[], false).unwrap(), text);
    }
}

#[test]
fn a_restored_container_is_looked_at_for_all_clocks() {
    let restored = |text: &str| {
        let mut config = Document::new(text.to_owned()).unwrap();
        changed(&mut config, &settings(&[]), true, || false).unwrap();
        config.text().to_owned()
    };
    assert_eq!(restored(PODMAN), PODMAN);
    // The file of the clocks that it was once started with need not be on this host.
    for word in [r#""realtime":"+1y""#, r#""resume":"/no/such""#] {
        let word = word.replacen('"', r#""org.elsewhen."#, 1);
        let text = PODMAN.replacen('{', &format!(r#"{{"annotations":{{{word}}},"#), 1);
        let config = restored(&text);
        let told = told(&config);
        assert_eq!(
            (&told["monotonic"], &told["boottime"]),
            (&json!("+0"), &json!("+0"))
        );
        assert_eq!(restored(&config), config);
    }
}

#[test]
fn an_offset_from_anywhere_brings_the_rules() {
    let annotated = PODMAN.replacen('{', r#"{"annotations":{"org.elsewhen.realtime":"+1y"},"#, 1);
    let environment = PODMAN.replace("PATH=/bin", "ELSEWHEN_REALTIME=+2y");
    let offsets = PODMAN.replace(
        r#""linux": {"#,
        r#""linux": {"timeOffsets":{"boottime":{"secs":3}},"#,
    );
    assert_eq!(
        told(&after(&annotated, &[], false).unwrap())["realtime"],
        "+1y"
    );
    assert_eq!(
        told(&after(&environment, &[], false).unwrap())["realtime"],
        "+2y"
    );
    assert_eq!(
        told(&after(&offsets, &[], false).unwrap())["boottime"],
        "+3"
    );
    let options = [("monotonic", "+4"), ("proc", "off")];
    let of_options = told(&after(PODMAN, &options, false).unwrap());
    assert_eq!(
        of_options,
        json!({"elsewhen": 1, "monotonic": "+4", "proc": "off"})
    );
}

#[test]
fn a_mistyped_variable_is_refused_also_where_nothing_else_asks() {
    let mistyped = PODMAN.replace("PATH=/bin", "ELSEWHEN_REALTME=+2y");
    let why = after(&mistyped, &[], false).unwrap_err();
    assert!(why.contains("`ELSEWHEN_REALTIME`"), "{why}");
}

#[test]
fn saved_clocks_bring_the_rules_of_all_clocks() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("clocks.json");
    let shift = crate::ClockOffsets {
        monotonic: crate::clock::Offset::from_secs(5000),
        ..Default::default()
    };
    let saved = crate::SavedClocks::new(reading::now().unwrap(), shift).unwrap();
    std::fs::write(&file, saved.to_json()).unwrap();
    let text = PODMAN.replace(r#""read""#, r#""read", "nanosleep", "clock_nanosleep""#);
    let resumed = after(&text, &[("resume", file.to_str().unwrap())], false).unwrap();
    let given = [("monotonic", "+5"), ("boottime", "+5")];
    let given = after(&text, &given, false).unwrap();
    let rules = |text: &str| json(text)["linux"]["seccomp"]["syscalls"].clone();
    assert_eq!(rules(&resumed), rules(&given));
    let realtime = after(&text, &[("realtime", "+5")], false).unwrap();
    assert_ne!(rules(&resumed), rules(&realtime));
}

#[test]
fn annotations_come_before_variables_and_these_before_options() {
    let text = PODMAN.replace("PATH=/bin", "ELSEWHEN_REALTIME=+2y\",\"ELSEWHEN_TAI=+2");
    let text = text.replacen('{', r#"{"annotations":{"org.elsewhen.realtime":"+1y"},"#, 1);
    let options = [("realtime", "+3y"), ("tai", "+3"), ("boottime", "+3")];
    let told = told(&after(&text, &options, false).unwrap());
    assert_eq!(
        told,
        json!({"elsewhen": 1, "realtime": "+1y", "tai": "+2", "boottime": "+3"})
    );
}

#[test]
fn all_but_the_profile_stays_byte_for_byte() {
    let changed = after(PODMAN, &[("realtime", "+1y")], false).unwrap();
    let (before, rest) = PODMAN.split_once(r#"{"defaultAction""#).unwrap();
    let end = rest.split_once("}]}").unwrap().1;
    assert!(
        changed.starts_with(before) && changed.ends_with(end),
        "{changed}"
    );
}

#[test]
fn what_is_done_twice_is_as_if_done_once() {
    let offsets = PODMAN.replace(
        r#""linux": {"#,
        r#""linux": {"timeOffsets":{"boottime":{"secs":3}},"#,
    );
    for text in [PODMAN, "{}", &offsets] {
        let once = after(text, &[("realtime", "+1y")], false).unwrap();
        let twice = after(&once, &[("realtime", "+1y")], false).unwrap();
        assert_eq!(once, twice);
        let other = after(&once, &[("realtime", "+2y")], false).unwrap();
        assert_eq!(other, after(text, &[("realtime", "+2y")], false).unwrap());
    }
}

#[test]
fn another_agent_is_not_put_out() {
    let text =
        r#"{"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/other"}}}"#;
    let error = after(text, &[("realtime", "+1y")], false).unwrap_err();
    assert!(error.contains("listenerPath"), "{error}");
}

#[test]
fn time_offsets_are_the_runtimes_where_it_can_and_nothing_else_is_shifted() {
    let text = r#"{"linux":{"timeOffsets":{"monotonic":{"secs":1,"nanosecs":5}},
        "namespaces":[{"type":"pid"},{"type":"time"}]}}"#;
    assert_eq!(after(text, &[], true).unwrap(), text);
    for (options, has_time) in [(&[][..], false), (&[("realtime", "+1y")][..], true)] {
        let changed = after(text, options, has_time).unwrap();
        assert_eq!(told(&changed)["monotonic"], "+1.000000005");
        let config = json(&changed);
        assert_eq!(
            config["annotations"]["org.elsewhen.monotonic"],
            "+1.000000005"
        );
        assert_eq!(config["linux"]["namespaces"], json!([{"type": "pid"}]));
        assert_eq!(config["linux"].get("timeOffsets"), None);
    }
}

#[test]
fn a_time_namespace_that_is_joined_stays() {
    let text = r#"{"linux":{"timeOffsets":{"boottime":{"secs":1}},"namespaces":[{"type":"time","path":"/proc/1/ns/time"}]}}"#;
    let config = json(&after(text, &[], false).unwrap());
    assert_eq!(config["linux"]["namespaces"][0]["path"], "/proc/1/ns/time");
}

#[test]
fn crun_takes_another_name_of_the_configuration() {
    let making = |bundle: Option<&str>, config: Option<&str>| Making {
        bundle: bundle.map(PathBuf::from),
        config: config.map(PathBuf::from),
        restores: false,
    };
    assert_eq!(
        configuration(&making(Some("/b"), None)),
        Path::new("/b/config.json")
    );
    assert_eq!(
        configuration(&making(Some("/b"), Some("x"))),
        Path::new("x")
    );
    assert_eq!(
        configuration(&making(Some("/b"), Some("/x"))),
        Path::new("/x")
    );
    assert_eq!(
        configuration(&making(None, None)),
        Path::new("./config.json")
    );
}
