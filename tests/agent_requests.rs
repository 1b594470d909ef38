//! The agent survives whatever comes by its socket, and says so in one line each.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::adopt;
use harness::containers::{Agent, Bundle, Container, Runtime};
use harness::guests::{self, Kind};
use harness::process::{AS_NOBODY, Run, Running, alone, elsewhen};
use harness::{need, supervisor, sys, tools};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Command;

/// A message as a runtime sends it.
const MESSAGE: &str = r#"{"ociVersion":"1.0.2","fds":["seccompFd"],"pid":7,"metadata":"","state":{"ociVersion":"1.0.2","id":"c","status":"creating","pid":7,"bundle":"/nowhere"}}"#;

fn send(agent: &Agent, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    adopt::send(&agent.socket(), bytes, descriptors);
}

/// A container gets its clocks, so the agent is at work.
fn serves(agent: &Agent) -> Result<(), harness::Missing> {
    let profile = agent.profile(&["--realtime", "+400d"]);
    let bundle = Bundle::new(&["date", "+%s"], profile)?;
    let done = Container::new(Runtime::Runc, bundle)?.run();
    let host = done.before.until(done.after, "REALTIME");
    let host = host.shifted(34_560_000 * harness::clock::SECOND);
    host.check_lines(&done.succeeded().stdout).unwrap();
    Ok(())
}

