//! The laboratory itself, without the product: the basis of the other scenarios.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::LIMIT;
use crate::kubernetes::audit;
use crate::kubernetes::prober::{INTERVAL, Prober};
use crate::kubernetes::segment::{FIRST, Member};
use crate::kubernetes::{Lab, web};
use crate::{http, wait};

const NAME: &str = "laboratory";
/// Duration of a hole.
const HOLE: Duration = Duration::from_secs(1);

/// Checks that a Service's ClusterIP answers on every node over IPv4 and IPv6, from pods on all nodes; and that the prober and
/// the audit log report the events correctly.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn works(lab: &Lab) -> Result<()> {
    let result = played(lab).and_then(|()| cables(lab));
    let removed =
        lab.kubectl(&["delete", "namespace", NAME, "--ignore-not-found", "--timeout=60s"]);
    result.and(removed.map(drop))
}

fn played(lab: &Lab) -> Result<()> {
    let mark = lab.audit_mark()?;
    web::deploy(lab, NAME, u8::try_from(lab.nodes().count())?)?;
    lab.apply(&web::service(NAME, "web", &json!({})).to_string())?;
    let service = lab.get_json(&["service", "web", "--namespace", NAME])?;
    let addresses = service["spec"]["clusterIPs"].as_array().context("no ClusterIPs")?;
    ensure!(addresses.len() == 2, "the Service is not dual-stack: {addresses:?}");
    for address in addresses {
        let address: IpAddr = address.as_str().unwrap_or_default().parse()?;
        every_node_reaches(lab, SocketAddr::from((address, web::PORT)))?;
    }
    let requests = lab.audit(mark)?;
    let created = requests.iter().filter(|it| {
        it.writes() && it.resource == "services" && it.user == "admin" && it.code < 300
    });
    ensure!(created.count() == 1, "the audit log has {:?}", audit::counts(&requests));
    pods_verify_the_api_server(lab)
}

/// Checks that the prober counts exactly the requests lost in a hole, and detects a cut cable.
fn cables(lab: &Lab) -> Result<()> {
    let port = json!({ "type": "NodePort" });
    lab.apply(&web::service(NAME, "port", &port).to_string())?;
    let service = lab.get_json(&["service", "port", "--namespace", NAME])?;
    let port = service["spec"]["ports"][0]["nodePort"].as_u64().context("no port of the nodes")?;
    let target = format!("{}:{port}", Member::Node(1).addresses(FIRST).0).parse()?;
    let prober = Prober::start(&lab.namespace("client")?, target);
    prober.settled(LIMIT)?;
    let skip = prober.so_far().requests();
    lab.hole("n1")?;
    std::thread::sleep(HOLE);
    lab.mend("n1")?;
    prober.settled(LIMIT)?;
    let probe = prober.so_far().from(skip);
    ensure!(
        probe.lost() >= 30
            // The hole begins and ends somewhere between two requests.
            && probe.longest_gap() + 2 * INTERVAL >= HOLE
            && probe.longest_gap() < HOLE * 4,
        "an outage of {HOLE:?} is measured as: {}",
        probe.summary()
    );
    lab.cut("n1")?;
    let link = ["-brief", "link", "show", "eth1"];
    let link = lab.namespace("n1")?.command("ip").args(link).output()?;
    let carrier = !String::from_utf8_lossy(&link.stdout).contains("NO-CARRIER");
    lab.mend("n1")?;
    ensure!(!carrier, "the cable is cut but the carrier stays up");
    prober.settled(LIMIT)?;
    lab.await_nodes()
}

/// Stops, kills and restarts the control plane's parts, and checks that no stored data is lost.
///
/// # Errors
/// When data is lost, or a part does not start again.
pub fn stops_and_starts(lab: &Lab) -> Result<()> {
    let control_plane = lab.control_plane();
    let uid = || -> Result<String> {
        let namespace = lab.get_json(&["namespace", "kube-system"])?;
        Ok(namespace["metadata"]["uid"].as_str().context("no uid")?.to_owned())
    };
    let before = uid()?;
    control_plane.pause_apiserver()?;
    let asked = lab.kubectl(&["get", "nodes", "--request-timeout=1s"]);
    control_plane.resume_apiserver()?;
    ensure!(asked.is_err(), "a stopped API server answers");
    control_plane.kill_etcd()?;
    control_plane.restart_etcd()?;
    control_plane.kill_apiserver()?;
    control_plane.restart_apiserver()?;
    ensure!(uid()? == before, "the cluster is a different one");
    lab.await_nodes()
}

/// Sends requests through kube-proxy, from each node, until every pod has answered once.
fn every_node_reaches(lab: &Lab, target: SocketAddr) -> Result<()> {
    for node in lab.nodes() {
        let prober = Prober::start(node.namespace(), target);
        let what = format!("all pods answer {} through {target}", node.name());
        wait::until(&what, LIMIT, || {
            std::thread::sleep(Duration::from_millis(50));
            Ok((prober.so_far().by_text().len() == lab.nodes().count()).then_some(()))
        })
        .with_context(|| prober.so_far().summary())?;
        prober.settled(LIMIT)?;
    }
    let body = lab
        .nodes()
        .next()
        .context("no node")?
        .namespace()
        .inside(|| http::get(target, Duration::from_secs(1)))?;
    lab.node(&body).context("the answer is not a node's name").map(drop)
}

/// Checks that a client that has only the authority that a pod is given trusts the API server by its name and by its address.
fn pods_verify_the_api_server(lab: &Lab) -> Result<()> {
    let roots = ["configmap", "kube-root-ca.crt", "--namespace", NAME];
    let roots = lab.get_json(&roots)?;
    let file = lab.folder().join("kube-root-ca.crt");
    std::fs::write(&file, roots["data"]["ca.crt"].as_str().context("no ca.crt")?)?;
    let node = lab.nodes().next().context("no node")?;
    for url in ["https://10.96.0.1/readyz", "https://[fd77::1]:6443/readyz"] {
        let mut curl = node.namespace().command("curl");
        curl.args(["--silent", "--show-error", "--globoff", "--cacert"]).arg(&file).arg(url);
        let output = curl.output()?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.stdout == b"ok", "{url} does not answer with ok: {}", said.trim());
    }
    Ok(())
}
