//! Kubernetes laboratory: a real cluster on this machine, in namespaces. etcd, API server, controller-manager and scheduler;
//! nodes with kubelet, containerd and kube-proxy (nftables), dual stack; a client outside the cluster. Everything it creates
//! carries the laboratory's name and is found again by it, so that several can run side by side, and one that a crash left
//! behind can be removed. It needs root. Only `controllers` knows of Outrigger.
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use nix::unistd::geteuid;

use crate::namespace::Namespace;
use crate::wait;

pub mod audit;
pub mod binaries;
mod certificates;
pub mod control_plane;
pub mod controllers;
pub mod images;
mod kubectl;
pub mod metallb;
pub mod node;
pub mod objects;
pub mod prober;
pub mod process;
pub mod segment;
pub mod web;

use binaries::Binaries;
use certificates::Certificates;
use control_plane::ControlPlane;
use images::Image;
use node::Node;
use objects::{condition, items};
use process::Identity;
use segment::{Member, Network};

/// Time limit for all nodes to be Ready.
const READY: Duration = Duration::from_secs(90);
/// Largest number of nodes: the segments have no more addresses below the client's.
const MOST_NODES: u8 = 80;
const FOLDERS: &str = "/tmp/outrigger-lab-";

/// Laboratory. Removed when dropped, unless it is [kept](Lab::keep).
#[derive(Debug)]
pub struct Lab {
    name: String,
    folder: PathBuf,
    nodes: u8,
    binaries: Binaries,
    removes: bool,
}

impl Lab {
    /// Starts a laboratory. Without nodes it is an API server and its etcd; with nodes, all of them are Ready on return.
    ///
    /// # Errors
    /// When it is up already, or something does not start, with the end of its log.
    pub fn up(name: &str, nodes: u8) -> Result<Self> {
        ensure!(geteuid().is_root(), "a Kubernetes laboratory needs root; run it with sudo");
        ensure!(nodes <= MOST_NODES, "a laboratory has at most {MOST_NODES} nodes");
        let missing: Vec<_> =
            binaries::missing_programs().iter().map(|(_, package)| *package).collect();
        ensure!(
            missing.is_empty(),
            "install what is missing with: apt-get install {}",
            missing.join(" ")
        );
        sweep();
        let folder = folder_of(name)?;
        let binaries = Binaries::obtain(if nodes == 0 { binaries::API } else { binaries::ALL })?;
        if let Err(error) = fs::create_dir(&folder) {
            ensure!(folder.exists(), "cannot make {}: {error}", folder.display());
            bail!(
                "laboratory {name} is already up. To remove it, run: cargo xtask lab --name {name} down"
            );
        }
        // Written before anything else is created: `down` finds what to remove by these two files.
        let owner =
            Identity::of(std::process::id()).context("this process has no entry in /proc")?;
        fs::write(folder.join("owner"), owner.line())?;
        fs::write(folder.join("nodes"), nodes.to_string())?;
        let lab = Self { name: name.to_owned(), folder, nodes, binaries, removes: true };
        lab.start().with_context(|| format!("laboratory {name} does not come up"))?;
        Ok(lab)
    }

