//! ExaBGP: it sends what is written to its pipe and keeps no routes. It is only used for comparison in measurements.
use std::fs;
use std::io::Write;
use std::path::Path as FilePath;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::router::Program;
use super::speaker::{Neighbor, Speaker, Who};
use crate::namespace::Namespace;

/// Pipe for lines of its API.
const PIPE: &str = "api.in";

pub(super) fn start(
    speaker: &Speaker,
    namespace: &Namespace,
    folder: &FilePath,
) -> Result<Vec<Program>> {
    let pipe = folder.join(PIPE);
    if !pipe.exists() {
        let status = Command::new("mkfifo").arg(&pipe).status().context("cannot run mkfifo")?;
        ensure!(status.success(), "mkfifo failed: {status}");
    }
    let neighbors = speaker.neighbors.iter().filter_map(|it| neighbor(it, speaker));
    // Opened for both directions, the pipe never ends while it has no writer.
    let process = format!(
        "process feed {{\n  run /bin/sh -c \"exec cat <> {}\";\n  encoder text;\n}}\n",
        pipe.display()
    );
    fs::write(folder.join("exabgp.conf"), process + &neighbors.collect::<String>())?;
    let settings = [
        "exabgp.daemon.drop=false",
        "exabgp.daemon.user=root",
        "exabgp.api.cli=false",
        "exabgp.api.ack=false",
        "exabgp.log.level=INFO",
    ];
    let arguments: Vec<_> = settings.into_iter().chain(["exabgp", "exabgp.conf"]).collect();
    Ok(vec![Program::start("exabgp", namespace, folder, FilePath::new("env"), &arguments)?])
}

fn neighbor(neighbor: &Neighbor, speaker: &Speaker) -> Option<String> {
    let Who::Address(address) = neighbor.who else { return None };
    let local = neighbor.local?;
    let routes: String =
        speaker.networks.iter().map(|it| format!("    route {it} next-hop self;\n")).collect();
    Some(format!(
        "neighbor {address} {{\n  router-id {};\n  local-address {local};\n  local-as {};\n  peer-as {};\n  hold-time {};\n  \
         family {{ ipv4 unicast; }}\n  api {{ processes [ feed ]; }}\n  static {{\n{routes}  }}\n}}\n",
        speaker.router_id, speaker.asn, neighbor.asn, neighbor.hold
    ))
}

/// Sends lines of its API.
pub(super) fn say(folder: &FilePath, lines: &str) -> Result<()> {
    let pipe = fs::File::options().read(true).write(true).open(folder.join(PIPE));
    let mut pipe = pipe.context("ExaBGP has no pipe")?;
    pipe.write_all(format!("{lines}\n").as_bytes()).context("ExaBGP does not read its pipe")
}
