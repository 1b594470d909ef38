//! Containers of the real runtimes on a root of busybox's, and the agent that gives them their clocks.

mod agent;
mod bundle;

#[allow(unused_imports, reason = "not every test file has an agent")]
pub(crate) use agent::Agent;
pub(crate) use bundle::Bundle;

use super::process::{Finished, Run, Running};
use super::sys::wait_until;
use super::{Missing, root, tools};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// A runtime.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Runtime {
    Runc,
    Crun,
}

impl Runtime {
    pub(crate) const ALL: [Self; 2] = [Self::Runc, Self::Crun];

    /// The words that start it; crun cannot work with a hierarchy of version 2 beside those of version 1.
    fn words(self, state: &Path) -> Result<Vec<OsString>, Missing> {
        let name = match self {
            Self::Runc => "runc",
            Self::Crun => "crun",
        };
        let mut words: Vec<OsString> = Vec::new();
        if self == Self::Crun && Path::new("/sys/fs/cgroup/unified").exists() {
            let script = "umount /sys/fs/cgroup/unified; exec \"$@\"";
            words.extend(["unshare", "-m", "sh", "-c", script, "sh"].map(OsString::from));
        }
        words.extend([tools::find(name)?.into(), "--root".into(), state.into()]);
        Ok(words)
    }
}

/// A container that is there, or may be made. Dropped, it is deleted.
pub(crate) struct Container {
    runtime: Runtime,
    state: TempDir,
    pub(crate) bundle: Bundle,
    pub(crate) id: String,
}

impl Container {
    pub(crate) fn new(runtime: Runtime, bundle: Bundle) -> Result<Self, Missing> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        root()?;
        let state = tempfile::tempdir().unwrap();
        runtime.words(state.path())?;
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        Ok(Self {
            runtime,
            state,
            bundle,
            id: format!("elsewhen-test-{}-{count}", std::process::id()),
        })
    }

    /// One of runc's whose root is this machine's own system, with these clocks (as options of
    /// `elsewhen oci-profile`) and these capabilities besides the usual few.
    pub(crate) fn of_host(
        agent: &Agent,
        clocks: &[impl AsRef<str>],
        capabilities: &[&str],
        program: &[impl AsRef<OsStr>],
    ) -> Result<Self, Missing> {
        let clocks: Vec<&str> = clocks.iter().map(AsRef::as_ref).collect();
        let program = program.iter().map(|word| word.as_ref().to_str().unwrap());
        let program: Vec<&str> = program.collect();
        let mut bundle = Bundle::of_host(&program, "/usr", agent.profile(&clocks))?;
        for set in ["bounding", "effective", "permitted"] {
            let held = &mut bundle.config["process"]["capabilities"][set];
            let more = capabilities.iter().map(|name| (*name).into());
            held.as_array_mut().unwrap().extend(more);
        }
        bundle.write();
        Self::new(Runtime::Runc, bundle)
    }

    /// The words that have the runtime do something.
    pub(crate) fn words(&self, words: &[&str]) -> Vec<OsString> {
        let mut all = self.runtime.words(self.state.path()).expect("was there");
        all.extend(words.iter().map(OsString::from));
        all
    }

    /// Starts the bundle's program, and waits for its end.
    pub(crate) fn start(&self) -> Running {
        let path = self.bundle.path().to_str().unwrap().to_owned();
        let words = self.words(&["run", "--bundle", &path, &self.id]);
        Run::on_host().limit(300).start(&words)
    }

    /// The same to the end.
    pub(crate) fn run(&self) -> Finished {
        self.start().finish()
    }

    /// Runs a program in the container that is there.
    pub(crate) fn exec(&self, program: &[&str]) -> Finished {
        let words = [&["exec", &self.id], program].concat();
        Run::on_host().run(&self.words(&words))
    }

    /// Waits until the container runs.
    pub(crate) fn wait_until_it_runs(&self) {
        wait_until(|| self.init().is_some(), "the container runs");
    }

    /// Its first process.
    pub(crate) fn init(&self) -> Option<i32> {
        let state = Run::on_host().run(&self.words(&["state", &self.id]));
        let state: serde_json::Value = serde_json::from_str(&state.stdout).ok()?;
        if state["status"] != "running" {
            return None;
        }
        i32::try_from(state["pid"].as_i64()?).ok()
    }

    /// Kills and removes it.
    pub(crate) fn delete(&self) {
        Run::on_host().run(&self.words(&["delete", "--force", &self.id]));
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.delete();
    }
}
