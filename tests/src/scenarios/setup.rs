//! What is set up so that clients do not reach an announced address, or nodes do not hear each other, is named with its fix, and no more once it is mended.
use std::fs;

use anyhow::{Context, Result};

use crate::cluster::{Cluster, LIMIT};
use crate::story::Story;
use crate::wait;

/// 32 octets that are not the key of the others, as `gossip.key` has them.
const OTHER_KEY: &str = "BwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n";

/// Each fault in turn on the first node of three, which have a network of their own for what they say to each other.
///
/// # Errors
/// When one is not named, or still is when it is mended.
pub fn named(cluster: &mut Cluster, story: &Story) -> Result<()> {
    let node = &cluster.lab.nodes[0];
    // Other networks are reached through eth1, so that clients there are answered by another way than they came.
    node.ip("route add default via 10.9.0.254 dev eth1\n")?;
    set(cluster, "eth0/rp_filter", 1)?;
    said(cluster, "net.ipv4.conf.eth0.rp_filter=2", true)?;
    set(cluster, "eth0/rp_filter", 2)?;
    said(cluster, "rp_filter", false)?;
    story.say("strict reverse path filtering is named");

    let node = &cluster.lab.nodes[0];
    node.ip("link add kube-ipvs0 type bridge\n")?;
    said(cluster, "strictARP", true)?;
    set(cluster, "eth0/arp_ignore", 1)?;
    said(cluster, "strictARP", false)?;
    story.say("IPVS without strictARP is named");

    another_key(cluster)?;
    story.say("a node with another gossip key is named");
    Ok(())
}

/// The third node starts with another key.
fn another_key(cluster: &mut Cluster) -> Result<()> {
    let file = cluster.gossip_key_file();
    let key = fs::read(&file).context("no gossip key")?;
    cluster.stop(2)?;
    fs::write(&file, OTHER_KEY)?;
    cluster.start(2)?;
    said(cluster, "n3 seals its gossip with another key than n1", true)?;
    said(cluster, "n1 seals its gossip with another key than n3", true)?;
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
    let what = if expected { "status says" } else { "status no more says" };
    wait::until(&format!("{what} {words:?}"), LIMIT, || {
        let problems = cluster.status()?["nodes"].to_string();
        Ok((problems.contains(words) == expected).then_some(()))
    })
}
