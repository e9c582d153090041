//! Wrongly configured or misbehaving peers: the report describes them in the terms of network engineers, with the received and
//! the expected values.
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::bgp::outrigger::{Outrigger, peer_name};
use crate::bgp::raw::{self, Listener, Peer};
use crate::bgp::router::{Kind, LIMIT, Router};
use crate::bgp::{Neighbor, Net, Speaker};
use crate::wait;

const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const THEM: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const THEIR_ASN: u16 = 64513;

/// Daemon that connects to the other end, which is the test itself.
struct Alone {
    net: Net,
    ours: Outrigger,
}

impl Alone {
    fn new(change: impl FnOnce(&mut Neighbor)) -> Result<Self> {
        let net = Net::pair()?;
        let mut neighbor = Neighbor::at(THEM, THEIR_ASN.into());
        change(&mut neighbor);
        let ours = Outrigger::started(&net, "o", &Speaker::new(64512, US).with(neighbor))?;
        Ok(Self { net, ours })
    }

    /// Waits for the daemon and answers with this OPEN; returns the connection.
    fn answer(&self, open: &[u8]) -> Result<Peer> {
        let listener = Listener::open(&self.net.at("p"), THEM.into())?;
        let mut peer = listener.accept(LIMIT)?;
        peer.send(open)?;
        Ok(peer)
    }

    fn says(&self, words: &[&str]) -> Result<String> {
        self.ours.await_peer_words(&peer_name(0), words)
    }

    /// Returns code and subcode of the received NOTIFICATION.
    fn notified(peer: &mut Peer) -> Result<(u8, u8)> {
        let body = peer.receive_type(raw::NOTIFICATION, LIMIT)?;
        let body = body.context("the connection was closed without a NOTIFICATION")?;
        ensure!(body.len() >= 2, "a NOTIFICATION of {} octets", body.len());
        Ok((body[0], body[1]))
    }
}

fn open(asn: u16, hold: u16, router_id: Ipv4Addr) -> Vec<u8> {
    let four = u32::from(asn).to_be_bytes();
    raw::open(asn, hold, router_id.octets(), &[(1, &[0, 1, 0, 1]), (2, &[]), (65, &four)])
}

/// Checks the report when the router is in AS 64514, but configured as 64513.
///
/// # Errors
/// When the report does not describe it.
pub fn wrong_as() -> Result<()> {
    let alone = Alone::new(|_| {})?;
    let mut peer = alone.answer(&open(64514, 90, THEM))?;
    // RFC 4271 section 6.2: 2/2, Bad Peer AS.
    let notified = Alone::notified(&mut peer)?;
    ensure!(notified == (2, 2), "NOTIFICATION {notified:?}");
    alone.says(&["bad peer as", "64514", "64513"]).map(drop)
}

/// Checks the report when the router has another key: segments arrive in neither direction.
///
/// # Errors
/// When the report does not name the possible cause.
pub fn wrong_password() -> Result<()> {
    let net = Net::pair()?;
    let (mut to_them, mut to_us) = (Neighbor::at(THEM, 64513), Neighbor::at(US, 64512));
    to_them.password = Some("ours".to_owned());
    to_us.password = Some("theirs".to_owned());
    let router = Speaker::new(64513, THEM).with(to_us);
    let router = Router::start(Kind::Frr, &router, &net.at("p"), net.folder())?;
    let ours = Outrigger::started(&net, "o", &Speaker::new(64512, US).with(to_them))?;
    ours.await_peer_words(&peer_name(0), &["md5"])?;
    ensure!(!router.session(&US.to_string())?.established, "established with the wrong password");
    Ok(())
}

