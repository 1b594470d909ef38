//! Servers that are started in a namespace or on the host, and asked from the host.

use super::clock::Host;
use super::guests;
use super::process::{Finished, Run, Running};
use super::{Missing, is_root, tools};
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Asks until the answer is an exit status of 0, as long as the server lives.
fn wait_until_ready<S: AsRef<OsStr>>(server: &mut Running, client: &[S]) {
    let start = Instant::now();
    while Run::on_host().run(client).code != 0 {
        assert!(
            server.is_alive(),
            "the server has ended\n{}",
            server.output()
        );
        let waited = start.elapsed();
        assert!(waited < Duration::from_secs(120), "{}", server.output());
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A command's first words.
fn words<const N: usize>(first: impl AsRef<OsStr>, rest: [&str; N]) -> Vec<OsString> {
    let mut words = vec![first.as_ref().to_owned()];
    words.extend(rest.map(OsString::from));
    words
}

/// A Redis server on a socket in a directory of its own.
pub(crate) struct Redis {
    server: Running,
    client: Vec<OsString>,
    #[expect(dead_code, reason = "it goes away with the server")]
    dir: TempDir,
}

impl Redis {
    /// Starts a server with `run` and waits until it answers.
    ///
    /// # Errors
    /// What is not installed.
    pub(crate) fn start(run: &Run) -> Result<Self, Missing> {
        let redis = tools::find("redis-server")?;
        let mut client = words(tools::find("redis-cli")?, ["-s"]);
        let dir = guests::public_directory();
        let socket = dir.path().join("redis.socket");
        client.push(socket.into());
        let options = [
            "--unixsocket",
            "redis.socket",
            "--port",
            "0",
            "--save",
            "",
            "--appendonly",
            "no",
        ];
        let mut server = run.clone().in_dir(dir.path()).start(&words(redis, options));
        wait_until_ready(&mut server, &[&client[..], &["ping".into()]].concat());
        Ok(Self {
            server,
            client,
            dir,
        })
    }

    /// What the server answers to a command.
    pub(crate) fn ask(&self, question: &[&str]) -> String {
        let question: Vec<OsString> = question.iter().map(OsString::from).collect();
        let answer = Run::on_host().run(&[&self.client[..], &question].concat());
        answer.succeeded().stdout.trim().to_owned()
    }

    /// Ends the server, which must end well.
    pub(crate) fn stop(self) {
        let shutdown = ["shutdown", "nosave"].map(OsString::from);
        Run::on_host().run(&[&self.client[..], &shutdown].concat());
        assert_eq!(self.server.finish().code, 0);
    }
}

/// The words that make a command PostgreSQL's: its server refuses to be root.
pub(crate) fn as_postgres(command: &[OsString]) -> Vec<OsString> {
    let user = ["--reuid=65534", "--regid=65534", "--clear-groups"];
    let mut words = if is_root() {
        words("setpriv", user)
    } else {
        Vec::new()
    };
    words.extend_from_slice(command);
    words
}

/// Makes a cluster on the host, which takes longest.
fn make_cluster(initdb: &Path, data: &Path) {
    let mut command = words(initdb, ["--pgdata"]);
    command.push(data.into());
    let options = [
        "--no-sync",
        "--auth=trust",
        "--username=tester",
        "--no-locale",
    ];
    command.extend(options.map(OsString::from));
    Run::on_host().run(&as_postgres(&command)).succeeded();
}

/// A PostgreSQL server with a cluster of its own.
pub(crate) struct Postgres {
    server: Running,
    client: Vec<OsString>,
    dir: TempDir,
}

impl Postgres {
    /// Makes a cluster, starts its server with `start`, which is told the directory and the
    /// command, and waits until it answers.
    ///
    /// # Errors
    /// What is not installed.
    pub(crate) fn start(
        start: impl FnOnce(&Path, &[OsString]) -> Running,
    ) -> Result<Self, Missing> {
        let initdb = tools::postgres("initdb")?;
        let postgres = tools::postgres("postgres")?;
        let mut client = words(tools::find("psql")?, ["-h"]);
        let dir = guests::public_directory();
        make_cluster(&initdb, &dir.path().join("data"));

        let options = [
            "-D",
            "data",
            "-c",
            "listen_addresses=",
            "-c",
            "fsync=off",
            "-c",
            "max_prepared_transactions=4",
        ];
        let mut command = words(postgres, options);
        // It goes to its data's directory, so its sockets' must be absolute.
        command.extend(["-k".into(), dir.path().into()]);
        let mut server = start(dir.path(), &command);

        client.push(dir.path().into());
        let options = ["-U", "tester", "-d", "postgres", "-X", "-A", "-t", "-q"];
        client.extend(options.map(OsString::from));
        let ready = ["-c", "select 1"].map(OsString::from);
        wait_until_ready(&mut server, &[&client[..], &ready].concat());
        Ok(Self {
            server,
            client,
            dir,
        })
    }

    /// What the server answers to a statement.
    pub(crate) fn ask(&self, statement: &str) -> String {
        let answer = self.session(statement).succeeded();
        answer.stdout.trim().to_owned()
    }

    /// Has a client send a script in one session; of an error it says the code.
    pub(crate) fn session(&self, script: &str) -> Finished {
        std::fs::write(self.dir.path().join("session.sql"), script).unwrap();
        let options = [
            "-v",
            "ON_ERROR_STOP=1",
            "-v",
            "VERBOSITY=sqlstate",
            "-f",
            "session.sql",
        ];
        let command = [&self.client[..], &options.map(OsString::from)].concat();
        Run::on_host().in_dir(self.dir.path()).run(&command)
    }

    /// The client and its options, as a word for a shell.
    pub(crate) fn client(&self) -> OsString {
        super::ways::quoted(&self.client)
    }

    /// What the host's clocks read when the server was started.
    pub(crate) fn started(&self) -> Host {
        self.server.started()
    }

    /// The server's first process.
    pub(crate) fn pid(&self) -> i32 {
        let file = std::fs::read_to_string(self.dir.path().join("data/postmaster.pid")).unwrap();
        file.lines().next().unwrap().parse().unwrap()
    }

    /// Ends the server by its fast shutdown; it must end well.
    pub(crate) fn stop(self) {
        // The command passes SIGINT on, or is in the server's place.
        let stop = format!("kill -INT {}", self.pid());
        Run::on_host().run(&["sh", "-c", &stop]).succeeded();
        let ended = self.server.finish();
        assert_eq!(ended.code, 0, "{ended:#?}");
    }
}
