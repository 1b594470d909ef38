//! From a path to what it leads to, as the thread that named it would come there.
//!
//! The kernel cannot be asked to do that in another's place: `/proc/self` would be ours. So each
//! component is looked up by itself, from the thread's own root or directory, in its mounts, and with
//! its rights, which the caller of this has taken on. Whatever is in doubt leads nowhere, and the kernel
//! has the last word.

use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, PROC_SUPER_MAGIC, ResolveFlags, StatxFlags, fstat, fstatfs,
    openat, openat2, readlinkat, statx,
};
use rustix::io::Errno;

use super::caller::{self, Caller};
use super::path::Name;

/// `MAXSYMLINKS` of `linux/namei.h`.
const MOST_LINKS: usize = 40;

/// The inode number of the root of a proc(5) (`PROC_ROOT_INO` of `linux/proc_ns.h`).
pub(super) const PROC_ROOT: u64 = 1;

/// Where a path begins, and how it is to be followed.
pub(super) struct Start {
    /// The thread's root directory.
    pub(super) root: OwnedFd,
    /// What a relative path begins at.
    pub(super) directory: OwnedFd,
    /// Whether a symbolic link at the end is not to be followed.
    pub(super) no_follow: bool,
    /// `RESOLVE_*` of openat2(2).
    pub(super) resolve: ResolveFlags,
}

/// What a path leads to: a name in a directory.
pub(super) struct Found {
    pub(super) directory: OwnedFd,
    pub(super) name: Vec<u8>,
    /// What it names, as `O_PATH`; `None` if it is about time namespaces: the kernel need not have
    /// it, and its own `ns/time` is a link that nobody else can follow.
    pub(super) file: Option<OwnedFd>,
}

/// Follows `path`; `None` if it leads to a directory, nowhere, or where we cannot say.
pub(super) fn walk(caller: &Caller<'_>, start: Start, path: &[u8]) -> Option<Found> {
    // Nobody who restricts the way needs links to a view.
    let is_restricted = !start.resolve.is_empty();
    let is_below = start
        .resolve
        .intersects(ResolveFlags::BENEATH | ResolveFlags::IN_ROOT);
    if path.starts_with(b"/") && is_below {
        return None;
    }
    let mut directory = match path.starts_with(b"/") {
        true => start.root.try_clone().ok()?,
        false => start.directory,
    };
    let first = mount_of(directory.as_fd())?;
    let mut rest = components(path)?;
    let mut links = 0;
    loop {
        let name = rest.pop_front()?;
        let is_last = rest.is_empty();
        if name == b".." {
            if is_restricted {
                return None;
            }
            if !is_same(directory.as_fd(), start.root.as_fd())? {
                directory = open(directory.as_fd(), &name)?;
            }
            continue;
        }
        let is_of_namespaces = Name::of(&name).is_some_and(Name::is_of_namespaces);
        if is_last && is_of_namespaces && is_proc(directory.as_fd()) {
            if caller::is_ours(caller.proc, directory.as_fd()) {
                return None;
            }
            return Some(Found {
                directory,
                name,
                file: None,
            });
        }
        let file = open(directory.as_fd(), &name)?;
        let file_type = FileType::from_raw_mode(fstat(&file).ok()?.st_mode);
        match file_type {
            FileType::Symlink => {
                links += 1;
                if is_restricted || is_last && start.no_follow || links > MOST_LINKS {
                    return None;
                }
                match follow(caller, directory.as_fd(), &name, file.as_fd())? {
                    Link::To(target) => {
                        if target.starts_with(b"/") {
                            directory = start.root.try_clone().ok()?;
                        }
                        let mut target = components(&target)?;
                        target.append(&mut rest);
                        rest = target;
                    }
                    Link::Jump(to) if !is_last => directory = to,
                    Link::Jump(_) => return None,
                }
            }
            FileType::Directory if !is_last => directory = file,
            _ if is_last && file_type != FileType::Directory => {
                let crosses = start.resolve.contains(ResolveFlags::NO_XDEV)
                    && mount_of(file.as_fd())? != first;
                return (!crosses).then_some(Found {
                    directory,
                    name,
                    file: Some(file),
                });
            }
            _ => return None,
        }
    }
}

/// Whether this is a file of a proc(5).
pub(super) fn is_proc(file: BorrowedFd<'_>) -> bool {
    fstatfs(file).is_ok_and(|fs| fs.f_type == PROC_SUPER_MAGIC)
}

/// Where a symbolic link leads.
enum Link {
    /// To this path.
    To(Vec<u8>),
    /// To this directory, by no path.
    Jump(OwnedFd),
}

fn follow(
    caller: &Caller<'_>,
    directory: BorrowedFd<'_>,
    name: &[u8],
    link: BorrowedFd<'_>,
) -> Option<Link> {
    if is_proc(link) {
        if fstat(directory).ok()?.st_ino == PROC_ROOT {
            let own = match name {
                b"self" => Some(caller.itself(directory, false)?),
                b"thread-self" => Some(caller.itself(directory, true)?),
                _ => None,
            };
            if let Some(own) = own {
                return Some(Link::To(own));
            }
        }
        // Such as `/proc/PID/root`: only the kernel can follow it.
        let resolve = ResolveFlags::NO_MAGICLINKS | ResolveFlags::BENEATH;
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        if openat2(directory, name, flags, Mode::empty(), resolve).err() == Some(Errno::LOOP) {
            if caller::is_ours(caller.proc, directory) {
                return None;
            }
            let to = openat(directory, name, flags | OFlags::DIRECTORY, Mode::empty());
            return to.ok().map(Link::Jump);
        }
    }
    let target = readlinkat(link, "", Vec::new()).ok()?;
    Some(Link::To(target.into_bytes()))
}

/// The components of a path that does not end in a slash.
fn components(path: &[u8]) -> Option<VecDeque<Vec<u8>>> {
    let is_component = |part: &&[u8]| !part.is_empty() && *part != b".";
    let ends = !path.ends_with(b"/") && !path.ends_with(b"/.") && path != b".";
    let parts = path.split(|byte| *byte == b'/').filter(is_component);
    ends.then(|| parts.map(<[u8]>::to_vec).collect())
}

fn open(directory: BorrowedFd<'_>, name: &[u8]) -> Option<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty()).ok()
}

fn mount_of(file: BorrowedFd<'_>) -> Option<u64> {
    let stat = statx(file, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).ok()?;
    Some(stat.stx_mnt_id)
}

fn is_same(one: BorrowedFd<'_>, other: BorrowedFd<'_>) -> Option<bool> {
    let (a, b) = (fstat(one).ok()?, fstat(other).ok()?);
    Some((a.st_dev, a.st_ino) == (b.st_dev, b.st_ino) && mount_of(one)? == mount_of(other)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_ends_in_a_slash_leads_to_no_file() {
        assert!(components(b"/proc/uptime/").is_none());
        assert!(components(b"/proc/uptime/.").is_none());
        let parts = components(b"//proc/.//uptime").unwrap();
        assert_eq!(parts, [b"proc".to_vec(), b"uptime".to_vec()]);
    }
}
