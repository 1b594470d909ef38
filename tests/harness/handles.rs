//! Namespaces by their names, in a directory of records of the test's own.

use super::process::{Finished, Run, Running, elsewhen};
use super::sys::wait_until;
use serde_json::Value;
use std::path::Path;
use tempfile::TempDir;

/// A directory of records, or the one that the user has.
#[derive(Debug)]
pub(crate) struct Place {
    dir: Option<TempDir>,
}

impl Place {
    /// A directory that nobody else looks at.
    pub(crate) fn new() -> Self {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o700)).unwrap();
        Self { dir: Some(dir) }
    }

    /// The directory that is used without a word.
    pub(crate) fn usual() -> Self {
        Self { dir: None }
    }

    /// Where the records are; only for one of the test's own.
    pub(crate) fn path(&self) -> &Path {
        self.dir.as_ref().unwrap().path()
    }

    /// The names of the records that lie there.
    pub(crate) fn records(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names.map(|name| name.into_string().unwrap()).collect()
    }

    fn words(&self) -> Vec<String> {
        let dir = self.dir.as_ref().map(|dir| dir.path().display());
        let dir = dir.map(|dir| format!("ELSEWHEN_RUNTIME_DIR={dir}"));
        ["env".to_owned()].into_iter().chain(dir).collect()
    }

    /// `elsewhen run` with these options.
    pub(crate) fn inside(&self, options: &[&str]) -> Run {
        Run::inside(options).through(&self.words())
    }

    /// Starts a shell's script that says `in` when it runs, and waits for that.
    pub(crate) fn start(&self, options: &[&str], script: &str) -> Running {
        let mut running = self
            .inside(options)
            .start(&["sh", "-c", &format!("echo in; {script}")]);
        until_in(&mut running);
        running
    }

    /// Another subcommand, to its end.
    pub(crate) fn tool<S: AsRef<str>>(&self, args: &[S]) -> Finished {
        let mut words = vec![elsewhen().display().to_string()];
        words.extend(args.iter().map(|arg| arg.as_ref().to_owned()));
        Run::on_host().through(&self.words()).run(&words)
    }

    /// What `elsewhen ls --json` says, but for the kernel's namespaces, which anybody may have made.
    pub(crate) fn list(&self) -> Vec<Value> {
        let listed = self.tool(&["ls", "--json"]).succeeded();
        let mut listed: Vec<Value> = serde_json::from_str(&listed.stdout).unwrap();
        listed.retain(|namespace| namespace["backend"] != "kernel");
        listed
    }

    /// The one namespace of that name.
    pub(crate) fn named(&self, name: &str) -> Option<Value> {
        let mut found = self.list();
        found.retain(|namespace| namespace["name"] == name);
        assert!(found.len() < 2, "{found:#?}");
        found.pop()
    }

    /// What `elsewhen show --json` says.
    pub(crate) fn show(&self, handle: &str) -> Value {
        let shown = self.tool(&["show", handle, "--json"]).succeeded();
        serde_json::from_str(&shown.stdout).unwrap()
    }
}

/// Waits until a script of [`Place::start`]'s has begun.
pub(crate) fn until_in(running: &mut Running) {
    let mut has_begun = || {
        let is_alive = running.is_alive();
        let output = running.output();
        let has_begun = output.contains("stdout:\nin\n");
        assert!(is_alive || has_begun, "{output}");
        has_begun
    };
    wait_until(&mut has_begun, "the command has begun");
}

/// The pids of all members.
pub(crate) fn pids(namespace: &Value) -> Vec<i64> {
    let trees = namespace["trees"].as_array().unwrap().iter();
    let processes = trees.flat_map(|tree| tree["processes"].as_array().unwrap());
    processes.map(|p| p["pid"].as_i64().unwrap()).collect()
}

/// The keeper of the first tree.
pub(crate) fn keeper(namespace: &Value) -> i32 {
    let keeper = namespace["trees"][0]["keeper"].as_i64().unwrap();
    i32::try_from(keeper).unwrap()
}

/// The one line of an error, which must have started nothing.
pub(crate) fn complaint(finished: &Finished) -> &str {
    assert_eq!(finished.code, 125, "{finished:#?}");
    assert_eq!(finished.stdout, "", "{finished:#?}");
    let line = finished.stderr.strip_suffix('\n');
    let line = line.and_then(|line| line.strip_prefix("elsewhen: "));
    let line = line.unwrap_or_else(|| panic!("{finished:#?}"));
    assert!(!line.contains('\n'), "{finished:#?}");
    line
}
