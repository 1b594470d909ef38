//! An agent that cannot give containers their clocks says so in one line, with the way out, and lets none run by
//! the host's.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::clock::SECOND;
use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::guests::{self, Kind};
use harness::process::{AS_NOBODY, Finished, Run, elsewhen};
use harness::{Missing, need, root};
use std::ffi::OsString;

/// An agent that is started at a socket of its own and ends at once.
fn ends_at_once(through: &[&str]) -> Finished {
    let directory = guests::public_directory();
    let mut words: Vec<OsString> = through.iter().map(OsString::from).collect();
    words.extend([elsewhen().into(), "agent".into(), "--socket".into()]);
    words.push(directory.path().join("socket").into());
    let mut records = OsString::from("ELSEWHEN_RUNTIME_DIR=");
    records.push(directory.path().join("records"));
    words.splice(0..0, ["env".into(), records]);
    Run::on_host().run(&words)
}

fn expect_refusal(done: &Finished, why: &str, way_out: &str) {
    assert_eq!(done.code, 125, "{done:#?}");
    assert_eq!(done.stderr.lines().count(), 1, "{done:#?}");
    assert!(done.stderr.starts_with("elsewhen: "), "{done:#?}");
    assert!(done.stderr.contains(why), "not `{why}`: {done:#?}");
    assert!(done.stderr.contains(way_out), "not `{way_out}`: {done:#?}");
}

#[test]
fn without_the_capability_to_look_into_programs_it_does_not_start() {
    need!(root());
    let done = ends_at_once(&["setpriv", "--bounding-set=-sys_ptrace"]);
    expect_refusal(&done, "CAP_SYS_PTRACE is missing", "run it with that");
}

#[test]
fn inside_of_a_namespace_it_does_not_start() {
    let binary = elsewhen();
    let binary = binary.to_str().unwrap();
    let done = ends_at_once(&[binary, "run", "--realtime=+1", "--"]);
    expect_refusal(&done, "inside of a time namespace", "do it outside");
}

#[cfg(debug_assertions)]
#[test]
fn where_yama_keeps_it_from_programs_it_does_not_start() {
    let done = ends_at_once(&["env", "ELSEWHEN_TEST_KEEPER_OPENS=1"]);
    expect_refusal(&done, "ptrace_scope is 1", "run it as root");
}

#[test]
fn a_program_that_can_have_no_clocks_is_told_of_in_the_agents_log() {
    need!(root());
    let guest = need!(guests::build("now", Kind::I386));
    let agent = Agent::start(&[]);
    let clocks = ["--realtime=+400d"];
    let done = need!(Container::of_host(&agent, &clocks, &[], &[&guest])).run();
    assert_eq!(done.stderr, "", "{done:#?}");
    agent.wait_for("warning", 1);
    let line = &agent.events("warning")[0];
    assert!(line.contains("now-i386"), "{line}");
    assert!(line.contains("32-bit"), "{line}");
}

/// What becomes of a container of this user's under an agent that cannot serve it: the agent's one line.
fn refused(agent: &Agent, user: u32, event: &str) -> Result<String, Missing> {
    let bundle = Bundle::new(&["date", "+%s"], agent.profile(&["--realtime", "+400d"]))?;
    let mut container = Container::new(Runtime::Runc, bundle)?;
    container.bundle.config["process"]["user"] = serde_json::json!({ "uid": user, "gid": user });
    container.bundle.write();
    let done = container.run();
    assert_ne!(done.code, 0, "{done:#?}");
    assert_eq!(done.stdout, "", "no date is a wrong one");
    agent.wait_for(event, 1);
    let lines = agent.events(event);
    assert_eq!(lines.len(), 1, "{lines:#?}");
    Ok(lines[0].clone())
}

#[test]
fn from_another_pid_namespace_it_refuses_a_runtime_that_it_does_not_see() {
    need!(root());
    let unshare = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut program: Vec<OsString> = unshare.map(OsString::from).to_vec();
    program.push(elsewhen().into());
    let agent = Agent::start_by(program, &[], libc::SIGKILL);
    let line = need!(refused(&agent, 0, "refused"));
    assert!(
        line.contains("not to be seen in this pid namespace"),
        "{line}"
    );
    assert!(line.contains("run the agent in the host's"), "{line}");
    assert_eq!(agent.events("container"), Vec::<String>::new());
}

#[test]
fn of_another_users_container_it_says_that_it_may_not_write_its_memory() {
    need!(root());
    let directory = guests::public_directory();
    let copy = guests::copy(&elsewhen(), directory.path(), 0o755);
    let mut program: Vec<OsString> = AS_NOBODY.map(OsString::from).to_vec();
    program.push(copy.into());
    let agent = Agent::start_by(program, &["--mode", "0666"], libc::SIGTERM);
    // What it cannot do it says at its start.
    agent.wait_for("views", 1);
    let views = agent.events("views");
    assert!(views[0].contains("CAP_SETUID"), "{views:#?}");
    let line = need!(refused(&agent, 0, "warning"));
    assert!(line.contains("may not write its memory"), "{line}");
    assert!(line.contains("podman unshare"), "{line}");
    assert_eq!(Agent::value(&agent.events("container")[0], "user"), "0");
}

#[test]
fn a_root_that_may_not_open_others_files_says_so_of_another_users_program() {
    need!(root());
    let words = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"];
    let mut program: Vec<OsString> = words.map(OsString::from).to_vec();
    program.push(elsewhen().into());
    let agent = Agent::start_by(program, &[], libc::SIGTERM);
    let line = need!(refused(&agent, 65534, "warning"));
    assert!(line.contains("CAP_DAC_OVERRIDE"), "{line}");
    // Root's own containers have theirs.
    let bundle = Bundle::new(&["date", "+%s"], agent.profile(&["--realtime", "+400d"]));
    let done = need!(Container::new(Runtime::Runc, need!(bundle))).run();
    let host = done.before.until(done.after, "REALTIME");
    let host = host.shifted(34_560_000 * SECOND);
    host.check_lines(&done.succeeded().stdout).unwrap();
}
