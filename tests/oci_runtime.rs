//! `elsewhen oci-runtime` as engines call it: what it leaves alone, and how it refuses. That its containers
//! have their clocks is shown in `tests/containers_*.rs`.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod harness;

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use harness::process::{Finished, Run, elsewhen};
use harness::{need, root, tools};
use serde_json::{Value, json};

/// A runtime that tells how it was started.
const TELLING: &str = r#"#!/bin/sh
printf '%s\n' "$@"
env | sort
grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status
ls /proc/$$/fd
pwd
umask
echo "of process $$"
cat
exit 7
"#;

/// A directory with a runtime in it, and a link and a script that put elsewhen before it.
struct Place {
    dir: tempfile::TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        place.program("telling", TELLING);
        symlink(elsewhen(), place.at("elsewhen-telling")).unwrap();
        let script = format!(
            "#!/bin/sh\nexec {} oci-runtime --runtime {} -- \"$@\"\n",
            elsewhen().display(),
            place.at("telling").display()
        );
        place.program("script", &script);
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn program(&self, name: &str, text: &str) {
        harness::process::alone(|| {
            fs::write(self.at(name), text).unwrap();
            fs::set_permissions(self.at(name), fs::Permissions::from_mode(0o755)).unwrap();
        });
    }

    /// With this directory before all others in the search path.
    fn run(&self, words: &[&str]) -> Finished {
        self.run_by("sh", &["-c", "exec \"$@\"", "sh"], words)
    }

    fn run_by(&self, program: &str, before: &[&str], words: &[&str]) -> Finished {
        let path = std::env::var("PATH").unwrap();
        let path = format!("PATH={}:{path}", self.dir.path().display());
        let mut all: Vec<&str> = vec!["env", "-i", &path, "A VARIABLE=of mine", program];
        all.extend(before);
        all.extend(words);
        Run::on_host().in_dir(self.dir.path()).run(&all)
    }

    /// A bundle with this configuration.
    fn bundle(&self, config: &Value) -> PathBuf {
        let bundle = self.at("bundle");
        fs::create_dir_all(&bundle).unwrap();
        let text = serde_json::to_string_pretty(config).unwrap();
        fs::write(bundle.join("config.json"), text).unwrap();
        bundle
    }
}

/// What it says of itself, but for its number.
fn told(finished: &Finished) -> Vec<&str> {
    let lines = finished.stdout.lines();
    lines
        .filter(|line| !line.starts_with("of process") && !line.starts_with("_="))
        .collect()
}

#[test]
fn the_real_runtime_is_started_as_the_engine_has_started_elsewhen() {
    let place = Place::new();
    let lines: &[&[&str]] = &[
        &[
            "--root",
            "/r",
            "--log",
            "l",
            "--log-format",
            "json",
            "exec",
            "-d",
            "--process",
            "p",
            "ID",
        ],
        &["state", "ID"],
        &["kill", "", "two words", "*"],
        &["delete", "--force", "create"],
        &["--version"],
        &[],
    ];
    for words in lines {
        let direct = place.run(&[&["telling"], *words].concat());
        assert_eq!(direct.code, 7, "{direct:#?}");
        for door in ["elsewhen-telling", "script"] {
            let through = place.run(&[&[door], *words].concat());
            assert_eq!(through.code, 7, "{through:#?}");
            assert_eq!(told(&through), told(&direct), "{door}");
            assert_eq!(through.stderr, direct.stderr);
        }
    }
}

#[test]
fn a_signal_reaches_the_runtime_since_it_is_the_same_process() {
    let place = Place::new();
    place.program("telling", "#!/bin/sh\necho $$\nkill -TERM $$\n");
    // The shell tells its own number and becomes elsewhen, which becomes the runtime.
    let ended = place.run_by("sh", &["-c", "echo $$; exec elsewhen-telling state"], &[]);
    assert_eq!(ended.code, 128 + 15, "{ended:#?}");
    let numbers: Vec<&str> = ended.stdout.lines().collect();
    assert_eq!(numbers.len(), 2, "{ended:#?}");
    assert_eq!(numbers[0], numbers[1]);
}

