//! `cgroup.kill`: a cgroup of version 2 is made, looked into and removed.

use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// Whether this process can make a cgroup below its own, move there, and kill it whole.
pub(super) fn probe() -> io::Result<()> {
    let own = own_directory().ok_or_else(|| io::Error::other("no cgroup of version 2"))?;
    // Moving a process needs write access where it comes from and where it goes.
    OpenOptions::new()
        .write(true)
        .open(own.join("cgroup.procs"))?;
    let made = own.join(format!("elsewhen-check-{}", std::process::id()));
    fs::create_dir(&made)?;
    let kill = OpenOptions::new()
        .write(true)
        .open(made.join("cgroup.kill"));
    fs::remove_dir(&made)?;
    kill.map(drop)
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
