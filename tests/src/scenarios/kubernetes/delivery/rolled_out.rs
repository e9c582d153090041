//! Plugins are swapped on a real cluster while a client sends requests: neither a good build nor a bad one loses any.
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use super::super::{LIMIT, NODE, SYSTEM, Stage, explain, leaders, name_of, pods_of};
use super::{
    Packing, await_active, await_reason, await_running, await_status, deliver, digest, reason,
    take_back,
};
use crate::guests::{self, Guests};
use crate::kubernetes::Lab;
use crate::kubernetes::prober::Prober;
use crate::wait;

/// ConfigMap of all deliveries.
const CONFIG_MAP: &str = "swap";
/// Dual-stack Services: four addresses on three nodes, so that one node has at least two to lose.
const SERVICES: [&str; 2] = ["a", "b"];

/// Cluster with a client that sends requests to every address all the time.
struct Play<'a> {
    lab: &'a Lab,
    stage: Stage<'a>,
    guests: Guests,
    addresses: Vec<IpAddr>,
    probers: Vec<Prober>,
    /// Number of requests that are not judged: the earlier ones, and those while a part was down.
    skipped: Vec<usize>,
}

impl<'a> Play<'a> {
    fn begin(lab: &'a Lab, name: &'static str, first: u8) -> Result<Self> {
        let guests = Guests::build()?;
        let stage = Stage::set(lab, name, first)?;
        let mut addresses = Vec::new();
        for service in SERVICES {
            addresses.extend(stage.service(service, &json!({}))?);
        }
        let probers =
            addresses.iter().map(|address| stage.probe(*address)).collect::<Result<Vec<_>>>()?;
        let mut play = Self { lab, stage, guests, addresses, probers, skipped: Vec::new() };
        play.settle()?;
        Ok(play)
    }

    /// Waits until all requests are answered, and judges requests from here on.
    fn settle(&mut self) -> Result<()> {
        self.probers.iter().try_for_each(|prober| prober.settled(LIMIT))?;
        self.skipped = self.probers.iter().map(|prober| prober.so_far().requests()).collect();
        Ok(())
    }

    /// Fails if a request was lost since then.
    fn nothing_lost(&mut self, when: &str) -> Result<()> {
        // Pending requests are answered, or lost and seen.
        self.probers.iter().try_for_each(|prober| prober.settled(LIMIT))?;
        for (at, prober) in self.probers.iter().enumerate() {
            let seen = prober.so_far();
            // The last ones may be pending.
            let judged = seen.clone().settled_part().from(self.skipped[at]);
            judged.nothing_lost().with_context(|| format!("{when}: {}", self.addresses[at]))?;
            self.skipped[at] = seen.settled_part().requests();
        }
        Ok(())
    }

    fn nodes(&self) -> Vec<String> {
        self.lab.nodes().map(|node| node.name()).collect()
    }

    fn deliver(&self, file: &Path, packing: Packing, annotations: &Value) -> Result<()> {
        deliver(self.lab, CONFIG_MAP, "layer2", file, packing, annotations)
    }

    /// Checks that a build is refused or rolled back with the expected reason, and that the active one stays.
    fn bad(&mut self, case: &Bad) -> Result<()> {
        let Bad { file, packing, phase, reason: expected } = case;
        let active = super::status(self.lab, "layer2")?["active"].clone();
        self.deliver(file, *packing, &json!({
            "outrigger.dev/settle-seconds": "3",
            "outrigger.dev/compile-within-seconds": if *expected == "CompileTimeout" { "2" } else { "60" },
        }))?;
        let said = await_reason(self.lab, "layer2", expected)?;
        ensure!(said["phase"] == *phase, "{expected}: the phase is {}", said["phase"]);
        ensure!(said["active"] == active, "{expected}: active is {}", said["active"]);
        ensure!(said["candidate"].is_null(), "{expected}: {} is tried", said["candidate"]);
        ensure!(reason(&said).1.len() > 20, "{expected}: says {:?}", reason(&said).1);
        let shown = self.lab.kubectl(&["get", "plugins"])?;
        let shows = |line: &str| [*phase, *expected].iter().all(|word| line.contains(word));
        ensure!(shown.lines().any(shows), "kubectl get plugins shows {shown}");
        self.nothing_lost(expected)
    }
}

struct Bad {
    file: PathBuf,
    packing: Packing,
    phase: &'static str,
    reason: &'static str,
}

