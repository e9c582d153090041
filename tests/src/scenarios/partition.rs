//! A node is cut off and comes back, or is not heard by the others: who answers for what afterwards, and whom the network believes.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::thread::ScopedJoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use pnet_base::MacAddr;

use crate::cluster::{Cluster, LIMIT, VIP};
use crate::lab::Cut;
use crate::prober::Prober;
use crate::story::Story;
use crate::{clock, wait};

/// Services besides the first.
const MORE: usize = 5;
/// Requests a second for each address.
const RATE: u32 = 100;
/// The last word of somebody who lost an address, after the node is back.
const SOON: Duration = Duration::from_secs(3);
/// The port of the gossip.
const CLOSED: &str = "add table inet closed\n\
     add chain inet closed input { type filter hook input priority filter; }\n\
     add rule inet closed input udp dport 7953 drop\n";

struct Stage<'a> {
    cluster: &'a Cluster,
    probers: BTreeMap<Ipv4Addr, Prober>,
}

impl<'a> Stage<'a> {
    fn set(cluster: &'a Cluster) -> Result<Self> {
        let mut addresses = vec![VIP];
        for number in 0..MORE {
            match cluster.create_service(&format!("more-{number}"))? {
                IpAddr::V4(address) => addresses.push(address),
                IpAddr::V6(address) => bail!("{address} is not IPv4"),
            }
        }
        let from = cluster.lab.client.namespace();
        let probers = addresses
            .into_iter()
            .map(|address| Ok((address, Prober::start(from, "eth0", address, RATE)?)))
            .collect::<Result<_>>()?;
        Ok(Self { cluster, probers })
    }

    /// Which node answers for each address, alone.
    fn holders(&self) -> Result<BTreeMap<Ipv4Addr, usize>> {
        std::thread::scope(|scope| {
            let settles: Vec<_> = self
                .probers
                .iter()
                .map(|(address, prober)| {
                    (*address, scope.spawn(|| self.cluster.settled(prober, None)))
                })
                .collect();
            let holder = |(address, settles): (Ipv4Addr, ScopedJoinHandle<'_, Result<usize>>)| {
                let holder = settles.join().expect("a prober does not panic");
                Ok((address, holder.with_context(|| address.to_string())?))
            };
            settles.into_iter().map(holder).collect()
        })
    }

    /// How long after this moment somebody else than these answered.
    fn last_word(&self, since: Instant, holders: &BTreeMap<Ipv4Addr, usize>) -> Duration {
        let of_one = |(address, prober): (&Ipv4Addr, &Prober)| {
            let holder = self.cluster.lab.nodes[holders[address]].mac;
            let answers = prober.so_far();
            let others = answers.answers().iter().filter(|answer| answer.mac != holder);
            others.map(|answer| answer.at.saturating_duration_since(since)).max()
        };
        self.probers.iter().filter_map(of_one).max().unwrap_or_default()
    }

    /// What the client's kernel believes.
    fn believed(&self, address: Ipv4Addr) -> Result<Option<MacAddr>> {
        let mut ip = self.cluster.lab.client.command(Path::new("ip"));
        let shown = ip.args(["neigh", "show", &address.to_string()]).output()?;
        let shown = String::from_utf8(shown.stdout)?;
        let mac = shown.split("lladdr ").nth(1).and_then(|rest| rest.split(' ').next());
        Ok(mac.and_then(|mac| mac.parse().ok()))
    }
}

/// The holder of some addresses is cut off, for less and for more time than it takes to be missed: what the others hold they keep.
///
/// # Errors
/// When an address of another node moves, or two answer for long.
pub fn cut_off(cluster: &Cluster, story: &Story) -> Result<()> {
    let stage = Stage::set(cluster)?;
    for (how, duration) in
        [(Cut::Silent, 300), (Cut::Silent, 1_000), (Cut::Port, 1_000), (Cut::Silent, 5_000)]
    {
        let before = stage.holders()?;
        let victim = *before.values().next().context("no address")?;
        let others: Vec<_> = before.iter().filter(|(_, holder)| **holder != victim).collect();
        ensure!(!others.is_empty(), "one node holds everything: {before:?}");
        cluster.lab.cut(victim, how)?;
        std::thread::sleep(Duration::from_millis(duration));
        cluster.lab.heal(victim)?;
        let healed = clock::now();
        std::thread::sleep(SOON);
        let after = stage.holders()?;
        let last = stage.last_word(healed, &after);
        story.say(format!(
            "n{} {how:?} for {duration} ms; who lost an address answered {:.0} ms after it was back",
            victim + 1,
            clock::ms(last)
        ));
        for (address, holder) in others {
            ensure!(
                after[address] == *holder,
                "{address} moved from n{} to n{} when n{} was cut off for {duration} ms ({how:?})",
                holder + 1,
                after[address] + 1,
                victim + 1
            );
        }
        ensure!(last < SOON, "two nodes answer {last:?} after the node was back");
        cluster.await_members()?;
    }
    Ok(())
}

/// The gossip of one node is closed while the segment is not, then opened: the others keep what they had, and the client's kernel, which
/// was told otherwise meanwhile, is told again.
///
/// # Errors
/// When an address of another node moves, or the client believes who does not answer.
pub fn unheard(cluster: &Cluster, story: &Story) -> Result<()> {
    let stage = Stage::set(cluster)?;
    let before = stage.holders()?;
    let victim = *before.values().next().context("no address")?;
    for address in before.keys() {
        cluster.get((*address).into())?;
    }
    let node = &cluster.lab.nodes[victim];
    node.nft(CLOSED)?;
    std::thread::sleep(Duration::from_secs(3));
    let misled = before.iter().filter(|(address, holder)| {
        let believed = stage.believed(**address).ok().flatten();
        believed.is_some_and(|mac| mac != cluster.lab.nodes[**holder].mac)
    });
    story.say(format!(
        "while UDP 7953 was closed the client was told otherwise of {}",
        misled.count()
    ));
    node.nft("delete table inet closed\n")?;
    std::thread::sleep(SOON);
    let after = stage.holders()?;
    for (address, holder) in &before {
        ensure!(
            *holder == victim || after[address] == *holder,
            "{address} moved from n{} to n{}",
            holder + 1,
            after[address] + 1
        );
    }
    for (address, holder) in &after {
        let mac = cluster.lab.nodes[*holder].mac;
        wait::until(&format!("the client believes that {address} is at {mac}"), LIMIT, || {
            Ok((stage.believed(*address)? == Some(mac)).then_some(()))
        })?;
    }
    Ok(())
}
