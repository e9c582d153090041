//! keepalived on the nodes of a laboratory: each node is the master of one address and a backup for the others.
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result};
use outrigger_tests::kubernetes::{Lab, web};
use outrigger_tests::wait;
use serde_json::json;

use super::{LIMIT, NAMESPACE, SERVICES};

/// The name of the keepalived process on a node.
const NAME: &str = "keepalived";

fn address(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 88, 0, 200 + number)
}

/// Returns the addresses, which kube-proxy forwards to the pod.
pub fn addresses() -> Vec<IpAddr> {
    (0..SERVICES).map(|number| address(number).into()).collect()
}

/// Creates the Services and starts keepalived on every node.
pub fn start(lab: &Lab) -> Result<()> {
    for number in 0..SERVICES {
        let spec = json!({
            "externalIPs": [address(number)], "ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv4"],
        });
        lab.apply(&web::service(NAMESPACE, &format!("web-{number}"), &spec).to_string())?;
    }
    let nodes: Vec<_> = lab.nodes().map(|node| node.name()).collect();
    nodes.iter().try_for_each(|node| run(lab, node))
}

/// Starts keepalived on one node.
pub fn run(lab: &Lab, name: &str) -> Result<()> {
    let (number, node) = (0..)
        .zip(lab.nodes())
        .find(|(_, node)| node.name() == name)
        .with_context(|| format!("no node {name}"))?;
    let folder = lab.folder().join(format!("keepalived-{name}"));
    fs::create_dir_all(&folder)?;
    let file = folder.join("keepalived.conf");
    fs::write(&file, configuration(number))?;
    let mut command = node.command(Path::new("keepalived"));
    command.args(["--dont-fork", "--log-console", "--vrrp", "--use-file"]).arg(&file);
    for (flag, pid) in [("--pid", "parent.pid"), ("--vrrp_pid", "vrrp.pid")] {
        command.arg(flag).arg(folder.join(pid));
    }
    let process = node.process(NAME);
    // A process that was stopped releases its addresses first.
    wait::until("the previous process has ended", LIMIT, || Ok((!process.runs()).then_some(())))?;
    process.start(&command)
}

/// Returns the configuration of a node, with one instance per Service: the node has the highest priority in the instance with its
/// own number.
fn configuration(node: u8) -> String {
    let instance = |number: u8| {
        let priority = if number == node { 150 } else { 100 + node };
        format!(
            "vrrp_instance address-{number} {{\n  state BACKUP\n  interface eth1\n  virtual_router_id {}\n  priority {priority}\n  \
             version 3\n  advert_int 0.1\n  virtual_ipaddress {{\n    {}/32 dev eth1\n  }}\n}}\n",
            50 + number,
            address(number)
        )
    };
    (0..SERVICES).map(instance).collect()
}
