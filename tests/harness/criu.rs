//! CRIU, with elsewhen as its action script.

use super::clock::Reading;
use super::process::{Run, elsewhen};
use super::sys::{self, wait_until};
use super::{Missing, debian13, root};
use std::ffi::OsString;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Words before a restore on another host, that was started later: when this one had been up for half as long.
pub(crate) const LATER: [&str; 4] = [
    "sh",
    "-c",
    "half=$(($(cut -d. -f1 /proc/uptime) / 2)); \
     exec unshare -T --monotonic=-$half --boottime=-$half \"$@\"",
    "sh",
];

/// CRIU of Debian 13, and a directory for the images of one tree.
pub(crate) struct Criu {
    /// The words that start it.
    words: Vec<OsString>,
    dir: TempDir,
}

/// How CRIU ended, and its log.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) log: String,
}

impl Criu {
    /// # Errors
    /// It cannot be had here.
    pub(crate) fn find() -> Result<Self, Missing> {
        root()?;
        let root = debian13::make_with("criu", "debian13-criu", 200)?;
        let library = root.join("usr/lib/x86_64-linux-gnu");
        let words: Vec<OsString> = vec![
            root.join("lib64/ld-linux-x86-64.so.2").into(),
            "--library-path".into(),
            library.into(),
            root.join("usr/sbin/criu").into(),
        ];
        let checked = Run::on_host().run(&[&words[..], &["check".into()]].concat());
        if checked.code != 0 {
            return Err(Missing(format!("CRIU: {}", checked.stderr.trim())));
        }
        let criu = Self {
            words,
            dir: tempfile::tempdir().unwrap(),
        };
        criu.act_with(&[]);
        Ok(criu)
    }

    /// With these options of `elsewhen criu-action`, from now on.
    pub(crate) fn act_with(&self, options: &[&str]) {
        let program = elsewhen();
        let script = format!(
            "#!/bin/sh\nexec '{}' criu-action {}\n",
            program.display(),
            options.join(" ")
        );
        let action = self.action();
        std::fs::write(&action, script).unwrap();
        std::fs::set_permissions(&action, PermissionsExt::from_mode(0o755)).unwrap();
    }

