//! Network partitions: a node is cut off and comes back, or its gossip does not reach the others. The trials check which node
//! announces each address afterwards, and which MAC address the client has for it.
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

/// Number of Services in addition to the first.
const MORE: usize = 5;
/// Requests per second for each address.
const RATE: u32 = 100;
/// Maximum number of rounds that may be inconclusive.
const ROUNDS: usize = 10;
/// Times for which a node is cut off, in milliseconds; the last [`IN_SOAK`] run only in a soak.
const CUTS: [(Cut, u64); 9] = [
    (Cut::Silent, 300),
    (Cut::Silent, 1_000),
    (Cut::Port, 1_000),
    (Cut::OwnPort, 1_000),
    (Cut::Silent, 5_000),
    (Cut::Port, 300),
    (Cut::OwnPort, 5_000),
    (Cut::Silent, 30_000),
    (Cut::OwnPort, 30_000),
];
const IN_SOAK: usize = 4;
/// Time limit for the last answer of a node that lost an address, after the cut-off node is back.
const SOON: Duration = Duration::from_secs(3);
mod stopped;

pub use stopped::{blocked, stood_still};

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

    /// Returns the node that answers for each address. Waits until one node answers alone.
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

    /// Returns the time from `since` to the last answer of a node other than the holder of its address.
    fn last_word(&self, since: Instant, holders: &BTreeMap<Ipv4Addr, usize>) -> Duration {
        let of_one = |(address, prober): (&Ipv4Addr, &Prober)| {
            let holder = self.cluster.lab.nodes[holders[address]].mac;
            let answers = prober.so_far();
            let others = answers.answers().iter().filter(|answer| answer.mac != holder);
            others.map(|answer| answer.at.saturating_duration_since(since)).max()
        };
        self.probers.iter().filter_map(of_one).max().unwrap_or_default()
    }

    /// Returns the MAC address that the client's kernel has for an address; `None` if it has none.
    fn believed(&self, address: Ipv4Addr) -> Result<Option<MacAddr>> {
        let mut ip = self.cluster.lab.client.command(Path::new("ip"));
        let shown = ip.args(["neigh", "show", &address.to_string()]).output()?;
        let shown = String::from_utf8(shown.stdout)?;
        let mac = shown.split("lladdr ").nth(1).and_then(|rest| rest.split(' ').next());
        Ok(mac.and_then(|mac| mac.parse().ok()))
    }
}

/// Cuts off the holder of some addresses, for times below and above the failure detection time, and checks that the other nodes
/// keep the addresses that they hold.
///
/// # Errors
/// When an address of another node moves, or two nodes answer for longer than the limit.
pub fn cut_off(cluster: &Cluster, story: &Story) -> Result<()> {
    let stage = Stage::set(cluster)?;
    let in_soak = std::env::var_os("OUTRIGGER_SOAK").is_some();
    let long = if in_soak { &CUTS[..] } else { &CUTS[..CUTS.len() - IN_SOAK] };
    for (how, milliseconds) in long.iter().copied() {
        undisturbed(|| stage.cut_off(how, milliseconds, story))?;
    }
    Ok(())
}

/// Repeats a round in which nodes that were not cut off lost each other: on a machine that is too slow for their probes, such a
/// round is inconclusive.
fn undisturbed(mut round: impl FnMut() -> Result<bool>) -> Result<()> {
    for _ in 0..ROUNDS {
        if round()? {
            return Ok(());
        }
    }
    bail!(
        "in each of {ROUNDS} rounds nodes that were not cut off lost each other: the machine is too slow"
    )
}

