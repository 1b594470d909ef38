//! `elsewhen save` and `run --resume`: clocks go on from where they stood, each by its policy.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Bracket, Reading};
use harness::guests::public_directory;
use harness::handles::{Place, complaint, pids, until_in};
use harness::process::{Finished, Run, elsewhen};
use harness::sys::wait_until;
use harness::{Missing, need, root, tools};
use serde_json::Value;
use std::path::Path;

const CLOCKS: [&str; 4] = ["REALTIME", "TAI", "MONOTONIC", "BOOTTIME"];

/// Prints each clock's nanoseconds, in that order.
const READ: &str = "import time\n\
    for name in 'REALTIME', 'TAI', 'MONOTONIC', 'BOOTTIME':\n\
    \x20 print(time.clock_gettime_ns(getattr(time, 'CLOCK_' + name)))";

/// All four clocks shifted, by amounts that no rounding would keep.
const ALL: [&str; 8] = [
    "--realtime",
    "+10d1ns",
    "--tai",
    "-5.000000003",
    "--monotonic",
    "+7200.999999999",
    "--boottime",
    "+3h",
];

type Nanos = [i128; 4];

fn python() -> Result<String, Missing> {
    Ok(tools::python()?.into_os_string().into_string().unwrap())
}

/// What [`READ`] has printed.
fn read(finished: &Finished) -> Nanos {
    assert_eq!((finished.code, &*finished.stderr), (0, ""), "{finished:#?}");
    numbers(&finished.stdout)
}

fn numbers(text: &str) -> Nanos {
    let read: Vec<i128> = text.lines().map(|line| line.parse().unwrap()).collect();
    read.try_into().unwrap()
}

/// One part of a file of clocks.
fn part(file: &Value, key: &str) -> Nanos {
    CLOCKS.map(|clock| {
        let text = file[key][clock.to_lowercase()].as_str().unwrap();
        let (sign, digits) = match text.strip_prefix('-') {
            Some(digits) => (-1, digits),
            None => (1, text.trim_start_matches('+')),
        };
        sign * Reading::parse(digits).unwrap().nanos
    })
}

/// Saves a namespace's clocks to a file.
fn save(place: &Place, handle: &str, to: &Path) -> Value {
    let saved = place.tool(&["save", handle]).succeeded();
    std::fs::write(to, &saved.stdout).unwrap();
    serde_json::from_str(&saved.stdout).unwrap()
}

/// Whether each of these is at most the one beside it.
fn expect_order(first: Nanos, then: Nanos) {
    for ((clock, first), then) in CLOCKS.iter().zip(first).zip(then) {
        assert!(first <= then, "{clock}: {first} and then {then}");
    }
}

/// What each clock may read while a resumed command runs.
fn by_policy(policy: &str, saved: &Value, run: &Finished) -> [Bracket; 4] {
    let host = CLOCKS.map(|clock| run.host(clock));
    let gone = run.host("REALTIME").shifted(-part(saved, "host")[0]);
    std::array::from_fn(|i| {
        let stood = part(saved, "clocks")[i];
        match policy {
            "host" => host[i],
            "continue" => host[i].set_to(stood),
            _ => gone.shifted(stood),
        }
    })
}

/// Fails unless each reading is within its bracket: not early by a nanosecond, and not late but by
/// what the adjustment of REALTIME may do between the two.
fn expect_within(brackets: [Bracket; 4], read: Nanos, run: &Finished) {
    for ((clock, bracket), read) in CLOCKS.iter().zip(brackets).zip(read) {
        let reading = Reading {
            nanos: read,
            resolution: 1,
        };
        assert!(
            bracket.contains(reading),
            "{clock}: {read} is not in {bracket:?}: {run:#?}"
        );
    }
}

/// Whether time namespaces of the kernel's can be made.
fn kernels() -> Result<(), Missing> {
    root()?;
    let tried = Run::inside(&["--backend=kernel", "--monotonic=+1"]).run(&["true"]);
    match tried.stderr.as_str() {
        "" => Ok(()),
        why => Err(Missing(format!("no time namespaces: {why}"))),
    }
}