/// Checks the report when the router has the daemon's own BGP identifier.
///
/// # Errors
/// When the report does not describe it.
pub fn duplicate_router_id() -> Result<()> {
    let net = Net::pair()?;
    // Within one AS it is an error (RFC 6286 section 2.1); between two it is allowed.
    let ours =
        Outrigger::started(&net, "o", &Speaker::new(64512, US).with(Neighbor::at(THEM, 64512)))?;
    let listener = Listener::open(&net.at("p"), THEM.into())?;
    let mut peer = listener.accept(LIMIT)?;
    peer.send(&open(64512, 90, US))?;
    let notified = Alone::notified(&mut peer)?;
    ensure!(notified == (2, 3), "NOTIFICATION {notified:?}");
    ours.await_peer_words(&peer_name(0), &["bgp identifier", "10.77.0.1"]).map(drop)
}

/// Checks the report when the router asks for a hold time of one second.
///
/// # Errors
/// When the report does not describe it.
pub fn hold_time_of_one() -> Result<()> {
    let alone = Alone::new(|_| {})?;
    let mut peer = alone.answer(&open(THEIR_ASN, 1, THEM))?;
    let notified = Alone::notified(&mut peer)?;
    ensure!(notified == (2, 6), "NOTIFICATION {notified:?}");
    alone.says(&["unacceptable hold time", "1"]).map(drop)
}

/// Checks that an unknown capability of the router is ignored (RFC 5492 section 3).
///
/// # Errors
/// When the session does not come up.
pub fn unknown_capability() -> Result<()> {
    let alone = Alone::new(|_| {})?;
    let four = u32::from(THEIR_ASN).to_be_bytes();
    let capabilities: [(u8, &[u8]); 3] = [(1, &[0, 1, 0, 1]), (65, &four), (211, b"whatever")];
    let listener = Listener::open(&alone.net.at("p"), THEM.into())?;
    let mut peer = listener.accept(LIMIT)?;
    peer.establish(&raw::open(THEIR_ASN, 90, THEM.octets(), &capabilities), LIMIT)?;
    alone.says(&["established"]).map(drop)
}

/// Checks the reports of two peers in a VRF that the node does not have, one to connect to and one that is to connect.
///
/// # Errors
/// When a report does not name the VRF and the command that creates it.
pub fn vrf_that_is_not_there() -> Result<()> {
    let net = Net::pair()?;
    let mut ours = Outrigger::new(&net, "o")?;
    let peers = [false, true].map(|passive| {
        let name = if passive { "caller" } else { "called" };
        json!({ "name": name, "address": THEM, "asn": THEIR_ASN, "vrf": name, "passive": passive })
    });
    let speaker = Speaker::new(64512, US).with(Neighbor::at(THEM, THEIR_ASN.into()));
    ours.speak(&speaker, json!({ "peers": peers }))?;
    ours.start()?;
    for vrf in ["called", "caller"] {
        let fix = format!("ip link add {vrf} type vrf");
        ours.await_peer_words(vrf, &["no device", vrf, &fix, "modprobe vrf"])?;
    }
    // A router that connects anyway comes from another routing table.
    ensure!(Peer::dial(&net.at("p"), US.into()).is_err(), "a process listens outside the VRF");
    Ok(())
}

/// Checks that the send hold timer ends the session (RFC 9687) when the router stops reading, and that the daemon's memory does
/// not grow.
///
/// # Errors
/// When the session stays.
pub fn stops_reading() -> Result<()> {
    let net = Net::pair()?;
    let mut ours = Outrigger::new(&net, "o")?;
    let speaker = Speaker::new(64512, US).with(Neighbor::at(THEM, THEIR_ASN.into()));
    // Options that the description does not have.
    ours.speak(&speaker, json!({ "peers": [{
        "name": peer_name(0), "address": THEM, "asn": THEIR_ASN, "holdTime": 0, "sendHoldTime": 3, "connectRetryTime": 1,
    }] }))?;
    ours.put_service("web", "")?;
    let listener = Listener::open(&net.at("p"), THEM.into())?;
    listener.narrow()?;
    ours.start()?;
    let mut peer = listener.accept(LIMIT)?;
    peer.establish(&open(THEIR_ASN, 0, THEM), LIMIT)?;
    ours.await_peer_words(&peer_name(0), &["established"])?;
    // Every request makes the daemon send all routes again, and nothing is read. Not too many at once, because it answers
    // simultaneous requests only once.
    let refresh = raw::message(5, &[0, 1, 0, 1]);
    wait::until("the session ends", LIMIT, || {
        for _ in 0..100 {
            let _ = peer.send_within(&refresh, Duration::from_millis(100));
            std::thread::sleep(Duration::from_millis(1));
        }
        let said = ours
            .peer(&peer_name(0), "bgp")
            .map_or_else(|error| error.to_string(), |it| it.to_string());
        // The kernel may detect it before the timer does: TCP_USER_TIMEOUT (RFC 5482) has the same length.
        let words = ["send hold", "no longer acknowledges data"];
        Ok(words.iter().any(|word| said.to_lowercase().contains(word)).then_some(()))
    })
    .with_context(|| ours.explain())?;
    let rss = ours.daemon()?.rss_kib()?;
    ensure!(rss < 200 * 1024, "the daemon uses {rss} KiB");
    Ok(())
}

