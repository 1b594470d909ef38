//! Where records lie, and whether what lies there can be trusted.
//!
//! The place depends on the user alone and not on an environment that differs between a login, cron
//! and `su`: a name is to be found from everywhere.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    Access, AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, Stat, accessat, fstat,
};
use rustix::process::geteuid;

use crate::line::shown;
use crate::{Error, Result};

/// Names the directory, for tests and for systems that have none of the usual places.
const OVERRIDE: &str = "ELSEWHEN_RUNTIME_DIR";

/// The most entries of one directory that are looked at.
const MOST_ENTRIES: usize = 8192;

/// A directory of one user's, in which nobody else can write.
#[derive(Debug)]
pub(super) struct Directory {
    fd: OwnedFd,
    owner: u32,
}

impl Directory {
    /// This user's own, made if it is missing.
    ///
    /// # Errors
    /// It cannot be made, or is not this user's alone.
    pub(super) fn make_own(overridden: Option<&Path>) -> Result<Self> {
        let path = overridden.map_or_else(usual_path, Path::to_owned);
        match fs::create_dir(&path) {
            // A umask may have taken away what we need ourselves.
            Ok(()) => fs::set_permissions(&path, PermissionsExt::from_mode(0o700))
                .map_err(|e| cannot("use", &path, e))?,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {}
            Err(e) => return Err(cannot("make", &path, e)),
        }
        Self::open_own(&path)?
            .ok_or_else(|| cannot("use", &path, io::Error::from_raw_os_error(libc::ENOENT)))
    }

    /// This user's own; `None` if there is none.
    ///
    /// # Errors
    /// It cannot be opened, or is not this user's alone.
    pub(super) fn own() -> Result<Option<Self>> {
        Self::open_own(&overridden().unwrap_or_else(usual_path))
    }

    fn open_own(path: &Path) -> Result<Option<Self>> {
        let fd = match rustix::fs::openat(CWD, path, FLAGS, Mode::empty()) {
            Ok(fd) => fd,
            Err(rustix::io::Errno::NOENT) => return Ok(None),
            Err(e) => return Err(cannot("use", path, e.into())),
        };
        let owner = geteuid().as_raw();
        let stat = fstat(&fd).map_err(|e| cannot("use", path, e.into()))?;
        if is_private(&stat, owner) {
            return Ok(Some(Self { fd, owner }));
        }
        let what = match stat.st_uid == owner {
            true => "others have access to it: take that away with `chmod 700`",
            false => "it belongs to another user: have it removed",
        };
        Err(Error::new(format!(
            "cannot use `{}`: {what}, or set `{OVERRIDE}` to a directory of your own",
            shown(path.as_os_str())
        )))
    }

    /// Another user's; `None` unless it is there and that user's alone.
    ///
    /// No file system that the user may have mounted is touched, since such a one may never answer.
    pub(super) fn of_user(user: u32, mounts: &UserMounts) -> Option<Self> {
        if mounts.cover(&of_logins(user)) {
            return None;
        }
        let (parent, name) = place(user, user);
        if mounts.cover(&parent) {
            return None;
        }
        let parent = rustix::fs::openat(CWD, &parent, FLAGS | OFlags::PATH, Mode::empty()).ok()?;
        let fd = rustix::fs::openat2(&parent, &name, FLAGS, Mode::empty(), WITHIN).ok()?;
        is_private(&fstat(&fd).ok()?, user).then_some(Self { fd, owner: user })
    }

    /// Whose it is.
    pub(super) fn owner(&self) -> u32 {
        self.owner
    }

    /// The descriptor.
    pub(super) fn fd(&self) -> &OwnedFd {
        &self.fd
    }

    /// The names of its records.
    pub(super) fn names(&self) -> io::Result<Vec<String>> {
        let entries = Dir::read_from(&self.fd)?;
        let names = entries
            .take(MOST_ENTRIES)
            .filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
        Ok(names.filter(|name| name.ends_with(SUFFIX)).collect())
    }

    /// Opens a record; `None` unless it is a plain file of the owner's.
    pub(super) fn open(&self, name: &str) -> Option<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let is_own = self.owner == geteuid().as_raw();
        let fd = match is_own {
            true => rustix::fs::openat(&self.fd, name, flags, Mode::empty()),
            false => rustix::fs::openat2(&self.fd, name, flags, Mode::empty(), WITHIN),
        };
        let fd = fd.ok()?;
        let stat = fstat(&fd).ok()?;
        let is_file = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
        (is_file && is_private(&stat, self.owner)).then_some(fd)
    }
}

/// What a record's name ends with.
pub(super) const SUFFIX: &str = ".json";

const FLAGS: OFlags = OFlags::DIRECTORY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Neither over a link nor into another file system.
const WITHIN: ResolveFlags = ResolveFlags::BENEATH
    .union(ResolveFlags::NO_SYMLINKS)
    .union(ResolveFlags::NO_XDEV);

/// Whether records can be kept here.
///
/// # Errors
/// Why not.
pub(crate) fn probe() -> Result<()> {
    let path = overridden().unwrap_or_else(usual_path);
    let directory = Directory::make_own(Some(&path))?;
    accessat(&directory.fd, ".", Access::WRITE_OK, AtFlags::EACCESS)
        .map_err(|e| cannot("write to", &path, e.into()))
}

