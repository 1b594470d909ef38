//! `struct stat` and `struct statx` of a namespace's file (stat(2), statx(2)).
//!
//! DIFFERENCE: the device is that of the file system whose file an open gives, as fstat(2) tells it.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, StatxFlags, statx};

/// `AT_STATX_SYNC_TYPE` of `linux/fcntl.h`: both of `AT_STATX_FORCE_SYNC` and `AT_STATX_DONT_SYNC`.
const SYNC_TYPE: i32 = libc::AT_STATX_FORCE_SYNC | libc::AT_STATX_DONT_SYNC;

/// `STATX__RESERVED` of `linux/stat.h`.
const RESERVED: u32 = 1 << 31;

const MODE: u32 = libc::S_IFREG | 0o444;

/// `st_blksize`.
const BLOCK: u32 = 4096;

/// Whether the kernel would look at the path of a statx(2) with these arguments (`fs/stat.c: do_statx`).
pub(super) fn is_sound(flags: i32, mask: u32) -> bool {
    has_sound_flags(flags) && flags & SYNC_TYPE != SYNC_TYPE && mask & RESERVED == 0
}

/// The same of newfstatat(2) (`fs/stat.c: vfs_fstatat`).
pub(super) fn has_sound_flags(flags: i32) -> bool {
    flags & !(libc::AT_NO_AUTOMOUNT | SYNC_TYPE) == 0
}

/// A `struct stat` (`arch/x86/include/uapi/asm/stat.h`).
pub(super) fn stat(inode: u64, device: u64) -> [u64; 18] {
    // Numbers, links, mode and user, group, and the rest.
    let mut words = [0; 18];
    words[..3].copy_from_slice(&[device, inode, 1]);
    words[3] = MODE.into();
    words[7] = BLOCK.into();
    words
}

/// What `struct statx` tells of the file system, as the kernel tells it of an open file.
#[derive(Clone, Copy, Default)]
pub(super) struct Place {
    /// What the kernel tells beside what all files have.
    mask: u32,
    attributes_known: u64,
    device: (u32, u32),
    mount: u64,
}

impl Place {
    /// That of `file`, for who asks for `mask`; none if it cannot be found out.
    pub(super) fn of(file: &OwnedFd, mask: u32) -> Self {
        let ask = StatxFlags::from_bits_retain(mask) | StatxFlags::BASIC_STATS;
        // Nobody who serves the file is waited for.
        let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
        let Ok(told) = statx(file, "", flags, ask) else {
            return Self::default();
        };
        let mounts = StatxFlags::MNT_ID.bits() | MNT_ID_UNIQUE;
        Self {
            mask: told.stx_mask & mounts,
            attributes_known: told.stx_attributes_mask.bits(),
            device: (told.stx_dev_major, told.stx_dev_minor),
            mount: told.stx_mnt_id,
        }
    }
}

/// `STATX_MNT_ID_UNIQUE` of `linux/stat.h`, since Linux 6.8.
const MNT_ID_UNIQUE: u32 = 0x4000;

/// A `struct statx` (`linux/stat.h`).
pub(super) fn statx_of(inode: u64, place: Place) -> [u64; 32] {
    // Two fields of 32 bits in one word.
    let pair = |first: u32, second: u32| u64::from(second) << 32 | u64::from(first);
    let mut words = [0; 32];
    words[0] = pair(StatxFlags::BASIC_STATS.bits() | place.mask, BLOCK);
    words[2] = 1;
    words[3] = pair(0, MODE);
    words[4] = inode;
    words[7] = place.attributes_known;
    words[17] = pair(place.device.0, place.device.1);
    words[18] = place.mount;
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_refuses_is_left_to_it() {
        assert!(is_sound(0, 0x7ff));
        assert!(is_sound(
            libc::AT_NO_AUTOMOUNT | libc::AT_STATX_DONT_SYNC,
            0
        ));
        assert!(!is_sound(SYNC_TYPE, 0));
        assert!(!is_sound(1, 0));
        assert!(!is_sound(0, RESERVED));
    }
}
