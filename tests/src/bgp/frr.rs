//! FRR: its configuration and its terminal sockets. A request is a line that ends with a zero octet; the answer ends with three
//! of them and the result, as vtysh reads it.
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::programs;
use super::router::{Path, Program, Session};
use super::speaker::{Family, Hops, Neighbor, Speaker, Who};
use crate::namespace::Namespace;

/// Timeout for an answer: longer than any takes, even about 100,000 routes.
const PATIENCE: Duration = Duration::from_secs(20);

/// Starts zebra, bfdd if a neighbour uses BFD, and bgpd.
pub(super) fn start(
    speaker: &Speaker,
    namespace: &Namespace,
    folder: &FilePath,
) -> Result<Vec<Program>> {
    let links = speaker.neighbors.iter().filter_map(|neighbor| match &neighbor.who {
        Who::Link(link) => Some(format!("interface {link}\n ipv6 nd ra-interval 1\nexit\n")),
        _ => None,
    });
    fs::write(folder.join("zebra.conf"), links.collect::<String>())?;
    fs::write(folder.join("bfdd.conf"), bfdd(speaker))?;
    fs::write(folder.join("bgpd.conf"), bgpd(speaker))?;
    let bfd = speaker.neighbors.iter().any(|neighbor| neighbor.bfd.is_some());
    let daemons: &[&str] = if bfd { &["zebra", "bfdd", "bgpd"] } else { &["zebra", "bgpd"] };
    daemons.iter().map(|daemon| start_daemon(daemon, namespace, folder)).collect()
}

fn start_daemon(daemon: &str, namespace: &Namespace, folder: &FilePath) -> Result<Program> {
    let shown = folder.to_string_lossy();
    let (configuration, pid, zebra) =
        (format!("{daemon}.conf"), format!("{daemon}.pid"), format!("{shown}/zserv.api"));
    let control = format!("{shown}/bfdd.sock");
    let mut arguments = vec!["-u", "root", "-g", "root", "-f", &configuration, "-i", &pid];
    arguments.extend(["-z", &zebra, "--vty_socket", &shown, "--log", "stdout"]);
    match daemon {
        // Buffer for many routes at once; all laboratories would share one terminal port.
        "zebra" => arguments.extend(["-s", "67108864", "-P", "0"]),
        "bfdd" => arguments.extend(["--bfdctl", &control, "-P", "0"]),
        _ => arguments.extend(["-P", "0"]),
    }
    let program = Program::start(daemon, namespace, folder, &programs::frr(daemon), &arguments)?;
    program.await_ready(|| ask(folder, daemon, "show version").is_ok())
}

fn bgpd(speaker: &Speaker) -> String {
    let mut text = format!(
        "frr defaults traditional\nrouter bgp {}\n bgp router-id {}\n no bgp ebgp-requires-policy\n \
         no bgp default ipv4-unicast\n no bgp network import-check\n bgp log-neighbor-changes\n",
        speaker.asn, speaker.router_id
    );
    if let Some(seconds) = speaker.neighbors.iter().find_map(|neighbor| neighbor.restart) {
        text += &format!(
            " bgp graceful-restart\n bgp graceful-restart restart-time {seconds}\n \
             bgp graceful-restart stalepath-time {seconds}\n"
        );
    }
    for (number, neighbor) in speaker.neighbors.iter().enumerate() {
        text += &neighbor_lines(&name(number, neighbor), neighbor);
    }
    for (family, word) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
        text +=
            &format!(" address-family {word} unicast\n  maximum-paths 8\n  maximum-paths ibgp 8\n");
        for network in speaker.networks.iter().filter(|it| Family::of(it) == family) {
            text += &format!("  network {network}\n");
        }
        for (number, neighbor) in speaker.neighbors.iter().enumerate() {
            if neighbor.families.contains(&family) {
                text += &format!("  neighbor {} activate\n", name(number, neighbor));
            }
        }
        text += " exit-address-family\n";
    }
    text
}

