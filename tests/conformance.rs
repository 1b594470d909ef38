//! One program, some 240 things that time namespaces do: the kernel's and ours must print the same.
//!
//! `tests/conformance/expected` says what that is: what Linux 6.18 prints, what other kernels print
//! otherwise, and where the guest backend differs, with the reason. `missing/WORLD.txt` names the rows
//! that the guest backend does not have yet; one that begins to agree has to be taken off. With
//! `ELSEWHEN_WRITE_MISSING=1` the tests write these files.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::Run;
use harness::{Missing, fuse_for_all, need, root};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Each row's line, by the row's name.
type Rows = BTreeMap<String, String>;

fn rows(text: &str) -> Rows {
    let mut rows = Rows::new();
    for line in text.lines() {
        let (name, _) = line.split_once(':').unwrap_or_else(|| panic!("{line}"));
        let before = rows.insert(name.to_owned(), line.to_owned());
        assert_eq!(before, None, "twice: {name}");
    }
    rows
}

/// What `kernel` or `guest` is to print on this kernel, for this user.
fn expected(backend: &str, user: &str) -> Rows {
    let script = guests::data("conformance/expected");
    let version = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let words = [script.to_str().unwrap(), backend, version.trim(), user];
    rows(&Run::on_host().run(&words).succeeded().stdout)
}

/// The file that names the rows which the guest backend does not have yet in this world.
fn missing(world: &str) -> PathBuf {
    guests::data("conformance/missing")
        .join(world)
        .with_extension("txt")
}

fn guest() -> Result<PathBuf, Missing> {
    guests::build("conformance", Kind::GlibcStatic)
}

fn told(run: &Run, guest: &Path) -> Rows {
    let run = run.clone().limit(400).run(&[guest]).succeeded();
    assert_eq!(run.stderr, "", "{:?}", run.words);
    rows(&run.stdout)
}

/// The names of the rows that differ.
fn different(expected: &Rows, told: &Rows) -> BTreeSet<String> {
    let names: BTreeSet<&String> = expected.keys().chain(told.keys()).collect();
    let agree = |name: &String| match (expected.get(name), told.get(name)) {
        (Some(expected), Some(told)) => expected == told || expected.ends_with(": *"),
        _ => false,
    };
    let differ = names.into_iter().filter(|name| !agree(name));
    differ.cloned().collect()
}

/// Fails with every row that is not as expected, and every one that is not `missing` any more.
fn compare(expected: &Rows, told: &Rows, missing: &BTreeSet<String>) {
    let different = different(expected, told);
    let mut wrong: Vec<String> = Vec::new();
    for name in different.difference(missing) {
        let [expected, told] =
            [expected, told].map(|rows| rows.get(name).map_or("no such row", |line| line));
        wrong.push(format!("- {expected}\n+ {told}"));
    }
    for name in missing.difference(&different) {
        wrong.push(format!("no longer missing: {name}"));
    }
    assert!(
        wrong.is_empty(),
        "{} of {} rows:\n{}",
        wrong.len(),
        expected.len(),
        wrong.join("\n")
    );
}

/// The same for the guest backend, which lacks the rows that are `missing` in this world.
fn compare_guest(expected: &Rows, told: &Rows, world: &str) {
    let file = missing(world);
    if std::env::var("ELSEWHEN_WRITE_MISSING").is_ok_and(|v| v == "1") {
        let names: String = different(expected, told)
            .iter()
            .map(|name| format!("{name}\n"))
            .collect();
        std::fs::write(&file, names).unwrap();
    }
    let text = std::fs::read_to_string(&file).unwrap();
    compare(expected, told, &text.lines().map(str::to_owned).collect());
}

/// The first time namespace of a kernel that has them.
fn kernel() -> Result<(), Missing> {
    let own = std::fs::read_link("/proc/self/ns/time")
        .map_err(|_| Missing("this kernel has no time namespaces".into()))?;
    if own.to_str() != Some("time:[4026531834]") {
        return Err(Missing("the tests run in a time namespace".into()));
    }
    Ok(())
}

