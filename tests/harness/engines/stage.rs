//! What every engine needs: a root with a program or two, the agent, and elsewhen as a runtime.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::debian;
use crate::harness::guests::{self, Kind};
use crate::harness::host_watch::HostWatch;
use crate::harness::process::{Run, Running, alone, elsewhen};
use crate::harness::{Missing, root, sys, tools};

/// A directory with all of it. Dropped, the agent ends, with all that it has started.
pub(crate) struct Stage {
    waits: PathBuf,
    debian: Option<PathBuf>,
    _agent: Running,
    dir: TempDir,
    /// No container moves the host's clocks.
    _watch: HostWatch,
}

impl Drop for Stage {
    fn drop(&mut self) {
        // What an engine has left to tidy up would write into the directory while it is removed.
        let start = Instant::now();
        while is_in_use(self.dir.path()) && start.elapsed() < Duration::from_secs(10) {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Whether a process other than the agent has a path below the directory among its words.
fn is_in_use(dir: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    let dir = dir.as_os_str().as_bytes();
    let lines = fs::read_dir("/proc").unwrap().flatten();
    let lines = lines.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines
        .filter(|line| !line.split(|byte| *byte == 0).any(|word| word == b"agent"))
        .any(|line| line.windows(dir.len()).any(|part| part == dir))
}

impl Stage {
    /// Sets it up.
    ///
    /// # Errors
    /// What is missing here.
    pub(crate) fn new() -> Result<Self, Missing> {
        Self::with_agent_behind(&[])
    }

    /// The same, with an agent that these words start.
    ///
    /// # Errors
    /// What is missing here.
    pub(crate) fn with_agent_behind(before: &[&str]) -> Result<Self, Missing> {
        root()?;
        let busybox = tools::static_busybox()?;
        let waits = guests::build("timeouts", Kind::MuslStatic)?;
        // An engine's sockets have short paths.
        let dir = guests::public_directory();
        make_root(&dir.path().join("root"), &busybox, &waits);
        Ok(Self::with(dir, waits, None, before))
    }

    /// The same, with a root of Debian's, which is read-only, and guests in `/mnt`.
    ///
    /// # Errors
    /// What is missing here.
    pub(crate) fn on_debian() -> Result<Self, Missing> {
        let debian = debian::root()?;
        let dir = guests::public_directory();
        debian::make_guests(&dir.path().join("mnt"))?;
        debian::make_frame(&debian, &dir.path().join("root"));
        Ok(Self::with(dir, PathBuf::new(), Some(debian), &[]))
    }

    fn with(dir: TempDir, waits: PathBuf, debian: Option<PathBuf>, before: &[&str]) -> Self {
        let socket = dir.path().join("agent.sock");
        let agent = Run::on_host().through(before).start(&[
            elsewhen().as_os_str(),
            "agent".as_ref(),
            "--socket".as_ref(),
            socket.as_os_str(),
        ]);
        let is_there = || socket.exists();
        sys::wait_until(is_there, "the agent listens");
        Self {
            waits,
            debian,
            _agent: agent,
            dir,
            _watch: HostWatch::start(),
        }
    }

    /// Debian's root, if containers are to have that.
    pub(crate) fn debian(&self) -> Option<&Path> {
        self.debian.as_deref()
    }

    /// The containers' root.
    pub(crate) fn root(&self) -> PathBuf {
        self.debian.clone().unwrap_or_else(|| self.at("root"))
    }

    /// A path in the stage's directory.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The program whose waits are compared.
    pub(crate) fn waits(&self) -> &Path {
        &self.waits
    }

    /// Elsewhen as this runtime: a script, as a user would write it.
    ///
    /// # Errors
    /// The runtime is not installed.
    pub(crate) fn runtime(&self, name: &str) -> Result<PathBuf, Missing> {
        tools::find(name)?;
        let text = format!(
            "#!/bin/sh\nexec {} oci-runtime --runtime {name} --socket {} -- \"$@\"\n",
            elsewhen().display(),
            self.at("agent.sock").display()
        );
        Ok(self.script(&format!("elsewhen-{name}"), &text))
    }

    /// An executable file with this text.
    pub(crate) fn script(&self, name: &str, text: &str) -> PathBuf {
        let script = self.at(name);
        alone(|| {
            fs::write(&script, text).unwrap();
            fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
        });
        script
    }

    /// Puts a program into the root; where it is there.
    pub(crate) fn add(&self, program: &Path) -> String {
        let copied = guests::copy(program, &self.at("root/bin"), 0o755);
        let inside = copied.strip_prefix(self.at("root")).unwrap();
        format!("/{}", inside.display())
    }

    /// The root as an archive, which engines import.
    pub(crate) fn archive(&self) -> PathBuf {
        let archive = self.at("root.tar");
        let mut tar = Command::new("tar");
        tar.arg("-C")
            .arg(self.at("root"))
            .arg("-cf")
            .arg(&archive)
            .arg(".");
        assert!(alone(|| tar.status()).unwrap().success());
        archive
    }
}

fn make_root(root: &Path, busybox: &Path, waits: &Path) {
    let bin = root.join("bin");
    fs::create_dir_all(&bin).unwrap();
    for dir in ["proc", "dev", "sys", "tmp", "etc"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    alone(|| {
        fs::copy(busybox, bin.join("busybox")).unwrap();
        fs::copy(waits, bin.join("timeouts")).unwrap();
    });
    for applet in ["sh", "date", "sleep", "cut", "cat", "grep"] {
        symlink("busybox", bin.join(applet)).unwrap();
    }
}

/// Words before crun's engine where both versions of control groups are mounted, which crun does not expect.
pub(crate) fn without_hybrid_cgroups(words: &mut Vec<std::ffi::OsString>) {
    if Path::new("/sys/fs/cgroup/unified").is_dir() {
        let script = "umount /sys/fs/cgroup/unified && exec \"$@\"";
        let before = ["unshare", "--mount", "sh", "-c", script, "sh"];
        words.splice(0..0, before.map(Into::into));
    }
}
