//! The effect of one packet on a session (RFC 5880 section 6.8.6).
use super::*;

fn from_peer(packet: ControlPacket) -> Vec<u8> {
    let packet =
        ControlPacket { detect_mult: 3, my_discriminator: 0x0202, required_min_rx_us: 1, ..packet };
    packet.encode().to_vec()
}

pub(super) fn at(state: State) -> Node {
    let mut node = Node::new(settings("192.0.2.2", 50_000, 3), 0x0101);
    let mut hear = |state| {
        let your_discriminator = 0x0101;
        let packet = ControlPacket { state, your_discriminator, ..ControlPacket::default() };
        node.arrive(0, "192.0.2.2".parse().expect("an address"), 255, from_peer(packet));
    };
    match state {
        State::Down => {}
        State::Init => hear(State::Down),
        State::Up => hear(State::Init),
        State::AdminDown => node.act(0, |session, effects| session.administer(true, effects)),
    }
    assert_eq!(node.session.state(), state);
    node
}

#[test]
fn every_state_follows_every_packet_as_section_6_8_6_says() {
    use State::{AdminDown, Down, Init, Up};
    let table = [
        (Down, AdminDown, Down),
        (Down, Down, Init),
        (Down, Init, Up),
        (Down, Up, Down),
        (Init, AdminDown, Down),
        (Init, Down, Init),
        (Init, Init, Up),
        (Init, Up, Up),
        (Up, AdminDown, Down),
        (Up, Down, Down),
        (Up, Init, Up),
        (Up, Up, Up),
        (AdminDown, AdminDown, AdminDown),
        (AdminDown, Down, AdminDown),
        (AdminDown, Init, AdminDown),
        (AdminDown, Up, AdminDown),
    ];
    for (before, heard, after) in table {
        let mut node = at(before);
        let changes = node.changes.len();
        let packet =
            ControlPacket { state: heard, your_discriminator: 0x0101, ..ControlPacket::default() };
        node.arrive(1, "192.0.2.2".parse().expect("an address"), 255, from_peer(packet));
        assert_eq!(node.session.state(), after, "{before} hears {heard}");
        let changed = (before == Up) != (after == Up);
        assert_eq!(node.changes.len() - changes, usize::from(changed), "{before} hears {heard}");
        let mut node = at(before);
        node.act(1, Session::expired);
        let expected = if before == AdminDown { AdminDown } else { Down };
        assert_eq!(node.session.state(), expected, "{before} hears nothing");
    }
}

#[test]
fn what_is_not_for_this_session_changes_nothing() {
    let packet = ControlPacket {
        state: State::Down,
        your_discriminator: 0x0101,
        ..ControlPacket::default()
    };
    let other = ControlPacket { your_discriminator: 0x0999, ..packet };
    let mut broken = from_peer(packet);
    broken[2] = 0;
    let table = [
        (from_peer(packet), 254, Ignored::HopLimit),
        (from_peer(other), 255, Ignored::OtherSession),
        (broken, 255, Ignored::Discard(Discard::DetectMult)),
    ];
    for (data, hop_limit, expected) in table {
        let mut node = at(State::Up);
        let before = node.session.clone();
        node.arrive(1, "192.0.2.2".parse().expect("an address"), hop_limit, data);
        assert_eq!(node.ignored, [expected]);
        assert_eq!(node.session, before);
    }
}

#[test]
fn every_poll_is_answered_at_once_and_a_peer_that_wants_nothing_gets_nothing() {
    let mut node = at(State::Up);
    let poll = ControlPacket {
        state: State::Up,
        poll: true,
        your_discriminator: 0x0101,
        ..ControlPacket::default()
    };
    for _ in 0..2 {
        node.sent.clear();
        node.arrive(1, "192.0.2.2".parse().expect("an address"), 255, from_peer(poll));
        let answers = node.sent.iter().filter(|(_, it)| it.is_final && !it.poll).count();
        assert_eq!(answers, 1);
    }
    let deaf = ControlPacket { poll: false, required_min_rx_us: 0, detect_mult: 3, ..poll };
    let deaf = ControlPacket { my_discriminator: 0x0202, ..deaf };
    node.arrive(2, "192.0.2.2".parse().expect("an address"), 255, deaf.encode().to_vec());
    assert!(!node.session.report("r").ext.iter().any(|(name, _)| name == "transmit-interval"));
}