#[test]
fn linux_does_what_the_table_says() {
    need!(root());
    need!(kernel());
    let guest = need!(guest());
    let told = told(&Run::on_host(), &guest);
    compare(&expected("kernel", "root"), &told, &BTreeSet::new());
}

/// The guest, where an ordinary user can run it and make user namespaces.
fn ordinary_user() -> Result<(tempfile::TempDir, PathBuf), Missing> {
    let dir = guests::public_directory();
    let copy = guests::copy(&guest()?, dir.path(), 0o755);
    let unshare = Run::on_host().by_ordinary_user(dir.path());
    if unshare.run(&["unshare", "-Ur", "true"]).code != 0 {
        return Err(Missing("no user namespaces for ordinary users".into()));
    }
    Ok((dir, copy))
}

#[test]
fn linux_does_what_the_table_says_for_an_ordinary_user() {
    need!(kernel());
    let (dir, guest) = need!(ordinary_user());
    let told = told(&Run::on_host().by_ordinary_user(dir.path()), &guest);
    compare(&expected("kernel", "user"), &told, &BTreeSet::new());
}

fn agrees_in(world: &str, options: &[&str]) {
    need!(root());
    let options = [&["--backend=guest"], options].concat();
    let told = told(&Run::inside(&options), &need!(guest()));
    compare_guest(&expected("guest", "root"), &told, world);
}

#[test]
fn the_guest_backend_does_what_linux_does() {
    agrees_in("root", &[]);
}

#[test]
fn the_guest_backend_does_what_linux_does_at_another_time_of_day() {
    agrees_in("realtime", &["--realtime=+10d"]);
}

#[test]
fn the_guest_backend_does_what_linux_does_for_an_ordinary_user() {
    need!(fuse_for_all());
    let (dir, guest) = need!(ordinary_user());
    let run = Run::inside(&["--backend=guest"]).by_ordinary_user(dir.path());
    let told = told(&run, &guest);
    compare_guest(&expected("guest", "user"), &told, "user");
}

/// Here the offsets are not zero to begin with, and the kernel itself says what is right.
#[test]
fn the_guest_backend_does_what_linux_does_in_a_namespace() {
    need!(root());
    need!(kernel());
    let guest = need!(guest());
    let world =
        |backend: &str| Run::inside(&[backend, "--monotonic=+1000000.2", "--boottime=+2000000.4"]);
    let mut linux = told(&world("--backend=kernel"), &guest);
    let mut told = told(&world("--backend=guest"), &guest);
    // What is ours to do otherwise is seen by the tests above.
    let (ours, kernels) = (expected("guest", "root"), expected("kernel", "root"));
    for name in different(&ours, &kernels) {
        linux.remove(&name);
        told.remove(&name);
    }
    compare_guest(&linux, &told, "shifted");
}

#[test]
fn a_row_that_is_not_as_expected_is_found() {
    let table = rows("one: 1\ntwo: 2");
    let fails = |told: &str, missing: &[&str]| {
        let missing = missing.iter().map(|name| (*name).to_owned()).collect();
        let told = rows(told);
        std::panic::catch_unwind(|| compare(&table, &told, &missing)).is_err()
    };
    assert!(!fails("one: 1\ntwo: 2", &[]));
    assert!(!fails("one: 1\ntwo: 3", &["two"]));
    assert!(fails("one: 1\ntwo: 3", &[]), "another line");
    assert!(fails("one: 1\ntwo: 2", &["two"]), "no longer missing");
    assert!(fails("one: 1", &[]), "one row less");
    assert!(fails("one: 1\ntwo: 2\nthree: 3", &[]), "one row more");
    assert!(fails("one: 1\ntwo: 2", &["three"]), "a row that is none");
    assert!(expected("kernel", "root").len() > 200, "a table");
}
