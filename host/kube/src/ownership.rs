//! Decides which of several sources (files, or objects of the API) provides the fact for a key: the one that already does,
//! or at the start the first one by path. This module must not know why a source provides a fact.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeBounds;
use std::path::Path;
use std::sync::Arc;

use outrigger_core::facts::{Fact, FactKey};

/// The fact that one source claims for one key.
#[derive(Debug)]
pub(crate) struct Claim {
    pub path: Arc<Path>,
    /// The object that contains the fact.
    pub object: Arc<str>,
    pub fact: Fact,
}

/// The facts that all sources claim, by key.
#[derive(Debug, Default)]
pub(crate) struct Claims {
    /// The first claim of each list is active; the others wait in order of path.
    by_key: BTreeMap<FactKey, Vec<Claim>>,
    by_path: BTreeMap<Arc<Path>, Box<[FactKey]>>,
}

impl Claim {
    /// Returns a human-readable name of the fact.
    pub fn title(&self) -> String {
        match &self.fact {
            Fact::Service(service) => format!("Service {}", service.key),
            Fact::Endpoints(endpoints) => format!("EndpointSlice {}", endpoints.slice),
            Fact::Node(node) => format!("node {}", node.name),
            Fact::Namespace(namespace) => format!("namespace {}", namespace.name),
            Fact::Pool(pool) => format!("pool {}", pool.name),
            Fact::Announcer(announcer) => format!("announcer {}", announcer.name),
            Fact::Plugin(plugin) => format!("plugin {}", plugin.name),
            Fact::Published(published) => format!("plugin {}", published.name),
        }
    }
}

impl Claims {
    /// Replaces the claims of a source with these facts, each with its object.
    pub fn replace<'a>(
        &mut self,
        path: &Path,
        facts: impl Iterator<Item = (&'a Arc<str>, &'a Fact)>,
    ) {
        let old = self.by_path.remove_entry(path);
        let (path, old) = old.unwrap_or_else(|| (path.into(), Box::default()));
        let old: BTreeSet<FactKey> = old.into_iter().collect();
        let mut new = BTreeSet::new();
        for (object, fact) in facts {
            new.insert(fact.key());
            let claim = Claim { path: path.clone(), object: object.clone(), fact: fact.clone() };
            self.put(fact.key(), claim);
        }
        for key in old.difference(&new) {
            self.withdraw(&path, key);
        }
        if !new.is_empty() {
            self.by_path.insert(path, new.into_iter().collect());
        }
    }

    /// Returns every active claim.
    pub fn all_in_force(&self) -> impl Iterator<Item = &Claim> {
        self.by_key.values().filter_map(|claims| claims.first())
    }

    /// Returns the active claims for keys within this range.
    pub fn in_force_within(
        &self,
        range: impl RangeBounds<FactKey>,
    ) -> impl Iterator<Item = &Claim> {
        self.by_key.range(range).filter_map(|(_, claims)| claims.first())
    }

    /// Returns the fact that one source claims for one key.
    pub fn word(&self, path: &Path, key: &FactKey) -> Option<&Fact> {
        let claims = self.by_key.get(key)?;
        claims.iter().find(|claim| *claim.path == *path).map(|claim| &claim.fact)
    }

    /// Returns every fact that one source claims.
    pub fn words(&self, path: &Path) -> Vec<Fact> {
        let keys = self.by_path.get(path).into_iter().flatten();
        keys.filter_map(|key| self.word(path, key)).cloned().collect()
    }

    /// Returns the active claim for a key.
    pub fn in_force(&self, key: &FactKey) -> Option<&Claim> {
        self.by_key.get(key)?.first()
    }

    /// Returns each inactive claim together with the active claim for its key.
    pub fn losers(&self) -> impl Iterator<Item = (&Claim, &Claim)> {
        let pairs = |claims: &'_ Vec<Claim>| claims.len() > 1;
        self.by_key.values().filter(move |claims| pairs(claims)).flat_map(|claims| {
            let (winner, losers) = claims.split_first().expect("more than one");
            losers.iter().map(move |loser| (loser, winner))
        })
    }

    fn put(&mut self, key: FactKey, claim: Claim) {
        let claims = self.by_key.entry(key).or_default();
        if let Some(own) = claims.iter_mut().find(|own| own.path == claim.path) {
            *own = Claim { fact: share(&own.fact, claim.fact), ..claim };
            return;
        }
        let waiting = claims.get(1..).unwrap_or_default();
        let at = waiting.partition_point(|other| other.path < claim.path) + claims.len().min(1);
        // Nearly every key has exactly one claim, and there is one list for each object of the cluster.
        claims.reserve_exact(1);
        claims.insert(at, claim);
    }

    fn withdraw(&mut self, path: &Path, key: &FactKey) {
        let Some(claims) = self.by_key.get_mut(key) else { return };
        claims.retain(|claim| *claim.path != *path);
        if claims.is_empty() {
            self.by_key.remove(key);
        }
    }
}

/// Returns the new fact, sharing the parts that equal the old one, so that consumers that hold the old fact share the same
/// allocation.
fn share(old: &Fact, mut new: Fact) -> Fact {
    if *old == new {
        return old.clone();
    }
    if let (Fact::Service(old), Fact::Service(new)) = (old, &mut new)
        && old.spec == new.spec
    {
        Arc::make_mut(new).spec = old.spec.clone();
    }
    new
}

#[cfg(test)]
mod tests {
    use outrigger_core::facts::{Service, ServiceKey};

    use super::*;

    #[test]
    fn what_is_said_again_is_the_fact_that_was_there() {
        let service = |ours| {
            let key = ServiceKey::new("shop", "web");
            let mut service = Service::reserved(key, &[]);
            service.ours = ours;
            Fact::from(service)
        };
        let (mut claims, object) = (Claims::default(), Arc::from("Service shop/web"));
        let mut said = |fact: Fact| {
            claims.replace(Path::new("web.yaml"), std::iter::once((&object, &fact)));
            match claims.in_force(&fact.key()).map(|claim| &claim.fact) {
                Some(Fact::Service(service)) => service.clone(),
                other => panic!("{other:?}"),
            }
        };
        let first = said(service(false));
        assert!(Arc::ptr_eq(&first, &said(service(false))), "nothing changed");
        let other_status = said(service(true));
        assert!(other_status.ours, "the status did");
        assert!(Arc::ptr_eq(&first.spec, &other_status.spec), "and the spec did not");
    }
}
