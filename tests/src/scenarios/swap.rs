//! Plugins are replaced while they are running.
use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Result, ensure};

use crate::cluster::Cluster;
use crate::guests::Guests;
use crate::prober::Probe;
use crate::story::Story;
use crate::{clock, wait};

/// Highest address of the example's pool, 192.168.1.240/28.
const TOP: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 255);
/// Limit for memory growth: three times the target of 2 MiB, as for every figure that a test checks. Most of it is the
/// component itself and its native code; a compiler in the daemon would hold ten times as much.
const GROWTH_KIB: u64 = 3 * 2 * 1024;
/// Number of Services created under each policy.
const EACH: usize = 3;

/// Replaces layer2 with another build of it on every node while ARP requests run. Returns the client's record.
///
/// # Errors
/// When a request had no answer.
pub fn layer2(cluster: &mut Cluster, guests: &Guests, story: &Story) -> Result<Probe> {
    let prober = cluster.probe()?;
    let holder = cluster.settled(&prober, None)?;
    for (build, path) in
        [("another build", &guests.layer2_other), ("the first build", &guests.layer2)]
    {
        let before = cluster.layer2_on(holder)?;
        let start = clock::now();
        let digest = cluster.put_plugin("layer2", path)?;
        ensure!(before["digest"] != *digest, "{build} has the same bytes as what it replaces");
        story.say(format!("layer2.wasm is now {build}, {}", &digest[..12]));
        cluster.await_plugin("layer2", &digest)?;
        story.say(format!("active on every node after {:.1} ms", clock::ms(clock::since(start))));
        let still = cluster.settled(&prober, None)?;
        ensure!(still == holder, "the address moved when the plugin was replaced");
    }
    let probe = prober.finish()?;
    cluster.nothing_lost(&probe)?;
    ensure!(probe.by_mac().len() == 1, "another node answered: {:?}", probe.by_mac());
    story.say(format!("{} requests, {} unanswered", probe.requests(), probe.unanswered()));
    Ok(probe)
}

/// Checks that a component that was never compiled here is compiled by a child process: the daemon itself hardly grows.
///
/// # Errors
/// When the daemon holds `GROWTH_KIB` more once the component is active.
pub fn compiled_apart(cluster: &mut Cluster, guests: &Guests, story: &Story) -> Result<()> {
    let before = cluster.daemon(0)?.idle_own_kib()?;
    let digest = cluster.put_plugin("layer2", &guests.layer2_other)?;
    cluster.await_plugin("layer2", &digest)?;
    let after = cluster.daemon(0)?.idle_own_kib()?;
    story.say(format!("before {before} KiB, after a plugin was compiled {after} KiB"));
    let grown = after.saturating_sub(before);
    ensure!(grown < GROWTH_KIB, "the daemon grew by {grown} KiB when a plugin was compiled");
    Ok(())
}

/// Replaces the policy lowest-free, while Services are created, by one in C that allocates the highest free address. Checks
/// that later Services get addresses from the top, and that no address changes.
///
/// # Errors
/// When an address changed, or the new policy did not decide.
pub fn allocator(cluster: &mut Cluster, guests: &Guests, story: &Story) -> Result<()> {
    let mut given: Vec<(String, IpAddr)> = Vec::new();
    let create = |cluster: &Cluster, given: &mut Vec<(String, IpAddr)>| -> Result<IpAddr> {
        let name = format!("shop-{}", given.len() + 1);
        let address = cluster.create_service(&name)?;
        story.say(format!("Service {name} gets {address}"));
        given.push((name, address));
        Ok(address)
    };
    for _ in 0..EACH {
        let address = create(cluster, &mut given)?;
        ensure!(given.len() != 1 || address < IpAddr::from(TOP), "lowest-free assigned {address}");
    }
    let digest = cluster.put_plugin("lowest-free", &guests.highest_free)?;
    story.say(format!("lowest-free.wasm is now a policy in C, {}", &digest[..12]));
    // More Services are created while it is compiled and checked; either policy may decide about these.
    for _ in 0..2 {
        create(cluster, &mut given)?;
    }
    cluster.await_plugin("lowest-free", &digest)?;
    story.say("it is active");
    let free_from_top = |given: &[(String, IpAddr)]| {
        let held =
            |address: &Ipv4Addr| given.iter().any(|(_, other)| *other == IpAddr::from(*address));
        (0..16).map(|n| Ipv4Addr::from_bits(TOP.to_bits() - n)).find(|address| !held(address))
    };
    for _ in 0..EACH {
        let expected = free_from_top(&given).map(IpAddr::from);
        let address = create(cluster, &mut given)?;
        ensure!(Some(address) == expected, "the new policy assigned {address}, not {expected:?}");
    }
    for (name, address) in &given {
        let now = cluster.addresses("default", name)?;
        ensure!(now == [*address], "Service {name} had {address} and has {now:?}");
    }
    story.say("every Service keeps its address");
    cluster.remove("lowest-free.wasm")?;
    for (name, _) in &given {
        cluster.remove(&format!("service-{name}.yaml"))?;
    }
    wait::until("the addresses are released", crate::cluster::LIMIT, || {
        let held = given
            .iter()
            .map(|(name, _)| cluster.addresses("default", name))
            .collect::<Result<Vec<_>>>()?;
        Ok(held.iter().all(Vec::is_empty).then_some(()))
    })
}
