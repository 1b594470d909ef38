//! Two hosts between which Podman's containers move: each has its own storage at the one place where both
//! have it, its own agent, and clocks of its own.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::podman::start_quietly;
use super::stage::Stage;
use crate::harness::clock::SECOND;
use crate::harness::criu::Criu;
use crate::harness::process::{Finished, Run, Running, alone, elsewhen};
use crate::harness::{Missing, sys, tools};

/// What containers are started from.
const IMAGE: &str = "elsewhen-test";

/// A host. Dropped, its containers are gone, and its agent.
pub(crate) struct Host {
    /// The words that run a command there.
    words: Vec<OsString>,
    podman: Vec<OsString>,
    place: PathBuf,
    _agent: Running,
}

/// Two hosts; the second was started later, when the first had been up for half as long.
///
/// # Errors
/// What is not installed.
pub(crate) fn two(stage: &Stage, criu: &Criu) -> Result<[Host; 2], Missing> {
    tools::find("podman")?;
    tools::find("runc")?;
    let place = stage.at("host");
    fs::create_dir(&place).unwrap();
    let runtime = runtime(stage, &place);
    // As `containers.conf`, the search path and `org.criu.config` would be on a real one.
    let path = criu.first_in_path();
    let first = Host::new(stage, "first", &place, &runtime, &path, &[]);
    let half = sys::clock_gettime(libc::CLOCK_MONOTONIC) / 2 / SECOND;
    let later = [
        "-T",
        &format!("--monotonic=-{half}"),
        &format!("--boottime=-{half}"),
    ];
    let second = Host::new(stage, "second", &place, &runtime, &path, &later);
    // An archive of a container names its image by what is in it.
    let archive = stage.archive();
    first.podman(&["import".as_ref(), archive.as_os_str(), IMAGE.as_ref()]);
    let image = stage.at("image.tar");
    let save = ["save", "--quiet", "--output"].map(OsStr::new);
    first.podman(&[&save[..], &[image.as_os_str(), IMAGE.as_ref()]].concat());
    let load = ["load", "--quiet", "--input"].map(OsStr::new);
    second.podman(&[&load[..], &[image.as_os_str()]].concat());
    Ok([first, second])
}

/// Elsewhen before runc, with the agent of the host that it is started on.
fn runtime(stage: &Stage, place: &Path) -> PathBuf {
    let script = stage.at("elsewhen-runc");
    let text = format!(
        "#!/bin/sh\nexec '{}' oci-runtime --runtime runc --socket '{}' -- \"$@\"\n",
        elsewhen().display(),
        place.join("agent.sock").display()
    );
    alone(|| {
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, PermissionsExt::from_mode(0o755)).unwrap();
    });
    script
}

impl Host {
    fn new(
        stage: &Stage,
        name: &str,
        place: &Path,
        runtime: &Path,
        path: &OsStr,
        clocks: &[&str],
    ) -> Self {
        let own = stage.at(name);
        fs::create_dir(&own).unwrap();
        // Where runc has what it knows of a container, by an id that is the same on both.
        fs::create_dir(own.join("runc")).unwrap();
        let mut words: Vec<OsString> = ["unshare", "--mount"].map(OsString::from).into();
        words.extend(clocks.iter().map(OsString::from));
        // The kernel's namespace holds for children only.
        let enter = "mkdir -p /run/runc && mount --bind \"$1/runc\" /run/runc &&
            mount --bind \"$1\" \"$2\" && shift 2 && exec \"$@\"";
        words.extend(["--fork", "sh", "-c", enter, "sh"].map(OsString::from));
        words.extend([own.clone().into(), place.into(), "env".into()]);
        words.push([OsStr::new("PATH="), path].join(OsStr::new("")));
        let mut podman = words.clone();
        podman.push("podman".into());
        for (option, dir) in [
            ("--root", "storage"),
            ("--runroot", "run"),
            ("--tmpdir", "tmp"),
        ] {
            podman.extend([option.into(), place.join(dir).into()]);
        }
        let options = [
            "--cgroup-manager=cgroupfs",
            "--storage-driver=vfs",
            "--events-backend=none",
        ];
        podman.extend(options.map(OsString::from));
        podman.extend(["--runtime".into(), runtime.into()]);
        let agent = Run::on_host().through(&words).start(&[
            elsewhen().as_os_str(),
            "agent".as_ref(),
            "--socket".as_ref(),
            place.join("agent.sock").as_os_str(),
        ]);
        let is_there = || own.join("agent.sock").exists();
        sys::wait_until(is_there, "the agent listens");
        Self {
            words,
            podman,
            place: place.to_owned(),
            _agent: agent,
        }
    }

