//! A lone node serves its manifests.
use anyhow::{Result, ensure};
use std::time::Duration;

use crate::cluster::{Cluster, LIMIT, VIP, example, service};
use crate::story::Story;
use crate::{clock, http, wait};

/// Figures measured on a lone node.
#[derive(Debug, Clone, Copy)]
pub struct Served {
    /// Time from the start of the daemon's process to the end of the client's first HTTP 200, with empty state and cache.
    pub first_answer: Duration,
    /// Time from the start to its first ARP answer, requested every 5 ms.
    pub first_arp: Duration,
    /// Memory of the daemon once it is idle, in KiB.
    pub rss_kib: u64,
}

/// Checks that the example of MetalLB 0.9 is served unchanged.
///
/// # Errors
/// When it is not served.
pub fn the_example(cluster: &mut Cluster, story: &Story) -> Result<Served> {
    let prober = cluster.probe()?;
    story.say(format!("the client asks for {VIP} 200 times per second; no node announces it"));
    ensure!(
        http::get((VIP, 80).into(), Duration::from_millis(100)).is_err(),
        "{VIP} answers before anything runs"
    );

    cluster.start_on(0, &example())?;
    let started = cluster.daemon(0)?.started;
    let body = cluster.get(VIP.into())?;
    let first_answer = clock::since(started);
    ensure!(body == "n1", "the answer is from {body}");
    let first_arp =
        wait::until("an ARP answer", LIMIT, || Ok(prober.so_far().answers().first().copied()))?;
    let first_arp = first_arp.at.duration_since(started);
    story.say(format!(
        "ARP answered {:.1} ms after the daemon's process was started",
        clock::ms(first_arp)
    ));
    story
        .say(format!("HTTP 200 from {body} through {VIP} after {:.1} ms", clock::ms(first_answer)));

    let given = wait::until("the Service's status", LIMIT, || {
        Ok(cluster.any_address(VIP.into())?.then_some(VIP))
    })?;
    story.say(format!("the status of the Service has {given}"));
    cluster.settled(&prober, None)?;
    drop(prober);
    let rss_kib = cluster.daemon(0)?.idle_rss_kib()?;
    story.say(format!("the idle daemon uses {:.1} MiB", mib(rss_kib)));
    Ok(Served { first_answer, first_arp, rss_kib })
}

/// Checks that an IPv6 pool is served: the client's kernel finds the address by Neighbor Discovery.
///
/// # Errors
/// When it is not served.
pub fn ipv6(cluster: &mut Cluster, story: &Story) -> Result<()> {
    let pool = "apiVersion: outrigger.dev/v1alpha1\nkind: AddressPool\nmetadata:\n  name: six\nspec:\n  addresses:\n  \
                - fd00:1::1:1-fd00:1::1:ff\n";
    let announcer = "apiVersion: outrigger.dev/v1alpha1\nkind: Announcer\nmetadata:\n  name: layer2\nspec:\n  plugin: layer2\n";
    cluster.put("pool.yaml", pool.as_bytes())?;
    cluster.put("announcer.yaml", announcer.as_bytes())?;
    cluster.put("service.yaml", service("web", "  ipFamilies: [IPv6]\n").as_bytes())?;
    cluster.start(0)?;
    let address = cluster.await_address("default", "web")?;
    ensure!(address.is_ipv6(), "the Service got {address}");
    let body = cluster.get(address)?;
    ensure!(body == "n1", "the answer is from {body}");
    story.say(format!("HTTP 200 from {body} through {address}"));
    Ok(())
}

/// Converts KiB to MiB.
pub fn mib(kib: u64) -> f64 {
    (kib as f64 / 102.4).round() / 10.0
}
