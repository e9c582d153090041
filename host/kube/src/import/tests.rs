//! Tests of the import: texts in, objects and lines out.
use super::*;

mod old;
mod undone;

fn import(text: &str) -> Imported {
    metallb(&read("m.yaml", text).expect("reads"), None)
}

fn object<'a>(imported: &'a Imported, kind: &str, name: &str) -> &'a Value {
    let is = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    imported
        .objects
        .iter()
        .find(is)
        .unwrap_or_else(|| panic!("no {kind} {name} in {:#?}", imported.objects))
}

/// Checks that the daemon accepts the Announcer, and the plugin its configuration.
#[track_caller]
fn check_speaker(imported: &Imported) {
    let object = object(imported, "Announcer", "bgp").clone();
    let object: crate::crd::Announcer = serde_json::from_value(object).expect("is an Announcer");
    let facts = crate::convert::announcer(&object).expect("is taken").facts;
    let [outrigger_core::facts::Fact::Announcer(fact)] = &facts[..] else { panic!("{facts:?}") };
    let config = outrigger_bgp::config::Config::parse(&fact.plugin.config).expect("is configured");
    for peer in &config.peers {
        let Some(secret) = &peer.md5 else { continue };
        assert!(fact.secrets.contains_key(&secret.name), "{} is not granted", secret.name);
    }
}

fn lines(imported: &Imported) -> Vec<String> {
    imported.left_out.iter().map(ToString::to_string).collect()
}

const POOL: &str = "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: { name: lan, namespace: metallb-system, labels: { zone: a } }
spec: { addresses: [10.0.0.0/28, fd00::1-fd00::9] }
";

#[test]
fn a_pool_and_its_plain_advertisement_are_one_address_pool() {
    let imported = import(&format!(
        "{POOL}---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {{ name: all, namespace: metallb-system }}
"
    ));
    assert_eq!(lines(&imported), Vec::<String>::new());
    let spec = &object(&imported, "AddressPool", "lan")["spec"];
    assert_eq!(spec["addresses"], json!(["10.0.0.0/28", "fd00::1-fd00::9"]));
    assert_eq!(spec["announcers"], json!(["layer2"]));
    assert_eq!(imported.objects.len(), 2, "the pool and the originals: {:#?}", imported.objects);
}

#[test]
fn a_pool_that_nobody_advertises_is_announced_by_nobody() {
    let imported = import(POOL);
    assert_eq!(object(&imported, "AddressPool", "lan")["spec"]["announcers"], json!([]));
}

#[test]
fn what_an_advertisement_restricts_becomes_an_announcer() {
    let imported = import(&format!(
        "{POOL}---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: {{ name: racks, namespace: metallb-system }}
spec:
  ipAddressPoolSelectors: [{{ matchLabels: {{ zone: a }} }}]
  nodeSelectors: [{{ matchLabels: {{ rack: r1 }} }}, {{ matchLabels: {{ rack: r2 }} }}]
  interfaces: [eth1]
  preferredNodeSelectors: [{{ weight: 5, preference: {{}} }}]
"
    ));
    let spec = &object(&imported, "Announcer", "racks")["spec"];
    assert_eq!(spec["nodeSelector"]["matchExpressions"][0]["values"], json!(["r1", "r2"]));
    assert_eq!(spec["interfaces"], json!(["eth1"]));
    assert_eq!(object(&imported, "AddressPool", "lan")["spec"]["announcers"], json!(["racks"]));
    assert_eq!(
        lines(&imported),
        [
            "m.yaml: L2Advertisement metallb-system/racks: spec.preferredNodeSelectors: nodes cannot be preferred: all nodes that may answer are equal; to keep an address on some nodes, use nodeSelectors",
        ]
    );
}

#[test]
fn advertisements_that_overlap_are_named_and_those_that_are_apart_are_not() {
    let two = |first: &str, second: &str| {
        let one = |name: &str, spec: &str| {
            format!(
                "---\napiVersion: metallb.io/v1beta1\nkind: L2Advertisement\nmetadata: {{ name: {name}, namespace: metallb-system }}\nspec: {{ {spec} }}\n"
            )
        };
        lines(&import(&format!("{POOL}{}{}", one("a", first), one("b", second))))
    };
    let rack = |name: &str| format!("nodeSelectors: [{{ matchLabels: {{ rack: {name} }} }}]");
    for (first, second) in [
        (rack("r1"), "interfaces: [eth1]".to_owned()),
        (rack("r1"), format!("{}, interfaces: [eth1]", rack("r1"))),
        (rack("r1"), "nodeSelectors: [{ matchLabels: { zone: z } }]".to_owned()),
    ] {
        let lines = two(&first, &second);
        assert_eq!(lines.len(), 1, "{first} and {second}: {lines:?}");
        let start =
            "m.yaml: L2Advertisement metallb-system/b: spec: it overlaps: Announcers a and b";
        assert!(lines[0].starts_with(start), "{}", lines[0]);
    }
    for (first, second) in [
        (rack("r1"), rack("r2")),
        ("interfaces: [eth0]".to_owned(), "interfaces: [eth1]".to_owned()),
        (rack("r1"), format!("{}, ipAddressPools: [other]", rack("r1"))),
    ] {
        let lines = two(&first, &second);
        assert!(!lines.iter().any(|line| line.contains("overlaps")), "{lines:?}");
    }
}