#[test]
fn what_the_real_runtimes_say_of_themselves_comes_through() {
    for name in ["runc", "crun"] {
        let real = need!(tools::find(name));
        for words in [
            &["--version"][..],
            &["features"],
            &["--help"],
            &["no-such-command"],
        ] {
            let mut direct: Vec<OsString> = vec![real.clone().into()];
            direct.extend(words.iter().map(OsString::from));
            let mut through: Vec<OsString> = vec![
                elsewhen().into(),
                "oci-runtime".into(),
                "--runtime".into(),
                name.into(),
                "--".into(),
            ];
            through.extend(words.iter().map(OsString::from));
            let (direct, through) = (Run::on_host().run(&direct), Run::on_host().run(&through));
            assert_eq!(through.code, direct.code, "{name} {words:?}");
            let plain = |text: &str| text.replace(real.to_str().unwrap(), name);
            assert_eq!(
                plain(&through.stdout),
                plain(&direct.stdout),
                "{name} {words:?}"
            );
        }
    }
}

#[test]
fn a_container_without_offsets_keeps_its_configuration_file() {
    let place = Place::new();
    let bundle =
        place.bundle(&json!({"process": {"env": ["PATH=/bin"]}, "linux": {"seccomp": null}}));
    let bundle = bundle.to_str().unwrap();
    let config = Path::new(bundle).join("config.json");
    let before = config.metadata().unwrap();
    let made = place.run(&["elsewhen-telling", "create", "--bundle", bundle, "ID"]);
    assert_eq!(made.code, 7, "{made:#?}");
    let after = config.metadata().unwrap();
    assert_eq!(
        (before.ino(), before.mtime_nsec(), before.ctime_nsec()),
        (after.ino(), after.mtime_nsec(), after.ctime_nsec())
    );
}

#[test]
fn a_container_with_offsets_gets_rules_and_the_agent_before_the_runtime_starts() {
    let place = Place::new();
    place.program("telling", "#!/bin/sh\ncat \"$3/config.json\"\n");
    let bundle = place.bundle(&json!({"process": {"env": ["PATH=/bin", "ELSEWHEN_REALTIME=+1y"]}}));
    let made = place.run(&[
        "elsewhen-telling",
        "--elsewhen-socket=/run/an.agent",
        "--elsewhen-boottime=+1d",
        "create",
        "--bundle",
        bundle.to_str().unwrap(),
        "ID",
    ]);
    let config: Value = serde_json::from_str(&made.succeeded().stdout).unwrap();
    let seccomp = &config["linux"]["seccomp"];
    assert_eq!(seccomp["listenerPath"], "/run/an.agent");
    let metadata: Value =
        serde_json::from_str(seccomp["listenerMetadata"].as_str().unwrap()).unwrap();
    assert_eq!(
        metadata,
        json!({"elsewhen": 1, "realtime": "+1y", "boottime": "+1d"})
    );
    assert_eq!(config["process"]["env"][1], "ELSEWHEN_REALTIME=+1y");
    assert_eq!(
        fs::read_dir(&bundle).unwrap().count(),
        1,
        "something is left in the bundle"
    );
}

/// The message in a runtime's log, and that on the standard error.
fn complaint(finished: &Finished, log: &Path, is_json: bool) -> String {
    let line = finished
        .stderr
        .strip_prefix("elsewhen: ")
        .unwrap_or_else(|| panic!("{finished:#?}"));
    let line = line.strip_suffix('\n').unwrap();
    let text = fs::read_to_string(log).unwrap();
    let logged = text.lines().last().unwrap();
    if is_json {
        let logged: Value = serde_json::from_str(logged).unwrap();
        assert_eq!(logged["level"], "error");
        assert_eq!(logged["msg"], format!("elsewhen: {line}"));
    } else {
        assert!(logged.contains("level=error msg=\"elsewhen: "), "{logged}");
    }
    line.to_owned()
}

