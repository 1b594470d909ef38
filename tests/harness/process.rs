//! Running a command with a time limit, and the certainty that nothing of it is left behind.

use super::clock::{Bracket, Host};
use super::supervisor::is_running;
use super::sys;
use super::terminal::Terminal;
use std::ffi::{OsStr, OsString};
use std::os::fd::AsRawFd;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The environment variable that marks every process a test has started.
const MARK: &str = "ELSEWHEN_TEST_ID";

/// How long a process may take to vanish after its command has ended.
const GRACE: Duration = Duration::from_secs(30);

/// Starts what follows as an ordinary user.
pub(crate) const AS_NOBODY: [&str; 4] = [
    "setpriv",
    "--reuid=65534",
    "--regid=65534",
    "--clear-groups",
];

/// Held while a process is started and while a program is written: a child that another thread
/// forks meanwhile would hold the file open for writing, and its exec would fail with `ETXTBSY`.
static STARTING: Mutex<()> = Mutex::new(());

/// Starts a process or writes a program, one at a time.
pub(crate) fn alone<T>(action: impl FnOnce() -> T) -> T {
    let _alone = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    action()
}

/// The binary under test.
pub(crate) fn elsewhen() -> PathBuf {
    std::env::var_os("ELSEWHEN_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_elsewhen").into(), PathBuf::from)
}

/// A command to be run, in a namespace or on the host.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    prefix: Vec<OsString>,
    dir: Option<PathBuf>,
    limit: Duration,
    terminal: Option<Arc<std::fs::File>>,
}

impl Run {
    /// In a namespace with these options of `elsewhen run`.
    pub(crate) fn inside<S: AsRef<OsStr>>(options: &[S]) -> Self {
        let mut run = Self::on_host();
        run.prefix = vec![elsewhen().into(), "run".into()];
        run.prefix
            .extend(options.iter().map(|o| o.as_ref().to_owned()));
        run.prefix.push("--".into());
        run
    }

    /// In a namespace whose time of day is [`super::SHIFT`] seconds ahead.
    pub(crate) fn shifted() -> Self {
        Self::inside(&["--realtime".to_owned(), format!("+{}", super::SHIFT)])
    }

    /// On the host, with no namespace: the kernel's own behaviour.
    pub(crate) fn on_host() -> Self {
        Self {
            prefix: Vec::new(),
            dir: None,
            limit: Duration::from_secs(180),
            terminal: None,
        }
    }

    /// As an ordinary user: `elsewhen` too, so the binary is taken from a place that all can read.
    pub(crate) fn by_ordinary_user(mut self, public: &Path) -> Self {
        if !super::is_root() {
            return self;
        }
        if self.prefix.first().is_some_and(|p| *p == elsewhen()) {
            let copy = public.join("elsewhen");
            // What runs cannot be written.
            alone(|| copy.exists() || std::fs::copy(elsewhen(), &copy).unwrap() > 0);
            self.prefix[0] = copy.into();
        }
        self.prefix.splice(0..0, AS_NOBODY.map(OsString::from));
        self
    }

    /// With this working directory.
    pub(crate) fn in_dir(mut self, dir: &Path) -> Self {
        self.dir = Some(dir.to_owned());
        self
    }

    /// Started by these words: they stand before all others.
    pub(crate) fn through<S: AsRef<OsStr>>(mut self, words: &[S]) -> Self {
        let words = words.iter().map(|word| word.as_ref().to_owned());
        self.prefix.splice(0..0, words);
        self
    }

    /// In a session of its own, with this terminal as its controlling terminal and its streams.
    pub(crate) fn on_terminal(mut self, terminal: &Terminal) -> Self {
        self.prefix
            .splice(0..0, ["setsid", "--ctty"].map(OsString::from));
        self.terminal = Some(terminal.program_side());
        self
    }

    /// With another limit than three minutes.
    pub(crate) fn limit(mut self, seconds: u64) -> Self {
        self.limit = Duration::from_secs(seconds);
        self
    }

    /// Starts the command.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, argv: &[S]) -> Running {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let mark = format!(
            "{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        );
        let mut words = self.prefix.clone();
        words.extend(argv.iter().map(|a| a.as_ref().to_owned()));
        // Files and not pipes: a process left behind cannot hold up the test that looks for it.
        let stdout = tempfile::tempfile().unwrap();
        let stderr = tempfile::tempfile().unwrap();
        let mut command = Command::new(&words[0]);
        command
            .args(&words[1..])
            .env(MARK, &mark)
            .env("LC_ALL", "C")
            .stdin(Stdio::null())
            .stdout(stdout.try_clone().unwrap())
            .stderr(stderr.try_clone().unwrap());
        if let Some(terminal) = &self.terminal {
            command
                .stdin(terminal.try_clone().unwrap())
                .stdout(terminal.try_clone().unwrap())
                .stderr(terminal.try_clone().unwrap());
        } else {
            command.process_group(0);
        }
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        let before = Host::now();
        let child =
            alone(|| command.spawn()).unwrap_or_else(|e| panic!("cannot start {words:?}: {e}"));
        Running {
            group: i32::try_from(child.id()).unwrap(),
            child: Some(child),
            mark,
            words,
            stdout,
            stderr,
            before,
            limit: self.limit,
        }
    }

    /// Runs the command to its end.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, argv: &[S]) -> Finished {
        self.start(argv).finish()
    }
}

/// A started command. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Running {
    child: Option<Child>,
    group: i32,
    mark: String,
    words: Vec<OsString>,
    stdout: std::fs::File,
    stderr: std::fs::File,
    before: Host,
    limit: Duration,
}

impl Running {
    /// What the host's clocks read when the command was started.
    pub(crate) fn started(&self) -> Host {
        self.before
    }

