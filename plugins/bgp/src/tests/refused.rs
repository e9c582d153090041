//! An effect that the host refused is never assumed to be active.
use super::*;

const STREAM: u32 = 2;

fn bench(more: &str) -> Bench {
    let mut bench = Bench::new(&format!(
        r#"{{"asn": 64513, "peers": [{{"name": "tor", "address": "192.0.2.1", "asn": 64512, "passive": false{more}}}]}}"#
    ));
    let eth0 = link(2, "eth0", &["192.0.2.10/24"]);
    bench.call(vec![Event::LinksChanged(links(&[eth0])), Event::DesiredChanged(desired(vec![]))]);
    bench
}

fn opened(bench: &mut Bench) -> Vec<String> {
    let id = match bench.speaker.state.neighbours["tor"].dial {
        crate::neighbour::Dial::Calling(id) => id,
        other => panic!("{other:?}"),
    };
    assert_eq!(id, STREAM - 1);
    let (local, remote) = ("192.0.2.10:40000".parse().unwrap(), "192.0.2.1:179".parse().unwrap());
    said(&bench.call(vec![Event::Opened(Opened { id, local, remote, credit: 65_536 })]))
}

fn data(message: Vec<u8>) -> Vec<Event> {
    vec![Event::Data(StreamBytes { id: STREAM - 1, data: message })]
}

fn established(bench: &mut Bench) {
    opened(bench);
    let capabilities = [
        bgp::Capability::Multiprotocol(bgp::Family::IPV4_UNICAST),
        bgp::Capability::FourOctetAs(64512),
    ];
    let router_id = "192.0.2.1".parse().unwrap();
    let capabilities = capabilities.to_vec();
    let open = bgp::Open { asn: 64512, hold_time: 30, router_id, capabilities };
    bench.call(data(open.encode()));
    bench.call(data(bgp::keepalive()));
    assert!(bench.speaker.state.neighbours["tor"].session().is_some());
}

fn denied(effect: &str, subject: &str, reason: &str) -> Vec<Event> {
    let (effect, subject, reason) = (effect.to_owned(), subject.to_owned(), reason.to_owned());
    vec![Event::Denied(Denied { effect, subject, reason })]
}

fn trouble(bench: &Bench) -> String {
    bench.speaker.state.neighbours["tor"].trouble()
}

#[test]
fn an_open_that_the_host_does_not_write_ends_the_attempt_and_names_the_remedy() {
    let mut bench = bench("");
    opened(&mut bench);
    let out = said(&bench.call(denied("write", "1", "capability-not-allowed")));
    assert!(out.contains(&"close 1".to_owned()), "{out:?}");
    assert!(trouble(&bench).contains("did not write the OPEN"), "{}", trouble(&bench));
    assert!(trouble(&bench).contains("allow.restartTime"), "{}", trouble(&bench));
    bench.pass(5);
    let again = said(&bench.call(vec![]));
    assert!(again.iter().any(|it| it.starts_with("connect")), "{again:?}");
}

#[test]
fn timers_and_keepalives_that_the_host_refuses_are_asked_for_again() {
    let mut bench = bench("");
    established(&mut bench);
    assert_eq!(said(&bench.call(denied("offload", "1", "too-many-offloads"))), [""; 0], "at once");
    assert!(trouble(&bench).contains("too-many-offloads"), "{}", trouble(&bench));
    bench.pass(1);
    let again = said(&bench.call(vec![]));
    let has = |start: &str| again.iter().any(|it| it.starts_with(start));
    assert!(has("expect") && has("keepalive"), "{again:?}");
    assert!(matches!(bench.wake, Wake::Never | Wake::After { ms: 1_000.., .. }), "once");
}

#[test]
fn a_beacon_of_bfd_that_the_host_refuses_is_asked_for_again() {
    let mut bench = bench(r#", "bfd": {}"#);
    established(&mut bench);
    bench.call(denied("offload", "192.0.2.1:3784", "too-many-offloads"));
    bench.pass(1);
    let again = said(&bench.call(vec![]));
    assert!(again.iter().any(|it| it.contains("DatagramBeacon")), "{again:?}");
    assert!(bench.speaker.state.neighbours["tor"].session().is_some(), "the BGP session stays up");
}
