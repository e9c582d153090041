//! The plugin changes, fails or is hostile while a session is up, and FRR at the other end must not notice.
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use crate::bgp::fib::Monitor;
use crate::bgp::outrigger::{Outrigger, VIP};
use crate::bgp::router::{Kind, LIMIT, Router, Session};
use crate::bgp::{Family, Neighbor, Net, Speaker, fib};
use crate::cluster::digest;
use crate::{clock, wait};

/// Time in which a router that is removed from the configuration has lost the route; the restart time is 120 s.
const REVOKED: Duration = Duration::from_secs(5);
/// Time over which it tries to reconnect in vain.
const STAYS_OUT: Duration = Duration::from_secs(5);
/// Address of the daemon in the router's configuration.
const US: &str = "10.77.0.1";
/// Time for which the faulty guest traps.
const FAULT: Duration = Duration::from_secs(60);
/// Time in which the plugin works again after the fault: the backoff is at most half a minute, with some reserve.
const WORKS_AGAIN: Duration = Duration::from_secs(60);
/// Number of UPDATEs that the rogue guest writes about its own address.
const FLOOD: u64 = 2_000;
/// Time in which a route is gone from the router's kernel after its last local endpoint has left, long before the plugin works
/// again.
const GONE: Duration = Duration::from_secs(20);

/// Starts a daemon and FRR with a session of this hold time in seconds, and waits for a route in FRR's kernel.
///
/// Another plugin than the shipped one gets a name of its own, for which there is no embedded plugin to fall back to.
fn pair(hold: u16, other: Option<(&str, &Path)>) -> Result<(Net, Outrigger, Router)> {
    let net = Net::pair()?;
    let (mut to_them, mut to_us) = (
        Neighbor::at(Ipv4Addr::new(10, 77, 0, 2), 64513),
        Neighbor::at(Ipv4Addr::new(10, 77, 0, 1), 64512),
    );
    (to_them.hold, to_us.hold) = (hold, hold);
    let router = Speaker::new(64513, Ipv4Addr::new(10, 77, 0, 2)).with(to_us);
    let router = Router::start(Kind::Frr, &router, &net.at("p"), net.folder())?;
    let speaker = Speaker::new(64512, Ipv4Addr::new(10, 77, 0, 1)).with(to_them);
    let mut ours = Outrigger::new(&net, "o")?;
    if let Some((name, path)) = other {
        ours.plugin = name.to_owned();
        ours.put_octets(&format!("{name}.wasm"), &std::fs::read(path)?)?;
    }
    ours.speak(&speaker, json!({}))?;
    ours.put_service("web", "")?;
    ours.start()?;
    let up =
        router.await_established(US).and_then(|_| fib::await_next_hops(router.namespace(), VIP, 1));
    up.with_context(|| ours.explain())?;
    Ok((net, ours, router))
}

fn unbroken(router: &Router, before: &Session) -> Result<()> {
    let now = router.session(US)?;
    ensure!(
        now.established && now.generation == before.generation,
        "the session changed from {} to {}",
        before.generation,
        now.generation
    );
    Ok(())
}

/// Runs a plugin that traps on everything for a minute, twenty hold times. Checks that the session stays and nothing is
/// withdrawn, except a route whose last local endpoint leaves meanwhile.
///
/// # Errors
/// When the router notices the fault.
pub fn trapping(faulty: &Path) -> Result<()> {
    let (_net, ours, router) = pair(3, Some(("faulty", faulty)))?;
    // One Service stays, and this one loses its endpoints while no plugin can announce it. Where there are EndpointSlices,
    // every Service needs one.
    ours.put("slice-web.yaml", &slice("web", true))?;
    ours.put("slice-later.yaml", &slice("later", true))?;
    ours.put(
        "service-local.yaml",
        &crate::cluster::service("local", "  externalTrafficPolicy: Local\n"),
    )?;
    ours.put("slice.yaml", &slice("local", true))?;
    let local = "192.0.2.2/32";
    let result = (|| {
        fib::await_next_hops(router.namespace(), local, 1)?;
        let before = router.session(US)?;
        let monitor = Monitor::start(router.namespace())?;
        wait::until("the plugin traps", LIMIT, || {
            Ok((ours.announcer()?["restarts"].as_u64() > Some(0)).then_some(()))
        })?;
        let left = clock::now();
        ours.put("slice.yaml", &slice("local", false))?;
        let took = monitor.await_change(local, left, LIMIT)?;
        ensure!(took < GONE, "the route stayed for another {took:?}");
        std::thread::sleep(FAULT.saturating_sub(clock::since(left)));
        unbroken(&router, &before)?;
        fib::await_next_hops(router.namespace(), VIP, 1)?;
        ensure!(monitor.about(VIP).is_empty(), "the other route changed: {:?}", monitor.about(VIP));
        // The plugin works again: routes requested meanwhile are announced.
        ours.put_service("later", "")?;
        wait::until("a new route after the fault is over", WORKS_AGAIN, || {
            Ok((!router.paths("192.0.2.3/32")?.is_empty()).then_some(()))
        })?;
        unbroken(&router, &before)
    })();
    result.with_context(|| format!("{}{}", ours.explain(), router.explain()))
}

