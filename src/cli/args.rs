//! The options, as clap reads them and as `--help` shows them.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::clocks::ClockArgs;

/// Time namespaces for Linux in user space: run a program at another time.
#[derive(Debug, Parser)]
#[command(name = "elsewhen", version, max_term_width = 100)]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(RunArgs),
    Exec(ExecArgs),
    Ls(LsArgs),
    Show(ShowArgs),
    Save(SaveArgs),
    Check(CheckArgs),
    CriuAction(CriuActionArgs),
    OciProfile(OciProfileArgs),
    OciRuntime(super::oci_runtime::OciRuntimeArgs),
    Bench(BenchArgs),
    Agent(AgentArgs),
    /// Keep a namespace for processes that are there, as standard input says
    #[command(hide = true)]
    Adopt,
    #[command(hide = true)]
    CriuKeeper(CriuKeeperArgs),
    #[command(hide = true)]
    BenchSide(BenchSideArgs),
    #[command(hide = true, subcommand)]
    BenchPart(BenchPart),
}

const WHEN_AND_BY: &str = "\
WHEN, an absolute time, which then ticks on, or a shift:
  2030-01-31T12:00:00Z           RFC 3339
  2030-01-31 12:00:00.5 UTC      time and zone may be left out; the zone is `TZ` by default
  2030-01-31 12:00 +01:00        another zone by its distance from UTC
  @1893456000.5                  seconds since 1970
  +10d, -1h30m, +2.5s, +1y2mo    units y mo w d h m s ms us ns, larger ones first
  +90, -2.5                      seconds
  A day has 24 hours; years and months follow the calendar of the local zone. A local time that
  the zone skips is refused, and of one that it has twice the first is meant.

BY, a shift as above, without years or months.

Exit status:
  that of COMMAND; 128+N if signal N ended it; 125 if elsewhen itself failed, 126 if COMMAND
  cannot be run, 127 if it cannot be found

Examples:
  elsewhen run --realtime '2030-01-01 12:00' date
  elsewhen run --realtime +10d -- make test
  elsewhen run --monotonic +100d --boottime +100d uptime
  elsewhen run --resume clocks.json --policy realtime=continue ./server
  TZ=Europe/Berlin elsewhen run --realtime '2030-03-31 01:59:50' sh";

/// Run a command, and all that it starts, at another time
#[derive(Debug, clap::Args)]
#[command(
    after_help = WHEN_AND_BY,
    override_usage = "elsewhen run [OPTIONS] [--] COMMAND [ARG...]",
    mut_arg("realtime", |realtime| realtime.help("Where CLOCK_REALTIME stands when COMMAND starts"))
)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) clocks: ClockArgs,

    /// Let the clocks of a file of `elsewhen save` go on; an option for a clock comes before it
    #[arg(long, value_name = "FILE")]
    pub(crate) resume: Option<PathBuf>,

    /// How a clock of that file goes on: `continue` from where it stood (MONOTONIC, BOOTTIME),
    /// `continue+gap` with the time between, or as the `host`'s (REALTIME, TAI)
    #[arg(
        long,
        value_name = "CLOCK=POLICY",
        requires = "resume",
        allow_hyphen_values = true
    )]
    pub(crate) policy: Vec<String>,

    /// Who keeps the clocks
    #[arg(long, value_enum, default_value_t = Backend::Auto)]
    pub(crate) backend: Backend,

    /// A name for the namespace, for `exec` and `show`: 1 to 64 of `A-Z a-z 0-9 . _ -`, a letter,
    /// digit or `_` first, not digits alone
    #[arg(long, value_name = "NAME", allow_hyphen_values = true)]
    pub(crate) name: Option<OsString>,

    /// Give each program the clocks before its first instruction, and refuse io_uring, whose
    /// absolute timeouts are on the host's clocks; starts take longer
    #[arg(long)]
    pub(crate) strict: bool,

    /// Whether files under /proc show the namespace's uptime, time of boot and start times, for
    /// which each open of a file is looked at (guest backend)
    #[arg(long, value_enum, default_value_t = Proc::On, value_name = "on|off", hide_possible_values = true)]
    pub(crate) proc: Proc,

    /// How clocks are read (guest backend): for tests and comparisons
    #[arg(long, value_enum, default_value_t = Reads::Direct, hide = true)]
    pub(crate) reads: Reads,

    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        required = true,
        num_args = 1..
    )]
    pub(crate) command: Vec<OsString>,
}

