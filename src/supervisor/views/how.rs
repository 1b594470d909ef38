//! `struct open_how` of openat2(2), which refuses what openat(2) overlooks.

use rustix::fs::ResolveFlags;

use crate::inject::{Fault, GuestPtr, Task};

/// `OPEN_HOW_SIZE_VER0`.
const SIZE: usize = 24;

/// The longest that the kernel looks at: a page.
const MOST: usize = 4096;

/// The `O_*` and `RESOLVE_*` of a call; `None` if the kernel is to say what is wrong with it
/// (`fs/open.c: build_open_flags`).
pub(super) fn read(
    task: &Task<'_>,
    from: GuestPtr<u8>,
    size: u64,
) -> Result<Option<(u64, u64)>, Fault> {
    let Some(size) = usize::try_from(size)
        .ok()
        .filter(|size| (SIZE..=MOST).contains(size))
    else {
        return Ok(None);
    };
    let mut bytes = [0; MOST];
    match task.read_bytes(from, &mut bytes[..size]) {
        Ok(()) => Ok(parse(&bytes[..size])),
        Err(Fault::Gone) => Err(Fault::Gone),
        Err(_) => Ok(None),
    }
}

fn parse(bytes: &[u8]) -> Option<(u64, u64)> {
    let (words, more) = bytes.as_chunks::<8>();
    let (how, later) = words.split_at_checked(SIZE / 8)?;
    // What a later kernel may know, this one must be told nothing of.
    if later.iter().any(|word| *word != [0; 8]) || more.iter().any(|byte| *byte != 0) {
        return None;
    }
    let [flags, mode, resolve] = [how[0], how[1], how[2]].map(u64::from_ne_bytes);
    // `VALID_OPEN_FLAGS` of `linux/fcntl.h`; the kernel takes its own `O_LARGEFILE`, which is 0 to programs.
    let known = [
        libc::O_ACCMODE,
        libc::O_CREAT,
        libc::O_EXCL,
        libc::O_NOCTTY,
        libc::O_TRUNC,
        libc::O_APPEND,
        libc::O_NONBLOCK,
        libc::O_SYNC,
        libc::O_ASYNC,
        libc::O_DIRECT,
        LARGEFILE,
        libc::O_DIRECTORY,
        libc::O_NOFOLLOW,
        libc::O_NOATIME,
        libc::O_CLOEXEC,
        libc::O_PATH,
        libc::O_TMPFILE,
    ];
    let known = known.iter().fold(0, |all, flag| all | flag);
    let is_known = flags & !u64::from(known.cast_unsigned()) == 0;
    let creates = flags & u64::from(libc::O_CREAT.cast_unsigned()) != 0;
    let has_mode = match creates {
        true => mode & !0o7777 == 0,
        false => mode == 0,
    };
    let is_both = (ResolveFlags::BENEATH | ResolveFlags::IN_ROOT).bits();
    let resolves = resolve & !RESOLVE == 0 && resolve & is_both != is_both;
    (is_known && has_mode && resolves).then_some((flags, resolve))
}

/// `VALID_RESOLVE_FLAGS`.
const RESOLVE: u64 = 0x3f;

/// The kernel's `O_LARGEFILE` on x86-64.
const LARGEFILE: i32 = 0o100_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(words: &[u64]) -> Vec<u8> {
        words.iter().flat_map(|word| word.to_ne_bytes()).collect()
    }

    #[test]
    fn what_the_kernel_refuses_is_left_to_it() {
        let creates = u64::from(libc::O_CREAT.cast_unsigned());
        assert_eq!(parse(&bytes(&[0, 0, 0])), Some((0, 0)));
        assert_eq!(parse(&bytes(&[creates, 0o644, 8])), Some((creates, 8)));
        assert_eq!(parse(&bytes(&[0, 0, 0, 0, 0])), Some((0, 0)));
        for wrong in [
            &[0, 0o644, 0][..],
            &[creates, 0o10_000, 0],
            &[1 << 32, 0, 0],
            &[1 << 30, 0, 0],
            &[0, 0, 24],
            &[0, 0, 64],
            &[0, 0, 0, 1],
            &[0, 0],
        ] {
            assert_eq!(parse(&bytes(wrong)), None, "{wrong:?}");
        }
    }
}
