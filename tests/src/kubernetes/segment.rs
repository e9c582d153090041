//! The two segments of a laboratory: bridges in a namespace of their own, and a cable from them to every member. Knows
//! addresses and cables, and nothing of Kubernetes.
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::namespace::{Namespace, feed, ip};

/// Segment of Kubernetes: eth0 of every member, 10.77.0.0/24 and `fd77::/64`.
pub const FIRST: Segment = Segment { bridge: "br0", interface: "eth0", network: 77 };
/// Segment for the addresses of Services only: eth1 of nodes and client, 10.88.0.0/24 and `fd88::/64`.
pub const SECOND: Segment = Segment { bridge: "br1", interface: "eth1", network: 88 };

/// Network segment.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    bridge: &'static str,
    interface: &'static str,
    network: u8,
}

impl Segment {
    /// Returns the name of its members' interfaces.
    pub fn interface(self) -> &'static str {
        self.interface
    }

    /// Returns the segment with this name of its members' interfaces.
    ///
    /// # Errors
    /// When no interface has this name.
    pub fn named(interface: &str) -> Result<Self> {
        let segment = [FIRST, SECOND].into_iter().find(|segment| segment.interface == interface);
        segment.with_context(|| {
            format!("there is no interface {interface}: the interfaces are eth0 and eth1")
        })
    }
}

/// Member of a laboratory, with a namespace of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Member {
    /// etcd, the API server and the controllers.
    ControlPlane,
    /// Client outside the cluster.
    Client,
    /// Node, `n1` and so on.
    Node(u8),
}

impl Member {
    /// Returns the member of this name: `cp`, `client`, `n1`.
    ///
    /// # Errors
    /// When no member has this name.
    pub fn named(name: &str) -> Result<Self> {
        match name {
            "cp" => return Ok(Self::ControlPlane),
            "client" => return Ok(Self::Client),
            _ => {}
        }
        let number = name.strip_prefix('n').and_then(|number| number.parse().ok());
        number.map(Self::Node).with_context(|| {
            format!("{name} is not a member: the members are cp, client, n1, n2 and so on")
        })
    }

    /// Returns its name: `cp`, `client`, `n1`.
    pub fn name(self) -> String {
        match self {
            Self::ControlPlane => "cp".to_owned(),
            Self::Client => "client".to_owned(),
            Self::Node(number) => format!("n{number}"),
        }
    }

    /// Returns the last part of its addresses in writing: 11 for n1.
    pub fn host(self) -> u8 {
        match self {
            Self::ControlPlane => 1,
            Self::Client => 100,
            Self::Node(number) => 10 + number,
        }
    }

    /// Returns its IPv4 and IPv6 addresses on a segment.
    pub fn addresses(self, segment: Segment) -> (String, String) {
        let (host, network) = (self.host(), segment.network);
        (format!("10.{network}.0.{host}"), format!("fd{network}::{host}"))
    }

    /// Returns the segments it is on.
    pub fn segments(self) -> &'static [Segment] {
        if self == Self::ControlPlane { &[FIRST] } else { &[FIRST, SECOND] }
    }
}

/// Namespaces of a laboratory.
#[derive(Debug, Clone)]
pub struct Network {
    prefix: String,
    nodes: u8,
}

impl Network {
    /// Describes the laboratory with this prefix and number of nodes, existing or not.
    pub fn new(prefix: &str, nodes: u8) -> Self {
        Self { prefix: prefix.to_owned(), nodes }
    }

    /// Returns the namespace of a member.
    pub fn of(&self, member: Member) -> Namespace {
        Namespace::named(format!("{}-{}", self.prefix, member.name()))
    }

    /// Returns all members.
    pub fn members(&self) -> impl Iterator<Item = Member> + use<> {
        [Member::ControlPlane, Member::Client].into_iter().chain((1..=self.nodes).map(Member::Node))
    }

    fn bridges(&self) -> Namespace {
        Namespace::named(format!("{}-lan", self.prefix))
    }

