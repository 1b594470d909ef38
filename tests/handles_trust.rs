//! Who may join a namespace, list it and look at it; and what others can do about that: nothing.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind, public_directory};
use harness::handles::{Place, complaint, pids, until_in};
use harness::process::{Finished, Run, elsewhen};
use harness::sys::{self, wait_until};
use harness::{need, root, skip};
use serde_json::{Value, json};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

/// The user that ordinary users' tests become, and where its records lie, as it has never logged in.
const USER: u32 = 65_534;
const DIRECTORY: &str = "/tmp/elsewhen-65534";

/// One of elsewhen's subcommands by the ordinary user.
fn by_user(public: &Path, args: &[&str]) -> Finished {
    let copy = copy(public);
    let words = [&[copy.as_str()][..], args].concat();
    Run::on_host().by_ordinary_user(public).run(&words)
}

fn copy(public: &Path) -> String {
    let copy = public.join("tool");
    if !copy.exists() {
        harness::process::alone(|| std::fs::copy(elsewhen(), &copy).unwrap());
    }
    copy.to_str().unwrap().to_owned()
}

/// A name that no other test run uses at the same time.
fn name(what: &str) -> String {
    format!("test-{what}-{}", std::process::id())
}

#[test]
fn roots_namespace_is_nobody_elses() {
    need!(root());
    let public = public_directory();
    let name = name("root");
    let place = Place::usual();
    let running = place.start(&["--realtime", "+1d", "--name", &name], "exec sleep 600");
    let found = place.named(&name).unwrap();
    let (member, front) = (pids(&found)[0].to_string(), running.pid().to_string());
    for handle in [&name, &member, &front] {
        for tool in [&["exec", handle, "echo", "started"][..], &["show", handle]] {
            let refused = by_user(public.path(), tool);
            let line = complaint(&refused);
            let is_fit = line.contains("another user's") || line.contains("no namespace of that");
            assert!(is_fit, "{line}");
        }
    }
    let listed = by_user(public.path(), &["ls"]).succeeded();
    assert!(!listed.stdout.contains(&name), "{listed:#?}");
    // The name is root's only: another user may have it too.
    let own = Run::inside(&["--realtime", "+2d", "--name", &name]).by_ordinary_user(public.path());
    own.run(&["true"]).succeeded();
}

#[test]
fn a_users_namespace_is_the_users_and_roots() {
    need!(root());
    let public = public_directory();
    let name = name("user");
    let run = Run::inside(&["--realtime", "+1d", "--name", &name]).by_ordinary_user(public.path());
    let mut running = run.start(&["sh", "-c", "echo in; exec sleep 600"]);
    until_in(&mut running);
    for tool in [&["exec", &*name, "id", "-u"][..], &["show", &name]] {
        by_user(public.path(), tool).succeeded();
    }
    let place = Place::usual();
    let found = place.named(&name).unwrap();
    assert_eq!(found["owner"]["uid"], USER);
    let member = pids(&found)[0].to_string();
    for handle in [&name, &member, &running.pid().to_string()] {
        // Root joins as root, and is listed in the user's namespace.
        let script = format!("id -u; '{}' show {handle} --json", elsewhen().display());
        let joined = place
            .tool(&["exec", handle, "sh", "-c", &script])
            .succeeded();
        let (id, shown) = joined.stdout.split_once('\n').unwrap();
        assert_eq!(id, "0");
        let shown: Value = serde_json::from_str(shown).unwrap();
        assert_eq!(shown["trees"].as_array().unwrap().len(), 2, "{shown:#}");
        assert_eq!(shown["owner"]["uid"], USER);
        assert_eq!(shown["offsets"]["realtime"], "+86400");
    }
}