fn each_policy(backend: &str) -> Result<(), Missing> {
    let python = python()?;
    let place = Place::new();
    let file = place.path().join("clocks.json");
    let file = file.to_str().unwrap();
    let backend = format!("--backend={backend}");
    let running = place.start(
        &[&ALL[..], &["--name", "web", &backend]].concat(),
        "exec sleep 600",
    );
    let before = read(&place.tool(&["exec", "web", &python, "-c", READ]));
    let saved = save(&place, "web", file.as_ref());
    let after = read(&place.tool(&["exec", "web", &python, "-c", READ]));
    let stood = part(&saved, "clocks");
    expect_order(before, stood);
    expect_order(stood, after);
    running.signal(libc::SIGTERM);
    running.finish();
    for policy in ["continue", "continue+gap", "host"] {
        let all = CLOCKS.map(|clock| format!("{}={policy}", clock.to_lowercase()));
        let policies = all.join(",");
        let options = ["--resume", file, "--policy", &policies, &backend];
        let run = place.inside(&options).run(&[&python, "-c", READ]);
        let now = read(&run);
        expect_within(by_policy(policy, &saved, &run), now, &run);
        if policy != "host" {
            expect_order(stood, now);
        }
    }
    Ok(())
}

#[test]
fn a_clock_goes_on_as_its_policy_says_where_elsewhen_keeps_all() {
    need!(each_policy("guest"));
}

#[test]
fn a_clock_goes_on_as_its_policy_says_where_the_kernel_keeps_two() {
    need!(kernels());
    need!(each_policy("auto"));
}

#[test]
fn a_namespace_of_the_kernels_is_saved_by_its_process_and_goes_on_in_another() {
    need!(kernels());
    let python = need!(python());
    let place = Place::new();
    let file = place.path().join("clocks.json");
    let options = ["--backend=kernel", "--monotonic=+7200.5", "--boottime=+3h"];
    let running = place.start(&options, "exec sleep 600");
    let saved = save(&place, &running.pid().to_string(), &file);
    assert_eq!(saved["name"], Value::Null);
    assert_eq!(
        part(&saved, "offsets"),
        [0, 0, 7_200_500_000_000, 10_800_000_000_000]
    );
    drop(running);
    let options = ["--backend=kernel", "--resume", file.to_str().unwrap()];
    let run = place.inside(&options).run(&[&python, "-c", READ]);
    let [_, _, monotonic, boottime] = by_policy("continue", &saved, &run);
    let [realtime, tai, ..] = by_policy("host", &saved, &run);
    expect_within([realtime, tai, monotonic, boottime], read(&run), &run);
    // Of what only elsewhen can do it says so.
    let options = [&options[..], &["--policy=realtime=continue"]].concat();
    let refused = place.inside(&options).run(&["echo", "started"]);
    let line = complaint(&refused);
    assert!(
        line.contains("--policy") && line.contains("--backend=guest"),
        "{line}"
    );
}

#[test]
fn without_a_word_the_date_is_the_hosts_and_uptime_goes_on() {
    let python = need!(python());
    let place = Place::new();
    let file = place.path().join("clocks.json");
    let running = place.start(&ALL, "exec sleep 600");
    let saved = save(&place, &running.pid().to_string(), &file);
    drop(running);
    let options = ["--resume", file.to_str().unwrap()];
    let run = place.inside(&options).run(&[&python, "-c", READ]);
    let [_, _, monotonic, boottime] = by_policy("continue", &saved, &run);
    let [realtime, tai, ..] = by_policy("host", &saved, &run);
    expect_within([realtime, tai, monotonic, boottime], read(&run), &run);
    // Files under /proc agree.
    let run = place
        .inside(&options)
        .run(&["cut", "-d ", "-f1", "/proc/uptime"])
        .succeeded();
    let [.., boottime] = by_policy("continue", &saved, &run);
    boottime.check_lines(&run.stdout).unwrap();
}

