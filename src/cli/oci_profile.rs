//! `elsewhen oci-profile`: a container's seccomp profile.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde_json::{Map, Value};

use super::args::{Form, OciProfileArgs, Proc};
use super::{Failure, print_json};
use crate::filter::Shifted;
use crate::line::shown;
use crate::oci::profile::{self, Base, Conditions, Order, version};
use crate::reading::{self, Asked};
use crate::{Error, Result};

/// What a socket's address has room for (`struct sockaddr_un`), less its end.
const LONGEST_PATH: usize = 107;

/// A profile of a megabyte would be none.
const LARGEST_BASE: u64 = 1 << 20;

/// The capabilities that Docker gives by default; containerd gives these too, and Podman fewer of them.
const DEFAULT_CAPABILITIES: [&str; 14] = [
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Carries out `elsewhen oci-profile`.
pub(super) fn oci_profile(args: &OciProfileArgs) -> std::result::Result<i32, Failure> {
    let asked = args.clocks.asked();
    // What cannot be understood is refused here, and not when a container starts.
    asked.offsets(&reading::now()?)?;
    let order = Order {
        socket: socket(&args.socket)?.to_owned(),
        metadata: metadata(&asked, args.proc),
        shifted: shifted(&asked),
        has_views: args.proc == Proc::On,
        form: match args.format {
            Form::Docker => profile::Form::Docker,
            Form::Oci => profile::Form::Oci,
        },
    };
    let conditions = conditions(args)?;
    let base = match &args.base {
        Some(file) => Base::read(&read(file)?, &conditions).map_err(|why| about(file, &why))?,
        None => Base::allow_all(),
    };
    let profile = order.profile(&base);
    let profile = match &args.base {
        Some(file) => profile.map_err(|why| about(file, &why))?,
        None => profile.map_err(Error::new)?,
    };
    print_json(&profile)?;
    Ok(0)
}

/// An absolute path that a socket can have.
fn socket(path: &Path) -> Result<&Path> {
    let why = if !path.is_absolute() {
        "a runtime needs an absolute path; write one, as `/run/elsewhen/agent.sock`"
    } else if path.as_os_str().len() > LONGEST_PATH {
        "a socket's path has at most 107 bytes; write a shorter one"
    } else if path.to_str().is_none() {
        "a profile is UTF-8; write a path in UTF-8"
    } else {
        return Ok(path);
    };
    let shown = shown(path.as_os_str());
    Err(Error::new(format!("`--socket {shown}`: {why}")))
}

/// The clocks whose calls are looked at: all, unless some are named.
fn shifted(asked: &Asked<'_>) -> Shifted {
    let is_open = metadata_clocks(asked).next().is_none();
    Shifted {
        // It is the clock that can be set.
        realtime: true,
        monotonic: is_open || asked.monotonic.is_some(),
        boottime: is_open || asked.boottime.is_some(),
    }
}

/// The clocks that are given, with the words that say where they stand.
fn metadata_clocks<'a>(asked: &Asked<'a>) -> impl Iterator<Item = (&'static str, String)> + 'a {
    let clocks = [
        ("realtime", asked.realtime),
        ("tai", asked.tai),
        ("monotonic", asked.monotonic),
        ("boottime", asked.boottime),
    ];
    let given = clocks
        .into_iter()
        .filter_map(|(clock, value)| Some((clock, value?)));
    given.map(|(clock, value)| (clock, value.to_string_lossy().into_owned()))
}

/// What the agent is told with each container.
fn metadata(asked: &Asked<'_>, proc: Proc) -> String {
    let mut told = Map::new();
    told.insert("elsewhen".to_owned(), 1.into());
    for (clock, words) in metadata_clocks(asked) {
        told.insert(clock.to_owned(), words.into());
    }
    let proc = match proc {
        Proc::On => "on",
        Proc::Off => "off",
    };
    told.insert("proc".to_owned(), proc.into());
    Value::Object(told).to_string()
}

/// What entries of the base may depend on.
fn conditions(args: &OciProfileArgs) -> Result<Conditions> {
    for capability in &args.cap {
        let is_plain = |b: u8| b.is_ascii_uppercase() || b == b'_' || b.is_ascii_digit();
        if !capability.starts_with("CAP_") || !capability.bytes().all(is_plain) {
            return Err(Error::new(format!(
                "`--cap {}`: no capability; write one as `CAP_SYS_PTRACE`",
                shown(capability.as_ref())
            )));
        }
    }
    if args.format == Form::Docker && !args.cap.is_empty() {
        return Err(Error::new(
            "`--cap` goes with `--format oci`: Docker and Podman look at a container's \
             capabilities themselves; leave it out",
        ));
    }
    let given = DEFAULT_CAPABILITIES.map(str::to_owned).into_iter();
    let given: BTreeSet<_> = given.chain(args.cap.iter().cloned()).collect();
    let release = rustix::system::uname();
    let kernel = release.release().to_str().ok().and_then(version);
    Ok(Conditions {
        capabilities: (args.format == Form::Oci).then_some(given),
        kernel: kernel.unwrap_or((5, 0)),
    })
}

fn read(file: &Path) -> Result<String> {
    let name = || shown(file.as_os_str());
    let failed = |error| Error::os(format!("cannot read `--base {}`", name()), error);
    let opened = File::open(file).map_err(failed)?;
    let mut text = Vec::new();
    opened
        .take(LARGEST_BASE + 1)
        .read_to_end(&mut text)
        .map_err(failed)?;
    if text.len() as u64 > LARGEST_BASE {
        return Err(about(
            file,
            "longer than a megabyte; give a seccomp profile",
        ));
    }
    String::from_utf8(text).map_err(|_| about(file, "not UTF-8; give a seccomp profile"))
}

/// An error that names the base.
fn about(file: &Path, why: &str) -> Error {
    Error::new(format!("`--base {}`: {why}", shown(file.as_os_str())))
}
