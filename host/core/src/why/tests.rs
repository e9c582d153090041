//! Each situation is played with facts, and what is said is held against `texts.md`, which people read. To see what differs:
//! run with OUTRIGGER_TEXTS=write, and read the change of that file.
use std::collections::BTreeSet;

use super::*;
use crate::facts::{Announcer, Endpoint, Endpoints};
use crate::plan::test_facts::{key, node, pool, service};
use crate::plan::{AddressWord, AnnouncerWord, Details, NodeWord, Silence};

/// A cluster of three nodes, of which n2 answers for everything.
struct Scene {
    cluster: Cluster,
    heard: Heard,
    conditions: BTreeMap<ServiceKey, Said>,
}

impl Scene {
    fn new() -> Self {
        let mut scene = Self {
            cluster: Cluster { synced: true, ..Cluster::default() },
            heard: Heard::default(),
            conditions: BTreeMap::new(),
        };
        for name in ["n1", "n2", "n3"] {
            scene.put(Fact::from(node(name)));
            let running = AnnouncerWord {
                plugin: "layer2".into(),
                origin: "embedded".into(),
                phase: "Running".into(),
                last_fault: String::new(),
            };
            let links =
                [("eth1".to_owned(), BTreeSet::from(["10.0.0.2/24".parse().unwrap()]))].into();
            let word = NodeWord {
                alive: true,
                announcers: [("layer2".to_owned(), running)].into(),
                details: Some(Details { addresses: BTreeMap::new(), links }),
                ..NodeWord::default()
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
            protocol: outrigger_sdk::Protocol::Tcp,
            port: 80,
            node_port: 0,
        }];
        edit(&mut service);
        self.put(Fact::from(service))
    }

    /// Pods of a Service: node, and whether it is ready.
    fn pods(&mut self, name: &str, pods: &[(&str, bool)]) -> &mut Self {
        let one = |(node, ready): &(&str, bool)| Endpoint {
            node: Some((*node).to_owned()),
            ready: *ready,
            serving: *ready,
            terminating: false,
        };
        let endpoints = pods.iter().map(one).collect();
        self.put(Fact::from(Endpoints { slice: key(name), service: key(name), endpoints }))
    }