#[test]
fn an_inner_namespace_is_saved_with_all_that_is_around_it() {
    let python = need!(python());
    let place = Place::new();
    let file = place.path().join("clocks.json");
    let inner = format!(
        "'{}' run --realtime +5 --monotonic +7 --name inner sleep 600 & wait",
        elsewhen().display()
    );
    let options = ["--realtime=+1000", "--monotonic=+1", "--name=outer"];
    let _outer = place.start(&options, &inner);
    wait_until(
        || {
            place
                .named("inner")
                .is_some_and(|inner| pids(&inner).len() == 1)
        },
        "the inner one runs",
    );
    let saved = save(&place, "inner", &file);
    let second = 1_000_000_000;
    assert_eq!(
        part(&saved, "offsets"),
        [1005 * second, 1005 * second, 8 * second, 0]
    );
    // From inside the same is told, and the host is the machine.
    let me = elsewhen().display().to_string();
    let inside = place
        .tool(&["exec", "outer", &me, "save", "inner"])
        .succeeded();
    let inside: Value = serde_json::from_str(&inside.stdout).unwrap();
    assert_eq!(inside["offsets"], saved["offsets"]);
    expect_order(part(&saved, "host"), part(&inside, "host"));
    for (host, now) in part(&inside, "host").into_iter().zip(part(&saved, "host")) {
        assert!(host - now < 60 * second, "{inside:#} {saved:#}");
    }
    // They go on in any other namespace, whose own clocks do not count.
    let file = file.to_str().unwrap();
    for policy in ["continue", "continue+gap"] {
        let policies = format!("--policy=realtime={policy},monotonic={policy},boottime={policy}");
        let far = ["--realtime=-400d", "--monotonic=+1d", "--boottime=+2d"];
        let resume = [
            &*me, "run", "--resume", file, &policies, &python, "-c", READ,
        ];
        let run = place.inside(&far).run(&resume);
        expect_within(by_policy(policy, &saved, &run), read(&run), &run);
    }
    // That of the host is then the one around.
    let resume = [&*me, "run", "--resume", file, &python, "-c", READ];
    let run = place.inside(&["--realtime=-400d"]).run(&resume);
    let realtime = run.host("REALTIME").shifted(-400 * 86_400 * second);
    let reading = Reading {
        nanos: read(&run)[0],
        resolution: 1,
    };
    assert!(realtime.contains(reading), "{run:#?}");
}

#[test]
fn clocks_that_are_saved_and_go_on_many_times_never_go_back_and_lose_only_the_gaps() {
    const CYCLES: usize = 20;
    let python = need!(python());
    let place = Place::new();
    let file = place.path().join("clocks.json");
    let file = file.to_str().unwrap();
    let me = elsewhen().display().to_string();
    let first = place.start(&["--monotonic=+5d", "--boottime=+1d"], "exec sleep 600");
    let begin = save(&place, &first.pid().to_string(), file.as_ref());
    drop(first);
    let script = format!("'{python}' -c \"$0\"; exec '{me}' save $$");
    let mut last = part(&begin, "clocks");
    let mut most = last;
    for _ in 0..CYCLES {
        let run = place.inside(&["--resume", file, "--policy=realtime=continue"]);
        let run = run.run(&["sh", "-c", &script, READ]).succeeded();
        let (clocks, saved) = run.stdout.split_once('{').unwrap();
        let saved = format!("{{{saved}");
        std::fs::write(file, &saved).unwrap();
        let saved: Value = serde_json::from_str(&saved).unwrap();
        let read = numbers(clocks);
        expect_order(last, read);
        expect_order(read, part(&saved, "clocks"));
        last = part(&saved, "clocks");
        for (most, clock) in most.iter_mut().zip(CLOCKS) {
            let Bracket { before, after } = run.host(clock);
            *most += after - before;
        }
    }
    expect_order(last, most);
}

#[test]
fn an_option_for_a_clock_comes_before_the_file() {
    let python = need!(python());
    let place = Place::new();
    let file = place.path().join("clocks.json");
    let running = place.start(&ALL, "exec sleep 600");
    let saved = save(&place, &running.pid().to_string(), &file);
    drop(running);
    let resume = ["--resume", file.to_str().unwrap()];
    let with = |more: &[&str]| {
        let run = place.inside(&[&resume[..], more].concat());
        run.run(&[&python, "-c", READ])
    };
    let second = 1_000_000_000;
    let run = with(&["--monotonic=+1d", "--realtime=+2d"]);
    let [.., boottime] = by_policy("continue", &saved, &run);
    // TAI is shifted as REALTIME is.
    let expected = [
        run.host("REALTIME").shifted(172_800 * second),
        run.host("TAI").shifted(172_800 * second),
        run.host("MONOTONIC").shifted(86_400 * second),
        boottime,
    ];
    expect_within(expected, read(&run), &run);
    let run = with(&["--realtime=+2d", "--policy=tai=continue"]);
    let [_, tai, monotonic, boottime] = by_policy("continue", &saved, &run);
    let realtime = run.host("REALTIME").shifted(172_800 * second);
    expect_within([realtime, tai, monotonic, boottime], read(&run), &run);
    let refused = with(&["--monotonic=+1d", "--policy=monotonic=host"]);
    let line = complaint(&refused);
    assert!(
        line.contains("`--monotonic +1d`") && line.contains("leave one out"),
        "{line}"
    );
}

