//! Compiles the image (`src/vdso`) and hands it to the crate as bytes and a few constants.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use object::{Endianness, Object, ObjectSection, ObjectSegment, ObjectSymbol};

const SOURCES: &str = "src/vdso";
/// What the composer needs to know of the code besides its entries.
const PLACES: [(&str, &str); 7] = [
    ("PAGE_AT", "ELSEWHEN_PAGE"),
    ("KERNEL_AT", "elsewhen_kernel"),
    ("COOKIES_AT", "elsewhen_cookies"),
    ("LEAF_AT", "elsewhen_coarse"),
    ("CLOCK_GETTIME_AT", "__vdso_clock_gettime"),
    ("HIGH_RES_AT", "elsewhen_high_res"),
    ("TIME_CALLED_AT", "elsewhen_time_called"),
];
/// Places in the gate, counted from its beginning.
const GATE_PLACES: [(&str, &str); 13] = [
    ("GATE_LOWERED", "elsewhen_gate_lowered"),
    ("GATE_KEPT", "elsewhen_gate_kept"),
    ("GATE_LEFT", "elsewhen_gate_left"),
    ("GATE_FIRST", "elsewhen_gate_first"),
    ("GATE_INSIDE", "elsewhen_gate_inside"),
    ("GATE_RESTART", "elsewhen_gate_restart"),
    ("GATE_CALL", "elsewhen_gate_call"),
    ("GATE_AFTER", "elsewhen_gate_after"),
    ("GATE_AGAIN", "elsewhen_gate_again"),
    ("GATE_LEAVE", "elsewhen_gate_leave"),
    ("GATE_OPEN", "elsewhen_gate_open"),
    ("GATE_OPENED", "elsewhen_gate_opened"),
    ("GATE_END", "elsewhen_gate_end"),
];
const ENTRIES: [&str; 3] = ["clock_gettime", "gettimeofday", "time"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed={SOURCES}");
    println!("cargo::rerun-if-changed=src/page.rs");
    println!("cargo::rerun-if-env-changed=CC");
    println!("cargo::rustc-check-cfg=cfg(elsewhen_image)");
    let target = variable("TARGET");
    assert!(
        target.starts_with("x86_64-") && target.contains("linux"),
        "elsewhen has an image for x86-64 Linux only, not for `{target}`"
    );
    let out = PathBuf::from(variable("OUT_DIR"));
    let linked = link(&compile(&target, &out), &out);
    let linked = fs::read(linked).expect("the linker has written its output");
    let Extract {
        image,
        gate,
        constants,
    } = extract(&linked).unwrap_or_else(|why| panic!("the image {why}"));
    fs::write(out.join("image.bin"), image).expect("`OUT_DIR` is writable");
    fs::write(out.join("gate.bin"), gate).expect("`OUT_DIR` is writable");
    fs::write(out.join("image.rs"), constants).expect("`OUT_DIR` is writable");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("cargo sets `{name}`"))
}

/// One object file, optimised whatever the profile: the panic paths must go.
fn compile(target: &str, out: &Path) -> PathBuf {
    let object = out.join("image.o");
    let mut rustc = Command::new(variable("RUSTC"));
    rustc.args([
        "--crate-name=elsewhen_image",
        "--crate-type=lib",
        "--edition=2024",
    ]);
    rustc.args([
        "--emit=obj",
        "--cfg=elsewhen_image",
        "--check-cfg=cfg(elsewhen_image)",
        "--target",
        target,
    ]);
    for option in [
        "panic=abort",
        "opt-level=z",
        "codegen-units=1",
        "relocation-model=pie",
        // Calls are to be calls, not loads from a table of addresses.
        "relro-level=off",
        "force-unwind-tables=yes",
        "debug-assertions=off",
        "overflow-checks=off",
    ] {
        rustc.args(["-C", option]);
    }
    run(rustc
        .arg(format!("{SOURCES}/image.rs"))
        .arg("-o")
        .arg(&object));
    object
}

/// Linked as a position-independent program, so that an absolute address shows as a relocation.
fn link(object: &Path, out: &Path) -> PathBuf {
    let linked = out.join("image.elf");
    let cc = env::var("RUSTC_LINKER").or_else(|_| env::var("CC"));
    let mut cc = Command::new(cc.unwrap_or_else(|_| "cc".into()));
    cc.args(["-nostdlib", "-static-pie"]);
    for option in [
        "-T,src/vdso/image.ld",
        "--no-undefined",
        "--no-dynamic-linker",
        "--eh-frame-hdr",
        "--hash-style=sysv",
        "--build-id=none",
    ] {
        cc.arg(format!("-Wl,{option}"));
    }
    run(cc.arg(object).arg("-o").arg(&linked));
    linked
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => (),
        Ok(status) => panic!("the image does not build ({status}): {command:?}"),
        Err(error) => panic!(
            "cannot run {:?} to build the image: {error}; install a C compiler, or name it in `CC`",
            command.get_program()
        ),
    }
}

/// What the crate gets.
struct Extract<'a> {
    /// The image's bytes.
    image: &'a [u8],
    /// The gate's.
    gate: &'a [u8],
    /// Where their parts lie in them.
    constants: String,
}

