//! BIRD 2: its configuration and its control socket. Every line of an answer begins with a number and a dash, or with a space;
//! the last begins with a number and a space.
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path as FilePath;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::router::{Path, Program, Session};
use super::speaker::{Family, Hops, Neighbor, Speaker, Who};
use crate::namespace::Namespace;

const PATIENCE: Duration = Duration::from_secs(20);

pub(super) fn start(
    speaker: &Speaker,
    namespace: &Namespace,
    folder: &FilePath,
) -> Result<Vec<Program>> {
    fs::write(folder.join("bird.conf"), configuration(speaker))?;
    let arguments = ["-f", "-c", "bird.conf", "-s", "bird.ctl", "-P", "bird.pid"];
    let program = Program::start("bird", namespace, folder, FilePath::new("bird"), &arguments)?;
    Ok(vec![program.await_ready(|| ask(folder, "show status").is_ok())?])
}

fn configuration(speaker: &Speaker) -> String {
    let mut text = format!(
        "log stderr all;\nrouter id {};\ntimeformat protocol iso long ms;\nprotocol device {{}}\n\
         protocol direct {{ ipv4; ipv6; }}\n\
         protocol kernel {{ learn; merge paths on; ipv4 {{ import all; export where source = RTS_BGP; }}; }}\n\
         protocol kernel {{ learn; merge paths on; ipv6 {{ import all; export where source = RTS_BGP; }}; }}\n",
        speaker.router_id
    );
    for (family, word) in [(Family::V4, "ipv4"), (Family::V6, "ipv6")] {
        let networks = speaker.networks.iter().filter(|it| Family::of(it) == family);
        let routes = networks.map(|network| format!(" route {network} blackhole;"));
        // Preferred to the interface's own route (240): a service address is on an interface, and this route is the exported
        // one.
        text += &format!(
            "protocol static {{ {word} {{ preference 250; }};{} }}\n",
            routes.collect::<String>()
        );
    }
    if let Some(bfd) = speaker.neighbors.iter().find_map(|neighbor| neighbor.bfd) {
        let timers = format!(
            "min rx interval {0} ms; min tx interval {0} ms; multiplier {1};",
            bfd.interval_ms, bfd.multiplier
        );
        text += &format!(
            "protocol bfd {{ interface \"*\" {{ {timers} }}; multihop {{ {timers} }}; }}\n"
        );
    }
    for (number, neighbor) in speaker.neighbors.iter().enumerate() {
        text += &protocol(number, neighbor, speaker.asn);
    }
    text
}

fn protocol(number: usize, neighbor: &Neighbor, asn: u32) -> String {
    let local = neighbor.local.map(|local| format!("{local} ")).unwrap_or_default();
    let whom = match &neighbor.who {
        // BIRD compares with the AS of a four-octet capability even where it offers none itself.
        Who::Address(address) if !neighbor.as4 => format!("neighbor {address} external"),
        Who::Address(address) => format!("neighbor {address} as {}", neighbor.asn),
        Who::Range(prefix) => format!("neighbor range {prefix} as {}", neighbor.asn),
        Who::Link(link) => {
            format!("interface \"{link}\"; neighbor range fe80::/10 as {}", neighbor.asn)
        }
    };
    // `session` counts these log lines.
    let mut lines = vec![format!("local {local}as {asn}"), whom, "debug { states }".to_owned()];
    let mut add = |line: String| lines.push(line);
    add(match neighbor.hops {
        Hops::One => "direct".to_owned(),
        Hops::Many(hops) => format!("multihop {hops}"),
        Hops::Secured => "direct; ttl security on".to_owned(),
    });
    add(format!("hold time {}; keepalive time {}", neighbor.hold, neighbor.hold / 3));
    // BIRD's own delays are meant for the Internet: 5 s before the first attempt, 60 s and more after an error.
    add("connect delay time 1; connect retry time 1; error wait time 1,2".to_owned());
    if let Some(password) = &neighbor.password {
        add(format!("password \"{password}\""));
    }
    if neighbor.passive {
        add("passive on".to_owned());
    }
    if neighbor.bfd.is_some() {
        add("bfd on".to_owned());
    }
    if let Some(seconds) = neighbor.restart {
        add(format!("graceful restart on; graceful restart time {seconds}"));
    }
    if !neighbor.as4 {
        add("enable as4 off".to_owned());
    }
    for family in &neighbor.families {
        let next_hop = if neighbor.extended_next_hop && *family == Family::V4 {
            " extended next hop on;"
        } else {
            ""
        };
        let word = if *family == Family::V4 { "ipv4" } else { "ipv6" };
        add(format!("{word} {{ import all; export where source = RTS_STATIC;{next_hop} }}"));
    }
    let body: String = lines.iter().map(|line| format!("  {line};\n")).collect();
    format!("protocol bgp n{number} {{\n{body}}}\n")
}

