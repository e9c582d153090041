//! `cargo xtask bench`: figures, never judged here.
use anyhow::{Context, Result};
use clap::Subcommand;
use outrigger_tests::cluster::Cluster;
use outrigger_tests::scenarios::serve::{self, Served};
use outrigger_tests::story::Story;
use outrigger_tests::{clock, sandbox};
use serde_json::json;

use crate::{run, setup};

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
}

/// Measures.
pub fn bench(what: &What) -> Result<()> {
    let What::Spine { json } = *what;
    setup::network()?;
    run::build_outrigger()?;
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
            json!({ "cold_start_ms": clock::ms(first_arp), "idle_rss_mib": serve::mib(rss) })
        );
    }
    Ok(())
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}
