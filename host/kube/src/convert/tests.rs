//! Tests of the conversions: one table per kind with manifests and the expected results.
use k8s_openapi::api::{core::v1, discovery};
use outrigger_core::facts::{
    Component, Fact, FailurePolicy, Node, Plugin, PluginRef, Pool, Service,
};
use outrigger_sdk::Family;
use serde::de::DeserializeOwned;

use super::*;
use crate::crd::{AddressPool, Announcer};

mod pools;
mod services;

fn read<T: DeserializeOwned>(
    yaml: &str,
    convert: fn(&T) -> Result<Converted, Invalid>,
) -> Result<Converted, Invalid> {
    convert(&serde_saphyr::from_str(yaml).unwrap())
}

/// Converts a Service called `web` with these lines of spec and annotations, written as one line.
fn service_of(spec: &str, annotations: &str) -> Result<Converted, Invalid> {
    read::<v1::Service>(
        &format!(
            "{{metadata: {{name: web, annotations: {{{annotations}}}}}, spec: {{type: LoadBalancer, {spec}}}}}"
        ),
        service,
    )
}

/// Converts a Service with the default classes.
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
fn a_namespace_always_has_the_label_with_its_name() {
    let yaml = "{metadata: {name: shop, labels: {team: a}}}";
    let converted = read::<v1::Namespace>(yaml, namespace).unwrap();
    let [Fact::Namespace(fact)] = converted.facts.as_slice() else { panic!("{converted:?}") };
    let labels = [("kubernetes.io/metadata.name", "shop"), ("team", "a")];
    assert_eq!(fact.labels, labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
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
    for (kind, expected) in [
        ("IPv4", Some(Family::Ipv4)),
        ("IPv6", Some(Family::Ipv6)),
        ("FQDN", None), // kube-proxy sends nothing there
    ] {
        let yaml = format!(
            "{{metadata: {{name: a, labels: {{kubernetes.io/service-name: web}}}}, addressType: {kind}, endpoints: []}}"
        );
        let converted = read::<discovery::v1::EndpointSlice>(&yaml, endpoint_slice).unwrap();
        let family = converted.facts.iter().map(|fact| match fact {
            Fact::Endpoints(endpoints) => endpoints.family,
            other => panic!("{other:?}"),
        });
        assert_eq!(family.collect::<Vec<_>>(), expected.into_iter().collect::<Vec<_>>(), "{kind}");
    }
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
        // Other taints concern Pods.
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
            "binaryData[plugin.wasm]: is empty: add the component, or a compressed one as plugin.wasm.gz or plugin.wasm.zst (kubectl create configmap NAME --from-file=plugin.wasm)",
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
