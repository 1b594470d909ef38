//! Finding the supervisor's processes from outside.

use std::time::{Duration, Instant};

/// The keeper of a front: its only child.
pub(crate) fn keeper(front: i32) -> Option<i32> {
    children(front).first().copied()
}

/// The keeper's present worker: the child in the keeper's own session that is no zombie.
pub(crate) fn worker(keeper: i32) -> Option<i32> {
    children(keeper)
        .into_iter()
        .find(|pid| is_running(*pid) && session(*pid) == Some(keeper))
}

/// A child of a process.
pub(crate) fn child(pid: i32) -> Option<i32> {
    children(pid).first().copied()
}

/// Tries until there is one.
pub(crate) fn wait_for<T>(what: &str, mut find: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(120), "no {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// A process's resident and swapped private memory in KiB, from `/proc/PID/status`.
pub(crate) fn resident_kib(pid: i32) -> Option<u64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

/// Whether a process is there and no zombie.
pub(crate) fn is_running(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat[stat.rfind(')').unwrap()..].starts_with(") Z"))
}

/// The children of a process, whichever of its threads has started them.
pub(crate) fn children(pid: i32) -> Vec<i32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task"));
    let lists = tasks.into_iter().flatten().flatten().map(|task| {
        let list = std::fs::read_to_string(task.path().join("children"));
        list.unwrap_or_default()
    });
    let of_list = |list: String| -> Vec<i32> {
        let words = list.split_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    };
    lists.flat_map(of_list).collect()
}

fn session(pid: i32) -> Option<i32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat[stat.rfind(')')?..].split(' ').nth(4)?.parse().ok()
}

/// Whether `elsewhen check` finds `cgroup.kill` here.
pub(crate) fn has_cgroup_kill() -> bool {
    let elsewhen = super::process::elsewhen();
    let output = super::process::alone(|| {
        std::process::Command::new(elsewhen)
            .args(["check", "--json"])
            .output()
            .unwrap()
    });
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    report["cgroup_kill"]["available"].as_bool().unwrap()
}

/// Whether `/proc/sys/kernel/pid_max` belongs to the pid namespace, as it does since Linux 6.14.
pub(crate) fn pid_max_is_per_namespace() -> bool {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release
        .split(['.', '-'])
        .map(|part| part.parse().unwrap_or(0));
    (numbers.next(), numbers.next()) >= (Some(6), Some(14))
}
