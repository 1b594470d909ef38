//! Kernels that tests have at hand: the one that runs, and those of which `tests/kernels/run` has taken the vDSO and
//! the types out of their files. The directory `ELSEWHEN_TEST_KERNELS` has these, as `RELEASE.vdso` and `RELEASE.btf`.

use std::path::PathBuf;
use std::{env, fs};

use super::host::{self, Host};

#[path = "../../tests/harness/skips.rs"]
mod skips;
pub(super) use skips::skipped;

/// What is to be had of a kernel.
pub(super) struct Kernel {
    pub(super) release: String,
    pub(super) vdso: Option<Vec<u8>>,
    /// Not every kernel has them.
    pub(super) types: Option<Vec<u8>>,
}

pub(super) fn kernels() -> Vec<Kernel> {
    let own = Kernel {
        release: rustix::system::uname().release().to_str().unwrap().into(),
        vdso: Host::find().ok().map(|host| host.bytes()),
        types: host::with_btf(<[u8]>::to_vec).ok(),
    };
    let mut all = vec![own];
    let Some(directory) = env::var_os("ELSEWHEN_TEST_KERNELS").map(PathBuf::from) else {
        return all;
    };
    let names = fs::read_dir(&directory).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for release in names.filter_map(|name| Some(name.strip_suffix(".vdso")?.to_owned())) {
        let part = |kind| fs::read(directory.join(format!("{release}.{kind}"))).ok();
        all.push(Kernel {
            vdso: part("vdso"),
            types: part("btf"),
            release,
        });
    }
    assert!(all.len() > 1, "{directory:?} has no kernel's vDSO");
    all
}