/// Sends a line and returns the answer without its numbers.
pub(super) fn ask(folder: &FilePath, line: &str) -> Result<String> {
    let socket = folder.join("bird.ctl");
    let mut stream = UnixStream::connect(&socket)
        .with_context(|| format!("no process answers at {}", socket.display()))?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    lines.next().context("BIRD sends no greeting")??;
    stream.write_all(format!("{line}\n").as_bytes())?;
    let mut answer = String::new();
    loop {
        let said =
            lines.next().with_context(|| format!("BIRD closed the connection after {line}"))??;
        let (code, text) = said.split_at_checked(5).unwrap_or((&said, ""));
        let last = code.ends_with(' ') && code.starts_with(|first: char| first.is_ascii_digit());
        let numbered = last || code.ends_with('-');
        answer += if numbered { text } else { said.strip_prefix(' ').unwrap_or(&said) };
        answer.push('\n');
        if last {
            // 8xxx: the command failed. 9xxx: the command was not understood. 8001 means that nothing was found.
            ensure!(
                !code.starts_with('9') && (!code.starts_with('8') || code == "8001 "),
                "BIRD refuses {line}: {answer}"
            );
            return Ok(answer);
        }
    }
}

/// Returns the state of the protocol that speaks with a neighbour.
pub(super) fn session(folder: &FilePath, neighbor: &str) -> Result<Session> {
    let all = ask(folder, "show protocols all")?;
    let mut found = None;
    for block in blocks(&all) {
        let address = field(&block, "Neighbor address:");
        let address = address.map(|it| it.split('%').next().unwrap_or_default().to_owned());
        if address.as_deref() == Some(neighbor) {
            found = Some(block);
        }
    }
    let block = found.unwrap_or_default();
    let established = block.contains("Established");
    // Not the time of the last change: BIRD recomputes it on each query, a millisecond more or less.
    let name = block.split_whitespace().next().unwrap_or_default();
    let log = fs::read_to_string(folder.join("bird.log")).unwrap_or_default();
    let up = format!("{name}: State changed to up");
    let ups = log.lines().filter(|line| line.ends_with(&up)).count();
    let updates = block
        .lines()
        .find_map(|line| line.trim().strip_prefix("Import updates:"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Ok(Session { established, generation: ups.to_string(), updates, raw: json!({ "text": block }) })
}

/// Returns the name of the protocol for the n-th neighbour.
pub fn protocol_name(number: usize) -> String {
    format!("n{number}")
}

/// Splits the text into paragraphs: a line that is not indented, and the indented lines that follow it.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks: Vec<String> = Vec::new();
    for line in text.lines() {
        match blocks.last_mut() {
            Some(block) if line.starts_with([' ', '\t']) => *block += &format!("\n{line}"),
            _ => blocks.push(line.to_owned()),
        }
    }
    blocks
}

fn field(block: &str, name: &str) -> Option<String> {
    block.lines().find_map(|line| line.trim().strip_prefix(name)).map(|rest| rest.trim().to_owned())
}

pub(super) fn paths(folder: &FilePath, prefix: &str) -> Result<Vec<Path>> {
    let all = ask(folder, &format!("show route for {prefix} all where source = RTS_BGP"))?;
    let exact = all.lines().any(|line| line.starts_with(prefix));
    if !exact {
        return Ok(Vec::new());
    }
    // Each route begins with its source and preference: "unicast [n0 2026-…] * (100) [AS64513i]".
    let mut paths: Vec<Path> = Vec::new();
    for line in all.lines() {
        if line.contains("unicast [") || line.contains("unreachable [") {
            paths.push(Path::default());
        }
        let Some(path) = paths.last_mut() else { continue };
        if let Some((name, value)) = line.trim().split_once(": ") {
            note(path, name, value);
        }
    }
    Ok(paths)
}

fn note(path: &mut Path, name: &str, value: &str) {
    let tuples = || {
        let inner = value.split(['(', ')']).map(str::trim).filter(|it| !it.is_empty());
        inner.map(|it| it.replace(", ", ":").replace(',', ":")).collect()
    };
    match name {
        "BGP.next_hop" => path.next_hops = value.split_whitespace().map(str::to_owned).collect(),
        "BGP.as_path" => {
            path.as_path = value.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        }
        "BGP.community" => path.communities = tuples(),
        "BGP.large_community" => path.large_communities = tuples(),
        "BGP.med" => path.med = value.parse().ok(),
        "BGP.local_pref" => path.local_pref = value.parse().ok(),
        _ => {}
    }
}

pub(super) fn count(folder: &FilePath, family: Family) -> Result<usize> {
    let table = if family == Family::V4 { "master4" } else { "master6" };
    let line = format!("show route table {table} where source = RTS_BGP count");
    let answer = ask(folder, &line)?;
    let number = answer.split_whitespace().next().context("BIRD prints no number of routes")?;
    number.parse().with_context(|| format!("unexpected number of routes from BIRD: {answer}"))
}

pub(super) fn bfd_up(folder: &FilePath, neighbor: &str) -> Result<bool> {
    let sessions = ask(folder, "show bfd sessions")?;
    Ok(sessions.lines().any(|line| {
        let mut words = line.split_whitespace();
        words.next() == Some(neighbor) && words.nth(1) == Some("Up")
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_read_as_bird_prints_them() {
        let mut path = Path::default();
        note(&mut path, "BGP.as_path", "64513 64514");
        note(&mut path, "BGP.community", "(65535,666) (64513,1)");
        note(&mut path, "BGP.large_community", "(64513, 1, 2)");
        assert_eq!(path.as_path, [64513, 64514]);
        assert_eq!(path.communities, ["65535:666", "64513:1"]);
        assert_eq!(path.large_communities, ["64513:1:2"]);
    }
}
