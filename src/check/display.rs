//! The report for people: one line a feature, and what follows from a missing one.

use std::fmt::{self, Display, Formatter};

use super::{Backend, Choice, Feature, Report};

/// Prints a name and what there is to say of it.
fn line(f: &mut Formatter<'_>, name: &str, value: impl Display) -> fmt::Result {
    writeln!(f, "{name:<24}{value}")
}

/// Prints a feature, and `else_` if it is missing.
fn feature(f: &mut Formatter<'_>, name: &str, feature: &Feature, else_: &str) -> fmt::Result {
    match &feature.reason {
        None => line(f, name, format_args!("yes ({})", feature.since)),
        Some(reason) => line(
            f,
            name,
            format_args!("no ({}, {reason}): {else_}", feature.since),
        ),
    }
}

impl Display for Report {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        line(
            f,
            "kernel",
            format_args!("{} {}", self.kernel, self.architecture),
        )?;
        self.fmt_seccomp(f)?;
        self.fmt_process(f)?;
        self.fmt_machine(f)?;
        for clock in &self.clocks {
            line(
                f,
                clock.clock,
                format_args!(
                    "{}: reads by {}, absolute waits {}",
                    clock.backend, clock.reads, clock.absolute_waits
                ),
            )?;
        }
        for choice in &self.auto {
            Self::fmt_choice(f, choice)?;
        }
        line(f, "if the keeper is killed", self.keeper_death)?;
        backend(f, "names, ls, show, exec", &self.handles)?;
        backend(f, "guest backend", &self.guest)?;
        backend(f, "kernel backend", &self.kernel_backend)
    }
}

impl Report {
    /// What `--backend=auto` does about a clock.
    fn fmt_choice(f: &mut Formatter<'_>, choice: &Choice) -> fmt::Result {
        let Choice { clock, backend, .. } = choice;
        match &choice.reason {
            None => line(f, "auto", format_args!("{clock}: {backend}")),
            Some(reason) => line(f, "auto", format_args!("{clock}: {backend} ({reason})")),
        }
    }

    fn fmt_seccomp(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let seccomp = &self.seccomp;
        let no_guest = "no guest backend";
        feature(f, "seccomp notify", &seccomp.notify, no_guest)?;
        feature(f, "seccomp continue", &seccomp.resume, no_guest)?;
        feature(
            f,
            "seccomp wait killable",
            &seccomp.wait_killable,
            "a signal may interrupt a notified call",
        )?;
        feature(
            f,
            "seccomp sync wake-up",
            &seccomp.sync_wake_up,
            "notified calls are slower",
        )?;
        if seccomp.listener_above {
            line(f, "seccomp listener above", "yes: no guest backend in here")?;
        }
        Ok(())
    }

    fn fmt_process(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let process = &self.process;
        feature(
            f,
            "pidfd_open",
            &process.pidfd_open,
            "processes are told by number",
        )?;
        feature(
            f,
            "pidfd_getfd",
            &process.pidfd_getfd,
            "no descriptors are fetched",
        )?;
        feature(
            f,
            "process_vm_readv",
            &process.process_vm,
            "memory is read by file",
        )?;
        feature(
            f,
            "/proc/PID/timers",
            &process.timers,
            "absolute times of timers stay the host's",
        )?;
        feature(f, "vDSO writes", &process.vdso_writes, "no guest backend")
    }

    fn fmt_machine(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.vdso_bytes {
            Some(bytes) => line(f, "vDSO", format_args!("{bytes} bytes"))?,
            None => line(f, "vDSO", "none: no guest backend")?,
        }
        feature(
            f,
            "BTF",
            &self.btf,
            "the layouts of known kernels are tried",
        )?;
        line(
            f,
            "clock source",
            self.clock_source.as_deref().unwrap_or("unknown"),
        )?;
        feature(
            f,
            "time namespaces",
            &self.time_namespaces.feature,
            "no kernel backend",
        )?;
        if self.time_namespaces.inside {
            let offset = |offset: &Option<String>| offset.clone().unwrap_or_default();
            line(
                f,
                "inside one already",
                format_args!(
                    "monotonic {}, boottime {}",
                    offset(&self.time_namespaces.monotonic),
                    offset(&self.time_namespaces.boottime)
                ),
            )?;
        }
        feature(
            f,
            "cgroup.kill",
            &self.cgroup_kill,
            "a tree outlives its keeper",
        )?;
        match self.yama_ptrace_scope {
            None => line(f, "Yama", "absent")?,
            Some(scope) => line(f, "Yama", format_args!("ptrace_scope {scope}"))?,
        }
        line(
            f,
            "no_new_privs",
            if self.sets_no_new_privs {
                "set: set-user-ID programs gain nothing"
            } else {
                "not needed"
            },
        )?;
        let programs = match self.programs_32bit {
            Some(true) => "yes",
            Some(false) => "no",
            None => "unknown",
        };
        line(f, "32-bit programs", programs)
    }
}

fn backend(f: &mut Formatter<'_>, name: &str, backend: &Backend) -> fmt::Result {
    if backend.works {
        line(f, name, "can work here")
    } else {
        line(
            f,
            name,
            format_args!("cannot work here: {}", backend.missing.join("; ")),
        )
    }
}
