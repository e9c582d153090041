//! `cargo xtask demo`: the script of the demonstration. The demonstrated scenarios are in outrigger-tests, where the namespace
//! tests run them as well.
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, bail};
use clap::Args;
use outrigger_tests::cluster::Cluster;
use outrigger_tests::guests::Guests;
use outrigger_tests::scenarios::hostile::{Harm, contained};
use outrigger_tests::scenarios::{failover, serve, swap};
use outrigger_tests::story::Story;
use outrigger_tests::{clock, sandbox};
use serde_json::{Map, Value, json};

use crate::{run, setup};

/// Arguments of `cargo xtask demo`.
#[derive(Debug, Args)]
pub struct DemoArgs {
    /// Stop before the hostile plugins.
    #[arg(long)]
    quick: bool,
    /// Print the figures as a last line of JSON.
    #[arg(long)]
    json: bool,
}

/// Sets up the prerequisites, runs the demonstration, and fails when a promise is broken.
pub fn demo(what: &DemoArgs) -> Result<()> {
    run::phase("1/4", "missing programs", "a minute if any is missing");
    setup::network()?;
    setup::guest_compilers()?;
    run::phase(
        "2/4",
        "the daemon, with wasmtime and three plugins",
        "6 to 15 minutes on two processors the first time, then seconds",
    );
    run::build_outrigger()?;
    run::phase("3/4", "promises, on real packets", "half a minute");
    let mut guests = Background::start(what.quick)?;
    // Until here the process has one thread and uses the machine's own network; from here on nothing touches the machine.
    sandbox::enter()?;
    let figures = play(&mut guests, what.quick, &Story::aloud())?;
    println!("\nAll promises hold.");
    if what.json {
        println!("{figures}");
    }
    Ok(())
}

/// Runs the demonstration in a child process, so that this process keeps the machine's own network.
pub fn in_a_process_of_its_own() -> Result<()> {
    let program = std::env::current_exe().context("no path of this program")?;
    run::show(Command::new(program).args(["demo", "--json"]))
}

/// Build of the guests outside the sandbox, on idle processors, while the demonstration already runs.
struct Background {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Background {
    fn start(quick: bool) -> Result<Self> {
        let program = std::env::current_exe().context("no path of this program")?;
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(program).arg("guests");
        if quick {
            command.arg("--harmless");
        }
        let mut child =
            command.stdout(Stdio::piped()).spawn().context("cannot build the guests")?;
        let lines = BufReader::new(child.stdout.take().context("no output of the build")?);
        Ok(Self { child, lines })
    }

    /// Waits until this guest is built.
    fn wait_for(&mut self, guest: &std::path::Path) -> Result<()> {
        for line in self.lines.by_ref().lines() {
            if line?.trim() == guest.to_string_lossy() {
                return Ok(());
            }
        }
        bail!("{} was not built: {}", guest.display(), self.child.wait()?)
    }
}

impl Drop for Background {
    /// The build is no longer awaited.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn play(built: &mut Background, quick: bool, story: &Story) -> Result<Value> {
    let guests = Guests::located()?;
    story.chapter("A single node serves examples/metallb-v0.9");
    let served = told(&mut Cluster::lone()?, |lone| serve::the_example(lone, story))?;

    story.chapter("Three nodes, one bridge, one client");
    let mut cluster = Cluster::of_three()?;
    for node in &cluster.lab.nodes {
        story.say(format!("{} is {} with {}", node.name, node.address, node.mac));
    }
    story.say("rules in place of kube-proxy on each node, shown for n1:");
    cluster.lab.nodes[0].forwarding().lines().for_each(|line| story.say(format!("  nft {line}")));

    story.chapter("SIGKILL: the node that announces fails");
    let killed = told(&mut cluster, |cluster| failover::killed(cluster, story))?;
    story.chapter("SIGTERM: the node that announces is stopped");
    let stopped = told(&mut cluster, |cluster| failover::stopped(cluster, story))?;
    story.chapter("layer2 is replaced by another build");
    built.wait_for(&guests.layer2_other)?;
    let swap = told(&mut cluster, |cluster| swap::layer2(cluster, &guests, story))?;
    story.chapter("The allocation policy is replaced by one written in C");
    told(&mut cluster, |cluster| swap::allocator(cluster, &guests, story))?;
    let mut figures = json!({
        "first_answer_ms": clock::ms(served.first_answer),
        "killed_gap_ms": clock::ms(killed),
        "stopped_gap_ms": clock::ms(stopped),
        "swap": { "requests": swap.requests(), "unanswered": swap.unanswered() },
        "rss_mib": serve::mib(served.rss_kib),
    });
    if !quick {
        run::phase("4/4", "hostile plugins", "a minute or two; their build is running");
        figures["contained"] = all_contained(&mut cluster, built, &guests, story)?;
    }
    Ok(figures)
}

fn all_contained(
    cluster: &mut Cluster,
    built: &mut Background,
    guests: &Guests,
    story: &Story,
) -> Result<Value> {
    built.wait_for(&guests.withdraw)?;
    let mut harms = Map::new();
    for harm in Harm::ALL {
        story.chapter(&format!("A plugin with a {} replaces layer2", harm.name()));
        told(cluster, |cluster| contained(cluster, guests, harm, story))?;
        harms.insert(harm.name().to_owned(), Value::Bool(true));
    }
    Ok(Value::Object(harms))
}

/// Runs a scenario, and adds the daemons' output to its error.
fn told<T>(cluster: &mut Cluster, scenario: impl FnOnce(&mut Cluster) -> Result<T>) -> Result<T> {
    scenario(cluster).with_context(|| format!("a promise does not hold\n{}", cluster.explain()))
}
