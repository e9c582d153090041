//! One round: the node that answers for an address is lost, and is back.
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

/// How long an answer may stay away.
pub const LIMIT: Duration = Duration::from_secs(60);
/// How long a restart may take: kubelet waits longer each time.
const RESTART: Duration = Duration::from_secs(360);
/// So many connections before the loss are looked at with it.
const BEFORE: usize = 20;
/// A node that came back is let find the others before the next is lost.
const REUNION: Duration = Duration::from_secs(10);

/// What happens to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Loss {
    /// Its frames vanish, and its carrier stays up.
    Silent,
    /// Its carrier goes down.
    Cut,
    /// The frames of the port that it announces on vanish; its other network lives.
    Port,
    /// SIGKILL to what answers.
    Killed,
    /// SIGTERM.
    Stopped,
}

impl Loss {
    pub const ALL: [Self; 5] = [Self::Silent, Self::Cut, Self::Port, Self::Killed, Self::Stopped];

    pub fn name(self) -> &'static str {
        match self {
            Self::Silent => "the node falls silent",
            Self::Cut => "the node is cut off",
            Self::Port => "the port falls silent, the other network lives",
            Self::Killed => "the process is killed",
            Self::Stopped => "the process is stopped",
        }
    }
}

/// The longest time without an answer; none when there was no end of it.
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
    // With answers before it: a gap is between two of them.
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
    wait::until("it runs on every node", RESTART, || {
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

/// What answers on a node, by its arguments, in the network of the node: at least one, and the parent of the others first.
fn processes(lab: &Lab, speaker: Speaker, node: &str) -> Result<Vec<Pid>> {
    let network = |path: &Path| fs::metadata(path).map(|data| data.ino());
    let there = network(&lab.namespace(node)?.path())?;
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let path = entry?.path();
        let number = path.file_name().and_then(|name| name.to_str()?.parse::<i32>().ok());
        // One that ends meanwhile has no files any more.
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
    ensure!(!found.is_empty(), "nothing of it runs on {node}");
    found.sort_unstable();
    Ok(found.into_iter().map(Pid::from_raw).collect())
}
