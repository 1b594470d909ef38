//! Bundles that somebody starts by hand, with elsewhen before runc and crun.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use elsewhen::clock::Readings;
use elsewhen::{ClockOffsets, Offset, SavedClocks};
use harness::clock::SECOND;
use harness::engines::bare::specification;
use harness::engines::stage::{Stage, without_hybrid_cgroups};
use harness::process::{Finished, Run, elsewhen};
use harness::{SHIFT, need, sys, tools};
use serde_json::{Value, json};

const RUNTIMES: [&str; 2] = ["runc", "crun"];

fn bundle(stage: &Stage, config: &Value) -> PathBuf {
    let bundle = stage.at("bundle");
    fs::create_dir_all(&bundle).unwrap();
    fs::write(bundle.join("config.json"), config.to_string()).unwrap();
    bundle
}

/// A container's name that no other test has, since runtimes name the control group by it.
fn name(stage: &Stage) -> OsString {
    stage.at("").file_name().unwrap().to_owned()
}

/// Runs the bundle by a runtime's words, which may have elsewhen before them.
fn run(stage: &Stage, bundle: &PathBuf, runtime: &[OsString]) -> Finished {
    let mut words: Vec<OsString> = runtime.to_vec();
    words.extend(["--root".into(), stage.at("state").into(), "run".into()]);
    words.extend(["--bundle".into(), bundle.into(), name(stage)]);
    without_hybrid_cgroups(&mut words);
    Run::on_host().run(&words)
}

/// Elsewhen with these options, before this runtime.
fn by_elsewhen(stage: &Stage, runtime: &str, options: &[&str]) -> Vec<OsString> {
    let mut words: Vec<OsString> = vec![elsewhen().into(), "oci-runtime".into()];
    words.extend(["--runtime".into(), runtime.into()]);
    words.extend(["--socket".into(), stage.at("agent.sock").into()]);
    words.extend(options.iter().map(OsString::from));
    words.push("--".into());
    words
}

#[test]
fn time_offsets_of_the_specification_reach_containers_of_runtimes_that_lack_them() {
    let stage = need!(Stage::new());
    let command = ["/bin/cut", "-d ", "-f1", "/proc/uptime"];
    let mut config = need!(specification(&stage, &command));
    config["linux"]["timeOffsets"] = json!({"boottime": {"secs": i64::try_from(SHIFT).unwrap()}});
    for runtime in RUNTIMES {
        need!(tools::find(runtime));
        let has_time = Run::on_host()
            .run(&[runtime, "features"])
            .stdout
            .contains("\"time\"");
        for with_namespace in [false, true] {
            let mut config = config.clone();
            if with_namespace {
                let namespaces = config["linux"]["namespaces"].as_array_mut().unwrap();
                namespaces.push(json!({"type": "time"}));
            } else if has_time {
                // Such a runtime asks for both.
                continue;
            }
            let bundle = bundle(&stage, &config);
            let inside = run(&stage, &bundle, &by_elsewhen(&stage, runtime, &[])).succeeded();
            let expected = inside.host("BOOTTIME").shifted(SHIFT * SECOND);
            expected.check_lines(&inside.stdout).unwrap();
        }
    }
}

#[test]
fn saved_clocks_go_on_in_a_container() {
    let stage = need!(Stage::new());
    let file = stage.at("clocks.json");
    let host = Readings {
        realtime: sys::clock_gettime(libc::CLOCK_REALTIME),
        tai: sys::clock_gettime(libc::CLOCK_TAI),
        monotonic: sys::clock_gettime(libc::CLOCK_MONOTONIC),
        boottime: sys::clock_gettime(libc::CLOCK_BOOTTIME),
    };
    let shift = ClockOffsets {
        boottime: Offset::from_secs(34_560_000),
        ..ClockOffsets::default()
    };
    let saved = SavedClocks::new(host, shift).unwrap();
    fs::write(&file, saved.to_json()).unwrap();
    let mut config = need!(specification(
        &stage,
        &["/bin/cut", "-d ", "-f1", "/proc/uptime"]
    ));
    let path = file.to_str().unwrap();
    config["annotations"] = json!({ "org.elsewhen.resume": path });
    for runtime in RUNTIMES {
        need!(tools::find(runtime));
        let bundle = bundle(&stage, &config);
        let inside = run(&stage, &bundle, &by_elsewhen(&stage, runtime, &[])).succeeded();
        let uptime: f64 = inside.stdout.trim().parse().unwrap();
        assert!(uptime > 34_560_000.0, "{uptime}");
    }
}

#[test]
fn a_bundle_that_is_run_again_has_what_it_is_told_then() {
    let stage = need!(Stage::new());
    let config = need!(specification(&stage, &["/bin/date", "+%s"]));
    let ahead = format!("+{SHIFT}");
    for runtime in RUNTIMES {
        need!(tools::find(runtime));
        let bundle = bundle(&stage, &config);
        let plain = run(&stage, &bundle, &by_elsewhen(&stage, runtime, &[])).succeeded();
        plain.host("REALTIME").check_lines(&plain.stdout).unwrap();
        let untouched = fs::read_to_string(bundle.join("config.json")).unwrap();
        assert_eq!(untouched, config.to_string());

        for options in [
            ["--realtime", "+5"],
            ["--realtime", &ahead],
            ["--realtime", &ahead],
        ] {
            let told = options[1].parse::<i128>().unwrap();
            let inside = run(&stage, &bundle, &by_elsewhen(&stage, runtime, &options)).succeeded();
            let expected = inside.host("REALTIME").shifted(told * SECOND);
            expected.check_lines(&inside.stdout).unwrap();
        }
    }
}

#[test]
fn without_an_agent_the_runtime_starts_no_container() {
    let stage = need!(Stage::new());
    let config = need!(specification(&stage, &["/bin/date", "+%s"]));
    for runtime in RUNTIMES {
        need!(tools::find(runtime));
        let absent = stage.at("no.sock");
        let options = ["--realtime", "+1", "--socket", absent.to_str().unwrap()];
        let mut words: Vec<OsString> = vec![elsewhen().into(), "oci-runtime".into()];
        words.extend(["--runtime".into(), runtime.into()]);
        words.extend(options.map(OsString::from));
        words.push("--".into());
        let refused = run(&stage, &bundle(&stage, &config), &words);
        assert_ne!(refused.code, 0, "{refused:#?}");
        assert_eq!(refused.stdout, "");
        assert!(refused.stderr.contains("seccomp"), "{refused:#?}");
        // What is left of it is forgotten.
        let mut forget: Vec<OsString> = [runtime, "--root"].map(OsString::from).into();
        forget.extend([
            stage.at("state").into(),
            "delete".into(),
            "--force".into(),
            name(&stage),
        ]);
        without_hybrid_cgroups(&mut forget);
        Run::on_host().run(&forget);
    }
}

#[test]
fn a_link_with_the_runtimes_name_does_what_the_command_does() {
    let stage = need!(Stage::new());
    let config = need!(specification(&stage, &["/bin/date", "+%s"]));
    for runtime in RUNTIMES {
        need!(tools::find(runtime));
        let link = stage.at(runtime);
        symlink(elsewhen(), &link).unwrap();
        let socket = format!("--elsewhen-socket={}", stage.at("agent.sock").display());
        let words = [
            link.into_os_string(),
            socket.into(),
            format!("--elsewhen-realtime=+{SHIFT}").into(),
        ];
        run(&stage, &bundle(&stage, &config), &words).expect_shifted();
    }
}
