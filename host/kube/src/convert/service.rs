//! Converts a Service to a fact. This module must not know whether the pools and addresses that it asks for exist.
use std::sync::Arc;

use k8s_openapi::api::core::v1;
use outrigger_core::facts::{Fact, Labels, Service, ServiceSpec, Wishes};
use outrigger_sdk::{Family, IpProtocol, ServicePort, TrafficPolicy};
use smallvec::SmallVec;

use super::wanted::wanted;
use super::{Converted, Invalid, Note, ServiceClasses, key, labels};

/// The type of the condition that Outrigger writes beside the ingress.
pub const ALLOCATED: &str = "outrigger.dev/Allocated";

/// Outrigger's own annotation takes precedence over those of other load balancers.
const POOL: [&str; 3] =
    ["outrigger.dev/pool", "metallb.io/address-pool", "metallb.universe.tf/address-pool"];
const SHARING_KEY: [&str; 3] = [
    "outrigger.dev/sharing-key",
    "metallb.io/allow-shared-ip",
    "metallb.universe.tf/allow-shared-ip",
];
const HOSTNAME: [&str; 3] = [
    "outrigger.dev/hostname",
    "external-dns.alpha.kubernetes.io/hostname",
    "external-dns.kubernetes.io/hostname",
];
const TTL: [&str; 3] =
    ["outrigger.dev/ttl", "external-dns.alpha.kubernetes.io/ttl", "external-dns.kubernetes.io/ttl"];

/// Groups of annotations with the same meaning: Outrigger's first, then MetalLB's new name and its old one.
pub(crate) const OWN_ANNOTATIONS: [[&str; 3]; 3] = [POOL, super::wanted::ADDRESSES, SHARING_KEY];

/// Annotation that allows Outrigger to take over what another controller wrote into the status.
const ADOPT: &str = "outrigger.dev/adopt";

/// Annotation that is left out because kubectl repeats the whole object in it.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// Maximum length of one annotation in the WIT.
const LONGEST_ANNOTATION: usize = 1024;

