//! What this machine offers, found by trying it.

mod auto;
mod child;
mod compat;
mod display;
mod gather;
mod machine;
mod process;
mod seccomp;

pub(crate) use machine::{clock_source, kernel_release};
use serde::Serialize;

/// One thing that a kernel may offer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Feature {
    /// Whether it was there when tried.
    pub available: bool,
    /// The Linux version that brought it.
    pub since: &'static str,
    /// Why it is not available, as far as the system says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What `elsewhen check` prints; the field names are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The kernel's release, as uname(2) states it.
    pub kernel: String,
    /// The machine's architecture.
    pub architecture: &'static str,
    /// seccomp(2).
    pub seccomp: Seccomp,
    /// Access to other processes.
    pub process: Process,
    /// Bytes of the vDSO, if there is one.
    pub vdso_bytes: Option<u64>,
    /// The kernel's type information.
    pub btf: Feature,
    /// The host's clock source.
    pub clock_source: Option<String>,
    /// The kernel's own time namespaces.
    pub time_namespaces: TimeNamespaces,
    /// `cgroup.kill` in a cgroup that this process can make.
    pub cgroup_kill: Feature,
    /// Yama's `ptrace_scope`, if Yama is there.
    pub yama_ptrace_scope: Option<u32>,
    /// Whether a filter needs `no_new_privs`, so that set-user-ID programs gain nothing.
    pub sets_no_new_privs: bool,
    /// Whether 32-bit programs run, if that can be told.
    pub programs_32bit: Option<bool>,
    /// Each clock's way, for each backend that can work here.
    pub clocks: Vec<Clock>,
    /// Who keeps each clock by `--backend=auto`; empty if nobody can.
    pub auto: Vec<Choice>,
    /// What happens to the tree when the guest backend's keeper is killed.
    pub keeper_death: &'static str,
    /// The guest backend.
    pub guest: Backend,
    /// The kernel backend.
    pub kernel_backend: Backend,
}

/// What seccomp(2) offers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Seccomp {
    /// `SECCOMP_RET_USER_NOTIF`, with a listener of one's own.
    pub notify: Feature,
    /// `SECCOMP_USER_NOTIF_FLAG_CONTINUE`.
    #[serde(rename = "continue")]
    pub resume: Feature,
    /// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV`.
    pub wait_killable: Feature,
    /// `SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP`.
    pub sync_wake_up: Feature,
    /// Whether another supervisor listens to this process already.
    pub listener_above: bool,
}

/// What may be done to a child of one's own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Process {
    /// pidfd_open(2).
    pub pidfd_open: Feature,
    /// pidfd_getfd(2).
    pub pidfd_getfd: Feature,
    /// process_vm_readv(2).
    pub process_vm: Feature,
    /// `/proc/PID/timers` (`CONFIG_CHECKPOINT_RESTORE`), which tells a timer's clock.
    pub timers: Feature,
    /// Writing to its vDSO through `/proc/PID/mem`.
    pub vdso_writes: Feature,
}

/// The kernel's own time namespaces, and the one that this process is in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TimeNamespaces {
    /// Whether the kernel has them and this process may make one.
    #[serde(flatten)]
    pub feature: Feature,
    /// Whether this process is in one that is not the initial one.
    pub inside: bool,
    /// Seconds that `CLOCK_MONOTONIC` is shifted in it.
    pub monotonic: Option<String>,
    /// Seconds that `CLOCK_BOOTTIME` is shifted in it.
    pub boottime: Option<String>,
}

/// Which way a clock takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Clock {
    /// The clock's name.
    pub clock: &'static str,
    /// The backend: `guest` or `kernel`.
    pub backend: &'static str,
    /// How a read is answered.
    pub reads: String,
    /// How a wait for an absolute time is answered; relative ones need nothing.
    pub absolute_waits: &'static str,
}

/// What `--backend=auto` chooses for a clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Choice {
    /// The clock's name.
    pub clock: &'static str,
    /// The backend: `guest` or `kernel`.
    pub backend: &'static str,
    /// Why it is not the kernel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Whether a backend can work here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Backend {
    /// Whether all that it needs is there.
    pub works: bool,
    /// What is missing.
    pub missing: Vec<String>,
}

impl Feature {
    /// The feature that an attempt showed or did not show.
    pub(crate) fn tried<T>(since: &'static str, outcome: &std::io::Result<T>) -> Self {
        match outcome {
            Ok(_) => Self::found(since, true, ""),
            Err(error) => Self::found(since, false, &crate::error::errno_text(error)),
        }
    }

    /// A feature that is there or, for `reason`, is not.
    pub(crate) fn found(since: &'static str, available: bool, reason: &str) -> Self {
        Self {
            available,
            since,
            reason: (!available).then(|| reason.to_owned()),
        }
    }
}