#[test]
fn the_root_of_a_user_namespace_is_the_user_that_made_it() {
    need!(root());
    let public = public_directory();
    let copy = copy(public.path());
    let maps = ["unshare", "--user", "--map-root-user"];
    let probe = Run::on_host().by_ordinary_user(public.path());
    if probe.run(&[&maps[..], &["true"]].concat()).code != 0 {
        skip!("an ordinary user may not make a user namespace");
    }
    let name = name("mapped");
    let words = [
        "run",
        "--realtime",
        "+1d",
        "--name",
        &name,
        "sh",
        "-c",
        "echo in; exec sleep 600",
    ];
    let mut running = probe.start(&[&maps[..], &[copy.as_str()], &words].concat());
    until_in(&mut running);
    let own = by_user(public.path(), &["exec", &name, "id", "-u"]).succeeded();
    assert_eq!(own.stdout.trim(), USER.to_string());
    let found = Place::usual().named(&name).unwrap();
    assert_eq!(found["owner"]["uid"], USER);
    assert_eq!(pids(&found).len(), 1, "{found:#}");
    // It is no root of ours.
    let refused = probe.run(&[&maps[..], &[copy.as_str(), "exec", "1", "true"]].concat());
    complaint(&refused);
}

#[test]
fn a_users_crash_frees_the_name_without_a_control_group() {
    need!(root());
    let public = public_directory();
    let name = name("crash");
    let place = Place::usual();
    let user = |options: &[&str]| Run::inside(options).by_ordinary_user(public.path());
    let first = user(&["--realtime", "+1d", "--name", &name]);
    let again = user(&["--name", &name]);
    for _ in 0..3 {
        let mut running = first.start(&["sh", "-c", "echo in; exec sleep 600"]);
        until_in(&mut running);
        let found = place.named(&name).unwrap();
        sys::kill(harness::handles::keeper(&found), libc::SIGKILL);
        // The command goes on with its clocks, but its namespace has nobody any more.
        wait_until(|| place.named(&name).is_none(), "the name is free");
        again.run(&["true"]).succeeded();
    }
}

/// A record as a keeper writes it, with these changes.
fn record(changes: &Value) -> String {
    let pid_namespace = {
        use std::os::unix::fs::MetadataExt;
        std::fs::metadata("/proc/self/ns/pid").unwrap().ino()
    };
    let mut record = json!({
        "version": 1, "namespace": "0123456789abcdef0123456789abcdef", "name": "forged",
        "owner": 0, "front": 1, "keeper": std::process::id(),
        "pid_namespace": pid_namespace, "time_namespace": 0,
        "inner": false, "leaves_to_kernel": false, "strict": false, "host_proc": false, "reads": "direct", "reads_by": null,
        "offsets": {"realtime": [5, 0], "tai": [0, 0], "monotonic": [0, 0], "boottime": [0, 0]},
        "since": [0, 0],
    });
    for (key, value) in changes.as_object().unwrap() {
        record[key] = value.clone();
    }
    record.to_string()
}

fn write(dir: &Path, name: &str, text: &str, mode: u32) {
    let path = dir.join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
}

/// Runs `elsewhen ls --json` while every file in the directory is locked.
fn listed_while_locked(place: &Place) -> Vec<Value> {
    let locked: Vec<_> = place
        .records()
        .iter()
        .filter_map(|name| std::fs::File::open(place.path().join(name)).ok())
        .inspect(|file| {
            // A link's target is locked already.
            let _ = file.try_lock();
        })
        .collect();
    let listed = place.list();
    // What another test starts just now may hold the same open file for a moment.
    locked.iter().for_each(|file| file.unlock().unwrap());
    listed
}

