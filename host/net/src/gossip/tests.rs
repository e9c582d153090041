//! Datagrams over loopback.
use std::net::SocketAddr;

use super::{GossipError, GossipSocket, MAX_DATAGRAM};

#[tokio::test]
async fn datagrams_arrive_whole_with_their_sender() {
    for loopback in ["127.0.0.1:0", "[::1]:0"] {
        let address: SocketAddr = loopback.parse().unwrap();
        let (a, b) = (GossipSocket::bind(address).unwrap(), GossipSocket::bind(address).unwrap());
        let to = b.local_address().unwrap();
        for datagram in [vec![], vec![7; MAX_DATAGRAM]] {
            // The very first as well, before anything was waited for.
            assert!(a.try_send(&datagram, to));
            assert_eq!(b.receive().await.unwrap(), (datagram, a.local_address().unwrap()));
        }
        assert!(!a.try_send(&[0; MAX_DATAGRAM + 1], to));
    }
}

#[tokio::test]
async fn what_is_too_long_is_skipped() {
    let ours = GossipSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let stranger = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for length in [MAX_DATAGRAM + 1, 3] {
        stranger.send_to(&vec![1; length], ours.local_address().unwrap()).await.unwrap();
    }
    assert_eq!(ours.receive().await.unwrap().0, [1; 3]);
}

#[tokio::test]
async fn a_port_that_is_taken_and_an_address_of_others_are_named() {
    let first = GossipSocket::bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = first.local_address().unwrap();
    let taken = GossipSocket::bind(address).unwrap_err();
    assert!(matches!(taken, GossipError::PortTaken(_)));
    assert!(taken.to_string().contains(&format!("gossip port {}", address.port())), "{taken}");
    let foreign = GossipSocket::bind("192.0.2.1:7947".parse().unwrap()).unwrap_err();
    assert!(matches!(foreign, GossipError::NoSuchAddress(_)), "{foreign}");
}
