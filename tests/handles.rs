//! `elsewhen exec`, `ls` and `show`: namespaces by name and by process.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

#[allow(unused_macros, unused_imports, reason = "nothing is skipped")]
mod harness;

use harness::clock::SECOND;
use harness::handles::{Place, complaint, keeper, pids, until_in};
use harness::process::{Run, elsewhen};
use harness::supervisor;
use harness::sys::{self, wait_until};

/// What shows each clock as `ls --json` names them.
const CLOCKS: [&str; 4] = ["realtime", "tai", "monotonic", "boottime"];

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

fn all_and<'a>(more: &[&'a str]) -> Vec<&'a str> {
    ALL.iter().chain(more).copied().collect()
}

/// Nanoseconds of a decimal number of seconds.
fn nanos(text: &str) -> i128 {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, text.trim_start_matches('+')),
    };
    let (secs, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    sign * (secs.parse::<i128>().unwrap() * SECOND
        + format!("{fraction:0<9}").parse::<i128>().unwrap())
}

#[test]
fn a_command_joins_by_name_and_has_the_same_offsets_to_the_nanosecond() {
    let place = Place::new();
    let outer = place.start(&all_and(&["--name", "web"]), "exec sleep 600");
    let joined = Run::on_host()
        .through(&["env"])
        .through(&[format!("ELSEWHEN_RUNTIME_DIR={}", place.path().display())])
        .through(&["env"]);
    let mut second = joined.start(&[
        elsewhen().to_str().unwrap(),
        "exec",
        "web",
        "--",
        "sh",
        "-c",
        "echo in; exec sleep 600",
    ]);
    until_in(&mut second);
    let found = place.named("web").unwrap();
    assert_eq!(found["trees"].as_array().unwrap().len(), 2, "{found:#}");
    assert_eq!(pids(&found).len(), 2, "{found:#}");
    let offsets: Vec<_> = CLOCKS.map(|clock| found["offsets"][clock].clone()).into();
    assert_eq!(
        offsets,
        [
            "+864000.000000001",
            "-5.000000003",
            "+7200.999999999",
            "+10800"
        ]
    );
    // Where the first ends, the namespace goes on with the second.
    outer.signal(libc::SIGTERM);
    assert_eq!(outer.finish().code, 128 + libc::SIGTERM);
    let left = place.named("web").unwrap();
    assert_eq!(left["offsets"], found["offsets"]);
    assert_eq!(pids(&left).len(), 1, "{left:#}");
    assert!(second.is_alive());
    second.signal(libc::SIGTERM);
    second.finish();
    assert_eq!(place.records(), [] as [String; 0]);
}

#[test]
fn a_joined_command_reads_what_the_namespace_reads() {
    let place = Place::new();
    let shift = harness::SHIFT;
    let options = ["--realtime", &format!("+{shift}"), "--name", "there"];
    let _there = place.start(&options, "exec sleep 600");
    let finished = place.tool(&["exec", "there", "date", "+%s.%N"]);
    finished.expect_shifted();
}

#[test]
fn any_process_of_a_namespace_stands_for_it() {
    let place = Place::new();
    // The orphan is adopted by the keeper.
    let running = place.start(&["--realtime", "+5d"], "(sleep 600 &) | cat; :");
    // Processes that come and go stand for it too, but not for long.
    let front = running.pid().to_string();
    let mut found = serde_json::Value::Null;
    let are_there = || {
        found = place.show(&front);
        let processes = found["trees"][0]["processes"].as_array().unwrap();
        let mut names: Vec<_> = processes.iter().map(|one| one["name"].as_str()).collect();
        names.sort_unstable();
        names == ["cat", "sh", "sleep"].map(Some)
    };
    wait_until(are_there, "the orphan, its reader and the shell are left");
    let mut handles: Vec<i64> = pids(&found);
    handles.push(keeper(&found).into());
    handles.push(running.pid().into());
    for handle in handles {
        let shown = place.show(&handle.to_string());
        assert_eq!(shown["offsets"]["realtime"], "+432000", "{handle}");
        let ended = place.tool(&["exec", &handle.to_string(), "sh", "-c", "exit 7"]);
        assert_eq!((ended.code, &*ended.stderr), (7, ""), "{handle}");
    }
}

#[test]
fn a_process_outside_stands_for_nothing() {
    let place = Place::new();
    let _running = place.start(&["--realtime", "+5d"], "exec sleep 600");
    let own = std::process::id().to_string();
    for (handle, part) in [
        (&*own, "the process is in no time namespace"),
        ("1", "the process is in no time namespace"),
        ("4999999", "there is no process of that number"),
        ("99999999999999999999", "there is no process of that number"),
        ("nobody", "no namespace of that name is running"),
        ("", "no namespace of that name"),
        ("-", "no namespace of that name"),
        ("../x", "no namespace of that name"),
        ("a\x1b[2J", "`a\\u{1b}[2J`: no namespace"),
    ] {
        for tool in [&["exec", handle, "echo", "started"][..], &["show", handle]] {
            let finished = place.tool(tool);
            let line = complaint(&finished);
            assert!(line.contains(part), "{tool:?}: {line}");
        }
    }
}

