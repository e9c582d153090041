//! Real MetalLB in a laboratory, for comparison in measurements: its released modules, built with Go, and its own manifest.
//! Independent of what is measured.
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::Lab;
use super::binaries::cache_of;
use super::images::Image;
use crate::namespace::feed;
use crate::wait;

/// Version of MetalLB.
pub const VERSION: &str = "0.15.2";
/// Namespace of its objects.
pub const NAMESPACE: &str = "metallb-system";
const MODULE: &str = "go.universe.tf/metallb";
/// Its programs, which are also the names of its images and service accounts.
const PROGRAMS: [&str; 2] = ["controller", "speaker"];
/// Manifest of its native mode: without FRR, which ARP and NDP do not need.
const MANIFEST: &str = "metallb-native.yaml";
/// Time limit for it to run and its webhook to answer: it creates certificates first.
const LIMIT: Duration = Duration::from_secs(120);

/// The programs and the manifest, in the cache.
#[derive(Debug, Clone)]
pub struct Release {
    folder: PathBuf,
}

impl Release {
    /// Finds them in the cache, or builds them with Go from the module that Go's checksum database lists.
    ///
    /// # Errors
    /// When Go is missing or cannot build them.
    pub fn obtain() -> Result<Self> {
        let release = Self { folder: cache_of("metallb", VERSION)? };
        if Self::is_missing()? {
            println!("MetalLB {VERSION} is missing; building it with Go");
            release.build().with_context(|| format!("cannot obtain MetalLB {VERSION}"))?;
        }
        Ok(release)
    }

    /// Returns true if it must be built first.
    ///
    /// # Errors
    /// When the user has no folder for a cache.
    pub fn is_missing() -> Result<bool> {
        let folder = cache_of("metallb", VERSION)?;
        Ok(PROGRAMS.iter().chain([&MANIFEST]).any(|file| !folder.join(file).is_file()))
    }

    fn build(&self) -> Result<()> {
        fs::create_dir_all(&self.folder)
            .with_context(|| format!("cannot make {}", self.folder.display()))?;
        let mut install = Command::new("nice");
        install.args(["-n", "10", "go", "install"]);
        install.args(PROGRAMS.map(|program| format!("{MODULE}/{program}@v{VERSION}")));
        install.env("GOBIN", &self.folder).env("CGO_ENABLED", "0").env("GOFLAGS", "");
        let status = install
            .current_dir(&self.folder)
            .status()
            .context("cannot run go; install Go 1.24 or later (https://go.dev/dl)")?;
        ensure!(status.success(), "go could not build it: {status}");
        let mut download = Command::new("go");
        download.args(["mod", "download", "-json", &format!("{MODULE}@v{VERSION}")]);
        let module: Value = serde_json::from_str(&feed(&mut download, b"")?)?;
        let module = module["Dir"].as_str().context("go prints no folder of the module")?;
        let manifest = PathBuf::from(module).join("config/manifests").join(MANIFEST);
        // Read and written: files in Go's cache are read-only, and a copy would be so too.
        fs::write(self.folder.join(MANIFEST), fs::read(&manifest)?)
            .with_context(|| format!("cannot keep {}", manifest.display()))
    }

    /// Applies only the definitions of its resources and its namespace, so that its configuration can exist before it runs: it
    /// empties the status of every Service while it has no pool.
    ///
    /// # Errors
    /// When the manifest cannot be read, or is refused.
    pub fn prepare(&self, lab: &Lab) -> Result<()> {
        let manifest = fs::read_to_string(self.folder.join(MANIFEST))?;
        let is_first = |document: &&str| {
            document
                .lines()
                .any(|line| line == "kind: CustomResourceDefinition" || line == "kind: Namespace")
        };
        let first: Vec<&str> = manifest.split("\n---\n").filter(is_first).collect();
        lab.apply(&first.join("\n---\n"))
    }

    /// Removes it, its programs first: a controller that sees its pools deleted empties the status of every Service.
    ///
    /// # Errors
    /// Returns the error of kubectl.
    pub fn remove(&self, lab: &Lab) -> Result<()> {
        let programs = ["deployment/controller", "daemonset/speaker", "--cascade=foreground"];
        let delete = ["--namespace", NAMESPACE, "delete", "--timeout=60s"];
        lab.kubectl(&[&delete[..], &programs].concat())?;
        let manifest = self.folder.join(MANIFEST);
        let manifest = manifest.to_string_lossy();
        let delete = ["delete", "--ignore-not-found", "--timeout=60s", "--filename", &manifest];
        lab.kubectl(&delete).map(drop)
    }

    /// Loads the images under their own names, applies the manifest unchanged, and waits until everything runs.
    ///
    /// # Errors
    /// When that does not happen in time, with the state of its pods.
    pub fn install(&self, lab: &Lab) -> Result<()> {
        for program in PROGRAMS {
            lab.image(&Image {
                name: format!("quay.io/metallb/{program}:v{VERSION}"),
                entrypoint: vec![format!("/{program}")],
                files: vec![(self.folder.join(program), format!("/{program}"))],
            })?;
        }
        let manifest = self.folder.join(MANIFEST);
        lab.kubectl(&["apply", "--server-side", "--filename", &manifest.to_string_lossy()])?;
        ["deployment/controller", "daemonset/speaker"]
            .into_iter()
            .try_for_each(|what| {
                let rollout = ["rollout", "status", what, "--timeout=120s"];
                lab.kubectl(&[&["--namespace", NAMESPACE][..], &rollout].concat()).map(drop)
            })
            .with_context(|| explain(lab))
    }
}

/// Creates a pool of these addresses that every node announces, once the webhook answers.
///
/// # Errors
/// When the webhook does not answer, or refuses.
pub fn pool(lab: &Lab, name: &str, addresses: &str) -> Result<()> {
    let object = |kind: &str, spec: Value| {
        json!({
            "apiVersion": "metallb.io/v1beta1",
            "kind": kind,
            "metadata": { "name": name, "namespace": NAMESPACE },
            "spec": spec,
        })
    };
    let pool = object("IPAddressPool", json!({ "addresses": [addresses] }));
    let advertisement = object("L2Advertisement", json!({ "ipAddressPools": [name] }));
    configure(lab, &format!("{pool}\n---\n{advertisement}\n"))
}

/// Applies configuration, once the webhook answers.
///
/// # Errors
/// When the webhook does not answer, or refuses.
pub fn configure(lab: &Lab, objects: &str) -> Result<()> {
    let mut said = None;
    wait::until("the webhook of MetalLB accepts its configuration", LIMIT, || {
        said = lab.apply(objects).err();
        if said.is_some() {
            std::thread::sleep(Duration::from_millis(500));
        }
        Ok(said.is_none().then_some(()))
    })
    .with_context(|| format!("{:#}\n{}", said.unwrap_or_else(|| anyhow::anyhow!("")), explain(lab)))
}

/// Returns the state and logs of its pods, for a failure.
fn explain(lab: &Lab) -> String {
    let ask = |arguments: &[&str]| {
        let all = [&["--namespace", NAMESPACE], arguments].concat();
        lab.kubectl(&all).unwrap_or_else(|error| format!("{error:#}\n"))
    };
    [
        ask(&["get", "pods", "--output", "wide"]),
        ask(&["get", "events", "--sort-by", ".lastTimestamp"]),
        ask(&["logs", "deployment/controller", "--prefix", "--tail", "20"]),
        ask(&["logs", "daemonset/speaker", "--all-pods", "--prefix", "--tail", "20"]),
    ]
    .concat()
}
