//! A time namespace: four offsets, and how its programs are started.

use crate::backend::Backend;
use crate::clock::ClockOffsets;
use crate::image::{Image, ReadPathChoice};
use crate::kernel;
use crate::supervisor::{self, Outer, Plan};
use crate::{Error, Result};

/// A time namespace for programs to be started in.
///
/// The offsets are fixed when the value is made; every clock of a member is the host's plus its
/// offset, and ticks as the host's does. Each program started in it, with all that it starts in
/// turn, forms a tree with a supervisor of its own, which ends with the tree's last member; where
/// the kernel alone can keep the clocks there is none (see [`Backend`]).
///
/// Inside of another namespace's tree the offsets are relative to that namespace's clocks.
///
/// # Example
///
/// ```
/// use std::process::Command;
/// use elsewhen::{ClockOffsets, CommandExt, Offset, TimeNamespace};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let day = Offset::from_secs(86_400);
/// let tomorrow = TimeNamespace::new(ClockOffsets { realtime: day, tai: day, ..Default::default() })?;
///
/// let here = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
/// let output = Command::new("date").arg("+%s").time_namespace(&tomorrow).output()?;
/// let there: u64 = String::from_utf8(output.stdout)?.trim().parse()?;
/// assert!(there >= here + 86_400);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct TimeNamespace {
    plan: Plan,
    backend: Backend,
}

impl TimeNamespace {
    /// A namespace with these offsets.
    ///
    /// # Errors
    /// An offset lies beyond ±272 years. Whether a clock would run below zero is the caller's to
    /// judge, as the clocks go on between this call and a program's start.
    pub fn new(offsets: ClockOffsets) -> Result<Self> {
        Image::words(&offsets)?;
        Ok(Self {
            plan: Plan {
                offsets,
                ..Plan::default()
            },
            backend: Backend::default(),
        })
    }