/// Returns the neighbour's name in commands: dynamic neighbours share a group.
fn name(number: usize, neighbor: &Neighbor) -> String {
    match &neighbor.who {
        Who::Address(address) => address.to_string(),
        Who::Link(link) => link.clone(),
        Who::Range(_) => format!("group{number}"),
    }
}

fn neighbor_lines(name: &str, neighbor: &Neighbor) -> String {
    let asn = neighbor.asn;
    let mut lines = match &neighbor.who {
        Who::Address(_) => format!(" neighbor {name} remote-as {asn}\n"),
        Who::Link(_) => format!(" neighbor {name} interface v6only remote-as {asn}\n"),
        Who::Range(prefix) => format!(
            " neighbor {name} peer-group\n neighbor {name} remote-as {asn}\n bgp listen range {prefix} peer-group \
             {name}\n"
        ),
    };
    let mut add = |line: String| lines += &format!(" neighbor {name} {line}\n");
    // FRR accepts any keepalive time with any hold time; RFC 4271 asks for a third.
    add(format!("timers {} {}", neighbor.hold / 3, neighbor.hold));
    if !matches!(neighbor.who, Who::Range(_)) {
        add("timers connect 1".to_owned());
    }
    if let Some(local) = neighbor.local {
        add(format!("update-source {local}"));
    }
    if let Some(password) = &neighbor.password {
        add(format!("password {password}"));
    }
    match neighbor.hops {
        Hops::One => {}
        Hops::Many(hops) => add(format!("ebgp-multihop {hops}")),
        Hops::Secured => add("ttl-security hops 1".to_owned()),
    }
    if neighbor.passive {
        add("passive".to_owned());
    }
    if let Some(bfd) = neighbor.bfd {
        // The profile, not `bfd 3 50 50`, which FRR deprecates.
        add("bfd".to_owned());
        add(format!("bfd profile every{}x{}", bfd.interval_ms, bfd.multiplier));
    }
    if neighbor.extended_next_hop {
        add("capability extended-nexthop".to_owned());
    }
    if !neighbor.as4 {
        // FRR has no switch for this capability alone.
        add("dont-capability-negotiate".to_owned());
    }
    lines
}

fn bfdd(speaker: &Speaker) -> String {
    let mut profiles: Vec<_> = speaker.neighbors.iter().filter_map(|it| it.bfd).collect();
    profiles.dedup();
    let profile = |it: &super::Bfd| {
        format!(
            " profile every{0}x{1}\n  detect-multiplier {1}\n  receive-interval {0}\n  transmit-interval {0}\n exit\n",
            it.interval_ms, it.multiplier
        )
    };
    format!("bfd\n{}exit\n", profiles.iter().map(profile).collect::<String>())
}

