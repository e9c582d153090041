//! `cargo xtask bench`: measures figures; they are never judged here.
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use clap::Subcommand;
use outrigger_tests::cluster::Cluster;
use outrigger_tests::scenarios::serve::{self, Served};
use outrigger_tests::story::Story;
use outrigger_tests::{clock, product, sandbox};
use serde_json::{Value, json};

use crate::{run, setup};

mod bgp;
mod kube;
mod layer2;

/// Number of cold starts; the figure is the median.
const STARTS: usize = 5;

/// Benchmark to run.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Measure the path of one packet and one Service through the whole daemon.
    Spine {
        /// Print the figures as a last line of JSON.
        #[arg(long)]
        json: bool,
    },
    /// Measure a BGP speaker's sessions, routes, memory and BFD, compared with BIRD, GoBGP, FRR and ExaBGP.
    Bgp(bgp::BgpArgs),
    /// Measure hundreds of Services on a real cluster, compared with real MetalLB.
    Kube(kube::KubeArgs),
    /// Measure the blackout when the answering node is lost, compared with real MetalLB and keepalived.
    Layer2(layer2::Layer2Args),
}

/// Runs a benchmark. The measuring program must be as fast as the measured one: a debug build of xtask builds its own release
/// build and replaces itself with it.
pub fn bench(what: &Bench) -> Result<()> {
    if cfg!(debug_assertions) {
        let build = ["build", "--release", "--package", "xtask"];
        run::show(&mut run::cargo(build))?;
        let program = product::target()?.join("release/xtask");
        let error = Command::new(&program).args(std::env::args_os().skip(1)).exec();
        return Err(error).with_context(|| format!("cannot run {}", program.display()));
    }
    match what {
        Bench::Spine { json } => spine(*json),
        Bench::Bgp(what) => bgp::bgp(what),
        Bench::Kube(what) => kube::kube(what),
        Bench::Layer2(what) => layer2::layer2(what),
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

/// Compares the runtime with a bare wasmtime harness. This is a separate benchmark, because only the crate that depends on
/// wasmtime can hold both. Its last line of output is JSON.
fn runtime() -> Result<Value> {
    let mut command = run::cargo(["bench", "--package", "outrigger-runtime", "--bench", "spine"]);
    let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo bench")?;
    let text =
        String::from_utf8(output.stdout).context("the output of the benchmark is not UTF-8")?;
    ensure!(output.status.success(), "the benchmark of the runtime failed:\n{text}");
    let (table, figures) =
        text.trim_end().rsplit_once('\n').context("the benchmark printed no figures")?;
    println!("{table}");
    serde_json::from_str(figures).context("the last line of the benchmark is not JSON")
}

fn median<T: Ord + Copy>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<_> = values.collect();
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}
