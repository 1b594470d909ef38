//! The vDSO of a restored process: back where it was, with an image in it.
//!
//! CRIU puts this kernel's vDSO in the place of the dumped one where all symbols are at the same
//! places. In a process with an image they are not: there CRIU keeps the dumped pages as ordinary
//! memory, has their functions jump to this kernel's vDSO, which lies elsewhere, and puts a mark into
//! that (criu: `criu/pie/parasite-vdso.c`).
//!
//! Where the kept image is laid out like the one that is made here, this kernel's vDSO is **moved** over
//! it: all is as it was. Elsewhere (another kernel) it is **kept**: its gate goes on to serve call sites
//! that lead there and threads that were stopped in it, which only takes the new offsets; its functions
//! jump to this kernel's, over which those of a new image lie. The supervisor is told of the new
//! image by the auxiliary vector.

use std::ops::Range;

use super::call::Caller;
use crate::arch::{SYSCALL, nr};
use crate::image::Image;
use crate::inject::{Injector, Kept, Missing, Task};
use crate::sys::maps::{self, Mapping};
use crate::{Error, Result};

/// `MREMAP_MAYMOVE | MREMAP_FIXED`.
const MOVE: u64 = 1 | 2;

/// Where a process's vDSO lies, and how it is there.
pub(super) struct Vdso {
    /// Where it is to be.
    pub(super) base: u64,
    /// Where the program and its supervisor look for it.
    known: u64,
    /// Where this kernel's is.
    runtime: Range<u64>,
    /// The kernel's data beside it, in their order.
    data: Vec<Range<u64>>,
    /// The image that it was dumped with, if it had one.
    pub(super) image: Option<Kept>,
}

/// The longest vDSO that is looked into.
const MOST: u64 = 64 << 10;

impl Vdso {
    /// Finds it.
    ///
    /// # Errors
    /// There is none.
    pub(super) fn find(pid: i32, task: &Task<'_>, injector: &Injector) -> Result<Self> {
        let unfit = |why| Error::new(format!("process {pid} {why}"));
        let known = base_of(task, injector).map_err(unfit)?;
        let maps = maps_of(pid)?;
        let mappings: Vec<Mapping<'_>> = maps.lines().filter_map(maps::parse).collect();
        let range = |mapping: &Mapping<'_>| mapping.start..mapping.end;
        let runtime = mappings.iter().find(|m| m.name == Some("[vdso]"));
        let runtime = runtime.map(range).ok_or_else(|| unfit(NO_VDSO))?;
        let is_data = |m: &&Mapping<'_>| m.name.is_some_and(|name| name.starts_with("[vvar"));
        let data = mappings.iter().filter(is_data).map(range).collect();
        let mut images = mappings
            .iter()
            .filter(|m| m.name.is_none() && m.rights[2] == b'x' && m.end - m.start <= MOST);
        let image = images.find_map(|mapping| injector.find_kept(task, &range(mapping)));
        if image.is_some_and(|image| !image.is_known) {
            return Err(Error::new(format!(
                "process {pid} was dumped with another elsewhen; restore it with that"
            )));
        }
        let like = image.filter(|image| injector.is_like(task, image.base));
        Ok(Self {
            base: like.map_or(runtime.start, |image| image.base),
            known,
            runtime,
            data,
            image,
        })
    }

    /// The image that stays where it is, as it is not like the one that is made here.
    pub(super) fn kept(&self) -> Option<&Kept> {
        self.image.as_ref().filter(|image| image.base != self.base)
    }

    /// Whether the auxiliary vector names another place.
    pub(super) fn is_moved(&self) -> bool {
        self.known != self.base
    }

    /// A `syscall` instruction in it as it is now.
    pub(super) fn call_at(&self, image: &Image) -> Result<u64> {
        let at = image.host().windows(2).position(|two| two == SYSCALL);
        at.map(|at| self.runtime.start + at as u64)
            .ok_or_else(|| Error::new("this kernel's vDSO makes no system call"))
    }

    /// Moves it to where the program looks for it.
    pub(super) fn settle(&mut self, caller: &mut Caller, image: &Image) -> Result<()> {
        if self.runtime.start == self.base {
            return Ok(());
        }
        let call_at = self.call_at(image)?;
        let distance = self.base.wrapping_sub(self.runtime.start);
        // Last the one that the thread makes its calls in: it goes on where that has gone.
        for range in self.data.iter().chain([&self.runtime]) {
            let len = range.end - range.start;
            let to = range.start.wrapping_add(distance);
            caller
                .call(call_at, nr::MREMAP, [range.start, len, len, MOVE, to, 0])
                .map_err(|error| Error::os("cannot move a restored process's vDSO", error))?;
        }
        let moved = |range: &Range<u64>| {
            range.start.wrapping_add(distance)..range.end.wrapping_add(distance)
        };
        self.data = self.data.iter().map(moved).collect();
        self.runtime = moved(&self.runtime);
        Ok(())
    }
}

/// The image of a process that is to be dumped, however that is laid out.
///
/// # Errors
/// A restore could not give it its clocks, for this reason.
pub(super) fn image_of(
    pid: i32,
    task: &Task<'_>,
    injector: &Injector,
) -> std::result::Result<Option<Kept>, &'static str> {
    let base = base_of(task, injector)?;
    let maps = maps_of(pid).map_err(|_| UNKNOWN)?;
    let mut mappings = maps.lines().filter_map(maps::parse);
    let mapping = mappings.find(|mapping| mapping.start == base);
    let range = mapping.map(|mapping| mapping.start..mapping.end);
    let range = range.ok_or(NO_VDSO)?;
    let image = (range.end - range.start <= MOST).then(|| injector.find_kept(task, &range));
    match image.flatten() {
        Some(image) if !image.is_known => Err("was started by another elsewhen"),
        image => Ok(image),
    }
}

const NO_VDSO: &str = "has no vDSO";
const UNKNOWN: &str = "cannot be looked at";

/// Where a program looks for its vDSO; or what it is that cannot have clocks of ours.
fn base_of(task: &Task<'_>, injector: &Injector) -> std::result::Result<u64, &'static str> {
    injector.vdso_of(task).map_err(|missing| match missing {
        Missing::Compat => "is a 32-bit program",
        Missing::NoVdso => NO_VDSO,
        Missing::Gone | Missing::Denied | Missing::Foreign | Missing::NoGate => UNKNOWN,
    })
}

fn maps_of(pid: i32) -> Result<String> {
    std::fs::read_to_string(format!("/proc/{pid}/maps"))
        .map_err(|error| Error::os(format!("cannot read process {pid}'s mappings"), error))
}
