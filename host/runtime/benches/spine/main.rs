//! The cost of the runtime over a bare wasmtime harness that runs the same guests: instances, `handle` calls,
//! decisions, swaps. Both sides take turns in every round, so that a drift of the machine's speed affects both; the
//! median of the rounds is printed, one JSON object in the last line.
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use outrigger_core::facts;
use outrigger_core::ledger::{Ledger, PoolView};
use outrigger_runtime::{Compiler, Engine, Limits, Plugin, Supervisor};
use outrigger_sdk::{
    Context, DesiredAddress, DesiredChanged, Duty, Event, Family, Frame, IpNet, Link, LinksChanged,
    MacAddr, Request, Time, wire,
};

mod bare;

const ROUNDS: usize = 21;
const HELD: u32 = 10_000;
const BATCH: usize = 32;

fn main() {
    // `cargo test --benches` passes no --bench: one round then shows that it runs.
    let rounds = if std::env::args().any(|argument| argument == "--bench") { ROUNDS } else { 1 };
    let host = Host::new();
    let mut figures = serde_json::Map::new();
    for (name, per_round, ours, theirs) in host.contests() {
        let (mut ours, mut theirs) = (ours, theirs);
        let mut times = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            times.0.push(timed(per_round, &mut *ours));
            times.1.push(timed(per_round, &mut *theirs));
        }
        let ratio =
            median(times.0.iter().zip(&times.1).map(|(ours, theirs)| ours / theirs).collect());
        let (ours, theirs) = (median(times.0), median(times.1));
        println!("{name:28} {ours:10.2} µs   bare {theirs:10.2} µs   ratio {ratio:.2}");
        let figure = serde_json::json!({ "us": ours, "bare_us": theirs, "per_second": 1e6 / ours, "ratio": ratio });
        figures.insert(name.to_owned(), figure);
    }
    println!("{}", serde_json::Value::Object(figures));
}

type Contest = (&'static str, u32, Box<dyn FnMut()>, Box<dyn FnMut()>);

struct Host {
    layer2: Arc<Plugin>,
    lowest_free: Arc<Plugin>,
    bare: bare::Bare,
}

impl Host {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .parent()
            .expect("a target folder")
            .to_owned();
        let names = ["layer2", "lowest-free"];
        let folder = root.join("plugins/components");
        let components = outrigger_sdk_build::examples(&folder, &names, &target);
        let components = components.expect("the guests build").into_iter();
        let read = |path| std::fs::read(path).expect("the component is there");
        let [layer2, lowest_free] =
            components.map(read).collect::<Vec<_>>().try_into().expect("one of each");
        let bare = bare::Bare::new(&layer2, &lowest_free);
        // No child here: compiled in the same way as the embedded plugins.
        let engine = Engine::new().expect("an engine");
        let cache = target.join("spine-bench");
        let compiler = Compiler::new(PathBuf::from("no-child"), vec![], cache);
        let load = |bytes: &[u8]| {
            let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
            let compiled = outrigger_runtime::precompile(bytes, &triple).expect("it compiles");
            compiler.load_built_in(&engine, bytes, &compiled).expect("it loads")
        };
        let host = Self { layer2: load(&layer2), lowest_free: load(&lowest_free), bare };
        std::mem::forget(engine);
        host
    }

    fn contests(&self) -> Vec<Contest> {
        let limits = Limits::default();
        let (layer2, bare) = (self.layer2.clone(), self.bare.clone());
        let (limits_a, bare_a) = (limits.clone(), bare.clone());
        let instance: Contest = (
            "instance",
            200,
            Box::new(move || drop(layer2.machine(&limits_a).expect("an instance"))),
            Box::new(move || bare_a.instance()),
        );
        let one = self.handle("handle, 1 ARP request", 2_000, 1);
        let batch = self.handle("handle, 32 ARP requests", 200, BATCH);
        let (request, view) = question();
        let policy = self.lowest_free.clone();
        let (bare_b, theirs) = (bare.clone(), (request.clone(), view.clone()));
        let decision: Contest = (
            "decision, 10,000 held",
            200,
            Box::new(move || {
                let view = Arc::new(view.clone());
                policy.allocate(&request, view, &limits).expect("no fault");
            }),
            Box::new(move || bare_b.decide(&theirs.0, Arc::new(theirs.1.clone()))),
        );
        let (swapped, mut running) = (self.layer2.clone(), self.supervised());
        let swap: Contest = (
            "swap",
            100,
            Box::new(move || {
                running.swap(at(0), swapped.clone(), context(), lists()).expect("it takes over");
            }),
            Box::new(move || bare.swap()),
        );
        vec![instance, one, batch, decision, swap]
    }

    fn handle(&self, name: &'static str, per_round: u32, requests: usize) -> Contest {
        let mut ours = self.supervised();
        let mut theirs = self.bare.started();
        let (mut our_time, mut their_time) = (0, 0);
        (
            name,
            per_round,
            Box::new(move || {
                our_time += 1;
                ours.deliver(at(our_time), vec![arp_request(); requests]);
            }),
            Box::new(move || {
                their_time += 1;
                theirs.handle(their_time, requests);
            }),
        )
    }

    fn supervised(&self) -> Supervisor {
        let mut running = Supervisor::start(self.layer2.clone(), context()).expect("it starts");
        running.deliver(at(0), lists());
        running
    }
}

