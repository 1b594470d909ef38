//! Seccomp profiles of containers, compiled by libseccomp as a runtime has it done.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::guests::{self, Kind};
use super::process::{Run, alone, elsewhen};
use super::{Missing, bpf};

pub(crate) const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
pub(crate) const NOTIFY: u32 = libc::SECCOMP_RET_USER_NOTIF;

/// An ABI, as seccomp and libseccomp call it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Abi {
    pub(crate) arch: u32,
    pub(crate) name: &'static str,
}

pub(crate) const NATIVE: Abi = Abi {
    arch: 0xc000_003e,
    name: "x86_64",
};
pub(crate) const X32: Abi = Abi {
    arch: 0xc000_003e,
    name: "x32",
};
pub(crate) const I386: Abi = Abi {
    arch: 0x4000_0003,
    name: "x86",
};

/// A compiled profile.
#[derive(Debug)]
pub(crate) struct Filter(pub(crate) Vec<libc::sock_filter>);

impl Filter {
    pub(crate) fn verdict(&self, abi: Abi, number: u32, args: [u64; 6]) -> u32 {
        bpf::verdict(&self.0, abi.arch, number, args, 0)
    }
}

/// The profiles of engines that are installed here.
pub(crate) fn bases() -> Result<Vec<PathBuf>, Missing> {
    let gopath = "/usr/share/gocode/src/github.com";
    let known = [
        "/usr/share/containers/seccomp.json".to_owned(),
        format!("{gopath}/docker/docker/profiles/seccomp/default.json"),
    ];
    let found: Vec<_> = known
        .into_iter()
        .map(PathBuf::from)
        .filter(|file| file.exists())
        .collect();
    if found.is_empty() {
        return Err(Missing("no engine's seccomp profile is installed".into()));
    }
    Ok(found)
}

/// A profile with what includes and excludes say done, for containers with these capabilities.
pub(crate) fn settle(profile: &Value, capabilities: &[&str]) -> Value {
    let mut settled = profile.clone();
    if let Some(map) = profile["archMap"].as_array() {
        let is_ours = |one: &&Value| one["architecture"] == "SCMP_ARCH_X86_64";
        let ours = map.iter().find(is_ours).unwrap();
        let mut names = vec![ours["architecture"].clone()];
        names.extend(ours["subArchitectures"].as_array().unwrap().clone());
        settled["architectures"] = names.into();
    }
    let holds = |entry: &Value| {
        let list = |key: &str, name: &str| -> BTreeSet<String> {
            let list = entry[key][name].as_array().into_iter().flatten();
            list.map(|name| name.as_str().unwrap().to_owned()).collect()
        };
        let given: BTreeSet<String> = capabilities.iter().map(|&c| c.into()).collect();
        let arches = list("includes", "arches");
        (arches.is_empty() || arches.contains("amd64"))
            && !list("excludes", "arches").contains("amd64")
            && list("includes", "caps").is_subset(&given)
            && list("excludes", "caps").is_disjoint(&given)
    };
    let entries = profile["syscalls"].as_array().unwrap();
    let entries = entries.iter().filter(|entry| holds(entry)).cloned();
    let entries = entries.map(|mut entry| {
        for key in ["includes", "excludes"] {
            entry.as_object_mut().unwrap().remove(key);
        }
        entry
    });
    settled["syscalls"] = entries.collect();
    settled
}