#[test]
fn exit_status_and_signals_are_as_those_of_run() {
    let place = Place::new();
    let _running = place.start(&["--realtime", "+5d", "--name", "x"], "exec sleep 600");
    for (script, code) in [("exit 3", 3), ("kill -TERM $$", 143)] {
        assert_eq!(place.tool(&["exec", "x", "sh", "-c", script]).code, code);
    }
    assert_eq!(place.tool(&["exec", "x", "/nonexistent"]).code, 127);
    assert_eq!(place.tool(&["exec", "x", "/etc/passwd"]).code, 126);
    let option = place
        .tool(&["exec", "x", "--", "echo", "--json"])
        .succeeded();
    assert_eq!(option.stdout, "--json\n");
}

#[test]
fn the_list_shows_the_clocks_as_they_are_inside() {
    let place = Place::new();
    let _running = place.start(&all_and(&["--name", "all"]), "exec sleep 600");
    let listed = place.tool(&["ls", "--json"]).succeeded();
    let found: serde_json::Value = serde_json::from_str(&listed.stdout).unwrap();
    // Others may have made namespaces of the kernel's.
    let mut found = found.as_array().unwrap().iter();
    let found = found.find(|namespace| namespace["name"] == "all").unwrap();
    for clock in CLOCKS {
        let host = listed.host(&clock.to_uppercase());
        let offset = nanos(found["offsets"][clock].as_str().unwrap());
        let text = found["clocks"][clock].as_str().unwrap();
        let reading = harness::clock::Reading::parse(text).unwrap();
        assert!(host.shifted(offset).contains(reading), "{clock}: {found:#}");
    }
    assert_eq!(found["owner"]["uid"], sys::effective_user());
    let backend = found["backend"].as_str().unwrap();
    assert!(["auto", "guest"].contains(&backend), "{found:#}");
    assert!(found["since"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn list_and_show_are_for_people_too() {
    let place = Place::new();
    let running = place.start(&["--realtime", "+1d", "--name", "people"], "exec sleep 600");
    let listed = place.tool(&["ls"]).succeeded().stdout;
    let mut lines = listed.lines();
    assert!(lines.next().unwrap().starts_with("NAME "), "{listed}");
    let line = lines.find(|line| line.starts_with("people "));
    let line = line.unwrap_or_else(|| panic!("{listed}"));
    assert!(line.ends_with(" realtime +86400"), "{listed}");
    let shown = place.tool(&["show", "people"]).succeeded().stdout;
    assert!(shown.contains("+86400"), "{shown}");
    assert!(shown.contains("sleep 600"), "{shown}");
    running.signal(libc::SIGTERM);
    running.finish();
    let listed = place.tool(&["ls"]).succeeded().stdout;
    assert!(!listed.contains("people"), "{listed}");
}

#[test]
fn a_namespace_without_a_name_is_listed_too() {
    let place = Place::new();
    let running = place.start(&["--realtime", "+1d"], "exec sleep 600");
    let listed = place.list();
    assert_eq!(listed.len(), 1, "{listed:#?}");
    assert!(listed[0]["name"].is_null());
    assert_eq!(supervisor::keeper(running.pid()), Some(keeper(&listed[0])));
}

#[test]
fn a_taken_name_is_refused_in_one_line_and_free_when_its_namespace_ends() {
    let place = Place::new();
    let running = place.start(&["--realtime", "+1d", "--name", "one"], "exec sleep 600");
    let second = place.inside(&["--realtime", "+2d", "--name", "one"]);
    let line = complaint(&second.run(&["echo", "started"])).to_owned();
    assert!(line.contains("the name `one`"), "{line}");
    running.signal(libc::SIGTERM);
    running.finish();
    assert_eq!(second.run(&["echo", "in"]).succeeded().stdout, "in\n");
}

#[test]
fn of_fifty_that_want_one_name_at_once_one_gets_it() {
    let place = Place::new();
    let contender = place
        .inside(&["--realtime", "+1d", "--name", "wanted"])
        .limit(300);
    let mut all: Vec<_> = (0..50)
        .map(|_| contender.start(&["sh", "-c", "echo in; exec sleep 600"]))
        .collect();
    wait_until(
        || {
            all.iter_mut()
                .filter_map(|one| one.is_alive().then_some(()))
                .count()
                <= 1
        },
        "all but one have ended",
    );
    let (mut alive, ended): (Vec<_>, Vec<_>) = all
        .into_iter()
        .map(|mut one| (one.is_alive(), one))
        .partition(|(alive, _)| *alive);
    assert_eq!(alive.len(), 1);
    for (_, one) in ended {
        assert!(complaint(&one.finish()).contains("the name `wanted`"));
    }
    until_in(&mut alive[0].1);
    assert_eq!(place.list().len(), 1);
}

#[test]
fn a_killed_keeper_leaves_a_name_that_frees_itself() {
    let place = Place::new();
    for round in 0..5 {
        let running = place.start(&["--realtime", "+1d", "--name", "crash"], "exec sleep 600");
        let found = place.named("crash").unwrap();
        sys::kill(keeper(&found), libc::SIGKILL);
        for pid in pids(&found) {
            sys::kill(i32::try_from(pid).unwrap(), libc::SIGKILL);
        }
        assert_eq!(running.finish().code, 125);
        // Nobody was there to remove it.
        assert_eq!(place.records().len(), 1);
        if round % 2 == 0 {
            assert!(place.list().is_empty());
            assert_eq!(place.records(), [] as [String; 0]);
        }
    }
}

#[test]
fn a_killed_front_takes_its_namespace_off_the_list() {
    let place = Place::new();
    let running = place.start(&["--realtime", "+1d", "--name", "front"], "exec sleep 600");
    running.signal(libc::SIGKILL);
    running.finish();
    assert!(place.list().is_empty());
    assert_eq!(place.records(), [] as [String; 0]);
}

#[test]
fn a_daemon_keeps_its_namespace_on_the_list_when_the_command_has_ended() {
    let place = Place::new();
    let fifo = place.path().join("fifo");
    Run::on_host()
        .run(&["mkfifo", fifo.to_str().unwrap()])
        .succeeded();
    let script = format!("exec >/dev/null 2>&1; cat {} & exit 0", fifo.display());
    // The harness waits until all have gone, so the daemon is let go from another thread.
    let running = place.inside(&["--realtime", "+1d", "--name", "daemon"]);
    let told = std::thread::scope(|scope| {
        let looked = scope.spawn(|| {
            let is_daemon = |found: &serde_json::Value| {
                let processes = &found["trees"][0]["processes"];
                processes.as_array().unwrap().len() == 1 && processes[0]["name"] == "cat"
            };
            wait_until(
                || place.named("daemon").is_some_and(|found| is_daemon(&found)),
                "only the daemon is left",
            );
            let joined = place.tool(&["exec", "daemon", "echo", "joined"]);
            std::fs::write(&fifo, "").unwrap();
            joined
        });
        running.run(&["sh", "-c", &script]).succeeded();
        looked.join().unwrap()
    });
    assert_eq!(told.succeeded().stdout, "joined\n");
    assert!(place.list().is_empty());
}

#[test]
fn a_hundred_namespaces_are_listed_with_their_own() {
    let place = Place::new();
    let mut all: Vec<_> = (1..=100)
        .map(|i| {
            let (shift, name) = (format!("+{i}"), format!("n{i}"));
            let options = ["--realtime", &shift, "--name", &name];
            place
                .inside(&options)
                .start(&["sh", "-c", "echo in; exec sleep 600"])
        })
        .collect();
    all.iter_mut().for_each(until_in);
    let listed = place.list();
    assert_eq!(listed.len(), 100);
    for namespace in &listed {
        let number = namespace["name"].as_str().unwrap().trim_start_matches('n');
        assert_eq!(namespace["offsets"]["realtime"], format!("+{number}"));
        assert_eq!(pids(namespace).len(), 1, "{namespace:#}");
    }
    let shown = place.show("n77");
    assert_eq!(shown["offsets"]["realtime"], "+77");
    let front = all[41].pid().to_string();
    assert_eq!(place.show(&front)["name"], "n42");
}

/// Removes what looks as if a crash had left it behind, as a look at the list does, but all the time.
fn remove_empty_records(place: &Place) {
    for name in place.records() {
        let path = place.path().join(name);
        let Ok(file) = std::fs::File::open(&path) else {
            continue;
        };
        let is_empty = file.metadata().is_ok_and(|data| data.len() == 0);
        if is_empty && file.try_lock_shared().is_ok() {
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[test]
fn a_record_that_is_taken_for_stale_before_it_is_held_is_written_again() {
    let place = Place::new();
    let is_over = std::sync::atomic::AtomicBool::new(false);
    let over = std::sync::atomic::Ordering::Relaxed;
    let look = format!("'{}' show $$", elsewhen().display());
    let ended = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(over) {
                remove_empty_records(&place);
            }
        });
        let ended: Vec<_> = (0..40)
            .map(|_| {
                let run = place.inside(&["--realtime", "+1d"]);
                run.run(&["sh", "-c", &look])
            })
            .collect();
        is_over.store(true, over);
        ended
    });
    ended.into_iter().for_each(|one| drop(one.succeeded()));
    assert_eq!(place.records(), [] as [String; 0]);
}
