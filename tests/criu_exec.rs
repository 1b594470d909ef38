//! What a runtime puts into a container that CRIU has restored has the container's clocks.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

#[allow(unused_macros, unused_imports, reason = "for other tests")]
mod harness;

use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::criu::{self, Criu};
use harness::guests::{self, Kind};
use harness::process::{Finished, elsewhen};
use harness::sys::{self, wait_until};
use harness::ticks::{Tick, expect_between};
use harness::{Missing, need};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// A container that ticks, CRIU, and the agent that both of them find.
struct Stage {
    container: Container,
    agent: Agent,
    criu: Criu,
    /// Where the container writes.
    out: PathBuf,
    /// Words before the runtime's.
    before: Vec<OsString>,
}

impl Stage {
    /// With clocks from a profile, or from annotations by `elsewhen oci-runtime`.
    fn new(profile: Option<&[&str]>, annotations: &[(&str, &str)]) -> Result<Self, Missing> {
        let criu = Criu::find()?;
        criu.act_with(&["--policy realtime=continue"]);
        let (_, options) = criu.for_runc();
        let agent = Agent::start(&[]);
        let profile = profile.map_or(serde_json::Value::Null, |words| agent.profile(words));
        let script = "exec going_on /out >/tmp/out 2>&1 </dev/null";
        let mut bundle = Bundle::new(&["sh", "-c", script], profile)?;
        let program = guests::build("going_on", Kind::MuslStatic)?;
        let bin = bundle.path().join("rootfs/bin");
        let copied = guests::copy(&program, &bin, 0o755);
        std::fs::rename(copied, bin.join("going_on")).unwrap();
        bundle.config["annotations"]["org.criu.config"] = options.to_str().unwrap().into();
        for (name, value) in annotations {
            bundle.config["annotations"][*name] = (*value).into();
        }
        bundle.write();
        let out = bundle.path().join("rootfs/out");
        let container = Container::new(Runtime::Runc, bundle)?;
        let mut before = Vec::new();
        if !annotations.is_empty() {
            before.push(elsewhen().into());
            before.extend(["oci-runtime", "--runtime", "runc", "--socket"].map(OsString::from));
            before.extend([agent.socket().into(), "--".into()]);
        }
        let stage = Self {
            container,
            agent,
            criu,
            out,
            before,
        };
        let at = stage.container.bundle.path().to_str().unwrap();
        stage.runc(&["run", "--detach", "--bundle", at, &stage.container.id]);
        stage.later();
        Ok(stage)
    }

    /// Lets runc do something that lives on.
    fn runc(&self, words: &[&str]) {
        let mut all = self.before.clone();
        // `oci-runtime` has found runc already.
        let own = usize::from(!all.is_empty());
        all.extend(self.container.words(words).into_iter().skip(own));
        let status = Command::new(&all[0])
            .args(&all[1..])
            // The keepers that CRIU's action script starts are this agent's.
            .env(
                "ELSEWHEN_RUNTIME_DIR",
                self.agent.directory().join("records"),
            )
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(status.success(), "{all:?}");
    }

    /// Dumps it, and restores it behind a pause that its clocks leave out.
    fn through_a_restore(&self) {
        let (program, _) = self.criu.for_runc();
        let (images, work) = (self.criu.images(), self.criu.file("work"));
        let _ = std::fs::remove_dir_all(&images);
        let with = ["--criu", program.to_str().unwrap()];
        let place = [
            "--image-path",
            images.to_str().unwrap(),
            "--work-path",
            work.to_str().unwrap(),
        ];
        let id = [self.container.id.as_str()];
        self.runc(&[&with[..], &["checkpoint"], &place, &id].concat());
        std::thread::sleep(Duration::from_secs(3));
        let at = self.container.bundle.path().to_str().unwrap();
        let restore = ["restore", "--detach", "--bundle", at];
        self.runc(&[&with[..], &restore, &place, &id].concat());
        self.later();
    }

    fn ticks(&self) -> Vec<Tick> {
        criu::lines(&self.out)
            .iter()
            .map(|line| Tick::parse(line))
            .collect()
    }