/// Lets a good build take over while the client sends requests, and each kind of bad one be refused or rolled back with its
/// reason; without the ConfigMap the embedded plugin returns. Checks that no connection is lost throughout.
///
/// # Errors
/// When one is lost, or a Plugin has another reason.
pub fn swapped_under_load(lab: &Lab) -> Result<()> {
    let mut play = Play::begin(lab, "swapped", 210)?;
    let played = play_swaps(&mut play);
    let cleaned = take_back(lab, CONFIG_MAP).and_then(|()| await_embedded(lab));
    played.and(cleaned)?;
    play.nothing_lost("the ConfigMap was deleted")?;
    play.stage.keeps(SERVICES[0], &play.addresses[..2])
}

fn play_swaps(play: &mut Play<'_>) -> Result<()> {
    let lab = play.lab;
    let good = play.guests.layer2_other.clone();
    play.deliver(&good, Packing::Gzip, &json!({ "outrigger.dev/settle-seconds": "2" }))?;
    await_active(lab, "layer2", &digest(&good)?, &play.nodes())?;
    play.nothing_lost("a good build")?;
    let bytes = lab.folder().join("bytes");
    std::fs::write(&bytes, b"\x00\xff\xfe neither text nor WebAssembly")?;
    let slow = lab.folder().join("slow.wasm");
    std::fs::write(&slow, guests::slow_to_compile(&good)?)?;
    let hungry = lab.folder().join("hungry.wasm");
    std::fs::write(&hungry, guests::hungry_to_compile(&good)?)?;
    let guests = play.guests.clone();
    let bad = |file: &Path, phase, reason| Bad {
        file: file.to_owned(),
        packing: Packing::Gzip,
        phase,
        reason,
    };
    for case in [
        Bad { packing: Packing::Plain, ..bad(&bytes, "Refused", "NotAPlugin") },
        bad(&guests.lowest_free, "Refused", "WrongWorld"),
        bad(&guests.trap_in_start, "RolledBack", "Trapped"),
        bad(&guests.late_trap, "RolledBack", "Trapped"),
        bad(&guests.withdraw, "RolledBack", "Withdrawing"),
        bad(&guests.looping, "RolledBack", "TookTooLong"),
        bad(&guests.forgery, "RolledBack", "Denied"),
        bad(&slow, "RolledBack", "CompileTimeout"),
        bad(&hungry, "RolledBack", "CompileMemory"),
        bad(&guests.memory, "RolledBack", "MemoryLimit"),
        bad(&guests.reports, "RolledBack", "Flooding"),
        bad(&guests.storm, "RolledBack", "Flooding"),
        bad(&guests.offloads, "RolledBack", "Flooding"),
    ] {
        play.bad(&case)?;
    }
    nearly_too_slow(play)?;
    // A plugin with a new name disappears with its ConfigMap.
    deliver(lab, "extra", "extra", &bytes, Packing::Plain, &json!({}))?;
    await_reason(lab, "extra", "NotAPlugin")?;
    take_back(lab, "extra")?;
    wait::until("Plugin extra is gone", LIMIT, || {
        Ok(super::status(lab, "extra")?.is_null().then_some(()))
    })
}

/// Delivers a build that uses nearly all the time of a call: on a busy machine it exceeds it in one call and is rolled back,
/// otherwise it stays.
fn nearly_too_slow(play: &mut Play<'_>) -> Result<()> {
    let (lab, slow) = (play.lab, play.guests.slow.clone());
    let digest = digest(&slow)?;
    play.deliver(&slow, Packing::Gzip, &json!({ "outrigger.dev/settle-seconds": "3" }))?;
    await_status(lab, "layer2", "is decided", |status| {
        let stays = status["phase"] == "Active" && status["active"]["digest"] == digest;
        let went = status["failed"]["digest"] == digest && reason(status).0 == "TookTooLong";
        stays || went
    })?;
    play.nothing_lost("a build that is nearly too slow")
}

fn await_embedded(lab: &Lab) -> Result<()> {
    await_status(lab, "layer2", "is the embedded one", |status| {
        status["active"]["build"] == "embedded" && status["phase"] == "Active"
    })
    .map(drop)
}

/// Restarts a node during a roll-out, and keeps another one down during a whole roll-out. Checks that both end with the active
/// build, and that the client loses requests only in the moment in which a node fails without warning.
///
/// # Errors
/// When a node runs something else, or a connection is lost.
pub fn nodes_that_come_late(lab: &Lab) -> Result<()> {
    let mut play = Play::begin(lab, "late", 220)?;
    let played = restarted_in_the_middle(&mut play).and_then(|()| down_all_the_time(&mut play));
    let cleaned = take_back(lab, CONFIG_MAP).and_then(|()| await_embedded(lab));
    played.with_context(|| explain(lab)).and(cleaned)
}

