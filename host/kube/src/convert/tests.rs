//! One table per kind: a manifest, and what it comes to.
use k8s_openapi::api::{core::v1, discovery};
use outrigger_core::facts::{Component, Fact, Node, Plugin, PluginRef, Pool, Service};
use serde::de::DeserializeOwned;

use super::*;
use crate::crd::{AddressPool, Announcer};

fn read<T: DeserializeOwned>(
    yaml: &str,
    convert: fn(&T) -> Result<Converted, Invalid>,
) -> Result<Converted, Invalid> {
    convert(&serde_saphyr::from_str(yaml).unwrap())
}

/// A Service called `web` with these lines of spec and annotations, as one line.
fn service_of(spec: &str, annotations: &str) -> Result<Converted, Invalid> {
    read::<v1::Service>(
        &format!(
            "{{metadata: {{name: web, annotations: {{{annotations}}}}}, spec: {{type: LoadBalancer, {spec}}}}}"
        ),
        service,
    )
}

/// With the classes that are ours by default.
fn service(object: &v1::Service) -> Result<Converted, Invalid> {
    super::service(object, &ServiceClasses::default())
}

fn one_service(converted: Converted) -> Service {
    match converted.facts.as_slice() {
        [Fact::Service(service)] => (**service).clone(),
        other => panic!("not one Service: {other:?}"),
    }
}

#[test]
fn only_services_of_type_load_balancer_and_our_class_are_facts() {
    for (spec, is_fact) in [
        ("{type: LoadBalancer}", true),
        ("{type: LoadBalancer, loadBalancerClass: outrigger.dev/lb}", true),
        ("{type: LoadBalancer, loadBalancerClass: example.org/other}", false),
        ("{type: ClusterIP}", false),
        ("{}", false),
    ] {
        let yaml = format!("{{metadata: {{name: web}}, spec: {spec}}}");
        let converted = read::<v1::Service>(&yaml, service).unwrap();
        assert_eq!(!converted.facts.is_empty(), is_fact, "for {spec}");
    }
}

#[test]
fn which_classes_are_ours_can_be_chosen() {
    let chosen = |unclassed, classes: &[&str]| ServiceClasses {
        unclassed,
        classes: classes.iter().map(|class| (*class).to_owned()).collect(),
    };
    let (ours, other) = ("loadBalancerClass: outrigger.dev/lb", "loadBalancerClass: example.org/a");
    for (classes, spec, expected) in [
        (ServiceClasses::default(), "", true),
        (ServiceClasses::default(), ours, true),
        (ServiceClasses::default(), other, false),
        (chosen(false, &["outrigger.dev/lb"]), "", false),
        (chosen(false, &["outrigger.dev/lb"]), ours, true),
        (chosen(false, &["outrigger.dev/lb", "example.org/a"]), other, true),
        (chosen(true, &[]), "", true),
        (chosen(true, &[]), ours, false),
    ] {
        let yaml = format!("{{metadata: {{name: web}}, spec: {{type: LoadBalancer, {spec}}}}}");
        let object: v1::Service = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(classes.include(&object), expected, "for {spec:?} of {classes:?}");
    }
}

#[test]
fn a_service_that_was_ours_is_known_by_what_we_wrote() {
    let ours = "conditions: [{type: outrigger.dev/Allocated, status: 'True', reason: Allocated, \
                message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}]";
    let theirs = "conditions: [{type: example.org/Allocated, status: 'True', reason: Allocated, \
                  message: m, lastTransitionTime: '2026-01-01T00:00:00Z'}]";
    let classes = ServiceClasses::default();
    for (spec, status, left, is_ours) in [
        ("type: LoadBalancer", ours, false, true),
        ("type: LoadBalancer", theirs, false, false),
        ("type: LoadBalancer", "", false, false),
        ("type: ClusterIP", ours, true, false),
        ("type: ClusterIP", theirs, false, false),
        ("type: LoadBalancer, loadBalancerClass: example.org/a", ours, true, false),
    ] {
        let yaml = format!(
            "{{metadata: {{name: web}}, spec: {{{spec}}}, status: {{loadBalancer: {{}}, {status}}}}}"
        );
        let object: v1::Service = serde_saphyr::from_str(&yaml).unwrap();
        assert_eq!(classes.left(&object), left, "{yaml}");
        let facts = service(&object).unwrap().facts;
        let said_ours = facts.iter().any(|fact| matches!(fact, Fact::Service(one) if one.ours));
        assert_eq!(said_ours, is_ours, "{yaml}");
    }
}