    /// What the container reads from now on.
    fn later(&self) -> Tick {
        let had = self.ticks().len();
        wait_until(|| self.ticks().len() > had + 2, "its ticks");
        *self.ticks().last().unwrap()
    }

    /// A further program, which waits for absolute times and says what it reads then.
    fn exec(&self) -> Finished {
        self.container
            .exec(&["sh", "-c", "going_on /dev/stdout | head -n 5"])
    }

    /// That program has the container's clocks.
    fn expect_the_same_clocks(&self) {
        let before = self.later();
        let ended = self.exec();
        let ticks: Vec<Tick> = ended.stdout.lines().map(Tick::parse).collect();
        assert_eq!(ticks.len(), 5, "{ended:#?}\n{}", self.agent.log());
        expect_between(before, &ticks, self.later());
    }

    /// That program is refused, for this reason.
    fn expect_refusal(&self, why: &str) {
        let had = self.agent.events("refused").len();
        let ended = self.exec();
        assert_eq!(ended.stdout, "");
        self.agent.wait_for("refused", had + 1);
        let line = self.agent.events("refused").pop().unwrap();
        assert!(line.contains(why), "{line}");
    }
}

/// The keeper of the restored process of this number.
fn keeper_of(pid: i32) -> i32 {
    let first = format!("--first={pid}");
    let is_it = |line: &[u8]| {
        line.split(|byte| *byte == 0)
            .any(|word| word == first.as_bytes())
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let keepers: Vec<i32> = entries
        .filter(|entry| std::fs::read(entry.path().join("cmdline")).is_ok_and(|line| is_it(&line)))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect();
    // The worker, its child, is of the same words.
    let is_child = |pid: &i32| parent_of(*pid).is_some_and(|parent| keepers.contains(&parent));
    *keepers.iter().find(|pid| !is_child(pid)).unwrap()
}

fn parent_of(pid: i32) -> Option<i32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("PPid:"))?;
    line.trim().parse().ok()
}

#[test]
fn what_is_put_into_a_restored_container_has_its_clocks() {
    let words = [
        "--realtime",
        "+400d",
        "--monotonic",
        "+100d",
        "--boottime",
        "+50d",
    ];
    let mut stage = need!(Stage::new(Some(&words), &[]));
    stage.expect_the_same_clocks();
    stage.through_a_restore();
    // One that has never heard of the container.
    stage.agent.end(libc::SIGTERM);
    stage.agent.start_again();
    stage.expect_the_same_clocks();
    stage.expect_the_same_clocks();
    stage.through_a_restore();
    stage.expect_the_same_clocks();
    let pid = stage.container.init().unwrap().to_string();
    let shown = stage.agent.elsewhen(&["show", &pid]).succeeded().stdout;
    assert!(shown.contains(&pid), "{shown}");
    for words in [&["check"][..], &["save", "--container"]] {
        let words = [words, &[&stage.container.id]].concat();
        stage.agent.elsewhen(&words).succeeded();
    }
    let keeper = keeper_of(pid.parse().unwrap());
    assert!(shown.contains(&keeper.to_string()), "{shown}");
    // Without it nobody knows.
    sys::kill(keeper, libc::SIGKILL);
    let is_gone = || {
        !stage
            .agent
            .elsewhen(&["show", &pid])
            .stdout
            .contains(&keeper.to_string())
    };
    wait_until(is_gone, "the record's end");
    stage.expect_refusal("nothing is known of the container");
}

#[test]
fn a_container_whose_profile_leaves_out_a_clock_that_is_shifted_by_a_restore_is_not_joined() {
    let stage = need!(Stage::new(Some(&["--realtime", "+400d"]), &[]));
    stage.expect_the_same_clocks();
    stage.through_a_restore();
    stage.expect_refusal("--monotonic +0 --boottime +0");
}

#[test]
fn before_the_runtime_elsewhen_brings_the_clocks_that_a_restore_shifts_into_the_rules() {
    let stage = need!(Stage::new(None, &[("org.elsewhen.realtime", "+400d")]));
    stage.expect_the_same_clocks();
    stage.through_a_restore();
    stage.expect_the_same_clocks();
}
