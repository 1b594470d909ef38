//! `elsewhen run --backend=kernel` against the kernel's own time namespaces.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

const ELSEWHEN: &str = env!("CARGO_BIN_EXE_elsewhen");

/// Whether time namespaces can be made here; says so if not, and fails in CI.
fn available() -> bool {
    let output = Command::new(ELSEWHEN)
        .args(["check", "--json"])
        .output()
        .unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let backend = &report["kernel_backend"];
    if backend["works"] == true {
        return true;
    }
    assert!(
        std::env::var_os("CI").is_none(),
        "cannot be tested: {backend}"
    );
    eprintln!("skipped: {backend}");
    false
}

fn run(args: &[&str]) -> Output {
    Command::new(ELSEWHEN)
        .args(["run", "--backend=kernel"])
        .args(args)
        .output()
        .unwrap()
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
    if !available() {
        return;
    }
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
    if !available() {
        return;
    }
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
    if !available() {
        return;
    }
    let links = ["/proc/self/ns/time", "/proc/self/ns/time_for_children"];
    let output = run(&["readlink", links[0], links[1]]);
    let text = stdout(&output);
    let (own, children) = text.trim().split_once('\n').unwrap();
    assert_eq!(own, children);
    assert_ne!(own, std::fs::read_link(links[0]).unwrap().to_str().unwrap());
}

#[test]
fn a_shift_inside_a_shifted_namespace_is_added() {
    if !available() {
        return;
    }
    let before = host_uptime();
    let inner = [ELSEWHEN, "run", "--backend=kernel", "--boottime", "+1d"];
    let output = run(&[&["--boottime", "+1d"], &inner[..], &["cat", "/proc/uptime"]].concat());
    assert_shifted(&stdout(&output), before, 172_800.0);
}

#[test]
fn auto_takes_the_kernel_where_that_suffices() {
    if !available() {
        return;
    }
    let before = host_uptime();
    let output = Command::new(ELSEWHEN)
        .args(["run", "--boottime", "+1h", "cat", "/proc/uptime"])
        .output()
        .unwrap();
    assert_shifted(&stdout(&output), before, 3_600.0);
}

#[test]
fn the_exit_status_is_the_commands() {
    if !available() {
        return;
    }
    assert_eq!(run(&["sh", "-c", "exit 7"]).status.code(), Some(7));
    assert_eq!(
        run(&["sh", "-c", "kill -TERM $$"]).status.signal(),
        Some(libc::SIGTERM)
    );
    let script = format!("{ELSEWHEN} run --backend=kernel sh -c 'kill -9 $$'; exit $?");
    let outer = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(outer.status.code(), Some(137));
}

#[test]
fn a_command_that_cannot_run_gives_126_or_127_and_one_line() {
    if !available() {
        return;
    }
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
    if !available() {
        return;
    }
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
    if !available() {
        return;
    }
    let show = "grep -E '^Sig(Ign|Blk)' /proc/self/status; ls /proc/self/fd";
    for setting in ["true", "trap '' PIPE INT", "exec 0<&-", "exec 7</dev/null"] {
        let outcome = |prefix: &str| {
            let script = format!("{setting}; exec {prefix} sh -c \"{show}\"");
            stdout(&Command::new("sh").args(["-c", &script]).output().unwrap())
        };
        let through = format!("{ELSEWHEN} run --backend=kernel --monotonic +1d");
        assert_eq!(outcome(&through), outcome(""), "{setting}");
    }
}

#[test]
fn without_privilege_the_way_out_is_named() {
    if !available() {
        return;
    }
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .args([
            ELSEWHEN,
            "run",
            "--backend=kernel",
            "--monotonic",
            "+1d",
            "true",
        ])
        .output();
    let Ok(output) = output else {
        eprintln!("skipped: no setpriv(1)");
        return;
    };
    let stderr = String::from_utf8(output.stderr).unwrap();
    if stderr.starts_with("setpriv:") {
        eprintln!("skipped: {stderr}");
        return;
    }
    assert_eq!(
        stderr,
        "elsewhen: cannot make a time namespace: operation not permitted; \
         run it as root or in a user namespace, or use `--backend=guest`\n"
    );
    assert_eq!(output.status.code(), Some(125));
}
