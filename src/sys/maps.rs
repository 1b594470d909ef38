//! The lines of `/proc/PID/maps` (proc_pid_maps(5)).

/// A mapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping<'a> {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// `r`, `w`, `x` and `p` or `s`, or `-` in their place.
    pub(crate) rights: [u8; 4],
    /// The place in the file.
    pub(crate) offset: u64,
    /// The file's device, major before minor number, and its inode.
    pub(crate) file: (u64, u64),
    /// The first word of the file's name, or of what stands in its place.
    pub(crate) name: Option<&'a str>,
}

/// `7f00-7f10 r-xp 00026000 fe:01 1234     /usr/lib/libc.so.6`.
pub(crate) fn parse(line: &str) -> Option<Mapping<'_>> {
    let mut words = line.split_ascii_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let rights = words.next()?.as_bytes().try_into().ok()?;
    let offset = hex(words.next()?)?;
    let (major, minor) = words.next()?.split_once(':')?;
    let device = hex(major)? << 32 | hex(minor)?;
    Some(Mapping {
        start: hex(start)?,
        end: hex(end)?,
        rights,
        offset,
        file: (device, words.next()?.parse().ok()?),
        name: words.next(),
    })
}

fn hex(word: &str) -> Option<u64> {
    u64::from_str_radix(word, 16).ok()
}
