//! Building the programs in `tests/guests`, each once, into Cargo's directory for tests.

use super::process::{Run, alone};
use super::{Missing, tools};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// How a guest is compiled and linked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// C against glibc, dynamically.
    Glibc,
    /// C against glibc, statically.
    GlibcStatic,
    /// C against musl, dynamically.
    Musl,
    /// C against musl, statically.
    MuslStatic,
    /// A C guest as C++ against glibc, dynamically.
    GlibcAsCpp,
    /// C for 32-bit x86.
    I386,
    /// C without a libc.
    NoLibc,
    /// C without a libc, reading the clock in the vDSO.
    NoLibcVdso,
    /// C with `AddressSanitizer`, whose leak check runs at the end.
    Asan,
    /// C with `LeakSanitizer` alone.
    Lsan,
    /// The library that a C guest brings with it.
    Library,
    /// C against glibc and libseccomp.
    Seccomp,
    /// C++, dynamically.
    Cpp,
    /// C++, statically.
    CppStatic,
    /// C against glibc, its functions to be found by their names.
    Named,
    /// Go, without cgo.
    Go,
    /// Go, with cgo.
    Cgo,
    /// Rust, dynamically.
    Rust,
    /// Rust, as a static position-independent executable.
    RustStatic,
    /// A Java class.
    Java,
}

impl Kind {
    /// The four ways to build a C program against a libc.
    pub(crate) const C: [Self; 4] = [Self::Glibc, Self::GlibcStatic, Self::Musl, Self::MuslStatic];

    fn extension(self) -> &'static str {
        match self {
            Self::Cpp | Self::CppStatic => "cpp",
            Self::Go | Self::Cgo => "go",
            Self::Rust | Self::RustStatic => "rs",
            Self::Java => "java",
            _ => "c",
        }
    }

    fn command(self, source: &Path, output: &Path) -> Result<Vec<OsString>, Missing> {
        let warnings = ["-O2", "-Wall", "-Wextra", "-pthread"];
        let bare = [
            "-static",
            "-nostdlib",
            "-ffreestanding",
            "-fno-stack-protector",
        ];
        let (tool, words): (PathBuf, Vec<&str>) = match self {
            Self::Glibc | Self::Seccomp => (tools::find("gcc")?, warnings.to_vec()),
            Self::GlibcStatic => (tools::find("gcc")?, [&warnings[..], &["-static"]].concat()),
            Self::Musl => (tools::find("musl-gcc")?, warnings.to_vec()),
            Self::MuslStatic => {
                let words = [&warnings[..], &["-static"]].concat();
                (tools::find("musl-gcc")?, words)
            }
            Self::GlibcAsCpp => {
                let words = [&["-x", "c++", "-std=c++20"], &warnings[..]].concat();
                (tools::find("g++")?, words)
            }
            Self::I386 => (tools::find("gcc")?, [&warnings[..], &["-m32"]].concat()),
            Self::NoLibc => (tools::find("gcc")?, [&["-O2"], &bare[..]].concat()),
            Self::NoLibcVdso => {
                let words = [&["-O2", "-DVDSO"], &bare[..]].concat();
                (tools::find("gcc")?, words)
            }
            Self::Asan => {
                let words = ["-O1", "-g", "-fsanitize=address"];
                (tools::find("gcc")?, words.to_vec())
            }
            Self::Lsan => {
                let words = ["-O1", "-g", "-pthread", "-fsanitize=leak"];
                (tools::find("gcc")?, words.to_vec())
            }
            Self::Library => {
                let words = [&warnings[..], &["-DLIBRARY", "-shared", "-fPIC"]].concat();
                (tools::find("gcc")?, words)
            }
            Self::Cpp => {
                let words = [&warnings[..], &["-std=c++20"]].concat();
                (tools::find("g++")?, words)
            }
            Self::CppStatic => {
                let words = [&warnings[..], &["-std=c++20", "-static"]].concat();
                (tools::find("g++")?, words)
            }
            Self::Named => {
                let words = [&warnings[..], &["-rdynamic"]].concat();
                (tools::find("gcc")?, words)
            }
            Self::Go => {
                tools::find("go")?;
                let words = ["CGO_ENABLED=0", "GO111MODULE=off", "go", "build"];
                (tools::find("env")?, words.to_vec())
            }
            Self::Cgo => {
                tools::find("gcc")?;
                tools::find("go")?;
                let words = ["CGO_ENABLED=1", "GO111MODULE=off", "go", "build"];
                (tools::find("env")?, words.to_vec())
            }
            Self::Rust => (tools::rustc(), vec!["-O"]),
            Self::RustStatic => (tools::rustc(), vec!["-O", "-Ctarget-feature=+crt-static"]),
            Self::Java => (tools::find("javac")?, vec!["-d"]),
        };
        let mut command = vec![tool.into_os_string()];
        command.extend(words.into_iter().map(OsString::from));
        if self == Self::I386 {
            command.extend(["-idirafter".into(), kernel_headers()]);
        }
        match self {
            Self::Java => command.extend([output.into(), source.into()]),
            _ => command.extend(["-o".into(), output.into(), source.into()]),
        }
        if self == Self::Seccomp {
            command.push("-lseccomp".into());
        }
        Ok(command)
    }
}

