//! `cargo xtask bench layer2`: measures the time without an answer for a client when the node that announces an address fails, with
//! Outrigger, real MetalLB, and keepalived with advertisements every 0.1 s, one after the other in one laboratory; and the gossip
//! traffic of Outrigger at rest. Prints figures without judging them.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use outrigger_tests::kubernetes::{Lab, metallb, objects, web};
use outrigger_tests::{clock, wait};
use serde_json::json;

use super::kube::{Supplies, System, image};
use crate::setup;

mod gossip;
mod keepalived;
mod loss;

use gossip::Gossip;
use loss::Loss;

/// The namespace of the Services.
pub const NAMESPACE: &str = "bench";
/// Address range on the segment for Services.
const POOL: &str = "10.88.0.200-10.88.0.202";
/// Number of Services: enough that one of them is announced by a node without its pod.
pub const SERVICES: u8 = 3;
const NODES: u8 = 3;
/// Time limit for a load balancer to assign and announce an address.
const LIMIT: Duration = Duration::from_secs(120);

/// Arguments of the benchmark.
#[derive(Debug, Args)]
pub struct Layer2Args {
    /// Print each figure as a line of JSON.
    #[arg(long)]
    json: bool,
    /// The image of Outrigger, as `cargo xtask image` writes it, instead of building one.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Measure only this load balancer.
    #[arg(long)]
    only: Option<Speaker>,
    /// Measure only this kind of failure.
    #[arg(long)]
    loss: Option<Loss>,
    /// Number of rounds for each kind of failure.
    #[arg(long, default_value_t = 3)]
    rounds: u32,
    /// The name of the laboratory.
    #[arg(long, default_value = "bench")]
    lab: String,
}

/// The program that announces addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum Speaker {
    /// Outrigger.
    Outrigger,
    /// MetalLB's speaker.
    Metallb,
    /// keepalived with VRRP (RFC 9568).
    Keepalived,
}

impl Speaker {
    const ALL: [Self; 3] = [Self::Outrigger, Self::Metallb, Self::Keepalived];

    fn name(self) -> &'static str {
        match self {
            Self::Outrigger => System::Outrigger.name(),
            Self::Metallb => System::Metallb.name(),
            Self::Keepalived => "keepalived, 0.1 s",
        }
    }

    /// Returns true if a process with these arguments is the node process of this program.
    pub fn is(self, arguments: &[&str]) -> bool {
        match self {
            Self::Outrigger => matches!(arguments, ["/outrigger", "run", "--role", "node", ..]),
            Self::Metallb => matches!(arguments, ["/speaker", ..]),
            Self::Keepalived => arguments.first().is_some_and(|it| it.ends_with("keepalived")),
        }
    }
}

/// Runs the benchmark and prints the figures.
pub fn layer2(what: &Layer2Args) -> Result<()> {
    let speakers = what.only.map_or_else(|| Speaker::ALL.to_vec(), |only| vec![only]);
    setup::cluster()?;
    if speakers.contains(&Speaker::Keepalived) {
        setup::keepalived()?;
    }
    let metallb =
        speakers.contains(&Speaker::Metallb).then(metallb::Release::obtain).transpose()?;
    let ours =
        speakers.contains(&Speaker::Outrigger).then(|| image(what.image.as_deref())).transpose()?;
    let supplies = Supplies { ours, metallb };
    let mut table = BTreeMap::new();
    if speakers.contains(&Speaker::Outrigger) {
        gossip::simulated()?.iter().for_each(|gossip| say(gossip, what.json));
    }
    for speaker in speakers {
        let lab = Lab::up(&what.lab, NODES)?;
        let measured = measure(&lab, speaker, &supplies, what, &mut table);
        measured.with_context(|| format!("{} is not measured", speaker.name()))?;
        lab.down()?;
    }
    if !what.json {
        print(&table);
    }
    Ok(())
}

type Table = BTreeMap<Loss, BTreeMap<Speaker, Vec<Option<Duration>>>>;

