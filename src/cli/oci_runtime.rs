//! `elsewhen oci-runtime`: a container runtime that gives containers their clocks and is then the real one.

use std::ffi::{OsStr, OsString};

use super::Failure;
use super::args::OciRuntimeArgs;
use crate::Error;
use crate::oci::runtime::{self, Settings};

/// Carries out `elsewhen oci-runtime`; returns only if there is no runtime to become.
pub(super) fn oci_runtime(args: OciRuntimeArgs) -> std::result::Result<i32, Failure> {
    let mut settings = Settings::new();
    let options = [
        ("runtime", args.runtime),
        ("socket", args.socket),
        ("realtime", args.realtime),
        ("tai", args.tai),
        ("monotonic", args.monotonic),
        ("boottime", args.boottime),
        ("proc", args.proc),
    ];
    for (name, value) in options {
        if let Some(value) = value {
            settings.set(name, value).map_err(Error::new)?;
        }
    }
    Err(become_runtime(settings, args.args))
}

/// What there is to do if elsewhen has been called by the name of a runtime; all arguments are then the runtime's.
pub(super) fn by_name(
    mut args: impl Iterator<Item = OsString>,
) -> Option<std::result::Result<i32, Failure>> {
    let name = args.next()?;
    let runtime = runtime::called_as(&name)?;
    let mut settings = Settings::new();
    settings.runtime = Some(runtime).filter(|name| name != OsStr::new(""));
    Some(Err(become_runtime(settings, args.collect())))
}

fn become_runtime(settings: Settings, args: Vec<OsString>) -> Failure {
    let refusal = runtime::become_runtime(settings, args);
    Failure {
        error: Error::new(refusal.message),
        status: refusal.status,
    }
}
