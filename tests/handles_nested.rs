//! Joining from inside of a tree, joining what is inside of one, and the kernel's own namespaces.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::{Host, Reading, SECOND};
use harness::handles::{Place, complaint, pids, until_in};
use harness::process::{Finished, elsewhen};
use harness::sys::wait_until;
use harness::{kernel_backend, need, root};
use serde_json::Value;

/// A script with `elsewhen` in it, also between single quotes.
fn script(text: &str) -> String {
    text.replace("elsewhen", &elsewhen().display().to_string())
}

/// Checks that the command printed a time of day so many seconds ahead.
fn expect_ahead(finished: Finished, seconds: i128) {
    let finished = finished.succeeded();
    let reading = Reading::parse(finished.stdout.trim()).unwrap();
    let expected = finished.host("REALTIME").shifted(seconds * SECOND);
    assert!(expected.contains(reading), "{finished:#?}");
}

#[test]
fn an_inner_namespace_is_joined_from_outside() {
    let place = Place::new();
    let inner = script("elsewhen run --realtime +5 --monotonic +7 --name inner sleep 600 & wait");
    let _outer = place.start(
        &[
            "--realtime",
            "+1000",
            "--monotonic",
            "+1",
            "--name",
            "outer",
        ],
        &inner,
    );
    wait_until(|| place.named("inner").is_some(), "the inner one runs");
    let found = place.named("inner").unwrap();
    assert_eq!(found["offsets"]["realtime"], "+1005");
    assert_eq!(found["offsets"]["monotonic"], "+8");
    assert_eq!(found["trees"][0]["inner"], true);
    wait_until(
        || pids(&place.named("inner").unwrap()).len() == 1,
        "its command runs",
    );
    let member = pids(&place.named("inner").unwrap())[0];
    // What is in the inner one is not in the outer one.
    assert!(!pids(&place.named("outer").unwrap()).contains(&member));
    for handle in ["inner", &member.to_string()] {
        expect_ahead(place.tool(&["exec", handle, "date", "+%s.%N"]), 1005);
    }
    expect_ahead(place.tool(&["exec", "outer", "date", "+%s.%N"]), 1000);
}

#[test]
fn from_inside_any_other_namespace_is_joined() {
    let place = Place::new();
    let _far = place.start(
        &["--realtime", "+90000.000000001", "--name", "far"],
        "exec sleep 600",
    );
    let run = |text: &str| {
        let options = ["--realtime", "+1000", "--name", "near"];
        place.inside(&options).run(&["sh", "-c", &script(text)])
    };
    expect_ahead(run("elsewhen exec far date +%s.%N"), 90_000);
    expect_ahead(run("elsewhen exec near date +%s.%N"), 1000);
    // And from there the one around.
    let back = "elsewhen exec far sh -c 'elsewhen exec near date +%s.%N'";
    expect_ahead(run(back), 1000);
    let told = run("elsewhen exec far sh -c 'sleep 600 & elsewhen show far --json; kill $!'");
    let shown: Value = serde_json::from_str(&told.succeeded().stdout).unwrap();
    assert_eq!(shown["offsets"]["realtime"], "+90000.000000001");
    assert_eq!(shown["trees"].as_array().unwrap().len(), 2, "{shown:#}");
}

#[test]
fn a_list_made_inside_says_the_same_as_one_made_outside() {
    let place = Place::new();
    let options = ["--realtime", "+5d", "--boottime", "+3h", "--name", "here"];
    let _here = place.start(&options, "exec sleep 600");
    let before = Host::now();
    let inside = place.tool(&[
        "exec",
        "here",
        elsewhen().to_str().unwrap(),
        "show",
        "here",
        "--json",
    ]);
    let shown: Value = serde_json::from_str(&inside.succeeded().stdout).unwrap();
    for (clock, seconds) in [
        ("realtime", 432_000),
        ("boottime", 10_800),
        ("monotonic", 0),
    ] {
        let host = before.until(Host::now(), &clock.to_uppercase());
        let reading = Reading::parse(shown["clocks"][clock].as_str().unwrap()).unwrap();
        assert!(
            host.shifted(seconds * SECOND).contains(reading),
            "{shown:#}"
        );
    }
    let outside = place.show("here");
    assert_eq!(outside["since"], shown["since"]);
    // An inner one is started by the host's clock too.
    let told = place.inside(&["--realtime", "+1000d"]).run(&[
        "sh",
        "-c",
        &script("elsewhen run --realtime +5 --name deep elsewhen show deep --json"),
    ]);
    let deep: Value = serde_json::from_str(&told.succeeded().stdout).unwrap();
    let year = |shown: &Value| shown["since"].as_str().unwrap()[..4].to_owned();
    assert_eq!(year(&deep), year(&outside));
    assert_eq!(deep["offsets"]["realtime"], "+86400005");
}

