//! Settings with which clients do not reach an announced address, or gossip does not reach other nodes: the status names each with
//! its fix, and no longer once it is fixed.
use std::fs;

use anyhow::{Context, Result};

use crate::cluster::{Cluster, LIMIT};
use crate::story::Story;
use crate::wait;

/// 32 bytes that differ from the key of the other nodes, in the format of `gossip.key`.
const OTHER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";

/// Checks that the status names each fault in turn, on three nodes with a separate network for gossip.
///
/// # Errors
/// When a fault is not named, or is still named after it is fixed.
pub fn named(cluster: &mut Cluster, story: &Story) -> Result<()> {
    let node = &cluster.lab.nodes[0];
    // Other networks are reached through eth1, so that answers to clients there leave through another interface than the requests
    // arrived on.
    node.ip("route add default via 10.9.0.254 dev eth1\n")?;
    set(cluster, "eth0/rp_filter", 1)?;
    said(cluster, "net.ipv4.conf.eth0.rp_filter=2", true)?;
    set(cluster, "eth0/rp_filter", 2)?;
    said(cluster, "rp_filter", false)?;
    story.say("the status reports strict reverse path filtering");

    let node = &cluster.lab.nodes[0];
    node.ip("link add kube-ipvs0 type bridge\n")?;
    said(cluster, "strictARP", true)?;
    set(cluster, "eth0/arp_ignore", 1)?;
    said(cluster, "strictARP", false)?;
    story.say("the status reports IPVS without strictARP");

    another_key(cluster)?;
    story.say("the status reports a node with another gossip key");
    Ok(())
}

/// Starts the third node with another key.
fn another_key(cluster: &mut Cluster) -> Result<()> {
    let file = cluster.gossip_key_file();
    let key = fs::read(&file).context("no gossip key")?;
    cluster.stop(2)?;
    fs::write(&file, OTHER_KEY)?;
    cluster.start(2)?;
    said(cluster, "n3 uses another gossip key than n1", true)?;
    said(cluster, "n1 uses another gossip key than n3", true)?;
    cluster.stop(2)?;
    fs::write(&file, key)?;
    cluster.start(2)?;
    cluster.await_members()?;
    said(cluster, "another key", false)
}

fn set(cluster: &Cluster, setting: &str, value: u32) -> Result<()> {
    let file = format!("/proc/sys/net/ipv4/conf/{setting}");
    let write = || fs::write(&file, value.to_string()).with_context(|| file.clone());
    cluster.lab.nodes[0].inside(write)
}

fn said(cluster: &Cluster, words: &str, expected: bool) -> Result<()> {
    let what = if expected { "status contains" } else { "status no longer contains" };
    wait::until(&format!("{what} {words:?}"), LIMIT, || {
        let problems = cluster.status()?["nodes"].to_string();
        Ok((problems.contains(words) == expected).then_some(()))
    })
}
