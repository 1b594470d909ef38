//! What a program's start and its first absolute wait cost the supervisor: files under `/proc`, each of
//! which takes as long as all else that it does there.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use std::ffi::OsString;
use std::fs;
use std::path::Path;

use harness::process::{Run, elsewhen};
use harness::supervisor::{keeper, wait_for, worker};
use harness::{guests, need, tools};

/// Programs that start and wait one after another.
const PROGRAMS: usize = 20;

/// What the worker looks at by name while the programs run.
fn files(strace: &Path) -> Vec<String> {
    let dir = guests::public_directory();
    let (gate, trace) = (dir.path().join("gate"), dir.path().join("trace"));
    Run::on_host()
        .run(&["mkfifo".into(), gate.clone()])
        .succeeded();
    let program = elsewhen().display().to_string();
    let all = vec![format!("{program} bench-part first-wait"); PROGRAMS].join("; ");
    // Where the loader looks for libraries in many places, its site is patched.
    let script = format!(
        "unset LD_LIBRARY_PATH; read line <{}; {all}; :",
        gate.display()
    );
    let shell = ["sh", "-c", &script].map(OsString::from);
    let options = ["--backend=guest", "--realtime=+1d"];
    let run = Run::inside(&options).limit(300).start(&shell);
    let front = run.pid();
    let worker = wait_for("worker", || worker(keeper(front)?));
    let mut words = vec![strace.as_os_str().to_owned()];
    words.extend(["-f", "-q", "-e", "trace=%file", "-o"].map(OsString::from));
    words.extend([trace.clone().into(), "-p".into(), worker.to_string().into()]);
    let tracer = Run::on_host().limit(300).start(&words);
    wait_for("tracer", || is_traced(worker).then_some(()));
    // Blocks until the shell opens it, too.
    fs::write(&gate, "go\n").unwrap();
    run.finish().succeeded();
    tracer.finish();
    let text = fs::read_to_string(trace).unwrap();
    let begins = |line: &&str| line.contains('(') && !line.contains(" resumed>");
    text.lines().filter(begins).map(str::to_owned).collect()
}

/// Whether somebody traces all threads of a process, or it is gone.
fn is_traced(pid: i32) -> bool {
    let Ok(tasks) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return true;
    };
    tasks.flatten().all(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        !status.contains("TracerPid:\t0\n")
    })
}

#[test]
fn a_start_takes_two_files_and_a_first_wait_none() {
    let strace = need!(tools::find("strace"));
    // On a machine that is very busy a worker that is traced may be taken for hung, and replaced.
    let files = (0..5)
        .map(|_| files(&strace))
        .find(|files| files.len() >= 2 * PROGRAMS)
        .expect("no worker has been seen through the whole run");
    let few = 2 * PROGRAMS + PROGRAMS / 4;
    assert!(files.len() <= few, "{} files: {files:#?}", files.len());
}
