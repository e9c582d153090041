//! `outrigger plan`: shows what would be allocated and announced from a folder, without any effect.
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use outrigger_core::allocation::{AllocationResult, Allocations};
use outrigger_core::facts::{Change, Cluster, Fact, FactKey};
use outrigger_core::membership::{Hearing, Member, Outlook, View};
use outrigger_core::plan::{Planner, announcers, built_in_beside};
use outrigger_kube::{Folder, Problem, State};
use outrigger_net::now;
use outrigger_sdk::Duty;
use serde_json::json;

use super::table;
use crate::args::Output;
use crate::config::Config;
use crate::controller;
use crate::plugins::{self, Plugins};
use crate::report::object_problem;
use crate::source::Source;

/// Exit code when the folder has problems, so that a pipeline can detect them.
const PROBLEMS: u8 = 2;

/// The node that would announce each address, by announcer.
type Answering = BTreeMap<IpAddr, BTreeMap<String, String>>;

/// Plans with every node alive and prints the plan.
pub fn plan(config: &Config, output: Output) -> anyhow::Result<ExitCode> {
    let state = State::existing(&config.state());
    let folder = Folder::open(config.manifests()?, state.as_ref())?;
    let mut folder = Source::Folder(Box::new(folder.with_classes(config.classes())));
    let changes = folder.read().unwrap_or_default();
    let plugins = plugins::open(config)?;
    for change in &changes {
        if let Change::Upsert(Fact::Plugin(delivery)) = change {
            plugins.deliver(delivery);
        }
    }
    let (verdicts, pool_problems) = allocate(&plugins, &changes, &folder);
    let cluster = cluster(changes, &verdicts);
    let answering = announce(config, &cluster)?;
    let mut problems = folder.problems();
    problems.extend(pool_problems);
    problems.extend(plugin_problems(&plugins, &cluster, &folder));
    match output {
        Output::Json => println!("{}", as_json(&cluster, &verdicts, &answering, &problems)),
        Output::Table => {
            print_table(&verdicts, &answering, &problems);
            if let Some(note) = built_in_beside(&cluster) {
                println!("note: {note}");
            }
        }
    }
    Ok(if problems.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(PROBLEMS) })
}

fn allocate(
    plugins: &Plugins,
    changes: &[Change],
    folder: &Source,
) -> (Vec<AllocationResult>, Vec<Problem>) {
    let mut allocations = Allocations::default();
    for change in changes {
        allocations.apply(change, now());
    }
    controller::decide_now(plugins, &mut allocations);
    let problem = |(pool, message)| object_problem(folder, &FactKey::Pool(pool), message);
    let problems = allocations.problems().into_iter().map(problem).collect();
    (allocations.verdicts().collect(), problems)
}

/// Returns the facts with the addresses that would be written into status.
fn cluster(changes: Vec<Change>, verdicts: &[AllocationResult]) -> Cluster {
    let mut cluster = Cluster::default();
    for change in changes {
        cluster.apply(change);
    }
    for verdict in verdicts {
        if let Some(service) = cluster.services.get_mut(&verdict.service) {
            Arc::make_mut(service).ingress = verdict.addresses.as_slice().into();
        }
    }
    cluster
}

fn announce(config: &Config, cluster: &Cluster) -> anyhow::Result<Answering> {
    let me = match &config.node {
        Some(node) => node.clone(),
        None => cluster.nodes.keys().next().cloned().map_or_else(|| config.node(), Ok)?,
    };
    let member = || Member {
        leaving: false,
        hearing: Hearing::Itself,
        address: SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0),
    };
    let mut view = View::default();
    for node in cluster.nodes.keys().chain([&me]) {
        view.members.insert(node.clone(), member());
    }
    let mut planner = Planner::new(me.clone());
    planner.plan(cluster, &view, Outlook::UNDISTURBED);
    let mut answering = Answering::new();
    for announcer in announcers(cluster).into_keys() {
        for (address, desired) in planner.desired(&announcer) {
            let node = match &desired.duty {
                Duty::Standby(other) | Duty::HandOver(other) => other.clone(),
                Duty::Announce | Duty::TakeOver(_) => me.clone(),
            };
            answering.entry(*address).or_default().insert(announcer.clone(), node);
        }
    }
    Ok(answering)
}

/// Returns deliveries that were refused, and objects that name a plugin that does not exist.
fn plugin_problems(plugins: &Plugins, cluster: &Cluster, folder: &Source) -> Vec<Problem> {
    let refused = plugins.list().into_iter().filter_map(|listed| {
        let (file, message) = listed.failed?;
        Some(Problem { file, object: Some(format!("plugin {}", listed.name)), message })
    });
    let wrong = plugins.wrong(cluster).into_iter();
    refused.chain(wrong.map(|(key, message)| object_problem(folder, &key, message))).collect()
}

fn as_json(
    cluster: &Cluster,
    verdicts: &[AllocationResult],
    answering: &Answering,
    problems: &[Problem],
) -> serde_json::Value {
    let services = verdicts.iter().map(|verdict| {
        json!({
            "namespace": verdict.service.namespace(), "name": verdict.service.name(), "addresses": verdict.addresses,
            "pool": verdict.pool, "allocated": verdict.condition.status, "reason": verdict.condition.reason,
            "message": verdict.condition.message,
        })
    });
    let announced =
        answering.iter().map(|(address, by)| json!({ "address": address, "announcers": by }));
    let problems = problems
        .iter()
        .map(|p| json!({ "file": p.file, "object": p.object, "message": p.message }));
    json!({
        "services": services.collect::<Vec<_>>(),
        "addresses": announced.collect::<Vec<_>>(),
        "notes": built_in_beside(cluster).into_iter().collect::<Vec<_>>(),
        "problems": problems.collect::<Vec<_>>(),
    })
}

fn print_table(verdicts: &[AllocationResult], answering: &Answering, problems: &[Problem]) {
    let row = |verdict: &AllocationResult| {
        let addresses =
            verdict.addresses.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let nodes = verdict.addresses.iter().filter_map(|address| answering.get(address));
        let by: Vec<_> = nodes
            .flatten()
            .map(|(announcer, node)| format!("{announcer}@{}", or_dash(node)))
            .collect();
        vec![
            verdict.service.to_string(),
            or_dash(&addresses).to_owned(),
            or_dash(verdict.pool.as_deref().unwrap_or_default()).to_owned(),
            or_dash(&by.join(",")).to_owned(),
            verdict.condition.message.clone(),
        ]
    };
    let rows: Vec<_> = verdicts.iter().map(row).collect();
    table::print(&["SERVICE", "ADDRESSES", "POOL", "ANNOUNCED BY", "WHY"], &rows);
    for problem in problems {
        println!("problem: {problem}");
    }
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}
