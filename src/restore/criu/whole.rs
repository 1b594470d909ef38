//! Making a restored tree whole, while all of it is stopped.

use std::collections::BTreeSet;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use super::super::{Policies, SavedClocks};
use super::call::Caller;
use super::images::Images;
use super::keeper::Order;
use super::vdso::Vdso;
use super::{auxv, filter, frames, offsets, threads, tree};
use crate::clock::ClockOffsets;
use crate::image::Image;
use crate::inject::{Injector, Task};
use crate::sys::process;
use crate::sys::ptrace::{self, Change, Running, Waiting};
use crate::{Error, Result, supervisor};

/// How long CRIU may take to let go of a thread.
const PATIENCE: Duration = Duration::from_secs(60);

/// A process, with all of its threads held.
struct Held {
    pid: i32,
    /// The first thread first.
    threads: Vec<Caller>,
    vdso: Vdso,
    /// What its image adds.
    offsets: ClockOffsets,
}

/// Gives each process of the tree below `first` its clocks, and has them go on.
///
/// # Errors
/// Some process cannot be given them; all are to be killed then.
pub(super) fn make(
    first: i32,
    saved: &SavedClocks,
    policies: &Policies,
    images: &Images,
) -> Result<()> {
    let image = Image::compose()?;
    let mut injector = Injector::new(image.clone());
    let proc = offsets::proc()?;
    let mut held = Vec::new();
    for pid in tree::members(first)? {
        held.push(Held::take(pid, &proc, &injector)?);
    }
    let before = held.first().map(|process| process.offsets);
    let before = before.ok_or_else(|| Error::new(format!("process {first} has ended")))?;
    let after = offsets::that_go_on(saved, policies, first, &before, images)?;
    let like = offsets::is_apart(first).then_some(first);
    let mut name = saved.name().map(str::to_owned);
    for process in &mut held {
        let offsets = offsets::of_member(&process.offsets, &before, &after)?;
        if process.needs_nothing(&offsets) {
            continue;
        }
        for listener in process.mend(&proc, &mut injector, &image, &offsets)? {
            let name = name.take();
            Order {
                offsets,
                like,
                first: process.pid,
                name,
            }
            .start(listener)?;
        }
    }
    // Children first: a parent that looks finds no child stopped that was not.
    for process in held.into_iter().rev() {
        let pid = process.pid;
        let inner = tree::inner_pid(pid).unwrap_or(pid);
        let signal = match images.was_stopped(inner) {
            true => libc::SIGSTOP,
            false => libc::SIGCONT,
        };
        process::kill(pid, signal);
        process.let_go();
    }
    Ok(())
}

impl Held {
    /// Holds all threads of a process that has been stopped.
    fn take(pid: i32, proc: &File, injector: &Injector) -> Result<Self> {
        let mut taken = BTreeSet::new();
        let mut threads = Vec::new();
        loop {
            let new: Vec<i32> = tree::threads(pid)?
                .into_iter()
                .filter(|tid| taken.insert(*tid))
                .collect();
            if new.is_empty() {
                break;
            }
            for tid in new {
                threads.push(hold(tid)?);
            }
        }
        let gone = |error| Error::os(format!("cannot hold process {pid}"), error);
        let caller = threads
            .first()
            .ok_or_else(|| gone(io::Error::from_raw_os_error(libc::ESRCH)))?;
        let task = Task::stopped(caller.stopped().map_err(gone)?, proc.as_fd());
        let vdso = Vdso::find(pid, &task, injector)?;
        let offsets = vdso.image.map(|image| image.found.offsets);
        Ok(Self {
            pid,
            vdso,
            offsets: offsets.unwrap_or_default(),
            threads,
        })
    }

    /// Whether it had no clocks of ours and is to have none.
    fn needs_nothing(&self, offsets: &ClockOffsets) -> bool {
        self.vdso.image.is_none() && *offsets == ClockOffsets::default()
    }

    /// Puts all in place; the listeners of its filters.
    fn mend(
        &mut self,
        proc: &File,
        injector: &mut Injector,
        image: &Image,
        offsets: &ClockOffsets,
    ) -> Result<Vec<std::os::fd::OwnedFd>> {
        let pid = self.pid;
        let gone = |error| Error::os(format!("cannot hold process {pid}"), error);
        let (first, others) = self
            .threads
            .split_first_mut()
            .ok_or_else(|| gone(io::Error::from_raw_os_error(libc::ESRCH)))?;
        self.vdso.settle(first, image)?;
        let call_at = self.vdso.call_at(image)?;
        if self.vdso.is_moved() {
            auxv::tell(first, call_at, self.vdso.base)?;
        }
        let mut listeners = Vec::new();
        match filter::attach(pid, first, call_at, true) {
            Ok(listener) => listeners.push(listener),
            // The threads have different filters.
            Err(e) if e.raw_os_error() == Some(libc::ESRCH) => {
                for thread in std::iter::once(&mut *first).chain(others) {
                    let listener = filter::attach(pid, thread, call_at, false);
                    listeners.push(listener.map_err(|e| filter::failed(pid, e))?);
                }
            }
            Err(e) => return Err(filter::failed(pid, e)),
        }
        let task = Task::stopped(first.stopped().map_err(gone)?, proc.as_fd());
        let base = self.vdso.base;
        let written = match self.vdso.kept() {
            Some(kept) => injector
                .rewrite_kept(&task, kept, offsets)
                .and_then(|()| injector.write_beside_mark(&task, base, offsets)),
            None => injector.rewrite(&task, base, offsets),
        };
        written.map_err(|_| Error::new(format!("cannot write the image of process {pid}")))?;
        let gate_at = match self.vdso.kept() {
            Some(kept) => kept.gate_at,
            None => image.gate().map(|gate| base + gate.entry() as u64),
        };
        if self.vdso.image.is_some() {
            // A process that never got a gate waits at its own places all the same.
            let gate = gate_at.zip(image.gate());
            for thread in &mut self.threads {
                let tid = thread.stopped().map_err(gone)?.tid();
                threads::renew(tid, &mut thread.registers, gate);
                frames::renew(tid, &thread.registers, gate);
            }
        }
        // It names namespaces that are no more.
        supervisor::forget_namespaces(pid);
        Ok(listeners)
    }

    fn let_go(self) {
        for thread in self.threads {
            thread.let_go();
        }
    }
}

/// Holds a thread, as soon as CRIU has let go of it.
fn hold(tid: i32) -> Result<Caller> {
    let failed = |error| Error::os(format!("cannot hold thread {tid}"), error);
    let running = seize(tid).map_err(failed)?;
    running.interrupt();
    match running.wait(Waiting::Polling) {
        Change::Stopped(stopped) => Caller::new(stopped),
        Change::Ended(_) => Err(failed(io::Error::from_raw_os_error(libc::ESRCH))),
    }
}

fn seize(tid: i32) -> io::Result<Running> {
    let since = Instant::now();
    loop {
        match ptrace::seize_to_mend(tid) {
            Err(e) if e.raw_os_error() == Some(libc::EPERM) && since.elapsed() < PATIENCE => {
                std::thread::sleep(Duration::from_millis(1));
            }
            other => return other,
        }
    }
}
