//! The clocks of a namespace at one moment, and the file that holds them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::clock::{By, ClockOffsets, Offset, Readings};
use crate::line::{one_line, shown};
use crate::{Error, Result};

/// What the file begins with.
const FORMAT: &str = "elsewhen clocks";

/// The version that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// More than any such file has.
const MOST_BYTES: u64 = 64 * 1024;

/// The limit of Linux for clocks that count from the boot (`kernel/time/namespace.c:
/// proc_timens_set_offset`), and what 63 bits of nanoseconds hold for the others.
const MOST_SINCE_BOOT: i128 = (i64::MAX / 2) as i128;
const MOST: i128 = i64::MAX as i128;

/// The clocks of a namespace at one moment, with the host's.
///
/// It is written as JSON, and read again on this host or another, where
/// [`offsets`](Self::offsets_by) gives what a new namespace needs so that the clocks go on.
///
/// # Example
/// ```
/// use elsewhen::clock::Readings;
/// use elsewhen::{ClockOffsets, Policies, SavedClocks};
///
/// const S: i128 = 1_000_000_000;
/// let host = Readings { realtime: 1_700_000_000 * S, tai: 1_700_000_037 * S,
///                       monotonic: 86_400 * S, boottime: 86_400 * S };
/// let file = SavedClocks::new(host, ClockOffsets::default())?.to_json();
///
/// // An hour later, on a host that was started a minute ago.
/// let other = Readings { realtime: 1_700_003_600 * S, tai: 1_700_003_637 * S,
///                        monotonic: 60 * S, boottime: 60 * S };
/// let offsets = SavedClocks::parse(file.as_bytes())?.offsets_by(&Policies::default(), &other, &other)?;
/// assert_eq!(offsets.monotonic.secs(), 86_400 - 60);
/// assert!(offsets.realtime.is_zero());
/// # Ok::<(), elsewhen::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedClocks {
    pub(super) host: Readings,
    pub(super) offsets: ClockOffsets,
    pub(super) clocks: Readings,
    boot_id: Option<String>,
    name: Option<String>,
    tree: Option<String>,
}

impl SavedClocks {
    /// The clocks that are `offsets` away from `host`, the host's own.
    ///
    /// # Errors
    /// A clock would be below zero, or beyond the limits that Linux sets.
    pub fn new(host: Readings, offsets: ClockOffsets) -> Result<Self> {
        let clocks = Readings {
            realtime: host.realtime + offsets.realtime.as_nanos(),
            tai: host.tai + offsets.tai.as_nanos(),
            monotonic: host.monotonic + offsets.monotonic.as_nanos(),
            boottime: host.boottime + offsets.boottime.as_nanos(),
        };
        for (what, readings) in [("the host's", &host), ("the namespace's", &clocks)] {
            in_range(what, readings)?;
        }
        if offsets.packed().is_none() {
            return Err(Error::new("an offset is beyond 8589934591 s (272 years)"));
        }
        Ok(Self {
            host,
            offsets,
            clocks,
            boot_id: None,
            name: None,
            tree: None,
        })
    }

    /// With the host's boot (`/proc/sys/kernel/random/boot_id`).
    #[must_use]
    pub fn with_boot_id(mut self, boot_id: &str) -> Self {
        self.boot_id = Some(boot_id.to_owned());
        self
    }

    /// With the namespace's name.
    #[must_use]
    pub fn with_name(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }

    /// With words that say what they are the clocks of, for whoever restores it to compare: any text of
    /// at most 1024 bytes.
    #[must_use]
    pub fn with_tree(mut self, tree: &str) -> Self {
        self.tree = Some(tree.to_owned());
        self
    }

    /// What the namespace's clocks read.
    #[must_use]
    pub fn clocks(&self) -> &Readings {
        &self.clocks
    }

    /// What the host's clocks read at the same moment.
    #[must_use]
    pub fn host(&self) -> &Readings {
        &self.host
    }

    /// How far the namespace's were from the host's.
    #[must_use]
    pub fn offsets(&self) -> &ClockOffsets {
        &self.offsets
    }

    /// Which boot of the host it was.
    #[must_use]
    pub fn boot_id(&self) -> Option<&str> {
        self.boot_id.as_deref()
    }

