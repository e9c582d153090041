//! The laboratory itself, without the product: what the other scenarios stand on.
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::LIMIT;
use crate::kubernetes::audit;
use crate::kubernetes::prober::Prober;
use crate::kubernetes::{Lab, web};
use crate::{http, wait};

const NAME: &str = "laboratory";

/// A Service's ClusterIP answers on every node over IPv4 and IPv6, from pods on all nodes; and the prober and the audit
/// log tell what happens.
///
/// # Errors
/// When one of that is not so.
pub fn works(lab: &Lab) -> Result<()> {
    let result = played(lab);
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

/// Through kube-proxy, from each node, until every pod has answered once.
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

/// With the authority that a pod is given, a client that knows nothing else trusts the API server by its name and by
/// its address.
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
