//! The kernel's side of FUSE, as far as a few files in one directory need it (`linux/fuse.h`).

/// `FUSE_KERNEL_VERSION` and the minor one of Linux 5.2, whose structures are used here.
const VERSION: [u32; 2] = [7, 31];

/// `FUSE_MIN_READ_BUFFER`, of which the kernel wants room for a write and its header.
pub(super) const BUFFER: usize = 16 << 10;

/// The longest write: `FUSE_INIT` says it.
const MOST_WRITTEN: u32 = 4096;

const IN_HEADER: usize = 40;
const OUT_HEADER: usize = 16;

/// Requests (`enum fuse_opcode`).
pub(super) mod op {
    pub(in super::super) const LOOKUP: u32 = 1;
    pub(in super::super) const FORGET: u32 = 2;
    pub(in super::super) const GETATTR: u32 = 3;
    pub(in super::super) const SETATTR: u32 = 4;
    pub(in super::super) const UNLINK: u32 = 10;
    pub(in super::super) const OPEN: u32 = 14;
    pub(in super::super) const READ: u32 = 15;
    pub(in super::super) const WRITE: u32 = 16;
    pub(in super::super) const STATFS: u32 = 17;
    pub(in super::super) const RELEASE: u32 = 18;
    pub(in super::super) const FLUSH: u32 = 25;
    pub(in super::super) const INIT: u32 = 26;
    pub(in super::super) const INTERRUPT: u32 = 36;
    pub(in super::super) const DESTROY: u32 = 38;
    pub(in super::super) const IOCTL: u32 = 39;
    pub(in super::super) const BATCH_FORGET: u32 = 42;
}

/// The root directory (`FUSE_ROOT_ID`).
pub(super) const ROOT: u64 = 1;

/// A request.
pub(super) struct Request<'a> {
    pub(super) op: u32,
    unique: u64,
    pub(super) node: u64,
    /// The thread that makes the call, or 0 if this process cannot see it.
    pub(super) tid: i32,
    /// What comes behind the header.
    pub(super) body: &'a [u8],
}

impl<'a> Request<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Option<Self> {
        Some(Self {
            op: word(bytes, 4)?,
            unique: long(bytes, 8)?,
            node: long(bytes, 16)?,
            tid: word(bytes, 32)?.cast_signed(),
            body: bytes.get(IN_HEADER..)?,
        })
    }

    /// What the kernel gets for an answer.
    pub(super) fn reply(&self, result: Result<Vec<u8>, i32>) -> Vec<u8> {
        let (error, body) = match result {
            Ok(body) => (0, body),
            Err(errno) => (-errno, Vec::new()),
        };
        let len = u32::try_from(OUT_HEADER + body.len()).unwrap_or(u32::MAX);
        let mut bytes = len.to_ne_bytes().to_vec();
        bytes.extend(error.to_ne_bytes());
        bytes.extend(self.unique.to_ne_bytes());
        bytes.extend(body);
        bytes
    }

    /// The handle, position and length of a read or a write.
    pub(super) fn range(&self) -> Option<(u64, u64, usize)> {
        let len = usize::try_from(word(self.body, 16)?).ok()?;
        Some((long(self.body, 0)?, long(self.body, 8)?, len))
    }

    /// What is written.
    pub(super) fn written(&self) -> Option<&'a [u8]> {
        let (_, _, len) = self.range()?;
        self.body.get(40..40 + len)
    }

    /// Which nodes are forgotten, and how many looks of each.
    pub(super) fn forgotten(&self) -> Vec<(u64, u64)> {
        match self.op {
            op::FORGET => long(self.body, 0)
                .map(|n| (self.node, n))
                .into_iter()
                .collect(),
            _ => {
                let pairs = self.body.get(8..).unwrap_or_default().chunks_exact(16);
                pairs
                    .filter_map(|pair| Some((long(pair, 0)?, long(pair, 8)?)))
                    .collect()
            }
        }
    }

    /// What an ioctl(2) asks for.
    pub(super) fn ioctl(&self) -> Option<u32> {
        word(self.body, 12)
    }

    /// The handle of what is closed.
    pub(super) fn handle(&self) -> Option<u64> {
        long(self.body, 0)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// `struct fuse_init_out`, of which all else may be zero.
pub(super) fn init() -> Vec<u8> {
    let mut out = Out::default();
    out.words(&VERSION)
        .words(&[0, 0, 0, MOST_WRITTEN])
        .words(&[1]);
    out.0.resize(64, 0);
    out.0
}

/// `struct fuse_attr` of a file, or of the root.
fn attributes(out: &mut Out, node: u64, mode: u32) {
    let (mode, links) = match node {
        ROOT => (libc::S_IFDIR | mode, 2),
        _ => (libc::S_IFREG | mode, 1),
    };
    out.longs(&[node, 0, 0, 0, 0, 0]);
    out.words(&[0, 0, 0, mode, links, 0, 0, 0, 1024, 0]);
}

/// For so long the kernel may remember of a file what has been said: for ever.
const VALID: u64 = 1 << 40;

/// `struct fuse_entry_out`; its name is to be forgotten with the last who has it open.
pub(super) fn entry(node: u64, mode: u32) -> Vec<u8> {
    let mut out = Out::default();
    out.longs(&[node, 0, 0, VALID]).words(&[0, 0]);
    attributes(&mut out, node, mode);
    out.0
}

/// `struct fuse_attr_out`.
pub(super) fn attr(node: u64, mode: u32) -> Vec<u8> {
    let mut out = Out::default();
    out.longs(&[VALID]).words(&[0, 0]);
    attributes(&mut out, node, mode);
    out.0
}

/// `struct fuse_open_out`: nothing is to be kept in the page cache.
pub(super) fn open(handle: u64) -> Vec<u8> {
    const DIRECT_IO: u32 = 1;
    let mut out = Out::default();
    out.longs(&[handle]).words(&[DIRECT_IO, 0]);
    out.0
}

/// `struct fuse_ioctl_out`: the call returns this.
pub(super) fn told(value: u32) -> Vec<u8> {
    let mut out = Out::default();
    out.words(&[value, 0, 0, 0]);
    out.0
}

/// `struct fuse_write_out`.
pub(super) fn written(len: usize) -> Vec<u8> {
    let mut out = Out::default();
    out.words(&[u32::try_from(len).unwrap_or(0), 0]);
    out.0
}

#[derive(Default)]
struct Out(Vec<u8>);

impl Out {
    fn words(&mut self, words: &[u32]) -> &mut Self {
        self.0
            .extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        self
    }

    fn longs(&mut self, longs: &[u64]) -> &mut Self {
        self.0
            .extend(longs.iter().flat_map(|long| long.to_ne_bytes()));
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_structures_have_the_kernels_lengths() {
        assert_eq!(init().len(), 64);
        assert_eq!(entry(2, 0o444).len(), 128);
        assert_eq!(attr(2, 0o444).len(), 104);
        assert_eq!(open(7).len(), 16);
        assert_eq!(written(7).len(), 8);
        assert_eq!(told(7).len(), 16);
    }
}
