//! Tests with real sockets in their own namespaces: the far end uses the standard library.
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use outrigger_sdk::wire::bfd::ControlPacket;
use outrigger_sdk::wire::bgp;
use outrigger_sdk::{
    Accepted, CloseReason, Closed, Connect, DatagramBeacon, Event, Listen, OffloadWork, OpenSocket,
    Opened, Protocol, SendDatagram, SocketOption, StreamBytes,
};

use super::{Keys, SecretKey, StreamSink, Streams, StreamsHandle};
use crate::Owner;
use crate::namespace::{ip, namespaced};

mod one_port;

const OWNER: Owner = 1;
const PATIENCE: Duration = Duration::from_secs(5);
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

struct Inbox {
    news: mpsc::Sender<(Owner, Event)>,
    room: AtomicBool,
    heard: AtomicBool,
}

impl StreamSink for Inbox {
    fn event(&self, owner: Owner, event: Event) {
        self.news.send((owner, event)).unwrap();
    }
    fn has_room(&self, _owner: Owner) -> bool {
        self.room.load(Ordering::SeqCst)
    }
    fn is_heard(&self, _owner: Owner) -> bool {
        self.heard.load(Ordering::SeqCst)
    }
}

struct Bench {
    handle: StreamsHandle,
    news: mpsc::Receiver<(Owner, Event)>,
    inbox: Arc<Inbox>,
    _streams: Streams,
}

impl Bench {
    fn new() -> Self {
        ip("link set lo up");
        let (sender, news) = mpsc::channel();
        let (room, heard) = (AtomicBool::new(true), AtomicBool::new(true));
        let inbox = Arc::new(Inbox { news: sender, room, heard });
        let streams = Streams::start(inbox.clone()).unwrap();
        Self { handle: streams.handle(), news, inbox, _streams: streams }
    }

    fn next(&self) -> Event {
        self.news.recv_timeout(PATIENCE).expect("an event").1
    }

    fn silent_for(&self, ms: u64) {
        if let Ok(event) = self.news.recv_timeout(Duration::from_millis(ms)) {
            panic!("{event:?}");
        }
    }

    fn listen(&self, owner: Owner, id: u32, remote: &str, options: Vec<SocketOption>, keys: &Keys) {
        let remote = remote.parse().unwrap();
        let listen = Listen { id, port: 1790, remote, protocol: Protocol::Bgp, options };
        self.handle.listen(owner, listen, keys).unwrap();
    }

    /// Connects a stream of this number to a listener of the test, and returns its far end.
    fn connected(&self, id: u32) -> (TcpStream, Opened) {
        let listener = TcpListener::bind((HERE, 0)).unwrap();
        self.connect(id, listener.local_addr().unwrap(), vec![]);
        let (far, _) = listener.accept().unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let Event::Opened(opened) = self.next() else { panic!("it opens") };
        (far, opened)
    }

    fn connect(&self, id: u32, remote: SocketAddr, options: Vec<SocketOption>) {
        let connect = Connect { id, remote, protocol: Protocol::Bgp, options };
        self.handle.connect(OWNER, connect, &Keys::default()).unwrap();
    }
}

fn data(event: Event) -> Vec<u8> {
    let Event::Data(StreamBytes { data, .. }) = event else { panic!("{event:?}") };
    data
}

fn reason(event: Event) -> CloseReason {
    let Event::Closed(Closed { reason, .. }) = event else { panic!("{event:?}") };
    reason
}

fn since(begin: outrigger_sdk::Time) -> Duration {
    Duration::from_micros(crate::now().monotonic_us - begin.monotonic_us)
}