impl Stage<'_> {
    /// Runs one round. Returns false if the other nodes lost each other.
    fn cut_off(&self, how: Cut, milliseconds: u64, story: &Story) -> Result<bool> {
        let (cluster, before) = (self.cluster, self.holders()?);
        // Each round leaves fewer addresses on the nodes that had some: a node without addresses must not take any either.
        let held = |node: &usize| before.values().filter(|holder| *holder == node).count();
        let mut nodes = 0..cluster.lab.nodes.len();
        let victim = nodes.clone().filter(|node| held(node) > 0).min_by_key(held);
        let victim = match victim.filter(|node| held(node) < before.len()) {
            Some(victim) => victim,
            None => nodes.find(|node| held(node) == 0).context("no address")?,
        };
        let losses = self.losses(victim)?;
        cluster.lab.cut(victim, how)?;
        std::thread::sleep(Duration::from_millis(milliseconds));
        cluster.lab.heal(victim)?;
        let healed = clock::now();
        std::thread::sleep(SOON);
        let after = self.holders()?;
        let last = self.last_word(healed, &after);
        cluster.await_members()?;
        if self.losses(victim)? != losses {
            return Ok(false);
        }
        story.say(format!(
            "n{} {how:?} for {milliseconds} ms; last answer of a node that lost an address: {:.0} ms after the node was back",
            victim + 1,
            clock::ms(last)
        ));
        kept(&before, &after, victim).with_context(|| format!("{how:?} for {milliseconds} ms"))?;
        ensure!(last < SOON, "two nodes still answer {last:?} after the node was back");
        Ok(true)
    }

    /// Returns how many times the other nodes lost each other, according to their logs.
    fn losses(&self, victim: usize) -> Result<usize> {
        let name = format!("node=\"n{}\"", victim + 1);
        let lost = |line: &&str| {
            (line.contains("a node failed or left") && !line.contains(&name))
                || line.contains("this node was suspended")
        };
        let mut losses = 0;
        for node in (0..self.cluster.lab.nodes.len()).filter(|node| *node != victim) {
            losses += self.cluster.daemon(node)?.log().lines().filter(lost).count();
        }
        Ok(losses)
    }
}

fn kept(
    before: &BTreeMap<Ipv4Addr, usize>,
    after: &BTreeMap<Ipv4Addr, usize>,
    victim: usize,
) -> Result<()> {
    for (address, holder) in before.iter().filter(|(_, holder)| **holder != victim) {
        let now = after[address];
        let (was, is, cut) = (holder + 1, now + 1, victim + 1);
        ensure!(now == *holder, "{address} moved from n{was} to n{is} when n{cut} was away");
    }
    Ok(())
}

/// A firewall that drops gossip on some nodes.
struct Closed {
    what: &'static str,
    nodes: &'static [usize],
    /// Rules of the chain for each hook.
    input: &'static str,
    output: &'static str,
}

/// Firewalls around the holder, around every node, towards the holder, from the holder, and between two of three nodes. The
/// holder is the first node.
const CLOSED: [Closed; 5] = [
    Closed { what: "around the holder", nodes: &[0], input: DROP, output: DROP },
    Closed { what: "around every node", nodes: &[0, 1, 2], input: DROP, output: DROP },
    Closed { what: "towards the holder", nodes: &[0], input: DROP, output: "" },
    Closed { what: "from the holder", nodes: &[0], input: "", output: DROP },
    Closed { what: "between two of three", nodes: &[0], input: DROP_ONE, output: DROP_ONE },
];
const DROP: &str = "udp dport 7953 drop";
const DROP_ONE: &str = "udp dport 7953 ip saddr ONE drop; udp dport 7953 ip daddr ONE drop";
/// Time after which a request must not have two answers.
const DECIDED: Duration = Duration::from_secs(2);
/// Time after which a node that the others consider failed has received two of their announcements: they announce every 1.1 s.
const YIELDED: Duration = Duration::from_millis(3_500);

/// Closes the gossip port while the segment works, and checks that no address moves, that only the holder answers, that the
/// status names the port, and that no address moves when the port is opened.
///
/// # Errors
/// When an address moves, or two nodes answer for longer than the limit.
pub fn closed(cluster: &Cluster, story: &Story) -> Result<()> {
    let stage = Stage::set(cluster)?;
    for closed in &CLOSED {
        undisturbed(|| stage.closed(closed, story)).context(closed.what)?;
    }
    Ok(())
}

impl Stage<'_> {
    /// Runs one round. Returns false if the other nodes lost each other.
    fn closed(&self, closed: &Closed, story: &Story) -> Result<bool> {
        let (cluster, before) = (self.cluster, self.holders()?);
        let holder = *before.values().next().context("no address")?;
        let nodes = &cluster.lab.nodes;
        let at = |node: &usize| (holder + node) % nodes.len();
        let losses = self.losses(holder)?;
        let table = closed.table(&nodes[at(&1)].internal.to_string());
        for node in closed.nodes {
            nodes[at(node)].nft(&table)?;
        }
        let since = clock::now();
        wait::until("status names the port", LIMIT, || {
            let problems = cluster.status()?["problems"].to_string();
            Ok(problems.contains("UDP port 7953").then_some(()))
        })?;
        let told = clock::now().duration_since(since);
        std::thread::sleep(SOON);
        for node in closed.nodes {
            nodes[at(node)].nft("delete table inet closed\n")?;
        }
        std::thread::sleep(SOON);
        let after = self.holders()?;
        cluster.await_members()?;
        if closed.nodes.len() == 1 && self.losses(holder)? != losses {
            return Ok(false);
        }
        story.say(format!(
            "UDP 7953 closed {}: the status reports it after {told:.1?}",
            closed.what
        ));
        ensure!(after == before, "addresses moved: {before:?} before, {after:?} after");
        for (address, prober) in &self.probers {
            let several = prober.so_far().answered_by_several(since + DECIDED);
            ensure!(several == 0, "{several} requests for {address} were answered by two nodes");
            let mac = nodes[before[address]].mac;
            cluster.get((*address).into())?;
            ensure!(
                self.believed(*address)? == Some(mac),
                "the client has a different MAC address for {address}"
            );
        }
        Ok(true)
    }
}

