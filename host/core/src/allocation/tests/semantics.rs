//! Runs `semantics.md`: one scenario per line, against an API server that is a map.
use std::fmt::Write as _;
use std::sync::Arc;

use outrigger_sdk::IpProtocol;

use super::*;
use crate::facts::{Namespace, Node};

/// The objects that exist, and the leader that manages them.
#[derive(Default)]
struct World {
    services: BTreeMap<ServiceKey, Service>,
    others: BTreeMap<String, Fact>,
    reasons: BTreeMap<ServiceKey, String>,
    rig: Rig,
}

impl World {
    fn restart(&mut self) {
        for fact in self.others.values_mut() {
            if let Fact::Pool(pool) = fact {
                let known = self.rig.allocations.last_valid(&pool.name).cloned();
                Arc::make_mut(pool).last_valid = known.map(Box::new);
            }
        }
        self.rig = Rig { now: self.rig.now, ..Rig::default() };
        let services = self.services.values().cloned().map(Fact::from);
        for fact in services.chain(self.others.values().cloned()).collect::<Vec<_>>() {
            self.rig.apply(Change::Upsert(fact));
        }
        self.rig.apply(Change::Synced);
        self.settle();
    }

    /// Writes the decisions, and feeds them back to the leader.
    fn settle(&mut self) {
        loop {
            self.rig.settle();
            let verdicts = self.rig.allocations.verdicts().collect::<Vec<_>>();
            if verdicts.is_empty() {
                return;
            }
            for verdict in verdicts {
                self.reasons.insert(verdict.service.clone(), verdict.condition.reason);
                let Some(service) = self.services.get_mut(&verdict.service) else { continue };
                if verdict.writes_ingress {
                    service.ingress = verdict.addresses.into();
                }
                service.ours = verdict.condition.status;
                let written = service.clone();
                self.rig.apply(Change::Upsert(Fact::from(written)));
            }
        }
    }

    fn step(&mut self, step: &str) {
        let words: Vec<&str> = step.split_whitespace().collect();
        match words.as_slice() {
            ["restart"] => return self.restart(),
            ["wait", seconds] => {
                self.rig.now.monotonic_us += seconds.parse::<u64>().unwrap() * 1_000_000;
            }
            ["delete", name] => {
                self.services.remove(&key(name));
                self.rig.apply(Change::Remove(FactKey::Service(key(name))));
            }
            ["gone", name] => drop(self.services.remove(&key(name))),
            ["drop", "node", name] => self.drop(FactKey::Node((*name).into()), name),
            ["drop", name] => self.drop(FactKey::Pool((*name).into()), name),
            ["pool", name, rest @ ..] => self.put(name, Fact::from(pool_of(name, rest))),
            ["node", name, rest @ ..] => self.put(name, Fact::from(node_of(name, rest))),
            ["namespace", name, label] => {
                let labels = [pair(label)].into();
                let namespace = Namespace { name: (*name).into(), labels };
                self.put(name, Fact::from(namespace));
            }
            ["other", name, addresses @ ..] => {
                let service = self.services.get_mut(&key(name)).unwrap();
                service.ingress = addresses.iter().map(|text| ip(text)).collect();
                let service = service.clone();
                self.rig.apply(Change::Upsert(Fact::from(service)));
            }
            [name, "->", expected @ ..] => return self.check(name, expected, step),
            [name, "=>", expected @ ..] => return self.check_pool(name, &expected.join(" "), step),
            [name, rest @ ..] => {
                let service = service_of(name, rest, self.services.get(&key(name)));
                self.services.insert(service.key.clone(), service.clone());
                self.rig.apply(Change::Upsert(Fact::from(service)));
            }
            [] => panic!("an empty step"),
        }
        self.settle();
    }

    fn put(&mut self, name: &str, fact: Fact) {
        self.others.insert(name.to_owned(), fact.clone());
        self.rig.apply(Change::Upsert(fact));
    }

    fn drop(&mut self, key: FactKey, name: &str) {
        self.others.remove(name);
        self.rig.apply(Change::Remove(key));
    }

    fn check(&self, name: &str, expected: &[&str], step: &str) {
        let service = &self.services[&key(name)];
        let mut got = match service.ingress.as_slice() {
            [] => "none".to_owned(),
            some => some.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" "),
        };
        if expected.last().is_some_and(|word| word.starts_with(char::is_uppercase)) {
            write!(got, " {}", self.reasons[&key(name)]).unwrap();
        }
        assert_eq!(got, expected.join(" "), "{step}: {:?}", self.rig.allocations.said);
    }

    fn check_pool(&self, name: &str, expected: &str, step: &str) {
        let status = self.rig.allocations.pool_status(name).unwrap();
        let Counts { capacity, allocated, free } = status.ipv4;
        let mut got = format!("{capacity}/{allocated}/{free}");
        for condition in status.conditions.iter().filter(|condition| condition.status) {
            write!(got, " {}", condition.kind.name()).unwrap();
        }
        assert_eq!(got, expected, "{step}: {status:?}");
    }
}

