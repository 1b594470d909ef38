//! The configuration's file: read whole, and replaced at once.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::Path;

use crate::error::errno_text;
use crate::line::shown;

/// More is no configuration of a container's.
const MOST_BYTES: u64 = 16 << 20;

/// The file's text.
pub(super) fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    File::open(path)
        .and_then(|file| file.take(MOST_BYTES + 1).read_to_string(&mut text))
        .map_err(|error| cannot("read", path, &error))?;
    if text.len() as u64 > MOST_BYTES {
        return Err(format!(
            "`{}` has more than 16 MiB",
            shown(path.as_os_str())
        ));
    }
    Ok(text)
}

/// Puts another file with this text in the file's place, of the same owner and mode.
///
/// Who reads it meanwhile has the one or the other.
pub(super) fn replace(path: &Path, text: &str) -> Result<(), String> {
    let failed = |error: io::Error| cannot("change", path, &error);
    // A link stays, and what it leads to is replaced.
    let path = fs::canonicalize(path).map_err(failed)?;
    let old = fs::metadata(&path).map_err(failed)?;
    let new = path.with_file_name(format!(".elsewhen-{}.json", std::process::id()));
    let written = write(&new, text, &old).and_then(|()| fs::rename(&new, &path));
    if written.is_err() {
        let _ = fs::remove_file(&new);
    }
    written.map_err(failed)
}

fn write(new: &Path, text: &str, old: &fs::Metadata) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(new)?;
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (old.uid(), old.gid()) {
        fchown(&file, Some(old.uid()), Some(old.gid()))?;
    }
    file.set_permissions(old.permissions())?;
    file.write_all(text.as_bytes())
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> String {
    format!(
        "cannot {what} `{}`: {}",
        shown(path.as_os_str()),
        errno_text(error)
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_file_is_replaced_with_its_mode_and_through_a_link() {
        let dir = tempfile::tempdir().unwrap();
        let (real, link) = (dir.path().join("real.json"), dir.path().join("config.json"));
        fs::write(&real, "{}").unwrap();
        fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
        symlink(&real, &link).unwrap();
        replace(&link, "{\"a\":1}").unwrap();
        assert_eq!(fs::read_to_string(&real).unwrap(), "{\"a\":1}");
        assert_eq!(real.metadata().unwrap().mode() & 0o7777, 0o640);
        assert!(link.symlink_metadata().unwrap().is_symlink());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
