//! A router spreads load over three nodes: what its clients lose when a node vanishes, stops, restarts, or changes its plugin.
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::bgp::fabric::{Fabric, Sessions};
use crate::bgp::fib::Monitor;
use crate::bgp::outrigger::VIP;
use crate::bgp::router::{Kind, LIMIT};
use crate::cluster::digest;
use crate::wait;

/// Number of flows when those of every node are to be checked.
const FLOWS: usize = 12;
/// Longest blackout: a session without BFD detects the loss only after its hold time of 90 s. `cargo xtask bench bgp` measures
/// how fast BFD is on an idle machine.
const BLACKOUT: Duration = Duration::from_secs(10);

/// Makes the answering node vanish, with BFD of 3 × 50 ms. Returns how long its flow had no answer.
///
/// # Errors
/// When that took too long.
pub fn vanished() -> Result<Duration> {
    let gap = vanished_of(None)?;
    ensure!(gap < BLACKOUT, "no answer for {gap:?}");
    Ok(gap)
}

/// Makes the answering node vanish, with another speaker on the nodes and no limit. Returns how long its flow had no answer.
///
/// # Errors
/// When it cannot be measured.
pub fn vanished_of(rival: Option<Kind>) -> Result<Duration> {
    let fabric = Fabric::of(rival, Sessions { bfd_ms: Some(50), restart: None })?;
    let result = (|| {
        fabric.await_bfd()?;
        let traffic = fabric.traffic(1)?;
        let holder = traffic.answered_by(0).context("no node answers")?;
        let skip = traffic.begin_anew();
        fabric.cut(fabric.index_of(&holder)?)?;
        wait::until("another node answers", LIMIT, || {
            Ok(traffic.answered_by(0).filter(|name| *name != holder))
        })?;
        traffic.await_flowing()?;
        let gap = traffic.finish(skip).longest_gap();
        fabric.await_next_hops(2)?;
        anyhow::Ok(gap)
    })();
    result.with_context(|| fabric.explain())
}

/// Stops a node while traffic runs, and checks that the router no longer uses it and nothing is lost. Then replaces the plugin
/// of another node, and checks that nothing is lost and its session stays.
///
/// # Errors
/// When something was lost.
pub fn drained_and_swapped(other: &Path) -> Result<()> {
    let mut fabric = Fabric::new(Sessions::default())?;
    let traffic = fabric.traffic(FLOWS)?;
    let skip = traffic.begin_anew();
    let result = (|| {
        let octets = std::fs::read(other)?;
        let before = fabric.router.session(&fabric.neighbor(1))?;
        fabric.nodes[1].put_octets("bgp.wasm", &octets)?;
        wait::until("the other build is active", LIMIT, || {
            let shown =
                fabric.nodes[1].announcer()?["digest"].as_str().unwrap_or_default().to_owned();
            Ok(shown.ends_with(&digest(&octets)).then_some(()))
        })?;
        let after = fabric.router.session(&fabric.neighbor(1))?;
        ensure!(
            after.generation == before.generation,
            "the replacement of the plugin ended the session"
        );
        fabric.nodes[0].stop()?;
        fabric.await_next_hops(2)?;
        traffic.await_flowing()
    })();
    let result = result.and_then(|()| {
        let flowed = traffic.finish(skip);
        let by = flowed.by_server();
        ensure!(by.len() == 3, "not every node received traffic: {by:?}");
        ensure!(flowed.lost() == 0, "{}", flowed.describe());
        Ok(())
    });
    result.with_context(|| fabric.explain())
}

/// Stops and restarts a daemon with graceful restart while traffic runs, and checks that nothing is lost and the router's
/// kernel changes no route.
///
/// # Errors
/// When something was lost or changed.
pub fn restarted() -> Result<()> {
    let mut fabric = Fabric::new(Sessions { bfd_ms: None, restart: Some(20) })?;
    let traffic = fabric.traffic(FLOWS)?;
    let skip = traffic.begin_anew();
    let monitor = Monitor::start(fabric.router.namespace())?;
    let result = (|| {
        let neighbor = fabric.neighbor(0);
        let before = fabric.router.session(&neighbor)?;
        fabric.nodes[0].stop()?;
        fabric.router.await_down(&neighbor)?;
        fabric.nodes[0].start()?;
        let after = fabric.router.await_established(&neighbor)?;
        ensure!(after.generation != before.generation, "the session did not go down");
        std::thread::sleep(Duration::from_secs(2));
        traffic.await_flowing()
    })();
    let result = result.and_then(|()| {
        let flowed = traffic.finish(skip);
        ensure!(flowed.lost() == 0, "{}", flowed.describe());
        let changes = monitor.about(VIP);
        ensure!(changes.is_empty(), "the kernel's routes changed: {changes:?}");
        Ok(())
    });
    result.with_context(|| fabric.explain())
}
