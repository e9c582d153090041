//! UDP ports that several owners share, each with other options.
use super::*;
use crate::sys::sockets;

const OTHER: Owner = 2;
const PORT: u16 = 3784;

impl Bench {
    fn socket(&self, owner: Owner, id: u32, remote: &str, options: Vec<SocketOption>) -> Event {
        let remotes = vec![remote.parse().unwrap()];
        let open = OpenSocket { id, port: PORT, remotes, protocol: Protocol::Bfd, options };
        self.handle.open_socket(owner, open).unwrap();
        self.next()
    }

    fn send(&self, owner: Owner, socket: u32, remote: SocketAddr) {
        let data = ControlPacket::default().encode().to_vec();
        self.handle.send_datagram(owner, &SendDatagram { socket, remote, data }).unwrap();
    }
}

fn packet(discriminator: u32) -> Vec<u8> {
    let (my_discriminator, detect_mult) = (discriminator, 3);
    ControlPacket { my_discriminator, detect_mult, ..ControlPacket::default() }.encode().to_vec()
}

/// Returns a socket of the test that reports the hop limit of received datagrams.
fn far() -> (socket2::Socket, SocketAddr) {
    let far = UdpSocket::bind((HERE, 0)).unwrap();
    let address = far.local_addr().unwrap();
    let far = socket2::Socket::from(far);
    sockets::want_packet_info(&far, true).unwrap();
    (far, address)
}

fn hop_limit(far: &socket2::Socket) -> u8 {
    let begin = crate::now();
    loop {
        match sockets::receive(far) {
            Ok(Some(packet)) => return packet.hop_limit,
            _ => assert!(since(begin) < PATIENCE, "a datagram"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

namespaced! {
    fn what_one_owner_sends_has_nothing_of_anothers_options() {
        let bench = Bench::new();
        let (far, address) = far();
        let farthest = vec![SocketOption::HopLimit(1)];
        assert!(matches!(bench.socket(OTHER, 1, "127.0.0.2/32", farthest), Event::Opened(_)));
        let options = vec![SocketOption::HopLimit(255)];
        assert!(matches!(bench.socket(OWNER, 1, "127.0.0.1/32", options), Event::Opened(_)));
        assert!(matches!(bench.socket(OWNER, 2, "127.0.0.3/32", vec![]), Event::Opened(_)));
        for (owner, socket, hops) in
            [(OWNER, 1, 255), (OTHER, 1, 1), (OWNER, 1, 255), (OWNER, 2, 64), (OTHER, 1, 1)]
        {
            bench.send(owner, socket, address);
            assert_eq!(hop_limit(&far), hops, "socket {socket} of {owner}");
        }
    }

    fn a_port_of_one_device_or_one_address_leaves_the_rest_of_it_to_others() {
        let bench = Bench::new();
        ip("link add one type veth peer name two");
        ip("link set one up");
        ip("link set two up");
        let on_link = vec![SocketOption::Device("one".to_owned())];
        assert!(matches!(bench.socket(OTHER, 1, "127.0.0.0/8", on_link), Event::Opened(_)));
        let bound = vec![SocketOption::Source("127.0.0.9:3784".parse().unwrap())];
        assert!(matches!(bench.socket(OTHER, 2, "127.0.0.0/8", bound), Event::Opened(_)));
        assert!(matches!(bench.socket(OWNER, 1, "127.0.0.1/32", vec![]), Event::Opened(_)));
        let far = UdpSocket::bind((HERE, 0)).unwrap();
        for (number, (to, owner, socket)) in
            [("127.0.0.1:3784", OWNER, 1), ("127.0.0.9:3784", OTHER, 2)].into_iter().enumerate()
        {
            far.send_to(&packet(number as u32 + 1), to).unwrap();
            let (whose, event) = bench.news.recv_timeout(PATIENCE).expect("a datagram");
            let Event::Datagram(datagram) = event else { panic!("{event:?}") };
            assert_eq!((whose, datagram.socket), (owner, socket), "{to}");
        }
    }
}
