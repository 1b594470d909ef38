//! The report, put together from the probes.

use super::{
    Backend, Clock, Feature, Process, Report, Seccomp, auto, compat, machine, process, seccomp,
};
use crate::image::Image;
use crate::inject::Force;
use crate::supervisor::{Opening, Outer, probe_cgroup, ptrace_scope};
use crate::{Error, Result, registry};

impl Report {
    /// Tries what this machine offers.
    ///
    /// # Errors
    /// If no child can be started to try things in.
    pub fn gather() -> Result<Self> {
        let outer = Outer::find();
        let reads = reads(&outer);
        let vdso = machine::vdso();
        let seccomp = seccomp::probe();
        let process = process::probe(vdso.map(|(start, _)| start))
            .map_err(|error| Error::os("cannot start a child to try things in", error))?;
        let time_namespaces = machine::time_namespaces();
        let cgroup_kill = Feature::tried("5.14", &probe_cgroup());
        let guest = guest(&seccomp, &process, &outer, &reads);
        let kernel_backend = kernel_backend(&time_namespaces.feature);
        Ok(Self {
            kernel: machine::kernel_release(),
            architecture: std::env::consts::ARCH,
            seccomp,
            process,
            vdso_bytes: vdso.map(|(start, end)| end - start),
            btf: machine::btf(),
            clock_source: machine::clock_source(),
            auto: auto::choices(&guest, &time_namespaces.feature, &outer),
            time_namespaces,
            keeper_death: keeper_death(cgroup_kill.available),
            cgroup_kill,
            yama_ptrace_scope: ptrace_scope(),
            sets_no_new_privs: !machine::has_sys_admin(),
            programs_32bit: compat::programs_32bit(),
            clocks: clocks(reads.as_ref().ok(), guest.works, kernel_backend.works),
            handles: backend(
                registry::probe()
                    .err()
                    .map(|error| error.to_string())
                    .into_iter()
                    .collect(),
            ),
            guest,
            kernel_backend,
        })
    }
}

/// How the guest backend answers reads, or why it cannot.
fn reads(outer: &Result<Option<Outer>>) -> std::result::Result<Reads, String> {
    if let Ok(Some(_)) = outer {
        return Ok(Reads {
            path: "as in the namespace around this process".to_owned(),
            waits: "converted",
        });
    }
    let image = Image::compose().map_err(|error| error.to_string())?;
    Ok(Reads {
        path: image.read_path().to_string(),
        waits: match image.gate() {
            Some(_) => "converted",
            None => "by the host's clock (the vDSO has no room for what converts them)",
        },
    })
}

/// What the guest backend does with reads and absolute waits.
struct Reads {
    path: String,
    waits: &'static str,
}

/// Without these, no program could be given its clocks.
fn guest(
    seccomp: &Seccomp,
    process: &Process,
    outer: &Result<Option<Outer>>,
    reads: &std::result::Result<Reads, String>,
) -> Backend {
    let mut missing = Vec::new();
    if !cfg!(target_arch = "x86_64") {
        missing.push(format!("support for {}", std::env::consts::ARCH));
    }
    match outer {
        // Its supervisor serves inner namespaces too.
        Ok(Some(_)) => return backend(missing),
        Ok(None) => {}
        Err(error) => missing.push(error.to_string()),
    }
    match reads {
        Ok(_) => missing.extend(writes().err().map(|error| error.to_string())),
        Err(reason) => missing.push(reason.clone()),
    }
    if seccomp.listener_above {
        missing.push("a place for our seccomp listener: another supervisor has it".to_owned());
    } else {
        need(&mut missing, "seccomp notify", &seccomp.notify);
        need(&mut missing, "seccomp continue", &seccomp.resume);
    }
    if missing.is_empty() {
        need(&mut missing, "vDSO writes", &process.vdso_writes);
    }
    backend(missing)
}

/// Whether images can be written into programs.
fn writes() -> Result<()> {
    let image = Image::compose()?;
    Opening::find()?.check(false, Force::find(image.host())?)
}

fn kernel_backend(feature: &Feature) -> Backend {
    let mut missing = Vec::new();
    need(&mut missing, "time namespaces", feature);
    backend(missing)
}

fn backend(missing: Vec<String>) -> Backend {
    Backend {
        works: missing.is_empty(),
        missing,
    }
}

fn need(missing: &mut Vec<String>, name: &str, feature: &Feature) {
    if let Some(reason) = &feature.reason {
        missing.push(format!("{name} (Linux {}): {reason}", feature.since));
    }
}

fn clocks(reads: Option<&Reads>, guest: bool, kernel: bool) -> Vec<Clock> {
    const ALL: [&str; 4] = [
        "CLOCK_REALTIME",
        "CLOCK_TAI",
        "CLOCK_MONOTONIC",
        "CLOCK_BOOTTIME",
    ];
    let of_guest = |(clock, reads): (_, &Reads)| Clock {
        clock,
        backend: "guest",
        reads: reads.path.clone(),
        absolute_waits: reads.waits,
    };
    let of_kernel = |clock| Clock {
        clock,
        backend: "kernel",
        reads: "the kernel's vDSO".to_owned(),
        absolute_waits: "converted by the kernel",
    };
    let reads = reads.filter(|_| guest);
    let guest = ALL.into_iter().filter_map(|clock| Some((clock, reads?)));
    let guest = guest.map(of_guest);
    let kernel = ALL.into_iter().skip(2).filter(|_| kernel).map(of_kernel);
    guest.chain(kernel).collect()
}

fn keeper_death(cgroup_kill: bool) -> &'static str {
    if cgroup_kill {
        "the tree is ended by cgroup.kill"
    } else {
        "new programs fail; nothing runs unshifted"
    }
}