#[test]
fn what_is_no_record_is_not_taken_for_one() {
    let place = Place::new();
    write(place.path(), "0.json", &record(&json!({})), 0o600);
    let listed = listed_while_locked(&place);
    assert_eq!(
        listed.len(),
        1,
        "the forged record of one's own is one: {listed:#?}"
    );
    std::fs::remove_file(place.path().join("0.json")).unwrap();

    let none = json!([[0, 1_000_000_000], [0, 0]]);
    let bad = [
        json!({"version": 2}),
        json!({"name": "a\u{1b}[2J"}),
        json!({"name": "../x"}),
        json!({"name": "7"}),
        json!({"namespace": "0"}),
        json!({"keeper": 0}),
        json!({"keeper": 4_999_999}),
        json!({"offsets": none}),
        json!({"offsets": {"realtime": [0, 1_000_000_000], "tai": [0, 0], "monotonic": [0, 0],
            "boottime": [0, 0]}}),
        json!({"reads_by": "x".repeat(5000)}),
    ];
    for (i, changes) in bad.iter().enumerate() {
        write(place.path(), &format!("{i}.json"), &record(changes), 0o600);
    }
    write(place.path(), "open.json", &record(&json!({})), 0o666);
    write(place.path(), "empty.json", "", 0o600);
    write(place.path(), "other", &record(&json!({})), 0o600);
    let at = |name: &str| place.path().join(name);
    write(place.path(), "target", &record(&json!({})), 0o600);
    symlink(at("target"), at("link.json")).unwrap();
    symlink("/dev/zero", at("zero.json")).unwrap();
    std::fs::create_dir(at("directory.json")).unwrap();
    let listed = listed_while_locked(&place);
    assert!(listed.is_empty(), "{listed:#?}");
    // Who was killed at the worst moment has left an empty one; the rest is not ours to remove.
    place.list();
    assert!(!at("empty.json").exists());
    assert!(at("0.json").exists());
    // Opening it to read would wait for a writer.
    let fifo = at("fifo.json");
    Run::on_host()
        .run(&["mkfifo", fifo.to_str().unwrap()])
        .succeeded();
    assert!(place.list().is_empty());
}

#[test]
fn text_from_a_record_cannot_steer_the_terminal() {
    let place = Place::new();
    let text = "\u{1b}]0;x\u{7}\u{9b}2J\u{202e}\n";
    write(
        place.path(),
        "0.json",
        &record(&json!({"reads_by": text})),
        0o600,
    );
    let file = std::fs::File::open(place.path().join("0.json")).unwrap();
    file.lock().unwrap();
    let shown = place.tool(&["show", "forged"]).succeeded().stdout;
    let is_bad = |c: char| c != '\n' && c.is_control() || c == '\u{202e}';
    assert!(!shown.contains(is_bad), "{shown:?}");
    assert!(shown.contains("\\u{1b}]0;x"), "{shown:?}");
}

#[test]
fn a_record_that_names_another_namespace_of_the_kernels_than_its_keepers_is_not_joined() {
    let place = Place::new();
    let changes = json!({"leaves_to_kernel": true, "time_namespace": 1});
    write(place.path(), "0.json", &record(&changes), 0o600);
    let file = std::fs::File::open(place.path().join("0.json")).unwrap();
    file.lock().unwrap();
    let refused = place.tool(&["exec", "forged", "echo", "started"]);
    assert!(
        complaint(&refused).contains("cannot be opened"),
        "{refused:#?}"
    );
}

