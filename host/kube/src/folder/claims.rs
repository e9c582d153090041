//! Which of several files speaks for a key: the one that already does, at start the first by path. Must not know why a
//! file says what it says.
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use outrigger_core::facts::{Fact, FactKey};

use super::source::Source;

/// One file's word on one key.
#[derive(Debug)]
pub(super) struct Claim {
    pub path: PathBuf,
    /// The object it is in.
    pub object: String,
    pub fact: Fact,
}

/// Every file's word on every key.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// The first one of each list is in force; the others wait in order of path.
    by_key: BTreeMap<FactKey, Vec<Claim>>,
    by_path: BTreeMap<PathBuf, BTreeSet<FactKey>>,
}

impl Claim {
    /// The fact in a person's words.
    pub fn title(&self) -> String {
        match &self.fact {
            Fact::Service(service) => format!("Service {}", service.key),
            Fact::Endpoints(endpoints) => format!("EndpointSlice {}", endpoints.slice),
            Fact::Node(node) => format!("node {}", node.name),
            Fact::Namespace(namespace) => format!("namespace {}", namespace.name),
            Fact::Pool(pool) => format!("pool {}", pool.name),
            Fact::Announcer(announcer) => format!("announcer {}", announcer.name),
            Fact::Plugin(plugin) => format!("plugin {}", plugin.name),
        }
    }
}

impl Claims {
    /// Takes a file's new word in place of its old one.
    pub fn replace(&mut self, path: &Path, source: Option<&Source>) {
        let mut old = self.by_path.remove(path).unwrap_or_default();
        let mut new = BTreeSet::new();
        for (object, fact) in source.into_iter().flat_map(Source::facts) {
            let key = fact.key();
            old.remove(&key);
            new.insert(key.clone());
            let claim =
                Claim { path: path.to_owned(), object: object.to_string(), fact: fact.clone() };
            self.put(key, claim);
        }
        for key in old {
            self.withdraw(path, &key);
        }
        if !new.is_empty() {
            self.by_path.insert(path.to_owned(), new);
        }
    }

    /// The claim that counts.
    pub fn in_force(&self, key: &FactKey) -> Option<&Claim> {
        self.by_key.get(key)?.first()
    }

    /// Each claim that does not count, and the one that does.
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
            *own = claim;
            return;
        }
        let waiting = claims.get(1..).unwrap_or_default();
        let at = waiting.partition_point(|other| other.path < claim.path) + claims.len().min(1);
        claims.insert(at, claim);
    }

    fn withdraw(&mut self, path: &Path, key: &FactKey) {
        let Some(claims) = self.by_key.get_mut(key) else { return };
        claims.retain(|claim| claim.path != path);
        if claims.is_empty() {
            self.by_key.remove(key);
        }
    }
}
