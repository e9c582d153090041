//! Scripts of events for comparing two builds of this plugin: native against wasm, or one version against another.
//! Both must answer each call with the same effects.
use std::net::{IpAddr, Ipv6Addr};

use outrigger_sdk::{
    Denied, DesiredAddress, DesiredChanged, Duty, EndpointCount, Event, Frame, IpNet, Link,
    LinkIndex, LinksChanged, MacAddr, Resumed, Service, StopReason, Stopping, Time, wire,
};

/// One call: its time and its events.
pub type Call = (Time, Vec<Event>);

const V4: &str = "192.0.2.1";
const V4_OTHER: &str = "192.0.2.2";
const V6: &str = "2001:db8::1";
/// An address in the same solicited-node group as [`V6`].
const V6_TWIN: &str = "2001:db8:1::1";

/// Returns every script with its name. Each starts from [`outrigger_sdk::Origin::Fresh`] and an empty configuration.
pub fn scripts() -> Vec<(&'static str, Vec<Call>)> {
    let scripts = [
        ("nothing is decided before the lists arrive", partial_lists()),
        ("both families come and go", both_families()),
        ("every duty in turn", duties()),
        ("a link goes down, comes up, moves and goes away", link_flap()),
        ("offloads are ended by the host", ended()),
        ("a refusal is retried", denied()),
        ("a group that was not joined is joined again", not_joined()),
        ("a link without IPv6 is for IPv4 alone", ipv4_alone()),
        ("resumed with everything active", resumed(&[1, 2, 3, 4])),
        ("resumed after a restart of the daemon", resumed(&[])),
        ("resumed with an unknown offload", resumed(&[1, 3, 77])),
        ("stopping waits for the hand-over", stopping(StopReason::Leave)),
        ("stopping before a restart", stopping(StopReason::Restart)),
        ("stopping for good", stopping(StopReason::Remove)),
        ("what is of no concern", ignored()),
    ];
    scripts.into_iter().map(|(name, calls)| (name, timed(calls))).collect()
}

/// Spaces the calls one second apart.
fn timed(calls: Vec<Vec<Event>>) -> Vec<Call> {
    let time = |second: u64| Time {
        monotonic_us: second * 1_000_000,
        utc_us: 1_767_225_600_000_000 + second * 1_000_000,
    };
    (1..).map(time).zip(calls).collect()
}

fn partial_lists() -> Vec<Vec<Event>> {
    let list = |reset, more, upsert| {
        Event::DesiredChanged(DesiredChanged { reset, remove: vec![], upsert, more })
    };
    vec![
        vec![links(&[link(2, "eth0")])],
        vec![list(true, true, vec![entry(V4, Duty::Announce)])],
        vec![list(false, true, vec![entry(V6, Duty::Announce)])],
        vec![list(false, false, vec![entry(V4_OTHER, Duty::Standby("b".into()))])],
        vec![list(true, true, vec![entry(V4_OTHER, Duty::Announce)])],
        vec![list(false, false, vec![entry(V6, Duty::Announce)])],
    ]
}

fn both_families() -> Vec<Vec<Event>> {
    vec![
        start(&[(V4, Duty::Announce), (V6, Duty::Announce)]),
        vec![duty(V6_TWIN, Duty::Announce)],
        vec![duty(V4, Duty::Announce)],
        vec![removed(V6), duty(V4_OTHER, Duty::Announce)],
        vec![removed(V4), duty(V4, Duty::Announce)],
        vec![removed(V6_TWIN)],
    ]
}

fn duties() -> Vec<Vec<Event>> {
    vec![
        start(&[(V4, Duty::Standby("b".into())), (V6, Duty::Standby(String::new()))]),
        vec![duty(V4, Duty::TakeOver("b".into())), duty(V6, Duty::HandOver("b".into()))],
        vec![duty(V4, Duty::Announce)],
        vec![duty(V4, Duty::HandOver("c".into()))],
        vec![duty(V4, Duty::Announce)],
        vec![duty(V4, Duty::Standby("c".into())), duty(V6, Duty::Standby("c".into()))],
    ]
}

fn link_flap() -> Vec<Vec<Event>> {
    let first = link(2, "eth0");
    let down = Link { up: false, ..first.clone() };
    let up = Link { generation: 2, ..first.clone() };
    let moved = Link { generation: 3, mac: MacAddr::new(2, 0, 0, 0, 0, 0xee), ..first };
    let pointless = Link { arp: false, ..link(4, "wg0") };
    vec![
        start(&[(V4, Duty::Announce), (V6, Duty::HandOver("b".into()))]),
        vec![link_change(&[], &[link(3, "eth1"), pointless])],
        vec![Event::Ended(1), link_change(&[], &[down])],
        vec![link_change(&[], &[up])],
        vec![link_change(&[], &[moved])],
        vec![link_change(&[2], &[])],
        vec![link_change(&[3], &[link(5, "eth0")])],
        vec![link_change(&[], &[link(5, "lan0")])],
        vec![link_change(&[5], &[])],
    ]
}

fn ended() -> Vec<Vec<Event>> {
    vec![
        start(&[(V4, Duty::Announce), (V6, Duty::Announce)]),
        vec![Event::Ended(1)],
        vec![Event::Ended(4), Event::Ended(99)],
        vec![Event::Ended(1), Event::Ended(2), removed(V4), duty(V4, Duty::Announce)],
        vec![Event::Ended(3), duty(V6, Duty::Standby("b".into()))],
    ]
}