#[test]
fn each_message_that_is_none_is_refused_in_one_line() {
    let agent = Agent::start(&[]);
    let file = tempfile::tempfile().unwrap();
    let fd = file.as_fd();
    let with = |from: &str, to: &str| MESSAGE.replace(from, to).into_bytes();
    let long = with("\"\"", &format!("\"{}\"", "x".repeat(300 << 10)));
    let deep = "[".repeat(100_000).into_bytes();
    let cases: &[(Vec<u8>, Vec<BorrowedFd<'_>>, &str)] = &[
        (b"x".to_vec(), vec![fd], "the message is none"),
        (vec![0xff; 100], vec![fd], "the message is none"),
        (deep, vec![], "the message is none"),
        (
            MESSAGE.as_bytes()[..50].to_vec(),
            vec![fd],
            "ends too early",
        ),
        (long, vec![fd], "too long"),
        (MESSAGE.into(), vec![], "0 came"),
        (MESSAGE.into(), vec![fd, fd], "2 came"),
        (MESSAGE.into(), vec![fd; 12], "too many descriptors"),
        (MESSAGE.into(), vec![fd], "not a seccomp listener"),
        (with("seccompFd", "other"), vec![fd], "does not name"),
        (with(":\"c\"", ":\"\""), vec![fd], "not the id"),
        (with(":\"c\"", ":\"a\\nb\""), vec![fd], "not the id"),
        (with(":\"c\"", ":5"), vec![fd], "the message is none"),
    ];
    for (i, (bytes, descriptors, why)) in cases.iter().enumerate() {
        send(&agent, bytes, descriptors);
        agent.wait_for("refused", i + 1);
        let refused = agent.events("refused");
        assert_eq!(refused.len(), i + 1, "{refused:#?}");
        assert!(refused[i].contains(why), "not `{why}`: {}", refused[i]);
        // Not too many at a time.
        std::thread::sleep(std::time::Duration::from_millis(60));
    }
    need!(serves(&agent));
}

#[test]
fn connections_that_say_nothing_keep_nobody_out() {
    let agent = Agent::start(&[]);
    let silent: Vec<UnixStream> = (0..700)
        .map(|_| UnixStream::connect(agent.socket()).unwrap())
        .collect();
    let mut halves: Vec<UnixStream> = (0..50)
        .map(|_| UnixStream::connect(agent.socket()).unwrap())
        .collect();
    for half in &mut halves {
        half.write_all(&MESSAGE.as_bytes()[..40]).unwrap();
    }
    need!(serves(&agent));
    drop(silent);
}

#[test]
fn a_flood_neither_fills_the_log_nor_keeps_anybody_out() {
    let agent = Agent::start(&[]);
    let file = tempfile::tempfile().unwrap();
    let start = std::time::Instant::now();
    for _ in 0..3000 {
        send(&agent, b"flood", &[file.as_fd()]);
    }
    need!(serves(&agent));
    let seconds = start.elapsed().as_secs() + 2;
    let lines = agent.events("refused").len() as u64;
    assert!(lines <= seconds * 20, "{lines} lines in {seconds} s");
    assert!(lines >= 20);
}

#[test]
fn a_descriptor_that_takes_long_to_close_keeps_nobody_waiting() {
    let agent = Agent::start(&[]);
    // What is not read yet is waited for when the socket is closed (socket(7), SO_LINGER).
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut socket = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _peer = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    while socket.write(&[0; 1 << 16]).is_ok() {}
    socket.set_nonblocking(false).unwrap();
    let long = std::time::Duration::from_secs(100);
    rustix::net::sockopt::set_socket_linger(&socket, Some(long)).unwrap();
    send(&agent, b"x", &[socket.as_fd()]);
    drop(socket);
    agent.wait_for("refused", 1);
    let start = std::time::Instant::now();
    need!(serves(&agent));
    assert!(start.elapsed() < long / 2);
}

#[test]
fn a_connection_that_closes_without_a_word_is_no_event() {
    let agent = Agent::start(&[]);
    for _ in 0..10 {
        drop(UnixStream::connect(agent.socket()).unwrap());
    }
    need!(serves(&agent));
    assert_eq!(agent.events("refused"), Vec::<String>::new());
}

/// What another user hears who connects.
fn asked_by_another(agent: &Agent) -> Result<(), harness::Missing> {
    let python = tools::python()?;
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(agent.directory(), open).unwrap();
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.connect(sys.argv[1])\n\
                  try:\n\
                  \x20   s.sendall(b'x')\n\
                  \x20   s.recv(1)\n\
                  except OSError: pass\n";
    let socket = agent.socket();
    let words = [
        python.as_os_str(),
        "-c".as_ref(),
        script.as_ref(),
        socket.as_os_str(),
    ];
    Run::on_host().through(&AS_NOBODY).run(&words).succeeded();
    Ok(())
}

#[test]
fn another_user_may_ask_only_if_the_agent_is_told_so() {
    need!(harness::root());
    for (words, why) in [
        (&["--mode", "0666"][..], "the user may not ask"),
        (
            &["--mode", "0666", "--user", "65534"],
            "the message is none",
        ),
    ] {
        let agent = Agent::start(words);
        need!(asked_by_another(&agent));
        agent.wait_for("refused", 1);
        let refused = &agent.events("refused")[0];
        assert!(refused.contains(why), "{refused}");
        assert_eq!(Agent::value(refused, "user"), "65534");
    }
}

/// Who may ask, and is neither root nor the agent's own user.
const ADMITTED: u32 = 65534;

fn agent_that_admits() -> Agent {
    let user = ADMITTED.to_string();
    Agent::start(&["--mode", "0666", "--user", &user])
}

/// Has the admitted user send messages of containers with these ids and annotations, one after another.
fn send_admitted(agent: &Agent, ids: &[String], annotations: &str, listener: BorrowedFd<'_>) {
    let user = rustix::process::Uid::from_raw(ADMITTED);
    let send_all = || {
        // Of this thread alone, as for setresuid(2) of the kernel; it ends with it.
        rustix::thread::set_thread_res_uid(None, user, None).unwrap();
        for id in ids {
            send(agent, message(id, annotations).as_bytes(), &[listener]);
        }
    };
    std::thread::scope(|scope| scope.spawn(send_all).join().unwrap());
}

/// [`MESSAGE`] of a container with this id and these annotations.
fn message(id: &str, annotations: &str) -> String {
    let annotated = format!(r#""id":"{id}","annotations":{{{annotations}}}"#);
    MESSAGE.replace(r#""id":"c""#, &annotated)
}

/// A listener whose process makes no call that is notified, and that process.
fn quiet_listener() -> Result<(OwnedFd, Running), harness::Missing> {
    let guest = guests::build("adopted", Kind::Glibc)?;
    let counter = adopt::Counter::new();
    let running = Run::on_host().start(&[guest, counter.path()]);
    Ok((counter.take(), running))
}

/// Waits until the agent has said this of a container of this id.
fn wait_until_told(agent: &Agent, event: &str, id: &str) -> String {
    let pair = format!(" container={id} ");
    let find = || {
        agent
            .events(event)
            .into_iter()
            .find(|line| line.contains(&pair))
    };
    supervisor::wait_for(&format!("{event} of {id}"), find)
}

#[test]
fn who_is_admitted_takes_no_name_in_roots_list() {
    need!(harness::root());
    let (listener, guest) = need!(quiet_listener());
    let agent = agent_that_admits();
    let name = r#""org.elsewhen.name":"staging""#;
    send_admitted(&agent, &["theirs".into()], name, listener.as_fd());
    let line = wait_until_told(&agent, "refused", "theirs");
    assert!(line.contains("`name`"), "{line}");
    assert_eq!(Agent::value(&line, "user"), ADMITTED.to_string());
    assert_eq!(agent.events("container"), Vec::<String>::new());
    // Without one they are served, and root has it.
    send_admitted(&agent, &["unnamed".into()], "", listener.as_fd());
    wait_until_told(&agent, "container", "unnamed");
    send(
        &agent,
        message("of-root", name).as_bytes(),
        &[listener.as_fd()],
    );
    wait_until_told(&agent, "container", "of-root");
    assert_eq!(agent.events("refused"), [line]);
    expect_end(&agent, listener, guest);
}

/// As many of one user's containers may be about to start.
const MOST_WAITING: usize = 256;

#[test]
fn a_user_whose_containers_do_not_start_keeps_neither_root_waiting_nor_the_machine_busy() {
    need!(harness::root());
    let (listener, guest) = need!(quiet_listener());
    let agent = agent_that_admits();
    let ids: Vec<String> = (0..=MOST_WAITING).map(|i| format!("theirs-{i}")).collect();
    send_admitted(&agent, &ids, "", listener.as_fd());
    let line = wait_until_told(&agent, "refused", &ids[MOST_WAITING]);
    assert!(line.contains("too many of the user's containers"), "{line}");
    // None before it.
    assert_eq!(agent.events("refused"), [line]);
    assert_eq!(supervisor::children(agent.pid()).len(), MOST_WAITING);
    send(
        &agent,
        message("of-root", "").as_bytes(),
        &[listener.as_fd()],
    );
    wait_until_told(&agent, "container", "of-root");
    // There is room again once theirs are gone.
    expect_end(&agent, listener, guest);
    let (listener, guest) = need!(quiet_listener());
    send_admitted(&agent, &["later".into()], "", listener.as_fd());
    let is_served = || supervisor::children(agent.pid()).len() == 1;
    sys::wait_until(is_served, "a later container is served");
    expect_end(&agent, listener, guest);
}

/// The process ends, which has never made a call, and with it all keepers.
fn expect_end(agent: &Agent, listener: OwnedFd, guest: Running) {
    drop(listener);
    guest.signal(libc::SIGKILL);
    guest.finish();
    sys::wait_until(
        || supervisor::children(agent.pid()).is_empty(),
        "no keeper is left",
    );
}

#[test]
fn a_socket_has_the_mode_that_is_asked_for() {
    for (words, wanted) in [(&[][..], 0o600), (&["--mode", "0660"], 0o660)] {
        let agent = Agent::start(words);
        let mode = std::fs::metadata(agent.socket())
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, wanted);
    }
}

/// What an agent says that cannot start at this socket.
fn refused(socket: &std::path::Path) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut command = Command::new(elsewhen());
    command
        .args(["agent", "--socket"])
        .arg(socket)
        .env("ELSEWHEN_RUNTIME_DIR", directory.path().join("records"));
    let output = alone(|| command.output()).unwrap();
    assert_eq!(output.status.code(), Some(125));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_socket_that_is_in_use_is_left_alone() {
    let agent = Agent::start(&[]);
    let said = refused(&agent.socket());
    assert!(
        said.starts_with("elsewhen: cannot listen at `--socket "),
        "{said}"
    );
    assert!(said.contains("another agent is running"), "{said}");
    need!(serves(&agent));
}

#[test]
fn a_socket_whose_owner_is_too_busy_to_accept_is_in_use() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let _busy = UnixListener::bind(&path).unwrap();
    // A queue that is full: the next connection waits, or is told EAGAIN.
    let mut queued = Vec::new();
    loop {
        use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let socket =
            rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).unwrap();
        let address = SocketAddrUnix::new(&path).unwrap();
        if rustix::net::connect(&socket, &address) == Err(rustix::io::Errno::AGAIN) {
            break;
        }
        queued.push(socket);
    }
    let said = refused(&path);
    assert!(said.contains("another agent is running"), "{said}");
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "mine").unwrap();
    let said = refused(&file);
    assert!(said.contains("no socket"), "{said}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn an_ended_agent_takes_its_socket_away_and_a_killed_ones_is_replaced() {
    let mut agent = Agent::start(&[]);
    agent.end(libc::SIGKILL);
    assert!(agent.socket().exists());
    agent.start_again();
    assert_eq!(agent.end(libc::SIGTERM), Some(0));
    assert!(!agent.socket().exists());
    assert_eq!(agent.events("started").len(), 2);
    assert!(agent.log().ends_with("event=stopped\n"), "{}", agent.log());
}

