//! Pools in use, and nodes that may not be used: no Service loses its address, and the conditions tell the reason.
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{LIMIT, Stage, asked, serve};
use crate::kubernetes::Lab;
use crate::kubernetes::objects::items;
use crate::wait;

/// Deletes a pool in use, then all pools. Checks that no status changes and no traffic stops, and that the pool names the
/// Services it waits for and disappears with them.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn deleted_in_use(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "pool-in-use", 180)?;
    let addresses = stage.service("web", &json!({}))?;
    let probers =
        addresses.iter().map(|address| stage.probe(*address)).collect::<Result<Vec<_>>>()?;
    probers.iter().try_for_each(|prober| prober.settled(LIMIT))?;
    let skipped: Vec<_> = probers.iter().map(|prober| prober.so_far().requests()).collect();

    for all in [&[stage.name][..], &["--all"]] {
        lab.kubectl(&[&["delete", "addresspools", "--wait=false"], all].concat())?;
        let user = format!("{}/web", stage.name);
        wait::until(&format!("the pool reports that it waits for {user}"), LIMIT, || {
            let pool = lab.get_json(&["addresspool", stage.name])?;
            ensure!(!pool["metadata"]["deletionTimestamp"].is_null(), "the pool is not deleted");
            Ok(messages(&pool).any(|message| message.contains(&user)).then_some(()))
        })?;
        stage.keeps("web", &addresses)?;
    }
    // Longer than any reaction to the deletion takes.
    std::thread::sleep(Duration::from_secs(5));
    for (prober, skip) in probers.into_iter().zip(skipped) {
        prober.finish()?.from(skip).nothing_lost()?;
    }
    stage.keeps("web", &addresses)?;

    lab.kubectl(&["delete", "service", "web", "--namespace", stage.name])?;
    wait::until("the pool is deleted after its last user", LIMIT, || {
        let pools = lab.get_json(&["addresspools"])?;
        Ok((!items(&pools).iter().any(|pool| super::name_of(pool) == stage.name)).then_some(()))
    })
}

/// Labels all nodes as excluded, and checks that the Service keeps its addresses and its conditions name the label.
///
/// # Errors
/// When one of these conditions does not hold.
pub fn every_node_excluded(lab: &Lab) -> Result<()> {
    let stage = Stage::set(lab, "excluded", 190)?;
    let addresses = stage.service("web", &json!({}))?;
    serve::exclude_all_but(lab, None)?;
    let said = wait::until("the Service says that every node is excluded", LIMIT, || {
        let service = lab.get_json(&["service", "web", "--namespace", stage.name])?;
        Ok(messages(&service).any(|message| message.contains(serve::EXCLUDE)).then_some(()))
    })
    .with_context(|| stage.describe("web"))
    .and_then(|()| {
        let mend = format!("kubectl label node n1 {}-", serve::EXCLUDE);
        asked::await_why(lab, "excluded/web", &["every node is passed over", &mend])
    });
    serve::include_all(lab)?;
    said?;
    stage.keeps("web", &addresses)?;
    for address in addresses {
        stage.answer(address, |_| true)?;
    }
    Ok(())
}

/// Returns the messages of an object's conditions.
fn messages(object: &Value) -> impl Iterator<Item = &str> {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    conditions.filter_map(|condition| condition["message"].as_str())
}
