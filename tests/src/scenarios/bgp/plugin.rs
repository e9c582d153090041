//! The plugin changes, breaks or means harm while a session is up: FRR at the other end sees nothing of it.
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

/// A router that is taken out has lost the route by then; the restart time is 120 s.
const REVOKED: Duration = Duration::from_secs(5);
/// For so long it tries in vain.
const STAYS_OUT: Duration = Duration::from_secs(5);
/// How the router knows us.
const US: &str = "10.77.0.1";
/// How long the faulty guest traps.
const FAULT: Duration = Duration::from_secs(60);
/// After that it is tried again within half a minute, and some more.
const WORKS_AGAIN: Duration = Duration::from_secs(60);
/// UPDATEs that the rogue guest writes about an address that it may announce.
const FLOOD: u64 = 2_000;
/// A route whose last local endpoint has left is gone from the router's kernel long before the plugin works again.
const GONE: Duration = Duration::from_secs(20);

/// A daemon and FRR with a session of so many seconds of hold time, and a route in FRR's kernel.
///
/// Another plugin than the shipped one has a name of its own: there is nothing of that name to fall back to.
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
        "the session was {} and is {}",
        before.generation,
        now.generation
    );
    Ok(())
}

/// A plugin that traps at everything for a minute, twenty hold times: the session stays, nothing is withdrawn, and a
/// route whose last local endpoint leaves meanwhile goes all the same.
///
/// # Errors
/// When the router sees anything of the fault.
pub fn trapping(faulty: &Path) -> Result<()> {
    let (_net, ours, router) = pair(3, Some(("faulty", faulty)))?;
    // One Service stays, and this one loses its endpoints while nobody can speak for it. Where there are EndpointSlices, every
    // Service needs one.
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
        ensure!(took < GONE, "the route was there for {took:?} more");
        std::thread::sleep(FAULT.saturating_sub(clock::since(left)));
        unbroken(&router, &before)?;
        fib::await_next_hops(router.namespace(), VIP, 1)?;
        ensure!(monitor.about(VIP).is_empty(), "the other route changed: {:?}", monitor.about(VIP));
        // And it works again: what was asked for meanwhile is said.
        ours.put_service("later", "")?;
        wait::until("a new route once the fault is over", WORKS_AGAIN, || {
            Ok((!router.paths("192.0.2.3/32")?.is_empty()).then_some(()))
        })?;
        unbroken(&router, &before)
    })();
    result.with_context(|| format!("{}{}", ours.explain(), router.explain()))
}

/// An EndpointSlice of a Service with an endpoint on this node that is ready, or with none.
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

/// Another build takes over: the same session, no message about routes, no change of the kernel's routes.
///
/// # Errors
/// When the router sees anything of it.
pub fn swapped(other: &Path) -> Result<()> {
    let (_net, ours, router) = pair(9, None)?;
    let result = (|| {
        // What follows the first routes, End-of-RIB and all, is there.
        std::thread::sleep(Duration::from_secs(1));
        let before = router.session(US)?;
        let monitor = Monitor::start(router.namespace())?;
        let octets = std::fs::read(other)?;
        let wanted = digest(&octets);
        ours.put_octets("bgp.wasm", &octets)?;
        wait::until("the other build is in force", LIMIT, || {
            let shown = ours.announcer()?["digest"].as_str().unwrap_or_default().to_owned();
            Ok(shown.ends_with(&wanted).then_some(()))
        })?;
        // What it would say it says at once; a second is for the machine.
        std::thread::sleep(Duration::from_secs(1));
        unbroken(&router, &before)?;
        let after = router.session(US)?;
        ensure!(
            after.updates == before.updates,
            "UPDATEs came: {:?}, and {:?} before",
            after.updates,
            before.updates
        );
        let changes = monitor.about(VIP);
        ensure!(changes.is_empty(), "the kernel's route changed: {changes:?}");
        // It is the new one that speaks now.
        ours.put_service("later", "")?;
        router.await_path("192.0.2.2/32")?;
        let routes = json!([VIP, "192.0.2.2/32"]);
        wait::until("`outrigger bgp` says as much", LIMIT, || {
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

/// A plugin that writes a default route, other people's prefixes, a loop and a flood: the router sees none of it.
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
        ensure!(updates < FLOOD / 2, "{updates} UPDATEs came: the flood was not bounded");
        anyhow::Ok(())
    })();
    result.with_context(|| format!("{}{}", ours.explain(), router.explain()))
}

/// A plugin that offers ADD-PATH, long-lived graceful restart and 4,095 s of graceful restart: the router never hears of any of them,
/// and has a session, and the granted route alone, when it offers none.
///
/// # Errors
/// When the router has heard of one, or has another route.
pub fn offers(offers: &Path) -> Result<()> {
    let (_net, ours, router) = pair(9, Some(("offers", offers)))?;
    let result = (|| {
        let denied = ours.announcer()?["denied"]["capability-not-allowed"].as_u64().unwrap_or(0);
        ensure!(denied == 3, "{denied} OPENs were refused");
        let neighbor = router.say(&format!("show bgp neighbors {US} json"))?;
        let neighbor: serde_json::Value = serde_json::from_str(&neighbor)?;
        let heard = &neighbor[US]["neighborCapabilities"];
        ensure!(heard.is_object(), "nothing of its capabilities in {neighbor}");
        // FRR says "advertisedAndReceived" or "rxReceived" of what both offer.
        for offer in ["addPath", "longLivedGracefulRestart", "gracefulRestartCapability"] {
            let heard = heard[offer].to_string();
            ensure!(!heard.contains("eceived"), "the router heard of {offer}: {heard}");
        }
        let count = router.count(Family::V4)?;
        ensure!(count == 1, "the router has {count} prefixes");
        anyhow::Ok(())
    })();
    result.with_context(|| format!("{}{}", ours.explain(), router.explain()))
}

/// The owner takes the router out of `allow.peers`, and puts it back: it loses every route at once although both ends can do
/// graceful restart, reads why, is told nothing while it dials again, and is told everything when it may be.
///
/// # Errors
/// When the router keeps a route, or is told one while it is out.
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
        ensure!(took < REVOKED, "the route was there for {took:?} more");
        router.await_down(US)?;
        let neighbor = router.say(&format!("show bgp neighbors {US} json"))?;
        let told = ["Peer Unconfigured", "Peer De-configured"];
        ensure!(told.iter().any(|words| neighbor.contains(words)), "it reads: {neighbor}");
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
