//! `outrigger bgp`: BGP sessions, routes, or one session in full, as reported by every reachable node.
use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Value, json};

use super::table;
use crate::args::{self, BgpQuestion, Output};
use crate::config::Config;
use crate::snapshot::ClusterSnapshot;

/// Takes a picture of the cluster or folder and prints the requested part.
pub fn bgp(config: &Config, flags: &args::Bgp) -> anyhow::Result<ExitCode> {
    let peer = flags.peer.as_deref().unwrap_or_default();
    let picture = ClusterSnapshot::take(config, flags.asked.api.context.as_deref())?;
    let sessions = sessions(&picture.details);
    match flags.question {
        BgpQuestion::Peers => print(flags.asked.output, &sessions, peers),
        BgpQuestion::Routes => print(flags.asked.output, &sessions, routes),
        BgpQuestion::Session => {
            let of_peer: Vec<Value> = sessions
                .into_iter()
                .filter(|session| session["peer"] == *peer || session["address"] == *peer)
                .collect();
            if of_peer.is_empty() {
                eprintln!("no node has a peer {peer:?}: `outrigger bgp peers` lists them");
                return Ok(ExitCode::FAILURE);
            }
            print(flags.asked.output, &of_peer, session);
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns every BGP and BFD session of every node as one flat list.
fn sessions(details: &BTreeMap<String, Value>) -> Vec<Value> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut sessions = Vec::new();
    for (node, details) in details {
        for announcer in list(&details["announcers"]) {
            for mut peer in list(&announcer["peers"]) {
                if !matches!(peer["protocol"].as_str(), Some("bgp" | "bfd")) {
                    continue;
                }
                peer["node"] = json!(node);
                peer["announcer"] = announcer["name"].clone();
                sessions.push(peer);
            }
        }
    }
    sessions
}

fn print(output: Output, sessions: &[Value], in_words: impl FnOnce(&[Value])) {
    match output {
        Output::Json => println!("{}", json!(sessions)),
        Output::Table => in_words(sessions),
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn peers(sessions: &[Value]) {
    let row = |session: &Value| {
        let counter = |name: &str| text(&session["counters"][name]);
        vec![
            text(&session["node"]),
            text(&session["peer"]),
            text(&session["address"]),
            text(&session["protocol"]),
            text(&session["state"]),
            text(&session["since"]),
            counter("announced-prefixes-total"),
            counter("total-received"),
            counter("total-sent"),
            text(&session["lastError"]),
        ]
    };
    let rows: Vec<_> = sessions.iter().map(row).collect();
    let heads = [
        "NODE",
        "PEER",
        "ADDRESS",
        "PROTOCOL",
        "STATE",
        "SINCE",
        "PREFIXES",
        "RECEIVED",
        "SENT",
        "LAST ERROR",
    ];
    table::print(&heads, &rows);
}

fn routes(sessions: &[Value]) {
    let mut rows = Vec::new();
    for session in sessions {
        for route in session["routes"].as_array().into_iter().flatten() {
            rows.push(vec![text(&session["node"]), text(&session["peer"]), text(route)]);
        }
    }
    table::print(&["NODE", "PEER", "ROUTE"], &rows);
}

fn session(sessions: &[Value]) {
    for session in sessions {
        println!(
            "{} on {}: {} {} ({})",
            text(&session["peer"]),
            text(&session["node"]),
            text(&session["protocol"]),
            text(&session["state"]),
            text(&session["health"]),
        );
        println!("  since: {}", text(&session["since"]));
        if session["lastError"].as_str().is_some_and(|error| !error.is_empty()) {
            println!("  last error: {}", text(&session["lastError"]));
        }
        for part in ["about", "counters"] {
            for (name, value) in session[part].as_object().into_iter().flatten() {
                println!("  {}: {}", name.replace('-', " "), text(value));
            }
        }
    }
}
