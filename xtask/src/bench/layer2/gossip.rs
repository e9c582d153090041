//! Gossip traffic at rest: counted on the nodes of the laboratory, and in the simulation for larger numbers of nodes.
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use outrigger_tests::kubernetes::Lab;
use serde_json::json;

use super::NODES;

/// Time during which datagrams are counted.
const TIME: Duration = Duration::from_secs(10);
const COUNT: &str = "add table inet gossip
add chain inet gossip out { type filter hook output priority 0; }
add rule inet gossip out udp dport 7953 counter\n";
/// Marker of the line of the simulation's output with the traffic at rest.
const AT_REST: &str = " nodes at rest: ";

/// Traffic that one node sends per second.
pub struct Gossip {
    pub nodes: u64,
    pub datagrams: f64,
    pub octets: f64,
    /// True if the traffic was simulated and not counted on a network.
    pub simulated: bool,
}

impl Gossip {
    pub fn json(&self) -> serde_json::Value {
        let Self { nodes, datagrams, octets, simulated } = self;
        json!({ "gossip_nodes": nodes, "simulated": simulated, "datagrams_per_second": datagrams, "octets_per_second": octets })
    }
}

impl std::fmt::Display for Gossip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { nodes, datagrams, octets, simulated } = self;
        let how = if *simulated { ", simulated" } else { "" };
        write!(
            f,
            "gossip, {nodes} nodes{how}: {datagrams:.0} datagrams, {octets:.0} octets per node and second"
        )
    }
}

/// Returns the traffic in the laboratory, whose nodes are at rest.
pub fn counted(lab: &Lab) -> Result<Gossip> {
    let run = |node: &str, arguments: &[&str]| -> Result<String> {
        let mut nft = lab.namespace(node)?.mortal_command(Path::new("nft"));
        let output = nft.args(arguments).output().context("cannot run nft")?;
        ensure!(output.status.success(), "nft: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    };
    let nodes: Vec<_> = lab.nodes().map(|node| node.name()).collect();
    for node in &nodes {
        run(node, &[COUNT])?;
    }
    std::thread::sleep(TIME);
    let (mut datagrams, mut octets) = (0.0, 0.0);
    for node in &nodes {
        let shown = run(node, &["list", "table", "inet", "gossip"])?;
        datagrams += after(&shown, "packets ")?;
        octets += after(&shown, "bytes ")?;
        run(node, &["delete", "table", "inet", "gossip"])?;
    }
    let each = |sum: f64| sum / f64::from(NODES) / TIME.as_secs_f64();
    let (datagrams, octets) = (each(datagrams), each(octets));
    Ok(Gossip { nodes: NODES.into(), datagrams, octets, simulated: false })
}

/// Returns the traffic in the simulation, for each number of nodes.
pub fn simulated() -> Result<Vec<Gossip>> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "test",
        "--package",
        "outrigger-core",
        "--lib",
        "--",
        "gossip_at_rest",
        "--nocapture",
    ]);
    let output = cargo.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout)?;
    let lines = text.lines().filter_map(|line| line.split_once(AT_REST));
    lines
        .map(|(nodes, rest)| {
            let nodes = nodes.trim().parse()?;
            let (datagrams, octets) = (after(rest, "")?, after(rest, "datagrams, ")?);
            Ok(Gossip { nodes, datagrams, octets, simulated: true })
        })
        .collect()
}

/// Returns the number that follows some words.
fn after(text: &str, words: &str) -> Result<f64> {
    let rest = text.split_once(words).with_context(|| format!("no {words:?} in {text:?}"))?.1;
    let number = rest.split_whitespace().next().unwrap_or_default();
    number.parse().with_context(|| format!("{number:?} is not a number"))
}
