//! Failover when the answering node ends, with or without warning.
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, LIMIT, VIP};
use crate::story::Story;
use crate::{clock, wait};

/// Kills the holder's daemon with SIGKILL and waits until another node answers. Returns the time from the kill to the first
/// answer of another node.
///
/// # Errors
/// When no node takes over.
pub fn killed(cluster: &mut Cluster, story: &Story) -> Result<Duration> {
    let prober = cluster.probe()?;
    let holder = cluster.settled(&prober, None)?;
    let (name, mac) = (cluster.lab.nodes[holder].name.clone(), cluster.lab.nodes[holder].mac);
    story.say(format!("{name} answers for {VIP}; SIGKILL to its daemon"));
    let killed = cluster.kill(holder)?;
    let first = wait::until("an answer of another node", LIMIT, || {
        Ok(prober.so_far().first_by_another(killed, mac))
    })?;
    let gap = first.at.duration_since(killed);
    let next =
        cluster.lab.node_of(first.mac).context("an unknown MAC address answers")?.name.clone();
    story.say(format!("{next} answers {:.1} ms later", clock::ms(gap)));
    let settled = cluster.settled(&prober, Some(holder))?;
    let probe = prober.finish()?;
    story.say(format!(
        "meanwhile {} of {} requests had no answer",
        probe.unanswered(),
        probe.requests()
    ));
    let body = cluster.get(VIP.into())?;
    ensure!(body == cluster.lab.nodes[settled].name, "the client still reaches {body}");
    story.say(format!("HTTP 200 from {body}"));
    cluster.start(holder)?;
    cluster.await_members()?;
    story.say(format!("{name} is started again and has rejoined the others"));
    Ok(gap)
}

/// Stops the holder's daemon with SIGTERM, and checks that another node answers before it stops answering. Returns the longest
/// time between two answers.
///
/// # Errors
/// When an answer was lost.
pub fn stopped(cluster: &mut Cluster, story: &Story) -> Result<Duration> {
    let prober = cluster.probe()?;
    let holder = cluster.settled(&prober, None)?;
    let name = cluster.lab.nodes[holder].name.clone();
    story.say(format!("{name} answers for {VIP}; SIGTERM to its daemon"));
    let start = clock::now();
    cluster.stop(holder)?;
    story.say(format!("it exited with 0 after {:.1} ms", clock::ms(clock::since(start))));
    let settled = cluster.settled(&prober, Some(holder))?;
    let probe = prober.finish()?;
    cluster.nothing_lost(&probe)?;
    let gap = probe.longest_gap();
    let next = cluster.lab.nodes[settled].name.clone();
    story.say(format!(
        "{next} took over: {} requests, {} unanswered, {} answered by both, longest time between two answers {:.1} ms",
        probe.requests(),
        probe.unanswered(),
        probe.duplicates(),
        clock::ms(gap)
    ));
    let body = cluster.get(VIP.into())?;
    ensure!(body == next, "the client still reaches {body}");
    story.say(format!("HTTP 200 from {body}"));
    cluster.start(holder)?;
    cluster.await_members()?;
    story.say(format!("{name} is started again and has rejoined the others"));
    Ok(gap)
}
