//! The words that an engine gives to a runtime: which of them matter here.
//!
//! runc takes `-name` as well as `--name` (Go's flag package), crun what getopt_long(3) takes.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// Global options of runc and crun that have a value.
const WITH_VALUE: &[&str] = &[
    "log",
    "log-format",
    "log-level",
    "root",
    "criu",
    "rootless",
    "cgroup-manager",
];

/// Those without.
const WITHOUT_VALUE: &[&str] = &[
    "debug",
    "systemd-cgroup",
    "help",
    "h",
    "version",
    "v",
    "usage",
];

/// Options of `create`, `run` and `restore` that have a value.
const WITH_VALUE_LATER: &[&str] = &[
    "bundle",
    "b",
    "config",
    "f",
    "console-socket",
    "pid-file",
    "pidfd-socket",
    "preserve-fds",
    "image-path",
    "work-path",
    "manage-cgroups-mode",
    "empty-ns",
    "lsm-profile",
    "lsm-mount-context",
];

/// What runtimes can be asked to do.
const COMMANDS: &[&str] = &[
    "create",
    "run",
    "start",
    "exec",
    "state",
    "kill",
    "delete",
    "list",
    "ps",
    "pause",
    "resume",
    "update",
    "events",
    "checkpoint",
    "restore",
    "spec",
    "features",
    "init",
    "help",
    "mounts",
];

/// Words for a runtime that begin so are for elsewhen: `podman --runtime-flag` has no other place.
const OURS: &[u8] = b"--elsewhen-";

/// What matters of a runtime's arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Arguments {
    /// All of them, but for elsewhen's.
    pub(super) words: Vec<OsString>,
    /// Elsewhen's, without what they begin with: a name and a value.
    pub(super) ours: Vec<(String, OsString)>,
    /// Where the runtime writes its messages.
    pub(super) log: Option<PathBuf>,
    /// Whether it writes them as JSON.
    pub(super) log_is_json: bool,
    /// A container is to be made from a bundle.
    pub(super) makes: Option<Making>,
}

/// What a container is made from.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Making {
    /// The bundle's directory; the working directory if it is not named.
    pub(super) bundle: Option<PathBuf>,
    /// The name of its configuration's file, which crun lets one choose.
    pub(super) config: Option<PathBuf>,
    /// CRIU is to restore it: its clocks come from there.
    pub(super) restores: bool,
}

impl Arguments {
    /// Reads a runtime's arguments.
    pub(super) fn read(words: Vec<OsString>) -> Self {
        let mut read = Self::default();
        let (ours, words) = take_ours(words);
        (read.ours, read.words) = (ours, words);
        let mut rest = read.words.iter().map(OsString::as_os_str);
        let mut is_value_possible = false;
        while let Some(word) = rest.next() {
            let Some((name, value)) = option(word) else {
                match word.to_str() {
                    Some(command @ ("create" | "run" | "restore")) => {
                        read.makes = Some(Making {
                            restores: command == "restore",
                            ..making(rest)
                        });
                        return read;
                    }
                    // What follows an option that is not known here may be its value.
                    Some(command) if is_value_possible && !COMMANDS.contains(&command) => {
                        is_value_possible = false;
                        continue;
                    }
                    _ => return read,
                }
            };
            is_value_possible =
                value.is_none() && !WITHOUT_VALUE.contains(&name) && !WITH_VALUE.contains(&name);
            let value = match WITH_VALUE.contains(&name) {
                true => value.or_else(|| rest.next()),
                false => value,
            };
            match name {
                "log" => read.log = value.map(PathBuf::from),
                "log-format" => read.log_is_json = value == Some("json".as_ref()),
                _ => {}
            }
        }
        read
    }
}

/// What `create`, `run` or `restore` is told.
fn making<'a>(mut rest: impl Iterator<Item = &'a OsStr>) -> Making {
    let mut making = Making::default();
    while let Some(word) = rest.next() {
        if word == "--" {
            break;
        }
        // crun takes options behind the container's name too.
        let Some((name, value)) = option(word) else {
            continue;
        };
        let (name, value) = attached(word, name, value);
        let value = match WITH_VALUE_LATER.contains(&name) {
            true => value.or_else(|| rest.next()),
            false => value,
        };
        match name {
            "bundle" | "b" => making.bundle = value.map(PathBuf::from),
            "config" | "f" => making.config = value.map(PathBuf::from),
            _ => {}
        }
    }
    making
}

