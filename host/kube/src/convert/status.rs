//! Addresses to `status.loadBalancer.ingress`: what others wrote into it stays. Must not know who writes it where.
use std::net::IpAddr;

use k8s_openapi::api::core::v1::LoadBalancerIngress;

/// The ingress that a Service is to have instead of `entries`: an entry for each of these addresses, in order, with the `hostname`, `ipMode` and
/// `ports` that its entry has now; then the entries that have no address at all, which are other controllers' (they
/// name the Service in DNS). Entries of other addresses are left out: the Service does not hold them.
///
/// The list is atomic in server-side apply, so that whoever applies it must apply all of it.
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