#[test]
fn text_from_a_command_cannot_steer_the_terminal() {
    let place = Place::new();
    let script = "exec -a \"$(printf '\\033[31mred')\" sleep 600";
    let options = ["--realtime", "+1d", "--name", "red"];
    let mut running = place
        .inside(&options)
        .start(&["bash", "-c", &format!("echo in; {script}")]);
    until_in(&mut running);
    let is_red = || {
        place
            .tool(&["show", "red"])
            .succeeded()
            .stdout
            .contains("\\u{1b}[31mred")
    };
    wait_until(is_red, "the command line is shown, escaped");
    let shown = place.tool(&["show", "red"]).succeeded().stdout;
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_users_forged_record_does_not_lead_root_astray() {
    need!(root());
    let public = public_directory();
    // So that the directory is there.
    Run::inside(&["--realtime", "+1d"])
        .by_ordinary_user(public.path())
        .run(&["true"])
        .succeeded();
    // Root looks at the records of those who run something.
    let own_process = Run::on_host().by_ordinary_user(public.path());
    let _own_process = own_process.start(&["sleep", "600"]);
    let forged = name("forged");
    let own = i64::from(std::process::id());
    let place = Place::usual();
    let forgeries = [
        json!({"name": forged, "keeper": own, "front": own}),
        json!({"name": forged, "keeper": 1, "front": own}),
        json!({"name": forged, "keeper": own, "front": own, "inner": true}),
        json!({"name": forged, "keeper": own, "pid_namespace": 7}),
        // The holder itself: about its own processes a user may say what it likes.
        json!({"name": forged, "keeper": 424_242, "owner": 0}),
    ];
    for (i, changes) in forgeries.iter().enumerate() {
        let text = record(changes);
        let file = format!("{DIRECTORY}/forged-{own}-{i}.json");
        // It is held before it has its name: one that nobody holds is removed by who looks.
        let script = format!(
            "umask 077; exec 9>{file}.new; flock 9; printf %s '{text}' | sed s/424242/$$/ >&9; \
             mv {file}.new {file}; echo in; exec sleep 600"
        );
        let holder = Run::on_host().by_ordinary_user(public.path());
        let mut holder = holder.start(&["sh", "-c", &script]);
        until_in(&mut holder);
        let found = place.named(&forged);
        complaint(&place.tool(&["exec", &own.to_string(), "echo", "started"]));
        match i {
            4 => assert_eq!(found.unwrap()["owner"]["uid"], USER),
            _ => {
                assert!(found.is_none(), "{text}");
                complaint(&place.tool(&["exec", &forged, "echo", "started"]));
            }
        }
        drop(holder);
        // A look removes it, now that nobody holds it.
        let is_removed = || {
            place.list();
            !Path::new(&file).exists()
        };
        wait_until(is_removed, "the stale record is removed");
    }
}

#[test]
fn a_users_file_system_that_never_answers_does_not_hold_up_roots_list() {
    need!(root());
    let stuck = need!(guests::build("stuck", Kind::Glibc));
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p /run/user/{USER} || exit 1
         setpriv --reuid={USER} --clear-groups sleep 600 & \
         timeout 60 {} /run/user/{USER} 0 0 {} ls; code=$?; kill $!; exit $code",
        stuck.display(),
        elsewhen().display()
    );
    let words = ["unshare", "--mount", "sh", "-c", &script];
    Run::on_host().run(&words).succeeded();
}

#[test]
fn a_directory_of_somebody_elses_is_not_used() {
    need!(root());
    let public = public_directory();
    let theirs = public.path().join("theirs");
    std::fs::create_dir(&theirs).unwrap();
    std::fs::set_permissions(&theirs, PermissionsExt::from_mode(0o777)).unwrap();
    let env = format!("ELSEWHEN_RUNTIME_DIR={}", theirs.display());
    let run = |options: &[&str], words: &[&str]| {
        let run = Run::inside(options).by_ordinary_user(public.path());
        run.through(&["env", &env]).run(words)
    };
    // Without a name nobody needs a record.
    let ended = run(&["--realtime", "+1d"], &["echo", "started"]);
    assert_eq!((&*ended.stdout, &*ended.stderr), ("started\n", ""));
    let refused = run(&["--realtime", "+1d", "--name", "x"], &["echo", "started"]);
    assert!(complaint(&refused).contains("belongs to another user"));
    assert_eq!(std::fs::read_dir(&theirs).unwrap().count(), 0);
}

#[test]
fn where_nothing_can_be_written_a_name_is_refused_with_the_reason() {
    let place = Place::new();
    let missing = format!("ELSEWHEN_RUNTIME_DIR={}/none/there", place.path().display());
    let run = |options: &[&str]| {
        let run = Run::inside(options).through(&["env", &missing]);
        run.run(&["echo", "started"])
    };
    assert_eq!(run(&["--realtime", "+1d"]).succeeded().stdout, "started\n");
    let refused = run(&["--realtime", "+1d", "--name", "x"]);
    let line = complaint(&refused);
    assert!(line.contains("no such file or directory"), "{line}");
    assert!(line.contains("none/there"), "{line}");
    let check = Run::on_host().through(&["env", &missing]);
    let check = check.run(&[elsewhen().to_str().unwrap(), "check", "--json"]);
    let report: Value = serde_json::from_str(&check.stdout).unwrap();
    assert_eq!(report["handles"]["works"], false, "{report:#}");
}
