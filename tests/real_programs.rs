//! Programs that people run, each started in every way, see the shifted time of day.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::{Finished, Run};
use harness::program::Program;
use harness::ways::{self, Way};
use harness::{need, tools};
use std::path::Path;

/// Tests a guest that prints the time of day; it may be the interpreter of an empty script.
fn guest_runs_shifted(source: &str, kind: Kind) {
    let guest = need!(guests::build(source, kind));
    let program = Program::new("guest", &guest, &[] as &[&str]).with_script("\n");
    need!(ways::expect_shifted(&program));
}

#[test]
fn c_on_dynamic_glibc_runs_shifted() {
    guest_runs_shifted("now", Kind::Glibc);
}

#[test]
fn c_on_static_glibc_runs_shifted() {
    guest_runs_shifted("now", Kind::GlibcStatic);
}

#[test]
fn c_on_dynamic_musl_runs_shifted() {
    guest_runs_shifted("now", Kind::Musl);
}

#[test]
fn c_on_static_musl_runs_shifted() {
    guest_runs_shifted("now", Kind::MuslStatic);
}

#[test]
fn go_without_cgo_runs_shifted() {
    guest_runs_shifted("now", Kind::Go);
}

#[test]
fn go_with_cgo_runs_shifted() {
    guest_runs_shifted("now_cgo", Kind::Cgo);
}

#[test]
fn rust_linked_dynamically_runs_shifted() {
    guest_runs_shifted("now", Kind::Rust);
}

#[test]
fn rust_as_a_static_pie_runs_shifted() {
    guest_runs_shifted("now", Kind::RustStatic);
}

#[test]
fn date_runs_shifted() {
    let date = need!(tools::find("date"));
    let program = Program::new("date", &date, &["+%s.%N"]);
    need!(ways::expect_shifted(&program));
}

#[test]
fn static_busybox_runs_shifted() {
    let busybox = need!(tools::static_busybox());
    // BusyBox takes its applet from a script's name, so a shell of its own runs the script.
    let program =
        Program::new("busybox", &busybox, &["date", "+%s"]).with_script(" sh\nbusybox date +%s\n");
    need!(ways::expect_shifted(&program));
}

#[test]
fn bash_runs_shifted() {
    let bash = need!(tools::find("bash"));
    let program = Program::new(
        "bash",
        &bash,
        &["-c", "echo $EPOCHREALTIME; echo $EPOCHSECONDS"],
    )
    .with_script("\necho $EPOCHREALTIME\nprintf '%(%s)T\\n' -1\n");
    need!(ways::expect_shifted(&program));
}

#[test]
fn perl_runs_shifted() {
    let perl = need!(tools::find("perl"));
    let code = r#"use Time::HiRes; print time, "\n"; printf "%.6f\n", Time::HiRes::time();"#;
    let program = Program::new("perl", &perl, &["-e", code]).with_script(
        "\nuse Time::HiRes;\nprint time, \"\\n\";\nprintf \"%.6f\\n\", Time::HiRes::time();\n",
    );
    need!(ways::expect_shifted(&program));
}

#[test]
fn python_runs_shifted() {
    let python = need!(tools::python());
    let code = "import time, datetime\nprint('%.6f' % time.time())\n\
                print('%.6f' % datetime.datetime.now(datetime.timezone.utc).timestamp())";
    let program = Program::new("python3", &python, &["-c", code]).with_script(
        "\nimport time, datetime\nprint('%.6f' % time.time())\n\
         print('%.6f' % datetime.datetime.now(datetime.timezone.utc).timestamp())\n",
    );
    need!(ways::expect_shifted(&program));
}

#[test]
fn node_runs_shifted() {
    let node = need!(tools::find("node"));
    let code = "console.log((Date.now() / 1000).toFixed(3))";
    let program = Program::new("node", &node, &["-e", code])
        .with_script("\nconsole.log((Date.now() / 1000).toFixed(3))\n");
    need!(ways::expect_shifted(&program));
}

#[test]
fn java_runs_shifted() {
    let java = need!(tools::find("java"));
    let classes = need!(guests::build("Now", Kind::Java));
    let words = [
        "-XX:TieredStopAtLevel=1".as_ref(),
        "-cp".as_ref(),
        classes.as_os_str(),
        "Now".as_ref(),
    ];
    let program = Program::new("java", &java, &words);
    need!(ways::expect_shifted(&program));
}

#[test]
fn sqlite_runs_shifted() {
    let sqlite = need!(tools::find("sqlite3"));
    let query = "select strftime('%s', 'now'); select unixepoch();";
    let program = Program::new("sqlite3", &sqlite, &["-batch", ":memory:", query]);
    need!(ways::expect_shifted(&program));
}

