//! A control group for the tree, so that it can be ended at one stroke (cgroups(7), `cgroup.kill`).

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a group that nobody is in may wait for its processes.
const YOUNG: Duration = Duration::from_secs(60);

/// A control group of the tree's own.
#[derive(Clone, Debug)]
pub(super) struct Cgroup(PathBuf);

impl Cgroup {
    /// Makes one below our own.
    ///
    /// # Errors
    /// There is no cgroup v2, no `cgroup.kill` (5.14) or no permission, also to move there.
    pub(super) fn create(name: &str) -> io::Result<Self> {
        let own = own_directory().ok_or_else(|| io::Error::other("no cgroup of version 2"))?;
        // Moving a process needs write access where it comes from and where it goes.
        writable(&own.join("cgroup.procs"))?;
        let group = Self::make(&own, name)?;
        match writable(&group.0.join("cgroup.kill")) {
            Ok(()) => Ok(group),
            Err(e) => {
                group.remove();
                Err(e)
            }
        }
    }

    /// Makes the directory; another pid namespace may have given the same number to its keeper.
    fn make(own: &Path, name: &str) -> io::Result<Self> {
        let mut result = fs::create_dir(own.join(name)).map(|()| Self(own.join(name)));
        for turn in 2..100 {
            match result {
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                    let group = own.join(format!("{name}.{turn}"));
                    result = fs::create_dir(&group).map(|()| Self(group));
                }
                other => return other,
            }
        }
        result
    }

    /// Moves the calling process into the group.
    pub(super) fn join(&self) -> io::Result<()> {
        fs::write(self.0.join("cgroup.procs"), "0")
    }

    /// Kills every process in the group.
    pub(super) fn kill(&self) {
        let _ = fs::write(self.0.join("cgroup.kill"), "1");
    }

    /// Removes the groups beside this one whose keepers were killed together with their workers.
    ///
    /// The kernel removes none that has processes. A new one may not have any yet, and its keeper's number may
    /// be that of another pid namespace: so it stays for a while.
    pub(super) fn sweep(&self) {
        let beside = self.0.parent().and_then(|parent| fs::read_dir(parent).ok());
        for entry in beside.into_iter().flatten().flatten() {
            let name = entry.file_name();
            let Some(keeper) = name.to_str().and_then(keeper_of) else {
                continue;
            };
            let age = entry.metadata().and_then(|data| data.modified());
            let age = age.map(|since| since.elapsed().unwrap_or_default());
            let is_old = age.is_ok_and(|age| age > YOUNG);
            if is_old && !Path::new("/proc").join(keeper.to_string()).exists() {
                let _ = fs::remove_dir(entry.path());
            }
        }
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

/// Whether a tree could have a control group here: one is made and removed.
///
/// # Errors
/// As for a tree's own.
pub(crate) fn probe() -> io::Result<()> {
    let group = Cgroup::create(&format!("elsewhen-check-{}", std::process::id()))?;
    group.remove();
    Ok(())
}

/// The number of the keeper that a group's name ends with: `elsewhen-NAME-PID`, or `elsewhen-PID.2`.
fn keeper_of(group: &str) -> Option<i32> {
    let (_, end) = group.strip_prefix("elsewhen")?.rsplit_once('-')?;
    end.split('.').next()?.parse().ok()
}

fn writable(file: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(file).map(drop)
}

/// Where this process's own cgroup is mounted.
fn own_directory() -> Option<PathBuf> {
    let cgroup = fs::read_to_string("/proc/self/cgroup").ok()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    locate(&cgroup, &mounts)
}

fn locate(cgroup: &str, mounts: &str) -> Option<PathBuf> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    mounts.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        if !kind.starts_with("cgroup2 ") {
            return None;
        }
        // ID PARENT DEVICE ROOT POINT ...
        let mut fields = mount.split(' ').skip(3);
        let (root, point) = (fields.next()?, fields.next()?);
        let below = Path::new(path).strip_prefix(root).ok()?;
        Some(Path::new(&point.replace("\\040", " ")).join(below))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_groups_name_tells_its_keeper() {
        for (name, keeper) in [
            ("elsewhen-77", Some(77)),
            ("elsewhen-77.2", Some(77)),
            ("elsewhen-a.b-5-77", Some(77)),
            ("elsewhen-check-77", Some(77)),
            ("elsewhen-a", None),
            ("elsewhen", None),
            ("system.slice", None),
            ("user-77", None),
        ] {
            assert_eq!(keeper_of(name), keeper, "{name}");
        }
    }

    #[test]
    fn a_cgroup_is_found_where_it_is_mounted() {
        let unified = "30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
        let hybrid = "31 24 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
                      32 24 0:28 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let bound = "33 24 0:26 /pod /sys/fs/a\\040b rw shared:1 - cgroup2 cgroup2 rw\n";
        let table = [
            ("0::/\n", unified, Some("/sys/fs/cgroup/")),
            (
                "4:cpu:/x\n0::/a/b\n",
                hybrid,
                Some("/sys/fs/cgroup/unified/a/b"),
            ),
            ("0::/pod/c\n", bound, Some("/sys/fs/a b/c")),
            ("0::/other\n", bound, None),
            ("4:cpu:/x\n", hybrid, None),
        ];
        for (cgroup, mounts, expected) in table {
            assert_eq!(
                locate(cgroup, mounts),
                expected.map(PathBuf::from),
                "{cgroup}"
            );
        }
    }
}