    /// Creates namespaces, bridges, cables, addresses and the routes to the pods of every node.
    ///
    /// # Errors
    /// Returns the error of `ip`.
    pub fn build(&self) -> Result<()> {
        let mut add = format!("netns add {}\n", self.bridges().name());
        let mut cables = String::new();
        for Segment { bridge, .. } in [FIRST, SECOND] {
            cables +=
                &format!("link add {bridge} type bridge forward_delay 0\nlink set {bridge} up\n");
        }
        for member in self.members() {
            let namespace = self.of(member);
            add += &format!("netns add {}\n", namespace.name());
            for segment in member.segments() {
                let (end, Segment { bridge, interface, .. }) = (end(member, *segment), segment);
                cables += &format!(
                    "link add {end} type veth peer name {interface} netns {}\nlink set {end} master {bridge} up\n",
                    namespace.name()
                );
            }
        }
        ip(None, &add)?;
        self.bridges().ip(&cables)?;
        self.members().try_for_each(|member| self.address(member))
    }

    fn address(&self, member: Member) -> Result<()> {
        let mut batch = "link set lo up\n".to_owned();
        for segment in member.segments() {
            let ((four, six), interface) = (member.addresses(*segment), segment.interface);
            batch += &format!(
                "addr add {four}/24 dev {interface}\naddr add {six}/64 dev {interface} nodad\nlink set {interface} up\n"
            );
        }
        if member != Member::ControlPlane {
            let (four, six) = Member::ControlPlane.addresses(FIRST);
            batch += &format!("route add default via {four}\nroute add default via {six}\n");
        }
        // Pods are reached through their nodes; the client outside has no such routes.
        if member != Member::Client {
            for number in (1..=self.nodes).filter(|number| member != Member::Node(*number)) {
                let ((four, six), pods) =
                    (Member::Node(number).addresses(FIRST), pod_networks(number));
                batch +=
                    &format!("route add {} via {four}\nroute add {} via {six}\n", pods.0, pods.1);
            }
        }
        self.of(member).ip(&batch)?;
        if member == Member::Client {
            return Ok(());
        }
        let forwarding = ["net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"];
        feed(self.of(member).command(Path::new("sysctl")).arg("-qw").args(forwarding), b"")
            .map(drop)
    }

    /// Unplugs a member's cable: its carrier goes down.
    ///
    /// # Errors
    /// When there is no cable.
    pub fn cut(&self, member: Member, segment: Segment) -> Result<()> {
        self.has(member, segment)?;
        self.bridges().ip(&format!("link set {} down\n", end(member, segment)))
    }

    /// Drops a member's frames while the carrier stays up, as behind a dead switch.
    ///
    /// # Errors
    /// When there is no cable.
    pub fn hole(&self, member: Member, segment: Segment) -> Result<()> {
        self.has(member, segment)?;
        self.bridges().ip(&format!("link set {} nomaster\n", end(member, segment)))
    }

    /// Undoes [`Network::cut`] and [`Network::hole`] on both segments.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn mend(&self, member: Member) -> Result<()> {
        self.has(member, FIRST)?;
        let mend = |segment: &Segment| {
            format!("link set {} master {} up\n", end(member, *segment), segment.bridge)
        };
        self.bridges().ip(&member.segments().iter().map(mend).collect::<String>())
    }

    fn has(&self, member: Member, segment: Segment) -> Result<()> {
        let there = self.members().any(|other| other == member)
            && member.segments().iter().any(|other| other.bridge == segment.bridge);
        ensure!(there, "{} has no {} in this laboratory", member.name(), segment.interface);
        Ok(())
    }

    /// Removes the namespaces with everything in them. Missing ones are no error.
    pub fn remove(&self) {
        for namespace in self.members().map(|member| self.of(member)).chain([self.bridges()]) {
            if namespace.path().exists() {
                // Another process may have removed it first.
                let _ = ip(None, &format!("netns del {}\n", namespace.name()));
            }
        }
    }
}

/// Returns the networks of a node's pods.
pub fn pod_networks(node: u8) -> (String, String) {
    (format!("10.244.{node}.0/24"), format!("fd44:0:0:{node}::/64"))
}

/// Returns the name of a cable's end at its bridge.
fn end(member: Member, segment: Segment) -> String {
    format!("{}-{}", member.name(), segment.interface)
}