fn pair(text: &str) -> (String, String) {
    let (key, value) = text.rsplit_once(':').unwrap();
    (key.to_owned(), value.to_owned())
}

fn selects(text: &str) -> Selector {
    let (key, value) = pair(text);
    Selector { requirements: vec![Requirement::In(key, [value].into())] }
}

fn pool_of(name: &str, words: &[&str]) -> Pool {
    let (options, lines): (Vec<&str>, Vec<&str>) =
        words.iter().partition(|word| word.contains('=') || **word == "draining");
    let mut pool = pool(name, &lines);
    for option in options {
        match option.split_once('=').unwrap_or((option, "")) {
            ("draining", _) => pool.draining = true,
            ("auto", "no") => pool.auto_assign = false,
            ("buggy", "avoid") => pool.avoid_buggy_ips = true,
            ("exclude", line) => pool.exclude.push(line.parse().unwrap()),
            ("prio", number) => pool.priority = number.parse().unwrap(),
            ("ns", names) => pool.namespaces = names.split(',').map(str::to_owned).collect(),
            ("nssel", label) => pool.namespace_selector = Some(selects(label)),
            ("sel", label) => pool.service_selector = selects(label),
            _ => panic!("no pool has {option}"),
        }
    }
    pool
}

fn node_of(name: &str, words: &[&str]) -> Node {
    let mut node = crate::plan::test_facts::node(name);
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("excluded", _) => node.excluded = true,
            ("cordoned", _) => node.cordoned = true,
            ("unready", _) => node.ready = false,
            ("ip", address) => node.addresses.push(ip(address)),
            _ => panic!("no node has {word}"),
        }
    }
    node
}

/// Returns the Service that the words describe. The status stays as it was unless the words set it.
fn service_of(name: &str, words: &[&str], old: Option<&Service>) -> Service {
    let ips = |list: &str| -> Vec<IpAddr> {
        list.split(',').filter(|one| !one.is_empty()).map(ip).collect()
    };
    let mut service = Service {
        ingress: old.map(|old| old.ingress.clone()).unwrap_or_default(),
        ours: old.is_some_and(|old| old.ours),
        ..service(name)
    };
    let both = [Family::Ipv4, Family::Ipv6];
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("v6", _) => service.families = vec![Family::Ipv6].into(),
            ("dual", _) => service.families = both.into(),
            ("dual6", _) => service.families = vec![Family::Ipv6, Family::Ipv4].into(),
            ("prefer", _) => (service.families, service.all_families) = (both.into(), false),
            ("ip", list) => service.wanted = ips(list),
            ("pool", pool) => service.pool = Some(pool.to_owned()),
            ("share", name) => service.sharing_key = name.to_owned(),
            ("port", port) => {
                let (port, protocol) = match port.split_once('/') {
                    Some((port, "udp")) => (port, IpProtocol::Udp),
                    _ => (port, IpProtocol::Tcp),
                };
                let port = port.parse().unwrap();
                service.ports = vec![ServicePort { port, protocol, ..ServicePort::default() }];
            }
            ("local", _) => service.traffic_policy = TrafficPolicy::Local,
            ("selector", app) => service.selector = [("app".into(), app.into())].into(),
            ("label", label) => service.labels = [pair(label)].into(),
            ("status", list) => (service.ingress, service.ours) = (ips(list).into(), false),
            ("adopt", _) => service.adopt = true,
            ("rubbish", _) => service.problem = Some("rubbish: write something else".to_owned()),
            ("uid", uid) => service.uid = uid.to_owned(),
            _ => panic!("no Service has {word}"),
        }
    }
    service
}

#[test]
fn every_row_of_the_reference_holds() {
    let mut rows = 0;
    let mut failed = String::new();
    for line in include_str!("semantics.md").lines() {
        let cells: Vec<&str> = line.split('|').map(str::trim).collect();
        let ["", row, what, steps, ""] = cells.as_slice() else { continue };
        if *row == "row" || row.starts_with('-') {
            continue;
        }
        rows += 1;
        let scenario = || {
            let mut world = World::default();
            world.rig.apply(Change::Synced);
            steps.split(';').for_each(|step| world.step(step.trim()));
        };
        if std::panic::catch_unwind(scenario).is_err() {
            writeln!(failed, "{row}: {what}").unwrap();
        }
    }
    assert!(failed.is_empty(), "of {rows} rows these do not hold:\n{failed}");
    assert!(rows > 100, "only {rows} rows were read");
}
