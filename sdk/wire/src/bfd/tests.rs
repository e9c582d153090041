//! Tests each rule of RFC 5880 section 6.8.6 with a packet that breaks it, and round trips.
use proptest::prelude::*;

use super::*;

fn up() -> ControlPacket {
    ControlPacket {
        state: State::Up,
        detect_mult: 3,
        my_discriminator: 0x0102_0304,
        your_discriminator: 0x0506_0708,
        desired_min_tx_us: 50_000,
        required_min_rx_us: 50_000,
        ..ControlPacket::default()
    }
}

/// Returns a packet with one octet replaced.
fn with(packet: ControlPacket, at: usize, octet: u8) -> Vec<u8> {
    let mut octets = packet.encode().to_vec();
    octets[at] = octet;
    octets
}

#[test]
fn a_packet_has_the_layout_of_rfc_5880_section_4_1() {
    let packet = ControlPacket {
        diagnostic: Diagnostic::DetectionTimeExpired,
        state: State::Init,
        poll: true,
        required_min_echo_rx_us: 9,
        ..up()
    };
    let octets =
        [0x21, 0xa0, 3, 24, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0xc3, 0x50, 0, 0, 0xc3, 0x50, 0, 0, 0, 9];
    assert_eq!(packet.encode(), octets);
}

#[test]
fn every_stateless_rule_discards_by_its_own_name() {
    let mut zero = up();
    zero.my_discriminator = 0;
    let mut deaf = up();
    deaf.your_discriminator = 0;
    let init = ControlPacket { state: State::Init, ..deaf };
    let mut authenticated = with(up(), 3, 26);
    authenticated[1] = 0xc4;
    authenticated.extend([1, 2]);
    let table: &[(&[u8], Discard)] = &[
        (&[], Discard::Length),
        (&up().encode()[..23], Discard::Length),
        (&with(up(), 0, 0x00), Discard::Version),
        (&with(up(), 0, 0x40), Discard::Version),
        (&with(up(), 3, 23), Discard::Length),
        (&with(up(), 3, 25), Discard::Length),
        (&with(up(), 1, 0xc4), Discard::Length),
        (&with(up(), 2, 0), Discard::DetectMult),
        (&with(up(), 1, 0xc1), Discard::Multipoint),
        (&zero.encode(), Discard::MyDiscriminator),
        (&deaf.encode(), Discard::YourDiscriminator),
        (&init.encode(), Discard::YourDiscriminator),
        (&authenticated, Discard::Authenticated),
    ];
    for (octets, discard) in table {
        assert_eq!(ControlPacket::decode(octets), Err(*discard), "{octets:02x?}");
    }
}

#[test]
fn a_peer_that_has_not_heard_us_may_be_down_or_admin_down() {
    for state in [State::Down, State::AdminDown] {
        let packet = ControlPacket { state, your_discriminator: 0, ..up() };
        assert_eq!(ControlPacket::decode(&packet.encode()), Ok(packet));
    }
}

#[test]
fn octets_after_the_length_are_no_part_of_the_packet() {
    let octets = [up().encode().as_slice(), &[1, 2, 3]].concat();
    assert_eq!(ControlPacket::decode(&octets), Ok(up()));
}

fn packets() -> impl Strategy<Value = ControlPacket> {
    let flags = prop::array::uniform4(any::<bool>());
    let numbers = (1..=u32::MAX, 1..=u32::MAX, any::<[u32; 3]>());
    (0_u8..32, 0_u8..4, flags, 1..=u8::MAX, numbers).prop_map(
        |(diagnostic, state, flags, detect_mult, (mine, yours, [tx, rx, echo]))| ControlPacket {
            diagnostic: Diagnostic::from_bits(diagnostic),
            state: State::from_bits(state),
            poll: flags[0],
            is_final: flags[1],
            control_plane_independent: flags[2],
            demand: flags[3],
            detect_mult,
            my_discriminator: mine,
            your_discriminator: yours,
            desired_min_tx_us: tx,
            required_min_rx_us: rx,
            required_min_echo_rx_us: echo,
        },
    )
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(packet in packets()) {
        prop_assert_eq!(ControlPacket::decode(&packet.encode()), Ok(packet));
    }

    #[test]
    fn any_octets_decode_or_are_discarded(octets in prop::collection::vec(any::<u8>(), 0..64)) {
        if let Ok(packet) = ControlPacket::decode(&octets) {
            prop_assert_eq!(ControlPacket::decode(&packet.encode()), Ok(packet));
        }
    }
}
