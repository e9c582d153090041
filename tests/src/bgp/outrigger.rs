//! The product as a BGP speaker: a daemon on a folder and in a namespace of its own, with one Announcer that runs `bgp`.
//! Several of them are independent of each other.
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::net::Net;
use super::router::LIMIT;
use super::speaker::{Family, Hops, Neighbor, Speaker, Who};
use crate::cluster::service;
use crate::daemon::{Daemon, Folders};
use crate::namespace::Namespace;
use crate::{product, wait};

/// First address that a Service gets.
pub const VIP: &str = "192.0.2.1/32";
/// First IPv6 address that a dual-stack Service gets.
pub const VIP6: &str = "2001:db8:1::1/128";
/// Key of every session that has one, in the Secret `bgp-md5`.
pub const PASSWORD: &str = "geheim-64512";
/// Message that a peer receives when a session is closed on purpose.
pub const SHUTDOWN_MESSAGE: &str = "NOC ticket 4711: node leaves";

/// Standalone daemon. Killed when dropped.
#[derive(Debug)]
pub struct Outrigger {
    daemon: Option<Daemon>,
    namespace: Namespace,
    folder: PathBuf,
    name: String,
    address: IpAddr,
    /// Plugin of its Announcer.
    pub plugin: String,
}

impl Outrigger {
    /// Creates an empty folder, a pool of 192.0.2.1 and up and of 2001:db8:1::1 and up, and no daemon yet.
    ///
    /// # Errors
    /// When the folder cannot be written.
    pub fn new(net: &Net, at: &str) -> Result<Self> {
        let folder = net.folder().join(format!("outrigger-{at}"));
        fs::create_dir_all(folder.join("manifests"))?;
        let outrigger = Self {
            daemon: None,
            namespace: net.at(at),
            folder,
            name: at.to_owned(),
            address: Ipv4Addr::LOCALHOST.into(),
            plugin: "bgp".to_owned(),
        };
        let pool = json!({
            "apiVersion": "outrigger.dev/v1alpha1",
            "kind": "AddressPool",
            "metadata": { "name": "anycast" },
            "spec": {
                "addresses": ["192.0.2.1-192.0.2.254", "2001:db8:1::1-2001:db8:1::ff"],
                "announcers": ["bgp"],
            },
        });
        outrigger.put("pool.yaml", &pool.to_string())?;
        Ok(outrigger)
    }

    /// Starts a daemon with this configuration and one dual-stack Service.
    ///
    /// # Errors
    /// When it does not start.
    pub fn started(net: &Net, at: &str, speaker: &Speaker) -> Result<Self> {
        let mut outrigger = Self::new(net, at)?;
        outrigger.speak(speaker, json!({}))?;
        outrigger.put_service("web", "")?;
        outrigger.start()?;
        Ok(outrigger)
    }