/// Lets the router flood a hundred thousand routes and then garbage, and checks that none of it is kept and another peer's
/// session continues.
///
/// # Errors
/// When the other session is affected, or the daemon grows.
pub fn floods() -> Result<()> {
    let net = Net::pair()?;
    net.at("p").ip("addr add 10.77.0.3/24 dev eth0\n")?;
    let flooder = Ipv4Addr::new(10, 77, 0, 3);
    let mut good = Neighbor::at(US, 64512);
    (good.hold, good.local) = (3, Some(THEM.into()));
    let router = Speaker::new(64513, THEM).with(good);
    let router = Router::start(Kind::Bird, &router, &net.at("p"), net.folder())?;
    let mut to_good = Neighbor::at(THEM, 64513);
    to_good.hold = 3;
    let mut to_flooder = Neighbor::at(flooder, 64514);
    to_flooder.passive = true;
    let speaker = Speaker::new(64512, US).with(to_good).with(to_flooder);
    let ours = Outrigger::started(&net, "o", &speaker)?;
    let before = router.await_established(&US.to_string()).with_context(|| ours.explain())?;
    let small = ours.daemon()?.rss_kib()?;
    let mut peer = wait::until("a connection", LIMIT, || Ok(dial_from(&net, flooder).ok()))?;
    peer.establish(&open(64514, 90, flooder), LIMIT)?;
    let updates = flood();
    for _ in 0..100 {
        if peer.send_within(&updates, Duration::from_secs(1)).is_err() {
            break;
        }
    }
    let now = router.session(&US.to_string())?;
    ensure!(now.generation == before.generation && now.established, "the other session went down");
    let grown = ours.daemon()?.rss_kib()?.saturating_sub(small);
    ensure!(grown < 64 * 1024, "the daemon grew by {grown} KiB");
    Ok(())
}

/// Connects from an address that is not the first of its link.
fn dial_from(net: &Net, from: Ipv4Addr) -> Result<Peer> {
    // The kernel selects the source by the route.
    net.at("p").ip(&format!("route replace {US}/32 dev eth0 src {from}\n"))?;
    let peer = Peer::dial(&net.at("p"), US.into());
    net.at("p").ip(&format!("route del {US}/32 dev eth0\n"))?;
    peer
}

/// Returns a thousand UPDATEs with one route each.
fn flood() -> Vec<u8> {
    let mut all = Vec::new();
    for number in 0..1000_u32 {
        let [_, _, high, low] = number.to_be_bytes();
        // ORIGIN, AS_PATH 64514 in four octets, NEXT_HOP, and 10.x.y.0/24.
        let attributes = [0x40, 1, 1, 0, 0x40, 2, 6, 2, 1, 0, 0, 0xfc, 2, 0x40, 3, 4, 10, 77, 0, 3];
        let body = [&[0, 0, 0, 20][..], &attributes, &[24, 10, high, low]].concat();
        all.extend(raw::message(raw::UPDATE, &body));
    }
    all
}
