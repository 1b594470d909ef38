//! Finding the programs that a test needs, without saying where they lie.

use super::Missing;
use super::process::Run;
use std::path::{Path, PathBuf};

/// A program on the search path, or among the administrator's programs.
pub(crate) fn find(name: &str) -> Result<PathBuf, Missing> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|dir| dir.join(name))
        .find(|file| is_program(file))
        .ok_or_else(|| Missing(format!("`{name}` is not installed")))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata()
        .is_ok_and(|m| m.is_file() && m.permissions().mode() & 0o111 != 0)
}

/// The Python interpreter itself, not a script that chooses one.
pub(crate) fn python() -> Result<PathBuf, Missing> {
    let found = find("python3")?;
    let script = "import sys; print(sys.executable)";
    let said = Run::on_host()
        .run(&[found.as_os_str(), "-c".as_ref(), script.as_ref()])
        .succeeded();
    Ok(said.stdout.trim().into())
}

/// A program of PostgreSQL's server, which Debian keeps off the search path.
pub(crate) fn postgres(name: &str) -> Result<PathBuf, Missing> {
    if let Ok(file) = find(name) {
        return Ok(file);
    }
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|dir| dir.flatten().map(|e| e.path()).collect())
        .unwrap_or_default();
    versions.sort();
    versions
        .into_iter()
        .rev()
        .map(|dir| dir.join("bin").join(name))
        .find(|file| is_program(file))
        .ok_or_else(|| Missing("PostgreSQL's server is not installed".into()))
}

/// The Cargo that runs the tests: the program itself, not a chooser of toolchains.
pub(crate) fn cargo() -> PathBuf {
    env!("CARGO").into()
}

/// The compiler beside that Cargo.
pub(crate) fn rustc() -> PathBuf {
    let beside = cargo().with_file_name("rustc");
    if beside.is_file() {
        beside
    } else {
        "rustc".into()
    }
}

/// BusyBox, if it is linked statically.
pub(crate) fn static_busybox() -> Result<PathBuf, Missing> {
    let file = find("busybox")?;
    if has_interpreter(&file) {
        return Err(Missing("`busybox` is not linked statically".into()));
    }
    Ok(file)
}

/// Whether a 64-bit ELF file asks for a dynamic linker.
pub(crate) fn has_interpreter(file: &Path) -> bool {
    let bytes = std::fs::read(file).unwrap();
    let number = |at: usize, size: usize| {
        let mut word = [0; 8];
        word[..size].copy_from_slice(&bytes[at..at + size]);
        usize::try_from(u64::from_le_bytes(word)).unwrap()
    };
    assert_eq!(&bytes[..5], b"\x7fELF\x02", "{}", file.display());
    let (table, size, count) = (number(32, 8), number(54, 2), number(56, 2));
    (0..count).any(|i| number(table + i * size, 4) == 3)
}