fn context() -> Context {
    let (instance, node, config) = ("layer2".to_owned(), "n1".to_owned(), "{}".to_owned());
    Context { instance, node, config, seed: vec![0; 32], ext: vec![] }
}

fn at(monotonic_us: u64) -> Time {
    Time { monotonic_us, utc_us: 0 }
}

const MAC: MacAddr = MacAddr(2, 0, 0, 0, 0, 1);
const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 168, 1, 240);

fn lists() -> Vec<Event> {
    let link = Link {
        index: 1,
        name: "eth0".to_owned(),
        mac: MAC,
        mtu: 1500,
        up: true,
        arp: true,
        generation: 1,
        addresses: vec![IpNet::new(Ipv4Addr::new(192, 168, 1, 11).into(), 24).expect("a prefix")],
    };
    let address = DesiredAddress {
        address: ADDRESS.into(),
        pool: "default".to_owned(),
        services: vec![],
        duty: Duty::Announce,
        local_endpoints: Default::default(),
        ext: vec![],
    };
    vec![
        Event::LinksChanged(LinksChanged { reset: true, upsert: vec![link], ..Default::default() }),
        Event::DesiredChanged(DesiredChanged {
            reset: true,
            upsert: vec![address],
            ..Default::default()
        }),
    ]
}

fn arp_request() -> Event {
    let message = wire::NeighborMessage::Arp(wire::Arp {
        operation: wire::ArpOperation::Request,
        sender_mac: MacAddr(2, 0, 0, 0, 0, 9),
        sender_ip: Ipv4Addr::new(192, 168, 1, 10),
        target_mac: MacAddr::zero(),
        target_ip: ADDRESS,
    });
    let data = wire::encode(MacAddr::broadcast(), MacAddr(2, 0, 0, 0, 0, 9), &message);
    Event::Frame(Frame { link: 1, data })
}

/// Returns a request to a pool of 65,536 addresses of which 10,000 are held.
fn question() -> (Request, PoolView) {
    let pool = facts::Pool {
        name: "default".to_owned(),
        labels: facts::Labels::new(),
        addresses: vec!["10.0.0.0/16".parse().expect("a range")],
        exclude: vec![],
        auto_assign: true,
        avoid_buggy_ips: false,
        priority: 0,
        namespaces: Default::default(),
        namespace_selector: None,
        service_selector: facts::Selector::default(),
        allocator: facts::PluginRef { plugin: "lowest-free".to_owned(), config: "{}".to_owned() },
        failure_policy: facts::FailurePolicy::default(),
        announcers: None,
        draining: false,
        last_valid: None,
    };
    let service = |name: String| {
        let key = facts::ServiceKey::new("default", &name);
        let mut service = facts::Service::reserved(key, &[]);
        service.families = vec![Family::Ipv4].into();
        Arc::new(service)
    };
    let mut ledger = Ledger::default();
    ledger.put_pool(Arc::new(pool));
    for n in 0..HELD {
        let address = Ipv4Addr::from(0x0a00_0000 + n);
        ledger
            .hold(&service(format!("s{n}")), Some("default"), address.into())
            .expect("it is free");
    }
    let asking = service("new".to_owned());
    let request = Request {
        service: asking.to_sdk(),
        families: vec![Family::Ipv4],
        config: "{}".to_owned(),
        seed: vec![0; 32],
        ..Default::default()
    };
    (request, PoolView::new(Arc::new(ledger), "default".to_owned(), asking, Time::default()))
}

/// Returns the microseconds per call.
#[expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
fn timed(calls: u32, call: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    (0..calls).for_each(|_| call());
    let elapsed: Duration = start.elapsed();
    elapsed.as_secs_f64() * 1e6 / f64::from(calls)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
