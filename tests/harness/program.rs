//! A real program that tells the time, and where to find what it told.

use std::ffi::{OsStr, OsString};
use std::path::Path;

type Step = fn(&Path) -> String;

/// A program to be run in every way of starting one.
pub(crate) struct Program {
    /// What to call it in a failure.
    pub(crate) name: &'static str,
    /// The command; the first word is an absolute path.
    pub(crate) argv: Vec<OsString>,
    /// For an interpreter: the text of a script that does the same, without its first line.
    pub(crate) script: Option<&'static str>,
    /// Prepares the working directory, on the host.
    pub(crate) prepare: Option<Step>,
    /// Finds the readings after the run, on the host; otherwise they are the standard output.
    pub(crate) readings: Option<Step>,
}

impl Program {
    /// A command that prints the time of day.
    pub(crate) fn new<S: AsRef<OsStr>>(name: &'static str, first: &Path, rest: &[S]) -> Self {
        let mut argv = vec![first.as_os_str().to_owned()];
        argv.extend(rest.iter().map(|w| w.as_ref().to_owned()));
        Self {
            name,
            argv,
            script: None,
            prepare: None,
            readings: None,
        }
    }

    /// With a script for the interpreter.
    pub(crate) fn with_script(mut self, script: &'static str) -> Self {
        self.script = Some(script);
        self
    }

    /// With a working directory made ready on the host.
    pub(crate) fn prepared_by(mut self, prepare: Step) -> Self {
        self.prepare = Some(prepare);
        self
    }

    /// With readings found on the host, in the working directory.
    pub(crate) fn read_by(mut self, readings: Step) -> Self {
        self.readings = Some(readings);
        self
    }
}
