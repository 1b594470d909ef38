//! Saving the clocks of a namespace that runs, and letting them go on here.

use super::{Policies, SavedClocks};
use crate::clock::ClockOffsets;
use crate::line::shown;
use crate::registry::{self, Found};
use crate::{Error, Result, RunningNamespace, reading, supervisor};

const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

impl SavedClocks {
    /// The clocks, as they stand now, of the running namespace that a name or a process's number means.
    ///
    /// The namespace goes on. All clocks are read within a few microseconds, or within the time
    /// for which this process is kept from the processor.
    ///
    /// # Errors
    /// There is no such namespace or process, it is not this user's (root may save all), or the process
    /// has made a namespace for itself by unshare(2). `/proc` cannot be read, or the directory of this
    /// user's records is somebody else's. The host's clocks, or what the kernel adds to the namespace's,
    /// cannot be told from here.
    pub fn of(handle: &str) -> Result<Self> {
        let name = shown(handle.as_ref());
        // Who may join it may save it.
        let offsets = match registry::find(handle)? {
            Found::Guest { process, .. }
                if process.is_some_and(supervisor::has_namespace_of_its_own) =>
            {
                return Err(registry::made_inside(handle));
            }
            Found::Guest {
                is_known: false, ..
            } => {
                return Err(Error::new(format!(
                    "`{name}`: what the kernel adds to its clocks cannot be told from this pid \
                     namespace; save it inside of its own"
                )));
            }
            Found::Guest { offsets, .. } | Found::Kernel { offsets, .. } => offsets,
        };
        let namespace = RunningNamespace::find(handle)?;
        // The kernel's part is read from a process, and is nothing where that has ended.
        if namespace.offsets != offsets {
            return Err(Error::new(format!("`{name}`: it has just ended")));
        }
        let offsets = namespace
            .offsets
            .checked_add(&namespace.around)
            .ok_or_else(|| Error::new("its clocks lie too far from the host's to be saved"))?;
        let saved = Self::now(offsets).map_err(|error| error.behind(&format!("`{name}`")))?;
        Ok(match &namespace.name {
            Some(name) => saved.with_name(name),
            None => saved,
        })
    }

    /// The clocks, as they stand now, of a container that has its clocks from `elsewhen agent`, by its id or
    /// the first twelve digits or more of it.
    ///
    /// # Errors
    /// There is no such container, or it has no clocks of its own. Else as for [`of`](Self::of).
    pub fn of_container(id: &str) -> Result<Self> {
        let coverage = registry::coverage(id)?;
        match (&coverage.container, coverage.pid) {
            (Some(_), Some(pid)) if coverage.is_covered() => Self::of(&pid.to_string()),
            _ => Err(Error::new(format!(
                "`{}`: no container of that id has clocks of its own; \
                 `elsewhen check` says why that may be",
                shown(id.as_ref())
            ))),
        }
    }

    /// The clocks, as they stand now, of whoever is so far from this host's.
    ///
    /// # Errors
    /// As for [`new`](Self::new); or the host's clocks cannot be told from here.
    pub fn now(offsets: ClockOffsets) -> Result<Self> {
        let saved = Self::new(reading::host()?, offsets)?;
        Ok(match std::fs::read_to_string(BOOT_ID) {
            Ok(boot_id) => saved.with_boot_id(boot_id.trim_end()),
            Err(_) => saved,
        })
    }

    /// The offsets, from the clocks that the calling process reads, by which these go on now.
    ///
    /// # Errors
    /// As for [`offsets_by`](Self::offsets_by); or the host's clocks cannot be told from here.
    pub fn resume(&self, policies: &Policies) -> Result<ClockOffsets> {
        let host = reading::host()?;
        self.offsets_by(policies, &reading::now()?, &host)
    }
}