/// Where the headers of the machine's own architecture lie, which serve 32-bit programs too.
fn kernel_headers() -> OsString {
    let said = Run::on_host().run(&["gcc", "-print-multiarch"]).succeeded();
    format!("/usr/include/{}", said.stdout.trim()).into()
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("guests")
}

/// All headers that a guest may include: those beside it, and those in a folder of its name.
fn headers(source: &Path) -> String {
    let beside = source.parent().unwrap().to_owned();
    let mut files: Vec<PathBuf> = [beside, source.with_extension("")]
        .iter()
        .filter_map(|dir| std::fs::read_dir(dir).ok())
        .flatten()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "h"))
        .collect();
    files.sort();
    let texts = files.iter().map(|f| std::fs::read_to_string(f).unwrap());
    texts.collect()
}

/// The guest `name`, built as `kind` unless it is there already and unchanged.
pub(crate) fn build(name: &str, kind: Kind) -> Result<PathBuf, Missing> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/guests")
        .join(format!("{name}.{}", kind.extension()));
    let label = format!("{name}-{kind:?}").to_lowercase();
    let (output, fresh) = (
        directory().join(&label),
        directory().join(label.clone() + ".new"),
    );
    let stamp = directory().join(label.clone() + ".stamp");
    let command = kind.command(&source, &fresh)?;
    let recipe = format!(
        "{command:?}\n{}\n{}",
        std::fs::read_to_string(&source).unwrap(),
        headers(&source)
    );

    std::fs::create_dir_all(directory()).unwrap();
    let lock = std::fs::File::create(directory().join(label + ".lock")).unwrap();
    lock.lock().unwrap();
    let done = std::fs::read_to_string(&stamp).is_ok_and(|old| old == recipe);
    if !(done && output.exists()) {
        let _ = std::fs::remove_dir_all(&output);
        let _ = std::fs::remove_file(&output);
        if kind == Kind::Java {
            std::fs::create_dir_all(&fresh).unwrap();
        }
        let built = Run::on_host().limit(300).run(&command);
        if kind == Kind::I386 && built.stderr.contains("cannot find") {
            return Err(Missing("no libraries for 32-bit programs".into()));
        }
        if kind == Kind::Seccomp && built.stderr.contains("seccomp.h: No such file") {
            return Err(Missing("no headers of libseccomp".into()));
        }
        let built = built.succeeded();
        assert_eq!(built.stderr, "", "warnings from {:?}", built.words);
        std::fs::rename(&fresh, &output).unwrap();
        std::fs::write(&stamp, recipe).unwrap();
    }
    Ok(output)
}

/// The guest `file` that needs no building: an interpreter's script.
pub(crate) fn script(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/guests")
        .join(file)
}

/// A file that tests compare with or run, by its path below `tests`.
pub(crate) fn data(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests")
        .join(file)
}

/// A directory that an ordinary user can enter, wherever the build's own one lies.
pub(crate) fn public_directory() -> TempDir {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::Builder::new()
        .prefix("elsewhen-test-")
        .tempdir()
        .unwrap();
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o777)).unwrap();
    dir
}

/// A copy of a guest in `dir`, with these permissions.
pub(crate) fn copy(guest: &Path, dir: &Path, mode: u32) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    let copy = dir.join(guest.file_name().unwrap());
    alone(|| std::fs::copy(guest, &copy).unwrap());
    std::fs::set_permissions(&copy, PermissionsExt::from_mode(mode)).unwrap();
    copy
}