    /// The namespace's name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The words of [`with_tree`](Self::with_tree).
    #[must_use]
    pub fn tree(&self) -> Option<&str> {
        self.tree.as_deref()
    }

    /// The file's text, which ends with a line end.
    #[must_use]
    pub fn to_json(&self) -> String {
        let offset = |offset: Offset| offset.to_string();
        let text = serde_json::to_string_pretty(&Body {
            format: FORMAT.to_owned(),
            version: VERSION,
            boot_id: self.boot_id.clone(),
            name: self.name.clone(),
            tree: self.tree.clone(),
            clocks: Clocks::of(&self.clocks),
            host: Clocks::of(&self.host),
            offsets: Clocks {
                realtime: offset(self.offsets.realtime),
                tai: offset(self.offsets.tai),
                monotonic: offset(self.offsets.monotonic),
                boottime: offset(self.offsets.boottime),
            },
        });
        text.expect("text and a number are JSON") + "\n"
    }

    /// Reads the file's text.
    ///
    /// # Errors
    /// It is cut off, or no such file; it is of a newer version; a clock is below zero or beyond the
    /// limits of Linux; or the clocks are not the host's plus the offsets, to the nanosecond: so a file in
    /// which one of these was damaged is never believed.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::new("it is empty; save the clocks anew"));
        }
        let head: Head = serde_json::from_slice(bytes).map_err(|error| not_read(&error))?;
        if head.format.as_deref() != Some(FORMAT) {
            return Err(Error::new(
                "it holds no clocks; name a file that `elsewhen save` has written",
            ));
        }
        match head.version {
            VERSION => {}
            newer if newer > VERSION => {
                return Err(Error::new(format!(
                    "it is of version {newer}, and this elsewhen reads {VERSION}; use a newer elsewhen"
                )));
            }
            none => return Err(Error::new(format!("there is no version {none}"))),
        }
        let body: Body = serde_json::from_slice(bytes).map_err(|error| not_read(&error))?;
        body.checked()
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Those of open(2) and read(2), and those of [`parse`](Self::parse), each naming the file.
    pub fn read(path: &Path) -> Result<Self> {
        Self::read_from(path, File::open(path))
    }

    /// Reads a file that somebody else has named: no other than a plain one is opened, since to open a
    /// device does something, and a pipe might never answer. Files of the kernel's that look plain
    /// (`/proc/kmsg`, which forgets what was read) have no length.
    pub(crate) fn read_plain(path: &Path) -> Result<Self> {
        let name = shown(path.as_os_str());
        if !path.is_absolute() {
            return Err(Error::new(format!("`{name}`: write the whole path")));
        }
        // O_PATH finds the file and does not open it.
        let found = OpenOptions::new()
            .read(true)
            .custom_flags(libc::O_PATH)
            .open(path);
        let file = match found {
            Ok(found) if !found.metadata().is_ok_and(|found| found.is_file()) => {
                return Err(Error::new(format!("`{name}`: it is no plain file")));
            }
            Ok(found) if found.metadata().is_ok_and(|found| found.len() == 0) => {
                return Err(Error::new(format!(
                    "`{name}`: it is empty; save the clocks anew"
                )));
            }
            Ok(found) => OpenOptions::new()
                .read(true)
                .custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY)
                .open(format!("/proc/thread-self/fd/{}", found.as_raw_fd())),
            Err(error) => Err(error),
        };
        Self::read_from(path, file)
    }

    fn read_from(path: &Path, file: io::Result<File>) -> Result<Self> {
        let name = shown(path.as_os_str());
        let mut bytes = Vec::new();
        file.and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| not_opened(&name, error))?;
        if bytes.len() as u64 > MOST_BYTES {
            return Err(Error::new(format!(
                "`{name}`: it is too long to be a file of clocks; \
                 name one that `elsewhen save` has written"
            )));
        }
        Self::parse(&bytes).map_err(|error| error.behind(&format!("`{name}`")))
    }
}

/// What every version has.
#[derive(Deserialize)]
struct Head {
    format: Option<String>,
    #[serde(default)]
    version: u32,
}

#[derive(Deserialize, Serialize)]
struct Body {
    format: String,
    version: u32,
    boot_id: Option<String>,
    name: Option<String>,
    tree: Option<String>,
    clocks: Clocks,
    host: Clocks,
    offsets: Clocks,
}

