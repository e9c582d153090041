//! Plays each situation with facts, and compares the explanation with `texts.md`, which is meant to be read. To see the
//! differences, run with OUTRIGGER_TEXTS=write, and read the change of that file.
use std::collections::BTreeSet;

use outrigger_sdk::Family;

use super::*;
use crate::facts::{Announcer, Endpoint, Endpoints};
use crate::plan::test_facts::{key, node, pool, service};
use crate::plan::{
    AddressObservation, AnnouncerObservation, Details, NodeObservation, Unreachable,
};
use situations::SITUATIONS;

mod situations;

/// A cluster of three nodes, of which n2 answers for all addresses.
struct Scene {
    cluster: Cluster,
    heard: Observations,
    conditions: BTreeMap<ServiceKey, PublishedCondition>,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self {
            cluster: Cluster { synced: true, ..Cluster::default() },
            heard: Observations::default(),
            conditions: BTreeMap::new(),
        };
        for name in ["n1", "n2", "n3"] {
            scene.put(Fact::from(node(name)));
            let running = AnnouncerObservation {
                plugin: "layer2".into(),
                origin: "embedded".into(),
                phase: "Running".into(),
                last_fault: String::new(),
            };
            let links =
                [("eth1".to_owned(), BTreeSet::from(["10.0.0.2/24".parse().unwrap()]))].into();
            let word = NodeObservation {
                alive: true,
                announcers: [("layer2".to_owned(), running)].into(),
                details: Some(Details { addresses: BTreeMap::new(), links }),
                ..NodeObservation::default()
            };
            scene.heard.nodes.insert(name.into(), word);
        }
        scene
    }

    fn put(&mut self, fact: Fact) -> &mut Self {
        self.cluster.apply(Change::Upsert(fact));
        self
    }

    fn pool(&mut self, name: &str, addresses: &str, edit: impl FnOnce(&mut Pool)) -> &mut Self {
        let mut pool = pool(name, &[addresses]);
        edit(&mut pool);
        self.put(Fact::from(pool))
    }

    fn service(
        &mut self,
        name: &str,
        ingress: &[&str],
        edit: impl FnOnce(&mut Service),
    ) -> &mut Self {
        let mut service = service(name, ingress);
        service.ports = vec![outrigger_sdk::ServicePort {
            name: String::new(),
            protocol: outrigger_sdk::IpProtocol::Tcp,
            port: 80,
            node_port: 0,
        }];
        edit(&mut service);
        self.put(Fact::from(service))
    }

    /// Sets the pods of a Service: the node of each, and true if it is ready.
    fn pods(&mut self, name: &str, pods: &[(&str, bool)]) -> &mut Self {
        let one = |(node, ready): &(&str, bool)| Endpoint {
            node: Some((*node).to_owned()),
            ready: *ready,
            serving: *ready,
            terminating: false,
        };
        let endpoints = pods.iter().map(one).collect();
        let (slice, family) = (key(name), Family::Ipv4);
        self.put(Fact::from(Endpoints { slice, service: key(name), family, endpoints }))
    }

    fn node(&mut self, name: &str) -> &mut NodeObservation {
        self.heard.nodes.get_mut(name).unwrap()
    }

    fn says(
        &mut self,
        node: &str,
        address: &str,
        speaks: bool,
        state: &str,
        message: &str,
    ) -> &mut Self {
        let word = AddressObservation {
            announcer: "layer2".into(),
            speaks,
            state: state.into(),
            via: if state == "announced" { vec!["eth1".into()] } else { Vec::new() },
            message: message.into(),
            since: "2026-11-23 07:12:03 UTC".into(),
        };
        let details = self.node(node).details.as_mut().unwrap();
        details.addresses.entry(address.parse().unwrap()).or_default().push(word);
        self
    }

    fn condition(&mut self, name: &str, reason: &str, message: &str) -> &mut Self {
        let condition = Condition { status: false, reason: reason.into(), message: message.into() };
        let said = PublishedCondition { condition, since: "2026-11-23 07:10:00 UTC".into() };
        self.conditions.insert(key(name), said);
        self
    }

    fn why(&self, name: &str) -> Why {
        let (cluster, heard) = (self.cluster.clone(), self.heard.clone());
        let inputs = Inputs::new(cluster, heard, self.conditions.clone(), Time::default());
        inputs.service(&key(name)).expect("there is such a Service")
    }
}

fn lan(scene: &mut Scene) -> &mut Scene {
    scene.pool("lan", "10.0.0.240/28", |_| {})
}

fn served(scene: &mut Scene) -> &mut Scene {
    lan(scene).service("web", &["10.0.0.240"], |_| {}).pods("web", &[("n1", true), ("n2", true)])
}

type Play = fn(&mut Scene) -> &mut Scene;

#[test]
fn every_text_is_as_it_was_read() {
    let mut texts = "What `outrigger why` says, situation by situation. Written by its tests; read by people.\n".to_owned();
    for (situation, play, _) in SITUATIONS {
        let mut scene = Scene::new();
        let why = play(&mut scene).why("web");
        texts += &format!("\n## {situation}\n\n```\n{why}```\n");
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/why/texts.md");
    if std::env::var_os("OUTRIGGER_TEXTS").is_some() {
        std::fs::write(path, &texts).expect("can be written");
    }
    let read = std::fs::read_to_string(path).unwrap_or_default();
    assert!(read == texts, "{path} says otherwise; this is said now:\n{texts}");
}

#[test]
fn whatever_is_wrong_names_what_to_change() {
    for (situation, play, wrong) in SITUATIONS {
        let mut scene = Scene::new();
        let why = play(&mut scene).why("web");
        assert_eq!(!why.fixes.is_empty(), wrong, "{situation}:\n{why}");
        assert_eq!(why.is_well(), !wrong, "{situation}:\n{why}");
    }
}

#[test]
fn every_pool_and_every_node_is_accounted_for() {
    for (situation, play, _) in SITUATIONS {
        let mut scene = Scene::new();
        let why = play(&mut scene).why("web");
        assert_eq!(why.pools.len(), scene.cluster.pools.len(), "{situation}");
        assert!(why.addresses.iter().all(|address| address.nodes.len() == 3), "{situation}");
    }
}

#[test]
fn an_address_that_nobody_has_is_explained() {
    let mut scene = Scene::new();
    lan(&mut scene)
        .pool("cut", "10.0.1.0/24", |pool| pool.exclude = vec!["10.0.1.5/32".parse().unwrap()]);
    scene.put(Fact::from(crate::facts::Node {
        addresses: vec!["10.0.0.250".parse().unwrap()],
        ..node("n1")
    }));
    let inputs = Inputs::new(scene.cluster, scene.heard, BTreeMap::new(), Time::default());
    let said = |text: &str| inputs.holders(text.parse().unwrap()).expect_err("nobody has it");
    assert!(said("10.0.0.241").contains("it is free, and in pool \"lan\""));
    assert!(said("10.0.0.250").contains("the address of node n1"));
    assert!(said("10.0.1.5").contains("excludes it"));
    assert!(said("10.7.7.7").contains("no AddressPool contains it"));
}
