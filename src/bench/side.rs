//! The worlds that a program can run in.

use std::path::PathBuf;

use super::reader::Way;
use crate::{Error, kernel};

/// A world to measure in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Outside of every namespace.
    Host,
    /// The same while many namespaces stand on the machine.
    Crowded,
    /// In a time namespace of the kernel.
    Kernel,
    /// In a namespace of elsewhen.
    Inside,
    /// The same with its supervisor on other CPUs than the program.
    Across,
    /// Under libfaketime, the library that programs are made to load.
    Libfaketime,
    /// Outside, with every read a system call.
    SystemCall,
    /// Under a filter with one rule that lets all these calls through, as in any container.
    Filtered,
    /// Under elsewhen's filter, with a supervisor that only lets each call continue.
    Notified,
}

/// Where libfaketime's own `make install` and the distributions put it.
const LIBRARY_DIRECTORIES: [&str; 6] = [
    "/usr/lib/x86_64-linux-gnu/faketime",
    "/usr/lib64/faketime",
    "/usr/lib/faketime",
    "/usr/local/lib/x86_64-linux-gnu/faketime",
    "/usr/local/lib64/faketime",
    "/usr/local/lib/faketime",
];

impl Side {
    pub(crate) const ALL: [Self; 9] = [
        Self::Host,
        Self::Crowded,
        Self::Kernel,
        Self::Inside,
        Self::Across,
        Self::Libfaketime,
        Self::SystemCall,
        Self::Filtered,
        Self::Notified,
    ];

    /// Its name in arguments and reports.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Crowded => "crowded",
            Self::Kernel => "kernel",
            Self::Inside => "inside",
            Self::Across => "across",
            Self::Libfaketime => "libfaketime",
            Self::SystemCall => "system_call",
            Self::Filtered => "filtered",
            Self::Notified => "notified",
        }
    }

    /// What it is, for people.
    pub(super) fn title(self) -> &'static str {
        match self {
            Self::Host => "the host",
            Self::Crowded => "the host while 100 namespaces run",
            Self::Kernel => "a time namespace of the kernel",
            Self::Inside => "a namespace of elsewhen",
            Self::Across => "a namespace of elsewhen, its supervisor on another CPU",
            Self::Libfaketime => "libfaketime",
            Self::SystemCall => "system calls on the host",
            Self::Filtered => "a seccomp filter with one rule",
            Self::Notified => "a supervisor that only says yes",
        }
    }

    pub(crate) fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }

    /// How programs in it read clocks.
    pub(super) fn way(self) -> Way {
        match self {
            Self::Libfaketime => Way::Libc,
            Self::SystemCall => Way::SystemCall,
            _ => Way::Vdso,
        }
    }

    /// Why it cannot be had on this machine, if it cannot.
    pub(super) fn absence(self) -> Option<String> {
        match self {
            Self::Kernel => kernel::probe()
                .err()
                .map(|error| Error::os("cannot make a time namespace", error).to_string()),
            Self::Libfaketime if libfaketime().is_none() => {
                Some("`libfaketime.so.1` is not installed".to_owned())
            }
            _ => None,
        }
    }
}

/// The library, if it is installed.
pub(super) fn libfaketime() -> Option<PathBuf> {
    LIBRARY_DIRECTORIES
        .iter()
        .map(|directory| PathBuf::from(directory).join("libfaketime.so.1"))
        .find(|file| file.is_file())
}