#[test]
fn the_service_manager_can_hand_the_socket_over() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let log = directory.path().join("log");
    let script = "exec 3<&0 </dev/null; LISTEN_PID=$$ LISTEN_FDS=1 exec \"$@\"";
    let mut command = Command::new("sh");
    command
        .args(["-c", script, "sh"])
        .arg(elsewhen())
        .arg("agent")
        .env("ELSEWHEN_RUNTIME_DIR", directory.path().join("records"))
        .stdin(std::os::fd::OwnedFd::from(listener))
        .stderr(File::create(&log).unwrap());
    let mut child = alone(|| command.spawn()).unwrap();
    UnixStream::connect(&path).unwrap().write_all(b"x").unwrap();
    let heard = || {
        std::fs::read_to_string(&log)
            .unwrap()
            .contains("event=refused")
    };
    sys::wait_until(heard, "the agent hears");
    sys::kill(i32::try_from(child.id()).unwrap(), libc::SIGTERM);
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(path.exists(), "the socket is the service manager's");
}

#[test]
fn the_counts_are_told_in_the_log_and_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("elsewhen.prom");
    let agent = Agent::start(&["--metrics", file.to_str().unwrap()]);
    need!(serves(&agent));
    send(&agent, b"x", &[]);
    agent.wait_for("refused", 1);
    agent.wait_for("ended", 1);
    sys::kill(agent.pid(), libc::SIGUSR1);
    agent.wait_for("counts", 1);
    let counts = &agent.events("counts")[0];
    let count = |name| Agent::value(counts, name).parse::<u64>().unwrap();
    assert_eq!((count("namespaces"), count("refusals")), (1, 1), "{counts}");
    assert!(count("traps") > 1 && count("injections") > 0, "{counts}");
    let is_written = || {
        let text = std::fs::read_to_string(&file).unwrap_or_default();
        text.contains("\nelsewhen_refusals_total 1\n") && text.contains("# TYPE ")
    };
    sys::wait_until(is_written, "the counts are in the file");
}

#[test]
fn a_mode_that_is_none_is_refused() {
    for mode in ["9", "rw", "7777"] {
        let output = alone(|| {
            Command::new(elsewhen())
                .args(["agent", "--mode", mode])
                .output()
        });
        let output = output.unwrap();
        assert_eq!(output.status.code(), Some(125));
        let said = String::from_utf8(output.stderr).unwrap();
        assert!(
            said.starts_with(&format!("elsewhen: `--mode {mode}`: ")),
            "{said}"
        );
    }
}
