//! Checks of a cell beyond those common to all cells.
use std::time::Duration;

use anyhow::{Result, ensure};

use super::super::outrigger::{Outrigger, SHUTDOWN_MESSAGE, VIP, VIP6};
use super::super::router::{Kind, LIMIT, Router};
use super::super::{bird, fib};
use super::{Case, Feature, them};
use crate::namespace::feed;
use crate::{clock, wait};

/// Limit for a detection by BFD: longer than any takes here on a busy machine, and much shorter than the hold time of 90 s.
const DETECTED: Duration = Duration::from_secs(10);
/// Shutdown message that a router sends.
const THEIR_MESSAGE: &str = "maintenance-0815";

pub(super) fn of(
    feature: Feature,
    case: &Case,
    ours: &mut Outrigger,
    theirs: &Router,
) -> Result<()> {
    match feature {
        Feature::Ibgp => {
            let path = theirs.await_path(VIP)?;
            ensure!(path.local_pref == Some(100), "the local preference is {:?}", path.local_pref);
            Ok(())
        }
        Feature::V4 => {
            let paths = theirs.paths(VIP6)?;
            ensure!(paths.is_empty(), "an IPv6 route was sent: {paths:?}");
            Ok(())
        }
        Feature::GracefulRestart => graceful_restart(case, ours, theirs),
        Feature::Bfd => bfd(case, ours, theirs),
        Feature::RouteRefresh => route_refresh(case, theirs),
        Feature::LargeCommunities => communities(theirs),
        Feature::ShutdownMessage => shutdown_message(case, ours, theirs),
        _ => Ok(()),
    }
}

fn graceful_restart(case: &Case, ours: &mut Outrigger, theirs: &Router) -> Result<()> {
    let before = theirs.await_established(&case.us)?;
    let monitor = fib::Monitor::start(theirs.namespace())?;
    ours.kill()?;
    // The router has seen it end: the following start is a restart and not unexpected.
    theirs.await_down(&case.us)?;
    ensure!(!theirs.paths(VIP)?.is_empty(), "the route was removed with the session");
    ours.start()?;
    let after = theirs.await_established(&case.us)?;
    ensure!(after.generation != before.generation, "the session did not go down");
    // The route is no longer stale once our End-of-RIB came; a route that was not sent again would then be removed.
    wait::until("the route is no longer stale", LIMIT, || {
        let raw = theirs.session(&case.us)?;
        Ok(raw.updates.is_none_or(|updates| updates > 0).then_some(()))
    })?;
    std::thread::sleep(Duration::from_secs(1));
    ensure!(!theirs.paths(VIP)?.is_empty(), "the route did not come back");
    let changes: Vec<_> = monitor.about(VIP).into_iter().map(|change| change.text).collect();
    let quiet = changes.iter().all(|text| !text.contains("Deleted"));
    ensure!(quiet, "the kernel's route changed: {changes:?}");
    if theirs.kind == Kind::Frr {
        ensure!(changes.is_empty(), "the kernel's route changed: {changes:?}");
    }
    Ok(())
}

fn bfd(case: &Case, ours: &mut Outrigger, theirs: &Router) -> Result<()> {
    wait::until("BFD is up at the router", LIMIT, || Ok(theirs.bfd_up(&case.us)?.then_some(())))?;
    wait::until("BFD is up at the node", LIMIT, || {
        Ok((ours.peer(&them(), "bfd")?["state"] == "Up").then_some(()))
    })?;
    let flapped = theirs.session(&case.us)?.generation;
    std::thread::sleep(Duration::from_secs(2));
    ensure!(theirs.session(&case.us)?.generation == flapped, "BFD flaps without packet loss");
    // Our BFD packets are lost, and BGP's own packets are not: only BFD can detect it.
    let rules = "add table inet lose\n\
                 add chain inet lose out { type filter hook output priority 0; }\n\
                 add rule inet lose out udp dport { 3784, 4784 } drop\n";
    feed(ours.namespace().command("nft").args(["-f", "-"]), rules.as_bytes())?;
    let lost = clock::now();
    theirs.await_no_path(VIP)?;
    let took = clock::since(lost);
    ensure!(took < DETECTED, "the router needed {took:?} to remove the route");
    ours.await_peer_words(&them(), &["bfd"]).map(drop)
}

fn route_refresh(case: &Case, theirs: &Router) -> Result<()> {
    let before = theirs.session(&case.us)?;
    match theirs.kind {
        Kind::Frr => theirs.say(&format!("clear bgp ipv4 unicast {} soft in", case.us))?,
        _ => theirs.say(&format!("reload in {}", bird::protocol_name(0)))?,
    };
    wait::until("the routes are sent again", LIMIT, || {
        Ok((theirs.session(&case.us)?.updates > before.updates).then_some(()))
    })?;
    let after = theirs.session(&case.us)?;
    ensure!(after.generation == before.generation, "the session was reset");
    ensure!(theirs.paths(VIP)?.len() == 1, "the route is gone");
    Ok(())
}

fn communities(theirs: &Router) -> Result<()> {
    let mut path = theirs.await_path(VIP)?;
    path.communities.sort();
    path.large_communities.sort();
    // FRR prints a name where BIRD and GoBGP print a number.
    let no_export = |it: &String| it == "no-export" || it == "65535:65281";
    ensure!(
        path.communities.len() == 2
            && path.communities.contains(&"64512:100".to_owned())
            && path.communities.iter().any(no_export),
        "communities {:?}",
        path.communities
    );
    ensure!(
        path.large_communities == ["4200000000:3:4", "64512:1:2"],
        "large communities {:?}",
        path.large_communities
    );
    ensure!(path.med == Some(77), "MED {:?}", path.med);
    Ok(())
}

fn shutdown_message(case: &Case, ours: &mut Outrigger, theirs: &Router) -> Result<()> {
    // The router closes with a reason, and the product reports it.
    match theirs.kind {
        Kind::Frr => {
            let begin = format!("configure terminal\nrouter bgp {}\n", case.theirs.asn);
            let shut = format!("neighbor {} shutdown", case.us);
            theirs.say(&format!("{begin}{shut} message {THEIR_MESSAGE}"))?;
            ours.await_peer_words(&them(), &[THEIR_MESSAGE, "administrative shutdown"])?;
            theirs.say(&format!("{begin}no {shut}"))?;
        }
        Kind::Bird => {
            let name = bird::protocol_name(0);
            theirs.say(&format!("disable {name} \"{THEIR_MESSAGE}\""))?;
            ours.await_peer_words(&them(), &[THEIR_MESSAGE, "administrative shutdown"])?;
            theirs.say(&format!("enable {name}"))?;
        }
        _ => {
            // GoBGP 4.8.0 sends only the subcode, whatever `--reason` says; BIRD logs it without a message too.
            theirs.say(&format!("neighbor {} disable --reason {THEIR_MESSAGE}", case.us))?;
            ours.await_peer_words(&them(), &["administrative shutdown"])?;
            theirs.say(&format!("neighbor {} enable", case.us))?;
        }
    }
    theirs.await_established(&case.us)?;
    // The product closes with a reason, and the router reports it.
    ours.stop()?;
    wait::until("the router shows why the node closed the session", LIMIT, || {
        let said = format!("{}{}", theirs.session(&case.us)?.raw, theirs.explain());
        Ok(said.contains(SHUTDOWN_MESSAGE).then_some(()))
    })
}