#[test]
fn a_service_with_rubbish_in_it_keeps_what_was_known_and_says_so() {
    let object = |annotations: &str, spec: &str| -> v1::Service {
        let yaml = format!(
            "{{metadata: {{name: web, uid: u, annotations: {{{annotations}}}}}, spec: {{type: LoadBalancer, {spec}}}, \
             status: {{loadBalancer: {{ingress: [{{ip: 10.0.0.1}}]}}}}}}"
        );
        serde_saphyr::from_str(&yaml).unwrap()
    };
    let classes = ServiceClasses::default();
    let local = "externalTrafficPolicy: Local";
    let good = one_service(service(&object("outrigger.dev/pool: p", local)).unwrap());
    let bad = object("outrigger.dev/addresses: rubbish", local);
    let problem = service(&bad).unwrap_err();
    let unclear = |known| unclear_service(&bad, &classes, known, &problem).unwrap();
    let text = Some(problem.to_string());
    assert_eq!(unclear(Some(&good)), Service { problem: text.clone(), ..good.clone() });
    let unknown = unclear(None);
    assert_eq!((&unknown.ingress, &unknown.problem), (&good.ingress, &text));
    assert_eq!(unknown.traffic_policy, outrigger_sdk::TrafficPolicy::Local, "or it goes astray");
    let bad = object("", "externalTrafficPolicy: Local, ports: [{port: 70000}]");
    let reserved = unclear_service(&bad, &classes, None, &problem).unwrap();
    assert_eq!((reserved.wanted, reserved.problem), (good.ingress.clone(), text));
    let other = object("outrigger.dev/addresses: rubbish", "loadBalancerClass: example.org/a");
    assert_eq!(unclear_service(&other, &classes, Some(&good), &problem), None);
}

#[test]
fn what_others_wrote_into_the_ingress_stays() {
    let show = |entries: &[v1::LoadBalancerIngress]| {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        let entry = |one: &v1::LoadBalancerIngress| {
            format!("{}/{}/{}", text(&one.ip), text(&one.hostname), text(&one.ip_mode))
        };
        entries.iter().map(entry).collect::<Vec<_>>().join(" ")
    };
    let entries = |object: &v1::Service| {
        let status = object.status.clone().unwrap_or_default();
        status.load_balancer.unwrap_or_default().ingress.unwrap_or_default()
    };
    for (before, addresses, expected) in [
        ("", &["10.0.0.1"][..], "10.0.0.1//"),
        (
            "{ip: 10.0.0.1, hostname: web.example.org, ipMode: Proxy}",
            &["10.0.0.1"],
            "10.0.0.1/web.example.org/Proxy",
        ),
        ("{hostname: web.example.org}", &["10.0.0.1"], "10.0.0.1// /web.example.org/"),
        ("{ip: 10.0.0.9, hostname: old.example.org}", &["10.0.0.1"], "10.0.0.1//"),
        ("{ip: 'fd00:0::1', ipMode: VIP}", &["10.0.0.1", "fd00::1"], "10.0.0.1// fd00::1//VIP"),
        ("{hostname: web.example.org}, {ip: 10.0.0.1}", &[], "/web.example.org/"),
    ] {
        let yaml = format!(
            "{{metadata: {{name: web}}, status: {{loadBalancer: {{ingress: [{before}]}}}}}}"
        );
        let object: v1::Service = serde_saphyr::from_str(&yaml).unwrap();
        let addresses: Vec<std::net::IpAddr> =
            addresses.iter().map(|text| text.parse().unwrap()).collect();
        assert_eq!(show(&ingress_of(&entries(&object), &addresses)), expected, "for {before}");
    }
}

