//! `outrigger uninstall`: removes what Outrigger left in Services and pools, before its manifests are deleted.
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use outrigger_kube::api::{self, Lease};
use outrigger_net::now;

use crate::config::Config;

/// Time for which controllers that still run wait before they lead again: enough to delete them.
const HELD: Duration = Duration::from_secs(600);

/// Releases Services and pools and prints each step.
pub fn uninstall(config: &Config, keep_addresses: bool) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let client = api::connect(config.kubeconfig.as_deref()).await?;
        println!("taking over the lease, so that the controller writes nothing from now on; this takes 10 s");
        let mut lease = Lease::new(client.clone(), "outrigger-uninstall".to_owned());
        let lead = lease.seize(HELD).await.context("the lease cannot be acquired")?;
        let mut services = 0;
        let done = api::release_services(&client, &lead, keep_addresses, now(), |key, written| {
            services += usize::from(written);
            let what = if keep_addresses { "keeps its addresses" } else { "released" };
            println!("Service {key}: {}", if written { what } else { "deleted meanwhile" });
        });
        done.await.context("not every Service could be released: run this command again")?;
        let pools = api::release_pools(&client).await.context("not every pool could be released: run this command again")?;
        pools.iter().for_each(|pool| println!("AddressPool {pool}: can be deleted"));
        println!(
            "{services} Services and {} pools released; now delete the manifests, within {} minutes: kubectl delete -f install.yaml",
            pools.len(),
            HELD.as_secs() / 60
        );
        Ok(ExitCode::SUCCESS)
    })
}