/// Converts a Service. A Service that is not of type LoadBalancer, or of none of these classes, becomes no fact.
///
/// # Errors
/// Returns an error that names the invalid field and the fix.
pub fn service(object: &v1::Service, classes: &ServiceClasses) -> Result<Converted, Invalid> {
    if !classes.include(object) {
        return Ok(Converted::default());
    }
    let spec = object.spec.clone().unwrap_or_default();
    let meta = &object.metadata;
    let mut annotations = labels(meta.annotations.as_ref());
    let text = |names: &[&'static str]| first(&annotations, names).map(|(_, text)| text.to_owned());
    let asked = wanted(&spec, &annotations)?;
    let mut notes = Vec::new();
    let (hostnames, ttl) = (hostnames(&annotations, &mut notes), ttl(&annotations, &mut notes));
    let (pool, sharing_key) = (text(&POOL), text(&SHARING_KEY).unwrap_or_default());
    let families = families(&spec, &asked)?;
    let adopt = annotations.get(ADOPT).is_some_and(|text| text.trim() == "true");
    annotations.retain(|name, value| name != LAST_APPLIED && value.len() <= LONGEST_ANNOTATION);
    let mut ports: Vec<_> =
        spec.ports.iter().flatten().enumerate().map(port).collect::<Result<_, _>>()?;
    // Nearly all Services have one port, and the vector has room for four.
    ports.shrink_to_fit();
    let spec = ServiceSpec {
        key: key(meta, 63)?,
        uid: meta.uid.clone().unwrap_or_default(),
        labels: labels(meta.labels.as_ref()),
        annotations,
        ports,
        traffic_policy: match spec.external_traffic_policy.as_deref() {
            None | Some("" | "Cluster") => TrafficPolicy::Cluster,
            Some("Local") => TrafficPolicy::Local,
            Some(_) => TrafficPolicy::Other,
        },
        selector: labels(spec.selector.as_ref()),
        families,
        all_families: spec.ip_family_policy.as_deref() != Some("PreferDualStack"),
        wishes: Wishes { wanted: asked, pool, sharing_key, hostnames, ttl, adopt, problem: None }
            .if_any(),
    };
    let ours = is_allocated(object) == Some(true);
    let fact = Service { spec: spec.into(), ingress: ingress(object)?, ours };
    Ok(Converted { facts: vec![fact.into()], notes })
}

/// Returns the fact of a Service whose current state cannot be converted, with the problem, which becomes its condition.
/// The fact is the known one; or, if none is known, what can be read without the Service's requests; or, if that fails too,
/// only the addresses in its status. `None` if Outrigger does not serve the Service.
pub fn unclear_service(
    object: &v1::Service,
    classes: &ServiceClasses,
    known: Option<&Service>,
    problem: &Invalid,
) -> Option<Service> {
    if !classes.include(object) {
        return None;
    }
    let ingress = ingress(object).unwrap_or_default();
    let ours = is_allocated(object) == Some(true);
    let uid = object.metadata.uid.clone().unwrap_or_default();
    let known = known.filter(|known| known.uid == uid).cloned();
    let key = key(&object.metadata, 63).ok()?;
    let without_wishes = || {
        let mut object = object.clone();
        object.spec.iter_mut().for_each(|spec| spec.load_balancer_ip = None);
        object.metadata.annotations = None;
        match service(&object, classes).ok()?.facts.pop() {
            Some(Fact::Service(service)) => Some(Arc::unwrap_or_clone(service)),
            _ => None,
        }
    };
    let mut service =
        known.or_else(without_wishes).unwrap_or_else(|| Service::reserved(key, &ingress));
    (service.uid, service.problem) = (uid, Some(problem.to_string()));
    Some(Service { ingress, ours, ..service })
}

/// Returns true if Outrigger's condition shows that the Service has an address; `None` if there is no such condition.
pub(super) fn is_allocated(object: &v1::Service) -> Option<bool> {
    let status = object.status.as_ref()?;
    let mut conditions = status.conditions.iter().flatten();
    conditions.find(|one| one.type_ == ALLOCATED).map(|one| one.status == "True")
}

/// Returns the addresses in the status.
///
/// # Errors
/// Returns an error that names the entry that is not an address.
pub(crate) fn ingress(object: &v1::Service) -> Result<SmallVec<[std::net::IpAddr; 1]>, Invalid> {
    let balancer = object.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let entries = balancer.into_iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    let addresses = entries.enumerate().filter_map(|(at, entry)| Some((at, entry.ip.as_ref()?)));
    let parse = |(at, text): (usize, &String)| {
        text.parse().map_err(|_| {
            let field = format!("status.loadBalancer.ingress[{at}].ip");
            Invalid::new(field, format!("{text:?} is not an IP address: correct it"))
        })
    };
    addresses.map(parse).collect()
}

/// Returns the first of these annotations that is not empty.
pub(super) fn first<'a>(
    annotations: &'a Labels,
    names: &[&'static str],
) -> Option<(&'static str, &'a str)> {
    let text = |name: &&'static str| Some((*name, annotations.get(*name)?.trim()));
    names.iter().filter_map(text).find(|(_, text)| !text.is_empty())
}

/// Returns the address families of a Service. Without `ipFamilies`, which the API server would have filled in, the policy
/// and the requested addresses determine them.
fn families(
    spec: &v1::ServiceSpec,
    wanted: &[std::net::IpAddr],
) -> Result<SmallVec<[Family; 2]>, Invalid> {
    let named =
        spec.ip_families.iter().flatten().enumerate().map(|(at, family)| match family.as_str() {
            "IPv4" => Ok(Family::Ipv4),
            "IPv6" => Ok(Family::Ipv6),
            other => Err(Invalid::new(
                format!("spec.ipFamilies[{at}]"),
                format!("{other:?} is not an address family: write IPv4 or IPv6"),
            )),
        });
    let named: SmallVec<[Family; 2]> = named.collect::<Result<_, _>>()?;
    if named.is_empty() {
        let dual = matches!(
            spec.ip_family_policy.as_deref(),
            Some("PreferDualStack" | "RequireDualStack")
        );
        return Ok(match (dual, wanted) {
            (true, _) => [Family::Ipv4, Family::Ipv6].into(),
            (false, []) => [Family::Ipv4].as_slice().into(),
            (false, wanted) => wanted.iter().map(Family::of).collect(),
        });
    }
    let missing = wanted.iter().find(|address| !named.contains(&Family::of(address)));
    let Some(address) = missing else { return Ok(named) };
    let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
    let problem =
        format!("{address} is requested: add {family}, or request an address of the other family");
    Err(Invalid::new("spec.ipFamilies", problem))
}

fn port((at, port): (usize, &v1::ServicePort)) -> Result<ServicePort, Invalid> {
    let number = |field: &str, value: i32, least: u16| {
        u16::try_from(value).ok().filter(|number| *number >= least).ok_or_else(|| {
            let problem = format!("{value} is not a port: write a number from 1 to 65535");
            Invalid::new(format!("spec.ports[{at}].{field}"), problem)
        })
    };
    Ok(ServicePort {
        name: port.name.clone().unwrap_or_default(),
        protocol: match port.protocol.as_deref() {
            None | Some("" | "TCP") => IpProtocol::Tcp,
            Some("UDP") => IpProtocol::Udp,
            Some("SCTP") => IpProtocol::Sctp,
            Some(_) => IpProtocol::Other,
        },
        port: number("port", port.port, 1)?,
        node_port: number("nodePort", port.node_port.unwrap_or(0), 0)?,
    })
}

/// Returns the host names of a Service. An invalid host name is left out, but does not prevent the Service from getting an address.
fn hostnames(annotations: &Labels, notes: &mut Vec<Note>) -> Vec<String> {
    let Some((annotation, text)) = first(annotations, &HOSTNAME) else { return Vec::new() };
    let mut hostnames = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let hostname = part.strip_suffix('.').unwrap_or(part).to_ascii_lowercase();
        if is_hostname(&hostname) {
            hostnames.push(hostname);
            continue;
        }
        let message = format!(
            "annotation {annotation}: {part:?} is not a host name: write one like web.example.org; it is left out"
        );
        notes.push(Note { instead_of: None, message });
    }
    hostnames
}

