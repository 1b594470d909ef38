//! Docker's daemon and client.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use super::podman::start_quietly;
use super::stage::Stage;
use super::{Engine, debian};
use crate::harness::process::{Finished, Run, Running};
use crate::harness::{Missing, sys, tools};

/// A daemon of the test's own. Dropped, it ends.
pub(crate) struct Docker {
    words: Vec<OsString>,
    options: Vec<String>,
    _daemon: Running,
}

impl Docker {
    /// Starts it, with runc behind elsewhen as the runtime `elsewhen`.
    ///
    /// # Errors
    /// What is not installed.
    pub(crate) fn start(stage: &Stage) -> Result<Self, Missing> {
        let (daemon, client) = (tools::find("dockerd")?, tools::find("docker")?);
        tools::find("containerd")?;
        let elsewhen = stage.runtime("runc")?;
        let runc = tools::find("runc")?;
        let config = serde_json::json!({ "runtimes": {
            "elsewhen": { "path": elsewhen },
            "elsewhen-as-far-as-may-be": { "path": as_far_as_may_be(stage, &elsewhen) },
            "runc-as-far-as-may-be": { "path": as_far_as_may_be(stage, &runc) },
        }});
        fs::write(stage.at("daemon.json"), config.to_string()).unwrap();
        let at = |option: &str, name: &str| format!("{option}={}", stage.at(name).display());
        let socket = format!("unix://{}", stage.at("docker.sock").display());
        // No network, and a mount namespace of its own, so that no mount stays when it is killed.
        let words = [
            "unshare".to_owned(),
            "--mount".to_owned(),
            daemon.display().to_string(),
            at("--config-file", "daemon.json"),
            at("--data-root", "docker-data"),
            at("--exec-root", "docker-exec"),
            at("--pidfile", "docker.pid"),
            format!("--host={socket}"),
            "--iptables=false".to_owned(),
            "--ip6tables=false".to_owned(),
            "--bridge=none".to_owned(),
            "--storage-driver=vfs".to_owned(),
            "--default-ulimit=nofile=1024:1024".to_owned(),
        ];
        let daemon = Run::on_host().start(&words);
        let client = vec![client.into_os_string(), "--host".into(), socket.into()];
        let answers = || Run::on_host().through(&client).run(&["version"]).code == 0;
        sys::wait_until(answers, "docker answers");
        let docker = Self {
            words: client,
            options: options(stage),
            _daemon: daemon,
        };
        let archive = stage.archive();
        let import = [
            "import".as_ref(),
            archive.as_os_str(),
            "elsewhen-test".as_ref(),
        ];
        Run::on_host()
            .through(&docker.words)
            .run(&import)
            .succeeded();
        Ok(docker)
    }

    /// Starts a container with these options, too; its id.
    pub(crate) fn start_with(&self, options: &[&str], name: &str, realtime: &str) -> String {
        let first = [&["run", "--detach", "--name", name][..], options].concat();
        let stay = ["/bin/sleep", "1000"];
        let words = self.container(&first, &[("realtime", realtime)], &stay);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        start_quietly(&self.words, &words);
        let id = self.of(&["inspect", "--format={{.Id}}", name]).succeeded();
        id.stdout.trim().to_owned()
    }

    /// A command of the client's.
    pub(crate) fn of(&self, words: &[&str]) -> Finished {
        Run::on_host().limit(240).through(&self.words).run(words)
    }

    fn container(&self, first: &[&str], offsets: &[(&str, &str)], command: &[&str]) -> Vec<String> {
        let mut words: Vec<String> = first.iter().map(ToString::to_string).collect();
        if !words.iter().any(|word| word.starts_with("--runtime=")) {
            words.push("--runtime=elsewhen".into());
        }
        words.extend(["--network=none", "--env=PATH=/bin"].map(String::from));
        // Docker has no annotations before 24.
        for (clock, word) in offsets {
            words.push(format!("--env=ELSEWHEN_{}={word}", clock.to_uppercase()));
        }
        words.extend(self.options.clone());
        words.push("elsewhen-test".into());
        words.extend(command.iter().map(ToString::to_string));
        words
    }
}

/// A runtime before this one, which asks for no capability that this machine may not have.
fn as_far_as_may_be(stage: &Stage, runtime: &Path) -> PathBuf {
    let text = format!(
        "#!/bin/sh\n\
         for file in config.json \"$@\"; do\n\
         case $file in *.json | */runc-process*)\n\
         sed -i 's/\"CAP_SYS_RESOURCE\",//g; s/,\"CAP_SYS_RESOURCE\"//g' \"$file\" 2>/dev/null\n\
         esac\n\
         done\n\
         exec {} \"$@\"\n",
        runtime.display()
    );
    let name = runtime.file_name().unwrap().display();
    stage.script(&format!("{name}-as-far-as-may-be"), &text)
}

/// What a container on Debian's root has mounted, since an image of that would be copied for each.
fn options(stage: &Stage) -> Vec<String> {
    let Some(root) = stage.debian() else {
        return Vec::new();
    };
    let volume = |from: PathBuf, to: &str| format!("--volume={}:{to}:ro", from.display());
    vec![
        "--read-only".into(),
        "--tmpfs=/tmp:mode=1777".into(),
        format!("--user={}", debian::USER),
        volume(stage.at("mnt"), "/mnt"),
        volume(root.join("usr"), "/usr"),
        volume(root.join("etc"), "/etc"),
    ]
}

impl Engine for Docker {
    fn run(&self, offsets: &[(&str, &str)], command: &[&str]) -> Finished {
        let words = self.container(&["run", "--rm"], offsets, command);
        Run::on_host().limit(240).through(&self.words).run(&words)
    }

    fn start(&self, name: &str, offsets: &[(&str, &str)], command: &[&str]) {
        let words = self.container(&["run", "--detach", "--name", name], offsets, command);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        start_quietly(&self.words, &words);
    }

    fn exec(&self, name: &str, command: &[&str]) -> Finished {
        self.of(&[&["exec", name], command].concat())
    }

    fn restart(&self, name: &str) {
        self.of(&["restart", "-t", "0", name]).succeeded();
    }

    fn remove(&self, name: &str) {
        self.of(&["rm", "-f", name]).succeeded();
    }
}
