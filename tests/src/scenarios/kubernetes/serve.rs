//! A Service of type LoadBalancer is reached from outside, whichever node holds its addresses.
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;

use super::{LIMIT, Stage};
use crate::kubernetes::{Lab, web};
use crate::prober::Prober;
use crate::{clock, http, product, wait};

/// Requests per second.
const RATE: u32 = 50;

/// Kubernetes' own label for nodes that load balancers leave out.
pub const EXCLUDE: &str = "node.kubernetes.io/exclude-from-external-load-balancers";

/// Runs the example of README.md and CONTRIBUTING.md with its own commands: the pool and the web server of
/// `examples/kubernetes`, and curl on the client.
///
/// # Errors
/// When these pages have other commands, or the client gets no answer.
pub fn as_the_readme_says(lab: &Lab) -> Result<()> {
    let files = ["examples/kubernetes/pool.yaml", "examples/kubernetes/web.yaml"];
    let page = |name: &str| std::fs::read_to_string(product::root().join(name));
    let (readme, lab_page) = (page("README.md")?, page("CONTRIBUTING.md")?);
    let install = "kubectl apply -f manifests/install.yaml";
    ensure!(readme.contains(install), "README.md does not contain {install}");
    let urls = ["http://10.88.0.200/", "http://[fd88::200]/"];
    for command in files.iter().chain(&urls).chain(&[install]) {
        ensure!(lab_page.contains(command), "CONTRIBUTING.md does not contain {command}");
    }
    let of_files = |action: &str, more: &[&str]| {
        let paths = files.map(|file| product::root().join(file).to_string_lossy().into_owned());
        let files = paths.iter().flat_map(|path| ["--filename", path]);
        lab.kubectl(
            &[action].into_iter().chain(files).chain(more.iter().copied()).collect::<Vec<_>>(),
        )
    };
    of_files("apply", &[])?;
    let answers = urls.iter().try_for_each(|url| {
        wait::until(&format!("curl {url} prints a node's name"), LIMIT, || {
            let mut curl = lab.namespace("client")?.command("curl");
            let curl = curl.args(["--silent", "--globoff", "--max-time", "1", *url]).output()?;
            Ok(lab.node(&String::from_utf8_lossy(&curl.stdout)).ok().map(drop))
        })
    });
    of_files("delete", &["--ignore-not-found", "--timeout=60s"])?;
    answers
}

/// Checks that the client gets an answer over IPv4 and IPv6 from every node in turn, with all others excluded, and that with
/// `externalTrafficPolicy: Local` the answering pod is on the node that holds the address.
///
/// # Errors
/// When a node does not serve.
pub fn from_every_node(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "every-node", 110)?;
    let local = json!({ "externalTrafficPolicy": "Local" });
    let addresses = stage.service("local", &local)?;
    let result = lab.nodes().try_for_each(|node| {
        let name = node.name();
        exclude_all_but(lab, Some(&name))?;
        addresses.iter().try_for_each(|address| {
            stage
                .answer(*address, |answer| answer == name)
                .map(drop)
                .with_context(|| format!("{name} does not serve {address}"))
        })
    });
    let included = include_all(lab);
    result.and(included)?;
    stage.keeps("local", &addresses)?;

    // The default policy, Cluster: any pod behind any node.
    let addresses = stage.service("cluster", &json!({}))?;
    for address in &addresses {
        let answer = stage.answer(*address, |_| true)?;
        ensure!(lab.node(&answer).is_ok(), "{address} answers {answer:?}");
    }
    Ok(())
}

/// Creates Services all at once. Checks that no node answers for one of their addresses before kube-proxy has had its own
/// stated time (its minSyncPeriod, one second), and that a client that connects at the first answer is served.
///
/// # Errors
/// When an address is announced too early, or a first connection is lost.
pub fn when_it_can_be_served(lab: &Lab) -> Result<()> {
    const EARLIEST: Duration = Duration::from_secs(1);
    let stage = Stage::set(lab, "first-answer", 110)?;
    let client = lab.namespace("client")?;
    let addresses: Vec<Ipv4Addr> = (110..115).map(|last| Ipv4Addr::new(10, 88, 0, last)).collect();
    let probers = addresses.iter().map(|address| Prober::start(&client, "eth1", *address, RATE));
    let probers = probers.collect::<Result<Vec<_>>>()?;
    let services = addresses.iter().map(|address| {
        let mut service = web::service(
            stage.name,
            &format!("web-{}", address.octets()[3]),
            &json!({
                "type": "LoadBalancer", "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"],
            }),
        );
        let asks = json!({ "outrigger.dev/addresses": address.to_string() });
        service["metadata"]["annotations"] = asks;
        service
    });
    let list = json!({ "apiVersion": "v1", "kind": "List", "items": services.collect::<Vec<_>>() });
    let applied = clock::now();
    lab.apply(&list.to_string())?;
    for (prober, address) in probers.iter().zip(&addresses) {
        let first = wait::until(&format!("a node answers for {address}"), LIMIT, || {
            Ok(prober.so_far().answers().first().copied())
        })?;
        // On a busy machine kube-proxy takes longer than its stated time; a lost connection then proves nothing.
        let known = stage.kube_proxy_knows((*address).into())?;
        let target = SocketAddr::from((*address, web::PORT));
        let served = client.inside(|| http::get(target, Duration::from_millis(900)));
        ensure!(served.is_ok() || !known, "the first connection to {address} is lost: {served:?}");
        let after = first.at.duration_since(applied);
        ensure!(after > EARLIEST, "{address} is announced {after:?} after kubectl was called");
    }
    Ok(())
}

/// Excludes all nodes except the named one, or all.
///
/// # Errors
/// Returns the error of kubectl.
pub fn exclude_all_but(lab: &Lab, name: Option<&str>) -> Result<()> {
    include_all(lab)?;
    for node in lab.nodes().filter(|node| Some(node.name().as_str()) != name) {
        lab.kubectl(&["label", "node", &node.name(), &format!("{EXCLUDE}=")])?;
    }
    Ok(())
}

/// Removes the exclusion of all nodes.
///
/// # Errors
/// Returns the error of kubectl.
pub fn include_all(lab: &Lab) -> Result<()> {
    lab.kubectl(&["label", "nodes", "--all", &format!("{EXCLUDE}-")]).map(drop)
}
