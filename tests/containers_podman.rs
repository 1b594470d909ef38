//! Podman's containers at another time: elsewhen as the runtime, before runc and crun.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::engines::{self, Engine, podman::Podman, stage::Stage};
use harness::process::Run;
use harness::{SHIFT, guests, need, tools};
use std::ffi::OsStr;

#[test]
fn containers_of_podman_have_their_clocks_with_runc() {
    expect_all("runc");
}

#[test]
fn containers_of_podman_have_their_clocks_with_crun() {
    expect_all("crun");
}

fn expect_all(runtime: &str) {
    let stage = need!(Stage::new());
    let podman = need!(Podman::new(&stage, runtime));
    engines::expect_date(&podman);
    engines::expect_uptime(&podman);
    engines::expect_waits(&podman, &stage);
    engines::expect_exec_and_restart(&podman);
    engines::expect_containers_beside_each_other(&podman);
    engines::expect_refusal(&podman);
}

#[test]
fn what_podman_takes_away_from_a_container_does_not_take_its_clocks() {
    let stage = need!(Stage::new());
    let podman = need!(Podman::new(&stage, "runc"));
    let ahead = format!("+{SHIFT}");
    let options = [
        "--cap-drop=ALL",
        "--read-only",
        "--security-opt=no-new-privileges",
        "--security-opt=seccomp=unconfined",
        "--user=1000",
        "--pid=host",
    ];
    for option in options {
        let read = podman.run_with(option, &[("realtime", &ahead)], &["/bin/date", "+%s"]);
        if let Err(why) = read.check_shifted() {
            panic!("{option}: {why}");
        }
    }
}

#[test]
fn a_privileged_container_of_podmans_keeps_a_profile_that_it_is_given() {
    let stage = need!(Stage::new());
    let profile = stage.at("shifted.json");
    let ahead = format!("+{SHIFT}");
    let words = ["oci-profile", "--format=docker", "--realtime", &ahead];
    let mut words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
    let socket = stage.at("agent.sock");
    words.extend(["--socket".as_ref(), socket.as_os_str()]);
    let elsewhen = [harness::process::elsewhen()];
    let made = Run::on_host().through(&elsewhen).run(&words).succeeded();
    std::fs::write(&profile, made.stdout).unwrap();
    let profile = format!("--security-opt=seccomp={}", profile.display());
    for runtime in ["runc", "crun"] {
        let podman = need!(Podman::bare(&stage, runtime));
        let with = |options: &[&str]| podman.run_by(options, &[], &["/bin/date", "+%s"]);
        for options in [&[&*profile][..], &["--privileged", &profile]] {
            if let Err(why) = with(options).check_shifted() {
                panic!("{runtime} {options:?}: {why}");
            }
        }
        // It is the profile that does it.
        let read = with(&["--privileged"]).succeeded();
        read.host("REALTIME").check_lines(&read.stdout).unwrap();
    }
}

#[test]
fn the_environment_does_what_annotations_do() {
    let stage = need!(Stage::new());
    let podman = need!(Podman::new(&stage, "runc"));
    let variable = format!("--env=ELSEWHEN_REALTIME=+{SHIFT}");
    podman
        .run_with(&variable, &[], &["/bin/date", "+%s"])
        .expect_shifted();
    let beaten = "--env=ELSEWHEN_REALTIME=+1";
    let ahead = format!("+{SHIFT}");
    podman
        .run_with(beaten, &[("realtime", &ahead)], &["/bin/date", "+%s"])
        .expect_shifted();
    podman
        .run(&[("proc", "off")], &["/bin/date", "+%s"])
        .succeeded();
}

#[test]
fn the_agents_unit_leaves_it_all_that_it_needs() {
    let unit = std::fs::read_to_string(guests::data("../packaging/systemd/elsewhen-agent.service"))
        .unwrap();
    let of = |key: &str| {
        unit.lines()
            .find_map(|line| line.strip_prefix(key))
            .unwrap_or_default()
    };
    let capabilities = of("CapabilityBoundingSet=")
        .to_lowercase()
        .replace("cap_", "+")
        .replace(' ', ",");
    assert!(!capabilities.is_empty());
    assert_eq!(of("NoNewPrivileges="), "yes");
    // It forbids adjtimex(2), which keepers make to read; the capability to set is not among those.
    assert_eq!(of("ProtectClock="), "");
    assert!(!capabilities.contains("sys_time"));
    // PrivateNetwork=, ProtectSystem=full and ProtectHome=read-only, as far as unshare(1) and mount(8) do it.
    let confine = "for dir in /usr /etc /boot /home /root; do mount --bind -o ro $dir $dir; done && exec \"$@\"";
    let bounds = format!("-all,{capabilities}");
    let before = [
        "unshare",
        "--net",
        "--mount",
        "sh",
        "-c",
        confine,
        "sh",
        "setpriv",
        "--bounding-set",
        &bounds,
        "--no-new-privs",
    ];
    let stage = need!(Stage::with_agent_behind(&before));
    let podman = need!(Podman::new(&stage, "runc"));
    engines::expect_date(&podman);
    engines::expect_uptime(&podman);
    engines::expect_waits(&podman, &stage);
    let ahead = format!("+{SHIFT}");
    for option in ["--user=1000", "--uidmap=0:200000:65536"] {
        let command = [
            "/bin/sh",
            "-c",
            "date +%s; read line </proc/uptime; date +%s",
        ];
        let read = podman.run_with(option, &[("realtime", &ahead)], &command);
        if let Err(why) = read.check_shifted() {
            panic!("{option}: {why}");
        }
    }
}

#[test]
fn containers_of_an_ordinary_user_have_their_clocks() {
    let stage = need!(Stage::new());
    for tool in ["podman", "crun", "newuidmap", "setpriv", "bash"] {
        need!(tools::find(tool));
    }
    // An ordinary user's directory, and an elsewhen and a script that this user can read.
    let dir = stage.at("rootless");
    let made = [dir.as_os_str(), stage.archive().as_os_str()].map(ToOwned::to_owned);
    let ids = stage.at("subids");
    std::fs::write(&ids, "65534:300000:65536\n").unwrap();
    let prepare = "mkdir -p $1/bin && cp $2 $1/root.tar && cp $3 $1/bin/elsewhen && ln -s elsewhen $1/bin/crun \
                   && cp $4 $1/script && chown -R 65534:65534 $1";
    let mut words: Vec<std::ffi::OsString> = ["sh", "-c", prepare, "sh"].map(Into::into).into();
    words.extend(made);
    words.push(harness::process::elsewhen().into());
    words.push(guests::data("harness/engines/rootless.sh").into());
    Run::on_host().run(&words).succeeded();
    // `/etc/subuid` as it would be for such a user; seen by these processes alone.
    let start = "mount --bind $1 /etc/subuid && mount --bind $1 /etc/subgid && \
                 if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi && \
                 exec setpriv --reuid=65534 --regid=65534 --clear-groups bash $2/script $2 $3";
    let shift = SHIFT.to_string();
    let mut words: Vec<std::ffi::OsString> = ["unshare", "--mount", "sh", "-c", start, "sh"]
        .map(Into::into)
        .into();
    words.extend([ids.into(), dir.into(), shift.into()]);
    let ended = Run::on_host().limit(240).run(&words);
    ended.expect_shifted();
    assert_eq!(ended.stdout.lines().count(), 4, "{ended:#?}");
}
