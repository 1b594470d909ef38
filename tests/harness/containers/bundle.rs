//! A bundle: a root with busybox in it, and a configuration.

use crate::harness::guests::{self, Kind};
use crate::harness::process::{Run, alone};
use crate::harness::{Missing, tools};
use serde_json::{Value, json};
use std::path::Path;
use tempfile::TempDir;

/// A bundle.
pub(crate) struct Bundle {
    directory: TempDir,
    pub(crate) config: Value,
}

impl Bundle {
    /// One whose container runs this program under this profile.
    ///
    /// The root holds busybox and, as `/bin/guest`, the guest `adopted`.
    pub(crate) fn new(program: &[&str], profile: Value) -> Result<Self, Missing> {
        let busybox = tools::find("busybox")?;
        let bundle = Self::empty(program, profile)?;
        let bin = bundle.path().join("rootfs/bin");
        alone(|| std::fs::copy(busybox, bin.join("busybox")).unwrap());
        let applets = Run::on_host().run(&["busybox", "--list"]).succeeded();
        for applet in applets.stdout.lines().filter(|name| *name != "busybox") {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).unwrap();
        }
        Ok(bundle)
    }

    /// One with nothing in it but `/bin/guest`, a static program.
    pub(crate) fn empty(program: &[&str], profile: Value) -> Result<Self, Missing> {
        let guest = guests::build("adopted", Kind::GlibcStatic)?;
        let directory = tempfile::tempdir().unwrap();
        for name in ["bin", "proc", "dev", "tmp", "sys", "etc"] {
            std::fs::create_dir_all(directory.path().join("rootfs").join(name)).unwrap();
        }
        let to = directory.path().join("rootfs/bin/guest");
        alone(|| std::fs::copy(guest, to).unwrap());
        use std::os::unix::fs::PermissionsExt;
        let open = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(directory.path(), open).unwrap();
        let capabilities = ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"];
        let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({ "type": kind }));
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "terminal": false,
                "user": { "uid": 0, "gid": 0 },
                "args": program,
                "env": ["PATH=/bin"],
                "cwd": "/",
                "noNewPrivileges": false,
                "capabilities": {
                    "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
                },
            },
            "root": { "path": "rootfs", "readonly": false },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs",
                  "options": ["nosuid", "mode=755"] },
            ],
            "linux": { "namespaces": namespaces, "seccomp": profile },
        });
        let bundle = Self { directory, config };
        bundle.write();
        Ok(bundle)
    }

    /// One whose root is this machine's own system, read-only, with its programs and what the tests have
    /// built, and what else the program needs.
    pub(crate) fn of_host(program: &[&str], also: &str, profile: Value) -> Result<Self, Missing> {
        use std::os::unix::fs::PermissionsExt;
        let mut bundle = Self::empty(program, profile)?;
        let root = bundle.path().join("rootfs");
        std::fs::remove_dir_all(root.join("bin")).unwrap();
        // As runc then makes what it mounts there.
        let all = std::fs::Permissions::from_mode(0o1777);
        std::fs::set_permissions(root.join("tmp"), all).unwrap();
        let built = concat!(env!("CARGO_TARGET_TMPDIR"), "/guests");
        let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/guests");
        let mut mounts = vec![
            json!({ "destination": "/dev/shm", "type": "tmpfs", "source": "tmpfs" }),
            json!({ "destination": "/tmp", "type": "tmpfs", "source": "tmpfs",
                    "options": ["mode=1777"] }),
        ];
        for place in [
            "/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/etc", built, sources, also,
        ] {
            let Ok(found) = std::fs::symlink_metadata(place) else {
                continue;
            };
            let to = root.join(&place[1..]);
            if found.is_symlink() {
                std::os::unix::fs::symlink(std::fs::read_link(place).unwrap(), to).unwrap();
                continue;
            }
            std::fs::create_dir_all(to).unwrap();
            mounts.push(
                json!({ "destination": place, "type": "bind", "source": place,
                                "options": ["rbind", "ro"] }),
            );
        }
        let config = &mut bundle.config;
        config["mounts"].as_array_mut().unwrap().extend(mounts);
        let path = std::env::var("PATH").unwrap_or_default();
        config["process"]["env"] = json!([format!("PATH={path}:/usr/sbin:/sbin"), "LC_ALL=C"]);
        config["process"]["cwd"] = "/tmp".into();
        bundle.write();
        Ok(bundle)
    }

    /// Writes the configuration as it stands.
    pub(crate) fn write(&self) {
        std::fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}
