//! `cargo xtask bench`: figures, never judged here.
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use outrigger_tests::cluster::Cluster;
use outrigger_tests::scenarios::serve::{self, Served};
use outrigger_tests::story::Story;
use outrigger_tests::{clock, sandbox};
use serde_json::{Value, json};

use crate::{run, setup};

mod bgp;
mod kube;

/// Cold starts; the figure is the median.
const STARTS: usize = 5;

/// What is measured.
#[derive(Debug, Subcommand)]
pub enum What {
    /// The way of one packet and one Service through every room.
    Spine {
        /// Print the figures as a last line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// A BGP speaker's sessions, routes, memory and BFD, beside BIRD, GoBGP, FRR and ExaBGP.
    Bgp(bgp::What),
    /// Services by the hundred on a real cluster, beside real MetalLB.
    Kube(kube::What),
}

/// Measures.
pub fn bench(what: &What) -> Result<()> {
    match what {
        What::Spine { json } => spine(*json),
        What::Bgp(what) => bgp::bgp(what),
        What::Kube(what) => kube::kube(what),
    }
}

fn spine(json: bool) -> Result<()> {
    setup::network()?;
    setup::guests()?;
    run::build_outrigger()?;
    let runtime = runtime()?;
    sandbox::enter()?;
    let starts = (0..STARTS)
        .map(|_| serve::the_example(&mut Cluster::lone()?, &Story::quiet()))
        .collect::<Result<Vec<Served>>>()?;
    let first_arp =
        median(starts.iter().map(|served| served.first_arp)).context("no start was measured")?;
    let rss =
        median(starts.iter().map(|served| served.rss_kib)).context("no start was measured")?;
    println!("cold start to first ARP answer  {:.1} ms", clock::ms(first_arp));
    println!("idle RSS of the daemon          {:.1} MiB", serve::mib(rss));
    if json {
        println!(
            "{}",
            json!({
                "cold_start_ms": clock::ms(first_arp),
                "idle_rss_mib": serve::mib(rss),
                "runtime": runtime,
            })
        );
    }
    Ok(())
}

/// The runtime beside a bare wasmtime harness: a benchmark of its own, since only the room that sees wasmtime can hold
/// the two together. Its last line is JSON. Cargo is told of the whole workspace, as in [`run::build_outrigger`].
fn runtime() -> Result<Value> {
    let mut command = run::cargo(["bench", "--workspace", "--bench", "spine"]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo bench")?;
    let text =
        String::from_utf8(output.stdout).context("the benchmark prints what is not UTF-8")?;
    ensure!(output.status.success(), "the benchmark of the runtime failed:\n{text}");
    let (table, figures) = text.trim_end().rsplit_once('\n').context("it measured nothing")?;
    println!("{table}");
    serde_json::from_str(figures).context("its last line is not JSON")
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}
