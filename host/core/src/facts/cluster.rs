//! All facts by key. The only way to change them is [`Cluster::apply`].
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{
    Announcer, Change, Endpoints, Fact, FactKey, Labels, Namespace, Node, NodeName, Plugin, Pool,
    Published, Service, ServiceKey,
};

/// The label that the API server puts on every Namespace.
pub const NAMESPACE_NAME: &str = "kubernetes.io/metadata.name";

/// The known state of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cluster {
    /// Services of type LoadBalancer.
    pub services: BTreeMap<ServiceKey, Arc<Service>>,
    /// EndpointSlices by their own name.
    pub endpoints: BTreeMap<ServiceKey, Arc<Endpoints>>,
    /// Nodes by name. Empty on a plain machine without Node objects: the machine is then the only node.
    pub nodes: BTreeMap<NodeName, Arc<Node>>,
    /// Namespaces by name. Empty on a plain machine without Namespace objects: each namespace then has only its name
    /// as a label.
    pub namespaces: BTreeMap<String, Arc<Namespace>>,
    /// Address pools by name.
    pub pools: BTreeMap<String, Arc<Pool>>,
    /// Announcers by name.
    pub announcers: BTreeMap<String, Arc<Announcer>>,
    /// Plugins that were delivered from outside, by name.
    pub plugins: BTreeMap<String, Arc<Plugin>>,
    /// Published builds by plugin name.
    pub published: BTreeMap<String, Arc<Published>>,
    /// True if everything was listed once (invariant 1).
    pub synced: bool,
}

/// The difference that a change made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Difference {
    /// One fact was added, replaced or removed.
    Fact {
        /// The key of the fact.
        key: FactKey,
        /// The previous fact; `None` if there was none.
        before: Option<Fact>,
    },
    /// Everything has now been listed.
    Synced,
}

impl Cluster {
    /// Applies one change. Returns `None` if nothing differs from before.
    pub fn apply(&mut self, change: Change) -> Option<Difference> {
        match change {
            Change::Upsert(fact) => self.upsert(fact),
            Change::Remove(key) => self.remove(key),
            Change::Synced => {
                (!std::mem::replace(&mut self.synced, true)).then_some(Difference::Synced)
            }
        }
    }

    /// Returns the labels of a namespace. `None` if it is not known although others are: no selector matches it yet.
    pub fn namespace_labels(&self, name: &str) -> Option<Cow<'_, Labels>> {
        if self.namespaces.is_empty() {
            return Some(Cow::Owned([(NAMESPACE_NAME.to_owned(), name.to_owned())].into()));
        }
        self.namespaces.get(name).map(|namespace| Cow::Borrowed(&namespace.labels))
    }

    fn upsert(&mut self, fact: Fact) -> Option<Difference> {
        let key = fact.key();
        let before = match fact {
            Fact::Service(new) => put(&mut self.services, new.key.clone(), new)?.map(Fact::Service),
            Fact::Endpoints(new) => {
                put(&mut self.endpoints, new.slice.clone(), new)?.map(Fact::Endpoints)
            }
            Fact::Node(new) => put(&mut self.nodes, new.name.clone(), new)?.map(Fact::Node),
            Fact::Namespace(new) => {
                put(&mut self.namespaces, new.name.clone(), new)?.map(Fact::Namespace)
            }
            Fact::Pool(new) => put(&mut self.pools, new.name.clone(), new)?.map(Fact::Pool),
            Fact::Announcer(new) => {
                put(&mut self.announcers, new.name.clone(), new)?.map(Fact::Announcer)
            }
            Fact::Plugin(new) => put(&mut self.plugins, new.name.clone(), new)?.map(Fact::Plugin),
            Fact::Published(new) => {
                put(&mut self.published, new.name.clone(), new)?.map(Fact::Published)
            }
        };
        Some(Difference::Fact { key, before })
    }

    fn remove(&mut self, key: FactKey) -> Option<Difference> {
        let before = match &key {
            FactKey::Service(key) => self.services.remove(key).map(Fact::Service),
            FactKey::Endpoints(key) => self.endpoints.remove(key).map(Fact::Endpoints),
            FactKey::Node(key) => self.nodes.remove(key).map(Fact::Node),
            FactKey::Namespace(key) => self.namespaces.remove(key).map(Fact::Namespace),
            FactKey::Pool(key) => self.pools.remove(key).map(Fact::Pool),
            FactKey::Announcer(key) => self.announcers.remove(key).map(Fact::Announcer),
            FactKey::Plugin(key) => self.plugins.remove(key).map(Fact::Plugin),
            FactKey::Published(key) => self.published.remove(key).map(Fact::Published),
        };
        before.is_some().then_some(Difference::Fact { key, before })
    }
}

/// Inserts a value and returns the previous one; the outer `None` if an equal value is already there.
fn put<K: Ord, V: PartialEq>(map: &mut BTreeMap<K, V>, key: K, value: V) -> Option<Option<V>> {
    if map.get(&key) == Some(&value) {
        return None;
    }
    Some(map.insert(key, value))
}
