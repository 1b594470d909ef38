//! Setting the scene: from one process to front, keeper, worker and command.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use super::cgroup::Cgroup;
use super::door::Outer;
use super::front;
use super::journal::Journal;
use super::keeper::{Keeper, Setting};
use super::message;
use super::split::Split;
use super::timens::Owner;
use super::watchdog::Watchdog;
use super::worker::Service;
use super::yama::Opening;
use crate::backend::Backend;
use crate::clock::ClockOffsets;
use crate::image::{Image, ReadPathChoice};
use crate::inject::Force;
use crate::sys::process::{self, Forked};
use crate::sys::{channel, seccomp, shared, signal};
use crate::{Error, Result, filter};

/// What a tree is started with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plan {
    pub(crate) offsets: ClockOffsets,
    /// Also catch programs that read a clock before anything else.
    pub(crate) strict: bool,
    /// How programs read their clocks.
    pub(crate) reads: ReadPathChoice,
    /// A name for people, shown in the control group's.
    pub(crate) name: Option<String>,
    /// Whether files under `/proc` stay the host's.
    pub(crate) host_proc: bool,
}

/// Puts the calling process into a new time namespace.
///
/// Returns in the process that is to become the command, with every signal and descriptor as the
/// caller had them; its next exec(2) starts a program with the namespace's clocks. The calling
/// process itself stays behind as the front and ends as the command ends.
///
/// # Errors
/// What went wrong, in the process that is to report it; nothing of the tree is left then.
pub(crate) fn enter(plan: &Plan, backend: Backend, outer: Option<Outer>) -> Result<()> {
    let image = match outer {
        Some(_) => None,
        None => {
            check_proc()?;
            Some(Image::compose_with(plan.reads)?)
        }
    };
    let inherited = signal::Inherited::set_aside();
    let prepared = prepare(plan, image.as_ref()).inspect_err(|_| inherited.give_back());
    let (opening, (front_end, keeper_end)) = prepared?;
    let front_pid = own_pid();
    match process::fork() {
        Ok(Forked::Parent(keeper)) => {
            drop(keeper_end);
            front::run(keeper, front_end)
        }
        Ok(Forked::Child) => drop(front_end),
        Err(e) => {
            inherited.give_back();
            return Err(Error::os("cannot start the keeper", e));
        }
    }
    let _ = rustix::thread::set_name(c"elsewhen");
    rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
        .map_err(|e| Error::os("cannot adopt orphans", e.into()))?;
    // What is forked from here on is in the kernel's namespace, if there is one.
    let split = Split::make(backend, outer.as_ref(), &plan.offsets)?;
    let stage = Stage {
        front: keeper_end,
        front_pid,
        inherited,
        split,
    };
    match (outer, image) {
        (None, Some(image)) => stage.keep(plan, image, opening),
        (Some(outer), _) => stage.anchor(outer),
        (None, None) => unreachable!("without an outer supervisor an image was composed"),
    }
}

/// Finds out how programs can be written to, and joins front and keeper.
fn prepare(plan: &Plan, image: Option<&Image>) -> Result<(Opening, (OwnedFd, OwnedFd))> {
    let mut opening = Opening::ByWorker;
    if let Some(image) = image {
        opening = Opening::find()?;
        opening.check(plan.strict, Force::find(image.host())?)?;
    }
    let pair = channel::pair().map_err(doing("make a socket pair"))?;
    Ok((opening, pair))
}

/// The process that becomes keeper or anchor.
struct Stage {
    front: OwnedFd,
    front_pid: i32,
    inherited: signal::Inherited,
    split: Split,
}

impl Stage {
    fn keep(self, plan: &Plan, image: Image, opening: Opening) -> Result<()> {
        let own_image = image.patch(&self.split.offsets, 0)?;
        let journal: &'static Journal = shared::map().map_err(doing("map the journal"))?;
        let watchdog = Watchdog::new().map_err(doing("make a timer"))?;
        let proc = rustix::fs::open("/proc", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|e| Error::os("cannot open `/proc`", e.into()))?;
        let owner = Owner::of(proc.as_fd(), "self").unwrap_or_default();
        let keeper = pidfd_open(rustix::process::getpid(), PidfdFlags::empty())
            .map_err(|e| Error::os("cannot open a pidfd", e.into()))?;
        let signals = signal::descriptor(false).map_err(doing("make a signal descriptor"))?;
        // The first process of a pid namespace takes all others along, the keeper too, which could
        // not remove a group then.
        let cgroup = match self.front_pid {
            1 => None,
            _ => Cgroup::create(&group_name(plan)).ok(),
        };
        let (ours, theirs) = channel::pair().map_err(doing("make a socket pair"))?;
        let command = match process::fork().map_err(doing("start the command"))? {
            Forked::Parent(pid) => pid,
            Forked::Child => {
                drop(ours);
                return self.command_under_filter(plan, &theirs, cgroup.as_ref());
            }
        };
        drop(theirs);
        message::wait_for_front(self.front.as_fd());
        let listener = take_listener(&ours);
        let service = listener.map(|listener| {
            seccomp::wake_synchronously(listener.as_fd());
            Service {
                listener,
                journal,
                image,
                own_image,
                offsets: self.split.offsets,
                leaves_to_kernel: self.split.leaves_to_kernel,
                owner,
                proc,
                watchdog,
                keeper,
                cgroup,
                strict: plan.strict,
                opening,
            }
        });
        // Without a listener the command has failed before its start and is about to say why: what
        // is left to do is what an anchor does.
        Keeper::new(Setting {
            front: self.front,
            front_pid: self.front_pid,
            command,
            signals,
            service,
        })
        .stay(Some(ours))
    }