#[test]
fn who_may_use_a_pool_is_kept() {
    let imported = import(
        "
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: { name: a, namespace: metallb-system }
spec:
  addresses: [10.0.0.0/28]
  autoAssign: false
  avoidBuggyIPs: true
  serviceAllocation:
    priority: 20
    namespaces: [shop]
    namespaceSelectors: [{ matchLabels: { team: x } }]
    serviceSelectors: [{ matchLabels: { tier: web } }]
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: { name: b, namespace: metallb-system }
spec: { addresses: [10.0.1.0/28], serviceAllocation: { priority: 3 } }
",
    );
    assert_eq!(lines(&imported), Vec::<String>::new());
    assert_eq!(
        object(&imported, "AddressPool", "a")["spec"],
        json!({
            "addresses": ["10.0.0.0/28"], "autoAssign": false, "avoidBuggyIPs": true, "priority": 20,
            "namespaces": ["shop"], "namespaceSelector": { "matchLabels": { "team": "x" } },
            "serviceSelector": { "matchLabels": { "tier": "web" } },
            "announcers": [],
        })
    );
    let all = &object(&imported, "AddressPool", "b")["spec"]["namespaceSelector"];
    assert_eq!(*all, json!({}), "before pools without serviceAllocation");
}

#[test]
fn selectors_that_cannot_be_one_are_named_with_what_was_done() {
    let imported = import(
        "
apiVersion: v1
kind: Namespace
metadata: { name: shop, labels: { team: x } }
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: { name: a, namespace: metallb-system }
spec:
  addresses: [10.0.0.0/28]
  serviceAllocation:
    namespaceSelectors: [{ matchLabels: { team: x } }, { matchLabels: { stage: test } }]
    serviceSelectors: [{ matchLabels: { tier: web } }, { matchLabels: { public: yes-please } }]
",
    );
    let spec = &object(&imported, "AddressPool", "a")["spec"];
    assert_eq!(spec["namespaces"], json!(["shop"]));
    assert_eq!(lines(&imported).len(), 2, "{:#?}", lines(&imported));
    assert!(
        lines(&imported)[0].contains("serviceAllocation.namespaceSelectors")
            && lines(&imported)[0].contains("(shop)")
    );
    assert!(lines(&imported)[1].contains("serviceAllocation.serviceSelectors"));
}

