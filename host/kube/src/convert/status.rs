//! Converts addresses to `status.loadBalancer.ingress`, keeping what others wrote into it. This module must not know where
//! the result is written, or by which component.
use std::net::IpAddr;

use k8s_openapi::api::core::v1::LoadBalancerIngress;

/// Returns the ingress that replaces `entries` in a Service: an entry for each of these addresses, in order, with the
/// `hostname`, `ipMode` and `ports` of its current entry; then the entries without an address, which belong to other
/// controllers (they name the Service in DNS). Entries of other addresses are left out, because the Service does not hold
/// them.
///
/// The list is atomic in server-side apply, so that it must be applied as a whole.
pub fn ingress_of(
    entries: &[LoadBalancerIngress],
    addresses: &[IpAddr],
) -> Vec<LoadBalancerIngress> {
    let is = |entry: &LoadBalancerIngress, address: &IpAddr| {
        entry.ip.as_ref().is_some_and(|ip| ip.parse() == Ok(*address))
    };
    let entry = |address: &IpAddr| {
        let known = entries.iter().find(|entry| is(entry, address));
        let known = known.cloned().unwrap_or_default();
        LoadBalancerIngress { ip: Some(address.to_string()), ..known }
    };
    let nameless = |entry: &&LoadBalancerIngress| entry.ip.as_deref().is_none_or(str::is_empty);
    let others = entries.iter().filter(nameless).cloned();
    addresses.iter().map(entry).chain(others).collect()
}
