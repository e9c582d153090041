//! Nodes that gossip cannot reach with the current settings, and what to change. Must not know the consequences.
use std::net::IpAddr;

use outrigger_core::facts::{Cluster, NodeName};
use outrigger_core::membership::{Unreadable, View};
use outrigger_sdk::Family;

/// Returns one sentence for each, with the fix. `local` is the address that gossip of this node, `me`, is sent from.
pub(super) fn strangers(
    me: &NodeName,
    local: IpAddr,
    cluster: &Cluster,
    view: &View,
) -> Vec<String> {
    let unreadable = view.unreadable.iter().map(|(node, why)| match why {
        Unreadable::OtherKey => format!(
            "{node} uses another gossip key than {me}: neither hears the other. Make all nodes read the key again: kubectl -n \
             outrigger-system rollout restart daemonset/outrigger-node (over a folder: copy gossip.key of the state folder from one node to \
             all others, and restart them)"
        ),
        Unreadable::OtherVersion => format!(
            "{node} uses another gossip version than {me} ({}): neither hears the other. Run the same version on all nodes",
            env!("CARGO_PKG_VERSION")
        ),
    });
    let own = Family::of(&local);
    let others = cluster.nodes.values().filter(|other| other.name != *me);
    let apart = others.filter_map(|other| {
        let first = other.addresses.first()?;
        (Family::of(first) != own).then(|| {
            format!(
                "the first InternalIP of {} is {first}, but {me} uses {own} from {local}: neither hears the other. Give all nodes a first InternalIP of \
                 the same family: set --node-ip of the kubelets, or status.addresses of the Node objects",
                other.name
            )
        })
    });
    unreadable.chain(apart).collect()
}

#[cfg(test)]
mod tests {
    use outrigger_core::facts::{Change, Fact, Node};

    use super::*;

    fn node(name: &str, addresses: &[&str]) -> Fact {
        Fact::from(Node {
            name: name.to_owned(),
            labels: Default::default(),
            annotations: Default::default(),
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            network_available: true,
            ready: true,
            excluded: false,
            cordoned: false,
        })
    }

    #[test]
    fn whoever_cannot_be_reached_is_named_with_what_to_change() {
        let mut cluster = Cluster::default();
        for fact in [
            node("n1", &["192.0.2.1", "2001:db8::1"]),
            node("n2", &["192.0.2.2"]),
            node("n3", &["2001:db8::3", "192.0.2.3"]),
            node("n4", &[]),
        ] {
            cluster.apply(Change::Upsert(fact));
        }
        let me = "n1".to_owned();
        let mut view = View::default();
        let found = |view: &View| strangers(&me, "192.0.2.1".parse().unwrap(), &cluster, view);
        let families = found(&view);
        assert_eq!(families.len(), 1, "{families:?}");
        assert!(families[0].contains("first InternalIP of n3 is 2001:db8::3"), "{families:?}");
        assert!(families[0].contains("--node-ip"), "{families:?}");
        view.unreadable.insert("n2".to_owned(), Unreadable::OtherKey);
        assert!(found(&view)[0].starts_with("n2 uses another gossip key than n1"));
        view.unreadable.insert("n2".to_owned(), Unreadable::OtherVersion);
        assert!(found(&view)[0].contains("Run the same version on all nodes"));
    }
}
