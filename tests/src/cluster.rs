//! Laboratory with daemons on its nodes: one folder of manifests, one state folder, and queries about them.
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use pnet_base::MacAddr;

use crate::daemon::{Daemon, Folders};
use crate::lab::{Lab, Node};
use crate::prober::{Probe, Prober, RATE};
use crate::{http, product, wait};

mod folders;
mod reports;

pub use folders::{digest, service};

/// Address of the Service in `examples/metallb-v0.9`.
pub const VIP: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 240);
/// Time limit after which a wait counts as failed. Far more than it takes, for busy machines.
pub const LIMIT: Duration = Duration::from_secs(120);
/// Number of consecutive requests with one answer each, all from one node, that count as settled: half a second.
const SETTLED: usize = RATE as usize / 2;

/// Announcer on the interface where the clients are.
const ON_ETH0: &str = "apiVersion: outrigger.dev/v1alpha1\nkind: Announcer\nmetadata: {name: layer2}\n\
                       spec: {plugin: layer2, interfaces: [eth0]}\n";

/// Nodes with daemons, and a client.
#[derive(Debug)]
pub struct Cluster {
    /// Daemons by node; before the laboratory, so that they end first.
    daemons: Vec<Option<Daemon>>,
    /// Segment of the nodes and the client.
    pub lab: Lab,
    manifests: PathBuf,
    state: PathBuf,
    /// Configuration file of daemons that start from now on.
    config: Option<PathBuf>,
}

impl Cluster {
    /// Creates a lone node with an empty folder of manifests and no Node object. No daemon runs yet.
    ///
    /// # Errors
    /// When the laboratory cannot be built.
    pub fn lone() -> Result<Self> {
        let lab = Lab::new(1)?;
        let (manifests, state) = (lab.folder().join("manifests"), lab.folder().join("state"));
        fs::create_dir_all(&manifests)?;
        fs::create_dir_all(&state)?;
        Ok(Self { daemons: vec![None], manifests, state, config: None, lab })
    }