#[test]
fn a_file_that_cannot_be_believed_is_refused_before_anything_runs() {
    let place = Place::new();
    let file = place.path().join("clocks.json");
    let running = place.start(&ALL, "exec sleep 600");
    save(&place, &running.pid().to_string(), &file);
    drop(running);
    let good = std::fs::read_to_string(&file).unwrap();
    let changed = |from: &str, to: &str| {
        assert!(good.contains(from), "{from} in {good}");
        good.replace(from, to)
    };
    let file = file.to_str().unwrap();
    let refused = |bytes: &[u8], options: &[&str], why: &str| {
        std::fs::write(file, bytes).unwrap();
        let options = [&["--resume", file][..], options].concat();
        let refused = place.inside(&options).run(&["echo", "started"]);
        let line = complaint(&refused);
        assert!(line.contains(why), "{line}");
    };
    let offset = "\"monotonic\": \"+7200.999999999\"";
    for (bytes, why) in [
        (String::new(), "empty"),
        (good[..good.len() / 2].to_owned(), "cut off"),
        (good.replace('"', ""), "damaged"),
        (changed("\"version\": 1", "\"version\": 2"), "version 2"),
        (changed("elsewhen clocks", "other clocks"), "no clocks"),
        (changed(offset, "\"monotonic\": \"+7200\""), "damaged"),
        (
            changed(offset, "\"monotonic\": \"-9999999999\""),
            "below zero",
        ),
        (changed(offset, "\"monotonic\": \"+9999999999\""), "beyond"),
        (" ".repeat(70_000), "too long"),
    ] {
        refused(bytes.as_bytes(), &[], why);
    }
    refused(&[0xff; 100], &[], "damaged");
    for (policy, why) in [
        ("monotonic", "CLOCK=POLICY"),
        ("monotonic=go on", "continue+gap"),
        ("utc=host", "no clock"),
        ("tai=host,tai=host", "twice"),
    ] {
        refused(good.as_bytes(), &["--policy", policy], why);
    }
    std::fs::write(file, &good).unwrap();
    for (options, why) in [
        (
            &["--resume", "/nonexistent/clocks.json"][..],
            "no such file or directory; name a file that `elsewhen save` has written",
        ),
        (
            &["--resume", "/proc"],
            "is a directory; name a file that `elsewhen save` has written",
        ),
        (&["--resume", "/dev/zero"], "too long"),
        (&["--policy", "monotonic=host"], "--resume FILE"),
    ] {
        let refused = place.inside(options).run(&["echo", "started"]);
        let line = complaint(&refused);
        assert!(line.contains(why), "{line}");
    }
    let run = place.inside(&["--resume", file]).run(&["echo", "started"]);
    assert_eq!((run.code, &*run.stdout), (0, "started\n"), "{run:#?}");
}

#[test]
fn a_clock_that_would_run_before_its_boot_is_refused_by_name() {
    let place = Place::new();
    let file = place.path().join("clocks.json");
    let file = file.to_str().unwrap();
    // Saved on a host whose clock was at 1970 still, a second after its boot.
    let zero = r#"{"realtime": "1", "tai": "1", "monotonic": "1", "boottime": "1"}"#;
    let none = r#"{"realtime": "+0", "tai": "+0", "monotonic": "+0", "boottime": "+0"}"#;
    let text = format!(
        r#"{{"format": "elsewhen clocks", "version": 1, "clocks": {zero}, "host": {zero}, "offsets": {none}}}"#
    );
    std::fs::write(file, text).unwrap();
    let options = ["--resume", file, "--policy=realtime=continue"];
    let refused = place.inside(&options).run(&["echo", "started"]);
    let line = complaint(&refused);
    assert!(
        line.contains("CLOCK_REALTIME") && line.contains("1970"),
        "{line}"
    );
    // By default it is not its date that goes on.
    let run = place
        .inside(&options[..2])
        .run(&["cut", "-d.", "-f1", "/proc/uptime"]);
    let uptime: i128 = run.succeeded().stdout.trim().parse().unwrap();
    assert!((1..60).contains(&uptime), "{uptime}");
}

