//! Checks Services, which keep their addresses and are not changed. Everything that would work differently under Outrigger
//! is reported. This module must not know how addresses are allocated, except for the rules that differ.
use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use outrigger_core::facts::Fact;

use super::Work;
use super::pools::Pool;
use crate::convert::{self, LOAD_BALANCER_CLASS, OWN_ANNOTATIONS, ServiceClasses};

/// The holders of the addresses seen so far: the namespace and origin of the first Service of each address.
type Holders = BTreeMap<IpAddr, (String, String)>;

/// Reports the differences for each Service of type LoadBalancer.
pub(super) fn look_at(work: &mut Work, pools: &[Pool]) {
    let mut holders = Holders::new();
    for (origin, object) in std::mem::take(&mut work.services) {
        let Ok(service) = serde_json::from_value::<v1::Service>(object) else { continue };
        let class = service.spec.as_ref().and_then(|spec| spec.load_balancer_class.clone());
        let balanced = service.spec.as_ref().and_then(|spec| spec.type_.as_deref());
        if balanced != Some("LoadBalancer") {
            continue;
        }
        if let Some(class) = class.filter(|class| class != LOAD_BALANCER_CLASS) {
            let message = format!(
                "is {class:?}, which Outrigger does not serve: add it to OUTRIGGER_SERVICES__CLASSES"
            );
            work.leave(&origin, "spec.loadBalancerClass", message);
            continue;
        }
        annotations(work, &origin, &service);
        match convert::service(&service, &ServiceClasses::default()) {
            Err(invalid) => {
                let message =
                    format!("{}; until then the Service keeps the address it has", invalid.problem);
                work.leave(&origin, &invalid.field, message);
            }
            Ok(converted) => {
                if let Some(Fact::Service(fact)) = converted.facts.into_iter().next() {
                    addresses(work, &origin, &fact, pools, &mut holders);
                }
            }
        }
    }
}

/// Reports conflicting annotations. Outrigger's take precedence over MetalLB's, and MetalLB's new ones over its old ones.
fn annotations(work: &mut Work, origin: &str, service: &v1::Service) {
    let annotations = service.metadata.annotations.clone().unwrap_or_default();
    for names in OWN_ANNOTATIONS {
        let said = names.iter().filter_map(|name| {
            let text = annotations.get(*name)?.trim();
            (!text.is_empty()).then_some((*name, text))
        });
        let said: Vec<(&str, &str)> = said.collect();
        let Some(((first, counts), others)) = said.split_first() else { continue };
        for (name, text) in others.iter().filter(|(_, text)| text != counts) {
            let message = format!(
                "is {text:?}, and {first} is {counts:?}: {first} is used; remove one of the two"
            );
            work.leave(origin, &format!("metadata.annotations[{name}]"), message);
        }
    }
}

fn addresses(
    work: &mut Work,
    origin: &str,
    service: &outrigger_core::facts::Service,
    pools: &[Pool],
    holders: &mut Holders,
) {
    const FIELD: &str = "status.loadBalancer.ingress";
    for address in &service.ingress {
        let within = |pool: &Pool| pool.ranges.iter().any(|range| range.contains(*address));
        if !pools.iter().any(within) {
            let message = format!(
                "{address} is in no pool that is imported: the Service keeps it, and no node announces it until a pool contains it"
            );
            work.leave(origin, FIELD, message);
        }
        let own = (service.key.namespace().to_owned(), origin.to_owned());
        let (namespace, other) = holders.entry(*address).or_insert(own);
        if *namespace != service.key.namespace() {
            let message = format!(
                "{address} is shared with {other}, which is in another namespace: both keep it, but Outrigger allows sharing only within one namespace, and will not allocate it to both again: give one of them another address"
            );
            work.leave(origin, FIELD, message);
        }
    }
}
