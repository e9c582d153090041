//! `outrigger status`: shows pools, addresses, which node answers for each and since when, nodes and plugins, of a
//! cluster or a folder.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::process::ExitCode;

use outrigger_core::allocation::{Counts, PoolStatus};
use outrigger_core::facts::ServiceKey;
use outrigger_core::plan::{AddressObservation, Unreachable, built_in_beside};
use outrigger_core::why::PublishedCondition;
use serde_json::{Value, json};

use super::table;
use crate::args::{self, Output};
use crate::config::Config;
use crate::snapshot::ClusterSnapshot;

/// Plugins by name and digest.
type Plugins<'a> = BTreeMap<(&'a str, &'a str), Plugin<'a>>;

#[derive(Default)]
struct Plugin<'a> {
    origins: BTreeSet<&'a str>,
    nodes: BTreeSet<&'a str>,
    /// Messages of plugins that were refused.
    messages: BTreeSet<&'a str>,
}

/// Takes a picture of the cluster or folder and prints it.
pub fn status(config: &Config, flags: &args::Query) -> anyhow::Result<ExitCode> {
    let picture = ClusterSnapshot::take(config, flags.api.context.as_deref())?;
    match flags.output {
        Output::Json => println!("{}", as_json(&picture)),
        Output::Table => print_tables(&picture),
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns the nodes that answer for an address now, each with what it reports about it.
fn answering(address: IpAddr, picture: &ClusterSnapshot) -> Vec<(&str, &AddressObservation)> {
    let nodes = picture.inputs.heard.nodes.iter();
    nodes.filter_map(|(name, word)| Some((name.as_str(), word.answers(address).next()?))).collect()
}

/// Returns true if any node could be asked which addresses it answers for.
fn is_known(picture: &ClusterSnapshot) -> bool {
    picture.inputs.heard.nodes.values().any(|word| word.details.is_some())
}

fn services(
    picture: &ClusterSnapshot,
) -> BTreeMap<&ServiceKey, (Vec<IpAddr>, Option<&PublishedCondition>)> {
    let said = |key| picture.inputs.conditions.get(key);
    let services = picture.inputs.cluster.services.values();
    let mut all: BTreeMap<_, _> =
        services.map(|one| (&one.key, (one.ingress.to_vec(), said(&one.key)))).collect();
    // A node's state folder may hold only conditions, without the Services.
    for (key, said) in &picture.inputs.conditions {
        all.entry(key).or_insert_with(|| (Vec::new(), Some(said)));
    }
    all
}

fn as_json(picture: &ClusterSnapshot) -> Value {
    let address = |address: &IpAddr| {
        let answering = answering(*address, picture);
        let nodes: Vec<&str> = answering.iter().map(|(node, _)| *node).collect();
        let since: Vec<&str> = answering.iter().map(|(_, word)| word.since.as_str()).collect();
        json!({ "address": address, "nodes": nodes, "since": since })
    };
    let service =
        |(key, (addresses, said)): (&ServiceKey, (Vec<IpAddr>, Option<&PublishedCondition>))| {
            let condition = said.map(|said| &said.condition);
            json!({
                "namespace": key.namespace(), "name": key.name(),
                "addresses": addresses.iter().map(address).collect::<Vec<_>>(),
                "allocated": condition.is_some_and(|condition| condition.status),
                "reason": condition.map(|condition| &condition.reason),
                "message": condition.map(|condition| &condition.message),
                "since": said.map(|said| &said.since),
            })
        };
    let node = |(name, report): (&String, _)| {
        json!({
            "name": name, "running": picture.running.contains(name), "report": report,
            "details": picture.details.get(name),
        })
    };
    let count = |count: &Counts| {
        let text = |number: u128| number.to_string();
        json!({
            "capacity": text(count.capacity), "allocated": text(count.allocated), "free": text(count.free),
        })
    };
    let pool = |(name, status): (&String, &PoolStatus)| {
        let conditions = status.conditions.iter().map(|one| {
            json!({ "type": one.kind.name(), "status": one.status, "reason": one.reason, "message": one.message })
        });
        json!({
            "name": name, "ipv4": count(&status.ipv4), "ipv6": count(&status.ipv6),
            "conditions": conditions.collect::<Vec<_>>(),
        })
    };
    let problems = picture.problems.iter();
    let problems =
        problems.map(|p| json!({ "file": p.file, "object": p.object, "message": p.message }));
    json!({
        "pools": picture.inputs.allocations().pool_statuses().iter().map(pool).collect::<Vec<_>>(),
        "services": services(picture).into_iter().map(service).collect::<Vec<_>>(),
        "nodes": picture.reports.iter().map(node).collect::<Vec<_>>(),
        "notes": built_in_beside(&picture.inputs.cluster).into_iter().collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    })
}

fn print_tables(picture: &ClusterSnapshot) {
    let pools = picture.inputs.allocations().pool_statuses();
    if !pools.is_empty() {
        table::print(
            &["POOL", "IPV4 USED", "IPV4 FREE", "IPV6 USED", "IPV6 FREE", "STATE"],
            &pool_rows(&pools),
        );
        println!();
    }
    let rows: Vec<_> = services(picture)
        .into_iter()
        .flat_map(|(key, (addresses, said))| service_rows(key, &addresses, said, picture))
        .collect();
    table::print(&["SERVICE", "ADDRESS", "ANSWERED BY", "SINCE", "WHY"], &rows);
    let silent = picture.inputs.heard.nodes.values().find(|word| word.alive);
    if let Some(word) = silent.filter(|_| !is_known(picture)) {
        let Unreachable { why, fix } = &word.silence;
        println!("\nno node could be queried for the addresses that it answers for: {why}: {fix}");
    }
    println!();
    table::print(&["NODE", "STATE", "ADDRESSES", "MEMBERS"], &node_rows(picture));
    println!();
    table::print(
        &["NODE", "ANNOUNCER", "PLUGIN", "DIGEST", "PHASE", "RESTARTS", "DENIED", "LAST FAULT"],
        &announcer_rows(picture),
    );
    println!();
    table::print(&["PLUGIN", "DIGEST", "NODES", "FROM", "REFUSED"], &plugin_rows(picture));
    if let Some(note) = built_in_beside(&picture.inputs.cluster) {
        println!("\nnote: {note}");
    }
    for problem in &picture.problems {
        println!("\n{problem}");
    }
    for (node, report) in &picture.reports {
        for problem in &report.problems {
            let object = problem.object.as_deref().unwrap_or_default();
            println!("\n{node}: {} {object}: {}", problem.file, problem.message);
        }
    }
}

fn pool_rows(pools: &BTreeMap<String, PoolStatus>) -> Vec<Vec<String>> {
    let row = |(name, status): (&String, &PoolStatus)| {
        let counts = |count: &Counts| match count.capacity {
            0 if count.allocated == 0 => ["-".to_owned(), "-".to_owned()],
            _ => [count.allocated.to_string(), count.free.to_string()],
        };
        let state = |one: &outrigger_core::allocation::PoolCondition| match (one.status, one.reason)
        {
            (true, "InForce") => "ready".to_owned(),
            (true, "Exhausted") => "full".to_owned(),
            _ => format!("{}: {}", one.reason, one.message),
        };
        let states: Vec<String> = status.conditions.iter().map(state).collect();
        let ([used4, free4], [used6, free6]) = (counts(&status.ipv4), counts(&status.ipv6));
        vec![name.clone(), used4, free4, used6, free6, states.join("; ")]
    };
    pools.iter().map(row).collect()
}

fn service_rows(
    key: &ServiceKey,
    addresses: &[IpAddr],
    said: Option<&PublishedCondition>,
    picture: &ClusterSnapshot,
) -> Vec<Vec<String>> {
    let why = said.map(|said| said.condition.message.clone()).unwrap_or_default();
    if addresses.is_empty() {
        return vec![vec![key.to_string(), "-".into(), "-".into(), "-".into(), why]];
    }
    let row = |address: &IpAddr| {
        let answering = answering(*address, picture);
        let join = |parts: Vec<&str>, none: &str| match parts.as_slice() {
            [] => none.to_owned(),
            parts => parts.join(","),
        };
        let nobody = if is_known(picture) { "none" } else { "?" };
        let nodes = join(answering.iter().map(|(node, _)| *node).collect(), nobody);
        let since = join(answering.iter().map(|(_, word)| word.since.as_str()).collect(), "-");
        vec![key.to_string(), address.to_string(), nodes, since, why.clone()]
    };
    addresses.iter().map(row).collect()
}

fn node_rows(picture: &ClusterSnapshot) -> Vec<Vec<String>> {
    let row = |(name, report): (&String, &outrigger_kube::crd::NodeReportStatus)| {
        let state = match (picture.running.contains(name), report.ready) {
            (true, true) => "ready".to_owned(),
            (true, false) => format!("waiting for {}", report.missing.join(", ")),
            (false, _) => "not running".to_owned(),
        };
        let members =
            report.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(",");
        vec![name.clone(), state, report.desired.addresses.to_string(), members]
    };
    picture.reports.iter().map(row).collect()
}

fn announcer_rows(picture: &ClusterSnapshot) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (node, report) in &picture.reports {
        for announcer in &report.announcers {
            rows.push(vec![
                node.clone(),
                announcer.name.clone(),
                announcer.plugin.clone(),
                short(&announcer.digest),
                announcer.phase.clone(),
                announcer.restarts.to_string(),
                announcer.denied.values().sum::<u64>().to_string(),
                announcer.last_fault.clone(),
            ]);
        }
    }
    rows
}

fn plugin_rows(picture: &ClusterSnapshot) -> Vec<Vec<String>> {
    let mut plugins = Plugins::new();
    for (node, report) in &picture.reports {
        for plugin in &report.plugins {
            let entry = plugins.entry((&plugin.name, &plugin.digest)).or_default();
            entry.nodes.insert(node);
            entry.origins.insert(&plugin.origin);
            if plugin.state != "active" {
                entry.messages.insert(&plugin.message);
            }
        }
    }
    let all = |set: &BTreeSet<&str>| set.iter().copied().collect::<Vec<_>>().join(", ");
    let row = |((name, digest), plugin): (&(&str, &str), &Plugin<'_>)| {
        let Plugin { origins, nodes, messages } = plugin;
        vec![(*name).to_owned(), short(digest), all(nodes), all(origins), all(messages)]
    };
    plugins.iter().map(row).collect()
}

/// Shortens a digest to 12 digits, which are enough to distinguish digests.
fn short(digest: &str) -> String {
    let digits = digest.strip_prefix("sha256:").unwrap_or(digest);
    format!("{digits:.12}")
}