/// A settled profile as libseccomp compiles it.
pub(crate) fn compile(profile: &Value) -> Result<Filter, Missing> {
    let errno = |value: &Value| value.as_u64().unwrap_or(1);
    let word = |value: &Value| value.as_str().unwrap().to_owned();
    let mut text = format!(
        "default {} {}\n",
        word(&profile["defaultAction"]),
        errno(&profile["defaultErrnoRet"])
    );
    for architecture in profile["architectures"].as_array().unwrap() {
        let name = word(architecture).replace("SCMP_ARCH_", "").to_lowercase();
        writeln!(text, "arch {name}").unwrap();
    }
    for entry in profile["syscalls"].as_array().unwrap() {
        let none = json!([]);
        let args = entry["args"].as_array().unwrap_or(none.as_array().unwrap());
        for name in entry["names"].as_array().unwrap() {
            let (action, errno) = (word(&entry["action"]), errno(&entry["errnoRet"]));
            let name = word(name);
            write!(text, "rule {action} {errno} {name} {}", args.len()).unwrap();
            for arg in args {
                let number = |key: &str| arg[key].as_u64().unwrap_or(0);
                let (index, op) = (number("index"), word(&arg["op"]));
                let (value, two) = (number("value"), number("valueTwo"));
                write!(text, " {index} {op} {value} {two}").unwrap();
            }
            text.push('\n');
        }
    }
    let words = ask(&[], &text)?;
    let field = |chunk: &[u8], at: usize| u16::from_le_bytes([chunk[at], chunk[at + 1]]);
    let program = words.chunks_exact(8).map(|chunk| libc::sock_filter {
        code: field(chunk, 0),
        jt: chunk[2],
        jf: chunk[3],
        k: u32::from_le_bytes(chunk[4..8].try_into().unwrap()),
    });
    Ok(Filter(program.collect()))
}

/// The numbers of calls in an ABI; `None` for those that it lacks.
pub(crate) fn numbers(abi: Abi, names: &[&str]) -> Result<Vec<Option<u32>>, Missing> {
    let said = ask(&[abi.name], &names.join("\n"))?;
    let said = String::from_utf8(said).unwrap();
    let numbers: Vec<_> = said
        .lines()
        .map(|line| line.parse::<i32>().unwrap())
        .collect();
    assert_eq!(numbers.len(), names.len());
    Ok(numbers.into_iter().map(|n| u32::try_from(n).ok()).collect())
}

/// A program under the profile that `elsewhen oci-profile` prints, adopted as a container is, with its clocks
/// this many nanoseconds from the host's: REALTIME, TAI, MONOTONIC and BOOTTIME.
pub(crate) fn under_profile(offsets: [i128; 4]) -> Result<Run, Missing> {
    let launcher = guests::build("under_profile", Kind::Glibc)?;
    let words = ["oci-profile", "--socket", "/run/agent.sock"].map(Into::into);
    let words = [vec![elsewhen().into_os_string()], words.to_vec()].concat();
    let said = Run::on_host().run(&words).succeeded();
    let filter = compile(&serde_json::from_str(&said.stdout).unwrap())?;
    let bytes = filter.0.iter().flat_map(|op| {
        let [low, high] = op.code.to_ne_bytes();
        let [k0, k1, k2, k3] = op.k.to_ne_bytes();
        [low, high, op.jt, op.jf, k0, k1, k2, k3]
    });
    let bytes: Vec<u8> = bytes.collect();
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR"));
    // Others may be reading it.
    let file = tempfile::NamedTempFile::new_in(dir).unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let kept = dir.join("profile.bpf");
    file.persist(&kept).unwrap();
    let second = 1_000_000_000;
    let words = offsets.map(|o| format!("[{},{}]", o.div_euclid(second), o.rem_euclid(second)));
    let order = format!(r#"{{"offsets":[{}],"proc":true}}"#, words.join(","));
    Ok(Run::on_host().through(&[
        launcher.into_os_string(),
        elsewhen().into(),
        kept.into(),
        order.into(),
    ]))
}

/// What the compiler writes for this input.
fn ask(args: &[&str], input: &str) -> Result<Vec<u8>, Missing> {
    let guest = guests::build("seccomp_profile", Kind::Seccomp)?;
    let mut command = Command::new(guest);
    command.args(args);
    let (stdin, stdout) = (Stdio::piped(), Stdio::piped());
    let mut child = alone(|| command.stdin(stdin).stdout(stdout).spawn().unwrap());
    let mut pipe = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || pipe.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{}", output.status);
    Ok(output.stdout)
}
