//! GoBGP 4: its configuration, and its own client for queries.
use std::fs;
use std::path::Path as FilePath;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::programs;
use super::router::{Path, Program, Session};
use super::speaker::{Family, Hops, Neighbor, Speaker, Who};
use crate::namespace::Namespace;

pub(super) fn start(
    speaker: &Speaker,
    namespace: &Namespace,
    folder: &FilePath,
) -> Result<Vec<Program>> {
    let text = configuration(speaker).to_string();
    fs::write(folder.join("gobgpd.json"), text)?;
    let arguments =
        ["-f", "gobgpd.json", "-t", "json", "--api-hosts", "127.0.0.1:50051", "--pprof-disable"];
    let path = programs::gobgp("gobgpd")?;
    let program = Program::start("gobgpd", namespace, folder, &path, &arguments)?;
    let program = program.await_ready(|| {
        ask(namespace, folder, "global")
            .is_ok_and(|answer| answer.contains(&speaker.asn.to_string()))
    })?;
    for network in &speaker.networks {
        let family = if Family::of(network) == Family::V4 { "ipv4" } else { "ipv6" };
        ask(namespace, folder, &format!("global rib add {network} -a {family}"))?;
    }
    Ok(vec![program])
}

fn configuration(speaker: &Speaker) -> Value {
    let listed = |wanted: bool| {
        let neighbors = speaker.neighbors.iter().enumerate();
        neighbors.filter(move |(_, it)| matches!(it.who, Who::Range(_)) == wanted)
    };
    let groups: Vec<_> = listed(true)
        .map(|(number, it)| {
            neighbor(it, json!({ "peer-group-name": group(number), "peer-as": it.asn }))
        })
        .collect();
    let dynamic: Vec<_> = listed(true)
        .filter_map(|(number, it)| match &it.who {
            Who::Range(prefix) => {
                Some(json!({ "config": { "prefix": prefix, "peer-group": group(number) } }))
            }
            _ => None,
        })
        .collect();
    let neighbors: Vec<_> = listed(false)
        .map(|(_, it)| {
            let known_by = match &it.who {
                Who::Link(link) => json!({ "neighbor-interface": link, "peer-as": it.asn }),
                Who::Address(address) => json!({ "neighbor-address": address, "peer-as": it.asn }),
                Who::Range(_) => Value::Null,
            };
            neighbor(it, known_by)
        })
        .collect();
    json!({
        "global": { "config": { "as": speaker.asn, "router-id": speaker.router_id } },
        "neighbors": neighbors,
        "peer-groups": groups,
        "dynamic-neighbors": dynamic,
    })
}

fn group(number: usize) -> String {
    format!("group{number}")
}

fn neighbor(neighbor: &Neighbor, mut config: Value) -> Value {
    if let Some(password) = &neighbor.password {
        config["auth-password"] = json!(password);
    }
    let restart = neighbor.restart.is_some();
    let families = neighbor.families.iter().map(|family| {
        let name = if *family == Family::V4 { "ipv4-unicast" } else { "ipv6-unicast" };
        json!({
            "config": { "afi-safi-name": name },
            "mp-graceful-restart": { "config": { "enabled": restart } },
        })
    });
    let mut value = json!({
        "config": config,
        "timers": { "config": {
            "connect-retry": 1,
            "hold-time": neighbor.hold,
            "keepalive-interval": neighbor.hold / 3,
            "idle-hold-time-after-reset": 1,
        } },
        "transport": { "config": { "passive-mode": neighbor.passive } },
        "afi-safis": families.collect::<Vec<_>>(),
    });
    if let Some(local) = neighbor.local {
        value["transport"]["config"]["local-address"] = json!(local);
    }
    match neighbor.hops {
        Hops::One => {}
        Hops::Many(hops) => {
            value["ebgp-multihop"] = json!({ "config": { "enabled": true, "multihop-ttl": hops } });
        }
        Hops::Secured => {
            value["ttl-security"] = json!({ "config": { "enabled": true, "ttl-min": 255 } });
        }
    }
    if let Some(bfd) = neighbor.bfd {
        value["bfd"] = json!({ "config": {
            "enabled": true,
            "desired-minimum-tx-interval": bfd.interval_ms * 1000,
            "required-minimum-receive": bfd.interval_ms * 1000,
            "detection-multiplier": bfd.multiplier,
        } });
    }
    if let Some(seconds) = neighbor.restart {
        value["graceful-restart"] =
            json!({ "config": { "enabled": true, "restart-time": seconds, "helper-only": true } });
    }
    value
}

