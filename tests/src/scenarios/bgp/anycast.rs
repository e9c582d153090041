//! `examples/anycast`: two clusters, here two independent standalone daemons, announce one address to one router. One fails,
//! and the other gets the traffic.
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::bgp::outrigger::Outrigger;
use crate::bgp::router::{Kind, LIMIT, Router};
use crate::bgp::traffic::{Echo, Traffic};
use crate::bgp::{Bfd, Neighbor, Net, Speaker, fib};
use crate::{product, wait};

/// Address that both clusters announce.
const ANYCAST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 10);
const CLUSTERS: [&str; 2] = ["east", "west"];
const ROUTER_ASN: u32 = 64500;
const CLUSTER_ASN: u32 = 64512;
/// Longest blackout: a session without BFD detects the loss only after its hold time of 90 s. `cargo xtask bench bgp` measures
/// how fast BFD is on an idle machine.
const BLACKOUT: Duration = Duration::from_secs(10);

/// Fails one of two clusters that run with the example's own manifests. Returns the blackout.
///
/// # Errors
/// When the address is not served by the remaining cluster.
pub fn one_cluster_fails() -> Result<Duration> {
    let net = network()?;
    let bfd = Some(Bfd { interval_ms: 50, multiplier: 3 });
    let mut speaker = Speaker::new(ROUTER_ASN, Ipv4Addr::new(10, 0, 0, 1));
    for number in 0..2 {
        let mut neighbor = Neighbor::at(Ipv4Addr::new(10, 0, number + 1, 10), CLUSTER_ASN);
        neighbor.bfd = bfd;
        speaker = speaker.with(neighbor);
    }
    let router = Router::start(Kind::Frr, &speaker, &net.at("r"), net.folder())?;
    let mut clusters =
        CLUSTERS.map(|name| Outrigger::new(&net, name)).into_iter().collect::<Result<Vec<_>>>()?;
    let _servers = CLUSTERS
        .map(|name| Echo::start(&net.at(name), ANYCAST, name))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    for (cluster, name) in clusters.iter_mut().zip(CLUSTERS) {
        cluster.remove("pool.yaml")?;
        for folder in ["both", name] {
            copy(folder, cluster)?;
        }
        cluster.start()?;
    }
    let explain = |clusters: &[Outrigger]| {
        format!(
            "{}{}",
            clusters.iter().map(Outrigger::explain).collect::<String>(),
            router.explain()
        )
    };
    let result = (|| {
        let prefix = format!("{ANYCAST}/32");
        fib::await_next_hops(router.namespace(), &prefix, 2)?;
        for number in 1..=2 {
            let neighbor = format!("10.0.{number}.10");
            wait::until("BFD is up", LIMIT, || Ok(router.bfd_up(&neighbor)?.then_some(())))?;
        }
        let traffic = Traffic::start(&net.at("c"), ANYCAST, 1)?;
        traffic.await_flowing()?;
        let holder = traffic.answered_by(0).context("no node answers")?;
        let skip = traffic.begin_anew();
        // A whole cluster is cut off: nothing comes from it any more, and the router's end keeps its carrier.
        net.at(&holder).command("nft").arg("add table inet cut; add chain inet cut in { type filter hook input priority -10; policy drop; }; add chain inet cut out { type filter hook output priority -10; policy drop; }").status()?;
        wait::until("the other cluster answers", LIMIT, || {
            Ok(traffic.answered_by(0).filter(|name| *name != holder))
        })?;
        traffic.await_flowing()?;
        let gap = traffic.finish(skip).longest_gap();
        ensure!(gap < BLACKOUT, "no answer for {gap:?}");
        fib::await_next_hops(router.namespace(), &prefix, 1)?;
        anyhow::Ok(gap)
    })();
    result.with_context(|| explain(&clusters))
}

/// Copies the files of a folder of the example into a cluster's manifests.
fn copy(folder: &str, cluster: &Outrigger) -> Result<()> {
    let folder = product::root().join("examples/anycast").join(folder);
    for entry in std::fs::read_dir(&folder).with_context(|| format!("no {}", folder.display()))? {
        let entry = entry?;
        let text = std::fs::read_to_string(entry.path())?;
        // Parsed as well, so that a file that is not YAML is named here.
        let _: Value = serde_saphyr::from_str(&text)
            .with_context(|| format!("{} is not YAML", entry.path().display()))?;
        cluster.put(&entry.file_name().to_string_lossy(), &text)?;
    }
    Ok(())
}

fn network() -> Result<Net> {
    let net = Net::new(&["c", "r", "east", "west"])?;
    net.wire(("c", "eth0"), ("r", "eth0"))?;
    net.at("c").ip("addr add 10.0.9.2/24 dev eth0\nroute add default via 10.0.9.1\n")?;
    net.at("r").ip("addr add 10.0.9.1/24 dev eth0\n")?;
    for (number, name) in [(1, "east"), (2, "west")] {
        net.wire((name, "eth0"), ("r", name))?;
        net.at("r").ip(&format!("addr add 10.0.{number}.1/24 dev {name}\n"))?;
        net.at(name).ip(&format!(
            "addr add 10.0.{number}.10/24 dev eth0\naddr add {ANYCAST}/32 dev lo\nroute add default via 10.0.{number}.1\n"
        ))?;
    }
    net.forward("r")?;
    Ok(net)
}
