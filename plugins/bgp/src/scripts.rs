//! Scripts of events for comparing two builds of this plugin: native with wasm, or one version with another. Both
//! builds must answer each call with the same effects.
use std::net::IpAddr;

use outrigger_sdk::wire::bgp::{
    self, Capability, ErrorCode, Family, GracefulRestart, Notification, Open, RefreshKind,
    RouteRefresh,
};
use outrigger_sdk::{
    Accepted, CloseReason, Closed, Denied, DesiredAddress, DesiredChanged, Duty, EndpointCount,
    Event, IpNet, Link, LinkIndex, LinksChanged, MacAddr, Opened, Resumed, ResumedEndpoint,
    Service, StopReason, Stopping, StreamBytes, Time,
};

/// Time of a call, and its events.
pub type Call = (Time, Vec<Event>);

/// Configuration of every script: a peer that is dialled, one that connects from a prefix, and one that does not exist
/// on this node.
pub const CONFIG: &str = r#"{
    "asn": 64513, "routerId": "{node-ip}", "communityAliases": {"blue": "64513:100"},
    "peers": [
        {"name": "tor", "address": "192.0.2.1", "asn": 64512, "holdTime": 9, "bfd": {},
         "gracefulRestart": {}, "maximumPrefixes": 10},
        {"name": "lab", "prefix": "198.18.0.0/15", "asn": "external", "shutdownMessage": "bye"},
        {"name": "gone", "address": "{label/example.com/tor}", "asn": 64514}
    ],
    "advertisements": [
        {"communities": ["blue", "64513:1:2"], "med": 5, "linkBandwidth": 100},
        {"aggregationLength": 24, "peers": ["tor"], "serviceSelector": {"matchLabels": {"app": "web"}}}
    ]}"#;

/// Endpoints: the stream that the first call of every script dials, the listener, and a stream that a peer opens to it.
const STREAM: u32 = 2;
const LISTENER: u32 = 1;
const INBOUND: u32 = 0x8000_0001;

/// Returns every script with its name. Each starts from [`outrigger_sdk::Origin::Fresh`] and [`CONFIG`].
pub fn scripts() -> Vec<(&'static str, Vec<Call>)> {
    let scripts = [
        ("a session comes up and routes come and go", routes()),
        ("nothing is sent before the lists arrive", partial_lists()),
        ("the peer asks again, errs and closes", conversation()),
        ("credit comes in drops", drops()),
        ("a call is refused, times out and succeeds", calls()),
        ("a neighbour connects from the prefix", dynamic()),
        ("the host cuts routes out", denied()),
        ("another instance takes over", resumed()),
        ("the node leaves", stopping(StopReason::Leave)),
        ("the daemon restarts", stopping(StopReason::Restart)),
        ("the announcer is removed", stopping(StopReason::Remove)),
    ];
    scripts.into_iter().map(|(name, calls)| (name, timed(calls))).collect()
}

/// Assigns times to the calls, one second apart.
fn timed(calls: Vec<Vec<Event>>) -> Vec<Call> {
    let time = |second: u64| Time {
        monotonic_us: second * 1_000_000,
        utc_us: 1_767_225_600_000_000 + second * 1_000_000,
    };
    (1..).map(time).zip(calls).collect()
}

fn wake() -> Vec<Event> {
    vec![Event::Wake("neighbor".into())]
}

/// Returns both full lists, with one address of each family.
fn start() -> Vec<Event> {
    let eth0 = link(2, "eth0", &["192.0.2.10/24", "2001:db8::10/64", "fe80::2/64"]);
    let wanted = vec![entry("203.0.113.1", Duty::Announce), entry("2001:db8:1::1", Duty::Announce)];
    vec![Event::LinksChanged(links(&[eth0])), Event::DesiredChanged(desired(wanted))]
}

fn opened(id: u32, remote: &str, credit: u32) -> Opened {
    let parse = |text: &str| text.parse().expect("scripts hold valid addresses");
    Opened { id, local: parse("192.0.2.10:40000"), remote: parse(remote), credit }
}

fn open(asn: u32) -> Open {
    let families = [Family::IPV4_UNICAST, Family::IPV6_UNICAST];
    let mut capabilities: Vec<Capability> = families.map(Capability::Multiprotocol).to_vec();
    capabilities.extend([
        Capability::FourOctetAs(asn),
        Capability::RouteRefresh,
        Capability::EnhancedRouteRefresh,
        Capability::GracefulRestart(GracefulRestart {
            restart_time: 120,
            families: families.map(|family| (family, false)).to_vec(),
            ..GracefulRestart::default()
        }),
    ]);
    Open { asn, hold_time: 30, router_id: [192, 0, 2, 1].into(), capabilities }
}