/// Closes the gossip port around the holder and makes its link silent for some time: the other nodes consider it failed and take
/// over. When its link is back, it receives their announcements and yields.
///
/// # Errors
/// When two nodes answer for longer than the limit, or an address of another node moves.
pub fn given_up(cluster: &Cluster, story: &Story) -> Result<()> {
    let stage = Stage::set(cluster)?;
    let before = stage.holders()?;
    let holder = *before.values().next().context("no address")?;
    let node = &cluster.lab.nodes[holder];
    node.nft(&CLOSED[0].table(""))?;
    std::thread::sleep(SOON);
    cluster.lab.cut(holder, Cut::Silent)?;
    std::thread::sleep(Duration::from_millis(1_500));
    cluster.lab.heal(holder)?;
    let healed = clock::now();
    std::thread::sleep(2 * SOON);
    let after = stage.holders()?;
    let last = stage.last_word(healed, &after);
    story.say(format!(
        "n{} answered until {:.0} ms after its link was back",
        holder + 1,
        clock::ms(last)
    ));
    for (address, prober) in &stage.probers {
        let several = prober.so_far().answered_by_several(healed + YIELDED);
        ensure!(several == 0, "{several} requests for {address} were answered by two nodes");
        cluster.get((*address).into())?;
    }
    kept(&before, &after, holder)?;
    node.nft("delete table inet closed\n")?;
    cluster.await_members()?;
    std::thread::sleep(SOON);
    ensure!(stage.holders()? == after, "addresses moved when the port was opened");
    Ok(())
}

/// Closes the port on every node before any of them starts: no node discovers another. Checks that one node answers for each
/// address, including an address that is assigned later, and after the answering daemon is killed and restarted.
///
/// # Errors
/// When two nodes answer, or none.
pub fn never_open(cluster: &mut Cluster, story: &Story) -> Result<()> {
    for node in 0..cluster.lab.nodes.len() {
        cluster.kill(node)?;
    }
    let table = CLOSED[1].table("");
    for node in &cluster.lab.nodes {
        node.nft(&table)?;
    }
    let since = clock::now();
    for node in 0..cluster.lab.nodes.len() {
        cluster.start(node)?;
    }
    let stage = Stage::set(cluster)?;
    let before = stage.holders()?;
    let holder = *before.values().next().context("no address")?;
    wait::until("status names the port", LIMIT, || {
        let problems = cluster.status()?["problems"].to_string();
        Ok(problems.contains("UDP port 7953").then_some(()))
    })?;
    story.say(format!("no node receives gossip; n{} answers", holder + 1));
    for (address, prober) in &stage.probers {
        let several = prober.so_far().answered_by_several(since);
        ensure!(several == 0, "{several} requests for {address} were answered by two nodes");
    }
    drop(stage);
    cluster.kill(holder)?;
    cluster.start(holder)?;
    let stage = Stage::set(cluster)?;
    let again = clock::now();
    stage.holders()?;
    std::thread::sleep(SOON);
    for (address, prober) in &stage.probers {
        let several = prober.so_far().answered_by_several(again);
        ensure!(several == 0, "{several} requests for {address} were answered by two nodes");
    }
    Ok(())
}

impl Closed {
    fn table(&self, one: &str) -> String {
        let chain = |hook: &str, rules: &str| {
            let rules = rules.split("; ").filter(|rule| !rule.is_empty());
            let rules = rules.map(|rule| format!("add rule inet closed {hook} {rule}\n"));
            let rules: String = rules.collect();
            format!(
                "add chain inet closed {hook} {{ type filter hook {hook} priority filter; }}\n{rules}"
            )
        };
        let (input, output) = (chain("input", self.input), chain("output", self.output));
        format!("add table inet closed\n{input}{output}").replace("ONE", one)
    }
}
