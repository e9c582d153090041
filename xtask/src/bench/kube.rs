//! `cargo xtask bench kube`: what a cluster's administrator sees of a load balancer when Services come by the hundred,
//! for ours and for real MetalLB: each in a laboratory of its own that is built alike, one after the other, by the same
//! creator and the same clock. Figures, never judged here.
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use outrigger_tests::kubernetes::{Lab, binaries, metallb, web};
use outrigger_tests::product;

use crate::{run, setup};

mod alone;
mod blackout;
mod creator;
mod figure;
mod memory;
mod requests;
mod system;
mod watch;

use creator::{Pace, create};
use figure::{Figure, Report};
use system::{Supplies, System};
use watch::Watcher;

#[cfg(test)]
mod tests;

/// The namespace of the Services.
const NAMESPACE: &str = "bench";
const NODES: u8 = 3;
/// A network of its own beside the laboratory's: a /24 has no room for a thousand addresses.
const POOL: &str = "10.99.1.1-10.99.15.254";
/// Steady state is looked at with so many Services, and with [`MANY`].
const FEW: usize = 10;
const MANY: usize = 1000;
const ONE_BY_ONE: usize = 50;
const BURST: usize = 300;

/// What is measured, and how.
#[derive(Debug, Args)]
pub struct What {
    /// Print each figure as a line of JSON instead of a table at the end.
    #[arg(long)]
    json: bool,
    /// The image of ours, as `cargo xtask image` writes it, instead of building one.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Only this one.
    #[arg(long)]
    only: Option<System>,
    /// The laboratory's name.
    #[arg(long, default_value = "bench")]
    lab: String,
}

/// Measures.
pub fn kube(what: &What) -> Result<()> {
    let systems = what.only.map_or_else(|| System::BOTH.to_vec(), |only| vec![only]);
    setup::kubernetes(binaries::ALL)?;
    let metallb = systems.contains(&System::Metallb).then(metallb::Release::obtain).transpose()?;
    let ours = systems.contains(&System::Outrigger).then(|| image(what)).transpose()?;
    let supplies = Supplies { ours, metallb };
    let mut report = Report::new(what.json);
    for system in systems {
        let lab = Lab::up(&what.lab, NODES)?;
        let measured = measure(&lab, system, &supplies, &mut report);
        measured.with_context(|| format!("{} is not measured", system.name()))?;
        lab.down()?;
    }
    report.end();
    Ok(())
}

/// The image of ours: the one that was named, or a new one.
fn image(what: &What) -> Result<PathBuf> {
    if let Some(image) = &what.image {
        return Ok(image.clone());
    }
    let program = std::env::current_exe().context("no path of this program")?;
    run::show(std::process::Command::new(program).arg("image"))?;
    let name = concat!("image/outrigger-", env!("CARGO_PKG_VERSION"), ".tar");
    Ok(product::target()?.join(name))
}

/// From an empty cluster to one with [`MANY`] Services.
fn measure(lab: &Lab, system: System, supplies: &Supplies, report: &mut Report) -> Result<()> {
    let mut add = |figure: Figure| report.add(system, figure);
    widen(lab)?;
    // One pod: when another node falls silent, nothing but the way to it is lost.
    web::deploy(lab, NAMESPACE, 1)?;
    add(alone::measure(lab, NAMESPACE)?);
    system.install(lab, supplies)?;
    system.pool(lab, POOL)?;
    let watcher = Watcher::start(lab, NAMESPACE)?;
    let created = create(lab, NAMESPACE, FEW, Pace::Parallel)?;
    let addresses: Vec<_> =
        watcher.served(created.began, FEW)?.iter().filter_map(|seen| seen.address).collect();
    requests::quiet(lab, system)?;
    add(requests::steady(lab, system, FEW)?);
    memory::measure(lab, system, FEW)?.into_iter().for_each(&mut add);
    add(blackout::measure(lab, &addresses)?);
    requests::quiet(lab, system)?;

    let created = create(lab, NAMESPACE, ONE_BY_ONE, Pace::OneByOne)?;
    add(figure::latency(&created, &watcher.served(created.began, ONE_BY_ONE)?)?);
    requests::quiet(lab, system)?;

    let mark = lab.audit_mark()?;
    let created = create(lab, NAMESPACE, BURST, Pace::Parallel)?;
    add(figure::burst(&created, &watcher.served(created.began, BURST)?)?);
    requests::quiet(lab, system)?;
    add(requests::writes(lab, system, mark, BURST)?);

    let rest = MANY - FEW - ONE_BY_ONE - BURST;
    let created = create(lab, NAMESPACE, rest, Pace::Parallel)?;
    watcher.served(created.began, rest)?;
    requests::quiet(lab, system)?;
    add(requests::steady(lab, system, MANY)?);
    memory::measure(lab, system, MANY)?.into_iter().for_each(add);
    Ok(())
}

/// Gives the client and every node an address on the pool's network, on the segment that is there for Services.
fn widen(lab: &Lab) -> Result<()> {
    let members = lab.nodes().map(|node| node.name()).chain(["client".to_owned()]);
    members.zip([11, 12, 13, 100]).try_for_each(|(member, host)| {
        lab.namespace(&member)?.ip(&format!("addr add 10.99.0.{host}/16 dev eth1\n"))
    })
}