#[test]
fn an_inner_namespace_goes_off_the_list_with_its_last_process() {
    let place = Place::new();
    let text = script(
        "elsewhen run --realtime +5 --name gone true; elsewhen run --realtime +5 --name gone true; \
         exec sleep 600",
    );
    let _outer = place.start(&["--realtime", "+1000", "--name", "outer"], &text);
    // Before it is that `sleep`, the two may still be to come.
    let past_both = || {
        let outer = place.named("outer").unwrap();
        let processes = outer["trees"][0]["processes"].as_array().unwrap();
        processes.len() == 1 && processes[0]["name"] == "sleep"
    };
    wait_until(past_both, "the outer command is past both");
    wait_until(|| place.named("gone").is_none(), "no other is listed");
    assert_eq!(place.records().len(), 1);
}

#[test]
fn a_process_in_a_namespace_that_it_has_made_itself_is_not_joined_from_outside() {
    need!(root());
    for backend in ["--backend=guest", "--backend=auto"] {
        refuse_what_was_made_inside(backend);
    }
}

fn refuse_what_was_made_inside(backend: &str) {
    let place = Place::new();
    let options = ["--realtime", "+1d", backend, "--name", "around"];
    let running = place.start(&options, "unshare --time --fork sleep 600 & wait");
    let is_sleep = |process: &&Value| process["name"] == "sleep";
    let mut sleep = None;
    wait_until(
        || {
            let found = place.named("around").unwrap();
            let processes = found["trees"][0]["processes"].as_array().unwrap();
            sleep = processes
                .iter()
                .find(is_sleep)
                .map(|one| one["pid"].to_string());
            sleep.is_some()
        },
        "it sleeps",
    );
    let refused = place.tool(&["exec", &sleep.unwrap(), "echo", "started"]);
    assert!(complaint(&refused).contains("made inside"), "{refused:#?}");
    // The tree's own is another matter.
    let pid = running.pid().to_string();
    place.tool(&["exec", &pid, "true"]).succeeded();
}

#[test]
fn the_kernels_namespaces_are_joined_and_shown_by_a_process() {
    need!(kernel_backend());
    let place = Place::new();
    let options = [
        "--backend=kernel",
        "--monotonic",
        "+5000",
        "--boottime",
        "+77",
    ];
    let running = place.start(&options, "exec sleep 600");
    let pid = running.pid().to_string();
    let shown = place.show(&pid);
    assert_eq!(shown["backend"], "kernel");
    assert_eq!(shown["offsets"]["monotonic"], "+5000");
    assert_eq!(pids(&shown), [i64::from(running.pid())]);
    let link = "readlink /proc/self/ns/time";
    let there = place.tool(&["exec", &pid, "sh", "-c", link]).succeeded();
    assert_eq!(
        there.stdout.trim(),
        std::fs::read_link(format!("/proc/{pid}/ns/time"))
            .unwrap()
            .to_str()
            .unwrap()
    );
    assert_eq!(place.tool(&["exec", &pid, "sh", "-c", "exit 9"]).code, 9);
    let inside = place.inside(&["--realtime", "+1d", "--backend=guest"]);
    let refused = inside.run(&[
        elsewhen().to_str().unwrap(),
        "exec",
        &pid,
        "echo",
        "started",
    ]);
    assert!(complaint(&refused).contains("inside of another namespace"));
}

#[test]
fn a_namespace_in_a_time_namespace_of_the_kernels_is_refused_from_outside() {
    need!(kernel_backend());
    let place = Place::new();
    let text = script("elsewhen run --backend=guest --realtime +1d --name within sleep 600");
    let mut running = place
        .inside(&["--backend=kernel", "--monotonic", "+5000"])
        .start(&["sh", "-c", &format!("echo in; {text}")]);
    until_in(&mut running);
    wait_until(|| place.named("within").is_some(), "the inner one runs");
    let refused = place.tool(&["exec", "within", "echo", "started"]);
    assert!(complaint(&refused).contains("nsenter --time"));
    // The clocks are told by both offsets.
    let before = Host::now();
    let shown = place.show("within");
    let host = before.until(Host::now(), "MONOTONIC");
    let reading = Reading::parse(shown["clocks"]["monotonic"].as_str().unwrap()).unwrap();
    assert!(host.shifted(5000 * SECOND).contains(reading), "{shown:#}");
}