/// Run a command in a namespace that is running
#[derive(Debug, clap::Args)]
#[command(
    after_help = EXEC,
    override_usage = "elsewhen exec NAME|PID [--] COMMAND [ARG...]"
)]
pub(crate) struct ExecArgs {
    /// The namespace's name, or the number of a process in it
    #[arg(value_name = "NAME|PID")]
    pub(crate) handle: String,

    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        required = true,
        num_args = 1..
    )]
    pub(crate) command: Vec<OsString>,
}

const EXEC: &str = "\
COMMAND has the same clocks to the nanosecond, and goes on if what was there before ends. PID is any
process in the namespace, the `elsewhen run` that started it, or a process in a time namespace of
the kernel. Namespaces are joined by their owner and by root.

Exit status: as of `elsewhen run`; 125 also if there is no such namespace.

Examples:
  elsewhen run --realtime +10d --name staging -- ./server &
  elsewhen exec staging date";

/// List the namespaces that are running: yours, and for root everybody's
#[derive(Debug, clap::Args)]
#[command(after_help = "\
PID is the process that ends with the namespace; TIME is CLOCK_REALTIME in there, in the local zone.
OFFSETS are seconds from the host. Namespaces of the kernel have no name.")]
pub(crate) struct LsArgs {
    /// Print the list as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Show a running namespace: its clocks, offsets and processes
#[derive(Debug, clap::Args)]
#[command(override_usage = "elsewhen show [--json] NAME|PID")]
pub(crate) struct ShowArgs {
    /// The namespace's name, or the number of a process in it
    #[arg(value_name = "NAME|PID")]
    pub(crate) handle: String,

    /// Print it as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Give containers their own time: an agent for the seccomp profiles of container runtimes
#[derive(Debug, clap::Args)]
#[command(after_help = AGENT)]
pub(crate) struct AgentArgs {
    /// The UNIX socket to listen at, which profiles name as their `listenerPath`; by default
    /// `agent.sock` in the user's directory (`/run/elsewhen` for root), or what the service manager
    /// hands over
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,

    /// The permissions of the socket
    #[arg(long, value_name = "MODE", default_value = "0600")]
    pub(crate) mode: String,

    /// A user, by number, who may ask too, besides root and the agent's own; may be repeated
    #[arg(long = "user", value_name = "UID")]
    pub(crate) users: Vec<u32>,

    /// Write the counts to this file as they change, in the text format of Prometheus
    #[arg(long, value_name = "FILE")]
    pub(crate) metrics: Option<PathBuf>,
}

const AGENT: &str = "\
A container's clocks are what its annotations `org.elsewhen.realtime`, `.tai`, `.monotonic` and `.boottime`
(or `.resume` with the path of a file of clocks, and `.policy`) say, else the environment in its configuration (`ELSEWHEN_REALTIME` and so on), else the profile that
`elsewhen oci-profile` has made; in the words of `elsewhen run`. What is not understood is refused, and the log says
why: the runtime has started the container by then, and its program fails (ENOSYS) before it begins.
`elsewhen oci-runtime` refuses before that, and starts no container.

The log goes to the standard error, a line an event. SIGUSR1 has the counts logged. SIGTERM ends the
agent; containers go on, and their keepers with them.

Exit status: 0 after SIGTERM or SIGINT, 125 if the agent cannot start.";

/// Write a running namespace's clocks as they stand, for `elsewhen run --resume`
#[derive(Debug, clap::Args)]
#[command(
    after_help = SAVE,
    override_usage = "elsewhen save NAME|PID > FILE\n       elsewhen save --container ID > FILE"
)]
pub(crate) struct SaveArgs {
    /// The namespace's name, or the number of a process in it
    #[arg(value_name = "NAME|PID", required_unless_present = "container")]
    pub(crate) handle: Option<String>,
    /// A container's id, or its first twelve digits or more, instead
    #[arg(long, value_name = "ID", conflicts_with = "handle")]
    pub(crate) container: Option<String>,
}

