//! Many routers and many Services at the same time: every session is established, every router gets all routes, and repeated
//! refresh requests do not delay new routes.
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;

use crate::bgp::outrigger::Outrigger;
use crate::bgp::router::LIMIT;
use crate::bgp::sink::Sink;
use crate::bgp::{Family, Neighbor, Net, Speaker};
use crate::clock;

/// Number of rounds in which every router requests all routes.
const REFRESHES: usize = 16;
/// Time between two rounds.
const APART: Duration = Duration::from_millis(200);
/// Address of a Service that is created in between.
const NEW: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// Number of sessions that start at once.
const CROWD: u16 = 256;
/// Number of routers that request all routes, and of dual-stack Services below.
const ROUTERS: u16 = 16;
const SERVICES: usize = 2_000;

/// Checks that hundreds of sessions are established when routers connect, and are connected to, at the same moment.
///
/// # Errors
/// When one does not come up, or a session ends.
pub fn crowd() -> Result<()> {
    let net = net(CROWD)?;
    let sink = Sink::start(&net.at("p"), 64513, 9)?;
    let mut ours = Outrigger::new(&net, "o")?;
    ours.speak(&speaker(CROWD), json!({}))?;
    let begun = ours.start()?;
    let up = sink.await_established(CROWD.into(), LIMIT)?;
    println!("{CROWD} sessions up {:.1?} after the start", up.duration_since(begun));
    std::thread::sleep(Duration::from_secs(10));
    let seen = sink.so_far();
    ensure!(seen.ended == 0, "{} sessions ended: {}", seen.ended, ours.explain());
    ensure!(seen.established.len() == usize::from(CROWD), "some sessions came up twice");
    Ok(())
}

/// Lets every router request all routes sixteen times while a Service is created. Checks that each receives the new route soon,
/// no session ends, and in the end each has received all routes.
///
/// # Errors
/// When a router has not, or a session ends.
pub fn refreshes() -> Result<()> {
    let net = net(ROUTERS)?;
    net.at("o").ip("addr add fd77::1/64 dev eth0 nodad\n")?;
    let sink = Sink::start(&net.at("p"), 64513, 9)?;
    let mut ours = Outrigger::new(&net, "o")?;
    ours.speak(&speaker(ROUTERS), json!({}))?;
    put_services(&ours, SERVICES)?;
    let begun = ours.start()?;
    let routers = usize::from(ROUTERS);
    let table = 2 * SERVICES * routers;
    let told = sink.await_announced(table, LIMIT)?;
    println!("{table} routes announced {:.1?} after the start", told.duration_since(begun));

    sink.watch(NEW);
    let mut asked_for = clock::now();
    for round in 0..REFRESHES {
        sink.refresh();
        std::thread::sleep(APART);
        if round == REFRESHES / 2 {
            asked_for = clock::now();
            ours.put("new.yaml", &service("new", "anycast"))?;
        }
    }
    let new = sink.await_watched(NEW, routers, LIMIT)?;
    println!("a new Service announced to all {:.1?} later", new.duration_since(asked_for));
    // The last request comes after everything that was sent before it.
    let whole = sink.await_announced(2 * table, LIMIT)?;
    println!(
        "all routes announced again {:.1?} after that",
        whole.saturating_duration_since(asked_for)
    );
    let seen = sink.so_far();
    ensure!(seen.ended == 0, "{} sessions ended: {}", seen.ended, ours.explain());
    let denied = ours.announcer()?["denied"].clone();
    ensure!(denied.as_object().is_none_or(serde_json::Map::is_empty), "refused: {denied}");
    Ok(())
}

fn address(number: u16) -> Ipv4Addr {
    let [high, low] = number.to_be_bytes();
    Ipv4Addr::new(10, 77, 1 + high, low)
}

/// Builds one wire, with an address for each router at the other end.
fn net(routers: u16) -> Result<Net> {
    let net = Net::new(&["o", "p"])?;
    net.wire(("o", "eth0"), ("p", "eth0"))?;
    net.at("o").ip("addr add 10.77.0.1/16 dev eth0\n")?;
    let batch = (0..routers).map(|it| format!("addr add {}/16 dev eth0\n", address(it)));
    net.at("p").ip(&batch.collect::<String>())?;
    Ok(net)
}

fn speaker(routers: u16) -> Speaker {
    (0..routers).fold(Speaker::new(64512, Ipv4Addr::new(10, 77, 0, 1)), |speaker, number| {
        let mut neighbor = Neighbor::at(address(number), 64513);
        neighbor.local = Some(Ipv4Addr::new(10, 77, 0, 1).into());
        neighbor.families = vec![Family::V4, Family::V6];
        neighbor.hold = 9;
        speaker.with(neighbor)
    })
}

fn put_services(ours: &Outrigger, count: usize) -> Result<()> {
    let pool = json!({
        "apiVersion": "outrigger.dev/v1alpha1",
        "kind": "AddressPool",
        "metadata": { "name": "many" },
        "spec": {
            "addresses": ["100.64.0.0/16", "2001:db8:2::/112"], "priority": 1, "announcers": ["bgp"],
        },
    });
    ours.put("many.yaml", &pool.to_string())?;
    let services = (0..count).map(|number| service(&format!("s{number}"), "many"));
    ours.put("services.yaml", &services.collect::<String>())
}

fn service(name: &str, pool: &str) -> String {
    format!(
        "---\napiVersion: v1\nkind: Service\nmetadata: {{namespace: many, name: {name}, annotations: {{outrigger.dev/pool: {pool}}}}}\n\
         spec: {{type: LoadBalancer, ipFamilyPolicy: RequireDualStack, ipFamilies: [IPv4, IPv6], ports: [{{port: 80}}]}}\n"
    )
}
