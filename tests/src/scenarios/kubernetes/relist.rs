//! Missed watch events are no longer available (HTTP 410): everything is listed again, and only differences have effects.
use std::net::Ipv4Addr;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::LIMIT;
use super::alone::{pool, prepare, service};
use crate::kubernetes::Lab;
use crate::kubernetes::controllers::Controller;
use crate::kubernetes::objects::ingress;
use crate::kubernetes::segment::{FIRST, Member};
use crate::namespace::feed;
use crate::prober::{Probe, Prober};
use crate::wait;

const NAME: &str = "relist";
/// Requests per second.
const RATE: u32 = 50;
/// Number of consecutive answers that count as a settled state.
const SETTLED: usize = 25;
/// Separate table, so that nothing else is affected.
const TABLE: &str = "inet outrigger-test";

/// Cuts a node that also leads off from the API server. Meanwhile one Service is deleted and one created, the API server
/// restarts, and etcd compacts. When the node is connected again, its watches are too old, so it lists. Checks that the address
/// of the unchanged Service was answered for all the time, and that its object was not written.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn after_compaction(lab: &Lab) -> Result<()> {
    prepare(lab, NAME)?;
    lab.apply(&node().to_string())?;
    let result = play(lab);
    let removed = lab.kubectl(&["delete", "node", NAME, "--ignore-not-found"]);
    result.and(removed.map(drop))
}

fn play(lab: &Lab) -> Result<()> {
    let daemon = Controller::start_as(lab, NAME, "client", "both")?;
    lab.apply(&pool(NAME, &["10.77.0.200/29"]).to_string())?;
    let (kept, gone, new) = (
        Ipv4Addr::new(10, 77, 0, 200),
        Ipv4Addr::new(10, 77, 0, 201),
        Ipv4Addr::new(10, 77, 0, 202),
    );
    create(lab, "kept", kept)?;
    create(lab, "gone", gone)?;
    let ask = |address| Prober::start(&lab.namespace("cp")?, "eth0", address, RATE);
    let (kept_prober, gone_prober) = (ask(kept)?, ask(gone)?);
    settled(&kept_prober).and_then(|()| settled(&gone_prober)).with_context(|| said(&daemon))?;
    let version = version(lab, "kept")?;
    let skip = kept_prober.so_far().requests();

    let cut = Cut::between(lab, Member::Client, "reject with tcp reset")?;
    lab.kubectl(&["delete", "service", "gone", "--namespace", NAME])?;
    create(lab, "new", new)?;
    lab.control_plane().kill_apiserver()?;
    lab.control_plane().restart_apiserver()?;
    lab.control_plane().compact_etcd()?;
    ensure!(!said(&daemon).contains(TOO_OLD), "a watch was too old before the node was cut off");
    drop(cut);

    wait::until("the watches are too old", LIMIT, || {
        Ok(said(&daemon).contains(TOO_OLD).then_some(()))
    })
    .with_context(|| said(&daemon))?;
    settled(&ask(new)?).with_context(|| said(&daemon))?;
    wait::until("no node answers for the address of the deleted Service", LIMIT, || {
        let probe = gone_prober.so_far();
        let last = probe.requests().saturating_sub(2 * SETTLED);
        Ok((unanswered(&probe, last) >= SETTLED).then_some(()))
    })?;
    let service = lab.get_json(&["service", "new", "--namespace", NAME])?;
    ensure!(
        ingress(&service) == [std::net::IpAddr::V4(new)],
        "unexpected address of the new Service: {service}"
    );
    ensure!(self::version(lab, "kept")? == version, "the unchanged Service was written");
    let probe = kept_prober.finish()?;
    let lost = unanswered(&probe, skip);
    ensure!(lost == 0, "{lost} requests for {kept} have no answer");
    lab.kubectl(&["delete", "--raw", &format!("/api/v1/namespaces/{NAME}/services")]).map(drop)
}

/// Error message of the API server for HTTP 410.
const TOO_OLD: &str = "too old resource version";

fn said(daemon: &Controller) -> String {
    std::fs::read_to_string(daemon.log()).unwrap_or_default()
}

fn node() -> Value {
    let address = Member::Client.addresses(FIRST).0;
    json!({
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": { "name": NAME },
        "status": { "addresses": [{ "type": "InternalIP", "address": address }] },
    })
}

/// Creates a Service with an endpoint on the node, for which there is only the EndpointSlice written here.
fn create(lab: &Lab, name: &str, address: Ipv4Addr) -> Result<()> {
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "namespace": NAME,
            "name": name,
            "labels": { "kubernetes.io/service-name": name },
        },
        "addressType": "IPv4",
        "endpoints": [{
            "addresses": ["10.244.1.9"],
            "nodeName": NAME,
            "conditions": { "ready": true },
        }],
        "ports": [{ "port": 80 }],
    });
    let asks = json!({ "outrigger.dev/addresses": address.to_string() });
    lab.apply(&format!("{slice}\n---\n{}", service(NAME, name, &asks)))
}

fn version(lab: &Lab, name: &str) -> Result<Value> {
    let service = lab.get_json(&["service", name, "--namespace", NAME])?;
    Ok(service["metadata"]["resourceVersion"].clone())
}

fn settled(prober: &Prober) -> Result<()> {
    wait::until("every request has one answer", LIMIT, || {
        Ok(prober.so_far().settled_on(SETTLED).map(drop))
    })
}

/// Returns the unanswered requests from this number on.
fn unanswered(probe: &Probe, first: usize) -> usize {
    probe.from(first).unanswered()
}

/// Cut between a member and the API server: its new packets get the verdict of a firewall, and existing connections break.
pub(super) struct Cut<'a>(&'a Lab);

impl<'a> Cut<'a> {
    pub(super) fn between(lab: &'a Lab, member: Member, verdict: &str) -> Result<Self> {
        let address = member.addresses(FIRST).0;
        let cut = Self(lab);
        cut.nft(&format!(
            "table {TABLE} {{ chain in {{ type filter hook input priority filter; \
             ip saddr {address} tcp dport 6443 {verdict}; }}; }}"
        ))?;
        Ok(cut)
    }

    fn nft(&self, rules: &str) -> Result<()> {
        let mut nft = self.0.namespace("cp")?.command("nft");
        feed(nft.args(["--file", "-"]), rules.as_bytes()).map(drop)
    }
}

impl Drop for Cut<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.nft(&format!("delete table {TABLE}")) {
            eprintln!("the firewall before the API server cannot be removed: {error:#}");
        }
    }
}
