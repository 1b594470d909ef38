//! A control group for the tree, so that it can be ended at one stroke (cgroups(7), `cgroup.kill`).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A control group of the tree's own.
#[derive(Clone, Debug)]
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one below our own; `None` where there is no cgroup v2, no `cgroup.kill` (5.14) or no
    /// permission.
    pub(super) fn create(name: &str) -> Option<Self> {
        let own = own_group()?;
        let path = own.join(name);
        fs::create_dir(&path).ok()?;
        let group = Self(path);
        if group.0.join("cgroup.kill").exists() {
            Some(group)
        } else {
            group.remove();
            None
        }
    }

    /// Moves the calling process into the group.
    pub(super) fn join(&self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), "0")
    }

    /// Kills every process in the group.
    pub(super) fn kill(&self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
    }

    /// Removes the group once its last process is gone.
    pub(super) fn remove(&self) {
        for _ in 0..200 {
            match fs::remove_dir(&self.0) {
                Err(e) if e.raw_os_error() == Some(libc::EBUSY) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                _ => return,
            }
        }
    }
}

/// Where our own group of the unified hierarchy lies.
fn own_group() -> Option<PathBuf> {
    let membership = fs::read_to_string("/proc/self/cgroup").ok()?;
    let path = membership
        .lines()
        .find_map(|line| line.strip_prefix("0::"))?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    let mount = mounts.lines().find_map(cgroup2_mount)?;
    Some(Path::new(mount).join(path.trim_start_matches('/')))
}

/// The mount point of a line of `/proc/PID/mountinfo` if it is a whole cgroup2 hierarchy.
fn cgroup2_mount(line: &str) -> Option<&str> {
    let (head, tail) = line.split_once(" - ")?;
    let mut fields = head.split(' ').skip(3);
    let (root, mount) = (fields.next()?, fields.next()?);
    (tail.starts_with("cgroup2 ") && root == "/").then_some(mount)
}

/// Whether a group with `cgroup.kill` could be made here.
pub(crate) fn can_be_had() -> bool {
    let name = format!("elsewhen-check-{}", std::process::id());
    Cgroup::create(&name).is_some_and(|group| {
        group.remove();
        true
    })
}
