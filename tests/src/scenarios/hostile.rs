//! Hostile plugins that replace layer2 while it is running.
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::cluster::{Cluster, LIMIT, VIP};
use crate::guests::{self, Guests};
use crate::prober::Prober;
use crate::story::Story;
use crate::wait;

/// Address that the forger answers for: a router's, in no pool.
pub const FORGED: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

/// Limit for memory growth: an instance has 64 MiB of its own, and the host keeps little beside them.
const GROWTH_KIB: u64 = (64 + 16) << 10;

/// Time for which a plugin runs that does harm by its work alone.
const AT_WORK: Duration = Duration::from_secs(5);

/// Kind of harm that a plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Traps.
    Trap,
    /// Never returns.
    Loop,
    /// Allocates all memory it can get.
    Memory,
    /// Answers for an address that it was not assigned.
    Forgery,
    /// Reports without end.
    Reports,
    /// Sets beacons without end.
    Storm,
    /// Opens more and more ports of the host.
    Squat,
    /// Sets answers without end.
    Offloads,
    /// Works all the time.
    Slow,
}

impl Harm {
    /// All kinds.
    pub const ALL: [Self; 9] = [
        Self::Trap,
        Self::Loop,
        Self::Memory,
        Self::Forgery,
        Self::Reports,
        Self::Storm,
        Self::Squat,
        Self::Offloads,
        Self::Slow,
    ];

    /// Returns the name used in the demonstration's figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Loop => "loop",
            Self::Memory => "memory",
            Self::Forgery => "forgery",
            Self::Reports => "flood-of-reports",
            Self::Storm => "storm-of-beacons",
            Self::Squat => "squat-on-ports",
            Self::Offloads => "flood-of-offloads",
            Self::Slow => "slow-hand",
        }
    }

    /// Returns the evidence that the product's report about layer2 shows this harm; `None` if it does not.
    fn told(self, before: &Value, after: &Value) -> Option<String> {
        let fault = after["lastFault"].as_str().unwrap_or_default();
        let any = |words: &[&str]| words.iter().any(|word| fault.to_lowercase().contains(word));
        let told = match self {
            Self::Trap => any(&["trap", "unreachable"]),
            Self::Loop => any(&["did not answer within"]),
            Self::Memory => any(&["memory"]),
            Self::Forgery => return refused(before, after, "address-not-desired"),
            Self::Reports => {
                return refused(before, after, "too-much-said").filter(|_| is_full(after));
            }
            Self::Storm | Self::Offloads => return refused(before, after, "too-many-offloads"),
            // On a busy machine it does not use up its share: that it runs is all that can be checked.
            Self::Slow => return is_another(before, after).then(|| format!("{}", after["digest"])),
            Self::Squat => return refused(before, after, "peer-not-granted"),
        };
        told.then(|| fault.to_owned())
    }

    fn plugin(self, guests: &Guests) -> &std::path::Path {
        match self {
            Self::Trap => &guests.trap,
            Self::Loop => &guests.looping,
            Self::Memory => &guests.memory,
            Self::Forgery => &guests.forgery,
            Self::Reports => &guests.reports,
            Self::Storm => &guests.storm,
            Self::Squat => &guests.squat,
            Self::Offloads => &guests.offloads,
            Self::Slow => &guests.slow,
        }
    }
}

/// Replaces layer2 with a hostile plugin, and checks that no answer is lost, no other object is affected, and the report is
/// true; then restores layer2.
///
/// # Errors
/// When it did harm, or the product does not report it.
pub fn contained(cluster: &mut Cluster, guests: &Guests, harm: Harm, story: &Story) -> Result<()> {
    let prober = cluster.probe()?;
    let forged = Prober::start(cluster.lab.client.namespace(), "eth0", FORGED, 20)?;
    let holder = cluster.settled(&prober, None)?;
    let before = cluster.layer2_on(holder)?;
    let memory = cluster.daemon(holder)?.own_kib()?;
    let quiet = prober.so_far().requests();
    let digest = cluster.put_plugin("layer2", harm.plugin(guests))?;
    story.say(format!("layer2.wasm is now one with a {}, {}", harm.name(), &digest[..12]));
    let told = wait::until("the status reports the fault of the plugin", LIMIT, || {
        Ok(harm.told(&before, &cluster.layer2_on(holder)?))
    })?;
    story.say(format!("status says: {}", shorten(&told)));
    if harm == Harm::Slow {
        std::thread::sleep(AT_WORK);
    }
    cluster.settled(&prober, None)?;

    let name = format!("beside-{}", harm.name());
    let address = cluster.create_service(&name)?;
    story.say(format!("meanwhile Service {name} gets {address}"));
    cluster.remove(&format!("service-{name}.yaml"))?;
    let body = cluster.get(VIP.into())?;
    story.say(format!("HTTP 200 from {body}"));

    let grown = cluster.daemon(holder)?.own_kib()?.saturating_sub(memory);
    story.say(format!("the daemon grew by {grown} KiB"));
    ensure!(grown < GROWTH_KIB, "the daemon grew by {grown} KiB");
    let troubled = prober.so_far().requests();
    let good = cluster.put_plugin("layer2", &guests.layer2)?;
    cluster.await_plugin("layer2", &good)?;
    cluster.settled(&prober, None)?;
    let probe = prober.finish()?;
    cluster.nothing_lost(&probe)?;
    if let (Some(before), Some(beside)) = (probe.median(0..quiet), probe.median(quiet..troubled)) {
        let us = |time: Duration| time.as_micros();
        story.say(format!("answers take {} µs before, {} µs beside it", us(before), us(beside)));
    }
    story.say(format!(
        "layer2 is back; {} requests, {} unanswered",
        probe.requests(),
        probe.unanswered()
    ));
    let strangers = probe.claims().keys().find(|mac| cluster.lab.node_of(**mac).is_none());
    ensure!(strangers.is_none(), "{VIP} was claimed for {strangers:?}");
    let forged = forged.so_far();
    ensure!(forged.claims().is_empty(), "{FORGED} was claimed: {:?}", forged.claims());
    Ok(())
}

