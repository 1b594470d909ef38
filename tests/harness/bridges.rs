//! The guest `bridges`, which waits by the functions of a C library.

use super::Missing;
use super::debian13;
use super::guests::{self, Kind};
use super::process::{Finished, Run};
use std::ffi::OsString;

/// A C library to wait by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Libc {
    /// The machine's glibc.
    Here,
    /// Debian 13's glibc.
    Debian13,
    /// musl, linked statically.
    Musl,
}

/// The guest `bridges` with one of the libraries.
pub(crate) struct Program {
    words: Vec<OsString>,
    _copied: Option<debian13::Copied>,
}

impl Program {
    pub(crate) fn with(libc: Libc) -> Result<Self, Missing> {
        let plain = |kind| guests::build("bridges", kind);
        let (words, copied) = match libc {
            Libc::Here => (vec![plain(Kind::GlibcAsCpp)?.into()], None),
            Libc::Musl => (vec![plain(Kind::MuslStatic)?.into()], None),
            Libc::Debian13 => {
                let root = debian13::make()?;
                let copied = debian13::copy(&root, &plain(Kind::GlibcAsCpp)?)?;
                (copied.words.clone(), Some(copied))
            }
        };
        Ok(Self {
            words,
            _copied: copied,
        })
    }

    pub(crate) fn run(&self, run: &Run, args: &[&str]) -> Finished {
        self.run_through(run, &[], args)
    }

    /// Started there by these words.
    pub(crate) fn run_through(&self, run: &Run, first: &[&str], args: &[&str]) -> Finished {
        let mut words: Vec<OsString> = first.iter().map(Into::into).collect();
        words.extend(self.words.iter().cloned());
        words.extend(args.iter().map(Into::into));
        run.clone().limit(300).run(&words).succeeded()
    }
}

/// In a namespace whose clocks are all shifted, each by something else.
pub(crate) fn inside() -> Run {
    Run::inside(&[
        "--backend=guest",
        "--realtime=+400d",
        "--monotonic=+100d",
        "--boottime=+200d",
    ])
}

/// The fields of a guest's lines.
pub(crate) fn lines(finished: &Finished) -> Vec<Vec<&str>> {
    let lines = finished.stdout.lines();
    lines.map(|line| line.split(' ').collect()).collect()
}
