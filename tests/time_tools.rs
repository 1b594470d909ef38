//! util-linux's programs for time namespaces, and `ps`, unmodified: on the host, where the kernel's own
//! namespaces are the oracle, and under the guest backend. What they print is the same.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::cell::RefCell;
use std::io::Write;
use std::path::Path;

use harness::clock::{Reading, SECOND};
use harness::guests::{self, Kind};
use harness::process::{Finished, Run};
use harness::sys::wait_until;
use harness::{Missing, debian13, fuse_for_all, need, root, skip, tools};

/// Checks the kernel's own namespaces first, where it has them, and then ours.
fn in_each_world(check: impl Fn(&str, &Run)) {
    if Path::new("/proc/self/ns/time").exists() {
        check("kernel", &Run::on_host());
    }
    let guest = |options: &[&str]| Run::inside(&[&["--backend=guest"], options].concat());
    let guests = [
        ("guest", guest(&[])),
        ("guest, another time of day", guest(&["--realtime=+10d"])),
    ];
    for (name, world) in guests {
        check(name, &world);
    }
}

/// The tools that scripts use; those of another release print other things.
fn has(names: &[&str]) -> Result<(), Missing> {
    root()?;
    names
        .iter()
        .try_for_each(|name| tools::find(name).map(drop))
}

/// Runs a shell script in a directory of its own in each world. What `shows` makes of the run must be
/// the same in all.
fn agree(script: &str, shows: impl Fn(&str, &Finished) -> String) {
    agree_through(&[], script, shows);
}

fn agree_through(through: &[&str], script: &str, shows: impl Fn(&str, &Finished) -> String) {
    let first: RefCell<Option<String>> = RefCell::new(None);
    in_each_world(|name, world| {
        let dir = guests::public_directory();
        let world = world.clone().through(through).in_dir(dir.path());
        let run = world.run(&["sh", "-c", script]);
        let shown = shows(name, &run);
        let mut first = first.borrow_mut();
        let expected = first.get_or_insert_with(|| shown.clone());
        assert_eq!(shown, *expected, "{name}: {run:#?}");
    });
}

/// The script succeeds and prints this in each world.
fn prints(script: &str, expected: &str) {
    prints_through(&[], script, expected);
}

fn prints_through(through: &[&str], script: &str, expected: &str) {
    agree_through(through, script, |name, run| {
        assert_eq!(
            (run.code, run.stdout.as_str()),
            (0, expected),
            "{name}: {run:#?}"
        );
        assert_eq!(run.stderr, "", "{name}");
        String::new()
    });
}

