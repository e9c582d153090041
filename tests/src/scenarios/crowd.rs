//! Many nodes and Services: the work that the membership thread of a node has to do at once.
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::cluster::{Cluster, LIMIT, service};
use crate::story::Story;
use crate::wait;

const NODES: usize = 1_000;
const SERVICES: usize = 10_000;
const PER_FILE: usize = 1_000;
/// Processor time that one turn may take: probes are missed after 24 ms.
const TURN_US: u64 = 20_000;
const POOL: &str = "apiVersion: outrigger.dev/v1alpha1\nkind: AddressPool\nmetadata: {name: many}\nspec: {addresses: [10.200.0.0/16]}\n";

/// Creates a thousand Node objects, one of which runs, and ten thousand Services in its folder, and checks that no turn of the
/// membership thread takes long.
///
/// # Errors
/// When one does, or the node does not announce all Services.
pub fn gathers(cluster: &mut Cluster, story: &Story) -> Result<()> {
    let mut nodes = String::new();
    for number in 0..NODES {
        let (name, address) = match number {
            0 => (cluster.lab.nodes[0].name.clone(), cluster.lab.nodes[0].internal.to_string()),
            _ => (
                format!("absent-{number}"),
                format!("192.168.{}.{}", 100 + number / 250, number % 250 + 1),
            ),
        };
        write!(
            nodes,
            "---\napiVersion: v1\nkind: Node\nmetadata: {{name: {name}}}\nstatus: {{addresses: [{{type: InternalIP, address: {address}}}]}}\n"
        )?;
    }
    cluster.put("nodes.yaml", nodes.as_bytes())?;
    cluster.put("pool.yaml", POOL.as_bytes())?;
    for file in 0..SERVICES / PER_FILE {
        let services: String = (0..PER_FILE)
            .map(|number| format!("---\n{}", service(&format!("s-{file}-{number}"), "")))
            .collect();
        cluster.put(&format!("services-{file}.yaml"), services.as_bytes())?;
    }
    cluster.start(0)?;
    let longest = wait::until("one node announces everything", LIMIT, || {
        std::thread::sleep(Duration::from_secs(2));
        let status = cluster.status()?;
        let details = &status["nodes"][0]["details"];
        let addresses = details["addresses"].as_array().map(Vec::as_slice).unwrap_or_default();
        let announced = addresses.iter().filter(|one| one["state"] == "announced").count();
        Ok((announced == SERVICES).then(|| details["membership"]["longestTurnUs"].as_u64()))
    })?;
    let longest =
        longest.context("the node does not report the longest turn of its membership thread")?;
    story.say(format!("the longest turn of the membership thread took {longest} us"));
    ensure!(longest < TURN_US, "a turn of the membership thread took {longest} us");
    Ok(())
}
