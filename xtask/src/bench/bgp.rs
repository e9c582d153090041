//! `cargo xtask bench bgp`: measures a speaker next to BIRD, GoBGP, FRR and ExaBGP, all in the same run, against a router that
//! only listens and records times. The figures are never judged here.
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use outrigger_tests::bgp::sink::Sink;
use outrigger_tests::bgp::{Kind, Neighbor, Net, Speaker, programs};
use outrigger_tests::scenarios::bgp::ecmp;
use outrigger_tests::{clock, sandbox};
use serde_json::{Map, Value, json};

use super::median;
use crate::{run, setup};

mod speakers;

use speakers::{Running, Who};

/// Number of starts measured for each speaker; the figure is the median.
const STARTS: usize = 5;
/// Number of routes that are added one by one.
const SINGLES: u8 = 30;
/// Number of neighbours that all want a keepalive each second.
const CROWD: u16 = 256;
/// Time over which the processor use of the crowd is measured.
const WATCHED: Duration = Duration::from_secs(10);
/// Time after which anything counts as not done: ExaBGP does not send 100,000 routes in this time.
const LIMIT: Duration = Duration::from_secs(120);
/// Time to wait after the last route: Outrigger releases the memory that only a start needs once nothing has changed for two
/// seconds.
const IDLE: Duration = Duration::from_secs(4);
/// Number of blackouts that are measured.
const BLACKOUTS: usize = 3;

/// Arguments of `cargo xtask bench bgp`.
#[derive(Debug, Args)]
pub struct BgpArgs {
    /// Print the figures as a last line of JSON.
    #[arg(long)]
    json: bool,
    /// Measure only this speaker.
    #[arg(long)]
    only: Option<Who>,
    /// Number of routes of the largest measurement.
    #[arg(long, default_value_t = 100_000)]
    routes: usize,
    /// Measure only this kind of figure.
    #[arg(long)]
    figure: Option<Figure>,
}

/// Kind of figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figure {
    /// Time from the start to Established.
    Start,
    /// Time from one Service or route to the wire.
    Single,
    /// Time, UPDATEs and memory for many routes.
    Bulk,
    /// Processor use with 256 peers.
    Crowd,
    /// Blackout when a node that BFD watches vanishes.
    Blackout,
}

/// Runs the BGP benchmark.
pub fn bgp(what: &BgpArgs) -> Result<()> {
    setup::network()?;
    setup::routers()?;
    setup::guests()?;
    run::build_outrigger()?;
    sandbox::enter()?;
    programs::let_frr_run()?;
    let speakers = what.only.map_or_else(|| Who::ALL.to_vec(), |only| vec![only]);
    let mut all = Map::new();
    for who in speakers {
        println!("{}", who.name());
        let figures = measure(who, what.routes, what.figure);
        all.insert(who.name().to_owned(), Value::Object(figures));
    }
    if what.json {
        println!("{}", Value::Object(all));
    }
    Ok(())
}

/// Measures every figure of one speaker. A figure that cannot be measured is printed with its error, and the others continue.
fn measure(who: Who, routes: usize, only: Option<Figure>) -> Map<String, Value> {
    let mut figures = Map::new();
    let mut add = |name: &str, unit: &str, figure: Result<Option<f64>>| {
        let value = match figure {
            Ok(None) => return,
            Ok(Some(value)) => {
                println!("  {name:44} {value:10.1} {unit}");
                json!(value)
            }
            Err(error) => {
                println!("  {name:44} not measured: {}", first_line(&error));
                json!(first_line(&error))
            }
        };
        figures.insert(name.to_owned(), value);
    };
    let wanted = |figure| only.is_none_or(|only| only == figure);
    if wanted(Figure::Start) {
        add("start to Established, median of 5", "ms", start(who));
    }
    if wanted(Figure::Single) {
        match singles(who) {
            Ok((middle, worst)) => {
                add("one Service or route to the wire, median of 30", "ms", Ok(Some(middle)));
                add("one Service or route to the wire, worst", "ms", Ok(Some(worst)));
            }
            Err(error) => add("one Service or route to the wire, median of 30", "ms", Err(error)),
        }
    }
    for count in [0, 10_000, routes].into_iter().filter(|_| wanted(Figure::Bulk)) {
        match bulk(who, count) {
            Ok(bulk) => {
                add(&format!("RSS with {count} routes"), "MiB", Ok(Some(bulk.rss_mib)));
                add(
                    &format!("... of a node that is not the leader, {count}"),
                    "MiB",
                    Ok(bulk.node_mib),
                );
                if count > 0 {
                    add(&format!("{count} /32 from Established"), "ms", Ok(Some(bulk.wire_ms)));
                    add(&format!("UPDATEs for {count} /32"), "", Ok(Some(bulk.updates)));
                }
            }
            Err(error) => add(&format!("{count} /32 from Established"), "ms", Err(error)),
        }
    }
    if wanted(Figure::Crowd) {
        add("256 peers, keepalive each second", "% of a core", crowd(who));
    }
    let watches = matches!(who.kind(), None | Some(Kind::Frr | Kind::Bird));
    if watches && wanted(Figure::Blackout) {
        let blackouts: Result<Vec<_>> =
            (0..BLACKOUTS).map(|_| ecmp::vanished_of(who.kind())).collect();
        let figure = blackouts.map(|times| median(times.into_iter()).map(clock::ms));
        add("BFD 3 x 50 ms: node vanishes, blackout", "ms", figure);
    }
    figures
}

/// Returns the first line of the root cause: the surrounding error contains the last output of every program, which is pages.
fn first_line(error: &anyhow::Error) -> String {
    error.root_cause().to_string().lines().next().unwrap_or_default().to_owned()
}

