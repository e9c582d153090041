//! Tests of Services: the selection by class, the requests, and the status that others wrote.
use super::*;

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
    let mut with_problem = good.clone();
    with_problem.problem = text.clone();
    assert_eq!(unclear(Some(&good)), with_problem);
    let unknown = unclear(None);
    assert_eq!((&unknown.ingress, &unknown.problem), (&good.ingress, &text));
    assert_eq!(unknown.traffic_policy, outrigger_sdk::TrafficPolicy::Local, "or it goes astray");
    let bad = object("", "externalTrafficPolicy: Local, ports: [{port: 70000}]");
    let reserved = unclear_service(&bad, &classes, None, &problem).unwrap();
    assert_eq!((reserved.wanted.as_slice(), &reserved.problem), (good.ingress.as_slice(), &text));
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
            "spec.ipFamilies: 2001:db8::1 is requested: add IPv6, or request an address of the other family",
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
    assert_eq!(service.ports[0].protocol, outrigger_sdk::IpProtocol::Udp);
    assert_eq!((service.ports[0].port, service.ports[0].node_port), (53, 30053));
    assert_eq!(service.ingress.as_slice(), ["10.0.0.9".parse::<std::net::IpAddr>().unwrap()]);
}