/// Runs `gobgp` with these arguments.
pub(super) fn ask(namespace: &Namespace, folder: &FilePath, line: &str) -> Result<String> {
    let output = namespace
        .command(programs::gobgp("gobgp")?)
        .args(line.split_whitespace())
        .current_dir(folder)
        .output()
        .context("cannot run gobgp")?;
    let (said, error) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "gobgp {line} failed: {said}{error}");
    Ok(said.into_owned())
}

fn ask_json(namespace: &Namespace, folder: &FilePath, line: &str) -> Result<Value> {
    let text = ask(namespace, folder, &format!("{line} -j"))?;
    serde_json::from_str(&text)
        .with_context(|| format!("the output of gobgp {line} is not JSON: {text}"))
}

/// `SESSION_STATE_ESTABLISHED` of its API.
const ESTABLISHED: u64 = 6;
/// `BFD_SESSION_STATE_UP` of its API.
const BFD_UP: u64 = 1;

fn peer(namespace: &Namespace, folder: &FilePath, neighbor: &str) -> Result<Value> {
    let peers = ask_json(namespace, folder, "neighbor")?;
    let mut peers = peers.as_array().into_iter().flatten();
    let named = |peer: &&Value| {
        [&peer["state"]["neighbor_address"], &peer["conf"]["neighbor_interface"]]
            .iter()
            .any(|name| name.as_str() == Some(neighbor))
    };
    Ok(peers.find(named).cloned().unwrap_or_default())
}

pub(super) fn session(namespace: &Namespace, folder: &FilePath, neighbor: &str) -> Result<Session> {
    let raw = peer(namespace, folder, neighbor)?;
    Ok(Session {
        established: raw["state"]["session_state"].as_u64() == Some(ESTABLISHED),
        generation: format!(
            "{} since {}",
            raw["state"]["flops"], raw["timers"]["state"]["uptime"]["seconds"]
        ),
        updates: raw["state"]["messages"]["received"]["update"].as_u64(),
        raw,
    })
}

pub(super) fn paths(namespace: &Namespace, folder: &FilePath, prefix: &str) -> Result<Vec<Path>> {
    let family = if Family::of(prefix) == Family::V4 { "ipv4" } else { "ipv6" };
    let all = ask_json(namespace, folder, &format!("global rib -a {family}"))?;
    let learned = all[prefix].as_array().into_iter().flatten();
    Ok(learned
        .filter(|it| it["peer-address"].as_str().is_some_and(learned_from))
        .map(path)
        .collect())
}

fn learned_from(peer: &str) -> bool {
    !matches!(peer, "" | "invalid IP" | "0.0.0.0" | "::")
}

fn path(from: &Value) -> Path {
    let mut path = Path::default();
    let number = |value: &Value| value.as_u64().and_then(|it| u32::try_from(it).ok());
    for attribute in from["attrs"].as_array().into_iter().flatten() {
        let value = &attribute["value"];
        // Types of RFC 4271 section 5, RFC 1997, RFC 4760 and RFC 8092.
        match attribute["type"].as_u64() {
            Some(2) => {
                let segments = attribute["as_paths"].as_array().into_iter().flatten();
                let numbers = segments.flat_map(|it| it["asns"].as_array().into_iter().flatten());
                path.as_path = numbers.filter_map(number).collect();
            }
            Some(3 | 14) => {
                path.next_hops =
                    attribute["nexthop"].as_str().map(str::to_owned).into_iter().collect();
            }
            Some(4) => path.med = number(&attribute["metric"]).or_else(|| number(value)),
            Some(5) => path.local_pref = number(value),
            Some(8) => {
                let communities = attribute["communities"].as_array().into_iter().flatten();
                let shown = |it: u32| format!("{}:{}", it >> 16, it & 0xffff);
                path.communities = communities.filter_map(number).map(shown).collect();
            }
            Some(32) => {
                let communities = value.as_array().into_iter().flatten();
                let shown =
                    |it: &Value| format!("{}:{}:{}", it["ASN"], it["LocalData1"], it["LocalData2"]);
                path.large_communities = communities.map(shown).collect();
            }
            _ => {}
        }
    }
    path
}

pub(super) fn count(namespace: &Namespace, folder: &FilePath, family: Family) -> Result<usize> {
    let word = if family == Family::V4 { "ipv4" } else { "ipv6" };
    let summary = ask(namespace, folder, &format!("global rib summary -a {word}"))?;
    // "Destination: 1, Path: 1"
    let number = summary.split("Path:").nth(1).context("GoBGP prints no number of routes")?;
    number
        .trim()
        .parse()
        .with_context(|| format!("unexpected number of routes from GoBGP: {summary}"))
}

pub(super) fn bfd_up(namespace: &Namespace, folder: &FilePath, neighbor: &str) -> Result<bool> {
    let peer = peer(namespace, folder, neighbor)?;
    Ok(peer["state"]["bfd_state"]["session_state"].as_u64() == Some(BFD_UP))
}
