//! Random programs of time calls do the same in each world: on the host, in time namespaces of the
//! kernel, and in ours.
//!
//! What differs is tried again, made as short as it can be, and printed with the seed that made it.
//! `ELSEWHEN_SEED=N` begins with that seed, `ELSEWHEN_STORM=full` tries some minutes long.
//! What has been found so is kept in `tests/differential`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::guests::{self, Kind};
use harness::process::Run;
use harness::random_programs::{self, Random};
use harness::worlds::is_full;
use harness::{Missing, need, root};
use std::collections::BTreeSet;
use std::path::Path;

const AHEAD: [&str; 4] = [
    "--realtime=+400d250ms",
    "--tai=+500d",
    "--monotonic=+300d750ms",
    "--boottime=+200d1ns",
];

const BEHIND: [&str; 4] = [
    "--realtime=-400d250ms",
    "--tai=-500d",
    "--monotonic=-20s750ms",
    "--boottime=-20s1ns",
];

/// Lines that belong together.
type Item = Vec<String>;

/// A place that programs are compared in with the host.
#[derive(Clone, Debug)]
struct World {
    options: Vec<String>,
    /// The kernel's sums overflow there, so that the end of all time is now.
    overflows: bool,
}

impl World {
    fn new(backend: &str, shifts: &[&str], further: &[&str]) -> Self {
        let backend = format!("--backend={backend}");
        let options = [&[backend.as_str()], shifts, further].concat();
        Self {
            options: options.into_iter().map(str::to_owned).collect(),
            overflows: false,
        }
    }

    fn overflowing(mut self) -> Self {
        self.overflows = true;
        self
    }

    fn can_run(&self, program: &[Item]) -> bool {
        let is_huge = |line: &String| line.contains("922337203");
        !self.overflows || !program.iter().flatten().any(is_huge)
    }
}

/// The guest, and where its programs lie.
struct Laboratory {
    guest: std::path::PathBuf,
    dir: tempfile::TempDir,
}

impl Laboratory {
    fn new(kind: Kind) -> Result<Self, Missing> {
        Ok(Self {
            guest: guests::build("fuzz", kind)?,
            dir: guests::public_directory(),
        })
    }

    fn file(&self, programs: &[Vec<Item>]) -> std::path::PathBuf {
        let text = |program: &Vec<Item>| program.concat().join("\n");
        let texts: Vec<String> = programs.iter().map(text).collect();
        let file = self.dir.path().join("programs");
        std::fs::write(&file, texts.join("\n--\n")).unwrap();
        file
    }

    /// What each program in `file` prints, line by line; on the host without a world.
    fn run(&self, world: Option<&World>, file: &Path, jobs: usize) -> Vec<Vec<String>> {
        let place = match world {
            None => Run::on_host(),
            Some(world) => Run::inside(&world.options),
        };
        let jobs = jobs.to_string();
        let words = [self.guest.as_os_str(), file.as_os_str(), jobs.as_ref()];
        let run = place.limit(600).run(&words).succeeded();
        assert_eq!(run.stderr, "", "{:?}", run.words);
        let mut outputs: Vec<Vec<String>> = Vec::new();
        for line in run.stdout.lines() {
            match line.starts_with("== ") {
                true => outputs.push(Vec::new()),
                false => outputs.last_mut().unwrap().push(line.to_owned()),
            }
        }
        outputs
    }

    /// For each program the first line that is never the same, as the host and the world print it.
    fn differences(
        &self,
        world: &World,
        programs: &[Vec<Item>],
        times: usize,
        jobs: usize,
    ) -> Vec<Option<[String; 2]>> {
        let copies: Vec<Vec<Item>> = programs
            .iter()
            .flat_map(|program| std::iter::repeat_n(program.clone(), times))
            .collect();
        let file = self.file(&copies);
        let host = self.run(None, &file, jobs);
        let inside = self.run(Some(world), &file, jobs);
        let groups = host.chunks(times).zip(inside.chunks(times));
        groups.map(|(host, inside)| differs(host, inside)).collect()
    }

    /// Takes away whatever the difference does not need.
    fn shorten(&self, world: &World, mut program: Vec<Item>) -> Vec<Item> {
        loop {
            let without = |i: usize| {
                let mut shorter = program.clone();
                shorter.remove(i);
                shorter
            };
            let shorter: Vec<Vec<Item>> = (0..program.len()).map(without).collect();
            let found = self.differences(world, &shorter, 3, 4);
            match found.iter().position(Option::is_some) {
                Some(i) if shorter[i].len() < program.len() => program = shorter[i].clone(),
                _ => return program,
            }
        }
    }

    /// Fails with the shortest program that shows what `program` does otherwise in `world`, if it does
    /// so each time.
    fn judge(&self, world: &World, program: &[Item], origin: &str) {
        let program = program.to_vec();
        if self.differences(world, std::slice::from_ref(&program), 6, 2)[0].is_none() {
            return;
        }
        let shortest = self.shorten(world, program);
        let again = self.differences(world, std::slice::from_ref(&shortest), 6, 2);
        let Some([host, inside]) = &again[0] else {
            return;
        };
        panic!(
            "{origin}: in `elsewhen run {}` this program\n\n{}\n\ndoes otherwise than on the host:\n  \
             host: {host}\n  here: {inside}",
            world.options.join(" "),
            shortest.concat().join("\n")
        );
    }

    /// Compares what all programs do in all worlds with what they do on the host.
    fn compare(&self, worlds: &[World], programs: &[Vec<Item>], origin: &str) {
        let file = self.file(programs);
        let host = self.run(None, &file, JOBS);
        assert_eq!(host.len(), programs.len());
        for world in worlds {
            let file = self.file(programs);
            let inside = self.run(Some(world), &file, JOBS);
            assert_eq!(inside.len(), programs.len(), "{world:?}");
            for (i, program) in programs.iter().enumerate() {
                if host[i] != inside[i] && world.can_run(program) {
                    self.judge(world, program, origin);
                }
            }
        }
    }
}