    /// Finds the laboratory of this name, which another process started and will remove.
    ///
    /// # Errors
    /// When there is no such laboratory.
    pub fn find(name: &str) -> Result<Self> {
        let folder = folder_of(name)?;
        ensure!(
            folder.is_dir(),
            "there is no laboratory {name}. To start it, run: cargo xtask lab --name {name} up"
        );
        // Missing if the start was interrupted before anything else was created.
        let nodes = fs::read_to_string(folder.join("nodes")).unwrap_or_default();
        let nodes = nodes.parse().unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            folder,
            nodes,
            binaries: Binaries::found()?,
            removes: false,
        })
    }

    /// Keeps the laboratory when this is dropped and when this process ends.
    ///
    /// # Errors
    /// When that cannot be recorded.
    pub fn keep(&mut self) -> Result<()> {
        fs::remove_file(self.folder.join("owner")).context("cannot keep the laboratory")?;
        self.removes = false;
        Ok(())
    }

    fn start(&self) -> Result<()> {
        let network = self.network();
        network.build()?;
        let certificates = Certificates::make(&self.folder.join("certificates"))?;
        let admin = certificates.kubeconfig("admin", "admin", "system:masters")?;
        fs::copy(admin, self.kubeconfig())?;
        certificates.anonymous_kubeconfig()?;
        let control_plane = self.control_plane();
        if self.nodes == 0 {
            return control_plane.start();
        }
        std::thread::scope(|scope| {
            // This needs no API server, which takes as long to start.
            let prepared = scope.spawn(|| self.prepare_nodes(&certificates));
            control_plane.start()?;
            control_plane.start_controllers()?;
            prepared.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        self.on_all_nodes(|node| node.join(&self.binaries))?;
        self.await_nodes()
    }

    fn prepare_nodes(&self, certificates: &Certificates) -> Result<()> {
        let pause = images::compile("pause", &self.folder)?;
        let images = [(node::PAUSE, "pause"), (web::IMAGE, "web")]
            .map(|(name, program)| images::of_program(name, program, &self.folder));
        let images = images.into_iter().collect::<Result<Vec<_>>>()?;
        self.on_all_nodes(|node| node.prepare(certificates, &pause, &images))
    }

    /// Waits until every node is Ready.
    ///
    /// # Errors
    /// When that does not happen in time, with the end of the kubelets' logs.
    pub fn await_nodes(&self) -> Result<()> {
        let what = format!("{} nodes are Ready", self.nodes);
        wait::until(&what, READY, || {
            let nodes = self.get_json(&["nodes"])?;
            let ready =
                items(&nodes).iter().filter(|node| condition(node, "Ready") == Some("True"));
            if ready.count() == usize::from(self.nodes) {
                return Ok(Some(()));
            }
            std::thread::sleep(Duration::from_millis(100));
            Ok(None)
        })
        .with_context(|| {
            self.nodes().map(|node| node.process("kubelet").log_tail()).collect::<String>()
        })
    }

    /// Removes this laboratory and nothing else, including the remains of a crashed one.
    ///
    /// # Errors
    /// When something cannot be removed. The rest is removed, and the call can be repeated.
    pub fn down(mut self) -> Result<()> {
        self.removes = false;
        self.remove()
    }

    fn remove(&self) -> Result<()> {
        self.on_all_nodes(Node::kill)?;
        self.control_plane().kill()?;
        self.network().remove();
        // These last: as long as they exist, the remains of an interruption are found and removed.
        let last = ["owner", "nodes"].map(|name| self.folder.join(name));
        for entry in fs::read_dir(&self.folder)? {
            let path = entry?.path();
            let removed = match path.is_dir() {
                _ if last.contains(&path) => continue,
                true => fs::remove_dir_all(&path),
                false => fs::remove_file(&path),
            };
            removed.with_context(|| format!("cannot remove {}", path.display()))?;
        }
        fs::remove_dir_all(&self.folder)
            .with_context(|| format!("cannot remove {}", self.folder.display()))
    }

    // ---- content ----

    /// Returns the laboratory's own folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the kubeconfig of the administrator. Its server is reachable from inside the laboratory.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kubeconfig")
    }

    /// Returns the control plane, to be stopped and started.
    pub fn control_plane(&self) -> ControlPlane<'_> {
        let namespace = self.network().of(Member::ControlPlane);
        ControlPlane::new(&self.folder, namespace, &self.binaries)
    }

    /// Returns the nodes, `n1` first.
    pub fn nodes(&self) -> impl Iterator<Item = Node> + use<> {
        let (network, folder) = (self.network(), self.folder.clone());
        (1..=self.nodes)
            .map(move |number| Node::new(number, &folder, network.of(Member::Node(number))))
    }

    /// Returns a node by its name.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn node(&self, name: &str) -> Result<Node> {
        let node = self.nodes().find(|node| node.name() == name);
        node.with_context(|| format!("laboratory {} has no node {name}", self.name))
    }

    /// Returns the network of a member: `cp`, `client`, `n1`.
    ///
    /// # Errors
    /// When no member has this name.
    pub fn namespace(&self, member: &str) -> Result<Namespace> {
        Ok(self.network().of(Member::named(member)?))
    }

    /// Returns the segments with their members.
    pub fn network(&self) -> Network {
        Network::new(&format!("outrigger-{}", self.name), self.nodes)
    }

    // ---- images ----

    /// Loads an image archive on every node.
    ///
    /// # Errors
    /// When a node does not take it.
    pub fn load(&self, archive: &Path) -> Result<()> {
        self.on_all_nodes(|node| node.load(archive))
    }

    /// Adds a name to an image of the nodes.
    ///
    /// # Errors
    /// When a node does not have it.
    pub fn tag(&self, image: &str, name: &str) -> Result<()> {
        self.on_all_nodes(|node| node.tag(image, name))
    }

    /// Builds an image of static files and loads it on every node.
    ///
    /// # Errors
    /// When a file cannot be read, or a node does not take it.
    pub fn image(&self, image: &Image) -> Result<()> {
        let archive = self.folder.join("image.tar");
        image.write(&archive)?;
        self.load(&archive)
    }

    // ---- cables ----

    /// Unplugs a member's cables: the carrier goes down on all its segments. For one segment: [`Network::cut`].
    ///
    /// # Errors
    /// When it has no cables.
    pub fn cut(&self, member: &str) -> Result<()> {
        let (member, network) = (Member::named(member)?, self.network());
        member.segments().iter().try_for_each(|segment| network.cut(member, *segment))
    }

    /// Drops a member's frames on all its segments, while the carrier stays up. For one segment: [`Network::hole`].
    ///
    /// # Errors
    /// When it has no cables.
    pub fn hole(&self, member: &str) -> Result<()> {
        let (member, network) = (Member::named(member)?, self.network());
        member.segments().iter().try_for_each(|segment| network.hole(member, *segment))
    }

    /// Undoes `cut` and `hole`.
    ///
    /// # Errors
    /// When there is no such member.
    pub fn mend(&self, member: &str) -> Result<()> {
        self.network().mend(Member::named(member)?)
    }

    fn on_all_nodes(&self, work: impl Fn(&Node) -> Result<()> + Sync) -> Result<()> {
        let nodes: Vec<_> = self.nodes().collect();
        std::thread::scope(|scope| {
            let work = &work;
            let threads: Vec<_> =
                nodes.iter().map(|node| (node, scope.spawn(move || work(node)))).collect();
            threads.into_iter().try_for_each(|(node, thread)| {
                let result = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                result.with_context(|| format!("node {}", node.name()))
            })
        })
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if self.removes
            && let Err(error) = self.remove()
        {
            eprintln!("laboratory {} cannot be removed: {error:#}", self.name);
        }
    }
}

/// Removes the laboratories whose owners ended without removing them.
pub fn sweep() {
    let folders = fs::read_dir("/tmp").into_iter().flatten().flatten().map(|entry| entry.path());
    for folder in folders {
        let path = folder.to_string_lossy();
        let Some(name) = path.strip_prefix(FOLDERS) else { continue };
        let owner = fs::read_to_string(folder.join("owner")).ok();
        let abandoned =
            owner.and_then(|text| Identity::read(&text)).is_some_and(|it| !it.is_alive());
        if abandoned && let Err(error) = Lab::find(name).and_then(Lab::down) {
            eprintln!("the remains of laboratory {name} cannot be removed: {error:#}");
        }
    }
}

/// Returns the folder of a name, which is part of names of namespaces and cgroups and must therefore be short and plain.
fn folder_of(name: &str) -> Result<PathBuf> {
    let plain = |letter: u8| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    ensure!(
        (1..=20).contains(&name.len()) && name.bytes().all(plain),
        "{name:?} is not a name for a laboratory: use at most 20 letters a to z and digits"
    );
    Ok(PathBuf::from(format!("{FOLDERS}{name}")))
}

#[cfg(test)]
mod tests;
