//! One round of the benchmark: the node that announces an address fails and comes back.
use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use outrigger_tests::kubernetes::Lab;
use outrigger_tests::kubernetes::prober::Prober;
use outrigger_tests::kubernetes::segment::{Member, SECOND};
use outrigger_tests::wait;

use super::super::kube::blackout::announced;
use super::Speaker;

/// Longest time without an answer.
pub const LIMIT: Duration = Duration::from_secs(60);
/// Time limit for a restart: the backoff of kubelet grows each time.
const RESTART: Duration = Duration::from_secs(360);
/// Number of connections before the failure that are part of the evaluation.
const BEFORE: usize = 20;
/// Time for a node that came back to rejoin the others before the next failure.
const REUNION: Duration = Duration::from_secs(10);

/// The failure of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Loss {
    /// Its frames are dropped, and its carrier stays up.
    Silent,
    /// Its carrier goes down.
    Cut,
    /// The frames of the port that it announces on are dropped; its other network works.
    Port,
    /// SIGKILL to the processes that announce.
    Killed,
    /// SIGTERM to the main process.
    Stopped,
}

impl Loss {
    pub const ALL: [Self; 5] = [Self::Silent, Self::Cut, Self::Port, Self::Killed, Self::Stopped];

    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "the node falls silent",
            Self::Cut => "the node is cut off",
            Self::Port => "the port falls silent, the other network works",
            Self::Killed => "the process is killed",
            Self::Stopped => "the process is stopped",
        }
    }
}

/// Returns the longest time without an answer; `None` if it did not end within [`LIMIT`].
pub fn round(
    lab: &Lab,
    speaker: Speaker,
    loss: Loss,
    addresses: &[IpAddr],
) -> Result<Option<Duration>> {
    let client = lab.namespace("client")?;
    let loses_node = matches!(loss, Loss::Silent | Loss::Cut);
    let (target, node) = announced(lab, &client, addresses, loses_node)?;
    let prober = Prober::start(&client, target);
    prober.settled(LIMIT)?;
    // Includes answers before the failure, because a gap is between two answers.
    let skip = prober.so_far().requests().saturating_sub(BEFORE);
    let (running, member) = (processes(lab, speaker, &node)?, Member::named(&node)?);
    match loss {
        Loss::Silent => lab.hole(&node)?,
        Loss::Cut => lab.cut(&node)?,
        Loss::Port => lab.network().hole(member, SECOND)?,
        Loss::Killed => running.iter().try_for_each(|process| kill(*process, Signal::SIGKILL))?,
        Loss::Stopped => kill(running[0], Signal::SIGTERM)?,
    }
    let back = prober.settled(LIMIT);
    lab.mend(&node)?;
    let gap = back.is_ok().then(|| prober.so_far().from(skip).longest_gap());
    if matches!(loss, Loss::Killed | Loss::Stopped) && speaker == Speaker::Keepalived {
        super::keepalived::run(lab, &node)?;
    }
    wait::until("the process runs on every node", RESTART, || {
        let mut nodes = lab.nodes();
        let runs = nodes.all(|node| processes(lab, speaker, &node.name()).is_ok());
        if !runs {
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(runs.then_some(()))
    })?;
    prober.settled(LIMIT)?;
    drop(prober);
    lab.await_nodes()?;
    std::thread::sleep(REUNION);
    Ok(gap)
}

/// Returns the processes that announce addresses on a node, found by their arguments in the network namespace of the node: at least
/// one, and the parent of the others first.
fn processes(lab: &Lab, speaker: Speaker, node: &str) -> Result<Vec<Pid>> {
    let network = |path: &Path| fs::metadata(path).map(|data| data.ino());
    let there = network(&lab.namespace(node)?.path())?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok());
        // A process that ends meanwhile has no files.
        let (Some(number), Ok(arguments), Ok(here)) =
            (number, fs::read_to_string(path.join("cmdline")), network(&path.join("ns/net")))
        else {
            continue;
        };
        let arguments: Vec<_> = arguments.split_terminator('\0').collect();
        if here == there && speaker.is(&arguments) {
            found.push(number);
        }
    }
    ensure!(!found.is_empty(), "{node} runs no process of the load balancer");
    found.sort_unstable();
    Ok(found.into_iter().map(Pid::from_raw).collect())
}