const SAVE: &str = "\
The namespace goes on. The file is JSON: all four clocks, and the host's at the same moment. The
owner of a namespace and root may save its clocks.

Examples:
  elsewhen save staging > clocks.json
  elsewhen save --container 4f66ad9a0b2c > clocks.json
  elsewhen save staging | ssh elsewhere elsewhen run --resume /dev/stdin -- ./server";

/// Say what this machine offers, and which way each clock will take; or whether a container has clocks
/// of its own
#[derive(Debug, clap::Args)]
#[command(
    after_help = "\
Exit status: 0 if the guest backend can work here, or the container or process has clocks of its own;
1 if not.",
    override_usage = "elsewhen check [--json] [CONTAINER|PID]"
)]
pub(crate) struct CheckArgs {
    /// A container's id, or the first twelve digits or more of it; or the number of a process
    #[arg(value_name = "CONTAINER|PID")]
    pub(crate) handle: Option<String>,

    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Have clocks go on in what CRIU restores: an action script for `criu dump` and `criu restore`
#[derive(Debug, clap::Args)]
#[command(after_help = CRIU)]
pub(crate) struct CriuActionArgs {
    /// The file of clocks, if not `elsewhen-clocks.json` beside the images
    #[arg(long, value_name = "FILE")]
    pub(crate) clocks: Option<PathBuf>,

    /// How clocks go on: `CLOCK=POLICY`, and more behind commas. By default `continue` for monotonic and
    /// boottime, `host` for realtime and tai
    #[arg(long, value_name = "CLOCK=POLICY")]
    pub(crate) policy: Vec<String>,
}

const CRIU: &str = "\
CRIU says by its variables what is to be done. At a dump the clocks are saved beside the images, at a
restore all processes are given clocks that go on from there before they run. Processes that were not
started by elsewhen are, too. If the file of clocks is missing, damaged or another dump's, nothing is
restored.

CRIU takes the name of a program, without arguments, so write a script:
  #!/bin/sh
  exec elsewhen criu-action --policy realtime=continue

Examples:
  criu dump -t PID -D images --action-script ./script
  criu restore -d -D images --action-script ./script";

/// The keeper of a process that CRIU has restored.
#[derive(Debug, clap::Args)]
pub(crate) struct CriuKeeperArgs {
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) realtime: String,
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) tai: String,
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) monotonic: String,
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) boottime: String,
    #[arg(long)]
    pub(crate) like: Option<i32>,
    #[arg(long)]
    pub(crate) first: i32,
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// Print a seccomp profile by which containers get their clocks from `elsewhen agent`
#[derive(Debug, clap::Args)]
#[command(
    after_help = OCI_PROFILE,
    override_usage = "elsewhen oci-profile --socket PATH [OPTIONS]",
    mut_arg("realtime", |realtime| {
        realtime.help("Where CLOCK_REALTIME stands when a container starts")
    })
)]
pub(crate) struct OciProfileArgs {
    /// Where the agent listens: an absolute path
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: PathBuf,

    #[command(flatten)]
    pub(crate) clocks: ClockArgs,

    /// Whether files under /proc show the namespace's uptime, time of boot and start times, for
    /// which each open of a file is looked at
    #[arg(long, value_enum, default_value_t = Proc::On, value_name = "on|off", hide_possible_values = true)]
    pub(crate) proc: Proc,

    /// The profile that containers would have without elsewhen; by default one that allows all
    #[arg(long, value_name = "FILE")]
    pub(crate) base: Option<PathBuf>,

    /// Who reads it
    #[arg(long, value_enum, default_value_t = Form::Oci)]
    pub(crate) format: Form,

    /// A capability that the containers have beyond Docker's default ones, for what FILE allows with
    /// it (`oci` only; may be given several times)
    #[arg(long, value_name = "CAP")]
    pub(crate) cap: Vec<String>,
}