#[test]
fn a_host_whose_clock_is_behind_is_told_and_no_clock_goes_back() {
    let python = need!(python());
    let place = Place::new();
    let file = place.path().join("clocks.json");
    let file = file.to_str().unwrap();
    let running = place.start(&["--monotonic=+1d"], "exec sleep 600");
    let saved = save(&place, &running.pid().to_string(), file.as_ref());
    drop(running);
    // As if the first host's clock had been an hour fast.
    let [realtime, ..] = part(&saved, "clocks");
    let seconds = realtime / 1_000_000_000;
    let text = std::fs::read_to_string(file).unwrap();
    let text = text.replace(&format!("\"{seconds}."), &format!("\"{}.", seconds + 3600));
    std::fs::write(file, text).unwrap();
    let options = ["--resume", file, "--policy=monotonic=continue+gap"];
    let run = place.inside(&options).run(&[&python, "-c", READ]);
    let warning = "elsewhen: warning: this host's CLOCK_REALTIME is 3";
    assert!(run.stderr.starts_with(warning), "{run:#?}");
    let [_, _, monotonic, _] = by_policy("continue", &saved, &run);
    let reading = Reading {
        nanos: numbers(&run.stdout)[2],
        resolution: 1,
    };
    assert!(monotonic.contains(reading), "{run:#?}");
    assert!(reading.nanos >= part(&saved, "clocks")[2]);
}

#[test]
fn a_namespace_that_a_program_has_made_is_not_mistaken_for_its_trees() {
    let place = Place::new();
    let options = ["--backend=guest", "--monotonic=+1d"];
    let script = "unshare --time --monotonic 5000 --fork sleep 600";
    let words = ["unshare", "--user", "--map-root-user", "sh", "-c", script];
    let words = if harness::is_root() {
        &words[3..]
    } else {
        &words
    };
    let running = place.inside(&options).start(words);
    let front = running.pid().to_string();
    let sleeper = || {
        let shown = place.tool(&["show", &front, "--json"]);
        let shown: Value = serde_json::from_str(&shown.stdout).ok()?;
        let processes = shown["trees"][0]["processes"].as_array()?.clone();
        let sleep = processes
            .into_iter()
            .find(|process| process["name"] == "sleep")?;
        sleep["pid"].as_i64()
    };
    wait_until(|| sleeper().is_some(), "the namespace is made");
    let refused = place.tool(&["save", &sleeper().unwrap().to_string()]);
    assert!(complaint(&refused).contains("made inside"), "{refused:#?}");
    place.tool(&["save", &front]).succeeded();
}

#[test]
fn clocks_are_saved_by_their_owner_and_by_root_only() {
    need!(root());
    let public = public_directory();
    let name = format!("test-save-{}", std::process::id());
    let place = Place::usual();
    let copy = public.path().join("tool");
    harness::process::alone(|| std::fs::copy(elsewhen(), &copy).unwrap());
    let by_user = |handle: &str| {
        let run = Run::on_host().by_ordinary_user(public.path());
        run.run(&[copy.to_str().unwrap(), "save", handle])
    };
    let roots = place.start(&["--realtime=+1d", "--name", &name], "exec sleep 600");
    let member = pids(&place.named(&name).unwrap())[0].to_string();
    for handle in [&*name, &member, &roots.pid().to_string()] {
        let refused = by_user(handle);
        let line = complaint(&refused);
        assert!(
            line.contains("another user's") || line.contains("no namespace of that"),
            "{line}"
        );
    }
    drop(roots);
    let users = format!("{name}-user");
    let run = Run::inside(&["--realtime=+1d", "--name", &users]).by_ordinary_user(public.path());
    let mut running = run.start(&["sh", "-c", "echo in; exec sleep 600"]);
    until_in(&mut running);
    for saved in [by_user(&users), place.tool(&["save", &users])] {
        let saved: Value = serde_json::from_str(&saved.succeeded().stdout).unwrap();
        assert_eq!(saved["offsets"]["realtime"], "+86400");
        assert_eq!(saved["name"], *users);
    }
}

#[test]
fn what_is_no_namespace_is_not_saved() {
    let place = Place::new();
    for (words, why) in [
        (&["save"][..], "no namespace"),
        (&["save", "nobody"], "no namespace of that name"),
        (&["save", "0"], "no process"),
        (&["save", "99999999999"], "no process"),
        (&["save", "a", "b"], "unexpected argument `b`"),
    ] {
        let refused = place.tool(words);
        let line = complaint(&refused);
        assert!(line.contains(why), "{line}");
    }
}
