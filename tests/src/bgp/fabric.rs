//! Small data centre: a client, an FRR router that spreads load over equal routes, and three nodes on one segment behind it,
//! each with a standalone daemon, the service's address on its loopback, and a server.
use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use serde_json::json;

use super::outrigger::{Outrigger, VIP};
use super::router::{Kind, Router};
use super::speaker::{Bfd, Neighbor, Speaker};
use super::traffic::{Echo, Traffic};
use super::{Net, fib};

/// Address of the service.
pub const SERVICE: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
const NODES: [&str; 3] = ["s1", "s2", "s3"];
const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 254);
const ROUTER_ASN: u32 = 64512;
const NODES_ASN: u32 = 64513;

/// The whole data centre. Daemons end before the network is removed.
#[derive(Debug)]
pub struct Fabric {
    /// The standalone daemons, `s1` first; empty if another speaker takes their place.
    pub nodes: Vec<Outrigger>,
    rivals: Vec<Router>,
    /// Router between the client and the nodes.
    pub router: Router,
    _servers: Vec<Echo>,
    net: Net,
}

/// Options of the sessions.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sessions {
    /// Interval of BFD in milliseconds, with a multiplier of 3.
    pub bfd_ms: Option<u32>,
    /// Restart time of graceful restart in seconds.
    pub restart: Option<u16>,
}

impl Fabric {
    /// Builds the data centre, and waits until the router spreads load over all three nodes.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn new(sessions: Sessions) -> Result<Self> {
        Self::of(None, sessions)
    }

    /// Builds the data centre with another speaker on the nodes, for comparison.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn of(rival: Option<Kind>, sessions: Sessions) -> Result<Self> {
        let net = segment()?;
        let bfd = sessions.bfd_ms.map(|interval_ms| Bfd { interval_ms, multiplier: 3 });
        let common = |mut neighbor: Neighbor| {
            (neighbor.bfd, neighbor.restart, neighbor.hold) = (bfd, sessions.restart, 90);
            neighbor
        };
        let to_node = |host| common(Neighbor::at(node_address(host), NODES_ASN));
        let speaker = (0..NODES.len())
            .fold(Speaker::new(ROUTER_ASN, ROUTER), |speaker, host| speaker.with(to_node(host)));
        let router = Router::start(Kind::Frr, &speaker, &net.at("r"), net.folder())?;
        let (mut nodes, mut rivals) = (Vec::new(), Vec::new());
        let mut servers = Vec::new();
        for (host, name) in NODES.into_iter().enumerate() {
            servers.push(Echo::start(&net.at(name), SERVICE, name)?);
            let mut speaker = Speaker::new(NODES_ASN, node_address(host))
                .with(common(Neighbor::at(ROUTER, ROUTER_ASN)));
            if let Some(kind) = rival {
                speaker.networks = vec![VIP.to_owned()];
                rivals.push(Router::start(kind, &speaker, &net.at(name), net.folder())?);
                continue;
            }
            nodes.push(Outrigger::new(&net, name)?);
            let node = nodes.last_mut().context("it was pushed")?;
            node.speak(
                &speaker,
                json!({ "gracefulShutdown": { "enabled": sessions.restart.is_none() } }),
            )?;
            node.put_service("web", "")?;
            node.start()?;
        }
        let fabric = Self { nodes, rivals, router, _servers: servers, net };
        fabric.await_next_hops(NODES.len()).with_context(|| fabric.explain())?;
        Ok(fabric)
    }

    /// Waits until the router's kernel has this number of next hops to the service.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_next_hops(&self, count: usize) -> Result<()> {
        fib::await_next_hops(self.router.namespace(), VIP, count).map(drop)
    }

    /// Waits until BFD is up with every node.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_bfd(&self) -> Result<()> {
        crate::wait::until("BFD is up with every node", super::router::LIMIT, || {
            let up = (0..NODES.len())
                .map(|host| self.router.bfd_up(&node_address(host).to_string()))
                .collect::<Result<Vec<_>>>()?;
            Ok(up.into_iter().all(|up| up).then_some(()))
        })
        .with_context(|| self.explain())
    }

    /// Starts traffic from the client.
    ///
    /// # Errors
    /// When no socket can be opened, or no answer arrives.
    pub fn traffic(&self, flows: usize) -> Result<Traffic> {
        let traffic = Traffic::start(&self.net.at("c"), SERVICE, flows)?;
        traffic.await_flowing()?;
        Ok(traffic)
    }

    /// Returns the index of the node of this name.
    ///
    /// # Errors
    /// When no node has this name.
    pub fn index_of(&self, name: &str) -> Result<usize> {
        NODES
            .iter()
            .position(|node| *node == name)
            .with_context(|| format!("there is no node {name}"))
    }

    /// Returns the router's name for a node.
    pub fn neighbor(&self, node: usize) -> String {
        node_address(node).to_string()
    }

    /// Makes a node vanish: its port of the switch forwards nothing, and neither end loses carrier.
    ///
    /// # Errors
    /// When `bridge` fails.
    pub fn cut(&self, node: usize) -> Result<()> {
        let mut command = self.net.at("sw").command("bridge");
        let status = command.args(["link", "set", "dev", NODES[node], "state", "0"]).status()?;
        anyhow::ensure!(status.success(), "bridge failed: {status}");
        Ok(())
    }

    /// Returns the logs and states of all parts, for a failure.
    pub fn explain(&self) -> String {
        let nodes: String = self.nodes.iter().map(Outrigger::explain).collect();
        let rivals: String = self.rivals.iter().map(Router::explain).collect();
        format!("{}{nodes}{rivals}", self.router.explain())
    }
}

fn node_address(host: usize) -> Ipv4Addr {
    let host = u8::try_from(host).expect("there are three nodes");
    Ipv4Addr::new(10, 77, 0, 1 + host)
}

fn segment() -> Result<Net> {
    let net = Net::new(&["c", "r", "sw", "s1", "s2", "s3"])?;
    net.wire(("c", "eth0"), ("r", "eth1"))?;
    net.at("sw").ip("link add br0 type bridge\nlink set br0 up\n")?;
    net.wire(("r", "eth0"), ("sw", "router"))?;
    net.at("sw").ip("link set router master br0\n")?;
    net.at("c").ip("addr add 10.78.0.1/24 dev eth0\nroute add default via 10.78.0.254\n")?;
    net.at("r")
        .ip(&format!("addr add 10.78.0.254/24 dev eth1\naddr add {ROUTER}/24 dev eth0\n"))?;
    for (host, name) in NODES.into_iter().enumerate() {
        net.wire((name, "eth0"), ("sw", name))?;
        net.at("sw").ip(&format!("link set {name} master br0\n"))?;
        net.at(name).ip(&format!(
            "addr add {}/24 dev eth0\naddr add {SERVICE}/32 dev lo\nroute add default via {ROUTER}\n",
            node_address(host)
        ))?;
    }
    net.forward("r")?;
    Ok(net)
}
