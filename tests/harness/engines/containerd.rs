//! containerd and its client `ctr`.

use std::ffi::OsString;
use std::fs;

use super::Engine;
use super::podman::start_quietly;
use super::stage::Stage;
use crate::harness::process::{Finished, Run, Running};
use crate::harness::{Missing, sys, tools};

/// A daemon of the test's own. Dropped, it ends.
pub(crate) struct Containerd {
    words: Vec<OsString>,
    runtime: String,
    root: String,
    options: Vec<String>,
    _daemon: Running,
}

impl Containerd {
    /// Starts it, with runc behind elsewhen.
    ///
    /// # Errors
    /// What is not installed.
    pub(crate) fn start(stage: &Stage) -> Result<Self, Missing> {
        let (daemon, client) = (tools::find("containerd")?, tools::find("ctr")?);
        let socket = stage.at("containerd.sock");
        let config = format!(
            "version = 2\nroot = {:?}\nstate = {:?}\n\
             disabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
            stage.at("containerd-root"),
            stage.at("containerd-state"),
            socket
        );
        fs::write(stage.at("containerd.toml"), config).unwrap();
        let words = [
            daemon.into_os_string(),
            "--config".into(),
            stage.at("containerd.toml").into(),
        ];
        let daemon = Run::on_host().start(&words);
        let client = vec![client.into_os_string(), "--address".into(), socket.into()];
        let answers = || Run::on_host().through(&client).run(&["version"]).code == 0;
        sys::wait_until(answers, "containerd answers");
        Ok(Self {
            words: client,
            runtime: stage.runtime("runc")?.display().to_string(),
            root: stage.root().display().to_string(),
            options: options(stage),
            _daemon: daemon,
        })
    }

    fn of(&self, words: &[&str]) -> Finished {
        Run::on_host().limit(240).through(&self.words).run(words)
    }

    fn container(
        &self,
        first: &[&str],
        offsets: &[(&str, &str)],
        name: &str,
        command: &[&str],
    ) -> Vec<String> {
        let mut words: Vec<String> = first.iter().map(ToString::to_string).collect();
        words.extend([
            "--runc-binary".into(),
            self.runtime.clone(),
            "--env=PATH=/bin".into(),
        ]);
        for (clock, word) in offsets {
            words.push(format!("--annotation=org.elsewhen.{clock}={word}"));
        }
        words.extend(self.options.clone());
        words.extend(["--rootfs".into(), self.root.clone(), name.into()]);
        words.extend(command.iter().map(ToString::to_string));
        words
    }
}

/// What a container on Debian's root has besides.
fn options(stage: &Stage) -> Vec<String> {
    if stage.debian().is_none() {
        return Vec::new();
    }
    let mnt = stage.at("mnt");
    vec![
        "--read-only".into(),
        "--mount=type=tmpfs,src=tmpfs,dst=/tmp,options=mode=1777".into(),
        format!(
            "--mount=type=bind,src={},dst=/mnt,options=rbind:ro",
            mnt.display()
        ),
    ]
}

impl Engine for Containerd {
    fn run(&self, offsets: &[(&str, &str)], command: &[&str]) -> Finished {
        // With containerd's own profile, into which the rules go.
        let words = self.container(&["run", "--rm", "--seccomp"], offsets, "once", command);
        Run::on_host().limit(240).through(&self.words).run(&words)
    }

    fn start(&self, name: &str, offsets: &[(&str, &str)], command: &[&str]) {
        let words = self.container(&["run", "--detach"], offsets, name, command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        start_quietly(&self.words, &words);
    }

    fn exec(&self, name: &str, command: &[&str]) -> Finished {
        self.of(&[&["tasks", "exec", "--exec-id", "another", name], command].concat())
    }

    fn restart(&self, name: &str) {
        self.of(&["tasks", "rm", "--force", name]).succeeded();
        start_quietly(&self.words, &["tasks", "start", "--detach", name]);
    }

    fn remove(&self, name: &str) {
        self.of(&["tasks", "rm", "--force", name]).succeeded();
        self.of(&["containers", "rm", name]).succeeded();
    }
}
