//! A node can no longer announce, while it still runs and the others reach it on another network.
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, LIMIT, VIP};
use crate::lab::Cut;
use crate::story::Story;
use crate::{clock, wait};

/// Sequence of cuts of the port that the holder announces on.
const CUTS: [Cut; 6] = [Cut::Port, Cut::Silent, Cut::Port, Cut::Silent, Cut::Port, Cut::Silent];
/// Largest median time until another node answers.
const TAKEN_OVER: Duration = Duration::from_secs(1);

/// Cuts the link of the holder's port, or all traffic through it, while its management port works. Checks that another node
/// answers, and keeps the address when the port is back.
///
/// # Errors
/// When no node takes over, or the address moves once more.
pub fn lost(cluster: &Cluster, story: &Story) -> Result<()> {
    let prober = cluster.probe()?;
    let (mut port, mut silent) = (Vec::new(), Vec::new());
    for how in CUTS {
        let holder = cluster.settled(&prober, None)?;
        let node = &cluster.lab.nodes[holder];
        let cut = clock::now();
        cluster.lab.cut(holder, how)?;
        let first = wait::until("another node answers", LIMIT, || {
            Ok(prober.so_far().first_by_another(cut, node.mac))
        })?;
        let gap = first.at.duration_since(cut);
        story.say(format!(
            "{}: {how:?}; another node answers after {:.0} ms",
            node.name,
            clock::ms(gap)
        ));
        if how == Cut::Port {
            port.push(gap)
        } else {
            silent.push(gap)
        }
        let next = cluster.settled(&prober, Some(holder))?;
        cluster.lab.heal(holder)?;
        std::thread::sleep(Duration::from_secs(2));
        let still = cluster.settled(&prober, None)?;
        ensure!(
            still == next,
            "{VIP} moved from n{} to n{} when a port came back",
            next + 1,
            still + 1
        );
        cluster.get(VIP.into())?;
    }
    for (how, mut gaps) in [(Cut::Port, port), (Cut::Silent, silent)] {
        gaps.sort_unstable();
        let median = gaps.get(gaps.len() / 2).context("no rounds")?;
        ensure!(*median < TAKEN_OVER, "{how:?}: another node answers after {gaps:?}");
    }
    Ok(())
}