    fn anchor(self, outer: Outer) -> Result<()> {
        let registered = outer.anchor(&self.split.offsets);
        let signals = signal::descriptor(false).map_err(doing("make a signal descriptor"))?;
        message::wait_for_front(self.front.as_fd());
        match process::fork().map_err(doing("start the command"))? {
            Forked::Child => {
                self.inherited.give_back();
                registered
            }
            Forked::Parent(command) => Keeper::new(Setting {
                front: self.front,
                front_pid: self.front_pid,
                command,
                signals,
                service: None,
            })
            .stay(None),
        }
    }

    /// In the command's process: the filter goes in, its listener to the keeper.
    fn command_under_filter(
        self,
        plan: &Plan,
        keeper: &OwnedFd,
        cgroup: Option<&Cgroup>,
    ) -> Result<()> {
        if let Some(cgroup) = cgroup {
            let _ = cgroup.join();
        }
        let listener = install(&filter::program(filter::Rules {
            strict: plan.strict,
            x32: process::has_x32(),
            shifted: self.split.shifted(),
            timens: !self.split.leaves_to_kernel,
            views: !plan.host_proc,
        }))?;
        channel::send(keeper.as_fd(), b"!", Some(listener.as_fd()))
            .map_err(doing("hand the listener to the keeper"))?;
        drop(listener);
        let mut ready = [0];
        match channel::receive(keeper, &mut ready, true) {
            Ok(received) if received.len == 1 => {}
            _ => return Err(Error::new("the keeper has died before the command started")),
        }
        self.inherited.give_back();
        Ok(())
    }
}

/// The listener that the command's process sends; `None` if it ended instead.
fn take_listener(from: &OwnedFd) -> Option<OwnedFd> {
    let mut byte = [0];
    channel::receive(from, &mut byte, true).ok()?.descriptor
}

/// Installs the filter, giving up gaining privileges by exec only where the kernel demands it.
fn install(program: &[libc::sock_filter]) -> Result<OwnedFd> {
    let result = match seccomp::install(program) {
        Err(e) if e.raw_os_error() == Some(libc::EACCES) => {
            rustix::thread::set_no_new_privs(true)
                .map_err(|e| Error::os("cannot set no_new_privs", e.into()))?;
            seccomp::install(program)
        }
        other => other,
    };
    result.map_err(|e| match e.raw_os_error() {
        Some(libc::EBUSY) => Error::os(
            "another seccomp supervisor (a container engine's?) stands above this process; start elsewhen outside of it",
            e,
        ),
        _ => Error::os("cannot install the seccomp filter", e),
    })
}

/// The supervisor finds processes by the numbers it sees them under.
fn check_proc() -> Result<()> {
    let own = rustix::process::getpid().as_raw_nonzero().to_string();
    match std::fs::read_link("/proc/self") {
        Ok(link) if link.as_os_str() == own.as_str() => Ok(()),
        Ok(_) => Err(Error::new(
            "`/proc` belongs to another pid namespace; mount one of this namespace's own over it",
        )),
        Err(e) => {
            Err(Error::os("cannot read `/proc/self`", e).with_way_out("mount proc(5) on `/proc`"))
        }
    }
}

fn group_name(plan: &Plan) -> String {
    let pid = rustix::process::getpid().as_raw_nonzero();
    match &plan.name {
        Some(name) => format!("elsewhen-{name}-{pid}"),
        None => format!("elsewhen-{pid}"),
    }
}

fn own_pid() -> i32 {
    Pid::as_raw(Some(rustix::process::getpid()))
}

fn doing(what: &'static str) -> impl FnOnce(io::Error) -> Error {
    move |e| Error::os(format!("cannot {what}"), e)
}