#[test]
fn a_runtime_that_cannot_be_run_is_told_in_the_log_that_the_engine_reads() {
    let place = Place::new();
    fs::create_dir(place.at("directory")).unwrap();
    fs::write(place.at("no-program"), "").unwrap();
    let elsewhen = elsewhen();
    let elsewhen = elsewhen.to_str().unwrap();
    let table: &[(&str, i32, &str)] = &[
        (
            "no-such-runtime",
            127,
            "cannot find the OCI runtime `no-such-runtime`",
        ),
        ("/no/such/runtime", 127, "cannot find the OCI runtime"),
        ("directory", 126, "no program that may be executed"),
        ("no-program", 126, "no program that may be executed"),
        (elsewhen, 126, "is elsewhen itself"),
    ];
    for (runtime, status, expected) in table {
        for is_json in [false, true] {
            let log = place.at("log");
            let format = if is_json { "json" } else { "text" };
            let words = [
                "oci-runtime",
                "--runtime",
                runtime,
                "--",
                "--log",
                "log",
                "--log-format",
                format,
                "state",
                "ID",
            ];
            let ended = place.run(&[&[elsewhen], &words[..]].concat());
            assert_eq!(ended.code, *status, "{ended:#?}");
            let line = complaint(&ended, &log, is_json);
            assert!(line.contains(expected), "{line}");
        }
    }
}

#[test]
fn an_offset_that_cannot_be_understood_starts_no_container() {
    let place = Place::new();
    let log = place.at("log.json");
    let table = [
        (
            json!({"annotations": {"org.elsewhen.realtime": "soon"}}),
            "`realtime: soon`: neither a time nor a shift",
        ),
        (
            json!({"annotations": {"org.elsewhen.realtine": "+1y"}}),
            "annotation `org.elsewhen.realtine`",
        ),
        (
            json!({"annotations": {"org.elsewhen.realtime": "+1y", "org.elsewhen.name": "a/b"}}),
            "`name: a/b`: not a name",
        ),
        (
            json!({"process": {"env": ["ELSEWHEN_BOOTTIME=10"]}}),
            "`boottime: 10`",
        ),
        (
            json!({"linux": {"timeOffsets": {"realtime": {"secs": 1}}}}),
            "`linux.timeOffsets` has `realtime`",
        ),
        (json!([]), "`config.json`"),
    ];
    for (config, expected) in table {
        let bundle = place.bundle(&config);
        let ended = place.run(&[
            "elsewhen-telling",
            "--log",
            log.to_str().unwrap(),
            "--log-format=json",
            "run",
            "--bundle",
            bundle.to_str().unwrap(),
            "ID",
        ]);
        assert_eq!(ended.code, 125, "{ended:#?}");
        assert_eq!(ended.stdout, "", "the runtime has been started");
        let line = complaint(&ended, &log, true);
        assert!(line.contains(expected), "{line}");
    }
    let ended = place.run(&[
        "elsewhen-telling",
        "create",
        "--bundle",
        "/no/such/bundle",
        "ID",
    ]);
    assert_eq!(ended.code, 125, "{ended:#?}");
    assert!(
        ended
            .stderr
            .contains("cannot read `/no/such/bundle/config.json`"),
        "{ended:#?}"
    );
}

