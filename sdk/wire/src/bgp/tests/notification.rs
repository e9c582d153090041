//! NOTIFICATION, KEEPALIVE and ROUTE-REFRESH, and the text of notifications.
use super::super::*;
use super::{external, hex, message, reset};

fn read(octets: &[u8]) -> Notification {
    match decode(octets, &Negotiated::default()) {
        Ok(Message::Notification(notification)) => notification,
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_error_is_said_in_the_words_of_iana() {
    let table: &[(&str, &str)] = &[
        ("0101", "Message Header Error/Connection Not Synchronized"),
        ("0102 0012", "Message Header Error/Bad Message Length (length 18)"),
        ("0201 0004", "OPEN Message Error/Unsupported Version Number (supports 4)"),
        ("0202", "OPEN Message Error/Bad Peer AS"),
        ("0206", "OPEN Message Error/Unacceptable Hold Time"),
        ("0309 0102", "UPDATE Message Error/Optional Attribute Error (data 01 02)"),
        ("0400", "Hold Timer Expired"),
        ("0501", "Finite State Machine Error/Unexpected Message in OpenSent State"),
        ("0601", "Cease/Maximum Number of Prefixes Reached"),
        ("0607", "Cease/Connection Collision Resolution"),
        ("060a", "Cease/BFD Down"),
        ("0663", "Cease/subcode 99"),
        ("0600", "Cease"),
        ("0701", "ROUTE-REFRESH Message Error/Invalid Message Length"),
        ("0800", "Send Hold Timer Expired"),
        ("6301", "error code 99/1"),
        ("0602 05 68656c6c6f", "Cease/Administrative Shutdown: \"hello\""),
        ("0604 00", "Cease/Administrative Reset (data 00)"),
        ("0609 0602 02 6869", "Cease/Hard Reset (Cease/Administrative Shutdown: \"hi\")"),
        ("0609 0609 0609", "Cease/Hard Reset (data 06 09 06 09)"),
        ("0609", "Cease/Hard Reset"),
    ];
    for (body, words) in table {
        assert_eq!(read(&message(3, &hex(body))).to_string(), *words);
    }
}

#[test]
fn a_shutdown_communication_is_what_rfc_9003_has_it_be() {
    let shutdown = ErrorCode::ADMINISTRATIVE_SHUTDOWN;
    let notification = Notification::with_communication(shutdown, "maintenance until 04:00 ✓");
    assert_eq!(
        read(&notification.encode()).communication().as_deref(),
        Some("maintenance until 04:00 ✓")
    );
    let long = Notification::with_communication(shutdown, &"é".repeat(200));
    assert_eq!((long.data[0], long.data.len()), (254, 255), "cut between characters");
    assert_eq!(Notification::with_communication(ErrorCode::COLLISION, "no").data, []);
    assert_eq!(Notification::with_communication(shutdown, "").data, []);
    let not_utf8 = Notification::with(shutdown, hex("03 61ff0a"));
    assert_eq!(not_utf8.communication().as_deref(), Some("a\u{fffd} "), "fit for a log");
    assert_eq!(Notification::with(shutdown, hex("09 61")).communication(), None);
}

#[test]
fn a_hard_reset_encloses_the_reason() {
    let reason = Notification::with_communication(ErrorCode::ADMINISTRATIVE_RESET, "bye");
    let hard = reason.clone().into_hard_reset();
    assert_eq!(hard.encode(), message(3, &hex("0609 0604 03 627965")));
    assert_eq!(hard.enclosed(), Some(reason.clone()));
    assert_eq!(reason.enclosed(), None);
}

#[test]
fn a_notification_never_exceeds_a_message() {
    let long = Notification::with(ErrorCode::REFRESH_LENGTH, vec![7; 70_000]);
    assert_eq!(long.encode().len(), 4096);
    assert_eq!(read(&long.encode()).data.len(), 4096 - 21);
}

#[test]
fn a_missing_capability_is_named_in_the_data() {
    let notification = missing_capabilities(&[Capability::Multiprotocol(Family::IPV6_UNICAST)]);
    assert_eq!(notification.encode(), message(3, &hex("0207 0104 0002 00 01")));
}

#[test]
fn keepalive_is_a_header_alone() {
    assert_eq!(keepalive(), message(4, &[]));
    assert_eq!(decode(&keepalive(), &Negotiated::default()), Ok(Message::Keepalive));
}

#[test]
fn a_route_refresh_of_another_length_goes_back_whole() {
    let table = [
        ("0001 00 01", Family::IPV4_UNICAST, RefreshKind::Request),
        ("0002 01 01", Family::IPV6_UNICAST, RefreshKind::Begin),
        ("0002 02 01", Family::IPV6_UNICAST, RefreshKind::End),
        ("0063 07 09", Family { afi: 99, safi: 9 }, RefreshKind::Unknown(7)),
    ];
    for (body, family, kind) in table {
        let octets = message(5, &hex(body));
        let refresh = RouteRefresh { family, kind };
        assert_eq!(decode(&octets, &external()), Ok(Message::RouteRefresh(refresh)));
        assert_eq!(refresh.encode(), octets);
    }
    for body in ["0001 00", "0001 00 01 00", ""] {
        let octets = message(5, &hex(body));
        assert_eq!(reset(&octets, &external()), (7, 1, octets), "{body}");
    }
}