    fn node(&mut self, name: &str) -> &mut NodeWord {
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
        let word = AddressWord {
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
        let said = Said { condition, since: "2026-11-23 07:10:00 UTC".into() };
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

/// As the supervisor says it of a plugin that panics.
const CRASHED: &str = "the plugin crashed: it said: panicked at src/lib.rs:48: index out of bounds; wasm trap: wasm `unreachable` instruction executed in std::process::abort < layer2::handle";
const CRASHED_AT_START: &str = "9f86d081884c: start failed: the plugin crashed: it said: panicked at src/lib.rs:21: no MAC address; wasm trap: wasm `unreachable` instruction executed in std::process::abort < layer2::start";

/// The built-in one, written down.
fn announcer_on(interfaces: &[&str]) -> Announcer {
    let built_in = crate::plan::announcers(&Cluster::default())["layer2"].clone();
    let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    Announcer { interfaces, ..Arc::unwrap_or_clone(built_in) }
}

/// n2 is to answer, and its plugin says that it cannot.
fn fails_on_n2(s: &mut Scene) -> &mut Scene {
    s.says("n1", "10.0.0.240", false, "standby", "n2 announces it")
        .says("n2", "10.0.0.240", true, "failed", "no interface that it may use is up with ARP enabled: bring one up (ip link set NAME up)")
        .says("n3", "10.0.0.240", false, "standby", "n2 announces it")
}

type Play = fn(&mut Scene) -> &mut Scene;

/// Situation, what makes it, and whether somebody must change something.
const SITUATIONS: [(&str, Play, bool); 24] = [
    (
        "assigned, and n2 announces it, not n1",
        |s| served(s).says("n2", "10.0.0.240", true, "announced", ""),
        false,
    ),
    (
        "pending because the pool is full",
        |s| {
            s.pool("small", "10.0.0.8/31", |_| {})
            .service("api", &["10.0.0.8"], |_| {})
            .service("shop", &["10.0.0.9"], |_| {})
            .service("web", &[], |_| {})
            .condition("web", "PoolExhausted", "Service default/web has no address: pool \"small\" has no free IPv4 address (all 2 held): add addresses or delete Services")
        },
        true,
    ),
    (
        "pending because all pools are full, one of which is not for it",
        |s| {
            s.pool("one", "10.0.0.8/32", |_| {})
                .pool("two", "10.0.1.8/32", |_| {})
                .pool("vip", "10.0.2.0/24", |pool| pool.auto_assign = false)
                .service("api", &["10.0.0.8"], |_| {})
                .service("shop", &["10.0.1.8"], |_| {})
                .service("web", &[], |_| {})
        },
        true,
    ),
    (
        "pending because the address is taken",
        |s| {
            lan(s)
                .service("api", &["10.0.0.241"], |_| {})
                .service("web", &[], |web| web.wanted = vec!["10.0.0.241".parse().unwrap()])
        },
        true,
    ),
    (
        "pending because the address is in no pool",
        |s| lan(s).service("web", &[], |web| web.wanted = vec!["10.9.9.9".parse().unwrap()]),
        true,
    ),
    (
        "pending because no pool admits the namespace",
        |s| {
            s.pool("infra", "10.0.0.0/24", |pool| pool.namespaces = ["infra".to_owned()].into())
                .pool("vip", "10.0.1.0/24", |pool| {
                    pool.namespaces = ["shop".to_owned()].into();
                    let labels = std::iter::once("gold".to_owned()).collect();
                    let requirement = crate::facts::Requirement::In("tier".into(), labels);
                    pool.namespace_selector =
                        Some(crate::facts::Selector { requirements: vec![requirement] });
                })
                .service("web", &[], |_| {})
        },
        true,
    ),
    ("pending because there is no pool", |s| s.service("web", &[], |_| {}), true),
    (
        "pending because the policy refused",
        |s| {
            s.pool("lan", "10.0.0.240/28", |pool| pool.allocator.plugin = "quota".into())
                .service("web", &[], |_| {})
                .condition("web", "QuotaReached", "Service default/web has no address: pool \"lan\": namespace default has its 4 addresses: ask the network team for more")
        },
        true,
    ),
    (
        "pending because the policy failed",
        |s| {
            s.pool("lan", "10.0.0.240/28", |pool| pool.allocator.plugin = "quota".into())
                .service("web", &[], |_| {})
                .condition("web", "PolicyFault", "Service default/web has no address: pool \"lan\": its policy failed: the plugin did not answer within 50 ms")
        },
        true,
    ),
    (
        "assigned, but no endpoint can serve",
        |s| {
            lan(s)
                .service("web", &["10.0.0.240"], |_| {})
                .pods("web", &[("n1", false)])
                .pods("other", &[("n1", true)])
        },
        true,
    ),
    (
        "assigned, but no endpoint is where a node may announce, under Local",
        |s| {
            let s = lan(s)
                .service("web", &["10.0.0.240"], |web| web.traffic_policy = TrafficPolicy::Local)
                .pods("web", &[("n3", true)]);
            let excluded = crate::facts::Node { excluded: true, ..node("n3") };
            s.put(Fact::from(excluded))
        },
        true,
    ),
    (
        "assigned, but every node is excluded",
        |s| {
            let s = served(s);
            for name in ["n1", "n2", "n3"] {
                s.put(Fact::from(crate::facts::Node { excluded: true, ..node(name) }));
            }
            s
        },
        true,
    ),
    (
        "assigned, but the interface is not on the address's network",
        |s| {
            let s = s
                .pool("far", "192.168.7.0/24", |_| {})
                .service("web", &["192.168.7.5"], |_| {})
                .pods("web", &[("n2", true)]);
            s.says("n2", "192.168.7.5", true, "announced", "")
        },
        true,
    ),
    (
        "assigned, but no interface can be used",
        |s| {
            let s = served(s);
            s.put(Fact::from(announcer_on(&["eth7"])));
            fails_on_n2(s)
        },
        true,
    ),
    ("assigned, but every interface is down", |s| fails_on_n2(served(s)), true),
    (
        "assigned, but the interface that may be used is down",
        |s| fails_on_n2(served(s).put(Fact::from(announcer_on(&["eth1"])))),
        true,
    ),
    (
        "assigned, but no announcer is for this Service",
        |s| {
            let s = served(s);
            let labels = std::iter::once("gold".to_owned()).collect();
            let requirement = crate::facts::Requirement::In("tier".into(), labels);
            let mut announcer = announcer_on(&[]);
            announcer.service_selector = crate::facts::Selector { requirements: vec![requirement] };
            s.put(Fact::from(announcer))
        },
        true,
    ),
    (
        "assigned, but the plugin failed",
        |s| {
            let s = served(s).says("n2", "10.0.0.240", true, "pending", "");
            for name in ["n1", "n2", "n3"] {
                let word = s.node(name).announcers.get_mut("layer2").unwrap();
                word.origin = "ConfigMap outrigger-system/plugin-layer2-9f86d081884c".into();
                (word.phase, word.last_fault) = ("NotStarted".into(), CRASHED_AT_START.into());
            }
            s
        },
        true,
    ),
    (
        "the plugin failed after it had announced",
        |s| {
            let s = served(s).says("n2", "10.0.0.240", true, "announced", "");
            let word = s.node("n2").announcers.get_mut("layer2").unwrap();
            (word.phase, word.last_fault) = ("Held".into(), CRASHED.into());
            s
        },
        true,
    ),
    (
        "assigned, but its pool names an announcer that is not there",
        |s| {
            s.pool("lan", "10.0.0.240/28", |pool| pool.announcers = Some(vec!["racks".into()]))
                .service("web", &["10.0.0.240"], |_| {})
                .pods("web", &[("n1", true)])
        },
        true,
    ),
    (
        "no node could be asked",
        |s| {
            let s = served(s);
            for name in ["n1", "n2", "n3"] {
                let word = s.node(name);
                word.details = None;
                word.silence = Silence {
                    why: "your user is not allowed to get pods/proxy in namespace outrigger-system".into(),
                    fix: "ask an administrator for a Role with get pods/proxy in namespace outrigger-system (to check: kubectl auth can-i get pods/proxy -n outrigger-system); until then, to see which addresses are not as they should be: kubectl get nodereports -o yaml, status.exceptions".into(),
                };
            }
            s
        },
        true,
    ),
    (
        "one family of two",
        |s| {
            let s = lan(s).pool("six", "2001:db8::8/128", |_| {});
            s.service("api", &["2001:db8::8"], |api| {
                api.families = vec![outrigger_sdk::Family::Ipv6]
            })
            .service("web", &["10.0.0.240"], |web| web.families.push(outrigger_sdk::Family::Ipv6))
            .pods("web", &[("n1", true)])
            .says("n2", "10.0.0.240", true, "announced", "")
        },
        true,
    ),
    (
        "another controller's address",
        |s| {
            lan(s)
                .service("web", &["172.16.0.1"], |web| web.ours = false)
                .pods("web", &[("n1", true)])
        },
        true,
    ),
    (
        "one node does not run, and n2 announces",
        |s| {
            let s = served(s).says("n2", "10.0.0.240", true, "announced", "");
            s.node("n3").alive = false;
            s
        },
        false,
    ),
];

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
