//! Explains to operators which nodes may answer for an address. Must not change the plan.
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::cover::PoolBinding;
use super::{AddressContext, Index, Planner, announcers};
use crate::eligibility::Ineligible;
use crate::facts::{Cluster, NodeName};
use crate::membership::View;

impl Planner {
    /// Returns for every node that is known or alive whether it may answer for the address, or the reason why not.
    pub fn why(
        &self,
        cluster: &Cluster,
        view: &View,
        address: IpAddr,
    ) -> BTreeMap<NodeName, Result<(), Ineligible>> {
        let built;
        let index = match &self.index {
            Some(index) => index,
            None => {
                built = Index::of(cluster);
                &built
            }
        };
        let announcers = announcers(cluster);
        let home = PoolBinding::find(cluster, address).map(Arc::new);
        let home = home.or_else(|| self.home(address));
        let case =
            AddressContext::new(cluster, &self.me, &announcers, index, home.as_deref(), address);
        let (eligibility, readiness) = (case.any_eligibility(), case.readiness(view));
        let nodes: BTreeSet<_> = cluster.nodes.keys().chain(view.members.keys()).collect();
        let verdict = |node: &str| {
            let member = view.members.get(node).ok_or(Ineligible::NotAlive)?;
            if member.leaving {
                return Err(Ineligible::Leaving);
            }
            eligibility.check(node)?;
            readiness.check(node)
        };
        nodes.into_iter().map(|node| (node.clone(), verdict(node))).collect()
    }
}
