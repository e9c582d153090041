//! Tests with real netlink, and of the table alone.
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use outrigger_sdk::{Link, MacAddr};
use rtnetlink::packet_core::{NetlinkHeader, NetlinkMessage, NetlinkPayload};
use rtnetlink::packet_route::link::{
    InfoPortKind, LinkAttribute, LinkEvent, LinkFlags, LinkInfo, LinkLayerType, LinkMessage,
};
use rtnetlink::packet_route::{AddressFamily, RouteNetlinkMessage};
use tokio::sync::watch;

use super::table::Table;
use super::{Excludes, Links, Source, follow};
use crate::namespace::{MAC, ip, namespaced, veth};

#[test]
fn what_container_runtimes_make_is_excluded() {
    let excludes = Excludes::default();
    let table = [
        ("lo", true),
        ("lo0", false),
        ("veth1a2b", true),
        ("docker0", true),
        ("cali12", true),
        ("eth0", false),
    ];
    for (name, excluded) in table {
        assert_eq!(excludes.matches(name), excluded, "{name}");
    }
}

/// Returns a message for an Ethernet link 7 named eth0, up.
fn message(change: impl FnOnce(&mut LinkMessage)) -> RouteNetlinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = 7;
    message.header.link_layer_type = LinkLayerType::Ether;
    message.header.flags = LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running;
    message.attributes =
        vec![LinkAttribute::IfName("eth0".into()), LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1])];
    change(&mut message);
    RouteNetlinkMessage::NewLink(message)
}

fn with(attribute: LinkAttribute) -> RouteNetlinkMessage {
    message(|message| message.attributes.push(attribute))
}

fn only(table: &Table) -> Option<Link> {
    table.links(&Excludes::default()).into_values().next()
}

#[test]
fn the_generation_moves_when_neighbours_must_be_told_again() {
    let down = || message(|message| message.header.flags = LinkFlags::Up);
    let mac = || with(LinkAttribute::Address(vec![2, 0, 0, 0, 0, 9]));
    let cases = [
        ("the same again", vec![message(|_| {})], 0),
        ("carrier lost", vec![down()], 0),
        ("carrier lost and gained", vec![down(), message(|_| {})], 1),
        ("a flap the kernel merged", vec![with(LinkAttribute::CarrierUpCount(3))], 1),
        ("another MAC address", vec![mac(), mac()], 1),
        ("a bond's other slave", vec![with(LinkAttribute::Event(LinkEvent::BondingFailover))], 1),
        ("after a live migration", vec![with(LinkAttribute::Event(LinkEvent::NotifyPeers))], 1),
        ("an unrelated event", vec![with(LinkAttribute::Event(LinkEvent::Features))], 0),
    ];
    for (what, messages, generation) in cases {
        let mut table = Table::default();
        table.apply(message(|_| {}));
        messages.into_iter().for_each(|message| table.apply(message));
        assert_eq!(only(&table).unwrap().generation, generation, "{what}");
    }
}

#[test]
fn only_segments_of_their_own_are_listed() {
    let port = |kind| {
        message(|message| {
            message.attributes.push(LinkAttribute::Controller(3));
            message.attributes.push(LinkAttribute::LinkInfo(vec![LinkInfo::PortKind(kind)]));
        })
    };
    let cases = [
        ("a port of a bridge", port(InfoPortKind::Bridge), false),
        ("in a VRF", port(InfoPortKind::Vrf), true),
        (
            "no Ethernet",
            message(|message| message.header.link_layer_type = LinkLayerType::None),
            false,
        ),
        ("no MAC address", message(|message| message.attributes.truncate(1)), false),
        ("an excluded name", with(LinkAttribute::IfName("docker0".into())), false),
    ];
    for (what, message, listed) in cases {
        let mut table = Table::default();
        table.apply(message);
        assert_eq!(only(&table).is_some(), listed, "{what}");
    }
    let mut table = Table::default();
    table.apply(message(|message| message.header.flags |= LinkFlags::Noarp));
    assert!(!only(&table).unwrap().arp);
}

#[test]
fn a_port_leaving_a_bridge_is_no_link_leaving() {
    let mut table = Table::default();
    table.apply(message(|_| {}));
    let gone = |family| {
        let RouteNetlinkMessage::NewLink(mut message) = message(|_| {}) else { unreachable!() };
        message.header.interface_family = family;
        RouteNetlinkMessage::DelLink(message)
    };
    table.apply(gone(AddressFamily::Bridge));
    assert!(only(&table).is_some());
    table.apply(gone(AddressFamily::Unspec));
    assert!(only(&table).is_none());
}

