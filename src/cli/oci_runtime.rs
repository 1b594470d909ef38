//! `elsewhen oci-runtime`: a container runtime that gives containers their clocks and is then the real one.

use std::ffi::{OsStr, OsString};

use super::Failure;
use super::clocks::ClockArgs;
use crate::Error;
use crate::oci::runtime::{self, Settings};

/// Be a container runtime that gives containers their clocks, and then the real runtime
#[derive(Debug, clap::Args)]
#[command(
    after_help = OCI_RUNTIME,
    override_usage = "elsewhen oci-runtime [OPTIONS] [--] [ARG...]",
    mut_arg("realtime", |realtime| {
        realtime.help("Where CLOCK_REALTIME stands in containers that do not say it themselves")
    })
)]
pub(crate) struct OciRuntimeArgs {
    /// The real runtime; by default `runc` or `crun`, whichever is there
    #[arg(long, value_name = "NAME|PATH")]
    pub(crate) runtime: Option<OsString>,

    /// The socket of `elsewhen agent`, as an absolute path; by default `agent.sock` in the directory
    /// of the user's namespaces, `/run/elsewhen` for root
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<OsString>,

    #[command(flatten)]
    pub(crate) clocks: ClockArgs,

    /// Whether files under /proc show the container's clocks
    #[arg(long, value_name = "on|off")]
    pub(crate) proc: Option<OsString>,

    /// The runtime's own arguments
    #[arg(value_name = "ARG", trailing_var_arg = true, num_args = 0..)]
    pub(crate) args: Vec<OsString>,
}

const OCI_RUNTIME: &str = "\
When a container is made (`create`, `run`), its bundle's config.json gets seccomp rules and the
agent's socket, if any clock is to be shifted. Everything else goes to the real runtime as it is.
WHEN and BY are as of `elsewhen run`. For one container they are its annotations
`org.elsewhen.realtime`, `.tai`, `.monotonic`, `.boottime`, `.name` and `.proc`, or else variables
`ELSEWHEN_REALTIME` and so on in its environment; `linux.timeOffsets` of the OCI specification is
understood too.

Engines run one file with the runtime's arguments: give them a link `elsewhen-runc` or
`elsewhen-crun` to elsewhen, or a script. Behind a link, options of elsewhen's are written
`--elsewhen-NAME=VALUE` before the runtime's command.

Exit status:
  the runtime's; 125 if elsewhen itself failed, 126 if the runtime cannot be run, 127 if it cannot
  be found; then the runtime's log has the message too

Examples:
  ln -s elsewhen /usr/bin/elsewhen-runc
  podman --runtime /usr/bin/elsewhen-runc run --annotation org.elsewhen.realtime=+1y IMAGE date
  elsewhen oci-runtime --realtime +1y -- run --bundle DIR ID";

/// Carries out `elsewhen oci-runtime`; returns only if there is no runtime to become.
pub(super) fn oci_runtime(args: OciRuntimeArgs) -> std::result::Result<i32, Failure> {
    let mut settings = Settings::new();
    let options = [
        ("runtime", args.runtime.as_deref()),
        ("socket", args.socket.as_deref()),
        ("proc", args.proc.as_deref()),
    ];
    for (name, value) in args.clocks.by_name().into_iter().chain(options) {
        if let Some(value) = value {
            settings.set(name, value.to_owned()).map_err(Error::new)?;
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