#[test]
fn a_container_is_not_handed_to_who_has_made_the_agents_directory_first() {
    let place = Place::new();
    let bundle = place.bundle(&json!({"annotations": {"org.elsewhen.realtime": "+1y"}}));
    let bundle = bundle.to_str().unwrap();
    let records = place.at("records");
    let variable = format!("ELSEWHEN_RUNTIME_DIR={}", records.display());
    let words = [
        "env",
        &variable,
        "elsewhen-telling",
        "create",
        "--bundle",
        bundle,
        "ID",
    ];
    let made = |mode| {
        fs::set_permissions(&records, fs::Permissions::from_mode(mode)).unwrap();
        place.run(&words)
    };
    let missing = place.run(&words);
    fs::create_dir(&records).unwrap();
    for (ended, expected) in [
        (missing, "no agent listens"),
        (made(0o777), "others have access"),
    ] {
        assert_eq!(ended.code, 125, "{ended:#?}");
        assert_eq!(ended.stdout, "", "the runtime has been started");
        assert!(ended.stderr.contains(expected), "{ended:#?}");
    }
    assert_eq!(made(0o700).code, 7);
}

#[test]
fn a_link_named_runc_can_stand_before_the_real_one() {
    let real = need!(tools::find("runc"));
    let place = Place::new();
    symlink(elsewhen(), place.at("runc")).unwrap();
    let through = place.run(&["runc", "--version"]).succeeded();
    let direct = Run::on_host()
        .run(&[real.as_os_str(), "--version".as_ref()])
        .succeeded();
    assert_eq!(through.stdout, direct.stdout);
}

#[test]
fn an_engine_in_a_shifted_namespace_makes_no_container() {
    let place = Place::new();
    let bundle = place.bundle(&json!({}));
    let words = [
        elsewhen().into_os_string(),
        "oci-runtime".into(),
        "--runtime".into(),
        place.at("telling").into(),
        "--".into(),
        "create".into(),
        "--bundle".into(),
        bundle.into(),
        "ID".into(),
    ];
    let ended = Run::shifted().run(&words);
    assert_eq!(ended.code, 125, "{ended:#?}");
    assert!(
        ended.stderr.contains("start the engine outside"),
        "{ended:#?}"
    );
}

#[test]
fn options_are_elsewhens_before_the_hyphens_and_the_runtimes_behind() {
    let place = Place::new();
    let elsewhen = elsewhen();
    let elsewhen = elsewhen.to_str().unwrap();
    let refused: &[(&[&str], &str)] = &[
        (&["--root", "/r", "state"], "unknown option `--root`"),
        (
            &["--socket", "agent.sock", "state"],
            "write an absolute path",
        ),
    ];
    for (words, expected) in refused {
        let ended = place.run(&[&[elsewhen, "oci-runtime"], *words].concat());
        assert_eq!(ended.code, 125, "{ended:#?}");
        assert!(ended.stderr.contains(expected), "{ended:#?}");
    }
    let behind = place.run(&[
        elsewhen,
        "oci-runtime",
        "--runtime",
        "telling",
        "--",
        "--realtime",
        "soon",
    ]);
    assert_eq!(behind.code, 7, "{behind:#?}");
    let ours = place.run(&["elsewhen-telling", "--elsewhen-realtine=+1", "state"]);
    assert_eq!(ours.code, 125, "{ours:#?}");
    assert!(
        ours.stderr.contains("unknown option `--realtine`"),
        "{ours:#?}"
    );
}

#[test]
fn crun_can_be_given_another_configuration() {
    need!(root());
    need!(tools::find("crun"));
    let place = Place::new();
    let bundle = place.bundle(&json!({}));
    fs::write(
        place.at("other.json"),
        r#"{"annotations": {"org.elsewhen.tai": "soon"}}"#,
    )
    .unwrap();
    let bundle = bundle.to_str().unwrap();
    for name in ["--config=other.json", "-fother.json"] {
        let ended = place.run(&["elsewhen-crun", "run", "--bundle", bundle, name, "ID"]);
        assert_eq!(ended.code, 127, "no link of that name: {ended:#?}");
        symlink(elsewhen(), place.at("elsewhen-crun")).unwrap();
        let ended = place.run(&["elsewhen-crun", "run", "--bundle", bundle, name, "ID"]);
        fs::remove_file(place.at("elsewhen-crun")).unwrap();
        assert!(
            ended.stderr.contains("`other.json`: `tai: soon`"),
            "{ended:#?}"
        );
    }
}
