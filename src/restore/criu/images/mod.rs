//! CRIU's image files: which dump they are of, what its processes did, and the filters in them.

mod filters;
mod protobuf;

use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crate::line::shown;
use crate::{Error, Result, file};
use protobuf::{Value, fields};

/// What the words for a dump begin with.
pub(super) const TREE: &str = "criu ";

/// `TASK_STOPPED` (criu: `include/criu-log.h`, `criu/include/pstree.h`).
const STOPPED: u64 = 3;

/// A file's magic numbers: that of most files, and of this kind.
const MAGIC_LEN: usize = 8;

/// A directory of images.
#[derive(Debug)]
pub(super) struct Images {
    /// As CRIU has named it.
    name: PathBuf,
    /// By a name that is the same for people, if it has one.
    path: PathBuf,
    /// Held open: CRIU closes it before all is done.
    _directory: File,
}

impl Images {
    /// # Errors
    /// There is no such directory.
    pub(super) fn open(name: PathBuf) -> Result<Self> {
        let directory = File::open(&name).map_err(|error| {
            let name = shown(name.as_os_str());
            Error::os(
                format!("cannot open CRIU's directory of images, `{name}`"),
                error,
            )
        })?;
        let of = |path: &Path| fs::metadata(path).map(|file| (file.dev(), file.ino())).ok();
        let held = PathBuf::from(format!("/proc/self/fd/{}", directory.as_raw_fd()));
        let path = fs::canonicalize(&name).ok();
        let path = path.filter(|path| of(path) == of(&held));
        Ok(Self {
            name,
            path: path.unwrap_or(held),
            _directory: directory,
        })
    }

    /// The path of a file there, as long as this is held.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The process of CRIU's that works on them, where the directory's name tells (`/proc/PID/fd/N`).
    pub(super) fn opened_by(&self) -> Option<i32> {
        let path = self.name.strip_prefix("/proc").ok()?;
        path.iter().next()?.to_str()?.parse().ok()
    }

    /// Words for the dump that has made them, unlike those for any other.
    ///
    /// # Errors
    /// They are not there, or no images.
    pub(super) fn tree(&self) -> Result<String> {
        let mut hash = Hash::default();
        // The first has the dump's own id since CRIU 4.0, and the host's uptime before.
        for name in ["inventory.img", "pstree.img"] {
            let bytes = self.read(name)?;
            hash.add(&(bytes.len() as u64).to_le_bytes());
            hash.add(&bytes);
        }
        Ok(format!("{TREE}{:016x}", hash.0))
    }

    /// Whether a process, by the number in its own pid namespace, was stopped when it was dumped.
    pub(super) fn was_stopped(&self, pid: i32) -> bool {
        let Ok(bytes) = self.read(&format!("core-{pid}.img")) else {
            return false;
        };
        let message = bytes.get(MAGIC_LEN + 4..).unwrap_or_default();
        // `core_entry.tc.task_state` (criu: `images/core.proto`).
        fields(message).any(|field| match (field.number, field.value) {
            (3, Value::Bytes(tc)) => {
                fields(tc).any(|field| field.number == 1 && field.value == Value::Number(STOPPED))
            }
            _ => false,
        })
    }

    /// Has the filters of elsewhen's in the images notify nobody; whether there are others that notify
    /// somebody.
    ///
    /// CRIU restores a filter, but nobody listens to it any more: what it notifies would fail with
    /// `ENOSYS`. And there would be one more of them at each restore.
    ///
    /// # Errors
    /// The file cannot be read or written, or is of an unknown form.
    pub(super) fn let_filters_pass(&self) -> Result<bool> {
        const NAME: &str = "seccomp.img";
        let bytes = match self.read(NAME) {
            Ok(bytes) => bytes,
            // No process had one.
            Err(error) if error.errno() == Some(libc::ENOENT) => return Ok(false),
            Err(error) => return Err(error),
        };
        let passing = filters::let_pass(&bytes).ok_or_else(|| {
            Error::new(format!(
                "CRIU's `{NAME}` is of an unknown form; use another version of CRIU"
            ))
        })?;
        file::replace(&self.file(NAME), &passing.file)
            .map_err(|error| Error::os(format!("cannot write CRIU's `{NAME}`"), error))?;
        Ok(passing.has_foreign)
    }

    fn read(&self, name: &str) -> Result<Vec<u8>> {
        fs::read(self.file(name))
            .map_err(|error| Error::os(format!("cannot read CRIU's `{name}`"), error))
    }
}

/// FNV-1a: it tells dumps apart, and proves nothing.
struct Hash(u64);

impl Default for Hash {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hash {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
