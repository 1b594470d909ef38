//! An agent of the test's own, with its socket, its records and its log.

use crate::harness::host_watch::HostWatch;
use crate::harness::process::{Finished, Run, alone, elsewhen};
use crate::harness::sys;
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// An agent. Dropped, it is ended.
pub(crate) struct Agent {
    child: Option<Child>,
    directory: TempDir,
    program: Vec<OsString>,
    words: Vec<String>,
    ends_by: i32,
    /// No container moves the host's clocks.
    _watch: HostWatch,
}

impl Agent {
    /// Starts one with these further words.
    pub(crate) fn start(words: &[&str]) -> Self {
        Self::start_by(vec![elsewhen().into()], words, libc::SIGTERM)
    }

    /// Starts one by these words, which end with elsewhen; what they are the first of ends by that signal.
    pub(crate) fn start_by(program: Vec<OsString>, words: &[&str], ends_by: i32) -> Self {
        let mut agent = Self {
            child: None,
            directory: tempfile::tempdir().unwrap(),
            program,
            words: words.iter().map(|word| (*word).to_owned()).collect(),
            ends_by,
            _watch: HostWatch::start(),
        };
        // Whoever it runs as keeps its records there.
        let open = std::fs::Permissions::from_mode(0o777);
        std::fs::set_permissions(agent.directory(), open).unwrap();
        agent.start_again();
        agent
    }

    /// Starts it once more.
    pub(crate) fn start_again(&mut self) {
        let started = match self.path("log").exists() {
            true => self.events("started").len(),
            false => 0,
        };
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.path("log"))
            .unwrap();
        let mut command = Command::new(&self.program[0]);
        command
            .args(&self.program[1..])
            .args(["agent", "--socket"])
            .arg(self.socket())
            .args(&self.words)
            .env("ELSEWHEN_RUNTIME_DIR", self.path("records"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(alone(|| command.spawn()).unwrap());
        self.wait_for("started", started + 1);
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.path("socket")
    }

    pub(crate) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Its process.
    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.as_ref().unwrap().id()).unwrap()
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.path("log")).unwrap()
    }

    /// The lines of its log about this event.
    pub(crate) fn events(&self, event: &str) -> Vec<String> {
        let pair = format!(" event={event} ");
        let log = self.log();
        let lines = log.lines().filter(|line| line.contains(&pair));
        lines.map(str::to_owned).collect()
    }

    /// The value of a pair in a line of the log.
    pub(crate) fn value<'a>(line: &'a str, key: &str) -> &'a str {
        let pair = format!(" {key}=");
        let start = line
            .find(&pair)
            .unwrap_or_else(|| panic!("no {key}: {line}"))
            + pair.len();
        line[start..].split(' ').next().unwrap()
    }

    /// Waits until so many of these events are logged.
    pub(crate) fn wait_for(&self, event: &str, count: usize) {
        let is_there = || self.events(event).len() >= count;
        let start = std::time::Instant::now();
        while !is_there() {
            let log = self.log();
            assert!(
                start.elapsed().as_secs() < 120,
                "no {count} {event}:\n{log}"
            );
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }

    /// Ends it by this signal.
    pub(crate) fn end(&mut self, signal: i32) -> Option<i32> {
        let mut child = self.child.take().unwrap();
        sys::kill(i32::try_from(child.id()).unwrap(), signal);
        child.wait().unwrap().code()
    }

    /// Runs elsewhen where it sees this agent's containers.
    pub(crate) fn elsewhen<S: AsRef<OsStr>>(&self, words: &[S]) -> Finished {
        let mut all: Vec<OsString> = vec!["env".into()];
        let mut directory = OsString::from("ELSEWHEN_RUNTIME_DIR=");
        directory.push(self.path("records"));
        all.extend([directory, elsewhen().into()]);
        all.extend(words.iter().map(|word| word.as_ref().to_owned()));
        Run::on_host().run(&all)
    }

    /// The profile that leads containers here.
    pub(crate) fn profile(&self, words: &[&str]) -> serde_json::Value {
        let socket = self.socket();
        let mut all = vec!["oci-profile", "--socket", socket.to_str().unwrap()];
        all.extend(words);
        let profile = self.elsewhen(&all).succeeded().stdout;
        serde_json::from_str(&profile).unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if self.child.is_some() {
            self.end(self.ends_by);
        }
    }
}