const OCI_PROFILE: &str = "\
WHEN and BY are written as for `elsewhen run`, and read by the agent when a container starts: a
time without a zone is in the agent's zone. A container's annotations (`org.elsewhen.realtime=+10d`)
and environment (`ELSEWHEN_REALTIME=+10d`) come before them.

If one of the four clocks is given, calls with CLOCK_MONOTONIC and CLOCK_BOOTTIME are left to the
kernel unless they are given too (`+0` will do): containers cannot shift them otherwise.

Examples:
  elsewhen oci-profile --socket /run/elsewhen/agent.sock --realtime +10d > profile.json
  elsewhen oci-profile --socket /run/elsewhen/agent.sock --format docker --base default.json";

/// Who reads a profile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// runc, crun, containerd, Kubernetes; Docker and Podman too
    Oci,
    /// Docker and Podman alone, which allow more with more capabilities
    Docker,
}

/// Measure what a namespace costs on this machine
#[derive(Debug, clap::Args)]
#[command(after_help = "\
All is measured on one CPU, in random order, round by round, in less than a minute; the numbers are
medians, with their ratios to the host's. Let the machine do nothing else. Where a number inside is
worse than what elsewhen aims at, `misses` and the aim stand at the end of its line.

Columns:
  host          outside; the other columns' ratios are to it
  crowded       the same while 100 namespaces run
  kernel        a time namespace of the kernel, if this user may make one
  inside        a namespace of elsewhen; its ratio to `kernel` stands at the end
  across        the same with its supervisor on another CPU, where it takes part
  libfaketime   under libfaketime, if it is installed
  system call   outside, with each read a system call
  filtered      under a seccomp filter with one rule, as in any container
  notified      under a supervisor that only says yes")]
pub(crate) struct BenchArgs {
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// Print the ratios as a table in Markdown
    #[arg(long, conflicts_with = "json")]
    pub(crate) markdown: bool,

    /// Also draw the ratios into a picture
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,

    /// How long to measure
    #[arg(long, value_enum, default_value_t = Rounds::Full)]
    pub(crate) rounds: Rounds,

    /// Use every CPU
    #[arg(long)]
    pub(crate) all_cpus: bool,

    /// Also measure the exec of a program of yours, which must end with 0
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
}

/// One helper process of the bench.
#[derive(Debug, clap::Args)]
pub(crate) struct BenchSideArgs {
    pub(crate) side: String,
    /// The CPU to go to.
    #[arg(long)]
    pub(crate) cpu: Option<usize>,
    pub(crate) program: Option<PathBuf>,
}

/// What a program that the bench has started does.
#[derive(Debug, Subcommand)]
pub(crate) enum BenchPart {
    First { way: String, clock: i32 },
    FirstWait,
    Stay,
    Nothing,
}

/// How many rounds a bench has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Rounds {
    /// enough for medians that stand still
    Full,
    /// a glance
    Small,
}

/// How programs read their clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Reads {
    /// from the kernel's page where that is possible
    Direct,
    /// by the kernel's own function
    Kernel,
    /// by a system call
    Syscall,
    /// as `direct`, with all of ours in one page, as on kernels whose vDSO has no more
    OnePage,
}

/// Whether files under `/proc` are the namespace's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Proc {
    /// the namespace's
    On,
    /// the host's
    Off,
}

/// Who keeps the clocks of a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Backend {
    /// the kernel keeps CLOCK_MONOTONIC and CLOCK_BOOTTIME where it may, elsewhen the rest
    Auto,
    /// elsewhen: every clock, on any kernel
    Guest,
    /// a time namespace of the kernel: CLOCK_MONOTONIC and CLOCK_BOOTTIME only
    Kernel,
}

impl From<Backend> for crate::Backend {
    fn from(backend: Backend) -> Self {
        match backend {
            Backend::Auto => Self::Auto,
            Backend::Guest => Self::Guest,
            Backend::Kernel => Self::Kernel,
        }
    }
}
