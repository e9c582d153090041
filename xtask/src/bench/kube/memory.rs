//! Measures the memory of a load balancer's processes, as the kernel counts it.
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use outrigger_tests::kubernetes::Lab;
use serde_json::json;

use super::figure::Figure;
use super::system::{Part, System};

/// Memory in KiB.
#[derive(Debug, Clone, Copy)]
struct Memory {
    /// VmRSS of /proc/PID/status (proc_pid_status(5)): every resident page counts, shared or not.
    rss: u64,
    /// RssAnon of the same file: memory the process has written, without its program text.
    anonymous: u64,
    /// Pss of /proc/PID/smaps_rollup: a page shared by n processes counts as 1/n.
    pss: u64,
}

/// Measures the daemons on the nodes and the controllers.
pub fn measure(lab: &Lab, system: System, services: usize) -> Result<Vec<Figure>> {
    [(Part::Node, "node daemon"), (Part::Controller, "controller")]
        .into_iter()
        .map(|(part, name)| {
            let processes = processes(lab, system, part)?;
            ensure!(!processes.is_empty(), "{} has no process {name}", system.name());
            let all = |part: fn(&Memory) -> u64| -> Vec<f64> {
                processes.iter().map(|memory| mib(part(memory))).collect()
            };
            let (rss, pss) = (all(|memory| memory.rss), all(|memory| memory.pss));
            let anonymous = all(|memory| memory.anonymous);
            Ok(Figure {
                name: format!("memory per {name}, {services} Services"),
                text: format!("RSS {rss:?} MiB, of it anonymous {anonymous:?}, PSS {pss:?}"),
                values: json!({
                    "services": services,
                    "rss_mib": rss,
                    "anonymous_mib": anonymous,
                    "pss_mib": pss,
                }),
            })
        })
        .collect()
}

/// Finds the processes in a node's cgroup of this laboratory, identified by their arguments.
fn processes(lab: &Lab, system: System, part: Part) -> Result<Vec<Memory>> {
    // A node's cgroup is named after its namespace.
    let cgroups: Vec<_> =
        lab.nodes().map(|node| format!("/{}/", node.namespace().name())).collect();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let process = entry?.path();
        // A process that ends meanwhile no longer has these files.
        let (Ok(own), Ok(arguments)) = (
            fs::read_to_string(process.join("cgroup")),
            fs::read_to_string(process.join("cmdline")),
        ) else {
            continue;
        };
        let arguments: Vec<_> = arguments.split_terminator('\0').collect();
        if system.part(&arguments) == Some(part)
            && cgroups.iter().any(|cgroup| own.contains(cgroup))
        {
            found.push(memory(&process)?);
        }
    }
    Ok(found)
}

fn memory(process: &Path) -> Result<Memory> {
    let field = |file: &str, name: &str| -> Result<u64> {
        let text = fs::read_to_string(process.join(file))?;
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        number.with_context(|| format!("no {name} in {}/{file}", process.display()))
    };
    Ok(Memory {
        rss: field("status", "VmRSS:")?,
        anonymous: field("status", "RssAnon:")?,
        pss: field("smaps_rollup", "Pss:")?,
    })
}

fn mib(kib: u64) -> f64 {
    (kib as f64 / 1024.0 * 10.0).round() / 10.0
}
