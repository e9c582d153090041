//! `cargo xtask bench kube`: what a cluster's administrator sees of a load balancer when Services come by the hundred,
//! for ours and for real MetalLB: each in a laboratory of its own that is built alike, one after the other, by the same
//! creator and the same clock. Figures, never judged here.
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use outrigger_tests::kubernetes::{Lab, metallb, web};
use outrigger_tests::product;

use crate::{run, setup};

mod alone;
pub mod blackout;
mod creator;
mod figure;
mod memory;
mod requests;
mod system;
mod watch;

use creator::{Created, Pace, create};
use figure::{Figure, Report};
pub use system::{Supplies, System};
use watch::{Seen, Watcher};

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
    /// Only this kind of figure.
    #[arg(long)]
    figure: Option<Kind>,
    /// The laboratory's name.
    #[arg(long, default_value = "bench")]
    lab: String,
}

/// A kind of figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// A write of a status while there is no load balancer.
    Alone,
    /// API requests and memory while nothing happens.
    Steady,
    /// A node falls silent.
    Blackout,
    /// From a Service to its address.
    OneByOne,
    /// Many Services at once.
    Burst,
}

/// Measures.
pub fn kube(what: &What) -> Result<()> {
    let systems = what.only.map_or_else(|| System::BOTH.to_vec(), |only| vec![only]);
    setup::cluster()?;
    let metallb = systems.contains(&System::Metallb).then(metallb::Release::obtain).transpose()?;
    let ours =
        systems.contains(&System::Outrigger).then(|| image(what.image.as_deref())).transpose()?;
    let supplies = Supplies { ours, metallb };
    let mut report = Report::new(what.json);
    for system in systems {
        let lab = Lab::up(&what.lab, NODES)?;
        let measured = measure(&lab, system, &supplies, what.figure, &mut report);
        measured.with_context(|| format!("{} is not measured", system.name()))?;
        lab.down()?;
    }
    report.end();
    Ok(())
}

/// The image of ours: the one that was named, or a new one.
pub fn image(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(image) = named {
        return Ok(image.to_owned());
    }
    let program = std::env::current_exe().context("no path of this program")?;
    run::show(std::process::Command::new(program).arg("image"))?;
    let name = concat!("image/outrigger-", env!("CARGO_PKG_VERSION"), ".tar");
    Ok(product::target()?.join(name))
}

/// From an empty cluster to one with [`MANY`] Services.
fn measure(
    lab: &Lab,
    system: System,
    supplies: &Supplies,
    only: Option<Kind>,
    report: &mut Report,
) -> Result<()> {
    let wanted = |kind| only.is_none_or(|only| only == kind);
    let mut add = |figure: Figure| report.add(system, figure);
    widen(lab)?;
    // One pod: when another node falls silent, nothing but the way to it is lost.
    web::deploy(lab, NAMESPACE, 1)?;
    if wanted(Kind::Alone) {
        add(alone::measure(lab, NAMESPACE)?);
    }
    system.install(lab, supplies)?;
    system.pool(lab, POOL)?;
    let mut services = Services { lab, system, watcher: Watcher::start(lab, NAMESPACE)?, count: 0 };
    let (_, seen) = services.add(FEW, Pace::Parallel)?;
    if wanted(Kind::Steady) {
        steady(lab, system, FEW)?.into_iter().for_each(&mut add);
    }
    if wanted(Kind::Blackout) {
        let addresses: Vec<_> = seen.iter().filter_map(|seen| seen.address).collect();
        add(blackout::measure(lab, &addresses)?);
        requests::quiet(lab, system)?;
    }
    if wanted(Kind::OneByOne) {
        let (created, seen) = services.add(ONE_BY_ONE, Pace::OneByOne)?;
        add(figure::latency(&created, &seen)?);
    }
    if wanted(Kind::Burst) {
        let mark = lab.audit_mark()?;
        let (created, seen) = services.add(BURST, Pace::Parallel)?;
        add(figure::burst(&created, &seen)?);
        add(requests::writes(lab, system, mark, BURST)?);
    }
    if wanted(Kind::Steady) {
        services.add(MANY - services.count, Pace::Parallel)?;
        steady(lab, system, MANY)?.into_iter().for_each(add);
    }
    Ok(())
}

/// While nothing happens.
fn steady(lab: &Lab, system: System, services: usize) -> Result<Vec<Figure>> {
    let mut figures = vec![requests::steady(lab, system, services)?];
    figures.extend(memory::measure(lab, system, services)?);
    Ok(figures)
}

/// The Services of a laboratory so far.
struct Services<'a> {
    lab: &'a Lab,
    system: System,
    watcher: Watcher,
    count: usize,
}

impl Services<'_> {
    /// Adds some, and returns once they are served and all that follows from that is written.
    fn add(&mut self, count: usize, pace: Pace) -> Result<(Created, Vec<Seen>)> {
        let created = create(self.lab, NAMESPACE, count, pace)?;
        let seen = self.watcher.served(created.began, count)?;
        requests::quiet(self.lab, self.system)?;
        self.count += count;
        Ok((created, seen))
    }
}

/// Gives the client and every node an address on the pool's network, on the segment that is there for Services.
fn widen(lab: &Lab) -> Result<()> {
    let members = lab.nodes().map(|node| node.name()).chain(["client".to_owned()]);
    members.zip([11, 12, 13, 100]).try_for_each(|(member, host)| {
        lab.namespace(&member)?.ip(&format!("addr add 10.99.0.{host}/16 dev eth1\n"))
    })
}