#[test]
fn a_speaker_that_ignores_the_exclude_label_becomes_announcers_that_do() {
    let imported = import("
apiVersion: apps/v1
kind: DaemonSet
metadata: { name: speaker, namespace: metallb-system }
spec: { template: { spec: { containers: [{ name: speaker, args: [--port=7472, --ignore-exclude-lb] }] } } }
---
apiVersion: metallb.io/v1beta1
kind: IPAddressPool
metadata: { name: default, namespace: metallb-system }
spec: { addresses: [192.0.2.0/28] }
---
apiVersion: metallb.io/v1beta1
kind: L2Advertisement
metadata: { name: all, namespace: metallb-system }
");
    assert!(lines(&imported).is_empty(), "{:#?}", lines(&imported));
    let announcers: Vec<_> =
        imported.objects.iter().filter(|one| one["kind"] == "Announcer").collect();
    assert_eq!(announcers.len(), 1, "{announcers:#?}");
    assert_eq!(announcers[0]["metadata"]["name"], "layer2");
    assert_eq!(announcers[0]["spec"], json!({ "plugin": "layer2", "ignoreExcludeLabel": true }));
}

#[test]
fn what_metallb_is_told_elsewhere_is_named() {
    let imported = import("
apiVersion: apps/v1
kind: Deployment
metadata: { name: controller, namespace: metallb-system }
spec: { template: { spec: { containers: [{ name: controller, args: [--port=7472, --lb-class=acme.io/lb] }] } } }
---
apiVersion: v1
kind: ConfigMap
metadata: { name: bgpextras, namespace: metallb-system }
data: { extras: 'router bgp 64500' }
---
apiVersion: frrk8s.metallb.io/v1beta1
kind: FRRConfiguration
metadata: { name: mine, namespace: frr-k8s-system }
spec: { raw: { rawConfig: 'debug bgp updates' } }
");
    let lines = lines(&imported);
    assert_eq!(lines.len(), 3, "{lines:#?}");
    assert!(lines[0].contains("args") && lines[0].contains("acme.io/lb"));
    assert!(
        lines[1].contains(
            "ConfigMap metallb-system/bgpextras: data.extras: is raw configuration of FRR"
        )
    );
    assert!(lines[2].contains("FRRConfiguration frr-k8s-system/mine: spec.raw"));
}

#[test]
fn a_service_that_would_be_served_otherwise_is_named() {
    let imported = import(&format!(
        "{POOL}---
apiVersion: v1
kind: Service
metadata:
  name: web
  namespace: shop
  annotations: {{ outrigger.dev/pool: lan, metallb.io/address-pool: dmz }}
spec: {{ type: LoadBalancer, ports: [{{ port: 80 }}] }}
status: {{ loadBalancer: {{ ingress: [{{ ip: 10.9.9.9 }}] }} }}
"
    ));
    let lines = lines(&imported);
    assert_eq!(
        lines,
        [
            "m.yaml: Service shop/web: metadata.annotations[metallb.io/address-pool]: is \"dmz\", and outrigger.dev/pool is \"lan\": outrigger.dev/pool is used; remove one of the two",
            "m.yaml: Service shop/web: status.loadBalancer.ingress: 10.9.9.9 is in no pool that is imported: the Service keeps it, and no node announces it until a pool contains it",
        ]
    );
}

#[test]
fn a_file_that_does_not_parse_gives_nothing() {
    let error = read("m.yaml", "kind: IPAddressPool\nspec: [").expect_err("is not YAML");
    assert!(error.starts_with("m.yaml: line "), "{error}");
}

/// The speaker of MetalLB 0.15.
const SPEAKER: &str = "---
apiVersion: metallb.io/v1beta1
kind: BFDProfile
metadata: { name: fast, namespace: metallb-system }
spec: { receiveInterval: 50, transmitInterval: 50, echoMode: true }
---
apiVersion: metallb.io/v1beta1
kind: Community
metadata: { name: c, namespace: metallb-system }
spec: { communities: [{ name: blue, value: 'large:64500:1:2' }] }
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: { name: tor, namespace: metallb-system }
spec:
  myASN: 64500
  peerASN: 64501
  peerAddress: fd00::fe
  holdTime: 9s
  bfdProfile: fast
  ebgpMultiHop: true
  enableGracefulRestart: true
  passwordSecret: { name: tor-md5 }
  routerID: 10.0.0.1
---
apiVersion: metallb.io/v1beta2
kind: BGPPeer
metadata: { name: other, namespace: metallb-system }
spec: { myASN: 64600, dynamicASN: external, interface: eth0, routerID: 10.0.0.2 }
---
apiVersion: metallb.io/v1beta1
kind: BGPAdvertisement
metadata: { name: all, namespace: metallb-system }
spec: { communities: [blue], peers: [tor], serviceSelectors: [{ matchLabels: { tier: web } }] }
";

#[test]
fn a_speaker_of_custom_resources_becomes_one_announcer() {
    let imported = import(&format!("{POOL}{SPEAKER}"));
    check_speaker(&imported);
    let spec = &object(&imported, "Announcer", "bgp")["spec"];
    assert_eq!(spec["secretRefs"], json!([{ "name": "tor-md5" }]));
    assert_eq!(spec["allow"], json!({ "peers": ["fd00::fe", "fe80::/10"] }));
    assert_eq!(
        spec["config"],
        json!({
            "asn": 64500, "routerId": "10.0.0.1",
            "peers": [
                {
                    "name": "tor", "address": "fd00::fe", "asn": 64501, "holdTime": "9s", "multihop": 255,
                    "md5": { "name": "tor-md5", "key": "password" }, "gracefulRestart": {}, "families": ["ipv6"],
                    "bfd": { "receiveInterval": 50, "transmitInterval": 50 },
                },
                { "name": "other", "interface": "eth0", "asn": "external", "localAsn": 64600 },
            ],
            "advertisements": [{
                "pools": ["lan"], "communities": ["blue"], "peers": ["tor"],
                "serviceSelector": [{ "matchLabels": { "tier": "web" } }],
            }],
            "communityAliases": { "blue": "large:64500:1:2" },
        })
    );
    let fields: Vec<&str> = imported.left_out.iter().map(|line| line.field.as_str()).collect();
    assert_eq!(fields, ["spec.echoMode", "spec.passwordSecret", "spec.routerID"]);
    assert_eq!(object(&imported, "AddressPool", "lan")["spec"]["announcers"], json!(["bgp"]));
}
