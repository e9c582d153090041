//! The possible faults, one at a time.
use super::*;

/// The supervisor's message about a plugin that panics.
const CRASHED: &str = "the plugin crashed: it logged: panicked at src/lib.rs:48: index out of bounds; wasm trap: wasm `unreachable` instruction executed in std::process::abort < layer2::handle";
const CRASHED_AT_START: &str = "9f86d081884c: start failed: the plugin crashed: it logged: panicked at src/lib.rs:21: no MAC address; wasm trap: wasm `unreachable` instruction executed in std::process::abort < layer2::start";

/// Returns the built-in announcer as a configured one.
fn announcer_on(interfaces: &[&str]) -> Announcer {
    let built_in = crate::plan::announcers(&Cluster::default())["layer2"].clone();
    let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
    Announcer { interfaces, ..Arc::unwrap_or_clone(built_in) }
}

/// Makes n2 the node that is to answer, with a plugin that reports that it cannot.
fn fails_on_n2(s: &mut Scene) -> &mut Scene {
    s.says("n1", "10.0.0.240", false, "standby", "n2 announces it")
        .says("n2", "10.0.0.240", true, "failed", "no interface that it may use is up with ARP enabled: bring one up (ip link set NAME up)")
        .says("n3", "10.0.0.240", false, "standby", "n2 announces it")
}

/// Makes n2 the node that is to answer, with a host that refuses the plugin's effects.
fn refused_on_n2(s: &mut Scene) -> &mut Scene {
    s.says("n1", "10.0.0.240", false, "standby", "n2 announces it")
        .says("n2", "10.0.0.240", true, "failed", "the host refused offload: address-not-desired")
        .says("n3", "10.0.0.240", false, "standby", "n2 announces it")
}

/// The situations: name, setup, and true if something must be changed.
pub(super) const SITUATIONS: [(&str, Play, bool); 28] = [
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
        "pending because the policy failed, and the owner wants another pool then",
        |s| {
            s.pool("lan", "10.0.0.240/28", |pool| {
                pool.allocator.plugin = "quota".into();
                pool.failure_policy = crate::facts::FailurePolicy::NextPool;
            })
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
        "assigned, but the endpoints are of the other family",
        |s| {
            let endpoint = crate::facts::Endpoint {
                node: Some("n1".to_owned()),
                ready: true,
                serving: true,
                terminating: false,
            };
            let slice = |family, endpoints| {
                let slice = key(&format!("web-{family}"));
                Fact::from(Endpoints { slice, service: key("web"), family, endpoints })
            };
            let s = served(s);
            s.pods("web", &[]);
            s.put(slice(outrigger_sdk::Family::Ipv6, vec![endpoint]))
        },
        true,
    ),
    (
        "assigned, but every node that an Announcer selects is excluded",
        |s| {
            let s = served(s);
            for name in ["n1", "n2", "n3"] {
                s.put(Fact::from(crate::facts::Node { excluded: true, ..node(name) }));
            }
            s.put(Fact::from(announcer_on(&[])))
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
    ("assigned, but the host refuses what the plugin does", |s| refused_on_n2(served(s)), true),
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
                word.silence = Unreachable {
                    why: "your user is not allowed to get pods/proxy in namespace outrigger-system".into(),
                    fix: "ask an administrator for a Role with get pods/proxy in namespace outrigger-system (to check: kubectl auth can-i get pods/proxy -n outrigger-system); until then, to see which addresses are not in the desired state: kubectl get nodereports -o yaml, status.exceptions".into(),
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
                api.families = vec![outrigger_sdk::Family::Ipv6].into()
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
