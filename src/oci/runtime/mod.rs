//! A runtime in front of the real one, for engines that lose what a seccomp profile says.
//!
//! When a container is made (`create`, `run`), its configuration gets the rules and the place of the agent; then, as
//! for everything else, this process becomes the real runtime, whose signals, descriptors, log and exit status are
//! so its own. The runtime is never in a shifted namespace: what `/proc/PID/stat` says of a start time differs there,
//! and runtimes tell by it whether a container lives.

mod arguments;
mod document;
mod features;
mod file;
mod find;
mod prepare;
mod profile;
mod report;
mod time_offsets;

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::line::shown;
use crate::oci::offsets::Words;
use crate::supervisor::{EXIT_FAILED, Outer};
use crate::{Error, kernel};
use arguments::Arguments;

/// What the options say.
#[derive(Debug)]
pub(crate) struct Settings {
    /// The real runtime, a name or a path.
    pub(crate) runtime: Option<OsString>,
    /// The agent's socket, an absolute path; by default it is in the user's directory.
    socket: Option<PathBuf>,
    words: Words,
}

/// Why there is no runtime, and the exit status that says so.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) message: String,
    pub(crate) status: i32,
}

impl Settings {
    /// None said: the usual runtime and agent, and no offsets.
    pub(crate) fn new() -> Self {
        Self {
            runtime: None,
            socket: None,
            words: Words::default(),
        }
    }

    /// Takes what the option `--NAME VALUE` says.
    ///
    /// # Errors
    /// There is no such option, or it cannot have this value.
    pub(crate) fn set(&mut self, name: &str, value: OsString) -> Result<(), String> {
        let option = || format!("`--{name} {}`", shown(&value));
        match name {
            "runtime" => self.runtime = Some(value),
            "socket" if value.as_bytes().starts_with(b"/") => self.socket = Some(value.into()),
            // The runtime and the agent have other working directories.
            "socket" => return Err(format!("{}: write an absolute path", option())),
            name => match self.words.place(name) {
                Some(place) => *place = Some(value.to_string_lossy().into_owned()),
                None => {
                    return Err(format!(
                        "unknown option `--{}`; see `elsewhen oci-runtime --help`",
                        shown(name.as_ref())
                    ));
                }
            },
        }
        Ok(())
    }
}

/// The runtime whose part elsewhen is to play when it is called `name`: `elsewhen-runc`, or just `runc` or `crun`.
pub(crate) fn called_as(name: &OsStr) -> Option<OsString> {
    let name = Path::new(name).file_name()?;
    let runtime = name.as_bytes().strip_prefix(b"elsewhen-");
    match runtime {
        Some(runtime) => Some(OsStr::from_bytes(runtime).to_owned()),
        None if name == "runc" || name == "crun" => Some(name.to_owned()),
        None => None,
    }
}

/// Becomes the real runtime with these arguments; returns only if that cannot be.
pub(crate) fn become_runtime(mut settings: Settings, words: Vec<OsString>) -> Refusal {
    let arguments = Arguments::read(words);
    let refusal = match prepared(&mut settings, &arguments) {
        Ok(runtime) => {
            let error = kernel::exec(runtime.as_os_str(), &arguments.words);
            let status = error.exit_status();
            Refusal {
                message: Error::from(error).to_string(),
                status,
            }
        }
        Err(refusal) => refusal,
    };
    if let Some(log) = &arguments.log {
        report::append(log, arguments.log_is_json, &refusal.message);
    }
    refusal
}

/// The real runtime's file, after all that has to be done before it starts.
fn prepared(settings: &mut Settings, arguments: &Arguments) -> Result<PathBuf, Refusal> {
    for (name, value) in &arguments.ours {
        settings.set(name, value.clone()).map_err(failed)?;
    }
    let runtime = find::find(settings.runtime.as_deref()).map_err(|error| Refusal {
        message: error.message,
        status: error.status,
    })?;
    if let Some(making) = &arguments.makes {
        if is_shifted() {
            return Err(failed(
                "the container engine runs in a time namespace of elsewhen's, where runtimes take living \
                 containers for dead ones; start the engine outside"
                    .to_owned(),
            ));
        }
        prepare::prepare(making, settings, &runtime).map_err(failed)?;
    }
    Ok(runtime)
}

/// Whether this process is in a tree of `elsewhen run`.
fn is_shifted() -> bool {
    matches!(Outer::find(), Ok(Some(_)))
}

fn failed(message: String) -> Refusal {
    Refusal {
        message,
        status: EXIT_FAILED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_it_is_called_by_tells_the_runtime() {
        let runtime = |name: &str| called_as(name.as_ref());
        assert_eq!(runtime("/usr/bin/elsewhen-runc"), Some("runc".into()));
        assert_eq!(runtime("elsewhen-crun"), Some("crun".into()));
        assert_eq!(runtime("/opt/bin/runc"), Some("runc".into()));
        assert_eq!(runtime("/usr/bin/elsewhen"), None);
        assert_eq!(runtime("elsewhen-"), Some("".into()));
        assert_eq!(runtime(""), None);
    }

    #[test]
    fn options_are_checked_when_they_are_given() {
        let mut settings = Settings::new();
        assert!(settings.set("realtime", "+1y".into()).is_ok());
        let table = [
            ("socket", "agent.sock", "write an absolute path"),
            ("realtine", "+1y", "unknown option `--realtine`"),
        ];
        for (name, value, expected) in table {
            let Err(error) = settings.set(name, value.into()) else {
                panic!("{name} {value}")
            };
            assert!(error.contains(expected), "{error}");
        }
    }
}
