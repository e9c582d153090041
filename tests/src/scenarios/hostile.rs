//! Plugins that mean harm, put in the place of layer2 while it is at work.
use std::net::Ipv4Addr;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::cluster::{Cluster, LIMIT, VIP};
use crate::guests::Guests;
use crate::prober::Prober;
use crate::story::Story;
use crate::wait;

/// The address that the forger answers for: a router's, in no pool.
pub const FORGED: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 1);

/// What a plugin does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// It traps.
    Trap,
    /// It never comes back.
    Loop,
    /// It takes all memory it can get.
    Memory,
    /// It answers for an address it was not given.
    Forgery,
}

impl Harm {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Trap, Self::Loop, Self::Memory, Self::Forgery];

    /// Its name, as in the demonstration's figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Loop => "loop",
            Self::Memory => "memory",
            Self::Forgery => "forgery",
        }
    }

    /// Whether the product's report about layer2 says that this happened.
    fn told(self, before: &Value, after: &Value) -> Option<String> {
        let fault = after["lastFault"].as_str().unwrap_or_default();
        let any = |words: &[&str]| words.iter().any(|word| fault.to_lowercase().contains(word));
        let told = match self {
            Self::Trap => any(&["trap", "unreachable"]),
            Self::Loop => any(&["did not answer within"]),
            Self::Memory => any(&["memory"]),
            Self::Forgery => {
                return (denied(after) > denied(before))
                    .then(|| format!("denied: {}", after["denied"]));
            }
        };
        told.then(|| fault.to_owned())
    }

    fn plugin(self, guests: &Guests) -> &std::path::Path {
        match self {
            Self::Trap => &guests.trap,
            Self::Loop => &guests.looping,
            Self::Memory => &guests.memory,
            Self::Forgery => &guests.forgery,
        }
    }
}

/// A hostile plugin takes the place of layer2, which must cost no answer, no other object, and no truth; then layer2
/// comes back.
///
/// # Errors
/// When it did harm, or the product does not say what it did.
pub fn contained(cluster: &mut Cluster, guests: &Guests, harm: Harm, story: &Story) -> Result<()> {
    let prober = cluster.probe()?;
    let forged = Prober::start(cluster.lab.client.namespace(), "eth0", FORGED, 20)?;
    let holder = cluster.settled(&prober, None)?;
    let before = cluster.layer2_on(holder)?;
    let digest = cluster.put_plugin("layer2", harm.plugin(guests))?;
    story.say(format!("layer2.wasm is now one with a {}, {}", harm.name(), &digest[..12]));
    let told = wait::until("the product says what the plugin did", LIMIT, || {
        Ok(harm.told(&before, &cluster.layer2_on(holder)?))
    })?;
    story.say(format!("status says: {}", shorten(&told)));
    cluster.settled(&prober, None)?;

    let name = format!("beside-{}", harm.name());
    let address = cluster.create_service(&name)?;
    story.say(format!("meanwhile Service {name} gets {address}"));
    cluster.remove(&format!("service-{name}.yaml"))?;
    let body = cluster.get(VIP.into())?;
    story.say(format!("HTTP 200 from {body}"));

    let good = cluster.put_plugin("layer2", &guests.layer2)?;
    cluster.await_plugin("layer2", &good)?;
    cluster.settled(&prober, None)?;
    let probe = prober.finish()?;
    cluster.nothing_lost(&probe)?;
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

/// How many effects were denied.
fn denied(report: &Value) -> u64 {
    report["denied"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum()
}

fn shorten(message: &str) -> String {
    message.chars().take(200).collect()
}
