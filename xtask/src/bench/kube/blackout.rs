//! Measures how long a client outside the cluster gets no answer when the node that announces an address falls silent: its
//! carrier stays up and its frames vanish, as behind a dead switch.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use outrigger_tests::kubernetes::prober::Prober;
use outrigger_tests::kubernetes::{Lab, web};
use outrigger_tests::namespace::Namespace;
use outrigger_tests::{clock, http, wait};
use serde_json::{Value, json};

use super::figure::Figure;

/// Number of nodes that fall silent, one after the other.
const ROUNDS: usize = 3;
/// Longest time to wait for an answer.
const LIMIT: Duration = Duration::from_secs(60);
/// Number of connections before the silence that are evaluated with it.
const BEFORE: usize = 20;
/// Time for a returned node to find the others before the next falls silent.
const REUNION: Duration = Duration::from_secs(15);

/// Runs all rounds. Each round silences the node that currently announces one of these addresses and has no pod behind it.
pub fn measure(lab: &Lab, addresses: &[IpAddr]) -> Result<Figure> {
    let gaps = (0..ROUNDS).map(|_| round(lab, addresses)).collect::<Result<Vec<_>>>()?;
    let milliseconds = |gap: &Option<Duration>| gap.map(|gap| clock::ms(gap).round());
    let shown = |gap: &Option<Duration>| match milliseconds(gap) {
        Some(gap) => format!("{gap} ms"),
        None => format!("no answer within {LIMIT:?}"),
    };
    Ok(Figure {
        name: "blackout when the announcing node falls silent".to_owned(),
        text: gaps.iter().map(shown).collect::<Vec<_>>().join(", "),
        values: json!({ "ms": gaps.iter().map(milliseconds).collect::<Vec<_>>() }),
    })
}

/// Returns the longest time without an answer; `None` if the answers never resumed.
fn round(lab: &Lab, addresses: &[IpAddr]) -> Result<Option<Duration>> {
    let client = lab.namespace("client")?;
    let (target, holder) = announced(lab, &client, addresses, true)?;
    let prober = Prober::start(&client, target);
    prober.settled(LIMIT)?;
    // Includes some answers before the silence: a gap lies between two answers.
    let skip = prober.so_far().requests().saturating_sub(BEFORE);
    lab.hole(&holder)?;
    let back = prober.settled(LIMIT);
    lab.mend(&holder)?;
    let gap = back.is_ok().then(|| prober.so_far().from(skip).longest_gap());
    prober.settled(LIMIT)?;
    drop(prober);
    lab.await_nodes()?;
    std::thread::sleep(REUNION);
    Ok(gap)
}

/// Returns one of these addresses, as a web server, and the node that announces it: a node without a pod of its own, if the
/// node itself is to be lost.
pub fn announced(
    lab: &Lab,
    client: &Namespace,
    addresses: &[IpAddr],
    without_pods: bool,
) -> Result<(SocketAddr, String)> {
    wait::until("an address is announced, by a node without pods", LIMIT, || {
        for address in addresses {
            let target = SocketAddr::from((*address, web::PORT));
            // The address may not be announced yet.
            let Ok(pod) = client.inside(|| http::get(target, Duration::from_secs(1))) else {
                continue;
            };
            let Some(holder) = holder(lab, client, *address)? else { continue };
            if holder != pod || !without_pods {
                return Ok(Some((target, holder)));
            }
        }
        Ok(None)
    })
}

/// Returns the node to which the client's kernel sends frames for an address.
fn holder(lab: &Lab, client: &Namespace, address: IpAddr) -> Result<Option<String>> {
    let neighbours = ip(client, &["neighbour", "show", &address.to_string(), "dev", "eth1"])?;
    let Some(mac) = neighbours[0]["lladdr"].as_str() else { return Ok(None) };
    for node in lab.nodes() {
        if ip(node.namespace(), &["link", "show", "eth1"])?[0]["address"] == mac {
            return Ok(Some(node.name()));
        }
    }
    Ok(None)
}

fn ip(namespace: &Namespace, arguments: &[&str]) -> Result<Value> {
    let output = namespace.command("ip").arg("-json").args(arguments).output()?;
    serde_json::from_slice(&output.stdout)
        .with_context(|| format!("the output of ip {arguments:?} is not JSON"))
}
