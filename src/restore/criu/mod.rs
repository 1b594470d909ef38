//! CRIU's action script: what it is asked to do, and when (criu(8), `--action-script`).
//!
//! | stage | what is done |
//! | --- | --- |
//! | `post-dump` | a tree that cannot be given its clocks again is refused, and goes on; the clocks are saved beside the images, and what is left of our filter is taken out of them |
//! | `pre-restore` | the file of clocks is looked at, and whether its name is free: CRIU stops here if it is refused |
//! | `pre-resume` | all processes are told to stop; CRIU still traces them, and a process of ours waits for it to let go: then each gets its image, a filter and a keeper, and all go on |
//! | `post-resume` | that is waited for, so that `criu restore` ends when the tree runs |
//!
//! At `pre-resume` each thread stands at the end of the rt_sigreturn(2) that has loaded its own
//! registers, so that a SIGSTOP that is sent now comes before its first instruction. CRIU itself
//! restores stopped processes in this way. It does not heed how the last two scripts end, so a tree
//! that cannot be made whole is killed here. At `post-resume` it has closed the images.

mod auxv;
mod call;
mod dumped;
mod filter;
mod frames;
mod images;
mod keeper;
mod offsets;
mod threads;
mod tree;
mod vdso;
mod waiter;
mod whole;

use std::io::Write;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use super::{Policies, SavedClocks};
use crate::line::shown;
use crate::sys::process;
use crate::{Error, Result, file};
use dumped::Dumped;
use images::Images;

pub(crate) use keeper::Order;

/// Where the clocks are saved, beside the images.
const CLOCKS: &str = "elsewhen-clocks.json";

/// One call of the action script.
#[derive(Debug)]
pub(crate) struct Action {
    stage: String,
    /// The first process of the tree, where there is one already.
    first: Option<i32>,
    clocks: Option<PathBuf>,
    /// Of the images.
    directory: PathBuf,
}

impl Action {
    /// The action that CRIU asks for by its variables; `clocks` is a file to use in place of the usual
    /// one.
    ///
    /// # Errors
    /// It was not CRIU that has started this.
    pub(crate) fn asked_for(clocks: Option<PathBuf>) -> Result<Self> {
        let variable = |name: &str| {
            std::env::var_os(name).ok_or_else(|| {
                Error::new(format!(
                    "`{name}` is not set: CRIU sets it; name a script that runs `elsewhen criu-action` as \
                     its `--action-script`"
                ))
            })
        };
        let stage = variable("CRTOOLS_SCRIPT_ACTION")?;
        let directory = variable("CRTOOLS_IMAGE_DIR")?;
        let first = variable("CRTOOLS_INIT_PID").ok();
        Ok(Self {
            stage: stage.to_string_lossy().into_owned(),
            first: first.and_then(|pid| pid.to_str()?.parse().ok()),
            clocks,
            directory: directory.into(),
        })
    }

    /// Carries it out; stages at which there is nothing to do are none.
    ///
    /// # Errors
    /// The tree cannot be saved or restored; in the latter case nothing of it runs.
    pub(crate) fn carry_out(&self, policies: &Policies) -> Result<()> {
        match self.stage.as_str() {
            "post-dump" => self.save(&self.images()?),
            "pre-restore" => {
                let saved = self.saved(&self.images()?)?;
                saved.name().map_or(Ok(()), keeper::expect_name)
            }
            "pre-resume" => self.or_kill(|first| {
                let images = self.images()?;
                let saved = self.saved(&images)?;
                tree::stop(first)?;
                let criu = images.opened_by().unwrap_or(first);
                waiter::start(first, criu, || {
                    self.or_kill(|first| whole::make(first, &saved, policies, &images))
                })
            }),
            "post-resume" => waiter::wait(self.first()?),
            _ => Ok(()),
        }
    }

    fn images(&self) -> Result<Images> {
        Images::open(self.directory.clone())
    }

    fn clocks(&self, images: &Images) -> PathBuf {
        let beside = || images.file(CLOCKS);
        self.clocks.clone().unwrap_or_else(beside)
    }

    fn save(&self, images: &Images) -> Result<()> {
        let dumped = Dumped::look(self.first()?)?;
        let saved = SavedClocks::now(dumped.offsets)?;
        let text = saved.with_tree(&images.tree()?).to_json();
        // What is there is of another dump: a file that is half written must not pass for it.
        let clocks = self.clocks(images);
        file::replace(&clocks, text.as_bytes()).map_err(|error| {
            let clocks = shown(clocks.as_os_str());
            Error::os(
                format!("cannot write the file of clocks, `{clocks}`"),
                error,
            )
        })?;
        if dumped.has_images && images.let_filters_pass()? {
            let _ = writeln!(
                std::io::stderr(),
                "elsewhen: a seccomp filter of these processes' asks somebody else's supervisor; it is left as it \
                 is, and nobody answers it after a restore: what it asks about fails with `ENOSYS`"
            );
        }
        Ok(())
    }

    /// The clocks, if they are those of these images.
    fn saved(&self, images: &Images) -> Result<SavedClocks> {
        let saved = SavedClocks::read(&self.clocks(images)).map_err(|error| {
            let is_elsewhere = matches!(error.errno(), Some(libc::ENOENT | libc::ENOTDIR | libc::EISDIR));
            // The path may be so long that the name at its end is not shown.
            match self.clocks.is_none() && error.errno() == Some(libc::ENOENT) {
                true => Error::new(format!(
                    "there is no `{CLOCKS}` beside the images: it was left behind, or they were dumped \
                     without `elsewhen criu-action` as the action script"
                )),
                false if is_elsewhere => error.with_way_out(
                    "name the file that `elsewhen criu-action` wrote when these images were dumped",
                ),
                false => error,
            }
        })?;
        let tree = images.tree()?;
        match saved.tree() {
            Some(of) if of == tree => Ok(saved),
            Some(of) if of.starts_with(images::TREE) => Err(Error::new(
                "the clocks were not saved by the dump that made these images: they are older, or \
                 another tree's; give the `elsewhen-clocks.json` that lay beside them",
            )),
            _ => Err(Error::new(
                "the clocks were not saved by a dump: they are those of a namespace that went on; \
                 dump with `elsewhen criu-action` as the action script",
            )),
        }
    }

    fn first(&self) -> Result<i32> {
        self.first
            .ok_or_else(|| Error::new("CRIU has named no process in `CRTOOLS_INIT_PID`"))
    }

    fn or_kill(&self, action: impl FnOnce(i32) -> Result<()>) -> Result<()> {
        let first = self.first()?;
        let panicked = |_| Err(Error::new("this is a defect of elsewhen"));
        let done = catch_unwind(AssertUnwindSafe(|| action(first))).unwrap_or_else(panicked);
        done.inspect_err(|_| {
            for pid in tree::members(first).unwrap_or_else(|_| vec![first]) {
                process::kill(pid, libc::SIGKILL);
            }
        })
    }
}
