//! Becoming the keeper of processes that have a filter already: a container's, or restored ones.
//!
//! They are not below the keeper, so there is no command and no front: all that the keeper waits for
//! is the end of the last process under the filter.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{AtFlags, statat};

use super::beside::Beside;
use super::counters::Counters;
use super::door::Outer;
use super::enter::Plan;
use super::keeper::{Keeper, Setting, is_hung_up};
use super::means::{Means, check_proc};
use super::namespaces;
use super::worker::Service;
use super::yama::{Opening, may_trace_all};
use crate::clock::Offset;
use crate::image::Image;
use crate::inject::Force;
use crate::registry::{Tree, register};
use crate::sys::seccomp::{self, Answer};
use crate::sys::{process, signal};
use crate::{Error, Result};

/// What notifies the calls of processes that are adopted ([`TimeNamespace::adopt`]).
///
/// [`TimeNamespace::adopt`]: crate::TimeNamespace::adopt
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AdoptedFilter {
    /// The filter that elsewhen installs itself.
    Own,
    /// The rules of a seccomp profile, as container engines take them. They notify no numbers that no
    /// kernel knows, so that in a program with several threads fewer call sites are patched.
    Profile,
}

/// What is adopted, and what is known of it.
pub(crate) struct Adoption {
    pub(crate) listener: OwnedFd,
    pub(crate) filter: AdoptedFilter,
    /// A socket, which is sent a byte when a worker is there; and of a container's what programs are warned of.
    pub(crate) ready: Option<OwnedFd>,
    /// The container that the processes are in, and the user who has made it: its first call tells which
    /// process it begins with, so that is waited for.
    pub(crate) container: Option<(String, u32)>,
    /// Of a container that CRIU has restored: its first process.
    pub(crate) beside: Option<Beside>,
    /// Of no container: the process that the tree begins with, and when it was started.
    pub(crate) first: Option<(i32, u64)>,
    pub(crate) counters: Option<&'static Counters>,
}

/// Becomes the keeper of the processes under a listener's filter.
///
/// # Errors
/// As for [`TimeNamespace::adopt`](crate::TimeNamespace::adopt).
pub(crate) fn adopt(plan: &Plan, adoption: Adoption) -> Result<Infallible> {
    let Adoption {
        listener,
        filter,
        ready,
        container,
        beside,
        first,
        counters,
    } = adoption;
    check_outer()?;
    check_listener(&listener)?;
    // Who has made a container's keeper hears of its programs, as long as both are there.
    let warnings = match (&ready, &container) {
        (Some(ready), Some(_)) => ready.try_clone().ok(),
        _ => None,
    };
    check_proc()?;
    let offsets = match &plan.joins {
        Some(joined) if joined.leaves_to_kernel || joined.kernels.is_some() => {
            return Err(Error::new(
                "running processes cannot join a namespace whose CLOCK_MONOTONIC and \
                 CLOCK_BOOTTIME the kernel keeps; start that one with `--backend=guest`",
            ));
        }
        Some(joined) => joined.offsets,
        None => plan.offsets,
    };
    let image = Image::compose_with(plan.reads)?;
    Force::find(image.host())?;
    let opening = check_opening()?;
    let inherited = signal::Inherited::set_aside();
    let prepared = Means::gather().and_then(|means| {
        let first = match &container {
            Some(_) => Some(first_process(&means, &listener)?),
            None => first,
        };
        let offsets = match (&beside, first) {
            (Some(beside), Some((pid, _))) => beside.offsets(means.proc.as_fd(), pid, &offsets)?,
            _ => offsets,
        };
        let own_image = image.patch(&offsets, 0)?;
        let registration = register(&Tree {
            directory: plan.directory.as_deref(),
            name: plan.name.as_deref(),
            joins: plan.joins.as_ref().map(|joined| &joined.member),
            front: 0,
            inner: false,
            offsets,
            leaves_to_kernel: false,
            strict: false,
            host_proc: plan.host_proc,
            reads: plan.reads,
            reads_by: Some(image.read_path().to_string()),
            own_realtime: Offset::ZERO,
            container: container.as_ref().map(|(id, user)| (id.as_str(), *user)),
            first,
        })?;
        // A worker that hangs, and who serves live files, are to become children of this process.
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .map_err(|e| Error::os("cannot adopt orphans", e.into()))?;
        Ok((means, registration, first, offsets, own_image))
    });
    let (means, registration, first, offsets, own_image) =
        prepared.inspect_err(|_| inherited.give_back())?;
    let _ = rustix::thread::set_name(c"elsewhen");
    // The time as it is seen from here: a namespace of the kernel's shifts it.
    let seen = |pid| Some((pid, namespaces::start_of(means.proc.as_fd(), pid)?));
    means
        .journal
        .note_adopted(first.and_then(|(pid, _)| seen(pid)));
    // The kernel's namespace of the tree's own, before anybody is asked about who is in another.
    if let Some((pid, _)) = first
        && let Ok(stat) = statat(&means.proc, format!("{pid}/ns/time"), AtFlags::empty())
    {
        means.journal.kernels(stat.st_ino);
    }
    seccomp::wake_synchronously(listener.as_fd());
    Keeper::new(Setting {
        command: None,
        warnings,
        signals: means.signals,
        service: Some(Service {
            listener,
            journal: means.journal,
            image,
            own_image,
            offsets,
            leaves_to_kernel: false,
            owner: means.owner,
            proc: means.proc,
            watchdog: means.watchdog,
            keeper: means.keeper,
            cgroup: None,
            strict: false,
            traps_unknown: filter == AdoptedFilter::Own,
            has_x32: process::has_x32(),
            opening,
            is_container: container.is_some(),
            shows_proc: !plan.host_proc,
            counters,
        }),
        registration,
    })
    .stay(ready)
}

