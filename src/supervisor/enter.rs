//! Setting the scene: from one process to front, keeper, worker and command.

use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use rustix::process::Pid;

use super::cgroup::Cgroup;
use super::door::Outer;
use super::front;
use super::keeper::{Command, Keeper, Setting};
use super::means::{Means, check_proc, doing};
use super::message::{self, Message};
use super::split::{Joined, Split};
use super::worker::Service;
use super::yama::Opening;
use crate::backend::Backend;
use crate::clock::{ClockOffsets, Offset};
use crate::image::{Image, ReadPathChoice};
use crate::inject::Force;
use crate::registry::{Registration, Tree, register};
use crate::sys::process::{self, Forked};
use crate::sys::{channel, seccomp, signal};
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
    /// The namespace to be a part of. It says which offsets are the supervisor's.
    pub(crate) joins: Option<Joined>,
    /// Where the record is to lie, if not in the usual place.
    pub(crate) directory: Option<PathBuf>,
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
    if let Some(joined) = &plan.joins {
        joined.check(outer.as_ref())?;
    }
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
    let split = match &plan.joins {
        Some(joined) => Split::join(joined),
        None => Split::make(backend, outer.as_ref(), &plan.offsets),
    }?;
    let stage = Stage {
        front: keeper_end,
        front_pid,
        inherited,
        split,
    };
    match (outer, image) {
        (None, Some(image)) => stage.keep(plan, image, opening),
        (Some(outer), _) => stage.anchor(plan, outer),
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
        let registration = self.register(plan, self.split.offsets, Around::Host(&image))?;
        let Means {
            journal,
            watchdog,
            proc,
            owner,
            keeper,
            signals,
        } = Means::gather()?;
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
                drop(registration);
                return self.command_under_filter(plan, &theirs, cgroup.as_ref());
            }
        };
        drop(theirs);
        Message::Born.send(self.front.as_fd());
        let listener = take_listener(&ours);
        message::wait_for_front(self.front.as_fd(), command);
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
                traps_unknown: true,
                has_x32: true,
                opening,
                is_container: false,
                shows_proc: !plan.host_proc,
                counters: None,
            }
        });
        // Without a listener the command has failed before its start and is about to say why: what
        // is left to do is what an anchor does.
        self.stay_with(command, ours, signals, service, registration)
    }

    fn anchor(self, plan: &Plan, outer: Outer) -> Result<()> {
        let own = outer.offsets()?;
        let offsets = match plan.joins {
            Some(_) => outer.anchor_at(&self.split.offsets),
            None => outer.anchor(&self.split.offsets),
        }?;
        let registration = self.register(plan, offsets, Around::Namespace(own))?;
        let signals = signal::descriptor(false).map_err(doing("make a signal descriptor"))?;
        let (ours, theirs) = channel::pair().map_err(doing("make a socket pair"))?;
        let command = match process::fork().map_err(doing("start the command"))? {
            Forked::Parent(pid) => pid,
            Forked::Child => {
                drop(ours);
                drop(registration);
                wait_for_keeper(&theirs)?;
                self.inherited.give_back();
                return Ok(());
            }
        };
        drop(theirs);
        Message::Born.send(self.front.as_fd());
        message::wait_for_front(self.front.as_fd(), command);
        self.stay_with(command, ours, signals, None, registration)
    }

    /// Becomes the keeper of the command, which waits at the other end of `waiting`.
    fn stay_with(
        self,
        command: i32,
        waiting: OwnedFd,
        signals: OwnedFd,
        service: Option<Service>,
        registration: Option<Registration>,
    ) -> ! {
        Keeper::new(Setting {
            command: Some(Command {
                pid: command,
                front: self.front,
                front_pid: self.front_pid,
            }),
            warnings: None,
            signals,
            service,
            registration,
        })
        .stay(Some(waiting))
    }

    /// Writes the tree's record.
    fn register(
        &self,
        plan: &Plan,
        offsets: ClockOffsets,
        around: Around<'_>,
    ) -> Result<Option<Registration>> {
        let (inner, reads_by, own_realtime) = match around {
            Around::Host(image) => (false, Some(image.read_path().to_string()), Offset::ZERO),
            Around::Namespace(own) => (true, None, own.realtime),
        };
        register(&Tree {
            directory: plan.directory.as_deref(),
            name: plan.name.as_deref(),
            joins: plan.joins.as_ref().map(|joined| &joined.member),
            front: self.front_pid,
            inner,
            offsets,
            leaves_to_kernel: self.split.leaves_to_kernel,
            strict: plan.strict,
            host_proc: plan.host_proc,
            reads: plan.reads,
            reads_by,
            own_realtime,
            container: None,
            first: None,
        })
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
        wait_for_keeper(keeper)?;
        self.inherited.give_back();
        Ok(())
    }
}

/// What is around a new tree.
enum Around<'a> {
    /// Nothing: its programs get this image.
    Host(&'a Image),
    /// A namespace with these offsets.
    Namespace(ClockOffsets),
}

/// The listener that the command's process sends; `None` if it ended instead.
fn take_listener(from: &OwnedFd) -> Option<OwnedFd> {
    let mut byte = [0];
    channel::receive(from, &mut byte, true).ok()?.descriptor
}

/// In the command's process: waits until it may start.
fn wait_for_keeper(keeper: &OwnedFd) -> Result<()> {
    let mut ready = [0];
    match channel::receive(keeper, &mut ready, true) {
        Ok(received) if received.len == 1 => Ok(()),
        _ => Err(Error::new("the keeper has died before the command started")),
    }
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