fn denied() -> Vec<Vec<Event>> {
    let refusal = |effect: &str, subject: &str| {
        let reason = "churn-limit".to_owned();
        Event::Denied(Denied { effect: effect.into(), subject: subject.into(), reason })
    };
    let wake = || vec![Event::Wake("retry".into())];
    vec![
        start(&[(V4, Duty::Announce), (V6, Duty::Announce)]),
        vec![refusal("offload", V4), refusal("close", V6), refusal("offload", "203.0.113.9")],
        wake(),
        wake(),
        wake(),
        wake(),
        vec![refusal("offload", "3")],
        vec![duty(V6, Duty::Announce)],
        vec![refusal("offload", V6), duty(V6, Duty::Standby("b".into()))],
    ]
}

fn not_joined() -> Vec<Vec<Event>> {
    let denied = Event::Denied(Denied {
        effect: "join-group".into(),
        subject: "ff02::1:ff00:1".into(),
        reason: "no memory".into(),
    });
    let wake = || vec![Event::Wake("retry".into())];
    vec![
        start(&[(V6, Duty::Announce), (V6_TWIN, Duty::Announce), (V4, Duty::Announce)]),
        vec![denied],
        wake(),
        wake(),
        vec![removed(V6), removed(V6_TWIN)],
    ]
}

fn ipv4_alone() -> Vec<Vec<Event>> {
    let without = Link { addresses: vec![], ..link(3, "eth1") };
    vec![
        start(&[(V4, Duty::Announce), (V6, Duty::Announce)]),
        vec![link_change(&[2], std::slice::from_ref(&without))],
        vec![link_change(&[], &[link(3, "eth1")])],
        vec![link_change(&[], &[without])],
    ]
}

fn resumed(offloads: &[u32]) -> Vec<Vec<Event>> {
    let mut again =
        vec![Event::Resumed(Resumed { offloads: offloads.to_vec(), ..Default::default() })];
    again.extend(start(&[(V4, Duty::Announce), (V6, Duty::Announce)]));
    vec![
        start(&[(V4, Duty::Announce), (V6, Duty::Announce)]),
        again,
        vec![duty(V4_OTHER, Duty::Announce), removed(V4)],
    ]
}

fn stopping(reason: StopReason) -> Vec<Vec<Event>> {
    vec![
        start(&[(V4, Duty::Announce), (V6, Duty::Announce)]),
        vec![
            duty(V4, Duty::HandOver("b".into())),
            Event::Stopping(Stopping { reason, within_ms: 5_000 }),
        ],
        vec![duty(V4, Duty::Standby("b".into()))],
        vec![removed(V6)],
    ]
}

fn ignored() -> Vec<Vec<Event>> {
    let data = wire::announcement(address(V4), MacAddr::new(2, 0, 0, 0, 0, 0x99));
    vec![
        start(&[(V4, Duty::Announce)]),
        vec![
            Event::Frame(Frame { link: 2, data }),
            Event::Wake("nothing".into()),
            Event::Other("new".into()),
            removed(V6),
        ],
    ]
}

/// Returns both full lists: one link and these addresses.
pub(crate) fn start(desired: &[(&str, Duty)]) -> Vec<Event> {
    let upsert = desired.iter().map(|(address, duty)| entry(address, duty.clone())).collect();
    let desired = DesiredChanged { reset: true, remove: vec![], upsert, more: false };
    vec![links(&[link(2, "eth0")]), Event::DesiredChanged(desired)]
}

pub(crate) fn links(links: &[Link]) -> Event {
    let upsert = links.to_vec();
    Event::LinksChanged(LinksChanged { reset: true, remove: vec![], upsert, more: false })
}

pub(crate) fn link_change(remove: &[LinkIndex], upsert: &[Link]) -> Event {
    let (remove, upsert) = (remove.to_vec(), upsert.to_vec());
    Event::LinksChanged(LinksChanged { reset: false, remove, upsert, more: false })
}

/// Returns a usable link whose MAC address ends in its index.
pub(crate) fn link(index: LinkIndex, name: &str) -> Link {
    Link {
        index,
        name: name.to_owned(),
        mac: MacAddr::new(2, 0, 0, 0, 0, index as u8),
        mtu: 1500,
        up: true,
        arp: true,
        generation: 1,
        addresses: vec![IpNet::from(IpAddr::from(Ipv6Addr::new(
            0xfe80,
            0,
            0,
            0,
            0,
            0,
            0,
            index as u16,
        )))],
    }
}

pub(crate) fn duty(address: &str, duty: Duty) -> Event {
    let upsert = vec![entry(address, duty)];
    Event::DesiredChanged(DesiredChanged { upsert, ..DesiredChanged::default() })
}

pub(crate) fn removed(gone: &str) -> Event {
    let remove = vec![address(gone)];
    Event::DesiredChanged(DesiredChanged { remove, ..DesiredChanged::default() })
}

pub(crate) fn entry(text: &str, duty: Duty) -> DesiredAddress {
    DesiredAddress {
        address: address(text),
        pool: "default".into(),
        services: vec![Service {
            namespace: "shop".into(),
            name: "web".into(),
            ..Service::default()
        }],
        duty,
        local_endpoints: EndpointCount { ready: 1, serving: 1, terminating: 0 },
        ext: vec![],
    }
}

pub(crate) fn address(text: &str) -> IpAddr {
    text.parse().expect("scripts hold valid addresses")
}