#[test]
fn a_namespace_always_has_the_label_with_its_name() {
    let yaml = "{metadata: {name: shop, labels: {team: a}}}";
    let converted = read::<v1::Namespace>(yaml, namespace).unwrap();
    let [Fact::Namespace(fact)] = converted.facts.as_slice() else { panic!("{converted:?}") };
    let labels = [("kubernetes.io/metadata.name", "shop"), ("team", "a")];
    assert_eq!(fact.labels, labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn what_a_service_asks_for_is_read_or_refused_with_the_fix() {
    let show = |converted| {
        let service = one_service(converted);
        format!("{:?} all={} wanted={:?}", service.families, service.all_families, service.wanted)
    };
    for (spec, annotations, expected) in [
        ("", "", "[Ipv4] all=true wanted=[]"),
        ("ipFamilies: [IPv6]", "", "[Ipv6] all=true wanted=[]"),
        (
            "ipFamilies: [IPv6, IPv4], ipFamilyPolicy: RequireDualStack",
            "",
            "[Ipv6, Ipv4] all=true wanted=[]",
        ),
        (
            "ipFamilies: [IPv4, IPv6], ipFamilyPolicy: PreferDualStack",
            "",
            "[Ipv4, Ipv6] all=false wanted=[]",
        ),
        ("ipFamilyPolicy: PreferDualStack", "", "[Ipv4, Ipv6] all=false wanted=[]"),
        (
            "ipFamilies: [IPX]",
            "",
            "spec.ipFamilies[0]: \"IPX\" is not an address family: write IPv4 or IPv6",
        ),
        ("loadBalancerIP: 10.0.0.1", "", "[Ipv4] all=true wanted=[10.0.0.1]"),
        ("loadBalancerIP: '2001:db8::1'", "", "[Ipv6] all=true wanted=[2001:db8::1]"),
        ("loadBalancerIP: '::ffff:10.0.0.1'", "", "[Ipv4] all=true wanted=[10.0.0.1]"),
        (
            "loadBalancerIP: web",
            "",
            "spec.loadBalancerIP: \"web\" is not an IP address: write one like 192.0.2.1 or 2001:db8::1",
        ),
        (
            "",
            "metallb.io/loadBalancerIPs: '10.0.0.1,2001:db8::1'",
            "[Ipv4, Ipv6] all=true wanted=[10.0.0.1, 2001:db8::1]",
        ),
        ("", "metallb.universe.tf/loadBalancerIPs: 10.0.0.2", "[Ipv4] all=true wanted=[10.0.0.2]"),
        (
            "",
            "metallb.io/loadBalancerIPs: 10.0.0.2, outrigger.dev/addresses: 10.0.0.3",
            "[Ipv4] all=true wanted=[10.0.0.3]",
        ),
        (
            "loadBalancerIP: 10.0.0.1",
            "outrigger.dev/addresses: 10.0.0.1",
            "[Ipv4] all=true wanted=[10.0.0.1]",
        ),
        (
            "loadBalancerIP: 10.0.0.1",
            "metallb.io/loadBalancerIPs: 10.0.0.2",
            "spec.loadBalancerIP: 10.0.0.1 differs from \"10.0.0.2\" in annotation metallb.io/loadBalancerIPs: keep one of the two",
        ),
        (
            "",
            "outrigger.dev/addresses: '10.0.0.1, 10.0.0.2'",
            "annotation outrigger.dev/addresses: \"10.0.0.1, 10.0.0.2\" has two addresses of one family: keep one",
        ),
        (
            "ipFamilies: [IPv4]",
            "outrigger.dev/addresses: '2001:db8::1'",
            "spec.ipFamilies: 2001:db8::1 is asked for: add IPv6, or ask for an address of the other family",
        ),
        (
            "ports: [{port: 70000}]",
            "",
            "spec.ports[0].port: 70000 is not a port: write a number from 1 to 65535",
        ),
        (
            "ports: [{port: 80, nodePort: -1}]",
            "",
            "spec.ports[0].nodePort: -1 is not a port: write a number from 1 to 65535",
        ),
    ] {
        let got = service_of(spec, annotations).map_or_else(|error| error.to_string(), show);
        assert_eq!(got, expected, "for {spec:?} {annotations:?}");
    }
}

#[test]
fn annotations_of_whatever_served_before_are_understood_and_ours_win() {
    let show = |converted: Converted| {
        let notes: Vec<_> = converted.notes.iter().map(|note| note.message.clone()).collect();
        let s = one_service(converted);
        (format!("{:?} {:?} {:?} {}", s.pool, s.sharing_key, s.hostnames, s.ttl), notes.join("; "))
    };
    for (annotations, expected, notes) in [
        ("", "None \"\" [] 0", ""),
        ("metallb.universe.tf/address-pool: old", "Some(\"old\") \"\" [] 0", ""),
        (
            "metallb.io/address-pool: theirs, outrigger.dev/pool: ours",
            "Some(\"ours\") \"\" [] 0",
            "",
        ),
        (
            "outrigger.dev/pool: '', metallb.io/address-pool: theirs",
            "Some(\"theirs\") \"\" [] 0",
            "",
        ),
        ("metallb.io/allow-shared-ip: key", "None \"key\" [] 0", ""),
        ("outrigger.dev/sharing-key: a, metallb.io/allow-shared-ip: b", "None \"a\" [] 0", ""),
        (
            "external-dns.alpha.kubernetes.io/hostname: 'Web.Example.ORG., b.example.org'",
            "None \"\" [\"web.example.org\", \"b.example.org\"] 0",
            "",
        ),
        (
            "external-dns.kubernetes.io/hostname: '*.example.org', outrigger.dev/ttl: 60",
            "None \"\" [\"*.example.org\"] 60",
            "",
        ),
        ("external-dns.alpha.kubernetes.io/ttl: 1h5m", "None \"\" [] 3900", ""),
        (
            "outrigger.dev/ttl: soon",
            "None \"\" [] 0",
            "annotation outrigger.dev/ttl: \"soon\" is not a time to live: write seconds (300) or a duration (5m); it is left out",
        ),
        (
            "outrigger.dev/hostname: 'a b,c.example.org'",
            "None \"\" [\"c.example.org\"] 0",
            "annotation outrigger.dev/hostname: \"a b\" is not a host name: write one like web.example.org; it is left out",
        ),
    ] {
        let (got, said) = show(service_of("", annotations).unwrap());
        assert_eq!((got.as_str(), said.as_str()), (expected, notes), "for {annotations}");
    }
}

#[test]
fn a_service_keeps_what_plugins_may_ask_about() {
    let long = "x".repeat(1025);
    let yaml = format!(
        "{{metadata: {{name: web, namespace: shop, uid: u1, labels: {{app: web}}, annotations: {{a: b, long: {long}, \
         kubectl.kubernetes.io/last-applied-configuration: c}}}}, spec: {{type: LoadBalancer, \
         externalTrafficPolicy: Local, selector: {{app: web}}, ports: [{{name: dns, port: 53, protocol: UDP, \
         nodePort: 30053}}]}}, status: {{loadBalancer: {{ingress: [{{ip: 10.0.0.9}}, {{hostname: h}}]}}}}}}"
    );
    let service = one_service(read::<v1::Service>(&yaml, service).unwrap());
    assert_eq!(service.key.to_string(), "shop/web");
    assert_eq!(service.uid, "u1");
    assert_eq!(service.annotations, [("a".to_owned(), "b".to_owned())].into());
    assert_eq!(service.traffic_policy, outrigger_sdk::TrafficPolicy::Local);
    assert_eq!(service.selector, service.labels);
    assert_eq!(service.ports[0].protocol, outrigger_sdk::Protocol::Udp);
    assert_eq!((service.ports[0].port, service.ports[0].node_port), (53, 30053));
    assert_eq!(service.ingress, ["10.0.0.9".parse::<std::net::IpAddr>().unwrap()]);
}

#[test]
fn absent_endpoint_conditions_count_as_the_api_says() {
    for (conditions, expected) in [
        ("", (true, true, false)),
        ("conditions: {}", (true, true, false)),
        ("conditions: {ready: false}", (false, false, false)),
        ("conditions: {ready: false, serving: true, terminating: true}", (false, true, true)),
        ("conditions: {ready: true, serving: false}", (true, false, false)),
    ] {
        let yaml = format!(
            "{{metadata: {{name: web-1, labels: {{kubernetes.io/service-name: web}}}}, addressType: IPv4, \
             endpoints: [{{addresses: [10.1.0.1], nodeName: n1, {conditions}}}]}}"
        );
        let converted = read::<discovery::v1::EndpointSlice>(&yaml, endpoint_slice).unwrap();
        let [Fact::Endpoints(endpoints)] = converted.facts.as_slice() else {
            panic!("{converted:?}")
        };
        assert_eq!(endpoints.service.to_string(), "default/web");
        let one = &endpoints.endpoints[0];
        assert_eq!(one.node.as_deref(), Some("n1"));
        assert_eq!((one.ready, one.serving, one.terminating), expected, "for {conditions}");
    }
    let orphan = read::<discovery::v1::EndpointSlice>(
        "{metadata: {name: a}, addressType: IPv4, endpoints: []}",
        endpoint_slice,
    );
    assert_eq!(orphan, Ok(Converted::default()));
}

fn node_in_words(yaml: &str) -> String {
    match read::<v1::Node>(yaml, node) {
        Ok(converted) => match &converted.facts[0] {
            Fact::Node(node) => {
                let Node { addresses, network_available, excluded, ready, cordoned, .. } = &**node;
                format!(
                    "{addresses:?} available={network_available} excluded={excluded} ready={ready} cordoned={cordoned}"
                )
            }
            other => panic!("{other:?}"),
        },
        Err(error) => error.to_string(),
    }
}

#[test]
fn nodes_carry_what_eligibility_asks_about() {
    for (yaml, expected) in [
        ("{metadata: {name: n1}}", "[] available=true excluded=false ready=true cordoned=false"),
        (
            "{metadata: {name: n1}, status: {addresses: [{type: Hostname, address: n1}, {type: InternalIP, address: 10.0.0.1}]}}",
            "[10.0.0.1] available=true excluded=false ready=true cordoned=false",
        ),
        (
            "{metadata: {name: n1, labels: {node.kubernetes.io/exclude-from-external-load-balancers: ''}}}",
            "[] available=true excluded=true ready=true cordoned=false",
        ),
        (
            "{metadata: {name: n1}, status: {conditions: [{type: NetworkUnavailable, status: 'True'}]}}",
            "[] available=false excluded=false ready=true cordoned=false",
        ),
        (
            "{metadata: {name: n1}, status: {conditions: [{type: NetworkUnavailable, status: 'False'}]}}",
            "[] available=true excluded=false ready=true cordoned=false",
        ),
        (
            "{metadata: {name: n1}, status: {conditions: [{type: Ready, status: 'True'}]}}",
            "[] available=true excluded=false ready=true cordoned=false",
        ),
        (
            "{metadata: {name: n1}, status: {conditions: [{type: Ready, status: 'False'}]}}",
            "[] available=true excluded=false ready=false cordoned=false",
        ),
        (
            "{metadata: {name: n1}, status: {conditions: [{type: Ready, status: Unknown}]}}",
            "[] available=true excluded=false ready=false cordoned=false",
        ),
        (
            "{metadata: {name: n1}, spec: {unschedulable: true, taints: [{key: node.kubernetes.io/unschedulable, effect: NoSchedule}]}}",
            "[] available=true excluded=false ready=true cordoned=true",
        ),
        (
            "{metadata: {name: n1}, spec: {taints: [{key: node.kubernetes.io/out-of-service, value: nodeshutdown, effect: NoExecute}]}}",
            "[] available=true excluded=false ready=true cordoned=true",
        ),
        // Other taints are about Pods.
        (
            "{metadata: {name: n1}, spec: {taints: [{key: node-role.kubernetes.io/control-plane, effect: NoSchedule}]}}",
            "[] available=true excluded=false ready=true cordoned=false",
        ),
        (
            "{metadata: {name: n1}, status: {addresses: [{type: InternalIP, address: ten}]}}",
            "status.addresses[0].address: \"ten\" is not an IP address: correct it",
        ),
        (
            "{metadata: {name: ../n1}}",
            "metadata.name: \"../n1\" is not a name: use at most 253 lower-case letters, digits, '-' and '.', a letter or digit at both ends",
        ),
    ] {
        assert_eq!(node_in_words(yaml), expected, "for {yaml}");
    }
}

fn pools(converted: &Converted) -> Vec<&Pool> {
    let mut pools: Vec<&Pool> = Vec::new();
    for fact in &converted.facts {
        let Fact::Pool(pool) = fact else { panic!("{fact:?}") };
        pools.push(pool);
    }
    pools
}

#[test]
fn address_pools_are_read_or_refused_with_the_fix() {
    for (spec, expected) in [
        ("addresses: [10.0.0.0/24]", "10.0.0.0/24 auto=true lowest-free {} None"),
        (
            "addresses: [10.0.0.1-10.0.0.3], autoAssign: false, allocator: {plugin: hashed, config: {b: 1, a: [x]}}, announcers: [l2]",
            "10.0.0.1-10.0.0.3 auto=false hashed {\"a\":[\"x\"],\"b\":1} Some([\"l2\"])",
        ),
        (
            "addresses: [10.0.0.0/24], allocator: {config: null}",
            "10.0.0.0/24 auto=true lowest-free {} None",
        ),
        ("addresses: []", "spec.addresses: is empty: add a CIDR (192.0.2.0/28) or a range"),
        (
            "addresses: [10.0.0.0/24, 10.0.0.300-1]",
            "spec.addresses[1]: \"10.0.0.300\" in \"10.0.0.300-1\" is not an IP address: write a CIDR (192.0.2.0/28) or a range (192.0.2.1-192.0.2.9)",
        ),
        (
            "addresses: [10.0.0.0/24], exclude: [10.0.0.9-10.0.0.1]",
            "spec.exclude[0]: \"10.0.0.9-10.0.0.1\" ends before it starts: swap its ends",
        ),
        (
            "addresses: [10.0.0.0/24], serviceSelector: {matchExpressions: [{key: a, operator: In}]}",
            "spec.serviceSelector: matchExpressions[0]: In needs at least one entry in values",
        ),
        (
            "addresses: [10.0.0.0/24], namespaceSelector: {matchExpressions: [{key: a, operator: In}]}",
            "spec.namespaceSelector: matchExpressions[0]: In needs at least one entry in values",
        ),
        (
            "addresses: [10.0.0.0/24], allocator: {plugin: Hashed}",
            "spec.allocator.plugin: \"Hashed\" is not a name: use at most 63 lower-case letters, digits, '-' and '.', a letter or digit at both ends",
        ),
    ] {
        let yaml = format!("{{apiVersion: a, kind: b, metadata: {{name: p}}, spec: {{{spec}}}}}");
        let got = match read::<AddressPool>(&yaml, address_pool) {
            Ok(converted) => {
                let pool = pools(&converted)[0];
                let PluginRef { plugin, config } = &pool.allocator;
                format!(
                    "{} auto={} {plugin} {config} {:?}",
                    pool.addresses[0], pool.auto_assign, pool.announcers
                )
            }
            Err(error) => error.to_string(),
        };
        assert_eq!(got, expected, "for {spec}");
    }
}

#[test]
fn an_address_pool_says_whom_it_is_for_and_whether_it_goes() {
    for (meta, spec, namespaces, draining) in [
        ("", "", "[] None", false),
        ("", "namespaces: [a, b]", "[\"a\", \"b\"] None", false),
        ("", "namespaceSelector: {}", "[] Some(0)", false),
        ("", "namespaces: [a], namespaceSelector: {matchLabels: {x: y}}", "[\"a\"] Some(1)", false),
        (
            "deletionTimestamp: '2026-01-01T00:00:00Z', finalizers: [outrigger.dev/in-use]",
            "",
            "[] None",
            true,
        ),
    ] {
        let yaml = format!(
            "{{apiVersion: a, kind: b, metadata: {{name: p, {meta}}}, spec: {{addresses: [10.0.0.0/24], {spec}}}}}"
        );
        let converted = read::<AddressPool>(&yaml, address_pool).unwrap();
        let pool = pools(&converted)[0];
        let selector = pool.namespace_selector.as_ref().map(|one| one.requirements.len());
        assert_eq!(
            format!("{:?} {selector:?}", Vec::from_iter(&pool.namespaces)),
            namespaces,
            "{yaml}"
        );
        assert_eq!(pool.draining, draining, "{yaml}");
    }
}

#[test]
fn a_pool_in_force_is_written_down_so_that_it_is_read_again() {
    for spec in [
        "addresses: [10.0.0.0/24]",
        "addresses: [10.0.0.1-10.0.0.9, 'fd00::/120'], exclude: [10.0.0.2-10.0.0.3], autoAssign: false, avoidBuggyIPs: true, \
         priority: 3, namespaces: [b, a], announcers: [x], allocator: {plugin: hashed, config: {b: 1, a: [x]}}",
        "addresses: [10.0.0.0/24], namespaceSelector: {}",
        "addresses: [10.0.0.0/24], namespaceSelector: {matchLabels: {a: b}}, serviceSelector: {matchLabels: {a: b}, \
         matchExpressions: [{key: c, operator: NotIn, values: [e, d]}, {key: f, operator: Exists}, {key: g, operator: DoesNotExist}]}",
    ] {
        let yaml = format!("{{apiVersion: a, kind: b, metadata: {{name: p}}, spec: {{{spec}}}}}");
        let first = read::<AddressPool>(&yaml, address_pool).unwrap();
        let again = AddressPool::new("p", pool_spec(pools(&first)[0]));
        assert_eq!(address_pool(&again).as_ref(), Ok(&first), "{spec}");
    }
}

#[test]
fn a_pool_that_is_not_valid_is_what_it_was_when_it_was_valid_last() {
    let yaml = |addresses: &str| {
        format!(
            "{{apiVersion: a, kind: b, metadata: {{name: p}}, spec: {{addresses: [{addresses}]}}, \
             status: {{lastValid: {{addresses: [10.0.1.0/24], announcers: [lan]}}}}}}"
        )
    };
    let valid = read::<AddressPool>(&yaml("10.0.0.0/24"), address_pool).unwrap();
    let pool = pools(&valid)[0];
    assert_eq!((pool.addresses[0].to_string().as_str(), &pool.announcers), ("10.0.0.0/24", &None));
    let last = pool.last_valid.as_deref().unwrap();
    assert_eq!(last.addresses[0].to_string(), "10.0.1.0/24");

    let invalid = read::<AddressPool>(&yaml("nonsense"), address_pool).unwrap();
    let pool = pools(&invalid)[0];
    assert_eq!(Pool { last_valid: None, ..pool.clone() }, *last);
    assert_eq!(pool.last_valid.as_deref(), Some(last));
    assert!(invalid.notes[0].message.contains("nonsense"), "{:?}", invalid.notes);
}

#[test]
fn an_announcer_is_its_plugin_and_where_it_runs() {
    let yaml = "{apiVersion: a, kind: b, metadata: {name: lan}, spec: {plugin: layer2, config: {x: true}, \
                nodeSelector: {matchLabels: {rack: a}}, interfaces: [eth0]}}";
    let converted = read::<Announcer>(yaml, announcer).unwrap();
    let [Fact::Announcer(fact)] = converted.facts.as_slice() else { panic!("{converted:?}") };
    assert_eq!(
        (fact.plugin.plugin.as_str(), fact.plugin.config.as_str()),
        ("layer2", "{\"x\":true}")
    );
    assert_eq!(fact.interfaces, ["eth0"]);
    assert!(!fact.node_selector.is_empty() && fact.service_selector.is_empty());
}

/// A ConfigMap with this text as MetalLB's.
fn metallb(text: &str) -> Result<Converted, Invalid> {
    let object = v1::ConfigMap {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: Some("config".to_owned()),
            namespace: Some("metallb-system".to_owned()),
            ..Default::default()
        },
        data: Some([("config".to_owned(), text.to_owned())].into()),
        ..Default::default()
    };
    config_map(&object)
}

#[test]
fn the_configuration_of_metallb_0_9_is_read_pool_by_pool() {
    let good = "- {name: a, protocol: layer2, addresses: [10.0.0.0/24], auto-assign: false, avoid-buggy-ips: true}\n";
    for (text, facts, notes) in [
        (format!("address-pools:\n{good}"), 1, ""),
        ("address-pools:\n".to_owned(), 0, ""),
        (
            format!(
                "address-pools:\n{good}- {{name: b, protocol: bgp, addresses: [10.1.0.0/24], bgp-advertisements: [{{localpref: 100}}]}}\n"
            ),
            1,
            "data.config.address-pools[1].protocol: pool \"b\" is skipped: BGP comes with the bgp announcer in a later version; write layer2 to serve it now",
        ),
        (
            format!("peers: []\naddress-pools:\n{good}"),
            1,
            "data.config.peers: is skipped: BGP comes with the bgp announcer in a later version",
        ),
        (
            format!("pears: []\naddress-pools:\n{good}"),
            1,
            "data.config.pears: MetalLB 0.9 knows no such key: correct or remove it",
        ),
        (
            format!(
                "address-pools:\n- {{name: b, protocol: layer2, addresses: [10.0.0.300-1]}}\n{good}"
            ),
            1,
            "data.config.address-pools[0].addresses[0]: \"10.0.0.300\" in \"10.0.0.300-1\" is not an IP address: write a CIDR (192.0.2.0/28) or a range (192.0.2.1-192.0.2.9)",
        ),
        (
            "address-pools:\n- {name: b, protocol: layer2, addreses: [10.0.0.0/24]}\n".to_owned(),
            0,
            "data.config.address-pools[0]: unknown field `addreses`, expected one of `name`, `protocol`, `addresses`, `auto-assign`, `avoid-buggy-ips`, `bgp-advertisements`: correct it",
        ),
        (
            format!("address-pools:\n{good}{good}"),
            1,
            "data.config.address-pools[1].name: \"a\" is used twice: rename one of the two pools",
        ),
        (
            "address-pools:\n- {name: b, protocol: ospf, addresses: [10.0.0.0/24]}\n".to_owned(),
            0,
            "data.config.address-pools[0].protocol: \"ospf\" is not a protocol of MetalLB 0.9: write layer2",
        ),
    ] {
        let converted = metallb(&text).unwrap();
        let said: Vec<_> = converted.notes.iter().map(|note| note.message.as_str()).collect();
        assert_eq!((converted.facts.len(), said.join("; ").as_str()), (facts, notes), "for {text}");
        for pool in pools(&converted) {
            assert_eq!(pool.announcers.as_deref(), Some(&["layer2".to_owned()][..]));
            assert_eq!((pool.auto_assign, pool.avoid_buggy_ips), (false, true));
        }
    }
}

#[test]
fn a_metallb_configuration_that_cannot_be_taken_apart_stops_as_a_whole() {
    for (text, expected) in [
        ("address-pools: [", "data.config: is not YAML: "),
        ("address-pools: 7", "data.config.address-pools: is not a list: write one pool per dash"),
        (
            "address-pools: [{protocol: layer2}]",
            "data.config.address-pools[0].name: is missing: add it",
        ),
    ] {
        let error = metallb(text).unwrap_err().to_string();
        assert!(error.starts_with(expected), "{error:?} for {text:?}");
    }
    assert_eq!(metallb("level: debug"), Ok(Converted::default()), "not MetalLB's");
}

#[test]
fn a_labelled_config_map_is_a_plugin() {
    for (rest, expected) in [
        ("binaryData: {plugin.wasm: AGFzbQ==}", "plugin mine from ConfigMap outrigger/p: 4 octets"),
        (
            "binaryData: {plugin.wasm.zst: AGFzbQ==}",
            "plugin mine from ConfigMap outrigger/p: 4 octets",
        ),
        (
            "data: {plugin.wasm: text}",
            "binaryData[plugin.wasm]: holds nothing: put the component there, or compressed as plugin.wasm.gz or plugin.wasm.zst (kubectl create configmap NAME --from-file=plugin.wasm)",
        ),
        (
            "binaryData: {plugin.wasm: AGFzbQ==, plugin.wasm.gz: AGFzbQ==}",
            "binaryData: holds plugin.wasm and plugin.wasm.gz: remove one of the two",
        ),
        (
            "data: {image: x}",
            "data.image: a component in an OCI registry is not supported by this version: put it into binaryData[plugin.wasm.zst], which holds up to 1 MiB",
        ),
    ] {
        let yaml = format!(
            "{{metadata: {{name: p, namespace: outrigger, labels: {{outrigger.dev/plugin: mine}}}}, {rest}}}"
        );
        let converted = read::<v1::ConfigMap>(&yaml, config_map).unwrap();
        let got = match (converted.facts.as_slice(), converted.notes.as_slice()) {
            ([Fact::Plugin(plugin)], []) => {
                let Plugin { name, origin, component } = &**plugin;
                let Component::Inline(octets) = component else { panic!("{component:?}") };
                format!("plugin {name} from {origin}: {} octets", octets.len())
            }
            ([], [note]) => {
                assert_eq!(note.instead_of, Some(FactKey::Plugin("mine".to_owned())));
                note.message.clone()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(got, expected, "for {rest}");
    }
}
