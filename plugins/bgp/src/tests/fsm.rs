//! Every state with every event (RFC 4271 section 8.2.2, RFC 6608).
use super::*;

const CONFIG: &str = r#"{"asn": 64513, "peers": [{"name": "tor", "address": "192.0.2.1", "asn": 64512,
    "listen": true, "holdTime": 90, "maximumPrefixes": 1, "bfd": {}}]}"#;

/// The states of the RFC, as they occur here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    /// Shut down on purpose.
    Idle,
    /// Dialling.
    Connect,
    /// Between two connection attempts.
    Active,
    OpenSent,
    OpenConfirm,
    Established,
}

const STATES: [At; 6] =
    [At::Idle, At::Connect, At::Active, At::OpenSent, At::OpenConfirm, At::Established];

/// Endpoints: the stream in OpenSent and later, its Hold Timer, a stream the peer opens, and the listener.
const STREAM: u32 = 2;
const HOLD: u32 = 3;
const INBOUND: u32 = 0x8000_0001;
const LISTENER: u32 = 1;

fn peers_open() -> bgp::Open {
    bgp::Open {
        asn: 64512,
        hold_time: 30,
        router_id: "192.0.2.1".parse().unwrap(),
        capabilities: vec![
            bgp::Capability::Multiprotocol(bgp::Family::IPV4_UNICAST),
            bgp::Capability::FourOctetAs(64512),
            bgp::Capability::RouteRefresh,
        ],
    }
}

fn opened(id: u32) -> Opened {
    Opened {
        id,
        local: "192.0.2.10:40000".parse().unwrap(),
        remote: "192.0.2.1:179".parse().unwrap(),
        credit: 65_536,
    }
}

fn data(message: Vec<u8>) -> Vec<Event> {
    vec![Event::Data(StreamBytes { id: STREAM, data: message })]
}

fn bring_to(state: At) -> Bench {
    let config = match state {
        At::Idle => CONFIG.replace("\"holdTime\"", "\"shutdown\": true, \"holdTime\""),
        _ => CONFIG.to_owned(),
    };
    let mut bench = Bench::new(&config);
    let eth0 = link(2, "eth0", &["192.0.2.10/24"]);
    bench.call(vec![Event::LinksChanged(links(&[eth0])), Event::DesiredChanged(desired(vec![]))]);
    let path: &[Vec<Event>] =
        &[vec![Event::Opened(opened(STREAM))], data(peers_open().encode()), data(bgp::keepalive())];
    match state {
        At::Idle | At::Connect => {}
        At::Active => {
            let reason = CloseReason::Refused;
            bench.call(vec![Event::Closed(Closed { id: STREAM, reason })]);
        }
        At::OpenSent => drop(bench.call(path[0].clone())),
        At::OpenConfirm => drop([bench.call(path[0].clone()), bench.call(path[1].clone())]),
        At::Established => path.iter().for_each(|events| drop(bench.call(events.clone()))),
    }
    assert_eq!(bench.state(), format!("{state:?}"), "on the way to {state:?}");
    bench
}

impl Bench {
    fn state(&self) -> String {
        self.speaker.state.neighbours["tor"].standing().to_string()
    }
}

/// Checks the result of an event in each state, in the order of `STATES`: the next state, and the outgoing effects.
#[track_caller]
fn check(event: &str, events: Vec<Event>, expected: [(&str, &str); 6]) {
    for (state, (after, out)) in STATES.into_iter().zip(expected) {
        let mut bench = bring_to(state);
        let out_there = said(&bench.call(events.clone())).join("; ");
        let shown = (bench.state(), out_there);
        assert_eq!(shown, (after.to_owned(), out.to_owned()), "{event} in {state:?}");
    }
}

const ENDED: &str = "close 3; close 4; close 2";

fn notified(code: &str, offloads: &str) -> String {
    format!("2 NOTIFICATION {code}; {offloads}")
}