/// A file of this user's own beside the records, for what their keepers share.
///
/// # Errors
/// It cannot be made.
pub(crate) fn shared_file(name: &str, size: u64) -> Result<OwnedFd> {
    let path = overridden().unwrap_or_else(usual_path);
    let directory = Directory::make_own(Some(&path))?;
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&directory.fd, name, flags, Mode::RUSR | Mode::WUSR)
        .and_then(|file| rustix::fs::ftruncate(&file, size).map(|()| file));
    file.map_err(|e| cannot("write to", &path.join(name), e.into()))
}

fn is_private(stat: &Stat, owner: u32) -> bool {
    stat.st_uid == owner && stat.st_mode & 0o077 == 0
}

fn cannot(what: &str, path: &Path, e: io::Error) -> Error {
    Error::os(format!("cannot {what} `{}`", shown(path.as_os_str())), e)
        .with_way_out("set `ELSEWHEN_RUNTIME_DIR` to a directory of your own")
}

/// The directory that the environment names; there is no other then.
pub(crate) fn overridden() -> Option<PathBuf> {
    std::env::var_os(OVERRIDE)
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// Where this user's agent listens, if nobody says otherwise.
pub(crate) fn socket() -> PathBuf {
    overridden().unwrap_or_else(usual_path).join("agent.sock")
}

/// The same for who is to hand something over there: nobody else may have made the directory.
///
/// # Errors
/// It is missing, or not this user's alone.
pub(crate) fn own_socket() -> Result<PathBuf> {
    let socket = socket();
    match Directory::own()? {
        Some(_) => Ok(socket),
        None => Err(Error::new(format!(
            "no agent listens at `{}`: start `elsewhen agent`, or name its socket",
            shown(socket.as_os_str())
        ))),
    }
}

fn usual_path() -> PathBuf {
    let user = geteuid();
    // In a user namespace `/run` is somebody else's.
    if user.is_root() && rustix::fs::access("/run", Access::WRITE_OK).is_ok() {
        return "/run/elsewhen".into();
    }
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let (parent, name) = place(outside(user.as_raw(), &map), user.as_raw());
    parent.join(name)
}

/// The directory that an ordinary user's lies in, and its name there; in a user namespace the user
/// is seen as another than it is called.
fn place(user: u32, seen_as: u32) -> (PathBuf, String) {
    let of_logins = of_logins(user);
    match fs::symlink_metadata(&of_logins) {
        Ok(found) if found.is_dir() && found.uid() == seen_as => (of_logins, "elsewhen".into()),
        _ => ("/tmp".into(), format!("elsewhen-{user}")),
    }
}

/// The directory that a user has while logged in.
fn of_logins(user: u32) -> PathBuf {
    PathBuf::from(format!("/run/user/{user}"))
}

/// Who a user is outside of the user namespace: its root is an ordinary user there
/// (user_namespaces(7), `uid_map`).
fn outside(user: u32, map: &str) -> u32 {
    let lines = map.lines().filter_map(|line| {
        let mut numbers = line.split_ascii_whitespace().map(str::parse);
        let mut number = || numbers.next()?.ok();
        Some((number()?, number()?, number()?))
    });
    let mut found = lines.filter_map(|(first, outside, count): (u32, u32, u32)| {
        let distance = user
            .checked_sub(first)
            .filter(|distance| *distance < count)?;
        outside.checked_add(distance)
    });
    found.next().unwrap_or(user)
}

/// Where file systems are mounted that an ordinary user's program may answer for.
#[derive(Debug)]
pub(super) struct UserMounts(Vec<PathBuf>);

impl UserMounts {
    pub(super) fn find() -> Self {
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        Self::parse(&mounts)
    }

    fn parse(mounts: &str) -> Self {
        let points = mounts.lines().filter_map(|line| {
            let (mount, kind) = line.split_once(" - ")?;
            let point = mount.split(' ').nth(4)?;
            kind.starts_with("fuse")
                .then(|| PathBuf::from(point.replace("\\040", " ")))
        });
        Self(points.collect())
    }

    /// Whether `path` lies on one.
    fn cover(&self, path: &Path) -> bool {
        self.0.iter().any(|point| path.starts_with(point))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_of_a_user_namespace_is_somebody_outside() {
        assert_eq!(outside(0, "         0       1000          1\n"), 1000);
        assert_eq!(outside(7, "0 1000 1\n1 100000 65536\n"), 100_006);
        assert_eq!(outside(0, "0 0 4294967295\n"), 0);
        assert_eq!(outside(5, ""), 5);
    }

    #[test]
    fn what_lies_on_a_users_own_file_system_is_known() {
        let mounts = UserMounts::parse(
            "30 24 0:26 / / rw - ext4 /dev/vda rw\n\
             31 30 0:27 / /run/user/1000 rw - fuse.evil evil rw\n\
             32 30 0:28 / /run/user/1001 rw - tmpfs tmpfs rw\n",
        );
        assert!(mounts.cover(Path::new("/run/user/1000")));
        assert!(mounts.cover(Path::new("/run/user/1000/a")));
        assert!(!mounts.cover(Path::new("/run/user/1001")));
    }
}
