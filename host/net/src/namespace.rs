//! Network namespaces for tests: each test runs in a fresh process of this test binary, in its own namespace, which
//! ends with the process. Needs `ip` (iproute2), `unshare` and `nsenter` (util-linux); no root where user namespaces
//! are allowed.
use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use outrigger_sdk::wire::{
    Arp, ArpOperation, Decoded, MacAddr, NeighborMessage, NeighborSolicitation, decode, encode,
    multicast_mac, solicited_node_group,
};
use socket2::SockFilter;

use crate::sys::{Batch, PacketSocket, Poller, boottime_us};

/// Defines tests that each run in their own network namespace: `namespaced! { fn name() { body } }`.
macro_rules! namespaced {
    ($(fn $name:ident() $body:block)+) => { $(
        #[test]
        fn $name() {
            crate::namespace::run(concat!(module_path!(), "::", stringify!($name)), || $body);
        }
    )+ };
}
pub(crate) use namespaced;

/// The two ends of the veth pair that [`veth`] makes.
pub(crate) const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
pub(crate) const PEER_MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 2);

const INSIDE: &str = "OUTRIGGER_TEST_NAMESPACE";
const PATIENCE: Duration = Duration::from_secs(5);

/// Runs the body if this process is already in the namespace; otherwise runs this one test in a process that is.
pub(crate) fn run(path: &str, body: impl FnOnce()) {
    let (_, test) = path.split_once("::").expect("a path starts with the crate");
    if std::env::var(INSIDE).is_ok_and(|inside| inside == test) {
        return body();
    }
    let mut command = Command::new("unshare");
    if std::fs::metadata("/proc/self").unwrap().uid() != 0 {
        command.args(["--user", "--map-root-user"]);
    }
    command.arg("--net").arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]).env(INSIDE, test);
    let output = command.output().expect("unshare (util-linux) is needed");
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "in its namespace:\n{out}\n{err}");
}

/// Runs `ip` with these arguments.
pub(crate) fn ip(words: &str) {
    succeeded(
        words,
        &Command::new("ip").args(words.split(' ')).output().expect("ip (iproute2) is needed"),
    );
}