#[test]
fn what_the_kernel_keeps_of_a_namespace_is_joined_with_the_rest() {
    need!(kernel_backend());
    let place = Place::new();
    let options = [
        "--realtime",
        "+1d",
        "--monotonic",
        "+5000",
        "--boottime",
        "+77",
    ];
    let running = place.start(
        &[&options[..], &["--name", "split"]].concat(),
        "exec sleep 600",
    );
    let shown = place.show("split");
    assert_eq!(shown["backend"], "auto");
    assert_eq!(shown["offsets"]["realtime"], "+86400");
    assert_eq!(shown["offsets"]["monotonic"], "+5000");
    assert_eq!(shown["offsets"]["boottime"], "+77");
    let member = i32::try_from(pids(&shown)[0]).unwrap();
    let link = std::fs::read_link(format!("/proc/{member}/ns/time")).unwrap();
    for handle in ["split", &running.pid().to_string(), &member.to_string()] {
        let joined = place.tool(&["exec", handle, "readlink", "/proc/self/ns/time"]);
        assert_eq!(joined.succeeded().stdout.trim(), link.to_str().unwrap());
    }
    expect_ahead(place.tool(&["exec", "split", "date", "+%s.%N"]), 86_400);
    // A joined tree stands for the namespace too, and is joined as the first.
    let again = script("exec split elsewhen exec split readlink /proc/self/ns/time");
    let again: Vec<&str> = again.split(' ').collect();
    assert_eq!(
        place.tool(&again).succeeded().stdout.trim(),
        link.to_str().unwrap()
    );
    // Its supervisor is in that namespace too, and none of the kernel's is listed for it.
    let listed = place.tool(&["ls", "--json"]).succeeded();
    let listed: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
    for kernels in listed.iter().filter(|one| one["backend"] == "kernel") {
        for pid in pids(kernels) {
            let other = std::fs::read_link(format!("/proc/{pid}/ns/time"));
            assert!(other.is_err() || other.unwrap() != link, "{kernels:#}");
        }
    }
}

#[test]
fn from_inside_it_is_joined_if_the_kernel_keeps_the_same_clocks_there() {
    need!(kernel_backend());
    let place = Place::new();
    let offsets = ["--realtime", "+1d", "--monotonic", "+5000"];
    let _split = place.start(
        &[&offsets[..], &["--name", "split"]].concat(),
        "exec sleep 600",
    );
    let guest = ["--backend=guest", "--name", "guest"];
    let _guest = place.start(&[&offsets[..], &guest].concat(), "exec sleep 600");
    let run = |options: &[&str], text: &str| {
        let options = [&["--realtime", "+5", "--monotonic", "+3"], options].concat();
        place.inside(&options).run(&["sh", "-c", &script(text)])
    };
    let offsets_there = "elsewhen exec split cat /proc/self/timens_offsets";
    let told = run(&[], offsets_there).succeeded().stdout;
    let words: Vec<&str> = told.split_whitespace().collect();
    assert_eq!(words[..3], ["monotonic", "5000", "0"], "{told}");
    expect_ahead(run(&[], "elsewhen exec split date +%s.%N"), 86_400);
    let shown = run(&[], "elsewhen exec split elsewhen show split --json").succeeded();
    let shown: Value = serde_json::from_str(&shown.stdout).unwrap();
    assert_eq!(shown["offsets"]["monotonic"], "+5000");
    assert_eq!(shown["trees"].as_array().unwrap().len(), 2, "{shown:#}");
    expect_ahead(
        run(&["--backend=guest"], "elsewhen exec guest date +%s.%N"),
        86_400,
    );
    for (backend, text) in [
        ("--backend=guest", "elsewhen exec split echo started"),
        ("--backend=auto", "elsewhen exec guest echo started"),
    ] {
        let refused = run(&[backend], text);
        let line = complaint(&refused);
        assert!(
            line.contains("elsewhen") && line.contains("outside"),
            "{line}"
        );
    }
}
