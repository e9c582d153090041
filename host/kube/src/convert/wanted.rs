//! Addresses that a Service explicitly asks for. This module must not know whether they are free.
use std::collections::BTreeSet;
use std::net::IpAddr;

use k8s_openapi::api::core::v1;
use outrigger_core::facts::Labels;

use super::Invalid;
use super::service::first;

pub(super) const ADDRESSES: [&str; 3] = [
    "outrigger.dev/addresses",
    "metallb.io/loadBalancerIPs",
    "metallb.universe.tf/loadBalancerIPs",
];
const FIELD: &str = "spec.loadBalancerIP";

/// Returns the addresses that a Service asks for, at most one per family.
///
/// # Errors
/// Returns an error that names the invalid field or annotation and the fix.
pub(super) fn wanted(spec: &v1::ServiceSpec, annotations: &Labels) -> Result<Vec<IpAddr>, Invalid> {
    let field = spec.load_balancer_ip.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let by_field = field.map(|text| parse(FIELD, text)).transpose()?;
    let Some((annotation, text)) = first(annotations, &ADDRESSES) else {
        return Ok(by_field.into_iter().collect());
    };
    let named = format!("annotation {annotation}");
    let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
    let addresses: Vec<IpAddr> = parts.map(|part| parse(&named, part)).collect::<Result<_, _>>()?;
    for one_family in [IpAddr::is_ipv4, IpAddr::is_ipv6] {
        if addresses.iter().filter(|address| one_family(address)).count() > 1 {
            return Err(Invalid::new(
                named,
                format!("{text:?} has two addresses of one family: keep one"),
            ));
        }
    }
    let differs =
        |address: IpAddr| BTreeSet::from([address]) != addresses.iter().copied().collect();
    if let Some(address) = by_field.filter(|address| differs(*address)) {
        let problem = format!("{address} differs from {text:?} in {named}: keep one of the two");
        return Err(Invalid::new(FIELD, problem));
    }
    Ok(addresses)
}

fn parse(field: &str, text: &str) -> Result<IpAddr, Invalid> {
    let address: Result<IpAddr, _> = text.parse();
    address.map(|address| address.to_canonical()).map_err(|_| {
        Invalid::new(
            field,
            format!("{text:?} is not an IP address: write one like 192.0.2.1 or 2001:db8::1"),
        )
    })
}