fn succeeded(what: &str, output: &Output) {
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Creates eth0 and peer0, both up and without configured addresses.
pub(crate) fn veth() {
    ip(&format!("link add eth0 address {MAC} type veth peer name peer0 address {PEER_MAC}"));
    for end in ["eth0", "peer0"] {
        std::fs::write(format!("/proc/sys/net/ipv6/conf/{end}/accept_dad"), "0").unwrap();
        ip(&format!("link set {end} up"));
    }
    until_up();
}

/// Returns when both ends can send, which is some milliseconds after they were set up.
pub(crate) fn until_up() {
    let both_up = async {
        let mut links = crate::watch(crate::Excludes::default()).await.unwrap();
        let up =
            |links: &crate::Links, name| links.values().any(|link| link.name == name && link.up);
        let both = links.wait_for(|links| up(links, "eth0") && up(links, "peer0"));
        tokio::time::timeout(PATIENCE, both).await.expect("both ends come up").unwrap();
    };
    // Runs on a separate thread, since the caller may already be in a runtime.
    let wait = || {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
            .block_on(both_up)
    };
    std::thread::scope(|scope| scope.spawn(wait).join().unwrap());
}

pub(crate) fn index(name: &str) -> u32 {
    let file = format!("/sys/class/net/{name}/ifindex");
    // The mounted sysfs may be another namespace's; `ip` asks the kernel.
    let output = Command::new("ip").args(["-o", "link", "show", name]).output().unwrap();
    succeeded(&file, &output);
    String::from_utf8(output.stdout).unwrap().split(':').next().unwrap().parse().unwrap()
}

/// The far end of the wire, driven by the test.
pub(crate) struct Wire {
    socket: PacketSocket,
    poller: Poller,
    batch: Batch,
    waiting: std::collections::VecDeque<Vec<u8>>,
}

impl Wire {
    pub(crate) fn open() -> Self {
        let everything = [SockFilter::new(6, 0, 0, u32::MAX)];
        let socket =
            PacketSocket::open(index("peer0"), libc::ETH_P_ALL as u16, &everything).unwrap();
        let poller = Poller::new().unwrap();
        poller.add(socket.as_fd(), 0).unwrap();
        Self { socket, poller, batch: Batch::new(), waiting: Default::default() }
    }

    pub(crate) fn send(&self, frame: &[u8]) {
        self.socket.send(frame).unwrap();
    }

    pub(crate) fn send_all(&self, frames: &[Vec<u8>]) {
        assert_eq!(self.socket.send_all(frames), frames.len());
    }

    /// Returns the next ARP or Neighbor Discovery frame that the far end did not send itself and that is not the
    /// kernel's own.
    pub(crate) fn next(&mut self) -> Decoded {
        let deadline = boottime_us() + PATIENCE.as_micros() as u64;
        self.poller.set_deadline(deadline);
        let mut ready = Vec::new();
        loop {
            while let Some(frame) = self.waiting.pop_front() {
                match decode(&frame) {
                    // The kernel's own addresses are link-local.
                    Ok(decoded) if decoded.source != PEER_MAC && !is_kernels(&decoded) => {
                        return decoded;
                    }
                    _ => {}
                }
            }
            assert!(boottime_us() < deadline, "nothing came");
            self.poller.wait(&mut ready);
            self.batch.receive(&self.socket);
            self.waiting.extend(self.batch.frames().flatten().map(<[u8]>::to_vec));
        }
    }
}

fn is_kernels(decoded: &Decoded) -> bool {
    match decoded.message {
        NeighborMessage::Arp(_) => false,
        NeighborMessage::Solicitation(ns) => ns.target.is_unicast_link_local(),
        NeighborMessage::Advertisement(na) => na.target.is_unicast_link_local(),
    }
}

/// Returns an ARP request for `target` from the far end; a probe (RFC 5227) if `asker` is 0.0.0.0.
pub(crate) fn who_has(target: Ipv4Addr, asker: Ipv4Addr, to: MacAddr) -> Vec<u8> {
    let (operation, target_mac) = (ArpOperation::Request, MacAddr::zero());
    let arp =
        Arp { operation, sender_mac: PEER_MAC, sender_ip: asker, target_mac, target_ip: target };
    encode(to, PEER_MAC, &NeighborMessage::Arp(arp))
}

/// Returns a Neighbor Solicitation for `target`, from `::` when it is for Duplicate Address Detection.
pub(crate) fn solicitation(target: std::net::Ipv6Addr, source: std::net::Ipv6Addr) -> Vec<u8> {
    let destination = solicited_node_group(target);
    let source_link_layer = (!source.is_unspecified()).then_some(PEER_MAC);
    let message = NeighborSolicitation { source, destination, target, source_link_layer };
    encode(multicast_mac(destination), PEER_MAC, &NeighborMessage::Solicitation(message))
}

/// A second network namespace, served by the kernel's own network stack.
pub(crate) struct Client {
    holder: Child,
}

impl Client {
    pub(crate) fn start() -> Self {
        let mut command = Command::new("unshare");
        command.args(["--net", "sh", "-c", "echo there; exec cat"]);
        let mut holder = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(holder.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "there\n");
        Self { holder }
    }

    /// Moves an interface into this namespace.
    pub(crate) fn take(&self, interface: &str) {
        ip(&format!("link set {interface} netns {}", self.holder.id()));
    }

    /// Runs a script in this namespace and returns its output.
    pub(crate) fn run(&self, script: &str) -> String {
        let pid = self.holder.id().to_string();
        let mut command = Command::new("nsenter");
        let output =
            command.args(["--net", "--target", &pid, "bash", "-ec", script]).output().unwrap();
        succeeded(script, &output);
        String::from_utf8(output.stdout).unwrap()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.holder.stdin.take().map(|mut stdin| stdin.flush());
        let _ = self.holder.wait();
    }
}
