//! `outrigger status`: what the nodes of a folder have in force, from the state folder they share.
use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use anyhow::Context as _;
use outrigger_core::facts::ServiceKey;
use outrigger_kube::crd::NodeReportStatus;
use outrigger_kube::{Problem, ServiceStatus, State};
use serde_json::{Value, json};

use super::table;
use crate::args::Output;
use crate::config::Config;

type Services = BTreeMap<ServiceKey, Result<ServiceStatus, Problem>>;

/// Reads the state folder and prints it.
pub fn status(config: &Config, output: Output) -> anyhow::Result<ExitCode> {
    let dir = config.state();
    let state = State::existing(&dir).with_context(|| {
        format!("{} is no state folder: has `outrigger run` been started with it?", dir.display())
    })?;
    let services = state.services()?;
    let reports: BTreeMap<String, NodeReportStatus> = state
        .reports()
        .into_iter()
        .filter_map(|(node, report)| Some((node, report.status?)))
        .collect();
    let running: BTreeSet<String> =
        reports.keys().filter(|node| state.is_running(node)).cloned().collect();
    let details = state.details();
    match output {
        Output::Json => println!("{}", as_json(&services, &reports, &running, &details)),
        Output::Table => print_tables(&services, &reports, &running, &details),
    }
    Ok(ExitCode::SUCCESS)
}

/// Nodes that answer for an address now.
fn answering(
    address: &str,
    running: &BTreeSet<String>,
    details: &BTreeMap<String, Value>,
) -> Vec<String> {
    let speaks = |entry: &Value| {
        entry["address"] == address && entry["duty"] != "standby" && entry["state"] == "announced"
    };
    let on = |details: &Value| {
        details["addresses"].as_array().is_some_and(|entries| entries.iter().any(speaks))
    };
    details
        .iter()
        .filter(|(node, details)| running.contains(*node) && on(details))
        .map(|(node, _)| node.clone())
        .collect()
}

fn as_json(
    services: &Services,
    reports: &BTreeMap<String, NodeReportStatus>,
    running: &BTreeSet<String>,
    details: &BTreeMap<String, Value>,
) -> Value {
    let service = |(key, status): (&ServiceKey, &Result<ServiceStatus, Problem>)| match status {
        Ok(status) => {
            let address = |address: &std::net::IpAddr| json!({ "address": address, "nodes": answering(&address.to_string(), running, details) });
            json!({
                "namespace": key.namespace, "name": key.name,
                "addresses": status.addresses.iter().map(address).collect::<Vec<_>>(),
                "allocated": status.allocated.as_ref().is_some_and(|allocated| allocated.status),
                "reason": status.allocated.as_ref().map(|allocated| &allocated.reason),
                "message": status.allocated.as_ref().map(|allocated| &allocated.message),
            })
        }
        Err(problem) => {
            json!({ "namespace": key.namespace, "name": key.name, "problem": problem.message })
        }
    };
    let node = |(name, report): (&String, &NodeReportStatus)| json!({ "name": name, "running": running.contains(name), "report": report, "details": details.get(name) });
    json!({
        "services": services.iter().map(service).collect::<Vec<_>>(),
        "nodes": reports.iter().map(node).collect::<Vec<_>>(),
    })
}

fn print_tables(
    services: &Services,
    reports: &BTreeMap<String, NodeReportStatus>,
    running: &BTreeSet<String>,
    details: &BTreeMap<String, Value>,
) {
    let mut rows = Vec::new();
    for (key, status) in services {
        match status {
            Ok(status) => rows.extend(service_rows(key, status, running, details)),
            Err(problem) => {
                rows.push(vec![key.to_string(), "?".into(), "-".into(), problem.message.clone()])
            }
        }
    }
    table::print(&["SERVICE", "ADDRESS", "ANSWERED BY", "WHY"], &rows);
    println!();
    table::print(&["NODE", "STATE", "ADDRESSES", "MEMBERS"], &node_rows(reports, running));
    println!();
    table::print(
        &["NODE", "ANNOUNCER", "PLUGIN", "DIGEST", "PHASE", "RESTARTS", "DENIED", "LAST FAULT"],
        &announcer_rows(reports),
    );
    for (node, report) in reports {
        for plugin in report.plugins.iter().filter(|plugin| plugin.state != "active") {
            println!("\n{node}: plugin {}: {}", plugin.name, plugin.message);
        }
        for problem in &report.problems {
            let object = problem.object.as_deref().unwrap_or_default();
            println!("\n{node}: {} {object}: {}", problem.file, problem.message);
        }
    }
}

fn service_rows(
    key: &ServiceKey,
    status: &ServiceStatus,
    running: &BTreeSet<String>,
    details: &BTreeMap<String, Value>,
) -> Vec<Vec<String>> {
    let why =
        status.allocated.as_ref().map(|allocated| allocated.message.clone()).unwrap_or_default();
    if status.addresses.is_empty() {
        return vec![vec![key.to_string(), "-".into(), "-".into(), why]];
    }
    let row = |address: &std::net::IpAddr| {
        let nodes = answering(&address.to_string(), running, details).join(",");
        let nodes = if nodes.is_empty() { "nobody".to_owned() } else { nodes };
        vec![key.to_string(), address.to_string(), nodes, why.clone()]
    };
    status.addresses.iter().map(row).collect()
}

fn node_rows(
    reports: &BTreeMap<String, NodeReportStatus>,
    running: &BTreeSet<String>,
) -> Vec<Vec<String>> {
    let row = |(name, report): (&String, &NodeReportStatus)| {
        let state = match (running.contains(name), report.ready) {
            (true, true) => "ready".to_owned(),
            (true, false) => format!("waiting for {}", report.missing.join(", ")),
            (false, _) => "not running".to_owned(),
        };
        let members =
            report.members.iter().map(|member| member.name.as_str()).collect::<Vec<_>>().join(",");
        vec![name.clone(), state, report.desired.addresses.to_string(), members]
    };
    reports.iter().map(row).collect()
}

fn announcer_rows(reports: &BTreeMap<String, NodeReportStatus>) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for (node, report) in reports {
        for announcer in &report.announcers {
            rows.push(vec![
                node.clone(),
                announcer.name.clone(),
                announcer.plugin.clone(),
                format!("{:.12}", announcer.digest),
                announcer.phase.clone(),
                announcer.restarts.to_string(),
                announcer.denied.values().sum::<u64>().to_string(),
                announcer.last_fault.clone(),
            ]);
        }
    }
    rows
}
