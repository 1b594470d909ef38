//! Files that others read while they are written.

use std::fs::{self, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// Puts another file in the place of `file`, so that nobody reads half. Everybody may read it, whatever the umask
/// is.
///
/// The directory may be somebody else's: no link there is followed.
///
/// # Errors
/// Those of open(2), write(2) and rename(2).
pub(crate) fn replace(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut new = file.to_owned().into_os_string();
    new.push(".new");
    match fs::remove_file(&new) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .custom_flags(libc::O_NOFOLLOW)
        .open(&new)?;
    written.set_permissions(Permissions::from_mode(0o644))?;
    written.write_all(bytes)?;
    fs::rename(&new, file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_in_the_way_is_not_followed_and_all_may_read_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("precious"), "mine").unwrap();
        std::os::unix::fs::symlink(at("precious"), at("counts.new")).unwrap();
        replace(&at("counts"), b"text").unwrap();
        assert_eq!(std::fs::read_to_string(at("precious")).unwrap(), "mine");
        assert_eq!(std::fs::read_to_string(at("counts")).unwrap(), "text");
        let mode = std::fs::metadata(at("counts"))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o644);
        assert!(std::fs::symlink_metadata(at("counts.new")).is_err());
    }
}