/// Replaces layer2 with a plugin that takes longer to compile than allowed, and checks that the daemon answers throughout,
/// reports why it does not run the plugin, and keeps none of the memory.
///
/// # Errors
/// When an answer is lost, or the reason is not reported.
pub fn compiles_for_ever(cluster: &mut Cluster, guests: &Guests) -> Result<()> {
    cluster.configure("compile_within_seconds: 3\n")?;
    cluster.add_example()?;
    cluster.start(0)?;
    cluster.await_service()?;
    let prober = cluster.probe()?;
    let holder = cluster.settled(&prober, None)?;
    let runs = cluster.layer2_on(holder)?["digest"].clone();
    let memory = cluster.daemon(holder)?.own_kib()?;
    let before = cluster.said()?;
    let endless = cluster.lab.folder().join("endless.wasm");
    std::fs::write(&endless, guests::endless_to_compile(&guests.layer2_other)?)?;
    cluster.put_plugin("layer2", &endless)?;
    cluster.await_message(&before, &["compiling took longer than"])?;
    let grown = cluster.daemon(holder)?.own_kib()?.saturating_sub(memory);
    ensure!(grown < GROWTH_KIB - (64 << 10), "the daemon grew by {grown} KiB");
    ensure!(cluster.layer2_on(holder)?["digest"] == runs, "another plugin runs");
    cluster.settled(&prober, None)?;
    cluster.nothing_lost(&prober.finish()?)
}

/// Returns true if another build runs than before.
fn is_another(before: &Value, after: &Value) -> bool {
    after["phase"] == "Running" && after["digest"] != before["digest"]
}

/// Returns true if the report holds as many conditions and events as allowed (docs/limits.md).
fn is_full(report: &Value) -> bool {
    ["conditions", "events"].iter().all(|list| report[list].as_array().map(Vec::len) == Some(16))
}

/// Lets the daemon die in the first moments of a plugin. Checks that after a restart it runs the embedded plugin and reports
/// why, and that the plugin is tried again when it is written again.
///
/// # Errors
/// When it runs the plugin that it died of, or does not report it.
pub fn died_of(cluster: &mut Cluster, guests: &Guests) -> Result<()> {
    let prober = cluster.probe()?;
    let holder = cluster.settled(&prober, None)?;
    let digest = cluster.put_plugin("layer2", &guests.layer2_other)?;
    cluster.await_plugin("layer2", &digest)?;
    let before = cluster.said()?;
    cluster.kill(holder)?;
    cluster.start(holder)?;
    cluster.await_message(&before, &["does not run it again", "deliver another build"])?;
    cluster.settled(&prober, None)?;
    let runs = cluster.layer2_on(holder)?;
    ensure!(!runs["digest"].as_str().is_some_and(|it| it.ends_with(&digest)), "{runs}");
    cluster.remove("layer2.wasm")?;
    cluster.await_silence_about("layer2.wasm")?;
    cluster.put_plugin("layer2", &guests.layer2_other)?;
    cluster.await_plugin("layer2", &digest)?;
    cluster.settled(&prober, None).map(drop)
}

/// Returns the denied effects if this reason has more than before.
fn refused(before: &Value, after: &Value, reason: &str) -> Option<String> {
    let count = |report: &Value| report["denied"][reason].as_u64().unwrap_or(0);
    (count(after) > count(before)).then(|| format!("denied: {}", after["denied"]))
}

fn shorten(message: &str) -> String {
    message.chars().take(200).collect()
}