/// Text, since not all JSON numbers survive all readers.
#[derive(Deserialize, Serialize)]
struct Clocks {
    realtime: String,
    tai: String,
    monotonic: String,
    boottime: String,
}

impl Body {
    fn checked(self) -> Result<SavedClocks> {
        let saved = SavedClocks::new(
            self.host.readings("host")?,
            ClockOffsets {
                realtime: offset("realtime", &self.offsets.realtime)?,
                tai: offset("tai", &self.offsets.tai)?,
                monotonic: offset("monotonic", &self.offsets.monotonic)?,
                boottime: offset("boottime", &self.offsets.boottime)?,
            },
        )?;
        if self.clocks.readings("clocks")? != saved.clocks {
            return Err(Error::new(
                "it is damaged: `clocks` are not `host` plus `offsets`; save the clocks anew",
            ));
        }
        for (key, text, most) in [
            ("boot_id", &self.boot_id, 36),
            ("name", &self.name, 64),
            ("tree", &self.tree, 1024),
        ] {
            if text.as_ref().is_some_and(|text| text.len() > most) {
                return Err(Error::new(format!(
                    "`{key}` is longer than {most} bytes; save the clocks anew"
                )));
            }
        }
        Ok(SavedClocks {
            boot_id: self.boot_id,
            name: self.name,
            tree: self.tree,
            ..saved
        })
    }
}

impl Clocks {
    fn of(readings: &Readings) -> Self {
        let text = |nanos: i128| format!("{}.{:09}", nanos / 1_000_000_000, nanos % 1_000_000_000);
        Self {
            realtime: text(readings.realtime),
            tai: text(readings.tai),
            monotonic: text(readings.monotonic),
            boottime: text(readings.boottime),
        }
    }

    fn readings(&self, whose: &str) -> Result<Readings> {
        // As a shift, which has the same form behind its sign.
        let nanos = |clock: &str, text: &String| {
            let digits = text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
            let nanos = By::parse(&format!("+{text}")).ok().filter(|_| digits);
            nanos.map(|by| by.offset().as_nanos()).ok_or_else(|| {
                Error::new(format!(
                    "`{whose}`: `{clock}` is no number of seconds: `{}`; save the clocks anew",
                    shown(text.as_ref())
                ))
            })
        };
        Ok(Readings {
            realtime: nanos("realtime", &self.realtime)?,
            tai: nanos("tai", &self.tai)?,
            monotonic: nanos("monotonic", &self.monotonic)?,
            boottime: nanos("boottime", &self.boottime)?,
        })
    }
}

fn offset(clock: &str, text: &str) -> Result<Offset> {
    By::parse(text)
        .map(By::offset)
        .map_err(|error| Error::new(format!("`offsets`: `{clock}`: {error}")))
}

fn in_range(whose: &str, readings: &Readings) -> Result<()> {
    for (clock, nanos, most) in [
        ("REALTIME", readings.realtime, MOST),
        ("TAI", readings.tai, MOST),
        ("MONOTONIC", readings.monotonic, MOST_SINCE_BOOT),
        ("BOOTTIME", readings.boottime, MOST_SINCE_BOOT),
    ] {
        if !(0..=most).contains(&nanos) {
            let side = if nanos < 0 {
                "below zero"
            } else {
                "beyond the limit of Linux"
            };
            return Err(Error::new(format!(
                "{whose} CLOCK_{clock} is {side}; save the clocks anew"
            )));
        }
    }
    Ok(())
}

fn not_opened(name: &str, error: io::Error) -> Error {
    let is_elsewhere = matches!(
        error.raw_os_error(),
        Some(libc::ENOENT | libc::ENOTDIR | libc::EISDIR)
    );
    let error = Error::os(format!("cannot read `{name}`"), error);
    match is_elsewhere {
        true => error.with_way_out("name a file that `elsewhen save` has written"),
        false => error,
    }
}

fn not_read(error: &serde_json::Error) -> Error {
    Error::new(match error.is_eof() {
        true => format!(
            "it is cut off at line {}; save the clocks anew",
            error.line()
        ),
        false => format!(
            "it is damaged, or no file of clocks: {}; save the clocks anew",
            one_line(&error.to_string())
        ),
    })
}

#[cfg(test)]
#[path = "saved_tests.rs"]
mod tests;
