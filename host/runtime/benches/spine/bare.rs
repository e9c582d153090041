//! The harness to compare with: wasmtime and generated bindings only, with no limit but the epoch, no conversion to SDK
//! types, no journal.
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_core::ledger::PoolView;
use outrigger_sdk::{Family, Pool as _};
use wasmtime::component::{Component, HasSelf, Linker};
use wasmtime::{Config, Engine, Store};

use super::{ADDRESS, MAC};

mod announcer {
    wasmtime::component::bindgen!({ path: "../../wit", world: "announcer" });
}
mod allocator {
    wasmtime::component::bindgen!({ path: "../../wit", world: "allocator" });
}

use allocator::exports::outrigger::plugin::policy;
use allocator::outrigger::plugin::pool;
use announcer::exports::outrigger::plugin::machine;
use announcer::outrigger::plugin::{events, network, types};

/// The compiled and linked guests.
#[derive(Clone)]
pub struct Bare {
    engine: Engine,
    layer2: announcer::AnnouncerPre<Quiet>,
    lowest_free: allocator::AllocatorPre<Asked>,
}

/// An instance of layer2 that has received its lists.
pub struct Started {
    store: Store<Quiet>,
    layer2: announcer::Announcer,
}

struct Quiet;
struct Asked(Arc<PoolView>);

impl Bare {
    /// Compiles in this process, as this is a benchmark.
    pub fn new(layer2: &[u8], lowest_free: &[u8]) -> Self {
        let engine = Engine::new(Config::new().epoch_interruption(true).concurrency_support(false))
            .expect("an engine");
        let mut linker = Linker::new(&engine);
        announcer::Announcer::add_to_linker::<_, HasSelf<_>>(&mut linker, |quiet: &mut Quiet| {
            quiet
        })
        .expect("it links");
        let component = Component::new(&engine, layer2).expect("it compiles");
        let layer2 = linker
            .instantiate_pre(&component)
            .and_then(announcer::AnnouncerPre::new)
            .expect("it fits");
        let mut linker = Linker::new(&engine);
        allocator::Allocator::add_to_linker::<_, HasSelf<_>>(&mut linker, |asked: &mut Asked| {
            asked
        })
        .expect("it links");
        let component = Component::new(&engine, lowest_free).expect("it compiles");
        let lowest_free = linker
            .instantiate_pre(&component)
            .and_then(allocator::AllocatorPre::new)
            .expect("it fits");
        Self { engine, layer2, lowest_free }
    }

    /// Creates a Store and an instance.
    pub fn instance(&self) {
        drop(self.instantiate());
    }

    /// Makes one decision in a fresh instance.
    pub fn decide(&self, request: &outrigger_sdk::Request, pool: Arc<PoolView>) {
        let mut store = Store::new(&self.engine, Asked(pool));
        store.set_epoch_deadline(1_000_000);
        let instance = self.lowest_free.instantiate(&mut store).expect("an instance");
        let exports = instance.outrigger_plugin_policy();
        exports.call_allocate(&mut store, &question(request), &[]).expect("no trap");
    }

    /// Does the work of a swap: instance, start from a snapshot, lists.
    pub fn swap(&self) {
        drop(self.started());
    }

    /// Returns an instance that has received its lists.
    pub fn started(&self) -> Started {
        let mut started = self.instantiate();
        let exports = started.layer2.outrigger_plugin_machine();
        let context = machine::Context {
            instance: "layer2".to_owned(),
            node: "n1".to_owned(),
            config: "{}".to_owned(),
            seed: vec![0; 32],
            ext: vec![],
        };
        exports.call_validate(&mut started.store, "{}").expect("no trap").expect("valid");
        exports
            .call_start(&mut started.store, &context, &machine::Origin::Fresh)
            .expect("no trap")
            .expect("it starts");
        let now = types::Time { monotonic_us: 0, utc_us: 0 };
        exports.call_handle(&mut started.store, now, &lists()).expect("no trap");
        exports.call_snapshot(&mut started.store).expect("no trap");
        started
    }

    fn instantiate(&self) -> Started {
        let mut store = Store::new(&self.engine, Quiet);
        store.set_epoch_deadline(1_000_000);
        let layer2 = self.layer2.instantiate(&mut store).expect("an instance");
        Started { store, layer2 }
    }
}

impl Started {
    /// Makes one call with this many ARP requests.
    pub fn handle(&mut self, monotonic_us: u64, requests: usize) {
        let now = types::Time { monotonic_us, utc_us: 0 };
        let outrigger_sdk::Event::Frame(frame) = super::arp_request() else { return };
        let frame = network::Frame { link: frame.link, data: frame.data };
        let events = vec![events::Event::Frame(frame); requests];
        self.layer2
            .outrigger_plugin_machine()
            .call_handle(&mut self.store, now, &events)
            .expect("no trap");
    }
}

