//! What is neither dumped nor restored, with words that say why.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::criu::{self, Criu};
use harness::guests::{self, Kind};
use harness::need;
use harness::process::Run;
use harness::restored::{Program, SHIFTED};
use harness::sys::wait_until;
use harness::ticks::{Ticker, expect_true_time};
use std::fs;
use std::time::Duration;

#[test]
fn a_tree_with_a_process_that_has_no_vdso_is_refused_at_the_dump_and_goes_on() {
    let criu = need!(Criu::find());
    let program = need!(guests::build("no_vdso", Kind::Glibc));
    let output = criu.file("lines");
    let words = [&program, &output].map(|word| word.to_str().unwrap());
    let script = "\"$@\" & wait";
    let command = [&["sh", "-c", script, "sh"], &words[..]].concat();
    let shell = Program::start(&Run::inside(&SHIFTED), &command);
    let wait = || criu::wait_for_more(&output, 4, "its lines");
    wait();
    let pid = criu::process_of(&words).unwrap();
    let dumped = criu.try_dump(shell.pid(), true);
    assert_ne!(dumped.code, 0, "{dumped:#?}");
    let words =
        format!("process {pid} (`no_vdso-glibc`) has no vDSO: a restore cannot give it clocks");
    assert!(dumped.log.contains(&words), "{dumped:#?}");
    assert!(!criu.clocks().exists());
    wait();
}

/// Every restore with this file of clocks is refused, with words, and nothing runs.
fn expect_refusal(criu: &Criu, ticker: &Ticker, words: &str) {
    let had = ticker.ticks().len();
    let restored = criu.try_restore(&[]);
    assert_ne!(restored.code, 0, "{restored:#?}");
    assert!(restored.log.contains(words), "{restored:#?}");
    std::thread::sleep(Duration::from_millis(300));
    // Another process may have the number by now.
    wait_until(|| !ticker.is_there(), "its end");
    assert_eq!(ticker.ticks().len(), had);
}

#[test]
fn nothing_runs_if_the_clocks_are_not_those_of_the_dump() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    criu.dump(ticker.pid());
    let older = fs::read(criu.clocks()).unwrap();
    criu.restore();
    ticker.wait_for_more(3);
    criu.dump(ticker.pid());

    let good = fs::read(criu.clocks()).unwrap();
    fs::remove_file(criu.clocks()).unwrap();
    expect_refusal(&criu, &ticker, "there is no `elsewhen-clocks.json`");
    fs::write(criu.clocks(), &older).unwrap();
    expect_refusal(&criu, &ticker, "they are older, or another tree's");
    let other = need!(Criu::find());
    let another = need!(Ticker::start(&Run::inside(&SHIFTED), &other));
    other.dump(another.pid());
    fs::copy(other.clocks(), criu.clocks()).unwrap();
    other.restore();
    expect_refusal(&criu, &ticker, "they are older, or another tree's");
    fs::write(criu.clocks(), &good[..good.len() / 2]).unwrap();
    expect_refusal(&criu, &ticker, "it is cut off");
    let text = String::from_utf8(good.clone()).unwrap();
    // One digit more: which come first depends on how long the machine is up.
    let damaged = text.replacen("\"monotonic\": \"", "\"monotonic\": \"1", 1);
    assert_ne!(text, damaged);
    fs::write(criu.clocks(), damaged).unwrap();
    expect_refusal(&criu, &ticker, "it is damaged");
    // Those of a namespace that was not dumped.
    let other = String::from_utf8(good.clone()).unwrap();
    let tree = other
        .lines()
        .find(|line| line.contains("\"tree\""))
        .unwrap();
    fs::write(criu.clocks(), other.replace(tree, "  \"tree\": null,")).unwrap();
    expect_refusal(&criu, &ticker, "were not saved by a dump");

    fs::write(criu.clocks(), &good).unwrap();
    let way_out = "name the file that `elsewhen criu-action` wrote when these images were dumped";
    for (named, why) in [
        ("/nonexistent/clocks", "no such file or directory"),
        ("/proc", "is a directory"),
    ] {
        criu.act_with(&["--clocks", named]);
        let words = format!("cannot read `{named}`: {why}; {way_out}");
        expect_refusal(&criu, &ticker, &words);
    }
    criu.act_with(&[]);
    criu.restore();
    ticker.wait_for_more(3);
}