    /// Who keeps the clocks; [`Backend::Auto`] by default.
    ///
    /// Inside of another namespace's tree [`Guest`](Backend::Guest) and [`Auto`](Backend::Auto) are
    /// the same: the kernel keeps what it keeps in the outermost.
    ///
    /// # Example
    ///
    /// ```
    /// use std::process::Command;
    /// use elsewhen::{Backend, ClockOffsets, CommandExt, Offset, TimeNamespace};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let hour = Offset::from_secs(3600);
    /// let offsets = ClockOffsets { boottime: hour, ..Default::default() };
    /// let later = TimeNamespace::new(offsets)?.backend(Backend::Guest);
    /// assert!(Command::new("true").time_namespace(&later).status()?.success());
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backend = backend;
        self
    }

    /// Whether a program is given the clocks before its first instruction, rather than when it asks
    /// for memory or sets up its first thread, as the C libraries, Go and Java do before they read
    /// a clock.
    ///
    /// Each execve(2), also one that fails, then takes some 0.1 to 0.25 ms longer, during which the
    /// calling thread is traced (ptrace(2)); one that a debugger traces starts as without this. A
    /// signal handler without `SA_RESTART` can make execve(2) fail with `EINTR`.
    ///
    /// io_uring_setup(2) fails with `EPERM` then: what waits in a ring for an absolute time would
    /// wait by the host's clock.
    ///
    /// Has no effect in a namespace inside of another, which is as strict as the outermost.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.plan.strict = strict;
        self
    }

    /// How programs read their clocks: for tests and comparisons, as all ways tell the same time.
    ///
    /// Has no effect in a namespace inside of another.
    #[must_use]
    pub fn reading(mut self, choice: ReadPathChoice) -> Self {
        self.plan.reads = choice;
        self
    }

    /// Whether `/proc/uptime`, `btime` in `/proc/stat` and start times in `/proc/PID/stat` are those of
    /// the namespace, as they are without this; else they are the host's.
    ///
    /// For this, calls that open a file are looked at by the supervisor.
    ///
    /// Has no effect in a namespace inside of another.
    #[must_use]
    pub fn proc(mut self, shown: bool) -> Self {
        self.plan.host_proc = !shown;
        self
    }

    /// A name for people: it shows in the tree's control group.
    ///
    /// # Errors
    /// The name is not 1 to 64 letters, digits, `.`, `_` or `-`, or begins with `.` or `-`.
    pub fn named(mut self, name: &str) -> Result<Self> {
        let is_fit = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if !(1..=64).contains(&name.len())
            || !name.chars().all(is_fit)
            || name.starts_with(['.', '-'])
        {
            return Err(Error::new(format!(
                "not a name for a namespace: `{name}`; use 1 to 64 letters, digits, `.`, `_` or `-`"
            )));
        }
        self.plan.name = Some(name.to_owned());
        Ok(self)
    }

    /// The offsets.
    #[must_use]
    pub fn offsets(&self) -> &ClockOffsets {
        &self.plan.offsets
    }

    /// Enters the namespace: returns in a process whose next exec(2) starts a program in it.
    ///
    /// With a supervisor that is a child process. The calling process itself then never returns: it
    /// waits for that child, passes signals on to it, and exits as it does (128 + N for signal N).
    /// Where the kernel alone keeps the clocks it is the calling process. This is what
    /// `elsewhen run` and [`CommandExt::time_namespace`](crate::CommandExt::time_namespace) are made
    /// of; call it from a process with a single thread, or between fork(2) and exec(2).
    ///
    /// # Errors
    /// `EBUSY`: another seccomp supervisor stands above this process. `EPERM`, `EACCES` or `EIO`:
    /// the kernel refuses forced writes through `/proc/PID/mem`. `EAGAIN` or `ENOMEM` of fork(2),
    /// `EMFILE` of the descriptors needed. With no errno: the vDSO is of an unknown form, `/proc`
    /// is missing, or the supervisor around this process has died.
    ///
    /// With [`Backend::Kernel`], and inside of a tree whose MONOTONIC and BOOTTIME the kernel keeps:
    /// `EPERM` without `CAP_SYS_ADMIN` and `CAP_SYS_TIME`, `EINVAL` or `ENOENT` where the kernel
    /// has no time namespaces, `ENOSPC` beyond `user.max_time_namespaces`, `ERANGE` beyond the
    /// limits, and no errno for what the kernel's time namespaces do not have.
    pub fn enter(&self) -> Result<()> {
        if self.backend == Backend::Kernel {
            return self.enter_kernels();
        }
        let outer = Outer::find()?;
        // What fails here is tried in another way, or fails there with the reason.
        if self.kernel_suffices(outer.as_ref()) && kernel::enter(&self.plan.offsets).is_ok() {
            return Ok(());
        }
        supervisor::enter(&self.plan, self.backend, outer)
    }

    fn enter_kernels(&self) -> Result<()> {
        let Plan { offsets, name, .. } = &self.plan;
        match kernel::lacking(offsets, name.as_deref()) {
            Some((_, lacking)) => Err(Error::new(format!(
                "the kernel's time namespaces have no {lacking}"
            ))),
            None => kernel::enter(offsets),
        }
    }

    /// Whether a namespace of the kernel's does all that is asked for, and may be made as far as is
    /// known.
    fn kernel_suffices(&self, outer: Option<&Outer>) -> bool {
        let Plan {
            offsets,
            name,
            // A strict tree refuses io_uring, for which it takes a filter.
            strict,
            ..
        } = &self.plan;
        let shifts_what_it_can = !offsets.monotonic.is_zero() || !offsets.boottime.is_zero();
        self.backend == Backend::Auto
            && shifts_what_it_can
            && !strict
            && kernel::lacking(offsets, name.as_deref()).is_none()
            && outer.is_none_or(Outer::leaves_to_kernel)
            && kernel::may_make()
    }
}
