//! `cargo xtask bench kube`: measures what a cluster administrator sees of a load balancer when Services are created by the
//! hundred, for Outrigger and for real MetalLB. Each runs in a separate, identically built laboratory, one after the other,
//! with the same creator and the same clock. The figures are never judged here.
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

/// Namespace of the Services.
const NAMESPACE: &str = "bench";
const NODES: u8 = 3;
/// Network beside the laboratory's own: a /24 has no room for a thousand addresses.
const POOL: &str = "10.99.1.1-10.99.15.254";
/// Smaller number of Services for which the steady state is measured; the larger is [`MANY`].
const FEW: usize = 10;
const MANY: usize = 1000;
const ONE_BY_ONE: usize = 50;
const BURST: usize = 300;

/// Arguments of `cargo xtask bench kube`.
#[derive(Debug, Args)]
pub struct KubeArgs {
    /// Print each figure as a line of JSON instead of a table at the end.
    #[arg(long)]
    json: bool,
    /// Use this Outrigger image, as written by `cargo xtask image`, instead of building one.
    #[arg(long, value_name = "FILE")]
    image: Option<PathBuf>,
    /// Measure only this load balancer.
    #[arg(long)]
    only: Option<System>,
    /// Measure only this kind of figure.
    #[arg(long)]
    figure: Option<Kind>,
    /// Name of the laboratory.
    #[arg(long, default_value = "bench")]
    lab: String,
}

/// Kind of figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Time to write a status without a load balancer.
    Alone,
    /// API requests and memory in the steady state.
    Steady,
    /// Blackout when a node falls silent.
    Blackout,
    /// Time from a Service to its address.
    OneByOne,
    /// Time for many Services at once.
    Burst,
}

/// Runs the Kubernetes benchmark.
pub fn kube(what: &KubeArgs) -> Result<()> {
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

/// Returns the named image, or builds a new one.
pub fn image(named: Option<&Path>) -> Result<PathBuf> {
    if let Some(image) = named {
        return Ok(image.to_owned());
    }
    let program = std::env::current_exe().context("no path of this program")?;
    run::show(std::process::Command::new(program).arg("image"))?;
    let name = concat!("image/outrigger-", env!("CARGO_PKG_VERSION"), ".tar");
    Ok(product::target()?.join(name))
}

/// Measures one load balancer, from an empty cluster to one with [`MANY`] Services.
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
    // One pod: when another node falls silent, only the path to it is lost.
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

/// Measures requests and memory in the steady state.
fn steady(lab: &Lab, system: System, services: usize) -> Result<Vec<Figure>> {
    let mut figures = vec![requests::steady(lab, system, services)?];
    figures.extend(memory::measure(lab, system, services)?);
    Ok(figures)
}

/// Services created in a laboratory so far.
struct Services<'a> {
    lab: &'a Lab,
    system: System,
    watcher: Watcher,
    count: usize,
}

impl Services<'_> {
    /// Creates Services, and returns once they are served and all resulting writes are done.
    fn add(&mut self, count: usize, pace: Pace) -> Result<(Created, Vec<Seen>)> {
        let created = create(self.lab, NAMESPACE, count, pace)?;
        let seen = self.watcher.served(created.began, count)?;
        requests::quiet(self.lab, self.system)?;
        self.count += count;
        Ok((created, seen))
    }
}

/// Gives the client and every node an address on the pool's network, on the segment for Services.
fn widen(lab: &Lab) -> Result<()> {
    let members = lab.nodes().map(|node| node.name()).chain(["client".to_owned()]);
    members.zip([11, 12, 13, 100]).try_for_each(|(member, host)| {
        lab.namespace(&member)?.ip(&format!("addr add 10.99.0.{host}/16 dev eth1\n"))
    })
}
