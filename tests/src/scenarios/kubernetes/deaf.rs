//! A node receives no events from the API server: it does not learn of new Services, and the other nodes answer for those that it
//! would have been elected for.
use std::net::IpAddr;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::relist::Cut;
use super::{LIMIT, Stage};
use crate::kubernetes::segment::Member;
use crate::kubernetes::{Lab, web};
use crate::{clock, wait};

/// Number of Services, with two addresses each.
const SERVICES: usize = 6;

/// Checks that a node answers for each address, including those whose elected node is cut off.
///
/// # Errors
/// When no node answers for an address.
pub fn watch(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "deaf", 250 - 2 * SERVICES as u8)?;
    let deaf = lab.nodes().next().context("no node")?.name();
    let _deaf = Cut::between(lab, Member::named(&deaf)?, "drop")?;
    let (mut passed_over, mut slowest) = (0, std::time::Duration::ZERO);
    for number in 0..SERVICES {
        let name = format!("web-{number}");
        let spec = json!({ "type": "LoadBalancer" });
        lab.apply(&web::service(stage.name, &name, &spec).to_string())?;
        let addresses = wait::until(&format!("{name} has two addresses"), LIMIT, || {
            let addresses = stage.addresses(&name)?;
            Ok((addresses.len() == 2).then_some(addresses))
        })?;
        let given = clock::now();
        for address in addresses {
            stage.answer(address, |_| true)?;
            slowest = slowest.max(clock::since(given));
            passed_over += usize::from(elected(lab, address) == Some(deaf.clone()));
        }
    }
    println!(
        "another node answered for {passed_over} addresses of the deaf node; the last after {slowest:.1?}"
    );
    ensure!(
        passed_over > 0,
        "the deaf node was not elected for any address: the trial is inconclusive"
    );
    Ok(())
}

/// Returns the node that is elected for an address without a holder, as in `host/core/src/election.rs`.
fn elected(lab: &Lab, address: IpAddr) -> Option<String> {
    let score = |node: &String| Sha256::digest(format!("{node}#{address}"));
    lab.nodes().map(|node| node.name()).min_by_key(|node| score(node).to_vec())
}
