//! Checks a policy against every request of `allocator.json`, with the real ledger behind the pool. Included by the tests of
//! each policy; independent of how a policy is called.
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use outrigger_core::facts::{self, ServiceKey};
use outrigger_core::ledger::{Ledger, PoolView};
use outrigger_sdk::{Family, IpProtocol, Outcome, Request, ServicePort, Time, TrafficPolicy};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    name: String,
    pool: Pool,
    request: Question,
    expect: BTreeMap<String, Expected>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Pool {
    name: String,
    addresses: Vec<String>,
    #[serde(default)]
    exclude: Vec<String>,
    #[serde(default, rename = "avoidBuggyIPs")]
    avoid_buggy_ips: bool,
    #[serde(default)]
    holders: Vec<Holder>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Holder {
    address: IpAddr,
    service: Service,
    #[serde(default)]
    sharing_key: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    namespace: String,
    name: String,
    ports: Vec<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Question {
    service: Service,
    families: Vec<String>,
    #[serde(default)]
    all_families: bool,
    #[serde(default)]
    wanted: Vec<IpAddr>,
    #[serde(default)]
    holds: Vec<IpAddr>,
    #[serde(default)]
    previous: Vec<IpAddr>,
    #[serde(default)]
    sharing_key: String,
    config: Option<String>,
}

#[derive(Deserialize, Debug)]
#[serde(untagged, deny_unknown_fields)]
enum Expected {
    Assign {
        assign: Vec<IpAddr>,
    },
    Refuse {
        refuse: String,
        #[serde(default)]
        naming: Vec<String>,
    },
}

/// Panics with every case that `policy` answers differently.
pub fn check(policy: &str, allocate: impl Fn(&Request, PoolView) -> Outcome) {
    let cases: Vec<Case> = serde_json::from_str(include_str!("allocator.json")).unwrap();
    let mut wrong = Vec::new();
    for case in &cases {
        let expected = case.expect.get(policy).or_else(|| case.expect.get("all"));
        let expected =
            expected.unwrap_or_else(|| panic!("no answer of {policy} to: {}", case.name));
        let (request, pool) = question(case);
        let got = allocate(&request, pool);
        if !expected.is_met_by(&got) {
            wrong.push(format!("{}:\n  expected {expected:?}\n  got      {got:?}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{policy} breaks the contract:\n{}", wrong.join("\n"));
}

impl Expected {
    fn is_met_by(&self, got: &Outcome) -> bool {
        match (self, got) {
            (Self::Assign { assign }, Outcome::Assign(got)) => assign == got,
            (Self::Refuse { refuse, naming }, Outcome::Refuse(got)) => {
                *refuse == got.reason && naming.iter().all(|word| got.message.contains(word))
            }
            _ => false,
        }
    }
}

fn question(case: &Case) -> (Request, PoolView) {
    let mut ledger = Ledger::default();
    ledger.put_pool(Arc::new(pool(&case.pool)));
    for holder in &case.pool.holders {
        let service = Arc::new(holder.service.fact(&holder.sharing_key));
        ledger.hold(&service, Some(&case.pool.name), holder.address).unwrap();
    }
    let asked = &case.request;
    let service = asked.service.fact(&asked.sharing_key);
    let request = Request {
        service: service.to_sdk(),
        families: asked.families.iter().map(|family| family_named(family)).collect(),
        all_families: asked.all_families,
        wanted: asked.wanted.clone(),
        holds: asked.holds.clone(),
        previous: asked.previous.clone(),
        sharing_key: asked.sharing_key.clone(),
        config: asked.config.clone().unwrap_or_else(|| "{}".to_owned()),
        seed: vec![0; 32],
        ext: Vec::new(),
    };
    let name = case.pool.name.clone();
    (request, PoolView::new(Arc::new(ledger), name, Arc::new(service), Time::default()))
}

fn pool(pool: &Pool) -> facts::Pool {
    let ranges = |lines: &[String]| lines.iter().map(|line| line.parse().unwrap()).collect();
    facts::Pool {
        name: pool.name.clone(),
        labels: facts::Labels::new(),
        addresses: ranges(&pool.addresses),
        exclude: ranges(&pool.exclude),
        auto_assign: true,
        avoid_buggy_ips: pool.avoid_buggy_ips,
        priority: 0,
        namespaces: Default::default(),
        namespace_selector: None,
        service_selector: facts::Selector::default(),
        allocator: facts::PluginRef { plugin: "any".to_owned(), config: "{}".to_owned() },
        failure_policy: facts::FailurePolicy::default(),
        announcers: None,
        draining: false,
        last_valid: None,
    }
}

impl Service {
    fn fact(&self, sharing_key: &str) -> facts::Service {
        let key = ServiceKey::new(&self.namespace, &self.name);
        let mut service = facts::Service::reserved(key, &[]);
        service.ports = self.ports.iter().map(|port| port_named(port)).collect();
        service.traffic_policy = TrafficPolicy::Cluster;
        service.sharing_key = sharing_key.to_owned();
        service
    }
}

fn family_named(name: &str) -> Family {
    match name {
        "IPv4" => Family::Ipv4,
        "IPv6" => Family::Ipv6,
        _ => panic!("no family {name}"),
    }
}

fn port_named(text: &str) -> ServicePort {
    let (protocol, port) = text.split_once('/').unwrap();
    let protocol = match protocol {
        "TCP" => IpProtocol::Tcp,
        "UDP" => IpProtocol::Udp,
        "SCTP" => IpProtocol::Sctp,
        _ => panic!("no protocol {protocol}"),
    };
    ServicePort { protocol, port: port.parse().unwrap(), ..ServicePort::default() }
}