fn extract(linked: &[u8]) -> Result<Extract<'_>, String> {
    let file =
        object::read::elf::ElfFile64::<Endianness>::parse(linked).map_err(|e| e.to_string())?;
    if file
        .section_by_name(".writable")
        .is_some_and(|section| section.size() != 0)
    {
        return Err("has writable data".into());
    }
    if file
        .dynamic_relocations()
        .is_some_and(|mut all| all.next().is_some())
    {
        return Err("has relocations".into());
    }
    if let Some(symbol) = file.symbols().skip(1).find(ObjectSymbol::is_undefined) {
        return Err(format!(
            "has an undefined symbol: `{}`",
            symbol.name().unwrap_or_default()
        ));
    }
    let load = file.segments().next().ok_or("has no segment")?;
    let bytes = load.data().map_err(|e| e.to_string())?;
    if load.address() != 0 {
        return Err("does not begin at 0".into());
    }
    let symbol = |name: &str| {
        file.symbols()
            .find(|s| s.name() == Ok(name))
            .ok_or_else(|| format!("has no `{name}`"))
    };
    let page = symbol("ELSEWHEN_PAGE")?;
    let end = usize::try_from(page.address() + page.size()).map_err(|e| e.to_string())?;
    let image = bytes.get(..end).ok_or("does not hold its parameter page")?;
    let mut text = String::new();
    for (name, constant) in [(".text", "TEXT"), (".eh_frame", "EH_FRAME")] {
        let section = file.section_by_name(name);
        let section = section.ok_or_else(|| format!("has no `{name}`"))?;
        let range = section.address()..section.address() + section.size();
        let _ = writeln!(
            text,
            "pub(super) const {constant}: core::ops::Range<usize> = {range:?};"
        );
    }
    for (constant, name) in PLACES {
        let at = symbol(name)?.address();
        let _ = writeln!(text, "pub(super) const {constant}: usize = {at};");
    }
    let gate_at = symbol("elsewhen_gate")?.address();
    for (constant, name) in GATE_PLACES {
        let at = symbol(name)?.address() - gate_at;
        let _ = writeln!(text, "pub(super) const {constant}: usize = {at};");
    }
    let gate = usize::try_from(gate_at)
        .ok()
        .and_then(|at| bytes.get(at..))
        .ok_or("does not hold its gate")?;
    let gate_sites = gate_sites(&file, gate_at)?;
    let _ = writeln!(
        text,
        "pub(super) const GATE_SITES: [(usize, usize); {}] = {gate_sites:?};",
        gate_sites.len()
    );
    let sites = sites(&file)?;
    let _ = writeln!(
        text,
        "pub(super) const SITES: [super::Site; {}] = [{}];",
        sites.len(),
        sites.concat()
    );
    let _ = writeln!(
        text,
        "pub(super) const ENTRIES: [(&str, u32, u32); {}] = [",
        ENTRIES.len()
    );
    for name in ENTRIES {
        let symbol = symbol(&format!("__vdso_{name}"))?;
        let _ = writeln!(
            text,
            "    (\"{name}\", {}, {}),",
            symbol.address(),
            symbol.size()
        );
    }
    let _ = writeln!(text, "];");
    let frames = frames(&file)?;
    let _ = writeln!(
        text,
        "pub(super) const FRAMES: [(u32, u32); {}] = {frames:?};",
        frames.len()
    );
    Ok(Extract {
        image,
        gate,
        constants: text,
    })
}

/// The places in the gate that hold a distance to the parameter page, and to which field of it.
fn gate_sites(
    file: &object::read::elf::ElfFile64<'_>,
    gate_at: u64,
) -> Result<Vec<(u64, u32)>, String> {
    let section = file
        .section_by_name(".gate_sites")
        .ok_or("has no sites in its gate")?;
    let data = section.data().map_err(|e| e.to_string())?;
    let site = |record: &[u8]| {
        let word = |at: usize| u32::from_le_bytes(record[at..at + 4].try_into().expect("four"));
        (u64::from(word(0)) - gate_at, word(4))
    };
    Ok(data.chunks_exact(8).map(site).collect())
}

/// The places that the composer fills in, as the assembly has recorded them.
fn sites(file: &object::read::elf::ElfFile64<'_>) -> Result<Vec<String>, String> {
    let section = file.section_by_name(".sites").ok_or("has no sites")?;
    let data = section.data().map_err(|e| e.to_string())?;
    let site = |record: &[u8]| {
        let &[a, b, c, d, what, width, more, _] = record else {
            return Err("has half a site".to_owned());
        };
        let at = u32::from_le_bytes([a, b, c, d]);
        Ok(format!(
            "super::Site {{ at: {at}, what: {what}, width: {width}, more: {more} }},"
        ))
    };
    data.chunks(8).map(site).collect()
}

/// Each function and its FDE, from the table that the linker has sorted.
fn frames(file: &object::read::elf::ElfFile64<'_>) -> Result<Vec<(u32, u32)>, String> {
    let header = file
        .section_by_name(".eh_frame_hdr")
        .ok_or("has no unwind table")?;
    let data = header.data().map_err(|e| e.to_string())?;
    let [1, _, 0x03, 0x3b, ..] = data else {
        return Err("has an unwind table of an unknown form".into());
    };
    let base = u32::try_from(header.address()).map_err(|e| e.to_string())?;
    let mut words = data[8..]
        .chunks_exact(4)
        .map(|word| u32::from_le_bytes(word.try_into().expect("four bytes")));
    let count = words.next().ok_or("has an empty unwind table")?;
    let pairs = (0..count).map(|_| {
        Some((
            words.next()?.wrapping_add(base),
            words.next()?.wrapping_add(base),
        ))
    });
    pairs
        .collect::<Option<_>>()
        .ok_or_else(|| "has a short unwind table".into())
}