fn measure(
    lab: &Lab,
    speaker: Speaker,
    supplies: &Supplies,
    what: &Layer2Args,
    table: &mut Table,
) -> Result<()> {
    // One pod: when another node fails, only the path to the pod is lost.
    web::deploy(lab, NAMESPACE, 1)?;
    match speaker {
        Speaker::Outrigger => install(lab, System::Outrigger, supplies)?,
        Speaker::Metallb => install(lab, System::Metallb, supplies)?,
        Speaker::Keepalived => keepalived::start(lab)?,
    }
    if speaker == Speaker::Outrigger {
        say(&gossip::counted(lab)?, what.json);
    }
    for loss in Loss::ALL.into_iter().filter(|loss| what.loss.is_none_or(|only| only == *loss)) {
        let gaps = (0..what.rounds)
            .map(|_| {
                let addresses = match speaker {
                    Speaker::Keepalived => keepalived::addresses(),
                    _ => services(lab)?,
                };
                loss::round(lab, speaker, loss, &addresses)
            })
            .collect::<Result<Vec<_>>>()
            .with_context(|| loss.name())?;
        if what.json {
            let ms: Vec<_> = gaps.iter().map(|gap| gap.map(milliseconds)).collect();
            let median = median(&gaps).map(milliseconds);
            println!(
                "{}",
                json!({ "loss": loss.name(), "speaker": speaker.name(), "ms": ms, "median_ms": median })
            );
        } else {
            println!("{}: {}: {}", speaker.name(), loss.name(), shown(&gaps));
        }
        table.entry(loss).or_default().insert(speaker, gaps);
    }
    Ok(())
}

fn say(gossip: &Gossip, as_json: bool) {
    match as_json {
        true => println!("{}", gossip.json()),
        false => println!("{gossip}"),
    }
}

fn install(lab: &Lab, system: System, supplies: &Supplies) -> Result<()> {
    system.install(lab, supplies)?;
    system.pool(lab, POOL)
}

/// Recreates the Services, so that their addresses are spread over the nodes regardless of earlier failures, and returns the addresses.
fn services(lab: &Lab) -> Result<Vec<IpAddr>> {
    let spec = json!({
        "type": "LoadBalancer", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"],
    });
    let names: Vec<_> = (0..SERVICES).map(|number| format!("web-{number}")).collect();
    let gone = ["--namespace", NAMESPACE, "delete", "service", "--ignore-not-found"];
    let names_of = names.iter().map(String::as_str);
    lab.kubectl(&gone.into_iter().chain(names_of).collect::<Vec<_>>())?;
    for name in &names {
        lab.apply(&web::service(NAMESPACE, name, &spec).to_string())?;
    }
    let address = |name: &String| {
        wait::until(&format!("{name} has an address"), LIMIT, || {
            let service = lab.get_json(&["--namespace", NAMESPACE, "service", name])?;
            Ok(objects::ingress(&service).first().copied())
        })
    };
    names.iter().map(address).collect()
}

fn milliseconds(gap: Duration) -> f64 {
    clock::ms(gap).round()
}

/// Returns the median; `None` if the median gap did not end.
fn median(gaps: &[Option<Duration>]) -> Option<Duration> {
    let mut gaps: Vec<_> = gaps.iter().map(|gap| gap.unwrap_or(Duration::MAX)).collect();
    gaps.sort_unstable();
    gaps.get(gaps.len() / 2).copied().filter(|gap| *gap < Duration::MAX)
}

fn shown(gaps: &[Option<Duration>]) -> String {
    let one = |gap: &Option<Duration>| match gap {
        Some(gap) => format!("{}", milliseconds(*gap)),
        None => format!("no answer within {:?}", loss::LIMIT),
    };
    format!("{} ms", gaps.iter().map(one).collect::<Vec<_>>().join(", "))
}

fn print(table: &Table) {
    println!("\nblackout in ms, median of the rounds");
    for (loss, speakers) in table {
        let row = speakers.iter().map(|(speaker, gaps)| {
            let median = median(gaps).map_or("-".to_owned(), |gap| milliseconds(gap).to_string());
            format!("{} {median}", speaker.name())
        });
        println!("{:<44} {}", loss.name(), row.collect::<Vec<_>>().join("   "));
    }
}
