//! A control group of version 2 whose processes are to be frozen.

use super::{Missing, root, sys};
use std::path::{Path, PathBuf};

/// A group of a test's own, below the test's. Dropped, it is thawed and removed.
#[derive(Debug)]
pub(crate) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one.
    ///
    /// # Errors
    /// Without root, cgroup v2, or `cgroup.freeze` (Linux 5.2).
    pub(crate) fn create(name: &str) -> Result<Self, Missing> {
        root()?;
        let missing = || Missing("no control group of version 2 can be made".into());
        let own = own_directory().ok_or_else(missing)?;
        let group = Self(own.join(format!("elsewhen-test-{name}-{}", std::process::id())));
        std::fs::create_dir(&group.0).map_err(|_| missing())?;
        match group.0.join("cgroup.freeze").exists() {
            true => Ok(group),
            false => Err(Missing("no `cgroup.freeze` here".into())),
        }
    }

    /// Moves a process into the group; false if it is gone.
    #[must_use]
    pub(crate) fn take(&self, pid: &str) -> bool {
        let taken = std::fs::write(self.0.join("cgroup.procs"), pid);
        taken
            .inspect_err(|e| assert_eq!(e.raw_os_error(), Some(libc::ESRCH), "{e}"))
            .is_ok()
    }

    /// Freezes the group, and waits until it is frozen.
    pub(crate) fn freeze(&self) {
        std::fs::write(self.0.join("cgroup.freeze"), "1").unwrap();
        let events = self.0.join("cgroup.events");
        sys::wait_until(
            || std::fs::read_to_string(&events).is_ok_and(|e| e.contains("frozen 1")),
            "the group is frozen",
        );
    }

    /// Lets the processes go on.
    pub(crate) fn thaw(&self) {
        std::fs::write(self.0.join("cgroup.freeze"), "0").unwrap();
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let _ = std::fs::write(self.0.join("cgroup.freeze"), "0");
        for _ in 0..200 {
            if std::fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// Where the test's own group is: cgroup2's mount, and the path in it.
pub(crate) fn own_directory() -> Option<PathBuf> {
    let mounts = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let mount = mounts
        .lines()
        .find(|line| line.split(' ').nth(2) == Some("cgroup2"))?;
    let groups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    Some(Path::new(mount.split(' ').nth(1)?).join(own))
}
