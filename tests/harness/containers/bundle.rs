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

    /// Writes the configuration as it stands.
    pub(crate) fn write(&self) {
        std::fs::write(self.path().join("config.json"), self.config.to_string()).unwrap();
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}
