//! The vDSO of a restored process: back where it was, with an image in it.
//!
//! CRIU puts this kernel's vDSO in the place of the dumped one where all symbols are at the same
//! places. In a process with an image they are not: there CRIU keeps the dumped pages as ordinary
//! memory, has their functions jump to this kernel's vDSO, which lies elsewhere, and puts a mark into
//! that (criu: `criu/pie/parasite-vdso.c`). So the vDSO and its data are moved over the dumped
//! ones. Call sites that lead to the gate, pointers to functions, and threads that were stopped in there
//! are right then, if the dump was made with an image that is laid out like this one.

use std::ops::Range;

use super::call::Caller;
use crate::arch::{SYSCALL, nr};
use crate::image::Image;
use crate::inject::{Injector, Task};
use crate::{Error, Result};

/// `MREMAP_MAYMOVE | MREMAP_FIXED`.
const MOVE: u64 = 1 | 2;

/// A mapping's line in `/proc/PID/maps`.
struct Mapping {
    range: Range<u64>,
    name: String,
}

/// Where a process's vDSO lies, and how it is there.
pub(super) struct Vdso {
    /// By the auxiliary vector: where the program looks for it.
    pub(super) base: u64,
    /// Where this kernel's is.
    runtime: Range<u64>,
    /// The kernel's data beside it, in their order.
    data: Vec<Range<u64>>,
    /// Whether the pages at the base held an image.
    pub(super) has_image: bool,
}

impl Vdso {
    /// Finds it.
    ///
    /// # Errors
    /// There is none, or the process was dumped with an image that is laid out in another way.
    pub(super) fn find(pid: i32, task: &Task<'_>, injector: &Injector) -> Result<Self> {
        let base = injector
            .vdso_of(task)
            .ok_or_else(|| Error::new(format!("process {pid} has no vDSO")))?;
        let maps = std::fs::read_to_string(format!("/proc/{pid}/maps"))
            .map_err(|error| Error::os(format!("cannot read process {pid}'s mappings"), error))?;
        let mappings: Vec<Mapping> = maps.lines().filter_map(Mapping::parse).collect();
        let runtime = mappings.iter().find(|mapping| mapping.name == "[vdso]");
        let runtime = runtime.map(|mapping| mapping.range.clone());
        let runtime = runtime.ok_or_else(|| Error::new(format!("process {pid} has no vDSO")))?;
        let data = mappings.iter().filter(|m| m.name.starts_with("[vvar"));
        let has_image = injector.has_image(task, base);
        if base != runtime.start && !(has_image && injector.is_like(task, base)) {
            return Err(Error::new(format!(
                "process {pid} was dumped under another kernel, or another elsewhen: its vDSO is of \
                 another form; restore it under the kernel that it was dumped under"
            )));
        }
        Ok(Self {
            base,
            runtime,
            data: data.map(|mapping| mapping.range.clone()).collect(),
            has_image,
        })
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

impl Mapping {
    fn parse(line: &str) -> Option<Self> {
        let mut fields = line.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let number = |text| u64::from_str_radix(text, 16).ok();
        Some(Self {
            range: number(start)?..number(end)?,
            name: fields.nth(4).unwrap_or_default().to_owned(),
        })
    }
}
