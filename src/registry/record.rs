//! What a tree's record says.

use std::fmt;
use std::os::unix::fs::MetadataExt;

use serde::{Deserialize, Serialize};

use crate::clock::{ClockOffsets, Offset};
use crate::image::ReadPathChoice;
use crate::sys;

/// The form of a record; others are left alone.
pub(super) const VERSION: u32 = 1;

/// No record is longer.
pub(super) const MOST_BYTES: usize = 4096;

/// A tree's record. The numbers are those that the supervisor computes with: who joins copies them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Record {
    pub(super) version: u32,
    /// The namespace's id.
    pub(super) namespace: String,
    pub(super) name: Option<String>,
    /// Whose namespace it is: for a record of root's own, since root may join anybody's.
    pub(super) owner: u32,
    /// The front.
    pub(super) front: i32,
    /// Who holds the record: the keeper, or the anchor of an inner namespace.
    pub(super) keeper: i32,
    /// The pid namespace that these are numbers in.
    pub(super) pid_namespace: u64,
    /// The kernel's time namespace that the offsets come on top of; 0 where there are none.
    pub(super) time_namespace: u64,
    /// Whether the tree is a part of another's.
    pub(super) inner: bool,
    pub(super) offsets: Words,
    /// Whether the kernel keeps MONOTONIC and BOOTTIME, in that time namespace of its.
    pub(super) leaves_to_kernel: bool,
    pub(super) strict: bool,
    /// Whether files under `/proc` stay the host's.
    pub(super) host_proc: bool,
    pub(super) reads: Reads,
    /// Which way reads take on this machine, in words; none in an inner tree.
    pub(super) reads_by: Option<String>,
    /// When the namespace was started, on the host's CLOCK_REALTIME.
    pub(super) since: (i64, u32),
    /// The container that the tree is in, by the id that its runtime gives it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) container: Option<String>,
    /// The user whose runtime has made the container. Another's may have the same id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<u32>,
    /// The process that the tree begins with, and when it was started, in the kernel's ticks: where the
    /// tree does not lie below its keeper.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) first: Option<(i32, u64)>,
}

/// Each clock's offset in seconds and nanoseconds.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Serialize)]
pub(super) struct Words {
    realtime: (i64, u32),
    tai: (i64, u32),
    monotonic: (i64, u32),
    boottime: (i64, u32),
}

/// How programs read their clocks.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Reads {
    Direct,
    Kernel,
    Syscall,
    OnePage,
}

impl Record {
    /// Reads what a file says; `None` if it is no record, or one of another form.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let record: Self = serde_json::from_slice(bytes).ok()?;
        let is_fit = record.version == VERSION
            && Id::parse(&record.namespace).is_some()
            && record.name.as_deref().is_none_or(is_name)
            && record.keeper > 0
            && record.offsets().is_some();
        is_fit.then_some(record)
    }

    /// The offsets, if an image can hold them.
    pub(super) fn offsets(&self) -> Option<ClockOffsets> {
        let offset = |(sec, nsec)| {
            let offset = Offset::new(sec, nsec)?;
            offset.packed().map(|_| offset)
        };
        Some(ClockOffsets {
            realtime: offset(self.offsets.realtime)?,
            tai: offset(self.offsets.tai)?,
            monotonic: offset(self.offsets.monotonic)?,
            boottime: offset(self.offsets.boottime)?,
        })
    }
}

impl From<&ClockOffsets> for Words {
    fn from(offsets: &ClockOffsets) -> Self {
        let words = |offset: Offset| (offset.secs(), offset.subsec_nanos());
        Self {
            realtime: words(offsets.realtime),
            tai: words(offsets.tai),
            monotonic: words(offsets.monotonic),
            boottime: words(offsets.boottime),
        }
    }
}

impl From<ReadPathChoice> for Reads {
    fn from(choice: ReadPathChoice) -> Self {
        match choice {
            ReadPathChoice::Fastest => Self::Direct,
            ReadPathChoice::KernelFunction => Self::Kernel,
            ReadPathChoice::Syscall => Self::Syscall,
            ReadPathChoice::OnePage => Self::OnePage,
        }
    }
}

impl From<Reads> for ReadPathChoice {
    fn from(reads: Reads) -> Self {
        match reads {
            Reads::Direct => Self::Fastest,
            Reads::Kernel => Self::KernelFunction,
            Reads::Syscall => Self::Syscall,
            Reads::OnePage => Self::OnePage,
        }
    }
}

/// What all trees of a namespace have in common, and nothing else has.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(crate) struct Id(String);

