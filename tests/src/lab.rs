//! One segment: a bridge, nodes and a client, each in a network namespace of its own. Needs [`crate::sandbox::enter`] before.
//! Several laboratories can run side by side; every name carries the laboratory's prefix.
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};
use pnet_base::MacAddr;

use crate::http::Server;
use crate::namespace::{Namespace, feed, ip};

/// Port of the stand-in service on every node.
const SERVICE_PORT: u16 = 8080;
/// Retry interval of the client's interface for a neighbour, instead of the kernel's 1 s, so that a measurement shows when the
/// answer was available and not when the kernel happened to ask.
const CLIENT_ARP_RETRY_MS: u32 = 20;

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Segment with nodes and a client. Removed when dropped.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
    folder: PathBuf,
    /// The nodes, `n1` first.
    pub nodes: Vec<Node>,
    /// Client of the segment.
    pub client: Node,
}

/// Way to cut a node off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing comes through, and its link stays up.
    Silent,
    /// Its link is down at the switch's end.
    Port,
    /// Its link is down at its own end.
    OwnPort,
}

/// Namespace with one interface, `eth0`, on the segment.
#[derive(Debug)]
pub struct Node {
    /// Name: "n1", or "client".
    pub name: String,
    /// IPv4 address: 192.168.1.11 for n1.
    pub address: Ipv4Addr,
    /// IPv6 address: `fd00:1::b` for n1.
    pub address6: Ipv6Addr,
    /// Address at which the other nodes reach it: `address`, or an address on a separate network.
    pub internal: Ipv4Addr,
    /// Hardware address: 02:00 followed by the IPv4 address.
    pub mac: MacAddr,
    namespace: Namespace,
    service: Option<Server>,
}

impl Lab {
    /// Builds a segment with this number of nodes, with a stand-in service on each.
    ///
    /// # Errors
    /// Returns the error of `ip` or `nft`, with the command.
    pub fn new(nodes: u8) -> Result<Self> {
        let prefix = format!("lab{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new("/run/outrigger").join(&prefix);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let mut lab = Self {
            client: Node::new(&prefix, "client".to_owned(), 10),
            nodes: (1..=nodes).map(|n| Node::new(&prefix, format!("n{n}"), 10 + n)).collect(),
            folder,
            prefix,
        };
        lab.connect()?;
        let retry =
            format!("ntable change name arp_cache dev eth0 retrans {CLIENT_ARP_RETRY_MS}\n");
        lab.client.ip(&retry)?;
        lab.client.ip(&retry.replace("arp_cache", "ndisc_cache"))?;
        for node in &mut lab.nodes {
            node.serve()?;
        }
        Ok(lab)
    }

    /// Adds a separate network, `eth1`, for all traffic between the nodes.
    ///
    /// # Errors
    /// Returns the error of `ip`.
    pub fn add_management(&mut self) -> Result<()> {
        let mut bridge = "link add br1 type bridge\nlink set br1 up\n".to_owned();
        for Node { name, namespace, .. } in &self.nodes {
            bridge += &format!(
                "link add {name}m type veth peer name eth1 netns {}\nlink set {name}m master br1 up\n",
                namespace.name()
            );
        }
        self.bridge().ip(&bridge)?;
        for node in &mut self.nodes {
            node.internal = Ipv4Addr::new(10, 9, 0, node.address.octets()[3]);
            node.ip(&format!("addr add {}/24 dev eth1\nlink set eth1 up\n", node.internal))?;
        }
        Ok(())
    }

    /// Returns a folder of this laboratory's own, in memory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the node with this hardware address.
    pub fn node_of(&self, mac: MacAddr) -> Option<&Node> {
        self.nodes.iter().find(|node| node.mac == mac)
    }

    fn bridge(&self) -> Namespace {
        Namespace::named(format!("{}-bridge", self.prefix))
    }

    /// Cuts a node off: the switch loses its port, with or without the node's link.
    ///
    /// # Errors
    /// Returns the error of `ip`.
    pub fn cut(&self, node: usize, how: Cut) -> Result<()> {
        let name = &self.nodes[node].name;
        self.bridge().ip(&match how {
            Cut::Silent => format!("link set {name} nomaster\n"),
            Cut::Port => format!("link set {name} down\n"),
            Cut::OwnPort => return self.nodes[node].ip("link set eth0 down\n"),
        })
    }