fn restarted_in_the_middle(play: &mut Play<'_>) -> Result<()> {
    let lab = play.lab;
    let good = play.guests.layer2_other.clone();
    play.deliver(&good, Packing::Plain, &json!({ "outrigger.dev/settle-seconds": "5" }))?;
    let said = await_status(lab, "layer2", "is tried on a node", |status| {
        status["candidate"]["nodes"][0].is_string()
    })?;
    let tries = said["candidate"]["nodes"][0].as_str().unwrap_or_default().to_owned();
    let pods = pods_of(lab, NODE)?;
    let other = pods.iter().find(|pod| pod["spec"]["nodeName"] != *tries).context("one node")?;
    lab.kubectl(&["--namespace", SYSTEM, "delete", "pod", name_of(other), "--wait=false"])?;
    await_active(lab, "layer2", &digest(&good)?, &play.nodes())?;
    play.nothing_lost("a node was restarted in the middle")
}

fn down_all_the_time(play: &mut Play<'_>) -> Result<()> {
    let lab = play.lab;
    let pods = pods_of(lab, NODE)?;
    let pod = pods.first().context("no pod of a node")?;
    let node = pod["spec"]["nodeName"].as_str().context("the pod is on no node")?.to_owned();
    let process = leaders::process_of(lab, name_of(pod))?;
    kill(process, Signal::SIGSTOP).context("cannot freeze a node's daemon")?;
    let rolled = roll_without(play, &node);
    kill(process, Signal::SIGKILL).context("the frozen daemon is gone")?;
    rolled?;
    await_running(lab, &node, "layer2", &digest(&play.guests.layer2)?)?;
    play.nothing_lost("a node came back that was down all the time")
}

/// Lets the first node's daemon die while it starts a candidate. Checks that this is the verdict, no other node tries the
/// candidate, and the daemon runs the active build once it is back.
///
/// # Errors
/// When the candidate runs anywhere.
pub fn that_kills_a_daemon(lab: &Lab) -> Result<()> {
    let mut play = Play::begin(lab, "kills", 240)?;
    let played = killed_by_a_candidate(&mut play);
    let cleaned = take_back(lab, CONFIG_MAP).and_then(|()| await_embedded(lab));
    played.with_context(|| explain(lab)).and(cleaned)
}

fn killed_by_a_candidate(play: &mut Play<'_>) -> Result<()> {
    let lab = play.lab;
    let active = super::status(lab, "layer2")?["active"].clone();
    let slow = lab.folder().join("slow.wasm");
    std::fs::write(&slow, guests::slow_to_compile(&play.guests.layer2_other)?)?;
    let settings = json!({ "outrigger.dev/settle-seconds": "2", "outrigger.dev/compile-within-seconds": "60" });
    play.deliver(&slow, Packing::Gzip, &settings)?;
    let said = await_status(lab, "layer2", "is tried on a node", |status| {
        status["candidate"]["nodes"][0].is_string()
    })?;
    let first = said["candidate"]["nodes"][0].as_str().unwrap_or_default().to_owned();
    let pods = pods_of(lab, NODE)?;
    let pod = pods.iter().find(|pod| pod["spec"]["nodeName"] == *first).context("no pod there")?;
    kill(leaders::process_of(lab, name_of(pod))?, Signal::SIGKILL).context("the daemon is gone")?;
    let said = await_reason(lab, "layer2", "Crashed")?;
    ensure!(said["phase"] == "RolledBack" && said["active"] == active, "{said}");
    ensure!(reason(&said).1.contains(&first), "{said}");
    play.settle()?;
    // Neither another node nor the returned one tries it.
    std::thread::sleep(Duration::from_secs(3));
    let still = super::status(lab, "layer2")?;
    ensure!(still["candidate"].is_null() && reason(&still).0 == "Crashed", "{still}");
    play.nothing_lost("a candidate had killed a daemon")
}

fn roll_without(play: &mut Play<'_>, node: &str) -> Result<()> {
    let lab = play.lab;
    wait::until(&format!("the other nodes have detected that {node} failed"), LIMIT, || {
        let other = play.nodes().into_iter().find(|other| other != node).context("one node")?;
        let report = lab.get_json(&["nodereport", &other])?;
        let members = report["status"]["members"].as_array().cloned().unwrap_or_default();
        Ok((!members.iter().any(|member| member["name"] == node)).then_some(()))
    })?;
    play.settle()?;
    let good = play.guests.layer2.clone();
    play.deliver(&good, Packing::Plain, &json!({ "outrigger.dev/settle-seconds": "2" }))?;
    let others: Vec<String> = play.nodes().into_iter().filter(|other| other != node).collect();
    await_active(lab, "layer2", &digest(&good)?, &others)?;
    play.nothing_lost("a node was down")
}