/// An option's name without its hyphens, and its value if that is in the same word.
fn option(word: &OsStr) -> Option<(&str, Option<&OsStr>)> {
    let bytes = word.as_bytes();
    let bare = bytes.strip_prefix(b"--").or(bytes.strip_prefix(b"-"))?;
    if bare.is_empty() {
        return None;
    }
    let (name, value) = match bare.iter().position(|&byte| byte == b'=') {
        Some(at) => (&bare[..at], Some(OsStr::from_bytes(&bare[at + 1..]))),
        None => (bare, None),
    };
    // A name that is not UTF-8 is none that matters.
    Some((std::str::from_utf8(name).unwrap_or_default(), value))
}

/// `-bDIR`, as getopt(3) takes it.
fn attached<'a>(
    word: &'a OsStr,
    name: &'a str,
    value: Option<&'a OsStr>,
) -> (&'a str, Option<&'a OsStr>) {
    let bytes = word.as_bytes();
    let is_short = !bytes.starts_with(b"--") && matches!(bytes.get(1), Some(b'b' | b'f'));
    if is_short && bytes.len() > 2 && bytes[2] != b'=' && !WITH_VALUE_LATER.contains(&name) {
        return (&name[..1], Some(OsStr::from_bytes(&bytes[2..])));
    }
    (name, value)
}

/// Parts elsewhen's words, which stand before the runtime's command, from the runtime's.
fn take_ours(words: Vec<OsString>) -> (Vec<(String, OsString)>, Vec<OsString>) {
    let mut ours = Vec::new();
    let mut is_over = false;
    let kept = words
        .into_iter()
        .filter(|word| {
            is_over |= word.to_str().is_some_and(|word| COMMANDS.contains(&word));
            let Some(word) = word.as_bytes().strip_prefix(OURS).filter(|_| !is_over) else {
                return true;
            };
            let (name, value) = match word.iter().position(|&byte| byte == b'=') {
                Some(at) => (&word[..at], &word[at + 1..]),
                None => (word, &[][..]),
            };
            let name = String::from_utf8_lossy(name).into_owned();
            ours.push((name, OsString::from_vec(value.to_vec())));
            false
        })
        .collect();
    (ours, kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Arguments {
        Arguments::read(line.split_whitespace().map(OsString::from).collect())
    }

    fn bundle(line: &str) -> Option<PathBuf> {
        read(line).makes.and_then(|making| making.bundle)
    }

    #[test]
    fn the_bundle_is_found_in_what_engines_write() {
        let lines = [
            "--root /run/x --log /b/log.json --log-format json create --bundle /b --pid-file /b/p ID",
            "--root=/run/x --systemd-cgroup create --bundle=/b ID",
            "-root /run/x -log create create -b /b ID",
            "--cgroup-manager cgroupfs run -b=/b ID",
            "create -b/b ID",
            "create ID --bundle /b",
            "create --pid-file --bundle --bundle /b ID",
            "--new-option value create --bundle /b ID",
            "--new-option create --bundle /b ID",
            "--rootless true --debug run --no-pivot --bundle /b ID",
        ];
        for line in lines {
            assert_eq!(bundle(line), Some("/b".into()), "{line}");
        }
        assert_eq!(read("create ID").makes, Some(Making::default()));
        assert_eq!(bundle("create -- --bundle"), None);
    }

    #[test]
    fn what_makes_no_container_is_left_alone() {
        let lines = [
            "",
            "--version",
            "features",
            "--root /run/x exec -d --process /p ID run",
            "--root run --log create state ID",
            "start run",
            "unknown create",
        ];
        for line in lines {
            assert_eq!(read(line).makes, None, "{line}");
        }
    }

    #[test]
    fn a_restore_is_told_from_a_start() {
        let line = "--criu /c restore --detach --image-path --bundle --bundle /b --work-path /w ID";
        let making = read(line).makes.unwrap_or_default();
        assert_eq!((making.restores, making.bundle), (true, Some("/b".into())));
        assert!(
            !read("run --bundle /b restore")
                .makes
                .unwrap_or_default()
                .restores
        );
    }

    #[test]
    fn where_the_runtime_logs_is_known_before_its_command() {
        let arguments = read("--log=/l --log-format json state --log x");
        assert_eq!(arguments.log, Some("/l".into()));
        assert!(arguments.log_is_json);
    }

    #[test]
    fn crun_can_be_given_the_name_of_the_configuration() {
        let making = read("run -f other.json ID").makes.unwrap_or_default();
        assert_eq!(making.config, Some("other.json".into()));
    }

    #[test]
    fn words_for_elsewhen_do_not_reach_the_runtime() {
        let arguments = read("--elsewhen-realtime=+1y --root /r create --elsewhen-x ID");
        assert_eq!(arguments.ours, [("realtime".to_owned(), "+1y".into())]);
        assert_eq!(
            arguments.words,
            ["--root", "/r", "create", "--elsewhen-x", "ID"]
        );
    }
}