impl Id {
    /// A new one; `None` if the kernel has no random bytes.
    pub(super) fn new() -> Option<Self> {
        random().map(Self)
    }

    pub(super) fn parse(text: &str) -> Option<Self> {
        let is_digit = |b: u8| matches!(b, b'0'..=b'9' | b'a'..=b'f');
        (text.len() == 32 && text.bytes().all(is_digit)).then(|| Self(text.to_owned()))
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// 128 random bits in hexadecimal.
pub(super) fn random() -> Option<String> {
    let bytes: [u8; 16] = sys::random::bytes().ok()?;
    Some(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// A namespace that a tree is to be a part of.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(crate) struct Member {
    pub(crate) id: Id,
    /// Whose the namespace is.
    pub(crate) owner: u32,
    /// When it was started.
    pub(super) since: (i64, u32),
}

impl Member {
    /// A namespace of this user's that begins now; `None` if the kernel has no random bytes yet.
    pub(crate) fn new() -> Option<Self> {
        let now = sys::clock::read(libc::CLOCK_REALTIME).ok()?;
        Some(Self {
            id: Id::new()?,
            owner: rustix::process::geteuid().as_raw(),
            since: (now.tv_sec, u32::try_from(now.tv_nsec).ok()?),
        })
    }
}

/// Whether `text` can name a namespace: a file, a control group and an argument.
///
/// A number is none, as it could not be told from a pid.
pub(crate) fn is_name(text: &str) -> bool {
    let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (1..=64).contains(&text.len())
        && text.chars().all(is_fit)
        && !text.starts_with(['.', '-'])
        && !text.bytes().all(|b| b.is_ascii_digit())
}

/// The inode of one of this process's namespaces; 0 where the kernel has no such.
pub(super) fn own_namespace(kind: &str) -> u64 {
    std::fs::metadata(format!("/proc/self/ns/{kind}")).map_or(0, |found| found.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> Record {
        let offset = |nanos| Offset::from_nanos(nanos).unwrap();
        Record {
            version: VERSION,
            namespace: "0123456789abcdef0123456789abcdef".into(),
            name: Some("web".into()),
            owner: 1000,
            front: 41,
            keeper: 42,
            pid_namespace: 4_026_531_836,
            time_namespace: 0,
            inner: false,
            offsets: Words::from(&ClockOffsets {
                realtime: offset(-1),
                monotonic: offset(8_589_934_591_999_999_999),
                ..ClockOffsets::default()
            }),
            leaves_to_kernel: false,
            strict: true,
            host_proc: false,
            reads: Reads::Direct,
            reads_by: Some("by system call".into()),
            since: (1_700_000_000, 5),
            container: None,
            user: None,
            first: None,
        }
    }

    #[test]
    fn a_record_says_what_was_written_to_the_nanosecond() {
        let bytes = serde_json::to_vec(&record()).unwrap();
        assert!(bytes.len() < MOST_BYTES);
        assert_eq!(Record::parse(&bytes), Some(record()));
        assert_eq!(record().offsets().unwrap().realtime.as_nanos(), -1);
    }

    #[test]
    fn what_no_keeper_would_write_is_no_record() {
        let changes: [fn(&mut Record); 7] = [
            |r| r.version = 2,
            |r| r.namespace = "../../etc/passwd".into(),
            |r| r.name = Some("\x1b[2J".into()),
            |r| r.name = Some(String::new()),
            |r| r.keeper = -1,
            |r| r.offsets.tai = (0, 1_000_000_000),
            |r| r.offsets.boottime = (i64::MIN, 0),
        ];
        for (i, change) in changes.into_iter().enumerate() {
            let mut record = record();
            change(&mut record);
            assert_eq!(
                Record::parse(&serde_json::to_vec(&record).unwrap()),
                None,
                "{i}"
            );
        }
        for bytes in [&b""[..], b"{", b"null", b"\xff", &[b'['; MOST_BYTES]] {
            assert_eq!(Record::parse(bytes), None);
        }
    }

    #[test]
    fn a_name_is_short_plain_and_neither_an_option_nor_a_pid() {
        let longest = "x".repeat(64);
        for good in ["a", "A-1_b.c", "_", "7a", "1.0", &longest] {
            assert!(is_name(good), "{good}");
        }
        let too_long = "x".repeat(65);
        for bad in [
            "", ".", "..", ".a", "-a", "7", "a/b", "a b", "é", "a\n", &too_long,
        ] {
            assert!(!is_name(bad), "{bad:?}");
        }
    }
}
