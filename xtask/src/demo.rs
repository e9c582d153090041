//! `cargo xtask demo`: the script of the demonstration. What it shows is in the scenarios of outrigger-tests, which the
//! namespace tests run as well.
use anyhow::{Context, Result};
use outrigger_tests::cluster::Cluster;
use outrigger_tests::guests::Guests;
use outrigger_tests::scenarios::hostile::{Harm, contained};
use outrigger_tests::scenarios::{failover, serve, swap};
use outrigger_tests::story::Story;
use outrigger_tests::{clock, sandbox};
use serde_json::{Map, Value, json};

use crate::{run, setup};

/// Sets up what is needed, shows it, and fails when a promise is broken.
pub fn demo(json: bool) -> Result<()> {
    setup::network()?;
    let guests = setup::guests()?;
    run::build_outrigger()?;
    // Until here one thread, on the machine's own network; from here on nothing touches the machine.
    sandbox::enter()?;
    let figures = play(&guests, &Story::aloud())?;
    println!("\nEvery promise was kept.");
    if json {
        println!("{figures}");
    }
    Ok(())
}

/// The same, from a process that still has its own network afterwards.
pub fn in_a_process_of_its_own() -> Result<()> {
    let program = std::env::current_exe().context("no path of this program")?;
    run::show(std::process::Command::new(program).args(["demo", "--json"]))
}

fn play(guests: &Guests, story: &Story) -> Result<Value> {
    story.chapter("A node alone serves examples/metallb-v0.9");
    let served = told(&mut Cluster::lone()?, |lone| serve::the_example(lone, story))?;

    story.chapter("Three nodes, one bridge, one client");
    let mut cluster = Cluster::of_three()?;
    for node in &cluster.lab.nodes {
        story.say(format!("{} is {} with {}", node.name, node.address, node.mac));
    }
    story.say("in the place of kube-proxy, on each node, here n1:");
    cluster.lab.nodes[0].forwarding().lines().for_each(|line| story.say(format!("  nft {line}")));

    story.chapter("SIGKILL: the node that answers dies");
    let killed = told(&mut cluster, |cluster| failover::killed(cluster, story))?;
    story.chapter("SIGTERM: the node that answers is stopped");
    let stopped = told(&mut cluster, |cluster| failover::stopped(cluster, story))?;
    story.chapter("layer2 is replaced by another build");
    let swap = told(&mut cluster, |cluster| swap::layer2(cluster, guests, story))?;
    story.chapter("The allocation policy is replaced by one written in C");
    told(&mut cluster, |cluster| swap::allocator(cluster, guests, story))?;
    let mut harms = Map::new();
    for harm in Harm::ALL {
        story.chapter(&format!("A plugin with a {} takes the place of layer2", harm.name()));
        told(&mut cluster, |cluster| contained(cluster, guests, harm, story))?;
        harms.insert(harm.name().to_owned(), Value::Bool(true));
    }
    Ok(json!({
        "first_answer_ms": clock::ms(served.first_answer),
        "killed_gap_ms": clock::ms(killed),
        "stopped_gap_ms": clock::ms(stopped),
        "swap": { "requests": swap.requests(), "unanswered": swap.unanswered() },
        "contained": harms,
        "rss_mib": serve::mib(served.rss_kib),
    }))
}

/// A failure comes with what the daemons said.
fn told<T>(cluster: &mut Cluster, scenario: impl FnOnce(&mut Cluster) -> Result<T>) -> Result<T> {
    scenario(cluster).with_context(|| format!("a promise is broken\n{}", cluster.explain()))
}
