//! `elsewhen run --backend=kernel` against the kernel's own time namespaces.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on must panic")]

mod harness;

use harness::process::{Run, alone};
use harness::{guests, kernel_backend, need};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Output, Stdio};

const ELSEWHEN: &str = env!("CARGO_BIN_EXE_elsewhen");

fn run(args: &[&str]) -> Output {
    let mut command = Command::new(ELSEWHEN);
    output(command.args(["run", "--backend=kernel"]).args(args))
}

/// Not while another test copies what it is to run: a copy that is open for writing elsewhere does not run.
fn start(command: &mut Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    alone(|| command.spawn()).unwrap()
}

fn output(command: &mut Command) -> Output {
    let child = start(command.stderr(Stdio::piped()));
    child.wait_with_output().unwrap()
}

fn stdout(output: &Output) -> String {
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn uptime(text: &str) -> f64 {
    text.split(' ').next().unwrap().trim().parse().unwrap()
}

fn host_uptime() -> f64 {
    uptime(&std::fs::read_to_string("/proc/uptime").unwrap())
}

/// Whether `text` shows an uptime `shift` seconds after `before` or a little later.
fn assert_shifted(text: &str, before: f64, shift: f64) {
    let distance = uptime(text) - before - shift;
    assert!((-0.1..30.0).contains(&distance), "{text} is {distance} off");
}

#[test]
fn the_command_and_its_children_see_the_offsets() {
    need!(kernel_backend());
    let before = host_uptime();
    let output = run(&["--boottime", "+100d", "cat", "/proc/uptime"]);
    assert_shifted(&stdout(&output), before, 8_640_000.0);

    let script = "cat /proc/uptime; (cat /proc/uptime); sh -c 'cat /proc/uptime; true'; true";
    let output = run(&["--boottime", "+100d", "sh", "-c", script]);
    assert_eq!(stdout(&output).lines().count(), 3);
    for line in stdout(&output).lines() {
        assert_shifted(line, before, 8_640_000.0);
    }
}

#[test]
fn offsets_reach_the_kernel_to_the_nanosecond() {
    need!(kernel_backend());
    let options = ["--monotonic", "-0.25", "--boottime=+1d0.000000001s"];
    let command = ["cat", "/proc/self/timens_offsets"];
    let output = run(&[&options[..], &command].concat());
    let fields: Vec<String> = stdout(&output)
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    assert_eq!(
        fields,
        ["monotonic", "-1", "750000000", "boottime", "86400", "1"]
    );
}

#[test]
fn the_command_is_in_the_namespace_that_its_children_get() {
    need!(kernel_backend());
    let links = ["/proc/self/ns/time", "/proc/self/ns/time_for_children"];
    let output = run(&["readlink", links[0], links[1]]);
    let text = stdout(&output);
    let (own, children) = text.trim().split_once('\n').unwrap();
    assert_eq!(own, children);
    assert_ne!(own, std::fs::read_link(links[0]).unwrap().to_str().unwrap());
}

#[test]
fn no_process_and_no_filter_of_elsewhens_stays() {
    need!(kernel_backend());
    let script = "echo $$ $PPID; grep ^Seccomp: /proc/self/status";
    let mut command = Command::new(ELSEWHEN);
    command.args(["run", "--backend=kernel", "--boottime=+1d"]);
    let child = start(command.args(["sh", "-c", script]));
    let (started, own) = (child.id(), std::process::id());
    let output = child.wait_with_output().unwrap();
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let filter = status.lines().find(|line| line.starts_with("Seccomp:"));
    let expected = format!("{started} {own}\n{}\n", filter.unwrap());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn a_shift_inside_a_shifted_namespace_is_added() {
    need!(kernel_backend());
    let before = host_uptime();
    let inner = [ELSEWHEN, "run", "--backend=kernel", "--boottime", "+1d"];
    let output = run(&[&["--boottime", "+1d"], &inner[..], &["cat", "/proc/uptime"]].concat());
    assert_shifted(&stdout(&output), before, 172_800.0);
}

#[test]
fn auto_takes_the_kernel_where_that_suffices() {
    need!(kernel_backend());
    let before = host_uptime();
    let mut command = Command::new(ELSEWHEN);
    let output = output(command.args(["run", "--boottime", "+1h", "cat", "/proc/uptime"]));
    assert_shifted(&stdout(&output), before, 3_600.0);
}

#[test]
fn the_exit_status_is_the_commands() {
    need!(kernel_backend());
    assert_eq!(run(&["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(
        run(&["sh", "-c", "kill -TERM $$"]).status.signal(),
        Some(libc::SIGTERM)
    );
    let script = format!("{ELSEWHEN} run --backend=kernel sh -c 'kill -9 $$'; exit $?");
    let outer = output(Command::new("sh").args(["-c", &script]));
    assert_eq!(outer.status.code(), Some(137));
}

#[test]
fn a_command_that_cannot_run_gives_126_or_127_and_one_line() {
    need!(kernel_backend());
    let directory = tempfile::tempdir().unwrap();
    let orphan = directory.path().join("orphan");
    std::fs::write(&orphan, "#!/nonexistent/interpreter\n").unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&orphan, mode).unwrap();
    let table: &[(&str, i32, &str)] = &[
        ("no-such-command", 127, "check `PATH`"),
        ("/no/such/command", 127, "check the path"),
        ("", 127, "cannot run ``"),
        (orphan.to_str().unwrap(), 127, "its interpreter is missing"),
        ("/", 126, "permission denied"),
        ("/dev/null", 126, "permission denied"),
        ("/dev/null/x", 126, "not a directory"),
    ];
    for (command, status, part) in table {
        let output = run(&["--monotonic", "+1d", "--", command]);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(*status), "{command}: {stderr}");
        let start = format!("elsewhen: cannot run `{command}`: ");
        assert!(
            stderr.starts_with(&start) && stderr.contains(part),
            "{stderr}"
        );
        assert_eq!(stderr.matches('\n').count(), 1, "{stderr}");
    }
}

#[test]
fn arguments_reach_the_command_as_they_are() {
    need!(kernel_backend());
    let table: &[(&[&str], &str)] = &[
        (
            &["echo", "-e", "--", "--realtime", "x"],
            "-- --realtime x\n",
        ),
        (&["--", "echo", "--", "-x"], "-- -x\n"),
        (&["printf", "%s\n", "--help"], "--help\n"),
        (&["--strict", "echo", "", "a b"], " a b\n"),
    ];
    for (args, expected) in table {
        assert_eq!(stdout(&run(args)), *expected, "{args:?}");
    }
}

#[test]
fn the_command_inherits_signals_and_descriptors_as_the_caller_had_them() {
    need!(kernel_backend());
    let show = "grep -E '^Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd";
    for setting in ["true", "trap '' PIPE INT", "exec 0<&-", "exec 7</dev/null"] {
        let outcome = |prefix: &str| {
            let script = format!("{setting}; exec {prefix} sh -c \"{show}\"");
            stdout(&output(Command::new("sh").args(["-c", &script])))
        };
        let through = format!("{ELSEWHEN} run --backend=kernel --monotonic +1d");
        assert_eq!(outcome(&through), outcome(""), "{setting}");
    }
}

#[test]
fn without_privilege_the_way_out_is_named() {
    need!(kernel_backend());
    let public = guests::public_directory();
    let run = Run::inside(&["--backend=kernel", "--monotonic", "+1d"]);
    let run = run.by_ordinary_user(public.path()).run(&["true"]);
    assert_eq!(
        run.stderr,
        "elsewhen: cannot make a time namespace: operation not permitted; \
         run it as root or in a user namespace, or use `--backend=guest`\n"
    );
    assert_eq!(run.code, 125);
}