#[test]
fn git_commits_at_the_shifted_date() {
    let git = need!(tools::find("git"));
    let words = [
        "-c",
        "user.name=A",
        "-c",
        "user.email=a@example.org",
        "-c",
        "commit.gpgsign=false",
        "commit",
        "--quiet",
        "--allow-empty",
        "--message=one",
    ];
    let program = Program::new("git", &git, &words)
        .prepared_by(|dir| {
            let init = Run::on_host().in_dir(dir).run(&["git", "init", "--quiet"]);
            init.succeeded().stdout
        })
        .read_by(|dir| {
            let log = ["git", "log", "-1", "--format=%at%n%ct"];
            Run::on_host().in_dir(dir).run(&log).succeeded().stdout
        });
    need!(ways::expect_shifted(&program));
}

#[test]
fn openssl_dates_certificates_by_the_shifted_clock() {
    let openssl = need!(tools::find("openssl"));
    let words = [
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
        "-subj",
        "/CN=a",
        "-days",
        "1",
        "-keyout",
        "key.pem",
        "-out",
        "certificate.pem",
    ];
    let program = Program::new("openssl", &openssl, &words).read_by(|dir| {
        let script = r#"date=$(openssl x509 -in certificate.pem -noout -startdate) &&
            date --utc --date "${date#notBefore=}" +%s"#;
        let read = Run::on_host().in_dir(dir).run(&["sh", "-c", script]);
        read.succeeded().stdout
    });
    need!(ways::expect_shifted(&program));
}

/// A tree whose every target records the time; the last needs all others.
fn write_tree(dir: &Path) -> String {
    let objects: String = (0..24).map(|i| format!(" o{i}")).collect();
    let rules = format!(
        "all: total\ntotal:{objects}\n\tcat $^ > $@\no%:\n\tdate +%s.%N > $@\n.PHONY: all\n"
    );
    std::fs::write(dir.join("Makefile"), rules).unwrap();
    objects
}

#[test]
fn make_builds_a_tree_in_parallel() {
    let make = need!(tools::find("make"));
    // An absolute shell, so that an empty environment needs no search path for it.
    let program = Program::new("make", &make, &["--silent", "-j4"])
        .prepared_by(write_tree)
        .read_by(|dir| {
            let total = std::fs::read_to_string(dir.join("total")).unwrap();
            assert_eq!(total.lines().count(), 24, "{total}");
            total
        });
    need!(ways::expect_shifted(&program));
}

#[test]
fn cargo_tells_its_version() {
    let program = Program::new("cargo", &tools::cargo(), &["--version"]);
    let outside = Run::on_host().run(&program.argv).succeeded().stdout;
    assert!(outside.starts_with("cargo "), "{outside}");
    let check = |run: &Finished| match run.stdout == outside && run.code == 0 {
        true => Ok(()),
        false => Err(format!("{run:#?}")),
    };
    need!(ways::expect_in_each(
        &program,
        &Way::ALL,
        |_| Run::shifted(),
        check
    ));

    // The version does not tell that the clock is shifted; its neighbour does.
    let cargo = ways::quoted(&program.argv);
    let script = format!("date +%s; {} >&2", cargo.display());
    let both = Run::shifted().run(&["sh", "-c", &script]);
    both.expect_shifted();
    assert!(both.stderr.contains(&outside), "{both:?}");
}

#[test]
fn an_absolute_time_is_where_the_clock_starts() {
    let run = Run::inside(&["--realtime", "2038-01-19 03:14:00 UTC"]).run(&["date", "+%s.%N"]);
    let expected = run
        .host("REALTIME")
        .set_to(2_147_483_640 * harness::clock::SECOND);
    expected.check_lines(&run.succeeded().stdout).unwrap();
}

#[test]
fn a_clock_can_be_set_into_the_past() {
    // So far that the machine may have been up for twenty years.
    let run = Run::inside(&["--realtime", "@631152000"]).run(&["date", "+%s.%N"]);
    let expected = run
        .host("REALTIME")
        .set_to(631_152_000 * harness::clock::SECOND);
    expected.check_lines(&run.succeeded().stdout).unwrap();
}

#[test]
fn the_clock_runs_past_the_last_32_bit_second() {
    let script = "date +%s.%N; sleep 2; date +%s.%N; test $(date +%s) -gt 2147483647";
    let run = Run::inside(&["--realtime", "@2147483647"]).run(&["sh", "-c", script]);
    let expected = run
        .host("REALTIME")
        .set_to(2_147_483_647 * harness::clock::SECOND);
    expected.check_lines(&run.succeeded().stdout).unwrap();
}
