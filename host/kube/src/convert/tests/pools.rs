//! Tests of address pools, including the old configuration of MetalLB.
use super::*;

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
        (
            "addresses: [10.0.0.0/24], allocator: {failurePolicy: NextPool}",
            "10.0.0.0/24 auto=true lowest-free {} None NextPool",
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
                let otherwise = match pool.failure_policy {
                    FailurePolicy::Wait => String::new(),
                    other => format!(" {other:?}"),
                };
                format!(
                    "{} auto={} {plugin} {config} {:?}{otherwise}",
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

/// Converts a ConfigMap with this text as MetalLB configuration.
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
            "data.config.address-pools[1].protocol: pool \"b\" is skipped, because a folder takes only layer 2 from this ConfigMap: write layer2, or run outrigger import metallb -f FILE for BGP",
        ),
        (
            format!("peers: []\naddress-pools:\n{good}"),
            1,
            "data.config.peers: is skipped, because a folder takes only layer 2 from this ConfigMap: for BGP, run outrigger import metallb -f FILE",
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