    /// Runs a command there.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, command: &[S]) -> Finished {
        Run::on_host().through(&self.words).run(command)
    }

    fn podman<S: AsRef<OsStr>>(&self, words: &[S]) -> Finished {
        let ended = Run::on_host().through(&self.podman).limit(120).run(words);
        ended.succeeded()
    }

    /// Starts a container that goes on, with the options for CRIU in this file.
    pub(crate) fn start(&self, name: &str, options: &Path, words: &[&str], command: &[&str]) {
        let config = format!("--annotation=org.criu.config={}", options.display());
        let first = [
            "run",
            "--detach",
            "--network=none",
            // With the container, and not in a journal of the machine's.
            "--log-driver=k8s-file",
            "--ulimit=nofile=1024:1024",
            "--ulimit=nproc=1000:1000",
            "--name",
            name,
            &config,
        ];
        let all = [&first[..], words, &[IMAGE], command].concat();
        start_quietly(&self.podman, &all);
    }

    /// Writes the container to an archive, and ends it here.
    pub(crate) fn checkpoint(&self, name: &str, archive: &Path) {
        let words = [
            "container",
            "checkpoint",
            name,
            "--compress=none",
            "--export",
        ];
        let words = words.map(OsStr::new);
        self.podman(&[&words[..], &[archive.as_os_str()]].concat());
        self.podman(&["rm", name]);
    }

    /// Has the container of an archive go on here.
    pub(crate) fn restore(&self, archive: &Path) {
        let archive = archive.to_str().unwrap();
        start_quietly(&self.podman, &["container", "restore", "--import", archive]);
    }

    /// Has the container of an archive not go on, since its clocks are not in it; what CRIU's log says.
    pub(crate) fn refuses(&self, name: &str, archive: &Path) -> String {
        let words = ["container", "restore", "--import"].map(OsStr::new);
        let words = [&words[..], &[archive.as_os_str()]].concat();
        let ended = Run::on_host().through(&self.podman).run(&words);
        assert_ne!(ended.code, 0, "{ended:#?}");
        // Podman says where it is, in words of runc's.
        let log = ended.stderr.rsplit_once("log file: ");
        let log = log.and_then(|(_, rest)| Some(&rest[..rest.find(".log")? + ".log".len()]));
        let log = log.unwrap_or_else(|| panic!("{ended:#?}"));
        let log = self.run(&["cat", log]).succeeded().stdout;
        let running = self.podman(&["ps", "--quiet"]).stdout;
        assert_eq!(running, "");
        self.podman(&["rm", name]);
        log
    }

    /// What the container has written, here and before.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let written = self.podman(&["logs", name]).stdout;
        let whole = written.rfind('\n').map_or("", |end| &written[..end]);
        whole.lines().map(str::to_owned).collect()
    }

    /// What can be said of a container that does not do what it should.
    pub(crate) fn state(&self, name: &str) -> String {
        let of = |words: &[&str]| {
            let ended = Run::on_host().through(&self.podman).limit(120).run(words);
            format!("{words:?}: {}{}", ended.stdout, ended.stderr)
        };
        let pid = of(&["inspect", "--format", "{{.State.Pid}}", name]);
        let pid = pid.split_whitespace().last().unwrap_or_default();
        let files = ["status", "wchan", "syscall", "timens_offsets", "cgroup"];
        let files = files.map(|file| {
            let text = fs::read_to_string(format!("/proc/{pid}/{file}"));
            format!("{pid}/{file}: {text:?}")
        });
        let log = "find \"$0\" -name restore.log -exec tail -n 30 {} +";
        let log = self.run(&[
            "sh".as_ref(),
            "-c".as_ref(),
            log.as_ref(),
            self.place.as_os_str(),
        ]);
        [
            of(&["ps", "--all", "--no-trunc"]),
            of(&["logs", "--tail", "5", name]),
            files.join("\n"),
            log.stdout,
        ]
        .join("\n")
    }

    /// Runs a further command in the container.
    pub(crate) fn exec(&self, name: &str, command: &[&str]) -> Finished {
        let words = [&["exec", name], command].concat();
        Run::on_host().through(&self.podman).run(&words)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let all = ["rm", "--all", "--force", "--time", "0"];
        Run::on_host().through(&self.podman).run(&all);
    }
}
