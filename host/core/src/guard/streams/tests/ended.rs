//! Tests of a peer that is no longer allowed, and of an instance that has failed.
use outrigger_sdk::{Accepted, CloseReason, OpenSocket};

use super::*;
use crate::guard::Ended;

/// Applies the withdrawals in these messages to the peer. Returns the error codes of the notifications that end the
/// sessions.
fn farewell(ended: &Ended, peer: &mut Peer) -> Vec<bgp::ErrorCode> {
    let reading = Negotiated::new(&open(64513), &open(64512));
    ended.messages.iter().for_each(|(_, message)| peer.read(message));
    let notification = |(_, message): &(u32, Vec<u8>)| match bgp::decode(message, &reading) {
        Ok(Message::Notification(notification)) => Some(notification.error),
        _ => None,
    };
    ended.messages.iter().filter_map(notification).collect()
}

#[test]
fn a_peer_that_is_taken_out_loses_its_routes_and_its_session_and_is_told_nothing_more() {
    let (mut guard, mut peer) = (session(), Peer::default());
    let said =
        guard.check(0, write(update(&attributes(), SELF, &[&format!("{OURS}/32")]))).unwrap();
    peer.hear(&said);
    assert_eq!(peer.0.len(), 1);
    let to = |remote: &str| remote.parse::<IpNet>().unwrap();
    let listen = |id, remote: &str| {
        let (port, protocol, options) = (179, Protocol::Bgp, vec![]);
        Effect::Listen(Listen { id, port, remote: to(remote), protocol, options })
    };
    guard.check(0, listen(STREAM + 1, "10.0.0.9/32")).unwrap();
    guard.check(0, listen(STREAM + 2, "10.0.0.8/32")).unwrap();
    let remotes = vec![to("10.0.0.8/32"), to("10.0.0.9/32")];
    let (port, protocol, options) = (3784, Protocol::Bfd, vec![]);
    let bfd = OpenSocket { id: STREAM + 3, port, remotes, protocol, options };
    guard.check(0, Effect::OpenSocket(bfd)).unwrap();

    assert_eq!(guard.allow(grant()), Ended::default(), "nothing changed");
    let ended = guard.allow(Grant { peers: vec![to("10.0.0.8/32")], ..grant() });
    assert_eq!(ended.close, [STREAM, STREAM + 1, STREAM + 3]);
    assert_eq!(farewell(&ended, &mut peer), [bgp::ErrorCode::PEER_DECONFIGURED]);
    assert!(peer.0.is_empty(), "{:?} is left", peer.0);
    // Writes are refused until the host has closed the stream, and also to a peer that had connected before.
    let again = write(update(&attributes(), SELF, &[&format!("{OURS}/32")]));
    assert_eq!(guard.check(0, again.clone()).unwrap_err().reason, Reason::PeerNotGranted);
    guard.hear(&Event::Closed(Closed { id: STREAM, reason: CloseReason::Local }));
    let (local, remote) = (SocketAddr::new(SELF.into(), 179), "10.0.0.9:4711".parse().unwrap());
    let opened = Opened { id: STREAM, local, remote, credit: 1 };
    guard.hear(&Event::Accepted(Accepted { listener: STREAM + 1, opened }));
    assert_eq!(
        guard.check(0, write(open(64512).encode())).unwrap_err().reason,
        Reason::PeerNotGranted
    );
}

#[test]
fn what_nobody_speaks_for_any_more_is_withdrawn_before_the_session_ends() {
    let (mut guard, mut peer) = (session(), Peer::default());
    peer.hear(
        &guard.check(0, write(update(&attributes(), SELF, &[&format!("{OURS}/32")]))).unwrap(),
    );
    let ended = guard.end_all();
    assert_eq!(ended.close, [STREAM]);
    assert_eq!(farewell(&ended, &mut peer), [bgp::ErrorCode::ADMINISTRATIVE_SHUTDOWN]);
    assert!(peer.0.is_empty());
}

#[test]
fn a_node_shows_itself_on_no_link_once_its_peers_there_are_taken_out() {
    let mut guard = session();
    let peers = |prefixes: &[&str]| prefixes.iter().map(|it| it.parse().unwrap()).collect();
    let on_link = Grant { peers: peers(&["10.0.0.0/24", "fe80::/10"]), ..grant() };
    assert!(!guard.allow(on_link).hides);
    let ended = guard.allow(grant());
    assert!(ended.hides && ended.close.is_empty(), "{ended:?}");
    assert!(!guard.allow(Grant { communities: None, ..grant() }).hides, "they are gone already");
}