/// A script that prints by how much an uptime is ahead of the host's, in whole seconds: as many, or
/// some more if it took long.
fn is_ahead(script: &str, seconds: i64) {
    agree(script, |name, run| {
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{name}: {run:#?}");
        for line in run.stdout.lines() {
            let ahead: i64 = line.parse().unwrap_or_else(|_| panic!("{name}: {run:#?}"));
            let distance = ahead - seconds;
            assert!(
                (-1..30).contains(&distance),
                "{name}: {distance} off: {run:#?}"
            );
        }
        run.stdout.lines().count().to_string()
    });
}

/// Defines `uptime_of COMMAND`: by how much the uptime that it reads is ahead of that outside.
const UPTIME_OF: &str = "uptime_of() {
    outside=$(cut -d. -f1 /proc/uptime)
    inside=$(\"$@\" cut -d. -f1 /proc/uptime) || return
    echo $((inside - outside))
}
";

/// Starts a command with a pid namespace of its own. lsns(8) looks at all processes and at all that they have
/// open: those of other tests end, and close what they have open and open other files, between two looks.
const ALONE: [&str; 8] = [
    "unshare",
    "--pid",
    "--fork",
    "--mount-proc",
    "sh",
    "-c",
    "\"$@\"; exit $?",
    "sh",
];

/// Starts `sleep` in a namespace whose BOOTTIME is 2,000,000 s ahead and sets `pid`; ended at the end.
const SLEEPER: &str = "mkfifo started
unshare --time --boottime 2000000 sh -c 'echo $$ >started; exec sleep 60' & 
trap 'kill $!; wait $! 2>/dev/null' EXIT
pid=$(timeout 20 cat started) && [ -n \"$pid\" ] || exit 9
while [ \"$(cat /proc/$pid/comm)\" != sleep ]; do sleep 0.01; done
";

fn with(parts: &[&str]) -> String {
    parts.concat()
}

#[test]
fn unshare_sets_the_offsets() {
    need!(has(&["unshare"]));
    prints(
        "unshare --time --monotonic 1000000 --boottime 2000000 cat /proc/self/timens_offsets
         unshare --time --monotonic=-1 cat /proc/self/timens_offsets
         unshare -T cat /proc/self/timens_offsets
         unshare --time --fork --boottime 7 cat /proc/self/timens_offsets
         cat /proc/self/timens_offsets",
        "monotonic     1000000         0\nboottime      2000000         0\n\
         monotonic          -1         0\nboottime            0         0\n\
         monotonic           0         0\nboottime            0         0\n\
         monotonic           0         0\nboottime            7         0\n\
         monotonic           0         0\nboottime            0         0\n",
    );
}

/// Each clock, read in every way that Linux offers.
#[test]
fn every_clock_of_unshares_child_has_its_offset() {
    need!(has(&["unshare"]));
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        let clocks = need!(guests::build("clocks", kind));
        in_each_world(|name, world| {
            let offsets = ["--monotonic=1000000", "--boottime=2000000"];
            let words = [
                &["unshare", "--time"],
                &offsets[..],
                &[clocks.to_str().unwrap()],
            ];
            let run = world.run(&words.concat()).succeeded();
            let mut count = 0;
            for line in run.stdout.lines() {
                let fields: Vec<&str> = line.split(' ').collect();
                let [_, clock, sec, nsec] = fields[..] else {
                    panic!("{name}: {line}");
                };
                let shift = match clock {
                    "BOOTTIME" => 2_000_000,
                    "MONOTONIC" | "MONOTONIC_RAW" | "MONOTONIC_COARSE" => 1_000_000,
                    _ => continue,
                };
                let expected = run.host(clock).shifted(shift * SECOND);
                let reading = Reading::parse(&format!("{sec}.{nsec:0>9}")).unwrap();
                assert!(expected.contains(reading), "{name}: {line}: {expected:?}");
                count += 1;
            }
            assert_eq!(count, 16, "{name}: {run:#?}");
        });
    }
}

#[test]
fn unshares_child_sees_another_uptime() {
    need!(has(&["unshare"]));
    let script = "uptime_of unshare --time --boottime 2000000
        uptime_of unshare --time --boottime 2000000 --fork
        uptime_of unshare --time --boottime 2000000 --fork --pid --mount-proc";
    is_ahead(&with(&[UPTIME_OF, script]), 2_000_000);
}

#[test]
fn unshare_runs_unshare() {
    need!(has(&["unshare"]));
    let script = "for i in 1 2 3 4 5; do
            uptime_of unshare --time --boottime 5 unshare --time --boottime 2000000
        done";
    is_ahead(&with(&[UPTIME_OF, script]), 2_000_000);
}

#[test]
fn offsets_of_one_namespace_are_not_added_to_anothers() {
    need!(has(&["unshare"]));
    prints(
        "unshare --time --boottime 500 --monotonic 40 unshare --time --monotonic 700 \
            cat /proc/self/timens_offsets",
        "monotonic         700         0\nboottime          500         0\n",
    );
}

#[test]
fn unshare_says_what_is_wrong_in_the_same_words() {
    need!(has(&["unshare", "setpriv"]));
    agree(
        "unshare --time --monotonic 9223372036854775807 true; echo $?
         unshare --time --boottime -1000000000 true; echo $?
         unshare --monotonic 5 true; echo $?
         setpriv --reuid=65534 --regid=65534 --clear-groups unshare --time true; echo $?
         setpriv --bounding-set=-sys_admin unshare --time true; echo $?
         setpriv --bounding-set=-sys_time unshare --time --boottime 5 true; echo $?",
        |_, run| format!("{}{}", run.stdout, run.stderr),
    );
}

#[test]
fn an_ordinary_user_unshares_in_a_user_namespace() {
    need!(fuse_for_all());
    let dir = guests::public_directory();
    let plain = Run::on_host().by_ordinary_user(dir.path());
    if plain.run(&["unshare", "-Ur", "true"]).code != 0 {
        skip!("no user namespaces for ordinary users");
    }
    let script = with(&[
        UPTIME_OF,
        "uptime_of unshare -Ur -T --monotonic 1000000 --boottime 2000000
         unshare -Ur -T --monotonic 1000000 cat /proc/self/timens_offsets",
    ]);
    in_each_world(|name, world| {
        let world = world.clone().by_ordinary_user(dir.path());
        let run = world.run(&["sh", "-c", &script]);
        let lines: Vec<&str> = run.stdout.lines().collect();
        let [ahead, monotonic, boottime] = lines[..] else {
            panic!("{name}: {run:#?}");
        };
        let ahead: i64 = ahead.parse().unwrap();
        assert!((1_999_999..2_000_030).contains(&ahead), "{name}: {run:#?}");
        assert_eq!(monotonic, "monotonic     1000000         0", "{name}");
        assert_eq!(boottime, "boottime            0         0", "{name}");
    });
}

#[test]
fn nsenter_enters_by_a_process() {
    need!(has(&["unshare", "nsenter"]));
    let script = "uptime_of nsenter -t $pid --time
        uptime_of nsenter --target $pid --time --no-fork
        uptime_of nsenter --time=/proc/$pid/ns/time
        uptime_of nsenter --time=/proc/$pid/ns/time_for_children
        uptime_of nsenter -t $pid --time nsenter -t $$ --time nsenter -t $pid --time";
    is_ahead(&with(&[UPTIME_OF, SLEEPER, script]), 2_000_000);
}

#[test]
fn nsenter_goes_back() {
    need!(has(&["unshare", "nsenter"]));
    let script = "uptime_of nsenter -t $pid --time nsenter -t $$ --time
        uptime_of unshare --time --boottime 2000000 nsenter -t $$ --time";
    is_ahead(&with(&[UPTIME_OF, SLEEPER, script]), 0);
}

#[test]
fn nsenter_shows_the_namespace_of_the_process() {
    need!(has(&["unshare", "nsenter"]));
    prints(
        &with(&[
            SLEEPER,
            "there=$(readlink /proc/$pid/ns/time)
             [ $there = \"$(nsenter -t $pid --time readlink /proc/self/ns/time)\" ] && echo same
             [ $there = \"$(nsenter -t $pid --time readlink /proc/self/ns/time_for_children)\" ] && echo same
             [ $there = \"$(readlink /proc/self/ns/time)\" ] || echo other
             [ ${there#time:} = \"[$(stat -L -c %i /proc/$pid/ns/time)]\" ] && echo number",
        ]),
        "same\nsame\nother\nnumber\n",
    );
}

#[test]
fn a_file_keeps_a_namespace_for_nsenter() {
    need!(has(&["unshare", "nsenter"]));
    let script = "touch kept
        unshare --time=kept --boottime 2000000 true
        uptime_of nsenter --time=kept
        uptime_of nsenter --time=kept
        umount kept";
    let quoted = with(&[UPTIME_OF, script]).replace('\'', "'\\''");
    is_ahead(&format!("unshare -m sh -c '{quoted}'"), 2_000_000);
}

#[test]
fn a_kept_file_names_its_namespace() {
    need!(has(&["unshare", "nsenter"]));
    prints(
        "unshare -m sh -c 'touch kept
            unshare --time=kept --boottime 2000000 --monotonic 3 true
            [ \"time:[$(stat -c %i kept)]\" = \"$(nsenter --time=kept readlink /proc/self/ns/time)\" ] && echo same
            stat -c \"%F %s %a\" kept
            nsenter --time=kept cat /proc/self/timens_offsets
            umount kept
            stat -c \"%F %s\" kept
            nsenter --time=kept true 2>/dev/null || echo no namespace'",
        "same\nregular empty file 0 444\nmonotonic           3         0\nboottime      2000000         0\n\
         regular empty file 0\nno namespace\n",
    );
}

/// Lists the namespace of `$pid` and all, and finds that the numbers are those of the links. Nothing ends
/// while lsns(8) looks: at a process that ends between two looks, it gives up its list without a word.
const LIST: &str = "number=$(readlink /proc/$pid/ns/time | tr -dc 0-9)
own=$(readlink /proc/self/ns/time | tr -dc 0-9)
lsns -t time -n -r -o TYPE,NPROCS,USER,COMMAND -p $pid
[ \"$(lsns -t time -n -r -o NS,PID -p $pid)\" = \"$number $pid\" ] && echo number
lsns -t time -n -r -o NS | grep -c -x $number
lsns -t time -n -r -o NS | grep -c -x $own
lsns -n -r -o TYPE -p $pid | grep -c -x time
";

/// What that prints.
const LISTED: &str = "time 1 root sleep\\x2060\nnumber\n1\n1\n1\n";

#[test]
fn lsns_lists_the_namespace_of_a_process() {
    need!(has(&["unshare", "lsns"]));
    prints_through(&ALONE, &with(&[SLEEPER, LIST]), LISTED);
}

/// There with a proc(5) of its own.
#[test]
fn lsns_of_debian_13_lists_the_namespace_of_a_process() {
    need!(has(&["unshare", "chroot"]));
    let root = need!(debian13::make());
    let script = with(&["cd /tmp\n", SLEEPER, LIST]).replace('\'', "'\\''");
    let enter = "mount -t proc proc \"$0/proc\" && mount -t tmpfs tmp \"$0/tmp\" &&
        exec chroot \"$0\" sh -c \"$1\"";
    let root = root.display();
    let script = format!("exec unshare -m sh -c '{enter}' '{root}' '{script}'");
    prints_through(&ALONE, &script, LISTED);
}

#[test]
fn a_further_proc_shows_the_same_namespaces() {
    need!(has(&["unshare"]));
    prints(
        "unshare -m sh -c 'mkdir further && mount -t proc proc further
            unshare --time --boottime 7 cat further/self/timens_offsets
            unshare --time sh -c \"readlink /proc/self/ns/time further/self/ns/time\" | uniq | wc -l
            unshare --time --boottime 2000000 nsenter --time=further/$$/ns/time \\
                cat further/self/timens_offsets'",
        "monotonic           0         0\nboottime            7         0\n1\n\
         monotonic           0         0\nboottime            0         0\n",
    );
}

/// A process that is outside and in a namespace of the kernel's is not taken for one of the tree's.
#[test]
fn who_is_outside_in_a_namespace_of_the_kernels_is_left_there_and_alone() {
    need!(has(&["unshare", "lsns", "nsenter"]));
    if !Path::new("/proc/self/ns/time").exists() {
        skip!("the kernel has no time namespaces");
    }
    let dir = guests::public_directory();
    let look = "number=$(readlink /proc/$0/ns/time | tr -dc 0-9)
lsns -t time -n -r -o TYPE,NPROCS,COMMAND -p $0
[ \"$(lsns -t time -n -r -o NS,PID -p $0)\" = \"$number $0\" ] && echo number
[ \"$(stat -L -c %i /proc/$0/ns/time)\" = $number ] && echo inode
cat /proc/$0/timens_offsets
[ \"$(nsenter --time=/proc/$0/ns/time readlink /proc/self/ns/time)\" != \"$(readlink /proc/self/ns/time)\" ] &&
    echo entered";
    let look = look.replace('\'', "'\\''");
    let script = with(&[
        SLEEPER,
        "readlink /proc/$pid/ns/time >before
",
        &format!(
            "'{}' run --backend=guest --boottime=+3d -- sh -c '{look}' $pid
",
            harness::process::elsewhen().display()
        ),
        "readlink /proc/$pid/ns/time | diff before - && grep -w locks /proc/$pid/limits | tr -s ' '",
    ]);
    let world = Run::on_host().through(&ALONE).in_dir(dir.path());
    let run = world.run(&["sh", "-c", &script]);
    let expected = "time 1 sleep\\x2060\nnumber\ninode\n\
         monotonic           0         0\nboottime      2000000         0\nentered\n\
         Max file locks unlimited unlimited locks \n";
    assert_eq!(
        (run.code, run.stdout.as_str(), run.stderr.as_str()),
        (0, expected, ""),
        "{run:#?}"
    );
}

/// lsns(8) takes that for a namespace whose owner is not to be seen, and goes on.
#[test]
fn who_is_outside_asks_a_file_of_a_trees_namespace_for_its_owner_without_a_right() {
    need!(root());
    let python = need!(tools::python());
    let dir = guests::public_directory();
    let script = "exec 7</proc/self/ns/time; echo $$ >pid; mv pid told; exec sleep 60";
    let holder = Run::inside(&["--backend=guest"]).in_dir(dir.path());
    let _holder = holder.start(&["sh", "-c", script]);
    let told = dir.path().join("told");
    wait_until(|| told.exists(), "it has the file open");
    let ask = "import fcntl, sys
for request in 0xb703, 0xb701:
    try:
        print(hex(fcntl.ioctl(open(f'/proc/{sys.argv[1]}/fd/7'), request)))
    except OSError as e:
        print(e.errno)";
    let pid = std::fs::read_to_string(told).unwrap();
    let run = Run::on_host().run(&[
        python.as_os_str(),
        "-c".as_ref(),
        ask.as_ref(),
        pid.trim().as_ref(),
    ]);
    assert_eq!(run.stdout, format!("0x80\n{}\n", libc::EPERM), "{run:#?}");
}

#[test]
fn lsns_gives_the_same_columns() {
    need!(has(&["lsns"]));
    let script = "lsns -t time | head -n 1 | tr -s ' '";
    prints_through(&ALONE, script, " NS TYPE NPROCS PID USER COMMAND\n");
}

#[test]
fn lsns_lists_the_first_namespace_among_all() {
    need!(has(&["lsns"]));
    let script = "lsns -t time -n -r -o TYPE | sort -u
         lsns -n -r -o TYPE | sort -u | grep -c -x -e time -e uts -e user";
    prints_through(&ALONE, script, "time\n3\n");
}

#[test]
fn a_mount_is_refused_in_the_same_words() {
    need!(has(&["unshare", "setpriv", "perl"]));
    agree(
        r#"unshare -m sh -c 'touch file && mkdir directory
            bind() { mount --bind /proc/self/ns/time $1; echo $?; }
            bind nowhere/at/all
            bind directory
            bind file/below
            bind file
            mount --bind /proc/self/ns/time_for_nobody file; echo $?
            umount file; echo $?
            setpriv --bounding-set=-sys_admin mount --bind /proc/self/ns/time file; echo $?
            cat >call.pl <<end
my (\$to, \$from) = (@ARGV, "/proc/self/ns/time");
syscall(165, \$from, \$to + 0 || \$to, 0, 4096, 0) == 0 or print int(\$!), "\n";
end
            perl call.pl 16; perl call.pl directory; perl call.pl ""
            setpriv --reuid=65534 --regid=65534 --clear-groups perl call.pl /tmp' 2>&1 |
            sed "s,$PWD,.,g""#,
        |_, run| format!("{}{}{}", run.code, run.stdout, run.stderr),
    );
}

#[test]
fn a_mount_is_made_where_the_caller_is() {
    need!(has(&["unshare", "nsenter", "chroot"]));
    prints(
        "unshare -m sh -c 'mkdir root && mount --rbind / root
            mount -t tmpfs none root/tmp && mkdir root/tmp/here && touch root/tmp/here/kept
            chroot root sh -c \"cd /tmp/here && unshare --time=kept --boottime 7 true\" && echo made
            nsenter --time=root/tmp/here/kept cat /proc/self/timens_offsets
            chroot root umount /tmp/here/kept; stat -c %s root/tmp/here/kept'",
        "made\nmonotonic           0         0\nboottime            7         0\n0\n",
    );
}

#[test]
fn namespaces_whose_files_were_opened_are_freed() {
    need!(has(&["perl"]));
    prints(
        "perl -e 'for (1..1100) { syscall(272, 0x80) == 0 or die \"$_: $!\";
            open F, \"<\", \"/proc/self/ns/time_for_children\" or die \"$_: $!\"; close F }
            print \"all\\n\"'",
        "all\n",
    );
}

#[test]
fn namespaces_whose_mounts_are_gone_are_freed() {
    need!(has(&["unshare"]));
    prints(
        "unshare -Urm sh -c 'touch kept; echo 5 >/proc/sys/user/max_time_namespaces
            for i in 1 2 3 4 5 6 7 8 9 10; do
                unshare --time=kept true || exit
                umount kept || exit
            done; echo all'",
        "all\n",
    );
}

#[test]
fn ls_lists_the_namespaces() {
    need!(has(&["unshare"]));
    prints(
        "list() { ls -l /proc/self/ns | grep time | tr -d 0-9 | sed 's/root root.* \\(time.*->\\)/\\1/'; }
         list
         unshare --time sh -c 'ls -l /proc/self/ns' | grep -c ' time.* -> time:\\[[0-9]*\\]$'
         ls /proc/self/ns | grep -c .",
        "lrwxrwxrwx  time -> time:[]\nlrwxrwxrwx  time_for_children -> time:[]\n2\n10\n",
    );
}

#[test]
fn uptime_and_ps_agree_with_date() {
    need!(has(&["unshare", "uptime", "ps"]));
    // When the machine was started, and when a process was, by the tools' own arithmetic.
    let script = "now=$(date +%s)
        booted=$(date -d \"$(uptime -s)\" +%s)
        uptime=$(cut -d. -f1 /proc/uptime)
        least=$((now - booted - uptime))
        most=$(($(date +%s) - booted - uptime))
        echo booted $((least < 5 && most > -5))
        started=$(date -d \"$(ps -o lstart= -p $$)\" +%s)
        echo started $(( (now - started) / 20 ))
        echo lasted $(( $(ps -o etimes= -p $$) / 20 ))";
    let inner = with(&["unshare --time --boottime 2000000 sh -c '", script, "'"]);
    prints(&inner, "booted 1\nstarted 0\nlasted 0\n");
}

#[test]
fn a_script_of_perl_makes_a_namespace() {
    need!(has(&["perl"]));
    let perl = "perl -e 'syscall(272, 0x80) == 0 or die $!;
        open F, \">\", \"/proc/self/timens_offsets\" or die $!;
        print F \"boottime 2000000 0\\nmonotonic 5 0\\n\"; close F or die $!; exec @ARGV' --";
    is_ahead(&with(&[UPTIME_OF, "uptime_of ", perl]), 2_000_000);
}

#[test]
fn a_stranger_with_a_copied_mark_freezes_nothing() {
    need!(has(&["prlimit", "setpriv"]));
    let python = need!(tools::python());
    let script = "import ctypes, os, sys
assert ctypes.CDLL(None).unshare(0x80) == 0
print(os.getpid(), flush=True)
sys.stdin.readline()
with open('/proc/self/timens_offsets', 'w') as f:
    f.write('monotonic 77 0')
print(open('/proc/self/timens_offsets').read().split()[1])";
    let dir = tempfile::tempdir().unwrap();
    let (told, go) = (dir.path().join("told"), dir.path().join("go"));
    let script = format!(
        "mkfifo {go}; {python} -c \"{script}\" <{go} >{told}; cat {told}",
        go = go.display(),
        told = told.display(),
        python = python.display(),
    );
    let running = Run::inside(&["--backend=guest"]).start(&["sh", "-c", &script]);
    wait_until(|| go.exists(), "it has begun");
    let mut answer = std::fs::OpenOptions::new().write(true).open(&go).unwrap();
    let pid = || {
        std::fs::read_to_string(&told)
            .ok()?
            .trim()
            .parse::<i32>()
            .ok()
    };
    wait_until(|| pid().is_some(), "it has called unshare");
    let limit = [
        "--pid",
        &pid().unwrap().to_string(),
        "--locks",
        "--output=SOFT",
        "--noheadings",
    ];
    let mark = Run::on_host()
        .run(&[&["prlimit"], &limit[..]].concat())
        .succeeded();
    let copied = format!("--locks={}:unlimited", mark.stdout.trim());
    let stranger = Run::on_host().start(&["prlimit", &copied, "sleep", "60"]);
    let is_marked = || {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", stranger.pid()));
        limits.is_ok_and(|limits| limits.contains(mark.stdout.trim()))
    };
    wait_until(is_marked, "the stranger has the mark");
    answer.write_all(b"go\n").unwrap();
    let finished = running.finish().succeeded();
    assert!(finished.stdout.ends_with("\n77\n"), "{finished:#?}");
}