namespaced! {
    fn one_message_is_one_event_however_the_octets_come_and_a_bad_header_comes_alone() {
        let bench = Bench::new();
        let (mut far, _) = bench.connected(1);
        let notification = bgp::Notification::with(bgp::ErrorCode::HOLD_TIMER_EXPIRED, [1, 2, 3]).encode();
        let octets = [bgp::keepalive(), notification.clone(), bgp::keepalive()].concat();
        for octet in &octets[..30] {
            far.write_all(&[*octet]).unwrap();
        }
        far.write_all(&octets[30..]).unwrap();
        assert_eq!(data(bench.next()), bgp::keepalive());
        assert_eq!(data(bench.next()), notification);
        assert_eq!(data(bench.next()), bgp::keepalive());
        let mut long = bgp::keepalive();
        long[16..18].copy_from_slice(&4097_u16.to_be_bytes());
        far.write_all(&[long.clone(), bgp::keepalive()].concat()).unwrap();
        assert_eq!(data(bench.next()), long);
        bench.silent_for(100);
    }

    fn what_was_written_last_arrives_before_the_end_and_a_reset_is_a_reset() {
        let bench = Bench::new();
        let (mut far, _) = bench.connected(1);
        // Unread octets would turn a plain close into a reset.
        bench.inbox.room.store(false, Ordering::SeqCst);
        far.write_all(&bgp::keepalive()).unwrap();
        bench.handle.write(OWNER, 1, &bgp::keepalive()).unwrap();
        assert!(bench.handle.close(OWNER, 1));
        assert_eq!(reason(bench.next()), CloseReason::Local);
        let mut all = Vec::new();
        far.read_to_end(&mut all).unwrap();
        assert_eq!(all, bgp::keepalive());
        let (mut far, _) = bench.connected(1);
        assert!(bench.handle.abort(OWNER, 1));
        assert_eq!(far.read(&mut [0; 9]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }

    fn that_a_stream_cannot_be_opened_is_said_in_one_word() {
        let bench = Bench::new();
        bench.connect(1, "127.0.0.1:9".parse().unwrap(), vec![]);
        assert_eq!(reason(bench.next()), CloseReason::Refused);
        bench.connect(1, "192.0.2.1:9".parse().unwrap(), vec![]);
        assert!(matches!(reason(bench.next()), CloseReason::Unreachable(_)));
        let source = SocketOption::Source("192.0.2.7:0".parse().unwrap());
        bench.connect(1, "127.0.0.1:9".parse().unwrap(), vec![source]);
        assert!(matches!(reason(bench.next()), CloseReason::Unreachable(_)));
        let strange = vec![SocketOption::Other(("tcp-ao".into(), "x".into()))];
        bench.connect(1, "127.0.0.1:9".parse().unwrap(), strange);
        assert!(matches!(reason(bench.next()), CloseReason::Unsupported(_)));
    }

    fn a_vrf_that_is_not_there_is_named_with_the_fix_and_nobody_is_taken_from_another() {
        let (bench, device) = (Bench::new(), vec![SocketOption::Device("blue".into())]);
        bench.connect(1, "127.0.0.1:9".parse().unwrap(), device.clone());
        bench.listen(1, 1, "127.0.0.1/32", device.clone(), &Keys::default());
        for _ in 0..2 {
            let CloseReason::Unreachable(words) = reason(bench.next()) else { panic!() };
            assert!(words.contains("no device \"blue\"") && words.contains("type vrf"), "{words}");
        }
        assert!(TcpStream::connect("127.0.0.1:1790").is_err());
        // A missing link is waited for.
        bench.listen(1, 2, "fe80::/10", device, &Keys::default());
        bench.silent_for(100);
    }

    fn one_port_is_shared_out_by_the_longest_prefix() {
        let bench = Bench::new();
        bench.listen(1, 1, "127.0.0.0/8", vec![], &Keys::default());
        bench.listen(2, 1, "127.0.0.1/32", vec![], &Keys::default());
        let source = |last: u8| {
            let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
            socket.bind(&SocketAddr::from(([127, 0, 0, last], 0)).into()).unwrap();
            socket.connect(&"127.0.0.1:1790".parse::<SocketAddr>().unwrap().into()).unwrap();
            TcpStream::from(socket)
        };
        let (_one, _two) = (source(1), source(2));
        let mut owners = Vec::new();
        for _ in 0..2 {
            let (owner, event) = bench.news.recv_timeout(PATIENCE).unwrap();
            let Event::Accepted(Accepted { listener: 1, opened }) = event else { panic!("{event:?}") };
            assert!(opened.id > 0x8000_0000);
            owners.push((owner, opened.remote.ip().to_string()));
        }
        owners.sort();
        assert_eq!(owners, [(1, "127.0.0.2".to_owned()), (2, "127.0.0.1".to_owned())]);
        assert_eq!(bench.handle.open(2).len(), 2);
        // No listener matches: the stream is reset at once.
        bench.handle.close(1, 1);
        assert_eq!(reason(bench.next()), CloseReason::Local);
        let mut third = source(3);
        assert!(third.read(&mut [0]).is_err());
    }

    fn a_peer_that_connects_again_and_again_is_turned_away_for_a_while() {
        let bench = Bench::new();
        bench.listen(1, 1, "127.0.0.1/32", vec![], &Keys::default());
        let mut admitted = 0;
        for _ in 0..30 {
            let stream = TcpStream::connect("127.0.0.1:1790").unwrap();
            if let Ok((_, Event::Accepted(accepted))) = bench.news.recv_timeout(Duration::from_millis(50)) {
                admitted += 1;
                bench.handle.abort(1, accepted.opened.id);
                bench.next();
            }
            drop(stream);
        }
        assert!((5..20).contains(&admitted), "{admitted}");
    }

    fn nothing_is_read_while_the_owner_has_no_room() {
        let bench = Bench::new();
        let (mut far, _) = bench.connected(1);
        bench.inbox.room.store(false, Ordering::SeqCst);
        far.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while far.write(&bgp::keepalive()).is_ok_and(|count| count == 19) {
            sent += 1;
        }
        assert!(sent > 100, "the kernel's buffers hold some");
        bench.silent_for(100);
        bench.inbox.room.store(true, Ordering::SeqCst);
        bench.handle.resume(OWNER);
        for _ in 0..sent {
            assert_eq!(data(bench.next()), bgp::keepalive());
        }
    }

    fn credit_comes_back_as_the_peer_reads_and_writing_more_ends_the_stream() {
        let bench = Bench::new();
        let (mut far, opened) = bench.connected(1);
        let mut credit = opened.credit as usize;
        let chunk = bgp::keepalive().repeat(200);
        let mut written = 0;
        while written < 4 << 20 {
            if credit < chunk.len() {
                let mut some = vec![0; 1 << 20];
                far.read_exact(&mut some[..chunk.len()]).unwrap();
                while let Ok((_, event)) = bench.news.try_recv() {
                    let Event::Credit(1, more) = event else { panic!("{event:?}") };
                    credit += more as usize;
                }
                continue;
            }
            bench.handle.write(OWNER, 1, &chunk).unwrap();
            credit -= chunk.len();
            written += chunk.len();
        }
        bench.handle.write(OWNER, 1, &bgp::keepalive().repeat(1 << 20)).unwrap();
        loop {
            match bench.next() {
                Event::Credit(..) => {}
                event => break assert_eq!(reason(event), CloseReason::Overrun),
            }
        }
    }

    fn keepalives_go_on_and_the_hold_timer_runs_without_anybody() {
        let bench = Bench::new();
        let (mut far, _) = bench.connected(1);
        bench.inbox.heard.store(false, Ordering::SeqCst);
        let work = OffloadWork::Keepalive { endpoint: 1, data: bgp::keepalive(), interval_ms: 50 };
        bench.handle.offload(OWNER, 2, work).unwrap();
        let (remote, within_us) = (Ipv4Addr::UNSPECIFIED.into(), 2_000_000);
        let expect = OffloadWork::Expect { endpoint: 1, remote, within_us, then_close: true };
        bench.handle.offload(OWNER, 3, expect).unwrap();
        assert_eq!(bench.handle.offloads(OWNER), [2, 3]);
        let begin = crate::now();
        let mut octets = [0; 19 * 8];
        far.read_exact(&mut octets[..19 * 4]).unwrap();
        assert!(since(begin) >= Duration::from_millis(150), "{:?}", since(begin));
        far.write_all(&bgp::keepalive()).unwrap();
        assert_eq!(data(bench.next()), bgp::keepalive());
        let heard = crate::now();
        assert_eq!(bench.next(), Event::Expired(3));
        assert!(since(heard) >= Duration::from_millis(1_500), "{:?}", since(heard));
        assert_eq!(bench.next(), Event::Ended(2));
        assert_eq!(reason(bench.next()), CloseReason::TimedOut);
    }

    fn a_password_that_differs_is_no_connection_and_one_that_agrees_is() {
        let bench = Bench::new();
        let keys = |key: &str| Keys { md5: Some(SecretKey(key.into())) };
        bench.listen(2, 1, "127.0.0.0/24", vec![], &keys("right"));
        for (key, up) in [("wrong", false), ("right", true)] {
            let options = vec![SocketOption::ConnectTimeout(300)];
            let remote = "127.0.0.1:1790".parse().unwrap();
            let connect = Connect { id: 1, remote, protocol: Protocol::Bgp, options };
            bench.handle.connect(OWNER, connect, &keys(key)).unwrap();
            match bench.next() {
                Event::Opened(_) | Event::Accepted(_) => assert!(up),
                event => assert_eq!((reason(event), up), (CloseReason::TimedOut, false)),
            }
        }
    }

    fn ttl_security_shuts_out_whoever_is_farther_away() {
        let bench = Bench::new();
        let near = vec![SocketOption::HopLimit(255), SocketOption::MinHopLimit(255)];
        bench.listen(2, 1, "127.0.0.1/32", near.clone(), &Keys::default());
        let options = vec![SocketOption::HopLimit(64), SocketOption::ConnectTimeout(300)];
        let remote: SocketAddr = "127.0.0.1:1790".parse().unwrap();
        bench.connect(1, remote, options);
        assert_eq!(reason(bench.next()), CloseReason::TimedOut);
        bench.connect(1, remote, near);
        assert!(matches!(bench.next(), Event::Opened(_) | Event::Accepted(_)));
        assert!(matches!(bench.next(), Event::Opened(_) | Event::Accepted(_)));
    }

    fn datagrams_come_with_where_from_and_how_far_and_what_is_said_again_only_counts() {
        let bench = Bench::new();
        let open = OpenSocket {
            id: 1,
            port: 3784,
            remotes: vec!["127.0.0.1/32".parse().unwrap()],
            protocol: Protocol::Bfd,
            options: vec![SocketOption::MinHopLimit(200), SocketOption::HopLimit(255)],
        };
        bench.handle.open_socket(OWNER, open).unwrap();
        let Event::Opened(opened) = bench.next() else { panic!("it opens") };
        assert_eq!(opened.local.port(), 3784);
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        let say = |hops: u32, word: &[u8]| {
            far.set_ttl(hops).unwrap();
            far.send_to(word, "127.0.0.1:3784").unwrap();
        };
        let within_us = 1_000_000;
        let expect = OffloadWork::Expect { endpoint: 1, remote: HERE, within_us, then_close: false };
        bench.handle.offload(OWNER, 3, expect).unwrap();
        let packet = ControlPacket { my_discriminator: 7, detect_mult: 3, ..ControlPacket::default() };
        let up = packet.encode();
        say(64, &up);
        say(255, b"no BFD packet");
        say(255, &up);
        let Event::Datagram(datagram) = bench.next() else { panic!("a datagram") };
        assert_eq!((datagram.data.as_slice(), datagram.hop_limit, datagram.local), (&up[..], 255, HERE));
        assert_eq!((datagram.remote, datagram.link), (far.local_addr().unwrap(), 1));
        for _ in 0..6 {
            std::thread::sleep(Duration::from_millis(250));
            say(255, &up);
        }
        assert_eq!(bench.news.try_recv().ok(), None, "said again, and in time");
        assert_eq!(bench.next(), Event::Expired(3));
        say(255, &up);
        assert!(matches!(bench.next(), Event::Datagram(_)), "after a silence it is news again");
        let poll = ControlPacket { poll: true, ..packet }.encode();
        for _ in 0..2 {
            say(255, &poll);
            assert!(matches!(bench.next(), Event::Datagram(_)), "a question is never said in vain");
        }
    }

    fn a_beacon_keeps_its_pace_while_the_machine_is_busy() {
        let bench = Bench::new();
        let far = UdpSocket::bind("127.0.0.1:0").unwrap();
        far.set_read_timeout(Some(PATIENCE)).unwrap();
        let open = OpenSocket {
            id: 1,
            port: 0,
            remotes: vec!["127.0.0.1/32".parse().unwrap()],
            protocol: Protocol::Bfd,
            options: vec![],
        };
        bench.handle.open_socket(OWNER, open).unwrap();
        let datagram =
            SendDatagram { socket: 1, remote: far.local_addr().unwrap(), data: b"up".to_vec() };
        let beacon = DatagramBeacon { datagram, interval_us: 20_000, jitter_percent: 0, count: 50 };
        let busy = Arc::new(AtomicBool::new(true));
        let spin = |_| {
            let busy = busy.clone();
            std::thread::spawn(move || while busy.load(Ordering::Relaxed) {})
        };
        let hogs: Vec<_> = (0..4).map(spin).collect();
        let begin = crate::now();
        bench.handle.offload(OWNER, 2, OffloadWork::DatagramBeacon(beacon)).unwrap();
        for _ in 0..50 {
            far.recv(&mut [0; 9]).unwrap();
        }
        let took = since(begin);
        busy.store(false, Ordering::Relaxed);
        hogs.into_iter().for_each(|hog| hog.join().unwrap());
        assert!(took >= Duration::from_millis(900) && took < Duration::from_secs(3), "{took:?}");
        assert_eq!(bench.handle.offloads(OWNER), Vec::<u32>::new(), "all are out");
    }

    fn what_one_owner_had_is_gone_when_it_ends_and_the_port_is_free() {
        let bench = Bench::new();
        bench.listen(1, 1, "127.0.0.1/32", vec![], &Keys::default());
        let (_far, _) = bench.connected(2);
        assert_eq!(bench.handle.end_owner(1).len(), 2);
        assert_eq!(bench.handle.open(1), vec![]);
        assert!(TcpListener::bind("127.0.0.1:1790").is_ok());
    }
}