/// Returns true if a name is a host name. Sizes are those of RFC 1035 section 2.3.4; a first label "*" (RFC 4592) and "_"
/// (RFC 8552) may occur.
fn is_hostname(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-' || c == b'_')
    };
    name.len() <= 253 && name.strip_prefix("*.").unwrap_or(name).split('.').all(label)
}

fn ttl(annotations: &Labels, notes: &mut Vec<Note>) -> u32 {
    let Some((annotation, text)) = first(annotations, &TTL) else { return 0 };
    if let Some(seconds) = seconds(text) {
        return seconds;
    }
    let message = format!(
        "annotation {annotation}: {text:?} is not a time to live: write seconds (300) or a duration (5m); it is left out"
    );
    notes.push(Note { instead_of: None, message });
    0
}

/// Parses seconds or a Go duration of whole hours, minutes and seconds, in the format of external-dns. A TTL has 31 bits
/// (RFC 2181 section 8).
fn seconds(text: &str) -> Option<u32> {
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let (number, unit) = rest.split_at(digits);
        let mut unit = unit.chars();
        let factor = match unit.next() {
            Some('h') => 3600,
            Some('m') => 60,
            Some('s') => 1,
            None if number.len() == text.len() => 1,
            _ => return None,
        };
        total = total.checked_add(number.parse::<u64>().ok()?.checked_mul(factor)?)?;
        rest = unit.as_str();
    }
    u32::try_from(total).ok().filter(|seconds| *seconds < 1 << 31)
}
