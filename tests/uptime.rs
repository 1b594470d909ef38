//! sysinfo(2) tells the namespace's uptime, and everything else as on the host.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::{Finished, Run};
use harness::{Missing, SHIFT, need, root, skip};
use std::ffi::OsString;

/// The uptime, and what does not depend on the namespace.
fn parts(run: &Finished) -> (i128, Vec<&str>) {
    let (uptime, rest) = run.stdout.split_once('\n').unwrap();
    (uptime.parse().unwrap(), rest.lines().collect())
}

fn words(table: &[&str]) -> Result<Vec<OsString>, Missing> {
    let mut words = vec![guests::build("uptime", Kind::Glibc)?.into_os_string()];
    words.extend(table.iter().map(OsString::from));
    Ok(words)
}

/// Compares what the guest prints with what it prints on the host.
fn expect(inside: &Run, table: &[&str], shift: i128) -> Result<(), Missing> {
    let words = words(table)?;
    let host = Run::on_host().run(&words).succeeded();
    let run = inside.run(&words).succeeded();
    let ((before, oracle), (uptime, rest)) = (parts(&host), parts(&run));
    assert!(oracle.contains(&"agrees 1"), "{host:#?}");
    assert_eq!(rest, oracle, "{run:#?}");
    let distance = uptime - before - shift;
    assert!((0..30).contains(&distance), "{distance} s off: {run:#?}");
    Ok(())
}

fn guest(shift: i128) -> Run {
    Run::inside(&[
        "--backend=guest".to_owned(),
        format!("--boottime={shift:+}"),
    ])
}

#[test]
fn the_uptime_is_the_boottime_of_the_namespace() {
    need!(expect(&guest(SHIFT), &[], SHIFT));
}

#[test]
fn the_uptime_is_the_boottime_of_the_namespace_through_int_0x80() {
    let host = Run::on_host().run(&need!(words(&["int80"])));
    if host.code != 0 || !host.stdout.contains("error 0") {
        skip!("this kernel has no i386 calls");
    }
    need!(expect(&guest(SHIFT), &["int80"], SHIFT));
}

#[test]
fn a_clock_that_is_set_back_gives_a_short_uptime() {
    need!(expect(&guest(-1), &[], -1));
}

#[test]
fn an_unshifted_boottime_leaves_the_uptime_to_the_kernel() {
    need!(expect(&Run::shifted(), &[], 0));
}

#[test]
fn a_time_namespace_of_the_kernel_gives_the_same_uptime() {
    need!(root());
    let options = [
        "--backend=kernel".to_owned(),
        format!("--boottime=+{SHIFT}"),
    ];
    let kernel = Run::inside(&options);
    if !kernel.run(&["true"]).stderr.is_empty() {
        skip!("this kernel has no time namespaces");
    }
    need!(expect(&kernel, &[], SHIFT));
}