/// Sends a line to a daemon's terminal, with every privilege, and returns the answer. Several lines are sent one after the
/// other in one session, and the last answer is returned: `configure terminal`, and the commands that follow.
pub(super) fn ask(folder: &FilePath, daemon: &str, lines: &str) -> Result<String> {
    let socket = folder.join(format!("{daemon}.vty"));
    let mut stream = UnixStream::connect(&socket)
        .with_context(|| format!("no process answers at {}", socket.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut last = String::new();
    for line in ["enable"].into_iter().chain(lines.lines()) {
        stream.write_all(format!("{line}\0").as_bytes())?;
        let mut answer = Vec::new();
        let mut part = vec![0; 1 << 16];
        while !answer.ends_with_result() {
            let count = stream.read(&mut part).with_context(|| format!("no answer to {line}"))?;
            ensure!(count > 0, "{daemon} closed the connection after {line}");
            answer.extend_from_slice(&part[..count]);
        }
        let result = answer.split_off(answer.len() - 4)[3];
        last = String::from_utf8(answer).context("the answer of FRR is not UTF-8")?;
        // CMD_SUCCESS, or CMD_WARNING with its text.
        ensure!(result < 2, "{daemon} refuses {line} ({result}): {last}");
    }
    Ok(last)
}

trait Ending {
    fn ends_with_result(&self) -> bool;
}

impl Ending for Vec<u8> {
    fn ends_with_result(&self) -> bool {
        self.len() >= 4 && self[self.len() - 4..self.len() - 1] == [0, 0, 0]
    }
}

fn ask_json(folder: &FilePath, daemon: &str, line: &str) -> Result<Value> {
    let text = ask(folder, daemon, line)?;
    serde_json::from_str(&text).with_context(|| format!("the output of {line} is not JSON: {text}"))
}

pub(super) fn session(folder: &FilePath, neighbor: &str) -> Result<Session> {
    let all = ask_json(folder, "bgpd", &format!("show bgp neighbors {neighbor} json"))?;
    let raw = all[neighbor].clone();
    let established = raw["bgpState"] == "Established";
    Ok(Session {
        established,
        // Not the time of establishment: FRR recomputes it from a rounded age each time.
        generation: raw["connectionsEstablished"].to_string(),
        updates: raw["messageStats"]["updatesRecv"].as_u64(),
        raw,
    })
}

pub(super) fn paths(folder: &FilePath, prefix: &str) -> Result<Vec<Path>> {
    let word = if Family::of(prefix) == Family::V4 { "ipv4" } else { "ipv6" };
    let found = ask_json(folder, "bgpd", &format!("show bgp {word} unicast {prefix} json"))?;
    let exact = found["prefix"] == prefix;
    let paths = found["paths"].as_array().filter(|_| exact).into_iter().flatten();
    // Routes that FRR originates itself have no peer of this kind.
    let learned = paths.filter(|path| path["peer"]["type"] != Value::Null);
    Ok(learned
        .filter(|path| {
            !matches!(path["peer"]["peerId"].as_str(), Some("::" | "0.0.0.0"))
                && path["sourced"] != true
        })
        .map(path)
        .collect())
}

fn path(from: &Value) -> Path {
    let hops = from["nexthops"].as_array().into_iter().flatten();
    let segments = from["aspath"]["segments"].as_array().into_iter().flatten();
    let numbers = segments.flat_map(|segment| segment["list"].as_array().into_iter().flatten());
    let words = |field: &str| {
        let text = from[field]["string"].as_str().unwrap_or_default();
        text.split_whitespace().map(str::to_owned).collect()
    };
    let number = |field: &str| from[field].as_u64().and_then(|number| u32::try_from(number).ok());
    Path {
        next_hops: hops.filter_map(|hop| Some(hop["ip"].as_str()?.to_owned())).collect(),
        as_path: numbers.filter_map(|asn| u32::try_from(asn.as_u64()?).ok()).collect(),
        communities: words("community"),
        large_communities: words("largeCommunity"),
        med: number("metric").or_else(|| number("med")),
        local_pref: number("locPrf").or_else(|| number("localpref")),
    }
}

pub(super) fn count(folder: &FilePath, family: Family) -> Result<usize> {
    let word = if family == Family::V4 { "ipv4" } else { "ipv6" };
    let summary = ask_json(folder, "bgpd", &format!("show bgp {word} unicast summary json"))?;
    let peers = summary["peers"].as_object().into_iter().flatten();
    let total: u64 = peers.filter_map(|(_, peer)| peer["pfxRcd"].as_u64()).sum();
    Ok(usize::try_from(total)?)
}

pub(super) fn bfd_up(folder: &FilePath, neighbor: &str) -> Result<bool> {
    let peers = ask_json(folder, "bfdd", "show bfd peers json")?;
    let mut peers = peers.as_array().into_iter().flatten();
    Ok(peers.any(|peer| peer["peer"] == neighbor && peer["status"] == "up"))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn a_neighbour_says_only_what_it_was_told() {
        let mut neighbor = Neighbor::at(Ipv4Addr::new(10, 77, 0, 1), 64513);
        neighbor.hops = Hops::Secured;
        neighbor.password = Some("secret".to_owned());
        let text = bgpd(&Speaker::new(64512, Ipv4Addr::new(10, 77, 0, 2)).with(neighbor));
        assert!(text.contains(" neighbor 10.77.0.1 ttl-security hops 1\n"), "{text}");
        assert!(text.contains(" neighbor 10.77.0.1 password secret\n"), "{text}");
        assert!(!text.contains("passive") && !text.contains("multihop"), "{text}");
    }
}
