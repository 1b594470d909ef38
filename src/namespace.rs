//! A time namespace: four offsets, and how its programs are started.

use std::convert::Infallible;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::backend::Backend;
use crate::clock::ClockOffsets;
use crate::image::{Image, ReadPathChoice};
use crate::line::shown;
use crate::registry::{self, Found, Member, RunningNamespace};
use crate::supervisor::{self, AdoptedFilter, Adoption, Beside, Counters, Joined, Outer, Plan};
use crate::{Error, Result, kernel};

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
    /// A namespace of the kernel's, if it is one.
    kernels: Option<Arc<File>>,
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
                directory: registry::overridden(),
                ..Plan::default()
            },
            backend: Backend::default(),
            kernels: None,
        })
    }

    /// The running namespace of this name, or the one that the process of this number is in.
    ///
    /// What is then started is a part of it: it has the same offsets to the nanosecond, wherever it
    /// is started, also inside of another namespace's tree. A number may be that of any member, of the
    /// process that started the namespace (`elsewhen run`), or of one in a time namespace of the
    /// kernel's. Of two namespaces of one name root gets its own; nobody else sees another
    /// user's.
    ///
    /// The value holds the offsets and does not keep the namespace running. What is started when
    /// it has ended begins it anew, unless its name has been given to another by then.
    ///
    /// # Errors
    /// There is no such namespace or process, it is not this user's (root may join all), it lies in
    /// another time namespace of the kernel's and was not put there by elsewhen, or the process has
    /// made one for itself by unshare(2). Inside of a tree: the kernel keeps MONOTONIC and BOOTTIME in
    /// one of the two only. `/proc` cannot be read, or the directory of this user's records is somebody
    /// else's.
    ///
    /// # Example
    ///
    /// ```no_run
    /// use std::process::Command;
    /// use elsewhen::{CommandExt, TimeNamespace};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let staging = TimeNamespace::open("staging")?;
    /// Command::new("date").time_namespace(&staging).status()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn open(handle: &str) -> Result<Self> {
        Ok(match registry::find(handle)? {
            Found::Guest {
                member,
                name,
                offsets,
                strict,
                host_proc,
                reads,
                process,
                own_offsets,
                leaves_to_kernel,
                kernels,
                is_known: _,
            } => {
                if process.is_some_and(supervisor::has_namespace_of_its_own) {
                    return Err(registry::made_inside(handle));
                }
                let mut joined = Joined {
                    member,
                    offsets: own_offsets,
                    leaves_to_kernel,
                    kernels: None,
                };
                // What is opened inside of a tree may be what its supervisor shows there.
                joined.check(Outer::find()?.as_ref())?;
                joined.kernels = kernels?.map(Arc::new);
                Self {
                    plan: Plan {
                        offsets,
                        strict,
                        reads,
                        name,
                        joins: Some(joined),
                        directory: registry::overridden(),
                        host_proc,
                    },
                    backend: Backend::default(),
                    kernels: None,
                }
            }
            Found::Kernel { file, offsets } => Self {
                plan: Plan {
                    offsets,
                    ..Plan::default()
                },
                backend: Backend::Kernel,
                kernels: Some(Arc::new(file)),
            },
        })
    }

    /// The namespaces that run now, the oldest first: this user's, and for root everybody's. The
    /// kernel's own time namespaces are among them, as far as this user may see who is in them.
    ///
    /// # Errors
    /// `/proc` cannot be read, or the directory of this user's records is somebody else's.
    pub fn list() -> Result<Vec<RunningNamespace>> {
        registry::all()
    }

    /// Who keeps the clocks; [`Backend::Auto`] by default.
    ///
    /// Has no effect in a namespace that was [opened](Self::open), whose clocks have their keeper.
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

    /// A name for people, by which the namespace can be [opened](Self::open) while it runs. It also
    /// shows in the tree's control group.
    ///
    /// No two namespaces of one user run under the same name: [`enter`](Self::enter) fails for the
    /// second. When the last member has ended, or has been killed, the name is free.
    ///
    /// # Errors
    /// The name is not 1 to 64 letters, digits, `.`, `_` or `-`, begins with `.` or `-`, or has
    /// digits only. A namespace that was opened has its name already, or none.
    pub fn named(mut self, name: &str) -> Result<Self> {
        if !registry::is_name(name) {
            return Err(Error::new(format!(
                "not a name for a namespace: `{}`; use 1 to 64 letters, digits, `.`, `_` or `-`, \
                 and not digits alone",
                shown(name.as_ref())
            )));
        }
        if self.plan.joins.is_some() || self.kernels.is_some() {
            return Err(Error::new(format!(
                "cannot name `{name}` what is running already; give the name to its first command"
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
    /// `EMFILE` of the descriptors needed. `EEXIST`: another namespace has the name; or the errno of
    /// why no name can be kept here. With no errno: the vDSO is of an unknown form, `/proc`
    /// is missing, the supervisor around this process has died, or a time namespace of the kernel's is
    /// to be joined from inside of another's tree.
    ///
    /// With [`Backend::Kernel`], and inside of a tree whose MONOTONIC and BOOTTIME the kernel keeps:
    /// `EPERM` without `CAP_SYS_ADMIN` and `CAP_SYS_TIME`, `EINVAL` or `ENOENT` where the kernel
    /// has no time namespaces, `ENOSPC` beyond `user.max_time_namespaces`, `ERANGE` beyond the
    /// limits, and no errno for what the kernel's time namespaces do not have.
    pub fn enter(&self) -> Result<()> {
        if let Some(kernels) = &self.kernels {
            return join_kernels(kernels);
        }
        if self.backend == Backend::Kernel && self.plan.joins.is_none() {
            return self.enter_kernels();
        }
        let outer = Outer::find()?;
        // What fails here is tried in another way, or fails there with the reason.
        if self.kernel_suffices(outer.as_ref()) && kernel::enter(&self.plan.offsets).is_ok() {
            return Ok(());
        }
        supervisor::enter(&self.plan, self.backend, outer)
    }

    /// Becomes the keeper of processes that are running under a seccomp filter with `listener` as its
    /// listener: their calls are answered by the namespace's clocks, and each program that they execute
    /// is given them.
    ///
    /// The filter must notify what elsewhen's own does, or as much of it as a seccomp profile can say:
    /// `filter` says which. No process is to wait in a call that it has made before.
    ///
    /// The calling process, which must have one thread, never returns: it closes all its other
    /// descriptors, leaves its session, and exits with 0 when the last process under the filter has
    /// ended. A worker of its does the work, and is replaced if it dies. The byte `!` is sent to
    /// `ready`, a socket, as soon as there is one. If the calling process is killed, every
    /// notified call fails with `ENOSYS`.
    ///
    /// elsewhen keeps all of the clocks, whatever [`backend`](Self::backend) says, and the namespace is
    /// never [strict](Self::strict).
    ///
    /// # Errors
    /// `EMFILE`, `ENFILE` or `ENOMEM` of what is needed; `EEXIST`: another namespace has the name; `EPERM`,
    /// `EACCES` or `EIO`: the kernel refuses forced writes through `/proc/PID/mem`. With no errno: this is
    /// no listener, or nobody is left; the calling process is in a namespace of elsewhen's itself; the
    /// kernel keeps clocks of the namespace that is to be joined; Yama keeps this user from programs
    /// that it has not started; the vDSO is of an unknown form, or `/proc` is missing.
    pub fn adopt(
        &self,
        listener: OwnedFd,
        filter: AdoptedFilter,
        ready: Option<OwnedFd>,
    ) -> Result<Infallible> {
        self.adopt_from(None, listener, filter, ready)
    }

    /// The same for a tree that begins with a process, which was started then in the kernel's ticks.
    pub(crate) fn adopt_from(
        &self,
        first: Option<(i32, u64)>,
        listener: OwnedFd,
        filter: AdoptedFilter,
        ready: Option<OwnedFd>,
    ) -> Result<Infallible> {
        if self.kernels.is_some() {
            return Err(Error::new(
                "running processes cannot be put into a time namespace of the kernel's",
            ));
        }
        supervisor::adopt(
            &self.plan,
            Adoption {
                listener,
                filter,
                ready,
                container: None,
                beside: None,
                first,
                counters: None,
            },
        )
    }

    /// The same for the processes of a container, which is one's id and the user who has made it, and
    /// whose namespace is `member`; `beside` of one that CRIU has restored.
    pub(crate) fn adopt_container(
        mut self,
        listener: OwnedFd,
        ready: OwnedFd,
        container: (String, u32),
        member: Member,
        beside: Option<Beside>,
        counters: Option<&'static Counters>,
    ) -> Result<Infallible> {
        self.plan.joins = Some(Joined {
            member,
            offsets: self.plan.offsets,
            leaves_to_kernel: false,
            kernels: None,
        });
        supervisor::adopt(
            &self.plan,
            Adoption {
                listener,
                filter: AdoptedFilter::Profile,
                ready: Some(ready),
                container: Some(container),
                beside,
                first: None,
                counters,
            },
        )
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
            joins,
            // A strict tree refuses io_uring, for which it takes a filter.
            strict,
            ..
        } = &self.plan;
        let shifts_what_it_can = !offsets.monotonic.is_zero() || !offsets.boottime.is_zero();
        self.backend == Backend::Auto
            && shifts_what_it_can
            && joins.is_none()
            && !strict
            && kernel::lacking(offsets, name.as_deref()).is_none()
            && outer.is_none_or(Outer::leaves_to_kernel)
            && kernel::may_make()
    }
}

/// Puts this process into a time namespace of the kernel's that is there already.
fn join_kernels(namespace: &File) -> Result<()> {
    // A supervisor would go on to shift what the kernel has shifted.
    match Outer::find()? {
        None => kernel::join(namespace),
        Some(_) => Err(Error::new(
            "a time namespace of the kernel's cannot be joined inside of another namespace; \
             do it outside",
        )),
    }
}