    /// Whether the command still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.as_mut().unwrap().try_wait().unwrap().is_none()
    }

    /// What the command has written so far.
    pub(crate) fn output(&self) -> String {
        format!(
            "stdout:\n{}\nstderr:\n{}",
            text(&self.stdout),
            text(&self.stderr)
        )
    }

    /// The command's first process, whose number is its group's too.
    pub(crate) fn pid(&self) -> i32 {
        self.group
    }

    /// Sends a signal to the command's first process.
    pub(crate) fn signal(&self, signal: i32) {
        sys::kill(self.group, signal);
    }

    /// Waits for the end, within the limit; nothing may be left after it.
    pub(crate) fn finish(mut self) -> Finished {
        let limit = self.limit;
        let start = Instant::now();
        let mut child = self.child.take().unwrap();
        let status = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if start.elapsed() > limit {
                let left = self.kill_all();
                child.wait().unwrap();
                panic!(
                    "{:?} did not end within {limit:?}; killed {left:?}\n{}",
                    self.words,
                    self.output()
                );
            }
            std::thread::sleep(Duration::from_millis(2));
        };
        let after = Host::now();
        self.expect_nothing_left();
        Finished {
            code: status
                .code()
                .unwrap_or_else(|| 128 + status.signal().unwrap()),
            stdout: text(&self.stdout),
            stderr: text(&self.stderr),
            words: std::mem::take(&mut self.words),
            before: self.before,
            after,
        }
    }

    fn expect_nothing_left(&self) {
        let start = Instant::now();
        while !self.left().is_empty() {
            if start.elapsed() > GRACE {
                let left = self.kill_all();
                panic!("{:?} left behind {left:?}\n{}", self.words, self.output());
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// The processes of this command: those in its group or session, and those with its mark.
    fn left(&self) -> Vec<(i32, String)> {
        let mark = format!("{MARK}={}", self.mark);
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else {
                continue;
            };
            let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else {
                continue;
            };
            // The name may contain anything, so the fields are counted from its closing bracket.
            let fields: Vec<&str> = stat[stat.rfind(')').unwrap() + 2..].split(' ').collect();
            let ours = [fields[2], fields[3]].contains(&self.group.to_string().as_str())
                || std::fs::read(entry.path().join("environ"))
                    .is_ok_and(|e| e.split(|b| *b == 0).any(|v| v == mark.as_bytes()));
            if ours && fields[0] != "Z" && fields[0] != "X" {
                let name = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
                found.push((pid, String::from_utf8_lossy(&name).replace('\0', " ")));
            }
        }
        found
    }

    /// Kills what is not elsewhen itself, and gives that a moment to end as it does: a keeper that is killed
    /// leaves its control group.
    fn kill_members(&self) {
        let elsewhen = elsewhen();
        let is_elsewhen = |pid: i32| {
            std::fs::read_link(format!("/proc/{pid}/exe")).is_ok_and(|program| {
                program.file_name() == elsewhen.file_name() || program == elsewhen
            })
        };
        let left = self.left().into_iter().map(|(pid, _)| pid);
        let (ours, members): (Vec<_>, Vec<_>) = left.partition(|pid| is_elsewhen(*pid));
        if ours.is_empty() {
            return;
        }
        if ours.contains(&self.group) {
            sys::kill(self.group, libc::SIGTERM);
        }
        for pid in members {
            sys::kill(pid, libc::SIGKILL);
        }
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) && is_running(self.group) {
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills, by number, what belongs to this command, until nothing does.
    fn kill_all(&self) -> Vec<(i32, String)> {
        let first = self.left();
        let mut left = first.clone();
        for _ in 0..50 {
            if left.is_empty() {
                break;
            }
            for (pid, _) in left {
                sys::kill(pid, libc::SIGKILL);
            }
            std::thread::sleep(Duration::from_millis(10));
            left = self.left();
        }
        first
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            self.kill_members();
            self.kill_all();
            let _ = child.wait();
        }
    }
}

/// All that was written, read through another open file: the writers' offset stays theirs.
fn text(file: &std::fs::File) -> String {
    let again = format!("/proc/self/fd/{}", file.as_raw_fd());
    String::from_utf8_lossy(&std::fs::read(again).unwrap()).into_owned()
}

/// How a command ended.
#[derive(Debug)]
pub(crate) struct Finished {
    /// The exit status, or 128 and the signal's number.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) words: Vec<OsString>,
    pub(crate) before: Host,
    pub(crate) after: Host,
}

impl Finished {
    /// The host's time while the command ran, on the named clock.
    pub(crate) fn host(&self, clock: &str) -> Bracket {
        self.before.until(self.after, clock)
    }

    /// Fails unless the command succeeded.
    pub(crate) fn succeeded(self) -> Self {
        assert_eq!(self.code, 0, "{self:#?}");
        self
    }

    /// Whether every line printed is a time of day [`super::SHIFT`] seconds ahead.
    ///
    /// # Errors
    /// What was wrong, with all that the command printed.
    pub(crate) fn check_shifted(&self) -> Result<(), String> {
        let expected = self
            .host("REALTIME")
            .shifted(super::SHIFT * super::clock::SECOND);
        let checked = if self.code == 0 {
            expected.check_lines(&self.stdout)
        } else {
            Err(format!("ended with {}", self.code))
        };
        checked.map_err(|why| {
            format!(
                "{why}\n  {:?}\n  stdout: {}\n  stderr: {}",
                self.words,
                self.stdout.trim(),
                self.stderr.trim()
            )
        })
    }

    /// Fails unless every line printed is a time of day [`super::SHIFT`] seconds ahead.
    pub(crate) fn expect_shifted(&self) {
        if let Err(why) = self.check_shifted() {
            panic!("{why}");
        }
    }
}