    /// Writes the Announcer. `more` is merged into its configuration: `{"advertisements": […]}`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn speak(&self, speaker: &Speaker, more: Value) -> Result<()> {
        let mut announcer = announcer(speaker, more);
        announcer["spec"]["plugin"] = json!(self.plugin);
        announcer["spec"]["election"] = json!("all");
        self.put("announcer.yaml", &announcer.to_string())?;
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": { "name": "bgp-md5", "namespace": "outrigger-system" },
            "stringData": { "password": PASSWORD },
        });
        let keyed = speaker.neighbors.iter().any(|neighbor| neighbor.password.is_some());
        if keyed { self.put("secret.yaml", &secret.to_string()) } else { Ok(()) }
    }

    /// Writes a dual-stack Service with more lines for its `spec`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn put_service(&self, name: &str, spec: &str) -> Result<()> {
        let spec =
            format!("  ipFamilyPolicy: RequireDualStack\n  ipFamilies: [IPv4, IPv6]\n{spec}");
        self.put(&format!("service-{name}.yaml"), &service(name, &spec))
    }

    /// Writes a file of the folder atomically.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, name: &str, text: &str) -> Result<()> {
        self.put_octets(name, text.as_bytes())
    }

    /// Writes a file of the folder atomically, with content that may not be text.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put_octets(&self, name: &str, octets: &[u8]) -> Result<()> {
        let new = self.folder.join(format!("new-{name}"));
        fs::write(&new, octets)?;
        fs::rename(&new, self.manifests().join(name))
            .with_context(|| format!("cannot write {name}"))
    }

    /// Removes a file of the folder.
    ///
    /// # Errors
    /// When it does not exist.
    pub fn remove(&self, name: &str) -> Result<()> {
        fs::remove_file(self.manifests().join(name)).with_context(|| format!("no {name}"))
    }

    /// Returns the folder of manifests.
    pub fn manifests(&self) -> PathBuf {
        self.folder.join("manifests")
    }

    /// Returns the namespace of the daemon.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    // ---- the process ----

    /// Starts the daemon. Returns the moment.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(&mut self) -> Result<Instant> {
        let (manifests, state, cache, log) = (
            self.manifests(),
            self.folder.join("state"),
            self.folder.join("cache"),
            self.log_file(),
        );
        let folders = Folders {
            manifests: &manifests,
            config: None,
            state: &state,
            cache: &cache,
            log: &log,
        };
        let daemon = Daemon::start_in(&self.namespace, &self.name, self.address, folders)?;
        let started = daemon.started;
        self.daemon = Some(daemon);
        Ok(started)
    }

    /// Returns the daemon.
    ///
    /// # Errors
    /// When no daemon runs.
    pub fn daemon(&self) -> Result<&Daemon> {
        self.daemon.as_ref().with_context(|| format!("no daemon runs in {}", self.name))
    }

    /// Sends SIGTERM, and waits until the daemon has ended.
    ///
    /// # Errors
    /// When it does not exit successfully.
    pub fn stop(&mut self) -> Result<()> {
        let code = self.daemon.take().context("no daemon runs")?.stop()?;
        ensure!(code == Some(0), "the stopped daemon ended with {code:?}, not with 0");
        Ok(())
    }

    /// Sends SIGKILL. Returns the moment.
    ///
    /// # Errors
    /// When no daemon runs.
    pub fn kill(&mut self) -> Result<Instant> {
        self.daemon.take().context("no daemon runs")?.kill()
    }

    /// Takes the leader lock while no daemon runs: a daemon that is started then only announces.
    ///
    /// # Errors
    /// When the lock is held already.
    pub fn lead_instead(&self) -> Result<fs::File> {
        let lock = fs::File::create(self.folder.join("state/leader.lock"))?;
        lock.try_lock().context("a daemon is still the leader")?;
        Ok(lock)
    }

    // ---- reports ----

    /// Returns the number of addresses that the node is to announce, from its report; 0 while there is no report.
    ///
    /// # Errors
    /// When the report is not YAML.
    pub fn desired(&self) -> Result<u64> {
        let report = self.folder.join("state/reports").join(format!("{}.yaml", self.name));
        let Ok(text) = fs::read_to_string(report) else { return Ok(0) };
        let report: Value = serde_saphyr::from_str(&text)?;
        Ok(report["status"]["desired"]["addresses"].as_u64().unwrap_or(0))
    }

    /// Returns the output of `outrigger status -o json`.
    ///
    /// # Errors
    /// When it does not print JSON.
    pub fn status(&self) -> Result<Value> {
        self.ask(&["status"])
    }

    /// Returns the JSON output of `outrigger bgp QUESTION`.
    ///
    /// # Errors
    /// When it prints no JSON.
    pub fn bgp(&self, question: &str) -> Result<Value> {
        self.ask(&["bgp", question])
    }

    fn ask(&self, question: &[&str]) -> Result<Value> {
        let (manifests, state) = (self.manifests(), self.folder.join("state"));
        let (manifests, state) = (manifests.to_string_lossy(), state.to_string_lossy());
        let about = ["--manifests", &manifests, "--state", &state, "-o", "json"];
        let text = product::ask(&[question, &about].concat())?;
        serde_json::from_str(&text)
            .with_context(|| format!("unexpected output of outrigger {question:?}: {text}"))
    }

    /// Returns the report of a peer, by the peer's name in the configuration.
    ///
    /// # Errors
    /// When there is no report of it.
    pub fn peer(&self, name: &str, protocol: &str) -> Result<Value> {
        let status = self.status()?;
        find(&status, &|entry| {
            let named = entry["peer"] == name || entry["name"] == name;
            named && entry["protocol"] == protocol
        })
        .cloned()
        .with_context(|| format!("no report of {protocol} peer {name}: {status}"))
    }

    /// Returns the report of the announcer.
    ///
    /// # Errors
    /// When there is no report of it.
    pub fn announcer(&self) -> Result<Value> {
        let status = self.status()?;
        find(&status, &|entry| entry["plugin"] == *self.plugin && entry["digest"].is_string())
            .cloned()
            .with_context(|| format!("no report of an announcer: {status}"))
    }

    /// Waits until the report of a peer contains all of these words, in any order and case.
    ///
    /// # Errors
    /// When that does not happen in time, with the last report.
    pub fn await_peer_words(&self, name: &str, words: &[&str]) -> Result<String> {
        let mut last = String::new();
        wait::until(&format!("a report of {name} with {words:?}"), LIMIT, || {
            last =
                self.peer(name, "bgp").map_or_else(|error| error.to_string(), |it| it.to_string());
            let lower = last.to_lowercase();
            Ok(words.iter().all(|word| lower.contains(&word.to_lowercase())).then_some(()))
        })
        .with_context(|| format!("last report: {last}\n{}", self.explain()))?;
        Ok(last)
    }

    /// Returns the end of its log and its status, for a failure.
    pub fn explain(&self) -> String {
        let log = fs::read_to_string(self.log_file()).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(40)..].join("\n");
        let status =
            self.status().map_or_else(|error| format!("{error:#}"), |it| format!("{it:#}"));
        format!("outrigger in {}: status {status}\nend of its log:\n{tail}\n", self.name)
    }

    fn log_file(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Returns the folder that holds the manifests, state, cache and log.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Returns the first object that fits, depth first.
fn find<'a>(value: &'a Value, fits: &impl Fn(&Value) -> bool) -> Option<&'a Value> {
    if value.is_object() && fits(value) {
        return Some(value);
    }
    match value {
        Value::Array(items) => items.iter().find_map(|item| find(item, fits)),
        Value::Object(fields) => fields.values().find_map(|item| find(item, fits)),
        _ => None,
    }
}

