//! Namespaces and the wires between them, for networks of more than one segment. Needs [`crate::sandbox::enter`] before.
//! Everything is removed on drop.
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context, Result};

use crate::namespace::{Namespace, ip};

static NEXT: AtomicU32 = AtomicU32::new(1);

/// Network of namespaces.
#[derive(Debug)]
pub struct Net {
    prefix: String,
    folder: PathBuf,
    names: Vec<String>,
}

impl Net {
    /// Creates namespaces of these names, with loopback up and nothing else.
    ///
    /// # Errors
    /// Returns the error of `ip`.
    pub fn new(names: &[&str]) -> Result<Self> {
        let prefix = format!("net{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let folder = Path::new("/run/outrigger").join(&prefix);
        std::fs::create_dir_all(&folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let net =
            Self { prefix, folder, names: names.iter().map(|name| (*name).to_owned()).collect() };
        let batch = net.names.iter().map(|name| format!("netns add {}-{name}\n", net.prefix));
        ip(None, &batch.collect::<String>())?;
        for name in &net.names {
            // Without duplicate address detection: the addresses are unique by construction, and waiting is unnecessary. Router
            // advertisements must not add addresses either, which would become the source where a neighbour expects another.
            net.at(name).command("sysctl").args(QUIET).output().context("cannot run sysctl")?;
            net.at(name).ip("link set lo up\n")?;
        }
        Ok(net)
    }

    /// Creates two namespaces, "o" and "p", with one wire between their `eth0`: 10.77.0.1 and fd77::1 at "o", .2 and ::2 at
    /// "p".
    ///
    /// # Errors
    /// Returns the error of `ip`.
    pub fn pair() -> Result<Self> {
        let net = Self::new(&["o", "p"])?;
        net.wire(("o", "eth0"), ("p", "eth0"))?;
        for (name, host) in [("o", 1), ("p", 2)] {
            net.at(name).ip(&format!(
                "addr add 10.77.0.{host}/24 dev eth0\naddr add fd77::{host}/64 dev eth0 nodad\n"
            ))?;
        }
        Ok(net)
    }

    /// Returns the namespace of this name.
    pub fn at(&self, name: &str) -> Namespace {
        Namespace::named(format!("{}-{name}", self.prefix))
    }

    /// Returns a folder of this network's own, in memory.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Connects two devices, each (namespace, device), by a wire, and brings both up.
    ///
    /// # Errors
    /// Returns the error of `ip`.
    pub fn wire(&self, (a, here): (&str, &str), (b, there): (&str, &str)) -> Result<()> {
        let far = self.at(b);
        self.at(a).ip(&format!(
            "link add {here} type veth peer name {there} netns {}\nlink set {here} up\n",
            far.name()
        ))?;
        far.ip(&format!("link set {there} up\n"))
    }

    /// Enables forwarding in a namespace, with load spread over equal routes by ports too.
    ///
    /// # Errors
    /// When `sysctl` fails.
    pub fn forward(&self, name: &str) -> Result<()> {
        let status = self
            .at(name)
            .command("sysctl")
            .args(["-q", "-w", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1"])
            .args(["net.ipv4.fib_multipath_hash_policy=1", "net.ipv6.fib_multipath_hash_policy=1"])
            .status()?;
        anyhow::ensure!(status.success(), "{name} cannot forward: {status}");
        Ok(())
    }
}

const QUIET: [&str; 4] =
    ["-q", "-w", "net.ipv6.conf.default.accept_dad=0", "net.ipv6.conf.default.accept_ra=0"];

impl Drop for Net {
    fn drop(&mut self) {
        let batch = self.names.iter().map(|name| format!("netns del {}-{name}\n", self.prefix));
        // An error here cannot be reported, and the kernel removes everything with the process.
        let _ = ip(None, &batch.collect::<String>());
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
