//! Determines the announcers that cover an address. Must not know nodes or claims.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::facts::{Announcer, Cluster, PluginRef, Pool, Service};

/// Name of the announcer that needs no object, and of its plugin.
const BUILT_IN: &str = "layer2";

/// Name of the plugin that announces to routers and not on a segment. An Announcer of this plugin does not replace the
/// built-in one for hosts that are reached on layer 2.
const ROUTES: &str = "bgp";

/// Returns the configured announcers, and in addition the built-in `layer2` on every node and interface, if no
/// Announcer of a plugin other than bgp is configured, or if a pool names it and no Announcer of that name is
/// configured.
pub fn announcers(cluster: &Cluster) -> BTreeMap<String, Arc<Announcer>> {
    let mut announcers = cluster.announcers.clone();
    let named = |pool: &Arc<Pool>| pool.announcers.iter().flatten().any(|name| name == BUILT_IN);
    if only_routes(cluster) || cluster.pools.values().any(named) {
        announcers.entry(BUILT_IN.to_owned()).or_insert_with(|| {
            Arc::new(Announcer {
                name: BUILT_IN.to_owned(),
                plugin: PluginRef { plugin: BUILT_IN.to_owned(), config: "{}".to_owned() },
                ..Announcer::default()
            })
        });
    }
    announcers
}

fn only_routes(cluster: &Cluster) -> bool {
    cluster.announcers.values().all(|announcer| announcer.plugin.plugin == ROUTES)
}

/// Returns a message that states which addresses the built-in `layer2` announces in addition to the configured
/// Announcers, and how to change that; `None` if it announces nothing, or everything.
pub fn built_in_beside(cluster: &Cluster) -> Option<String> {
    if cluster.announcers.is_empty()
        || cluster.announcers.contains_key(BUILT_IN)
        || !only_routes(cluster)
    {
        return None;
    }
    let names_none = |pool: &&Arc<Pool>| pool.announcers.is_none();
    let pools: Vec<&str> =
        cluster.pools.values().filter(names_none).map(|pool| pool.name.as_str()).collect();
    let written: Vec<&str> = cluster.announcers.keys().map(String::as_str).collect();
    (!pools.is_empty()).then(|| {
        format!(
            "the built-in announcer layer2 announces the addresses of {} in addition to {}, because their spec.announcers is absent. To announce them \
             by {} only, set spec.announcers: [{}] in the pool",
            pools.join(", "),
            written.join(", "),
            written.join(", "),
            written.join(", "),
        )
    })
}

/// Distinct pool data, stored once because thousands of addresses share it.
#[derive(Default)]
pub(super) struct PoolBindings(BTreeSet<Arc<PoolBinding>>);

impl PoolBindings {
    /// Returns the shared copy of equal data.
    pub fn share(&mut self, home: PoolBinding) -> Arc<PoolBinding> {
        if let Some(known) = self.0.get(&home) {
            return known.clone();
        }
        // Drop data of a former version of a pool that no address uses any more.
        self.0.retain(|home| Arc::strong_count(home) > 1);
        let home = Arc::new(home);
        self.0.insert(home.clone());
        home
    }
}

/// The data of an address's pool. It is kept while a Service holds the address, even if the pool is deleted or shrunk
/// (invariant 4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PoolBinding {
    pub pool: Arc<str>,
    pub announcers: Option<Vec<String>>,
}

impl PoolBinding {
    pub fn find(cluster: &Cluster, address: IpAddr) -> Option<Self> {
        let within = |pool: &&Pool| pool.addresses.iter().any(|range| range.contains(address));
        let version = |pool: &Arc<Pool>| {
            let was = pool.last_valid.as_deref().filter(within);
            let announcers = Some(&**pool).filter(within).or(was)?.announcers.clone();
            // Two pools may contain the address. One that is being deleted has a successor. Of two whose current specs
            // overlap, the one whose last valid version contains the address applies.
            let order = (pool.draining, was.is_none());
            Some((order, Self { pool: pool.name.as_str().into(), announcers }))
        };
        let found = cluster.pools.values().filter_map(version);
        found.min_by_key(|(order, _)| *order).map(|(_, home)| home)
    }

    /// Returns the data for an address whose pool is no longer known: every announcer announces it.
    pub fn lost() -> Self {
        Self { pool: Arc::default(), announcers: None }
    }

    /// Returns the announcers for an address of this pool that belongs to these Services.
    pub fn cover<'a>(
        &self,
        announcers: &'a BTreeMap<String, Arc<Announcer>>,
        services: &[&Service],
    ) -> Vec<&'a Announcer> {
        let named = |announcer: &&'a Announcer| {
            self.announcers.as_ref().is_none_or(|names| names.contains(&announcer.name))
        };
        let wanted = |announcer: &&'a Announcer| {
            services.iter().any(|service| announcer.service_selector.matches(&service.labels))
        };
        announcers.values().map(Arc::as_ref).filter(named).filter(wanted).collect()
    }
}