    /// Has the process killed that gives what is restored its clocks: before CRIU goes on, or so many seconds
    /// later.
    pub(crate) fn kill_the_waiter(&self, later: Option<&str>) {
        let wait = match later {
            Some(seconds) => format!("&& sleep {seconds} && kill_it &"),
            None => "&& kill_it".to_owned(),
        };
        let script = format!(
            r#"#!/bin/sh
            kill_it() {{
                for comm in /proc/[0-9]*/comm; do
                    if read -r name <"$comm" && [ "$name" = "criu $CRTOOLS_INIT_PID" ]; then
                        pid=${{comm#/proc/}}
                        kill -9 "${{pid%/comm}}"
                    fi
                done 2>/dev/null
            }}
            '{}' criu-action || exit
            [ "$CRTOOLS_SCRIPT_ACTION" = pre-resume ] {wait}
            exit 0
            "#,
            elsewhen().display()
        );
        std::fs::write(self.action(), script).unwrap();
    }

    /// Words before a command whose processes are another user's, for [`dump_as`](Self::dump_as); what it
    /// writes goes to the file `server`.
    ///
    /// CRIU asks for the limits of processes, for which root needs `CAP_SYS_RESOURCE`, or that user's
    /// real ids. With such ids its look at nftables(8) fails, so it has to find what it has
    /// noted of the kernel before: below `/run`, and on a tmpfs only. Nothing may be open from outside.
    pub(crate) fn with_notes(&self) -> Vec<OsString> {
        let (program, _) = self.for_runc();
        let script = r#"
            run=$1 criu=$2 out=$3; shift 3
            mkdir "$run" && mount --bind /run "$run" && mount -t tmpfs none /run || exit
            if [ -d "$run/elsewhen" ]; then
                mkdir /run/elsewhen && mount --bind "$run/elsewhen" /run/elsewhen || exit
            fi
            "$criu" check && cd "$PWD" || exit
            for fd in /proc/$$/fd/*; do
                [ "${fd##*/}" -le 2 ] || eval "exec ${fd##*/}>&-"
            done
            exec "$@" </dev/null >"$out" 2>&1"#;
        let words = ["unshare", "--mount", "bash", "-c", script, "bash"].map(OsString::from);
        let files = [self.file("run"), program, self.file("server")].map(OsString::from);
        [&words[..], &files].concat()
    }

    /// Dumps processes that this user's real ids are to be had for.
    pub(crate) fn dump_as(&self, pid: i32, user: u32) {
        // A shell would put the effective ids aside.
        let action = std::fs::read_to_string(self.action()).unwrap();
        let root = "#!/bin/sh -p\nexec setpriv --ruid=0 --rgid=0 --clear-groups ";
        std::fs::write(self.action(), action.replacen("#!/bin/sh\nexec ", root, 1)).unwrap();
        let (pid_word, ids) = (
            pid.to_string(),
            [format!("--ruid={user}"), format!("--rgid={user}")],
        );
        let through = [
            "nsenter",
            "--mount",
            "--target",
            &pid_word,
            "setpriv",
            &ids[0],
            &ids[1],
            "--clear-groups",
        ];
        let images = self.images();
        let _ = std::fs::remove_dir_all(&images);
        std::fs::create_dir(&images).unwrap();
        let dumped = self.run(&through, &["dump", "-t", &pid_word], true);
        assert_eq!(dumped.code, 0, "{dumped:#?}");
        let proc = PathBuf::from(format!("/proc/{pid}"));
        wait_until(|| !proc.exists(), "its end");
    }

    /// Notes when CRIU comes to each stage, from now on.
    pub(crate) fn note_stages(&self) {
        let program = elsewhen();
        let stages = self.file("stages");
        let script = format!(
            "#!/bin/sh\nread -r up rest </proc/uptime\n\
             echo \"$CRTOOLS_SCRIPT_ACTION $up\" >>'{}'\nexec '{}' criu-action\n",
            stages.display(),
            program.display(),
        );
        std::fs::write(self.action(), script).unwrap();
    }

    /// When CRIU came to a stage, for the last time: BOOTTIME, in nanoseconds, up to a tick too early.
    pub(crate) fn stage(&self, name: &str) -> i128 {
        let lines = lines(&self.file("stages"));
        let at = lines.iter().rev().find_map(|line| {
            let (stage, at) = line.split_once(' ')?;
            (stage == name).then(|| Reading::parse(at))?
        });
        at.unwrap_or_else(|| panic!("no {name}: {lines:?}")).nanos
    }

    /// A program that is CRIU, and a file of options for it that name the action script: for runc.
    pub(crate) fn for_runc(&self) -> (PathBuf, PathBuf) {
        let words: Vec<String> = self
            .words
            .iter()
            .map(|word| format!("'{}'", word.display()))
            .collect();
        let program = self.file("criu");
        std::fs::write(
            &program,
            format!("#!/bin/sh\nexec {} \"$@\"\n", words.join(" ")),
        )
        .unwrap();
        std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
        let options = self.file("options");
        let script = self.action();
        std::fs::write(&options, format!("action-script {}\n", script.display())).unwrap();
        (program, options)
    }

    /// The search path with a directory in front in which `criu` is that of [`for_runc`](Self::for_runc).
    pub(crate) fn first_in_path(&self) -> OsString {
        self.for_runc();
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut dirs = vec![self.dir.path().to_owned()];
        dirs.extend(std::env::split_paths(&path));
        std::env::join_paths(dirs).unwrap()
    }

    pub(crate) fn action(&self) -> PathBuf {
        self.dir.path().join("action")
    }

    /// Where the images are.
    pub(crate) fn images(&self) -> PathBuf {
        self.dir.path().join("images")
    }

    /// Where the clocks are.
    pub(crate) fn clocks(&self) -> PathBuf {
        self.images().join("elsewhen-clocks.json")
    }

    /// CRIU keeps the clocks of the dumped no more, as where the kernel has no time namespaces.
    pub(crate) fn forget_clocks(&self) {
        std::fs::remove_file(self.images().join("timens-0.img")).unwrap();
    }

    /// A file beside the images.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Dumps a process and those below it, which end, into new images.
    pub(crate) fn dump(&self, pid: i32) {
        let dumped = self.try_dump(pid, true);
        assert_eq!(dumped.code, 0, "{dumped:#?}");
        // Whoever it belongs to has to take note of its end: CRIU takes its number.
        let proc = PathBuf::from(format!("/proc/{pid}"));
        wait_until(|| !proc.exists(), "its end");
    }

    /// Dumps without the action script, or with it.
    pub(crate) fn try_dump(&self, pid: i32, acts: bool) -> Ended {
        let images = self.images();
        let _ = std::fs::remove_dir_all(&images);
        std::fs::create_dir(&images).unwrap();
        self.run(&[], &["dump", "-t", &pid.to_string()], acts)
    }

    /// Restores it, by these words in front of CRIU's own.
    pub(crate) fn restore_by(&self, through: &[&str]) {
        let restored = self.try_restore(through);
        assert_eq!(restored.code, 0, "{restored:#?}");
        assert!(!restored.log.contains("elsewhen: "), "{restored:#?}");
    }

    /// Restores it.
    pub(crate) fn restore(&self) {
        self.restore_by(&[]);
    }

    pub(crate) fn try_restore(&self, through: &[&str]) -> Ended {
        for _ in 0..50 {
            let ended = self.run(through, &["restore", "-d"], true);
            // Outside of a pid namespace another process can have taken a number meanwhile.
            let is_taken = ["Can't fork for", " intersects with pid"];
            if !is_taken.iter().any(|why| ended.log.contains(why)) {
                return ended;
            }
            std::thread::sleep(std::time::Duration::from_millis(200));
        }
        self.run(through, &["restore", "-d"], true)
    }

    /// What it starts lives on, so that this is none of the commands of which nothing may be left.
    fn run(&self, through: &[&str], command: &[&str], acts: bool) -> Ended {
        let log = self.images().join("log");
        let _ = std::fs::remove_file(&log);
        let mut words: Vec<OsString> = through.iter().map(OsString::from).collect();
        words.push("setsid".into());
        words.push("--wait".into());
        words.extend(self.words.iter().cloned());
        words.extend(command.iter().map(OsString::from));
        // Else it makes all control groups that there were, those of other tests too.
        words.push("--manage-cgroups=ignore".into());
        words.extend(["--shell-job", "-v4", "-o", "log", "-D"].map(OsString::from));
        words.push(self.images().into());
        if acts {
            words.extend(["--action-script".into(), self.action().into()]);
        }
        let said = self.file("said");
        let output = std::fs::File::create(&said).unwrap();
        let status = Command::new("timeout")
            .arg("120")
            .args(&words)
            .stdin(std::process::Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .status()
            .unwrap();
        let log = std::fs::read(log).unwrap_or_default();
        let lines = String::from_utf8_lossy(&log).into_owned();
        let of_note = ["Error", "elsewhen", "Warn", "exited"];
        let mut log: Vec<String> = lines
            .lines()
            .filter(|line| of_note.iter().any(|word| line.contains(word)))
            .map(str::to_owned)
            .collect();
        log.push(std::fs::read_to_string(said).unwrap());
        Ended {
            code: status.code().unwrap_or(-1),
            log: log.join("\n"),
        }
    }
}

/// A process by what its command line ends with, of those that a command has started.
pub(crate) fn process_of(words: &[&str]) -> Option<i32> {
    let wanted = words.join("\0") + "\0";
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<i32> = pids
        .filter(|pid| {
            std::fs::read(format!("/proc/{pid}/cmdline"))
                .is_ok_and(|line| line == wanted.as_bytes())
        })
        .collect();
    found.sort_unstable();
    found.first().copied()
}

/// The keepers of restored processes that are there, by the file that they run.
pub(crate) fn has_keepers(of: i32) -> bool {
    // Without time namespaces there is none that a keeper would have to be like.
    let names = ["like", "first"].map(|option| format!("--{option}={of}"));
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok())
        .any(|line| {
            let line = String::from_utf8_lossy(&line).into_owned();
            let mut words = line.split('\0');
            words.any(|word| word == "criu-keeper")
                && words.any(|word| names.iter().any(|name| name == word))
        })
}

/// Ends a restored process, as its parent is none of ours.
pub(crate) fn end(pid: i32) {
    sys::kill(pid, libc::SIGKILL);
    let proc = PathBuf::from(format!("/proc/{pid}"));
    wait_until(|| !proc.exists() || is_zombie(pid), "its end");
}

fn is_zombie(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).map_or(true, |stat| stat.contains(") Z "))
}

/// The lines of a file.
pub(crate) fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    whole.lines().map(str::to_owned).collect()
}

/// Waits until a file has so many lines more.
pub(crate) fn wait_for_more(file: &Path, count: usize, what: &str) {
    let had = lines(file).len();
    wait_until(|| lines(file).len() >= had + count, what);
}
