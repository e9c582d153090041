//! Datagrams over loopback.
use std::net::SocketAddr;

use super::{GossipError, GossipSocket, MAX_DATAGRAM};

const MAGIC: [u8; 4] = *b"TEST";

fn bind(address: &str) -> Result<GossipSocket, GossipError> {
    GossipSocket::bind(address.parse().unwrap(), MAGIC)
}

/// Returns a datagram of this length: an octet, the magic, and padding.
fn datagram(length: usize) -> Vec<u8> {
    let mut all = [&[1], &MAGIC[..]].concat();
    all.resize(length, 7);
    all
}

#[tokio::test]
async fn datagrams_arrive_whole_with_their_sender() {
    for loopback in ["127.0.0.1:0", "[::1]:0"] {
        let (a, b) = (bind(loopback).unwrap(), bind(loopback).unwrap());
        let to = b.local_address().unwrap();
        for datagram in [datagram(5), datagram(MAX_DATAGRAM)] {
            // The very first one must be sent as well, before the socket was polled.
            assert!(a.try_send(&datagram, to));
            assert_eq!(b.receive().await.unwrap(), (datagram, a.local_address().unwrap()));
        }
        assert!(!a.try_send(&datagram(MAX_DATAGRAM + 1), to));
        assert!(b.try_receive().is_none());
    }
}

#[tokio::test]
async fn what_is_not_ours_does_not_leave_the_kernel() {
    for loopback in ["127.0.0.1:0", "[::1]:0"] {
        let ours = bind(loopback).unwrap();
        let stranger = tokio::net::UdpSocket::bind(loopback).await.unwrap();
        let cut = datagram(4);
        let other = [&[1], &b"TESS"[..], &[7; 60]].concat();
        for datagram in [vec![], cut, other, datagram(MAX_DATAGRAM + 1), datagram(MAX_DATAGRAM)] {
            stranger.send_to(&datagram, ours.local_address().unwrap()).await.unwrap();
        }
        assert_eq!(ours.receive().await.unwrap().0, datagram(MAX_DATAGRAM));
    }
}

#[tokio::test]
async fn a_port_that_is_taken_and_an_address_of_others_are_named() {
    let first = bind("127.0.0.1:0").unwrap();
    let address: SocketAddr = first.local_address().unwrap();
    let taken = bind(&address.to_string()).unwrap_err();
    assert!(matches!(taken, GossipError::PortTaken(_)));
    assert!(taken.to_string().contains(&format!("gossip port {}", address.port())), "{taken}");
    let foreign = bind("192.0.2.1:7947").unwrap_err();
    assert!(matches!(foreign, GossipError::NoSuchAddress(_)), "{foreign}");
}
