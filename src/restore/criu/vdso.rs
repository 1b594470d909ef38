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
use crate::clock::ClockOffsets;
use crate::image::Image;
use crate::inject::{Injector, Kept, Task};
use crate::{Error, Result};

/// `MREMAP_MAYMOVE | MREMAP_FIXED`.
const MOVE: u64 = 1 | 2;

/// A mapping's line in `/proc/PID/maps`.
struct Mapping {
    range: Range<u64>,
    name: String,
    is_code: bool,
}

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
        let none = || Error::new(format!("process {pid} has no vDSO"));
        let known = injector.vdso_of(task).ok_or_else(none)?;
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))
            .map_err(|error| Error::os(format!("cannot read process {pid}'s mappings"), error))?;
        let mappings: Vec<Mapping> = maps.lines().filter_map(Mapping::parse).collect();
        let runtime = mappings.iter().find(|mapping| mapping.name == "[vdso]");
        let runtime = runtime
            .map(|mapping| mapping.range.clone())
            .ok_or_else(none)?;
        let data = mappings.iter().filter(|m| m.name.starts_with("[vvar"));
        let mut images = mappings
            .iter()
            .filter(|m| m.name.is_empty() && m.is_code && m.range.end - m.range.start <= MOST);
        let image = images.find_map(|mapping| injector.find_kept(task, &mapping.range));
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
            data: data.map(|mapping| mapping.range.clone()).collect(),
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

/// The offsets of a process's image, however that is laid out.
pub(super) fn offsets_of(pid: i32, task: &Task<'_>, injector: &Injector) -> Option<ClockOffsets> {
    let base = injector.vdso_of(task)?;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).ok()?;
    let mut mappings = maps.lines().filter_map(Mapping::parse);
    let mapping = mappings.find(|mapping| mapping.range.start == base)?;
    let len = mapping.range.end - mapping.range.start;
    let image = (len <= MOST).then(|| injector.find_kept(task, &mapping.range))?;
    Some(image?.found.offsets)
}

impl Mapping {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            range: number(start)?..number(end)?,
            is_code: fields.next()?.contains('x'),
            name: fields.nth(3).unwrap_or_default().to_owned(),
        })
    }
}