/// Gives the file of clocks a name.
fn name_the_clocks(criu: &Criu, name: &str) {
    let text = fs::read_to_string(criu.clocks()).unwrap();
    let named = text
        .lines()
        .map(|line| match line.contains("\"name\"") {
            true => format!("  \"name\": \"{name}\",\n"),
            false => format!("{line}\n"),
        })
        .collect::<String>();
    fs::write(criu.clocks(), named).unwrap();
}

#[test]
fn nothing_runs_if_the_name_in_the_file_is_in_use() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    criu.dump(ticker.pid());
    let name = format!("criu-{}", std::process::id());
    name_the_clocks(&criu, &name);
    let options = ["--monotonic", "+1d", "--name", &name];
    let mut other = Run::inside(&options).start(&["sleep", "600"]);
    let show = Run::on_host().limit(30);
    let elsewhen = harness::process::elsewhen();
    let words = [elsewhen.to_str().unwrap(), "show", &name];
    wait_until(|| show.run(&words).code == 0, "its name");
    let expected = format!("cannot take the name `{name}`: file exists; the file of clocks gives");
    expect_refusal(&criu, &ticker, &expected);
    assert!(other.is_alive());
    name_the_clocks(&criu, "7");
    expect_refusal(&criu, &ticker, "not a name for a namespace: `7`");
    name_the_clocks(&criu, &name);
    other.signal(libc::SIGTERM);
    other.finish();
    wait_until(|| show.run(&words).code != 0, "its end");
    criu.restore();
    ticker.wait_for_more(3);
    assert_eq!(show.run(&words).code, 0);
}

#[test]
fn nothing_is_left_if_the_process_that_gives_the_clocks_is_killed() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    criu.dump(ticker.pid());
    criu.kill_the_waiter(None);
    let had = ticker.ticks().len();
    let restored = criu.try_restore(&[]);
    let words = "was killed before it had done so: they are ended; restore them again";
    assert!(restored.log.contains(words), "{restored:#?}");
    wait_until(|| !ticker.is_there(), "its end");
    assert_eq!(ticker.ticks().len(), had);
    criu.act_with(&[]);
    criu.restore();
    ticker.wait_for_more(3);
}

/// Whenever it is killed, all is as it should be, or nothing is left.
#[test]
fn no_moment_at_which_it_is_killed_leaves_a_tree_that_stands_still() {
    let criu = need!(Criu::find());
    let ticker = need!(Ticker::start(&Run::inside(&SHIFTED), &criu));
    let rounds = match std::env::var_os("ELSEWHEN_STORM") {
        Some(_) => 60,
        None => 5,
    };
    let mut went_on = 0;
    criu.dump(ticker.pid());
    for round in 0..rounds {
        let before = *ticker.ticks().last().unwrap();
        let had = ticker.ticks().len();
        criu.kill_the_waiter(Some(&format!("{:.3}", f64::from(round % 20) * 0.002)));
        let restored = criu.try_restore(&[]);
        if restored.log.contains("elsewhen: ") {
            wait_until(|| !ticker.is_there(), "its end");
            // What ran was whole.
            for tick in &ticker.ticks()[had..] {
                assert!(tick.monotonic >= before.monotonic, "{before:?} {tick:?}");
            }
            continue;
        }
        assert_eq!(restored.code, 0, "{restored:#?}");
        ticker.wait_for_more(3);
        let after = ticker.ticks()[had];
        assert!(after.monotonic >= before.monotonic, "{before:?} {after:?}");
        expect_true_time(&ticker);
        went_on += 1;
        criu.act_with(&[]);
        criu.dump(ticker.pid());
    }
    println!("{went_on} of {rounds} went on");
    criu.act_with(&[]);
    criu.restore();
    ticker.wait_for_more(3);
}
