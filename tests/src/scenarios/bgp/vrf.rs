//! Sessions in a VRF. Everything runs in a user-mode Linux, because this machine's kernel may not support VRFs.
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::bgp::outrigger::{Outrigger, PASSWORD, VIP, peer_name};
use crate::bgp::raw::Peer;
use crate::bgp::router::{Kind, LIMIT, Router};
use crate::bgp::{Bfd, Neighbor, Net, Speaker, uml};
use crate::wait;

/// Time limit for the boot: it takes 20 s, and a failure there is reported after [`LIMIT`].
const BOOT_LIMIT: Duration = Duration::from_secs(60);

const US: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// Address of two routers, one in the VRF and one outside.
const THEM: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
const US_TO_CALLER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
/// Address of a router in the VRF that connects to the daemon.
const CALLER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
/// VRF that contains two of the node's devices.
const VRF: &str = "link add blue type vrf table 10\nlink set blue up\nlink set eth0 master blue\n\
                   link set eth1 master blue\n";
const OURS: u32 = 64512;
const INSIDE: u32 = 64513;
const OUTSIDE: u32 = 64514;

/// Boots a user-mode Linux for [`sessions`].
///
/// # Errors
/// Returns the error from there.
pub fn in_user_mode_linux() -> Result<()> {
    let net = Net::new(&[])?;
    uml::boot(net.folder(), BOOT_LIMIT)
}

/// Checks that the node has a session with each of two routers with the same address, one in a VRF and one outside, and sends
/// each its route; that a third router in the VRF may connect, with a key, and one from outside may not; that BFD is up in the
/// VRF; and the same again after the VRF was removed and created again.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn sessions() -> Result<()> {
    let net = wired()?;
    let (inside, outside, caller) = routers(&net)?;
    let ours = started(&net)?;
    let check = || {
        for (router, us) in [(&inside, US), (&outside, US), (&caller, US_TO_CALLER)] {
            router.await_established(&us.to_string())?;
            let path = router.await_path(VIP)?;
            ensure!(path.as_path == [OURS], "{path:?}");
            ensure!(path.next_hops == [us.to_string()], "{path:?}");
        }
        wait::until("BFD is up in the VRF", LIMIT, || {
            let both = inside.bfd_up(&US.to_string())?
                && ours.peer(&peer_name(0), "bfd").is_ok_and(|it| it["state"] == "Up");
            Ok(both.then_some(()))
        })?;
        let dialled = Peer::dial(&net.at("outside"), US.into());
        ensure!(dialled.is_err(), "the listener of the VRF accepts connections from outside");
        Ok(())
    };
    let check = || check().with_context(|| ours.explain());
    check()?;
    let generations = || {
        let of =
            |router: &Router, us: Ipv4Addr| anyhow::Ok(router.session(&us.to_string())?.generation);
        anyhow::Ok([of(&inside, US)?, of(&caller, US_TO_CALLER)?])
    };
    let before = generations()?;
    net.at("node").ip(&format!("link del blue\n{VRF}"))?;
    wait::until("both sessions in the VRF are new", LIMIT, || {
        let now = generations()?;
        Ok((now[0] != before[0] && now[1] != before[1]).then_some(()))
    })
    .with_context(|| ours.explain())?;
    check()
}

/// Builds the node with two wires into the VRF and one outside it.
fn wired() -> Result<Net> {
    let net = Net::new(&["node", "inside", "caller", "outside"])?;
    let node = net.at("node");
    for (device, router) in [("eth0", "inside"), ("eth1", "caller"), ("eth2", "outside")] {
        net.wire(("node", device), (router, "eth0"))?;
    }
    node.ip(&format!(
        "{VRF}addr add {US}/24 dev eth0\naddr add {US_TO_CALLER}/24 dev eth1\naddr add {US}/24 dev eth2\n"
    ))?;
    for (router, address) in [("inside", THEM), ("outside", THEM), ("caller", CALLER)] {
        net.at(router).ip(&format!("addr add {address}/24 dev eth0\n"))?;
    }
    Ok(net)
}

/// Starts the routers: the two with the same address wait for a connection, the third connects.
fn routers(net: &Net) -> Result<(Router, Router, Router)> {
    let (mut dialling, mut watching) = (Neighbor::at(US, OURS), Neighbor::at(US, OURS));
    (dialling.passive, watching.passive) = (true, true);
    watching.bfd = Some(Bfd { interval_ms: 300, multiplier: 5 });
    let mut waiting = Neighbor::at(US_TO_CALLER, OURS);
    waiting.password = Some(PASSWORD.to_owned());
    let start = |name, address, asn, us| {
        let speaker = Speaker::new(asn, address).with(us);
        Router::start(Kind::Bird, &speaker, &net.at(name), net.folder())
    };
    Ok((
        start("inside", THEM, INSIDE, watching)?,
        start("outside", THEM, OUTSIDE, dialling)?,
        start("caller", CALLER, INSIDE, waiting)?,
    ))
}

/// Starts the daemon. Not every router supports VRFs, so the peers are configured directly in the Announcer.
fn started(net: &Net) -> Result<Outrigger> {
    let mut ours = Outrigger::new(net, "node")?;
    let mut keyed = Neighbor::at(CALLER, INSIDE);
    keyed.password = Some(PASSWORD.to_owned());
    let speaker = Speaker::new(OURS, US).with(Neighbor::at(THEM, INSIDE)).with(keyed);
    let bfd = json!({ "transmitInterval": 300, "receiveInterval": 300, "detectMultiplier": 5 });
    let peers: [Value; 3] = [
        json!({ "address": THEM, "asn": INSIDE, "vrf": "blue", "bfd": bfd }),
        json!({ "address": THEM, "asn": OUTSIDE }),
        json!({ "address": CALLER, "asn": INSIDE, "vrf": "blue", "passive": true,
                "md5": { "name": "md5", "key": "password" } }),
    ];
    let named = peers.into_iter().enumerate().map(|(number, mut peer)| {
        peer["name"] = json!(peer_name(number));
        peer["connectRetryTime"] = json!(1);
        peer["holdTime"] = json!(3);
        peer
    });
    ours.speak(&speaker, json!({ "peers": named.collect::<Vec<_>>() }))?;
    ours.put_service("web", "")?;
    ours.start()?;
    Ok(ours)
}