/// Returns the configuration of the measured speaker, with one neighbour.
fn speaker() -> Speaker {
    let mut neighbor = Neighbor::at(Ipv4Addr::new(10, 77, 0, 2), 64513);
    neighbor.local = Some(Ipv4Addr::new(10, 77, 0, 1).into());
    neighbor.hold = 90;
    Speaker::new(64512, Ipv4Addr::new(10, 77, 0, 1)).with(neighbor)
}

fn start(who: Who) -> Result<Option<f64>> {
    let times = (0..STARTS).map(|_| {
        let net = Net::pair()?;
        let sink = Sink::start(&net.at("p"), 64513, 90)?;
        let prepared = who.prepare(&net, &speaker(), 0)?;
        let begin = clock::now();
        let _running = prepared.start()?;
        Ok(sink.await_established(1, LIMIT)?.duration_since(begin))
    });
    let times = times.collect::<Result<Vec<_>>>()?;
    Ok(median(times.into_iter()).map(clock::ms))
}

/// Measures the median and the worst time of routes that are added one after the other.
fn singles(who: Who) -> Result<(f64, f64)> {
    let net = Net::pair()?;
    let sink = Sink::start(&net.at("p"), 64513, 90)?;
    let running = who.prepare(&net, &speaker(), 0)?.start()?;
    sink.await_established(1, LIMIT)?;
    // The speaker has finished its initial work, including End-of-RIB.
    std::thread::sleep(Duration::from_secs(2));
    let mut times = Vec::new();
    for number in 1..=SINGLES {
        let address = Ipv4Addr::new(192, 0, 2, number);
        sink.watch(address);
        let begin = running.announce(address)?;
        times.push(sink.await_watched(address, 1, LIMIT)?.saturating_duration_since(begin));
        std::thread::sleep(Duration::from_millis(50));
    }
    let worst = times.iter().max().copied().unwrap_or_default();
    let middle = median(times.into_iter()).context("nothing was measured")?;
    Ok((clock::ms(middle), clock::ms(worst)))
}

struct Bulk {
    wire_ms: f64,
    updates: f64,
    rss_mib: f64,
    /// RSS of the same node while another node allocates, as in a cluster; only measured for Outrigger.
    node_mib: Option<f64>,
}

/// Gives the speaker its routes before the router connects, and measures how long they take after Established and how much
/// memory they need.
fn bulk(who: Who, routes: usize) -> Result<Bulk> {
    let net = Net::pair()?;
    let mut running = who.prepare(&net, &speaker(), routes)?.start()?;
    running.await_loaded(&net, routes, LIMIT)?;
    let sink = Sink::start(&net.at("p"), 64513, 90)?;
    let established = sink.await_established(1, LIMIT)?;
    let last = announced(&sink, routes)?.unwrap_or(established);
    let seen = sink.so_far();
    std::thread::sleep(IDLE);
    let rss_mib = mib(running.rss_kib()?)?;
    drop(sink);
    let node_mib = match running.follow()? {
        Some(_lead) => {
            let sink = Sink::start(&net.at("p"), 64513, 90)?;
            sink.await_established(1, LIMIT)?;
            announced(&sink, routes)?;
            std::thread::sleep(IDLE);
            Some(mib(running.rss_kib()?)?)
        }
        None => None,
    };
    Ok(Bulk {
        wire_ms: clock::ms(last.saturating_duration_since(established)),
        updates: f64::from(u32::try_from(seen.updates)?),
        rss_mib,
        node_mib,
    })
}

fn announced(sink: &Sink, routes: usize) -> Result<Option<Instant>> {
    if routes == 0 {
        return Ok(None);
    }
    sink.await_announced(routes, LIMIT).map(Some)
}

fn mib(kib: u64) -> Result<f64> {
    Ok(f64::from(u32::try_from(kib)?) / 1024.0)
}

/// Measures the processor use of the keepalives of many neighbours.
fn crowd(who: Who) -> Result<Option<f64>> {
    let net = Net::new(&["o", "p"])?;
    net.wire(("o", "eth0"), ("p", "eth0"))?;
    net.at("o").ip("addr add 10.77.0.1/16 dev eth0\n")?;
    let addresses: Vec<_> = (0..CROWD)
        .map(|number| {
            let [high, low] = number.to_be_bytes();
            Ipv4Addr::new(10, 77, 1 + high, low)
        })
        .collect();
    let batch = addresses.iter().map(|it| format!("addr add {it}/16 dev eth0\n"));
    net.at("p").ip(&batch.collect::<String>())?;
    let sink = Sink::start(&net.at("p"), 64513, 3)?;
    let mut crowd = Speaker::new(64512, Ipv4Addr::new(10, 77, 0, 1));
    for address in addresses {
        let mut neighbor = Neighbor::at(address, 64513);
        neighbor.local = Some(Ipv4Addr::new(10, 77, 0, 1).into());
        neighbor.hold = 3;
        crowd = crowd.with(neighbor);
    }
    let running: Running = who.prepare(&net, &crowd, 0)?.start()?;
    sink.await_established(CROWD.into(), LIMIT)?;
    std::thread::sleep(Duration::from_secs(3));
    let before = running.processor_time()?;
    std::thread::sleep(WATCHED);
    let used = running.processor_time()?.saturating_sub(before);
    let up = sink.so_far().established.len();
    anyhow::ensure!(up == usize::from(CROWD), "sessions flap: {up} were established");
    Ok(Some(100.0 * used.as_secs_f64() / WATCHED.as_secs_f64()))
}