/// Returns the name of a neighbour in the configuration, by its index.
pub fn peer_name(number: usize) -> String {
    format!("peer{number}")
}

fn announcer(speaker: &Speaker, more: Value) -> Value {
    let peers = speaker.neighbors.iter().enumerate();
    let peers: Vec<_> = peers.map(|(number, it)| peer(&peer_name(number), it)).collect();
    let mut config = json!({ "asn": speaker.asn, "routerId": speaker.router_id, "peers": peers });
    if let (Some(config), Value::Object(more)) = (config.as_object_mut(), more) {
        config.extend(more);
    }
    let allowed = speaker.neighbors.iter().map(|neighbor| match &neighbor.who {
        Who::Address(address) => address.to_string(),
        Who::Range(prefix) => prefix.clone(),
        Who::Link(_) => "fe80::/10".to_owned(),
    });
    let mut spec = json!({
        "plugin": "bgp",
        "config": config,
        "allow": { "peers": allowed.collect::<Vec<_>>() },
    });
    if speaker.neighbors.iter().any(|neighbor| neighbor.password.is_some()) {
        spec["secretRefs"] = json!([{ "name": "md5", "secretName": "bgp-md5" }]);
    }
    json!({
        "apiVersion": "outrigger.dev/v1alpha1",
        "kind": "Announcer",
        "metadata": { "name": "bgp" },
        "spec": spec,
    })
}

fn peer(name: &str, neighbor: &Neighbor) -> Value {
    let families: Vec<_> = neighbor
        .families
        .iter()
        .map(|family| if *family == Family::V4 { "ipv4" } else { "ipv6" })
        .collect();
    let mut peer = json!({
        "name": name,
        "asn": neighbor.asn,
        "holdTime": neighbor.hold,
        "connectRetryTime": 1,
        "families": families,
        "shutdownMessage": SHUTDOWN_MESSAGE,
    });
    match &neighbor.who {
        Who::Address(address) => peer["address"] = json!(address),
        Who::Range(prefix) => peer["prefix"] = json!(prefix),
        Who::Link(link) => peer["interface"] = json!(link),
    }
    if let Some(local) = neighbor.local {
        peer["sourceAddress"] = json!(local);
    }
    if neighbor.password.is_some() {
        peer["md5"] = json!({ "name": "md5", "key": "password" });
    }
    match neighbor.hops {
        Hops::One => {}
        Hops::Many(hops) => peer["multihop"] = json!(hops),
        Hops::Secured => peer["ttlSecurity"] = json!(1),
    }
    if neighbor.passive {
        peer["passive"] = json!(true);
    }
    if let Some(bfd) = neighbor.bfd {
        peer["bfd"] = json!({
            "transmitInterval": bfd.interval_ms,
            "receiveInterval": bfd.interval_ms,
            "detectMultiplier": bfd.multiplier,
        });
    }
    if let Some(seconds) = neighbor.restart {
        peer["gracefulRestart"] = json!({ "restartTime": seconds });
    }
    peer
}
