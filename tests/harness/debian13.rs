//! A root of Debian 13, whose C library is newer than the machine's may be.

use super::process::Run;
use super::{Missing, guests, root, tools};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// The root; made by `tests/debian13/make` if it is not there yet.
///
/// # Errors
/// It cannot be made here, or not be entered.
pub(crate) fn make() -> Result<PathBuf, Missing> {
    make_with("python3", "debian13", 200)
}

/// A root with these packages, under this name, of so many MiB at most.
///
/// # Errors
/// As for [`make`].
pub(crate) fn make_with(packages: &str, name: &str, most: u32) -> Result<PathBuf, Missing> {
    root()?;
    tools::find("debootstrap")?;
    let make = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/debian13/make");
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let most = most.to_string();
    let words = [
        make.as_os_str(),
        to.as_os_str(),
        packages.as_ref(),
        most.as_ref(),
    ];
    let made = Run::on_host().limit(900).run(&words);
    match made.code {
        0 => Ok(to),
        _ => Err(Missing(format!(
            "no root of Debian 13: {}",
            made.stderr.trim()
        ))),
    }
}

/// A program copied into the root, for as long as this is kept.
#[derive(Debug)]
pub(crate) struct Copied {
    _dir: TempDir,
    /// The words that start it there.
    pub(crate) words: Vec<OsString>,
}

/// Copies a dynamic program into the root.
pub(crate) fn copy(root: &Path, program: &Path) -> Result<Copied, Missing> {
    let dir = tempfile::tempdir_in(root.join("tmp")).unwrap();
    let copied = guests::copy(program, dir.path(), 0o755);
    let inside = Path::new("/").join(copied.strip_prefix(root).unwrap());
    let chroot = tools::find("chroot")?;
    Ok(Copied {
        _dir: dir,
        words: vec![chroot.into(), root.into(), inside.into()],
    })
}