    /// Creates three nodes with Node objects and the example's manifests, all daemons running and one of them answering.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn of_three() -> Result<Self> {
        Self::of_three_in(Lab::new(3)?)
    }

    /// Creates the same cluster with a separate network for all traffic between the nodes; addresses are announced on `eth0`
    /// only.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn of_three_with_management() -> Result<Self> {
        let mut lab = Lab::new(3)?;
        lab.add_management()?;
        Self::of_three_in(lab)
    }

    fn of_three_in(lab: Lab) -> Result<Self> {
        let (manifests, state) = (lab.folder().join("manifests"), lab.folder().join("state"));
        fs::create_dir_all(&manifests)?;
        fs::create_dir_all(&state)?;
        let mut cluster =
            Self { daemons: vec![None, None, None], manifests, state, config: None, lab };
        cluster.add_example()?;
        if cluster.lab.nodes.iter().any(|node| node.internal != node.address) {
            cluster.put("announcer.yaml", ON_ETH0.as_bytes())?;
        }
        for Node { name, internal: address, .. } in &cluster.lab.nodes {
            let object = format!(
                "apiVersion: v1\nkind: Node\nmetadata:\n  name: {name}\nstatus:\n  addresses:\n  - type: InternalIP\n    \
                 address: {address}\n"
            );
            cluster.put(&format!("node-{name}.yaml"), object.as_bytes())?;
        }
        for node in 0..3 {
            cluster.start(node)?;
        }
        cluster.await_service()?;
        Ok(cluster)
    }

    /// Creates a lone node that serves the example and answers.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn lone_with_example() -> Result<Self> {
        let mut cluster = Self::lone()?;
        cluster.add_example()?;
        cluster.start(0)?;
        cluster.await_service()?;
        Ok(cluster)
    }

    /// Waits until all daemons know each other and one of them answers.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn await_service(&self) -> Result<()> {
        let prober = self.probe()?;
        self.settled(&prober, None)
            .and_then(|_| self.await_members())
            .with_context(|| format!("the cluster does not start to serve\n{}", self.explain()))
    }

    /// Copies `examples/metallb-v0.9` into the manifests.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn add_example(&self) -> Result<()> {
        let example = example();
        for entry in fs::read_dir(&example).with_context(|| format!("no {}", example.display()))? {
            let entry = entry?;
            self.put(&entry.file_name().to_string_lossy(), &fs::read(entry.path())?)?;
        }
        Ok(())
    }

    // ---- daemons ----

    /// Starts the daemon of a node on the cluster's manifests.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self, node: usize) -> Result<()> {
        let manifests = self.manifests.clone();
        self.start_on(node, &manifests)
    }

    /// Sets the configuration of daemons that start from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn configure(&mut self, yaml: &str) -> Result<()> {
        let file = self.lab.folder().join("outrigger.yaml");
        fs::write(&file, yaml)?;
        self.config = Some(file);
        Ok(())
    }

    /// Starts the daemon of a node on other manifests.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start_on(&mut self, node: usize, manifests: &Path) -> Result<()> {
        let name = &self.lab.nodes[node].name;
        let (cache, log) = (
            self.lab.folder().join(format!("cache-{name}")),
            self.lab.folder().join(format!("{name}.log")),
        );
        let folders = Folders {
            manifests,
            config: self.config.as_deref(),
            state: &self.state,
            cache: &cache,
            log: &log,
        };
        self.daemons[node] = Some(Daemon::start(&self.lab.nodes[node], folders)?);
        Ok(())
    }

    /// Returns the daemon of a node.
    ///
    /// # Errors
    /// When no daemon runs there.
    pub fn daemon(&self, node: usize) -> Result<&Daemon> {
        self.daemons[node]
            .as_ref()
            .with_context(|| format!("no daemon runs on {}", self.lab.nodes[node].name))
    }

    /// Sends SIGKILL to the daemon of a node. Returns the moment.
    ///
    /// # Errors
    /// When no daemon runs there.
    pub fn kill(&mut self, node: usize) -> Result<Instant> {
        self.daemons[node].take().context("no daemon runs there")?.kill()
    }

    /// Sends SIGTERM to the daemon of a node, and waits until it has ended.
    ///
    /// # Errors
    /// When no daemon runs there, or when it does not exit successfully.
    pub fn stop(&mut self, node: usize) -> Result<()> {
        let code = self.daemons[node].take().context("no daemon runs there")?.stop()?;
        ensure!(code == Some(0), "the stopped daemon ended with {code:?}, not with 0");
        Ok(())
    }

    /// Returns the number of daemons that were started and neither stopped nor killed.
    pub fn running(&self) -> usize {
        self.daemons.iter().flatten().count()
    }

    // ---- the client's view ----

    /// Starts to send ARP requests for the VIP at full rate.
    ///
    /// # Errors
    /// When the client cannot send.
    pub fn probe(&self) -> Result<Prober> {
        Prober::start(self.lab.client.namespace(), "eth0", VIP, RATE)
    }

    /// Waits until exactly one node answers, every request once, and returns its index. With `not`, waits for another node than
    /// that.
    ///
    /// # Errors
    /// When that does not happen in time.
    pub fn settled(&self, prober: &Prober, not: Option<usize>) -> Result<usize> {
        let not = not.map(|node| self.lab.nodes[node].mac);
        let start = prober.so_far().requests();
        let mac = wait::until("exactly one node answers", LIMIT, || {
            let probe = prober.so_far();
            let fresh = probe.requests() >= start + SETTLED + 10;
            Ok(probe.settled_on(SETTLED).filter(|mac| fresh && Some(*mac) != not))
        })
        .with_context(|| format!("answers so far: {:?}", prober.so_far().by_mac()))?;
        self.index_of(mac)
    }

    /// Returns the index of the node with this hardware address.
    ///
    /// # Errors
    /// When no node has it.
    pub fn index_of(&self, mac: MacAddr) -> Result<usize> {
        self.lab
            .nodes
            .iter()
            .position(|node| node.mac == mac)
            .with_context(|| format!("{mac} is not the MAC address of a node"))
    }

    /// Waits for a 200 from port 80 of an address, requested by the client with its own kernel's neighbour discovery, and
    /// returns the body: the name of the node that accepted the connection.
    ///
    /// # Errors
    /// When there is none in time.
    pub fn get(&self, address: IpAddr) -> Result<String> {
        let address = SocketAddr::from((address, 80));
        self.lab.client.inside(|| {
            wait::until(&format!("an HTTP answer from {address}"), LIMIT, || {
                Ok(http::get(address, Duration::from_millis(200)).ok())
            })
        })
    }

    /// Fails unless every request had its answer.
    ///
    /// # Errors
    /// When one had none, with all that was received.
    pub fn nothing_lost(&self, probe: &Probe) -> Result<()> {
        let (requests, unanswered) = (probe.requests(), probe.unanswered());
        ensure!(
            unanswered == 0,
            "{unanswered} of {requests} requests had no answer; answers: {:?}",
            probe.by_mac()
        );
        Ok(())
    }
}

/// Returns the path of `examples/metallb-v0.9`.
pub fn example() -> PathBuf {
    product::root().join("examples/metallb-v0.9")
}