#[test]
#[expect(clippy::too_many_lines, reason = "a state table")]
fn the_peers_messages_in_every_state() {
    let (sent, confirm, up) = ("close 3; close 2", ENDED, ENDED);
    let nothing = [("Idle", ""), ("Connect", ""), ("Active", "")];
    let all = |sent: (&'static str, String),
               confirm: (&'static str, String),
               up: (&'static str, String)| {
        move |event: &str, events: Vec<Event>| {
            let [idle, connect, active] = nothing;
            let last = [(sent.0, &*sent.1), (confirm.0, &*confirm.1), (up.0, &*up.1)];
            check(event, events, [idle, connect, active, last[0], last[1], last[2]]);
        }
    };
    let open = peers_open().encode();
    all(
        ("OpenConfirm", "2 KEEPALIVE; expect 3 30s; keepalive 4 10000ms".into()),
        ("Active", notified("5/2", confirm)),
        ("Active", notified("5/3", up)),
    )("OPEN", data(open.clone()));
    all(
        ("Active", notified("5/1", sent)),
        ("Established", established()),
        ("Established", String::new()),
    )("KEEPALIVE", data(bgp::keepalive()));
    all(
        ("Active", notified("5/1", sent)),
        ("Active", notified("5/2", confirm)),
        ("Established", String::new()),
    )("UPDATE", data(bgp::end_of_rib(bgp::Family::IPV4_UNICAST)));
    let refresh =
        bgp::RouteRefresh { family: bgp::Family::IPV4_UNICAST, kind: bgp::RefreshKind::Request };
    all(
        ("Active", notified("5/1", sent)),
        ("Active", notified("5/2", confirm)),
        ("Established", String::new()),
    )("ROUTE-REFRESH", data(refresh.encode()));
    let cease = Notification::new(ErrorCode::ADMINISTRATIVE_SHUTDOWN).encode();
    all(("Active", sent.into()), ("Active", confirm.into()), ("Active", up.into()))(
        "NOTIFICATION",
        data(cease),
    );
    let mut wrong_as = peers_open();
    wrong_as.asn = 64999;
    wrong_as.capabilities[1] = bgp::Capability::FourOctetAs(64999);
    all(
        ("Active", notified("2/2", sent)),
        ("Active", notified("5/2", confirm)),
        ("Active", notified("5/3", up)),
    )("OPEN with another AS", data(wrong_as.encode()));
    let mut short = peers_open();
    short.hold_time = 1;
    all(
        ("Active", notified("2/6", sent)),
        ("Active", notified("5/2", confirm)),
        ("Active", notified("5/3", up)),
    )("OPEN with hold time 1", data(short.encode()));
    let mut unsynchronized = bgp::keepalive();
    unsynchronized[3] = 0;
    all(
        ("Active", notified("1/1", sent)),
        ("Active", notified("1/1", confirm)),
        ("Active", notified("1/1", up)),
    )("a broken marker", data(unsynchronized));
    let mut unknown = bgp::keepalive();
    unknown[18] = 9;
    all(
        ("Active", notified("1/3", sent)),
        ("Active", notified("1/3", confirm)),
        ("Active", notified("1/3", up)),
    )("message type 9", data(unknown));
    let mut overrun = bgp::end_of_rib(bgp::Family::IPV4_UNICAST);
    overrun[20] = 9;
    all(
        ("Active", notified("5/1", sent)),
        ("Active", notified("5/2", confirm)),
        ("Active", notified("3/1", up)),
    )("an UPDATE whose lengths are wrong", data(overrun));
}

/// Returns the End-of-RIB of the single family, and the start of BFD.
fn established() -> String {
    let mut bench = bring_to(At::OpenConfirm);
    let out = said(&bench.call(data(bgp::keepalive())));
    assert!(out.last().unwrap().starts_with("2 end of IPv4"), "{out:?}");
    assert_eq!(out.iter().filter(|line| line.starts_with("OpenSocket")).count(), 2, "{out:?}");
    out.join("; ")
}

#[test]
fn the_peer_exceeding_its_maximum_in_every_state() {
    let two = ["198.51.100.0/24".parse().unwrap(), "203.0.113.0/24".parse().unwrap()];
    let negotiated = Negotiated { four_octet_as: true, ..Negotiated::default() };
    let attributes =
        bgp::Attributes { as_path: bgp::AsPath::sequence([64512]), ..bgp::Attributes::default() };
    let next_hop = bgp::NextHop::V4("192.0.2.1".parse().unwrap());
    let packed: Vec<_> =
        bgp::announcements(&attributes, next_hop, &two, &negotiated).unwrap().collect();
    check(
        "two prefixes where one is allowed",
        data(packed[0].message.clone()),
        [
            ("Idle", ""),
            ("Connect", ""),
            ("Active", ""),
            ("Active", &notified("5/1", "close 3; close 2")),
            ("Active", &notified("5/2", ENDED)),
            ("Active", &notified("6/1", ENDED)),
        ],
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a state table")]
fn what_the_host_says_in_every_state() {
    check(
        "hold timer expires",
        vec![Event::Expired(HOLD)],
        [
            ("Idle", ""),
            ("Connect", ""),
            ("Active", ""),
            ("Active", &notified("4/0", "close 3; close 2")),
            ("Active", &notified("4/0", ENDED)),
            ("Active", &notified("4/0", ENDED)),
        ],
    );
    for reason in [CloseReason::Remote, CloseReason::Reset, CloseReason::TimedOut] {
        check(
            "the connection is gone",
            vec![Event::Closed(Closed { id: STREAM, reason })],
            [
                ("Idle", ""),
                ("Active", ""),
                ("Active", ""),
                ("Active", ""),
                ("Active", ""),
                ("Active", ""),
            ],
        );
    }
    let accepted = Accepted { listener: LISTENER, opened: opened(INBOUND) };
    let begin = |hold: u32| format!("2147483649 OPEN AS 64513; expect {hold} 240s");
    check(
        "the peer connects",
        vec![Event::Accepted(accepted)],
        [
            ("Idle", "2147483649 NOTIFICATION 6/5; close 2147483649"),
            ("OpenSent", &begin(3)),
            ("OpenSent", &begin(3)),
            ("OpenSent", &begin(5)),
            ("OpenConfirm", &begin(5)),
            ("Established", &begin(9)),
        ],
    );
    check(
        "an unexpected stream opens",
        vec![Event::Opened(opened(99))],
        [
            ("Idle", "close 99"),
            ("Connect", "close 99"),
            ("Active", "close 99"),
            ("OpenSent", "close 99"),
            ("OpenConfirm", "close 99"),
            ("Established", "close 99"),
        ],
    );
    check(
        "octets may be written",
        vec![Event::Credit(STREAM, 100)],
        [
            ("Idle", ""),
            ("Connect", ""),
            ("Active", ""),
            ("OpenSent", ""),
            ("OpenConfirm", ""),
            ("Established", ""),
        ],
    );
}

#[test]
fn the_end_in_every_state() {
    let leave = Event::Stopping(Stopping { reason: StopReason::Remove, within_ms: 5_000 });
    let gone = |offloads: &str| format!("close 1; {}; drained", notified("6/2", offloads));
    check(
        "the announcer is removed",
        vec![leave],
        [
            ("Idle", "drained"),
            ("Idle", "close 1; close 2; drained"),
            ("Idle", "close 1; drained"),
            ("Idle", &gone("close 3; close 2")),
            ("Idle", &gone(ENDED)),
            ("Idle", &format!("close 1; {}; {}; drained", bfd_ends(), notified("6/2", ENDED))),
        ],
    );
}

/// Returns the effects by which BFD ends.
fn bfd_ends() -> String {
    let mut bench = bring_to(At::Established);
    let leave = Event::Stopping(Stopping { reason: StopReason::Remove, within_ms: 5_000 });
    let out = said(&bench.call(vec![leave]));
    let until = out.iter().position(|line| line.contains("NOTIFICATION")).unwrap();
    let ends = &out[1..until];
    assert!(
        ends.iter()
            .filter(|line| line.starts_with("SendDatagram") || line.contains("Beacon"))
            .count()
            >= 1
    );
    ends.join("; ")
}

#[test]
fn the_retry_timer_in_every_state() {
    for (state, expected) in
        STATES.into_iter().zip(["", "", "connect 3 to 192.0.2.1:179", "", "", ""])
    {
        let mut bench = bring_to(state);
        bench.pass(1);
        let out = said(&bench.call(vec![Event::Wake("neighbor".into())])).join("; ");
        assert_eq!(out, expected, "the retry timer in {state:?}");
    }
}

#[test]
fn bfd_down_ends_an_established_session_alone() {
    let mut bench = bring_to(At::Established);
    let numbers =
        bench.speaker.state.neighbours["tor"].liveness.as_ref().unwrap().session.numbers();
    let packet = wire::bfd::ControlPacket {
        state: wire::bfd::State::Down,
        detect_mult: 3,
        my_discriminator: 9,
        desired_min_tx_us: 300_000,
        required_min_rx_us: 300_000,
        ..Default::default()
    };
    let datagram = |packet: wire::bfd::ControlPacket| {
        Event::Datagram(Datagram {
            socket: numbers.receive,
            remote: "192.0.2.1:49152".parse().unwrap(),
            local: "192.0.2.10".parse().unwrap(),
            link: 2,
            hop_limit: 255,
            data: packet.encode().to_vec(),
        })
    };
    bench.call(vec![datagram(packet)]);
    let report =
        bench.speaker.state.neighbours["tor"].liveness.as_ref().unwrap().session.report("");
    let ours = report.ext.iter().find(|(name, _)| name == "local-discriminator").unwrap();
    let your_discriminator = ours.1.parse().unwrap();
    let init =
        wire::bfd::ControlPacket { state: wire::bfd::State::Init, your_discriminator, ..packet };
    let up = bench.call(vec![datagram(init)]);
    assert!(
        up.iter().any(|effect| matches!(effect, Effect::Report(Report::Peer(report))
        if report.protocol == "bfd" && report.state == "Up")),
        "{up:?}"
    );
    // RFC 5882 section 3.2: AdminDown does not mean that the path is down.
    let admin_down = wire::bfd::ControlPacket { state: wire::bfd::State::AdminDown, ..packet };
    bench.call(vec![datagram(admin_down)]);
    assert_eq!(bench.state(), "Established");
    bench.call(vec![datagram(packet)]);
    bench.call(vec![datagram(init)]);
    let down = bench.call(vec![Event::Expired(numbers.expect)]);
    assert!(said(&down).contains(&"2 NOTIFICATION 6/10".to_owned()), "{:?}", said(&down));
    assert_eq!(peers(&down)["tor"].last_error, "BFD Down: control detection time expired");
}

#[test]
fn bfd_outlives_a_connection_whatever_port_the_next_comes_from() {
    let mut bench = bring_to(At::Established);
    let numbers = |bench: &Bench| {
        bench.speaker.state.neighbours["tor"].liveness.as_ref().unwrap().session.numbers()
    };
    let before = numbers(&bench);
    bench.call(vec![Event::Closed(Closed { id: STREAM, reason: CloseReason::Reset })]);
    assert_eq!(bench.state(), "Active");
    let called = Opened {
        local: "192.0.2.10:179".parse().unwrap(),
        remote: "192.0.2.1:40123".parse().unwrap(),
        ..opened(INBOUND)
    };
    bench.call(vec![Event::Accepted(Accepted { listener: LISTENER, opened: called })]);
    for message in [peers_open().encode(), bgp::keepalive()] {
        bench.call(vec![Event::Data(StreamBytes { id: INBOUND, data: message })]);
    }
    assert_eq!(bench.state(), "Established");
    assert_eq!(numbers(&bench), before);
}
