//! Which announcers cover an address. Knows nothing of nodes or claims.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::facts::{Announcer, Cluster, PluginRef, Pool, Service};

/// Name of the announcer that needs no object, and of its plugin.
const BUILT_IN: &str = "layer2";

/// The plugin that tells routers and no segment: an Announcer of it takes nothing from those who are reached on layer 2.
const ROUTES: &str = "bgp";

/// The announcers there are: those written down, and the built-in `layer2` on every node and interface while none but of plugin bgp is
/// written down, or when a pool names it and nobody wrote it down.
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

/// Says what the built-in `layer2` announces beside the Announcers that are written down, and how to end that. `None` where it announces
/// nothing, or everything.
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
            "the built-in announcer layer2 announces the addresses of {} beside {}, as their spec.announcers is absent. To have them announced \
             by {} alone, write spec.announcers: [{}] into the pool",
            pools.join(", "),
            written.join(", "),
            written.join(", "),
            written.join(", "),
        )
    })
}

/// What is remembered of pools, each once: thousands of addresses have one in common.
#[derive(Default)]
pub(super) struct Homes(BTreeSet<Arc<Home>>);

impl Homes {
    /// The one like this that others have.
    pub fn share(&mut self, home: Home) -> Arc<Home> {
        if let Some(known) = self.0.get(&home) {
            return known.clone();
        }
        // A pool that was edited leaves nothing behind.
        self.0.retain(|home| Arc::strong_count(home) > 1);
        let home = Arc::new(home);
        self.0.insert(home.clone());
        home
    }
}

/// What is remembered of an address's pool: it stands while a Service holds the address, even when the pool is
/// deleted or shrunk (invariant 4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Home {
    pub pool: Arc<str>,
    pub announcers: Option<Vec<String>>,
}

impl Home {
    pub fn find(cluster: &Cluster, address: IpAddr) -> Option<Self> {
        let within = |pool: &&Pool| pool.addresses.iter().any(|range| range.contains(address));
        let version = |pool: &Arc<Pool>| {
            let was = pool.last_valid.as_deref().filter(within);
            let announcers = Some(&**pool).filter(within).or(was)?.announcers.clone();
            // Two may claim the address: one that is being deleted has a successor, and of two that overlap as they are
            // written the one whose last valid version has the address is in force.
            let order = (pool.draining, was.is_none());
            Some((order, Self { pool: pool.name.as_str().into(), announcers }))
        };
        let found = cluster.pools.values().filter_map(version);
        found.min_by_key(|(order, _)| *order).map(|(_, home)| home)
    }

    /// Of an address whose pool is not known any more: whoever announces anything announces it.
    pub fn lost() -> Self {
        Self { pool: Arc::default(), announcers: None }
    }

    /// The announcers for an address that lives here and belongs to these Services.
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