    /// Reconnects a node.
    ///
    /// # Errors
    /// Returns the error of `ip`.
    pub fn heal(&self, node: usize) -> Result<()> {
        let name = &self.nodes[node].name;
        self.bridge().ip(&format!("link set {name} master br0\nlink set {name} up\n"))?;
        // A link that went down has lost its IPv6 addresses.
        let node = &self.nodes[node];
        let address6 = node.address6;
        node.ip(&format!("link set eth0 up\naddr replace {address6}/64 dev eth0 nodad\n"))
    }

    fn connect(&self) -> Result<()> {
        let members = || self.nodes.iter().chain([&self.client]);
        let mut namespaces = format!("netns add {}\n", self.bridge().name());
        let mut bridge = "link add br0 type bridge\nlink set br0 up\n".to_owned();
        for Node { name, namespace, mac, .. } in members() {
            let namespace = namespace.name();
            namespaces += &format!("netns add {namespace}\n");
            bridge += &format!(
                "link add {name} type veth peer name eth0 address {mac} netns {namespace}\n"
            );
            bridge += &format!("link set {name} master br0 up\n");
        }
        ip(None, &namespaces)?;
        self.bridge().ip(&bridge)?;
        for node in members() {
            let Node { address, address6, .. } = node;
            node.ip(&format!(
                "link set lo up\naddr add {address}/24 dev eth0\naddr add {address6}/64 dev eth0 nodad\n\
                 link set eth0 up\n"
            ))?;
        }
        Ok(())
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let namespaces = self.nodes.iter().chain([&self.client]).map(|node| node.namespace.clone());
        let batch: String = namespaces
            .chain([self.bridge()])
            .map(|it| format!("netns del {}\n", it.name()))
            .collect();
        // An error here cannot be reported, and the kernel removes everything with the process.
        let _ = ip(None, &batch);
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Node {
    fn new(prefix: &str, name: String, host: u8) -> Self {
        Self {
            namespace: Namespace::named(format!("{prefix}-{name}")),
            name,
            address: Ipv4Addr::new(192, 168, 1, host),
            internal: Ipv4Addr::new(192, 168, 1, host),
            address6: Ipv6Addr::new(0xfd00, 1, 0, 0, 0, 0, 0, host.into()),
            mac: MacAddr::new(2, 0, 192, 168, 1, host),
            service: None,
        }
    }

    /// Runs `work` on a thread inside this node's network. Sockets it opens stay there wherever they are moved to.
    ///
    /// # Errors
    /// Returns the errors of `work`, or an error when the namespace cannot be entered.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        self.namespace.inside(work)
    }

    /// Returns its network.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns a command that runs `program` inside this node's network, and ends with the thread that starts it.
    pub fn command(&self, program: &Path) -> Command {
        self.namespace.mortal_command(program)
    }

    /// Runs lines of `ip -batch` in this node's network.
    ///
    /// # Errors
    /// Returns the error of `ip`.
    pub fn ip(&self, batch: &str) -> Result<()> {
        self.namespace.ip(batch)
    }

    /// Returns the rules that replace kube-proxy: `virtual:80` is this node's service.
    pub fn forwarding(&self) -> String {
        let Self { address, address6, .. } = self;
        format!(
            "add table ip outrigger-lab\n\
             add chain ip outrigger-lab prerouting {{ type nat hook prerouting priority dstnat; }}\n\
             add rule ip outrigger-lab prerouting ip daddr 192.168.1.224/27 tcp dport 80 dnat to {address}:{SERVICE_PORT}\n\
             add table ip6 outrigger-lab\n\
             add chain ip6 outrigger-lab prerouting {{ type nat hook prerouting priority dstnat; }}\n\
             add rule ip6 outrigger-lab prerouting ip6 daddr fd00:1::1:0/112 tcp dport 80 dnat to [{address6}]:{SERVICE_PORT}\n"
        )
    }

    /// Starts the stand-in service, which answers with the node's name, and lets virtual addresses reach it.
    fn serve(&mut self) -> Result<()> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, SERVICE_PORT));
        let name = self.name.clone();
        self.service = Some(self.inside(|| Server::start(any, name))?);
        let rules = self.forwarding();
        self.nft(&rules)
    }

    /// Runs rules of `nft` in this node's network.
    ///
    /// # Errors
    /// Returns the error of `nft`.
    pub fn nft(&self, rules: &str) -> Result<()> {
        feed(self.command(Path::new("nft")).args(["-f", "-"]), rules.as_bytes()).map(drop)
    }
}
