//! Becoming the command.
//!
//! Not `std::process::Command::exec`, which unblocks all signals and resets `SIGPIPE` on the way:
//! the command is to find both as the caller left them.
#![expect(unsafe_code, reason = "execvp(3)")]

use std::ffi::{CString, OsStr, OsString};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::Error;
use crate::line::shown;

/// Why a command could not be run.
#[derive(Debug)]
pub(crate) struct ExecError {
    command: OsString,
    source: io::Error,
}

impl ExecError {
    /// 127 if there is no such command and 126 if there is one, as for env(1).
    pub(crate) fn exit_status(&self) -> i32 {
        match self.source.raw_os_error() {
            Some(libc::ENOENT) => 127,
            _ => 126,
        }
    }
}

impl From<ExecError> for Error {
    fn from(error: ExecError) -> Self {
        let command = shown(&error.command);
        let named_by_path = error.command.as_bytes().contains(&b'/');
        let cannot = Error::os(format!("cannot run `{command}`"), error.source);
        match cannot.errno() {
            Some(libc::ENOENT) if named_by_path && Path::new(&error.command).exists() => {
                cannot.with_way_out("its interpreter is missing: install the one that it names")
            }
            Some(libc::ENOENT) if named_by_path => cannot.with_way_out("check the path"),
            Some(libc::ENOENT) => cannot.with_way_out("check `PATH`, or give the command's path"),
            Some(libc::EACCES) => cannot.with_way_out("it must be a file that you may execute"),
            Some(libc::ENOEXEC) => cannot.with_way_out("it is no program for this machine"),
            _ => cannot,
        }
    }
}

/// Becomes `command`, looked for in `PATH` unless it holds a `/`; returns only if that fails.
pub(crate) fn exec(command: &OsStr, args: &[OsString]) -> ExecError {
    let error = |source| ExecError {
        command: command.to_owned(),
        source,
    };
    let strings: Result<Vec<CString>, _> = std::iter::once(command)
        .chain(args.iter().map(OsString::as_os_str))
        .map(|arg| CString::new(arg.as_bytes()))
        .collect();
    // Arguments of a process hold no NUL, so this is for other callers.
    let strings = match strings {
        Ok(strings) => strings,
        Err(_) => return error(io::Error::from_raw_os_error(libc::EINVAL)),
    };
    let argv: Vec<_> = strings
        .iter()
        .map(|arg| arg.as_ptr())
        .chain([std::ptr::null()])
        .collect();
    // SAFETY: `argv` ends in a null pointer, its strings in NUL, and both live through the call.
    unsafe { libc::execvp(argv[0], argv.as_ptr()) };
    error(io::Error::last_os_error())
}