/// Whether this process, and a keeper that it starts, could adopt anything.
///
/// # Errors
/// The kernel does not let it, it is in a namespace of elsewhen's itself, or is root without the
/// capabilities to look into programs of other users.
pub(crate) fn check_adopter() -> Result<()> {
    check_outer()?;
    check_proc()?;
    Force::find(Image::compose()?.host())?;
    check_opening()?;
    if rustix::process::geteuid().is_root() && !may_trace_all() {
        return Err(Error::new(
            "CAP_SYS_PTRACE is missing, without which programs of other users get no clocks; run it \
             with that capability, or as the user whose containers these are",
        ));
    }
    Ok(())
}

fn check_outer() -> Result<()> {
    match Outer::find()? {
        None => Ok(()),
        Some(_) => Err(Error::new(
            "processes cannot be adopted from inside of a time namespace of elsewhen's; \
             do it outside",
        )),
    }
}

fn check_opening() -> Result<Opening> {
    match Opening::find()? {
        Opening::ByKeeper => Err(Error::new(
            "Yama's ptrace_scope is 1, which keeps ordinary users from the memory of programs that \
             they have not started; run it as root, or set `kernel.yama.ptrace_scope` to 0",
        )),
        opening => Ok(opening),
    }
}

/// The process that makes the first call, and when it was started; the call is the worker's to answer.
///
/// # Errors
/// All have ended, or the process is not to be seen from here.
fn first_process(means: &Means, listener: &OwnedFd) -> Result<(i32, u64)> {
    let (journal, proc) = (means.journal, means.proc.as_fd());
    loop {
        // RECV would not come back when all have ended.
        let _ = poll(&mut [PollFd::new(&listener, PollFlags::IN)], None);
        if is_hung_up(listener.as_fd()) {
            return Err(Error::new("all processes under the filter have ended"));
        }
        // The caller may have gone again.
        if let Err(e) = seccomp::receive(listener.as_fd(), journal.receive_into()) {
            if !matches!(e.raw_os_error(), Some(libc::ENOENT | libc::EINTR)) {
                return Err(Error::os("cannot receive a call", e));
            }
            continue;
        }
        let Some(call) = journal.pending() else {
            continue;
        };
        if call.pid == 0 {
            return Err(Error::new(
                "the container's processes are not to be seen in this pid namespace; \
                 run the agent in the host's",
            ));
        }
        let tid = call.pid.cast_signed();
        let process = namespaces::process_of(proc, tid);
        if let Some(pid) = process
            && let Some(started) = namespaces::start_of(proc, pid)
            && seccomp::is_valid(listener.as_fd(), call.id)
        {
            return Ok((pid, started));
        }
        // It is gone, or was taken out of the call by a signal, and will make it anew. Whoever was taken for
        // gone by mistake, for want of descriptors perhaps, is not to wait for ever.
        if seccomp::is_valid(listener.as_fd(), call.id) {
            let _ = seccomp::answer(listener.as_fd(), call.id, Answer::Errno(libc::EINTR));
        }
        journal.clear();
    }
}

/// # Errors
/// The descriptor is none of a seccomp listener, or nobody is left under its filter.
fn check_listener(listener: &OwnedFd) -> Result<()> {
    if !seccomp::is_listener(listener.as_fd()) {
        return Err(Error::new("the descriptor is not a seccomp listener"));
    }
    match is_hung_up(listener.as_fd()) {
        true => Err(Error::new("all processes under the filter have ended")),
        false => Ok(()),
    }
}