fn data(id: u32, message: Vec<u8>) -> Vec<Event> {
    vec![Event::Data(StreamBytes { id, data: message })]
}

/// Returns the calls that bring the dialled session up.
fn up(credit: u32) -> Vec<Vec<Event>> {
    vec![
        start(),
        vec![Event::Opened(opened(STREAM, "192.0.2.1:179", credit))],
        data(STREAM, open(64512).encode()),
        data(STREAM, bgp::keepalive()),
    ]
}

fn then(mut calls: Vec<Vec<Event>>, more: Vec<Vec<Event>>) -> Vec<Vec<Event>> {
    calls.extend(more);
    calls
}

fn change(remove: &[&str], upsert: Vec<DesiredAddress>) -> Vec<Event> {
    let remove = remove.iter().map(|text| address(text)).collect();
    vec![Event::DesiredChanged(DesiredChanged { reset: false, remove, upsert, more: false })]
}

fn routes() -> Vec<Vec<Event>> {
    let mut heavier = entry("203.0.113.1", Duty::Announce);
    heavier.local_endpoints.ready = 7;
    let many = (0..2_000_u32).map(|n| {
        let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
        entry(&address.to_string(), Duty::Announce)
    });
    then(
        up(1 << 20),
        vec![
            change(&[], vec![heavier, entry("203.0.113.2", Duty::TakeOver("b".into()))]),
            change(&["203.0.113.1"], vec![entry("203.0.113.2", Duty::HandOver("b".into()))]),
            change(&[], vec![entry("203.0.113.2", Duty::Standby("b".into()))]),
            change(&["2001:db8:1::1"], many.collect()),
            vec![Event::LinksChanged(links(&[link(2, "eth0", &["192.0.2.10/24"])]))],
            wake(),
        ],
    )
}

fn partial_lists() -> Vec<Vec<Event>> {
    let list = |reset, more, text| {
        let upsert = vec![entry(text, Duty::Announce)];
        vec![Event::DesiredChanged(DesiredChanged { reset, remove: vec![], upsert, more })]
    };
    let mut first = start();
    first.truncate(1);
    let calls = vec![
        first,
        list(true, true, "203.0.113.1"),
        vec![Event::Opened(opened(STREAM, "192.0.2.1:179", 1 << 20))],
        data(STREAM, open(64512).encode()),
        data(STREAM, bgp::keepalive()),
        list(false, false, "203.0.113.2"),
        list(true, true, "203.0.113.3"),
        list(false, false, "203.0.113.1"),
    ];
    calls
}

fn conversation() -> Vec<Vec<Event>> {
    let refresh = |family| RouteRefresh { family, kind: RefreshKind::Request }.encode();
    let prefixes: Vec<IpNet> =
        (0..11_u8).map(|n| IpNet::from(IpAddr::from([10, 9, 8, n]))).collect();
    let negotiated = bgp::Negotiated { four_octet_as: true, ..bgp::Negotiated::default() };
    let attributes =
        bgp::Attributes { as_path: bgp::AsPath::sequence([64512]), ..bgp::Attributes::default() };
    let next_hop = bgp::NextHop::V4([192, 0, 2, 1].into());
    let update = |prefixes: &[IpNet]| {
        let packed = bgp::announcements(&attributes, next_hop, prefixes, &negotiated);
        packed.expect("one attribute fits").next().expect("there are prefixes").message
    };
    let cease = Notification::with_communication(ErrorCode::ADMINISTRATIVE_RESET, "again");
    let mut calls = then(
        up(1 << 20),
        vec![
            data(STREAM, refresh(Family::IPV6_UNICAST)),
            data(STREAM, refresh(Family { afi: 25, safi: 65 })),
            data(STREAM, update(&prefixes[..9])),
            data(STREAM, update(&prefixes)),
            wake(),
        ],
    );
    calls.extend(then(up(1 << 20), vec![data(STREAM, cease.encode()), wake()]));
    calls
}

fn drops() -> Vec<Vec<Event>> {
    let drop = || vec![Event::Credit(STREAM, 40)];
    let later = then(vec![drop(); 8], vec![vec![Event::Credit(STREAM, 1 << 16)]]);
    then(up(250), later)
}

fn calls() -> Vec<Vec<Event>> {
    let closed = |id, reason| vec![Event::Closed(Closed { id, reason })];
    vec![
        start(),
        closed(STREAM, CloseReason::Refused),
        wake(),
        closed(3, CloseReason::TimedOut),
        wake(),
        wake(),
        closed(4, CloseReason::Denied("peer-not-granted".into())),
        closed(LISTENER, CloseReason::Unsupported("no VRF".into())),
        wake(),
        wake(),
        wake(),
        vec![Event::Opened(opened(5, "192.0.2.1:179", 4_096))],
        closed(5, CloseReason::Remote),
    ]
}

