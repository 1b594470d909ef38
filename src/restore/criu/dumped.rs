//! The processes that CRIU dumps: what their clocks are, and whether a restore can give them some.

use std::os::fd::AsFd;

use super::{offsets, tree, vdso};
use crate::clock::ClockOffsets;
use crate::image::Image;
use crate::inject::{Injector, Task};
use crate::line::shown;
use crate::{Error, Result, registry};

/// A tree that is being dumped.
pub(super) struct Dumped {
    /// Of the first process, from the host's clocks.
    pub(super) offsets: ClockOffsets,
    /// Whether any process has an image of ours.
    pub(super) has_images: bool,
}

impl Dumped {
    /// Looks at all processes of the tree below `first`, which CRIU holds.
    ///
    /// # Errors
    /// A restore could not give one of them its clocks: CRIU lets all of them go on then.
    pub(super) fn look(first: i32) -> Result<Self> {
        let proc = offsets::proc()?;
        let injector = Injector::new(Image::compose()?);
        let mut own = ClockOffsets::default();
        let mut has_images = false;
        for pid in tree::members(first)? {
            let task = Task::frozen(pid, proc.as_fd());
            let image = vdso::image_of(pid, &task, &injector).map_err(|why| refused(pid, why))?;
            has_images |= image.is_some();
            if let Some(image) = image.filter(|_| pid == first) {
                own = image.found.offsets;
            }
        }
        let around = registry::kernels_offsets_of(first);
        let offsets = own.checked_add(&around);
        Ok(Self {
            offsets: offsets
                .ok_or_else(|| Error::new("its clocks lie too far from the host's to be saved"))?,
            has_images,
        })
    }
}

fn refused(pid: i32, why: &str) -> Error {
    let name = std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default();
    let name = String::from_utf8_lossy(&name).trim_end().to_owned();
    Error::new(format!(
        "process {pid} (`{}`) {why}: a restore cannot give it clocks that go on; end it before the dump, \
         or dump without `elsewhen criu-action`",
        shown(name.as_ref())
    ))
}