#[test]
fn a_new_list_forgets_what_is_gone_and_goes_on_counting_what_is_not() {
    let other = |index, name: &str| {
        let name = LinkAttribute::IfName(name.into());
        message(|message| {
            message.header.index = index;
            message.attributes.push(name);
        })
    };
    let mut table = Table::default();
    table.apply(message(|_| {}));
    table.apply(with(LinkAttribute::CarrierUpCount(1)));
    table.apply(other(8, "eth1"));
    table.replace([with(LinkAttribute::CarrierUpCount(2)), other(9, "eth2")].into_iter());
    let links = table.links(&Excludes::default());
    let listed: Vec<_> =
        links.values().map(|link| (link.index, link.name.as_str(), link.generation)).collect();
    assert_eq!(listed, [(7, "eth0", 2), (9, "eth2", 0)]);
}

/// Waits for a list that satisfies `wanted`.
async fn until(
    receiver: &mut watch::Receiver<Arc<Links>>,
    wanted: impl Fn(&[&Link]) -> bool,
) -> Vec<Link> {
    let as_wanted = receiver.wait_for(|links| wanted(&links.values().collect::<Vec<_>>()));
    let links = tokio::time::timeout(Duration::from_secs(5), as_wanted)
        .await
        .expect("netlink tells in time");
    links.expect("the watch continues").values().cloned().collect()
}

fn link<'a>(links: &[&'a Link], name: &str) -> Option<&'a Link> {
    links.iter().find(|link| link.name == name).copied()
}

async fn follow_eth0() {
    veth();
    ip("link add docker0 type bridge");
    ip("link add br0 type bridge");
    let mut links = super::watch(Excludes::default()).await.unwrap();
    let eth0 =
        |wanted: fn(&Link) -> bool| move |links: &[&Link]| link(links, "eth0").is_some_and(wanted);
    let listed = until(&mut links, eth0(|link| link.up && link.arp)).await;
    let names: Vec<&str> = listed.iter().map(|link| link.name.as_str()).collect();
    assert!(
        names.contains(&"peer0") && !names.contains(&"docker0") && !names.contains(&"lo"),
        "{names:?}"
    );
    let first = link(&listed.iter().collect::<Vec<_>>(), "eth0").unwrap().clone();
    assert_eq!((first.mac, first.mtu), (MAC, 1500));

    ip("addr add 192.0.2.2/24 dev eth0");
    let own: outrigger_sdk::IpNet = "192.0.2.2/24".parse().unwrap();
    until(&mut links, |links| link(links, "eth0").unwrap().addresses.contains(&own)).await;
    ip("addr del 192.0.2.2/24 dev eth0");
    until(&mut links, |links| !link(links, "eth0").unwrap().addresses.contains(&own)).await;

    ip("link set peer0 down");
    until(&mut links, eth0(|link| !link.up)).await;
    ip("link set peer0 up");
    let moved = move |links: &[&Link]| {
        link(links, "eth0").is_some_and(|link| link.up && link.generation > first.generation)
    };
    let back = until(&mut links, moved).await;
    let generation = link(&back.iter().collect::<Vec<_>>(), "eth0").unwrap().generation;

    ip("link set eth0 address 02:00:00:00:00:07");
    let new_mac = MacAddr::new(2, 0, 0, 0, 0, 7);
    until(&mut links, move |links| {
        link(links, "eth0").is_some_and(|link| link.mac == new_mac && link.generation > generation)
    })
    .await;

    ip("link set eth0 master br0");
    until(&mut links, |links| link(links, "eth0").is_none() && link(links, "br0").is_some()).await;
    ip("link set eth0 nomaster");
    until(&mut links, |links| link(links, "eth0").is_some()).await;
    ip("link del eth0");
    until(&mut links, |links| link(links, "peer0").is_none()).await;
}

/// Follows a socket that overruns once and then closes: neither may lose existing links.
async fn follow_a_lossy_socket() {
    veth();
    let overrun = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::Overrun(vec![]));
    for notifications in [vec![overrun], vec![]] {
        let notifications = futures_util::stream::iter(notifications).boxed();
        let source = Source { notifications, connection: tokio::spawn(async {}) };
        let (sender, mut links) = watch::channel(Arc::new(Links::new()));
        tokio::spawn(async move {
            follow(source, Table::default(), &Excludes::default(), &sender).await
        });
        until(&mut links, |links| link(links, "eth0").is_some()).await;
        ip("link set eth0 mtu 1400");
        until(&mut links, |links| link(links, "eth0").unwrap().mtu == 1400).await;
        ip("link set eth0 mtu 1500");
    }
}

fn block_on(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future);
}

namespaced! {
    fn links_are_told_as_they_come_change_and_go() {
        block_on(follow_eth0());
    }

    fn links_are_listed_again_after_notifications_were_lost() {
        block_on(follow_a_lossy_socket());
    }
}