/// Programs that run at once: most of their time they wait.
const JOBS: usize = 24;

/// The first line of which no two outputs agree: a race of a program's own goes one way here and there.
fn differs(host: &[Vec<String>], inside: &[Vec<String>]) -> Option<[String; 2]> {
    let longest = host.iter().chain(inside).map(Vec::len).max().unwrap_or(0);
    (0..longest).find_map(|i| {
        let lines = |outputs: &[Vec<String>]| -> BTreeSet<String> {
            let line = |output: &Vec<String>| output.get(i).cloned();
            outputs
                .iter()
                .map(|o| line(o).unwrap_or_default())
                .collect()
        };
        let (host, inside) = (lines(host), lines(inside));
        let told = |lines: BTreeSet<String>| Vec::from_iter(lines).join(" | ");
        host.is_disjoint(&inside)
            .then(|| [told(host), told(inside)])
    })
}

/// Where to begin: at another place each time, unless told.
fn seed() -> u64 {
    let told = std::env::var("ELSEWHEN_SEED").ok();
    told.map_or_else(
        || {
            u64::try_from(harness::sys::clock_gettime(libc::CLOCK_REALTIME)).unwrap()
                % 1_000_000_000
        },
        |seed| seed.parse().unwrap(),
    )
}

/// Tries random programs in these worlds.
fn try_in(worlds: &[World]) -> Result<(), Missing> {
    let (batches, each) = if is_full() { (12, 400) } else { (2, 150) };
    let first = seed();
    for seed in first..first + batches {
        let kind = [Kind::Glibc, Kind::MuslStatic][usize::from(seed % 2 == 1)];
        let mut random = Random::new(seed);
        let programs: Vec<Vec<Item>> = (0..each)
            .map(|_| random_programs::program(&mut random))
            .collect();
        Laboratory::new(kind)?.compare(worlds, &programs, &format!("ELSEWHEN_SEED={seed}"));
    }
    Ok(())
}

/// elsewhen alone.
fn ours() -> Vec<World> {
    vec![
        World::new("guest", &AHEAD, &[]),
        World::new("guest", &BEHIND, &["--strict"]),
    ]
}

/// The kernel alone, and together with elsewhen.
fn kernels() -> Vec<World> {
    vec![
        World::new("kernel", &AHEAD[2..], &[]),
        World::new("auto", &AHEAD, &[]),
        World::new("auto", &BEHIND, &["--strict"]).overflowing(),
    ]
}

/// Whether time namespaces of the kernel can be had.
fn privilege() -> Result<(), Missing> {
    root()?;
    let kernel = Run::inside(&kernels()[0].options).run(&["true"]);
    match kernel.stderr.as_str() {
        "" => Ok(()),
        why => Err(Missing(format!("no time namespaces: {why}"))),
    }
}

#[test]
fn random_programs_do_under_elsewhen_what_they_do_on_the_host() {
    need!(try_in(&ours()));
}

#[test]
fn random_programs_do_in_the_kernels_namespaces_what_they_do_on_the_host() {
    need!(privilege());
    need!(try_in(&kernels()));
}

#[test]
fn every_seed_makes_a_program_in_no_time() {
    let programs = (0..20_000).map(|seed| random_programs::program(&mut Random::new(seed)));
    let lines: BTreeSet<String> = programs.flatten().flatten().collect();
    // Each call is among them, with right times and wrong ones.
    for call in [
        "get", "set", "sleep", "futex", "waitv", "tset", "fdset", "tsignal", "exec",
    ] {
        assert!(lines.iter().any(|line| line.starts_with(call)), "{call}");
    }
    assert!(lines.len() > 5000, "{}", lines.len());
}

#[test]
fn what_was_found_once_stays_mended() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/differential");
    let mut programs: Vec<Vec<Item>> = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        for program in text.split("\n--\n") {
            let lines = program.lines().filter(|line| !line.starts_with('#'));
            programs.push(lines.map(|line| vec![line.to_owned()]).collect());
        }
    }
    let mut worlds = ours();
    if privilege().is_ok() {
        worlds.extend(kernels());
    }
    for kind in [Kind::Glibc, Kind::MuslStatic] {
        need!(Laboratory::new(kind)).compare(&worlds, &programs, "tests/differential");
    }
}

#[test]
fn a_difference_is_found_and_made_short() {
    // A program that sees where the clock stands: its time is one of the host's.
    let now = harness::sys::clock_gettime(libc::CLOCK_REALTIME) / harness::clock::SECOND;
    let set = format!("tset 0 1 {}:0 0 old", now + 50_000);
    let item = |line: &str| vec![line.to_owned()];
    let needed = ["timer 0 0", &set, "tget 0"];
    let mut program = vec![item("get 0"), item("sysinfo"), item("nap 1")];
    for (i, line) in needed.iter().enumerate() {
        program.insert(2 * i, item(line));
    }
    let laboratory = need!(Laboratory::new(Kind::Glibc));
    let world = World::new("guest", &AHEAD, &[]);
    let found = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        laboratory.judge(&world, &program, "this test");
    }));
    let message = *found.unwrap_err().downcast::<String>().unwrap();
    let shortest = needed.join("\n");
    assert!(
        message.contains(&format!("\n\n{shortest}\n\n")),
        "{message}"
    );
    assert!(message.contains("here: 3 tget 0: 0 soon"), "{message}");
    // And one that does not see it does the same.
    laboratory.judge(&world, &[item("get 0"), item("nap 1")], "this test");
}
