//! Podman, with its images, containers and state below the stage.

use std::ffi::OsString;
use std::path::PathBuf;

use super::stage::Stage;
use super::stage::without_hybrid_cgroups;
use super::{Engine, debian};
use crate::harness::process::{Finished, Run};
use crate::harness::{Missing, tools};

/// Podman with one runtime.
pub(crate) struct Podman {
    words: Vec<OsString>,
    image: Vec<String>,
}

impl Podman {
    /// With this real runtime behind elsewhen.
    ///
    /// # Errors
    /// What is not installed.
    pub(crate) fn new(stage: &Stage, runtime: &str) -> Result<Self, Missing> {
        Self::by(stage, runtime, stage.runtime(runtime)?)
    }

    /// With this runtime and no elsewhen before it.
    ///
    /// # Errors
    /// What is not installed.
    pub(crate) fn bare(stage: &Stage, runtime: &str) -> Result<Self, Missing> {
        Self::by(stage, runtime, tools::find(runtime)?)
    }

    fn by(stage: &Stage, runtime: &str, path: PathBuf) -> Result<Self, Missing> {
        let podman = tools::find("podman")?;
        let mut words: Vec<OsString> = vec![podman.into()];
        let dirs = [
            ("--root", "storage"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
        ];
        for (option, dir) in dirs {
            words.extend([option.into(), stage.at(&format!("podman-{dir}")).into()]);
        }
        let options = [
            "--cgroup-manager=cgroupfs",
            "--storage-driver=vfs",
            "--events-backend=none",
        ];
        words.extend(options.map(OsString::from));
        words.extend(["--runtime".into(), path.into()]);
        if runtime == "crun" {
            without_hybrid_cgroups(&mut words);
        }
        if let Some(root) = stage.debian() {
            let image = vec![
                "--read-only".into(),
                format!("--user={}", debian::USER),
                format!("--volume={}:/mnt:ro", stage.at("mnt").display()),
                "--rootfs".into(),
                root.display().to_string(),
            ];
            return Ok(Self { words, image });
        }
        let image = vec!["elsewhen-test".into()];
        let podman = Self { words, image };
        let archive = stage.archive();
        let import = [
            "import".as_ref(),
            archive.as_os_str(),
            "elsewhen-test".as_ref(),
        ];
        Run::on_host()
            .through(&podman.words)
            .run(&import)
            .succeeded();
        Ok(podman)
    }

    fn of(&self, words: &[&str]) -> Finished {
        Run::on_host().limit(240).through(&self.words).run(words)
    }

    fn container(&self, first: &[&str], offsets: &[(&str, &str)], command: &[&str]) -> Finished {
        let mut words: Vec<String> = first.iter().map(ToString::to_string).collect();
        // No network, and no more of the machine than a container's root may have.
        let options = [
            "--network=none",
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=1000:1000",
        ];
        words.extend(options.map(String::from));
        for (clock, word) in offsets {
            words.push(format!("--annotation=org.elsewhen.{clock}={word}"));
        }
        words.extend(self.image.clone());
        words.extend(command.iter().map(ToString::to_string));
        Run::on_host().limit(240).through(&self.words).run(&words)
    }

    /// With another option for this one container.
    pub(crate) fn run_with(
        &self,
        option: &str,
        offsets: &[(&str, &str)],
        command: &[&str],
    ) -> Finished {
        self.run_by(&[option], offsets, command)
    }

    /// With other options for this one container.
    pub(crate) fn run_by(
        &self,
        options: &[&str],
        offsets: &[(&str, &str)],
        command: &[&str],
    ) -> Finished {
        let first = [&["run", "--rm"], options].concat();
        self.container(&first, offsets, command)
    }
}

impl Engine for Podman {
    fn run(&self, offsets: &[(&str, &str)], command: &[&str]) -> Finished {
        self.container(&["run", "--rm"], offsets, command)
    }

    fn start(&self, name: &str, offsets: &[(&str, &str)], command: &[&str]) {
        let first = ["create", "--name", name];
        self.container(&first, offsets, command).succeeded();
        // What watches over a container stays, so nothing is asked of what is left behind.
        start_quietly(&self.words, &["start", name]);
    }

    fn exec(&self, name: &str, command: &[&str]) -> Finished {
        self.of(&[&["exec", name], command].concat())
    }

    fn restart(&self, name: &str) {
        start_quietly(&self.words, &["restart", "-t", "0", name]);
    }

    fn remove(&self, name: &str) {
        self.of(&["rm", "-f", "-t", "0", name]).succeeded();
    }
}

/// Runs a command that leaves a container behind.
pub(super) fn start_quietly(before: &[OsString], words: &[&str]) {
    let mut command = std::process::Command::new(&before[0]);
    command.args(&before[1..]).args(words);
    command.stdin(std::process::Stdio::null());
    let output = crate::harness::process::alone(|| command.output()).unwrap();
    assert!(output.status.success(), "{words:?}: {output:?}");
}