fn lists() -> Vec<events::Event> {
    let link = network::Link {
        index: 1,
        name: "eth0".to_owned(),
        mac: (MAC.0, MAC.1, MAC.2, MAC.3, MAC.4, MAC.5),
        mtu: 1500,
        up: true,
        arp: true,
        generation: 1,
        addresses: vec![],
        ext: vec![],
    };
    let address = events::DesiredAddress {
        address: types::IpAddress::Ipv4(ADDRESS.octets().into()),
        pool: "default".to_owned(),
        services: vec![],
        duty: events::Duty::Announce,
        local_endpoints: events::EndpointCount { ready: 0, serving: 0, terminating: 0 },
        ext: vec![],
    };
    let links =
        events::LinksChanged { reset: true, remove: vec![], upsert: vec![link], more: false };
    let desired =
        events::DesiredChanged { reset: true, remove: vec![], upsert: vec![address], more: false };
    vec![events::Event::LinksChanged(links), events::Event::DesiredChanged(desired)]
}

fn question(request: &outrigger_sdk::Request) -> policy::Request {
    use allocator::outrigger::plugin::types;
    policy::Request {
        service: types::Service {
            namespace: request.service.namespace.clone(),
            name: request.service.name.clone(),
            uid: String::new(),
            labels: vec![],
            annotations: vec![],
            ports: vec![],
            external_traffic_policy: types::TrafficPolicy::Cluster,
            hostnames: vec![],
            ttl: 0,
            ext: vec![],
        },
        families: vec![types::IpFamily::Ipv4],
        all_families: request.all_families,
        wanted: vec![],
        holds: vec![],
        previous: vec![],
        sharing_key: String::new(),
        config: "{}".to_owned(),
        seed: request.seed.clone(),
        ext: vec![],
    }
}

impl announcer::outrigger::plugin::log::Host for Quiet {
    fn log(&mut self, _: announcer::outrigger::plugin::log::Level, _: String, _: Vec<types::Pair>) {
    }
}
impl types::Host for Quiet {}
impl network::Host for Quiet {}
impl events::Host for Quiet {}
impl announcer::outrigger::plugin::effects::Host for Quiet {}
impl announcer::outrigger::plugin::status::Host for Quiet {}
impl announcer::outrigger::plugin::http::Host for Quiet {}
impl announcer::outrigger::plugin::dns::Host for Quiet {}

impl allocator::outrigger::plugin::log::Host for Asked {
    fn log(&mut self, _: allocator::outrigger::plugin::log::Level, _: String, _: Vec<pool::Pair>) {}
}
impl allocator::outrigger::plugin::types::Host for Asked {}
impl allocator::outrigger::plugin::http::Host for Asked {}

/// Answers the queries that lowest-free makes when no address is named and no key is shared; the others are not used
/// here.
impl pool::Host for Asked {
    fn name(&mut self) -> String {
        self.0.name()
    }
    fn labels(&mut self) -> Vec<pool::Pair> {
        vec![]
    }
    fn prefixes(&mut self) -> Vec<pool::IpPrefix> {
        vec![]
    }
    fn count(&mut self, _: pool::IpFamily) -> pool::PoolCount {
        let count = self.0.count(Family::Ipv4);
        pool::PoolCount { total: count.total, free: count.free, held: count.held }
    }
    fn state(&mut self, _: pool::IpAddress) -> pool::AddressState {
        pool::AddressState::Free
    }
    fn lowest_free(&mut self, _: pool::IpFamily, limit: u32) -> Vec<pool::IpAddress> {
        self.0.lowest_free(Family::Ipv4, limit).into_iter().filter_map(v4).collect()
    }
    fn free_after(&mut self, _: pool::IpAddress, _: u32) -> Vec<pool::IpAddress> {
        vec![]
    }
    fn nth_free(&mut self, _: pool::IpFamily, n: u32) -> Vec<pool::IpAddress> {
        self.0.nth_free(Family::Ipv4, n).into_iter().filter_map(v4).collect()
    }
    fn shareable(&mut self, _: pool::IpFamily, _: u32) -> Vec<pool::IpAddress> {
        vec![]
    }
    fn holders(&mut self, _: pool::IpAddress) -> Vec<pool::Holder> {
        vec![]
    }
    fn held_after(&mut self, _: pool::IpAddress, _: u32) -> Vec<pool::HeldAddress> {
        vec![]
    }
    fn held_by_namespace(&mut self, _: String) -> u32 {
        0
    }
    fn released_ago(&mut self, _: pool::IpAddress) -> u32 {
        u32::MAX
    }
}

fn v4(address: IpAddr) -> Option<pool::IpAddress> {
    match address {
        IpAddr::V4(address) => Some(pool::IpAddress::Ipv4(address.octets().into())),
        IpAddr::V6(_) => None,
    }
}