/// Returns an EndpointSlice of a Service with a ready endpoint on this node, or with none.
fn slice(service: &str, ready: bool) -> String {
    let endpoint = json!({
        "addresses": ["10.244.0.9"],
        "nodeName": "o",
        "conditions": { "ready": ready, "serving": ready, "terminating": false },
    });
    json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": format!("{service}-1"),
            "namespace": "default",
            "labels": { "kubernetes.io/service-name": service },
        },
        "addressType": "IPv4",
        "ports": [{ "port": 80 }],
        "endpoints": if ready { json!([endpoint]) } else { json!([]) },
    })
    .to_string()
}

/// Replaces the plugin with another build, and checks that the session is the same, without a message about routes or a change
/// of the kernel's routes.
///
/// # Errors
/// When the router notices it.
pub fn swapped(other: &Path) -> Result<()> {
    let (_net, ours, router) = pair(9, None)?;
    let result = (|| {
        // Everything after the first routes, including End-of-RIB, has arrived.
        std::thread::sleep(Duration::from_secs(1));
        let before = router.session(US)?;
        let monitor = Monitor::start(router.namespace())?;
        let octets = std::fs::read(other)?;
        let wanted = digest(&octets);
        ours.put_octets("bgp.wasm", &octets)?;
        wait::until("the other build is active", LIMIT, || {
            let shown = ours.announcer()?["digest"].as_str().unwrap_or_default().to_owned();
            Ok(shown.ends_with(&wanted).then_some(()))
        })?;
        // Messages would be sent at once; the second is a reserve for the machine.
        std::thread::sleep(Duration::from_secs(1));
        unbroken(&router, &before)?;
        let after = router.session(US)?;
        ensure!(
            after.updates == before.updates,
            "number of UPDATEs: {:?}, and {:?} before",
            after.updates,
            before.updates
        );
        let changes = monitor.about(VIP);
        ensure!(changes.is_empty(), "the kernel's route changed: {changes:?}");
        // The new build is the one that speaks now.
        ours.put_service("later", "")?;
        router.await_path("192.0.2.2/32")?;
        let routes = json!([VIP, "192.0.2.2/32"]);
        wait::until("`outrigger bgp` shows the same", LIMIT, || {
            let peers = ours.bgp("peers")?;
            let is_whole = peers[0]["routes"] == routes
                && peers[0]["address"] == "10.77.0.2"
                && peers[0]["counters"]["announced-prefixes-total"] == 2
                && peers[0]["counters"]["total-received"].as_u64() > Some(0)
                && peers[0]["since"].as_str().is_some_and(|since| since.ends_with("UTC"));
            Ok(is_whole.then_some(()))
        })?;
        unbroken(&router, &before)
    })();
    result.with_context(|| format!("{}{}", ours.explain(), router.explain()))
}

