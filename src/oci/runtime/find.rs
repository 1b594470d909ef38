//! The real runtime: where it is.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::line::shown;

/// Tried in this order where nobody names a runtime.
const USUAL: &[&str] = &["runc", "crun"];

/// Where administrators' programs are, which are not in every search path.
const SBIN: &[&str] = &[
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Why there is none: a message, and the exit status that env(1) would give.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotFound {
    pub(super) message: String,
    pub(super) status: i32,
}

/// The file of the runtime `name`, a name or a path; of the usual ones if there is no name.
///
/// Elsewhen itself is passed over, so that a link `runc` to it can stand before the real one.
pub(super) fn find(name: Option<&OsStr>) -> Result<PathBuf, NotFound> {
    let names: Vec<&OsStr> = match name {
        Some(name) => vec![name],
        None => USUAL.iter().map(OsStr::new).collect(),
    };
    let mut refused = None;
    for name in &names {
        for file in places(name) {
            match look(&file) {
                Look::Program => return Ok(file),
                Look::Absent => {}
                Look::Refused(why) => {
                    refused = refused.or(Some(format!("`{}` {why}", shown(file.as_os_str()))));
                }
            }
        }
    }
    let names: Vec<String> = names
        .iter()
        .map(|name| format!("`{}`", shown(name)))
        .collect();
    let names = names.join(" or ");
    Err(match refused {
        Some(why) => NotFound {
            message: format!(
                "cannot run the OCI runtime {names}: {why}; name the real one with `--runtime`"
            ),
            status: 126,
        },
        None => NotFound {
            message: format!(
                "cannot find the OCI runtime {names}; install it, or name another with `--runtime`"
            ),
            status: 127,
        },
    })
}

/// Where a runtime may be: execvp(3)'s places, then those of administrators' programs.
fn places(name: &OsStr) -> Vec<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return vec![name.into()];
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|directory| directory.is_absolute())
        .chain(SBIN.iter().map(PathBuf::from))
        .map(|directory| directory.join(name))
        .collect()
}

/// What is found at a place.
enum Look {
    Program,
    Absent,
    Refused(&'static str),
}

fn look(file: &Path) -> Look {
    let Ok(found) = fs::metadata(file) else {
        return Look::Absent;
    };
    let own = fs::metadata("/proc/self/exe").map(|own| (own.dev(), own.ino()));
    if own.is_ok_and(|own| own == (found.dev(), found.ino())) {
        return Look::Refused("is elsewhen itself");
    }
    match found.is_file() && found.permissions().mode() & 0o111 != 0 {
        true => Look::Program,
        false => Look::Refused("is no program that may be executed"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_runtime_that_is_not_there_is_127_and_one_that_cannot_be_run_126() {
        let absent = find(Some("no-such-runtime".as_ref()));
        assert_eq!(absent.map_err(|error| error.status), Err(127));
        let directory = find(Some("/etc".as_ref()));
        assert_eq!(directory.map_err(|error| error.status), Err(126));
    }

    #[test]
    fn elsewhen_is_not_its_own_runtime() {
        let found = find(Some("/proc/self/exe".as_ref()));
        let Err(error) = found else {
            panic!("{found:?}")
        };
        assert!(error.message.contains("elsewhen itself"), "{error:?}");
    }
}