fn dynamic() -> Vec<Vec<Event>> {
    let accepted = |id, remote: &str| {
        let opened = opened(id, remote, 1 << 16);
        vec![Event::Accepted(Accepted { listener: LISTENER, opened })]
    };
    vec![
        start(),
        accepted(INBOUND, "198.18.0.7:50000"),
        accepted(INBOUND + 1, "198.18.0.7:50001"),
        accepted(INBOUND + 2, "10.0.0.1:50001"),
        data(INBOUND + 1, open(64777).encode()),
        data(INBOUND + 1, bgp::keepalive()),
        accepted(INBOUND + 3, "198.18.0.8:50001"),
        data(INBOUND + 3, open(64513).encode()),
        vec![Event::Closed(Closed { id: INBOUND + 1, reason: CloseReason::Reset })],
        vec![Event::Expired(77), Event::Ended(78), Event::Other("new".into())],
    ]
}

fn denied() -> Vec<Vec<Event>> {
    let refused = |effect: &str, subject: &str, reason: &str| {
        let (effect, subject, reason) = (effect.to_owned(), subject.to_owned(), reason.to_owned());
        vec![Event::Denied(Denied { effect, subject, reason })]
    };
    let denied = |subject: &str, reason: &str| refused("write", subject, reason);
    let mut calls = then(
        up(1 << 20),
        vec![
            denied("2 203.0.113.0/24", "prefix-not-desired"),
            denied("2", "churn-limit"),
            denied("nonsense", "churn-limit"),
            refused("offload", "2", "too-many-offloads"),
            refused("offload", "192.0.2.1:3784", "too-many-offloads"),
        ],
    );
    calls.extend(vec![wake(); 12]);
    calls
}

fn resumed() -> Vec<Vec<Event>> {
    let resumed = |credit, offloads: Vec<u32>| {
        let stream =
            ResumedEndpoint { opened: opened(STREAM, "192.0.2.1:179", credit), listener: false };
        let stranger = ResumedEndpoint { opened: opened(999, "192.0.2.9:179", 1), listener: false };
        vec![Event::Resumed(Resumed { open: vec![stream, stranger], offloads })]
    };
    let gone = vec![Event::Resumed(Resumed::default())];
    then(
        up(1 << 20),
        vec![
            resumed(1 << 20, vec![]),
            change(&["203.0.113.1"], vec![]),
            start(),
            resumed(1 << 20, vec![4, 5, 6, 1_000]),
            start(),
            gone,
            start(),
            wake(),
        ],
    )
}

fn stopping(reason: StopReason) -> Vec<Vec<Event>> {
    let stop = vec![Event::Stopping(Stopping { reason, within_ms: 10_000 })];
    then(up(1 << 20), vec![stop, wake(), wake(), wake(), wake(), change(&["203.0.113.1"], vec![])])
}

pub(crate) fn links(links: &[Link]) -> LinksChanged {
    LinksChanged { reset: true, remove: vec![], upsert: links.to_vec(), more: false }
}

/// Returns a link whose MAC ends in its index.
pub(crate) fn link(index: LinkIndex, name: &str, addresses: &[&str]) -> Link {
    let parse = |text: &&str| text.parse::<IpNet>().expect("scripts hold valid prefixes");
    Link {
        index,
        name: name.to_owned(),
        mac: MacAddr::new(2, 0, 0, 0, 0, index as u8),
        mtu: 1500,
        up: true,
        arp: true,
        generation: 1,
        addresses: addresses.iter().map(parse).collect(),
    }
}

/// Returns the full list of desired addresses.
pub(crate) fn desired(entries: Vec<DesiredAddress>) -> DesiredChanged {
    DesiredChanged { reset: true, remove: vec![], upsert: entries, more: false }
}

/// Returns an address of the pool `default`, for a Service labelled `app: web`, with one ready endpoint here.
pub(crate) fn entry(text: &str, duty: Duty) -> DesiredAddress {
    DesiredAddress {
        address: address(text),
        pool: "default".into(),
        services: vec![Service {
            namespace: "shop".into(),
            name: "web".into(),
            labels: vec![("app".into(), "web".into())],
            ..Service::default()
        }],
        duty,
        local_endpoints: EndpointCount { ready: 1, serving: 1, terminating: 0 },
        ext: vec![],
    }
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("scripts hold valid addresses")
}