/// Runs a plugin that writes a default route, foreign prefixes, a loop and a flood, and checks that the router receives none of
/// it.
///
/// # Errors
/// When the router has a route that it must not have.
pub fn rogue(rogue: &Path) -> Result<()> {
    let (_net, ours, router) = pair(9, Some(("rogue", rogue)))?;
    let result = (|| {
        wait::until("the guard refuses", LIMIT, || {
            let announcer = ours.announcer()?;
            let denied = announcer["denied"].as_object().map_or(0, serde_json::Map::len);
            Ok((denied > 0).then_some(()))
        })?;
        std::thread::sleep(Duration::from_secs(1));
        for prefix in ["0.0.0.0/0", "8.8.8.0/24", "0.0.0.0/1"] {
            let paths = router.paths(prefix)?;
            ensure!(paths.is_empty(), "the router has {prefix}: {paths:?}");
        }
        let count = router.count(Family::V4)?;
        ensure!(count == 1, "the router has {count} prefixes");
        let hops = fib::next_hops(router.namespace(), VIP)?;
        ensure!(hops == [US], "the kernel's next hops are {hops:?}");
        let updates = router.session(US)?.updates.unwrap_or_default();
        ensure!(updates < FLOOD / 2, "{updates} UPDATEs arrived: the flood was not limited");
        anyhow::Ok(())
    })();
    result.with_context(|| format!("{}{}", ours.explain(), router.explain()))
}

/// Runs a plugin that offers ADD-PATH, long-lived graceful restart and 4,095 s of graceful restart. Checks that the router
/// receives none of these offers, and has a session and the granted route alone once the plugin offers none.
///
/// # Errors
/// When the router has received one, or has another route.
pub fn offers(offers: &Path) -> Result<()> {
    let (_net, ours, router) = pair(9, Some(("offers", offers)))?;
    let result = (|| {
        let denied = ours.announcer()?["denied"]["capability-not-allowed"].as_u64().unwrap_or(0);
        ensure!(denied == 3, "{denied} OPENs were refused");
        let neighbor = router.say(&format!("show bgp neighbors {US} json"))?;
        let neighbor: serde_json::Value = serde_json::from_str(&neighbor)?;
        let heard = &neighbor[US]["neighborCapabilities"];
        ensure!(heard.is_object(), "no capabilities in {neighbor}");
        // FRR reports "advertisedAndReceived" or "rxReceived" for offers of both ends.
        for offer in ["addPath", "longLivedGracefulRestart", "gracefulRestartCapability"] {
            let heard = heard[offer].to_string();
            ensure!(!heard.contains("eceived"), "the router received {offer}: {heard}");
        }
        let count = router.count(Family::V4)?;
        ensure!(count == 1, "the router has {count} prefixes");
        anyhow::Ok(())
    })();
    result.with_context(|| format!("{}{}", ours.explain(), router.explain()))
}

/// Removes the router from `allow.peers` and adds it again. Checks that it loses every route at once although both ends support
/// graceful restart, receives the reason, gets no route while it reconnects in vain, and gets all routes once it is allowed.
///
/// # Errors
/// When the router keeps a route, or receives one while it is removed.
pub fn revoked() -> Result<()> {
    let (_net, ours, router) = pair(9, None)?;
    let file = ours.manifests().join("announcer.yaml");
    let allowed = std::fs::read_to_string(&file)?;
    let result = (|| {
        let mut announcer: serde_json::Value = serde_json::from_str(&allowed)?;
        announcer["spec"]["allow"]["peers"] = json!(["10.77.0.99/32"]);
        let monitor = Monitor::start(router.namespace())?;
        let taken_out = clock::now();
        ours.put("announcer.yaml", &announcer.to_string())?;
        let took = monitor.await_change(VIP, taken_out, LIMIT)?;
        ensure!(took < REVOKED, "the route stayed for another {took:?}");
        router.await_down(US)?;
        let neighbor = router.say(&format!("show bgp neighbors {US} json"))?;
        let told = ["Peer Unconfigured", "Peer De-configured"];
        ensure!(
            told.iter().any(|words| neighbor.contains(words)),
            "unexpected state of the neighbor: {neighbor}"
        );
        let until = clock::now() + STAYS_OUT;
        while clock::now() < until {
            ensure!(router.paths(VIP)?.is_empty(), "it has the route again");
            ensure!(!router.session(US)?.established, "the session is up again");
            std::thread::sleep(Duration::from_millis(200));
        }
        ours.put("announcer.yaml", &allowed)?;
        router.await_established(US)?;
        fib::await_next_hops(router.namespace(), VIP, 1)?;
        anyhow::Ok(())
    })();
    result.with_context(|| format!("{}{}", ours.explain(), router.explain()))
}
